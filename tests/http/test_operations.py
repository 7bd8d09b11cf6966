# SPDX-License-Identifier: Apache-2.0
"""What operators do to a gateway, and what happens to it while nobody looks."""
import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
import time

from lib.client import Client, fetch, head, tls_trust
from lib.configs import basic, with_tls
from lib.gateway import PROGRAM, command, environment, text_of
from lib.wait import wait_until

FILTER = '''
local greet = require("greet")
return { response = function(ctx) ctx.res.headers["x-filter"] = greet.word end }
'''


def saying(text, **more):
    return basic(routes=[{"match": "/*", "respond": {"body": text}}], **more)


def kill(gateway):
    gateway.allowed.add("gateway_exited")
    os.kill(gateway.gateway_pid(), signal.SIGKILL)


def falls_back(gateway):
    """Kills the gateway and waits until the next one serves by what was kept."""
    gateway.allowed.update(("config_fallback", "config_error"))
    ready = len(gateway.events("ready"))
    kill(gateway)
    told = gateway.wait_event("config_fallback", len(gateway.events("config_fallback")) + 1)
    gateway.wait_event("ready", ready + 1)
    return told


def gauge(gateway, name):
    lines = gateway.admin("/metrics").body.decode().splitlines()
    return [line.split()[1] for line in lines if line.split()[0] == name]


def closes(client):
    """Reads what is still to come, until the other side closes; a time-out fails the test."""
    try:
        while client.sock.recv(65536):
            pass
    except ConnectionResetError:
        pass


# ---- certificates ----

def test_an_expired_certificate_is_a_warning_and_no_outage(shop, authority):
    cert, key = authority.leaf("localhost", days=-1)
    config = with_tls(saying("ok"), cert, key)
    gw = shop.lintel(config)
    told = "\n".join(gw.stderr.lines)
    assert "warning: " in told and "the certificate expired on " in told and "lintel.yaml:" in told
    assert gw.get().body == b"ok"
    trust = tls_trust(authority.ca)
    trust.check_hostname, trust.verify_mode = False, 0
    with Client(gw.secure, trust=trust) as client:
        assert client.request().body == b"ok"
    gw.reload()
    assert gw.events("config_warning", level="warn")
    done = command("check", "-c", gw.config)
    assert done.returncode == 0 and "expired on" in done.stderr


def test_certificates_that_end_soon_or_begin_later_are_told(tmp_path, authority):
    soon = authority.leaf("localhost", days=5, age=60)
    later = authority.leaf("localhost", days=60, age=-2)
    for (cert, key), words in ((soon, "expires soon, on"), (later, "is not valid before")):
        path = tmp_path / "lintel.yaml"
        path.write_text(text_of(with_tls(saying("ok"), cert, key)))
        done = command("check", "-c", path)
        assert done.returncode == 0 and words in done.stderr, done.stderr
        assert "1 warning" in done.stderr


# ---- a crash with a bad configuration on the disk ----

def test_a_gateway_that_died_comes_back_though_the_file_is_broken(shop):
    gw = shop.lintel(saying("one"))
    gw.write(saying("two"))
    gw.reload()
    gw.write("lintel: 1\nlisten: [{name: plain, adress: oops}]\nworkers: many\n")
    told = falls_back(gw)
    assert told["level"] == "error" and told["errors"] >= 3
    assert len(gw.events("config_error")) >= 3
    assert gw.get().body == b"two"
    assert gauge(gw, "lintel_config_fallback") == ["1"]
    assert gauge(gw, "lintel_config_load_failed") == ["1"]
    status = command("status", "--admin", f"unix:{gw.folder}/admin.sock")
    assert status.returncode == 0 and "FALLBACK" in status.stdout
    falls_back(gw)  # what was kept is kept on
    assert gw.get().body == b"two"
    gw.reload("lintel: 2\n", fails=True)
    assert gw.get().body == b"two" and gauge(gw, "lintel_config_fallback") == ["1"]
    gw.reload(saying("three"))
    assert gw.get().body == b"three"
    assert gauge(gw, "lintel_config_fallback") == ["0"]
    assert gauge(gw, "lintel_config_load_failed") == ["0"]
    gw.write("}")
    falls_back(gw)
    assert gw.get().body == b"three"


def test_status_answers_although_the_file_has_mistakes(shop):
    gw = shop.lintel(saying("one"))
    gw.write(saying("two", worker=4))
    done = command("status", "-c", gw.config, cwd=gw.folder)
    assert done.returncode == 0 and "ready" in done.stdout, done.stderr
    gw.write("}")
    done = command("status", "-c", gw.config, cwd=gw.folder)
    assert done.returncode == 1 and "--admin unix:" in done.stderr


def test_the_fallback_is_whole_without_any_file_on_the_disk(shop, authority):
    files = shop.folder / "conf"
    sites = files / "sites"
    sites.mkdir(parents=True)
    cert, key = authority.leaf("localhost")
    for name, file in (("c.pem", cert), ("k.pem", key)):
        (files / name).write_bytes(file.read_bytes())
    (files / "hello.lua").write_text(FILTER)
    (files / "greet.lua").write_text('return {word = "hello"}')
    (files / "secret").write_text("from-a-file\n")
    for i in range(3):
        (sites / f"{i}.yaml").write_text(text_of({"sites": [
            {"hosts": [f"{i}.example"],
             "routes": [{"match": "/*", "filters": ["hello"], "respond": {"body": f"site {i}"}}]}]}))
    config = with_tls(saying("${file:%s/secret} ${WORD}" % files,
                             include=[f"{sites}/*.yaml", f"{files}/extra.yaml"],
                             filters={"hello": {"filter": f"{files}/hello.lua"}}),
                      files / "c.pem", files / "k.pem")
    (files / "extra.yaml").write_text(text_of({"filters": {
        "limit": {"filter": "rate_limit", "key": "client.ip", "rate": "5/1h"}}}))
    gw = shop.lintel(config, env={"WORD": "and-a-variable"})
    for file in [*sites.iterdir(), *(f for f in files.iterdir() if f.is_file()), gw.config]:
        file.unlink()
    falls_back(gw)
    assert gw.get().body == b"from-a-file and-a-variable"
    for i in range(3):
        with Client(gw.secure, trust=tls_trust(authority.ca)) as client:
            assert client.request().status == 200
        response = gw.get(host=f"{i}.example")
        assert response.body == f"site {i}".encode()
        assert response.headers.get("x-filter") == "hello"


def test_a_port_that_is_taken_when_the_gateway_comes_back_is_no_outage(shop):
    other = shop.refusing()
    gw = shop.lintel(saying("one"))
    address = gw.plain
    config = saying("two")
    config["listen"].append({"name": "taken", "address": other.address})
    gw.write(config)
    kept = gw.client()
    assert kept.request().body == b"one"
    told = falls_back(gw)
    assert "Address already in use" in told["why"]
    assert gw.plain == address and gw.get().body == b"one"


def test_a_unix_socket_that_somebody_removed_is_back_after_a_crash(shop):
    config = saying("ok")
    config["listen"].append({"name": "local", "address": f"unix:{shop.folder}/in.sock"})
    gw = shop.lintel(config)
    os.unlink(gw.address("local"))
    kill(gw)
    gw.wait_event("ready", 2)
    assert fetch(gw.address("local")).body == b"ok"


def test_changes_of_the_admin_socket_are_told_to_need_a_restart(shop):
    gw = shop.lintel(saying("ok"))
    gw.reload(saying("ok", admin={"listen": "unix:admin.sock", "mode": "0640"}))
    gw.wait_event("restart_needed", **{"for": "admin"})
    assert gw.admin("/livez").status == 200


def test_sockets_of_listeners_that_are_gone_after_a_crash_are_closed(shop):
    config = saying("ok")
    config["listen"].append({"name": "second", "address": "127.0.0.2:0"})
    gw = shop.lintel(config)
    second = gw.address("second")
    gw.write(saying("ok"))
    kill(gw)
    gw.wait_event("ready", 2)
    assert gw.get().body == b"ok"

    def refused():
        try:
            Client(second, timeout=1).close()
            return False
        except ConnectionRefusedError:
            return True
    wait_until(refused, "the old listener to be closed")


def test_a_log_that_can_not_be_opened_after_a_crash_is_no_outage(shop):
    logs = shop.folder / "logs"
    logs.mkdir()
    gw = shop.lintel(saying("one", log={"access": f"{logs}/access.log"}))
    logs.rename(shop.folder / "moved")
    falls_back(gw)
    gw.allowed.add("open_failed")
    assert gw.get("/told").body == b"one"
    assert gw.events("open_failed", instead="stderr")
    wait_until(lambda: [e for e in gw.stderr.objects() if e.get("path") == "/told"],
               "the access line where it can be written")


# ---- logs ----

def test_a_start_that_fails_after_the_workers_ends_in_order(shop):
    """A pipe that nobody reads: only opening it can tell."""
    pipe = shop.folder / "unread"
    os.mkfifo(pipe)
    gw = shop.lintel(saying("ok", workers=2, log={"access": str(pipe)}), wait=False)
    gw.process.wait(20)
    gw.stderr.join()
    gw.allowed.update(("start_failed", "gateway_exited"))
    gw.ended(1)
    assert gw.events("gateway_exited", code=1)
    why = gw.events("start_failed")[0]["why"]
    assert re.search(r"lintel\.yaml:\d+:\d+: can't open the log ", why) and str(pipe) in why, why


def test_standard_error_that_nobody_reads_stops_nobody(shop):
    pipe = shop.folder / "unread"
    os.mkfifo(pipe)
    with open(pipe, "r+b", buffering=0) as end:
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)
        end.write(b"x" * 4096)
        socket_path = f"{shop.folder}/http.sock"
        config = saying("ok")
        config["listen"] = [{"name": "plain", "address": f"unix:{socket_path}"}]
        folder = shop.folder / "quiet"
        folder.mkdir()
        (folder / "lintel.yaml").write_text(text_of(config))
        process = subprocess.Popen([PROGRAM, "run", "-c", str(folder / "lintel.yaml")], cwd=folder,
                                   stdin=subprocess.DEVNULL, stdout=end, stderr=end,
                                   env=environment())
        shop.finally_(process.kill)

        def serves():
            try:
                return fetch(socket_path).body == b"ok"
            except OSError:
                return False
        wait_until(serves, "a gateway that serves though nobody reads its standard error")
        (folder / "lintel.yaml").write_text("lintel: 2\nfoo: bar\n")
        process.send_signal(signal.SIGHUP)
        for _ in range(200):
            assert serves()
        assert fetch(str(folder / "admin.sock"), "/readyz").status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_service_manager_that_does_not_read_stops_nobody(shop):
    path = f"{shop.folder}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        gw = shop.lintel(saying("ok"), env={"NOTIFY_SOCKET": path})
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
            full.setblocking(False)
            try:
                while True:
                    full.sendto(b"x", path)
            except BlockingIOError:
                pass
        for _ in range(20):
            gw.signal(signal.SIGHUP)
        kill(gw)
        gw.wait_event("ready", 2)
        assert gw.get().body == b"ok"
        gw.signal(signal.SIGTERM)
        assert gw.process.wait(20) == 0


def test_a_pipe_as_log_is_not_waited_for(shop):
    pipe = shop.folder / "pipe"
    os.mkfifo(pipe)
    gw = shop.lintel(saying("ok"))
    with_pipe = saying("ok", log={"access": str(pipe)})
    failed = gw.reload(with_pipe, fails=True)
    assert str(pipe) in failed["why"]
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as end:
        gw.reload(with_pipe)
        gw.get("/told")
        wait_until(lambda: b"/told" in (end.read(65536) or b""), "the line in the pipe")
    gw.allowed.update(("write_failed", "reopen_failed"))
    gw.get()
    gw.signal(signal.SIGUSR1)
    gw.wait_event("reopen_failed")
    assert gw.get().body == b"ok" and gw.admin("/readyz").status == 200


# ---- limits ----

def test_by_default_there_are_as_many_connections_as_descriptors_allow(shop):
    limit = (700, 700)
    gw = shop.lintel(saying("ok"), limits={resource.RLIMIT_NOFILE: limit})
    assert not gw.events("few_descriptors")
    small = gw.events("memory_bound")[-1]["connections_mb"]
    gw.reload(saying("ok", limits={"connections": 1000}))
    gw.wait_event("few_descriptors", limit=700, needed=2256)
    assert gw.events("memory_bound")[-1]["connections_mb"] > 4 * small


# ---- the end ----

def test_a_second_sigterm_ends_the_drain_at_once_and_in_order(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, drain={"delay": "20s", "timeout": "60s"}))
    with gw.client() as client:
        client.send(head("GET", "/sleep/60000"))
        wait_until(lambda: app.active, "the request at the server")
        gw.signal(signal.SIGTERM)
        gw.wait_event("draining")
        began = time.monotonic()
        gw.signal(signal.SIGTERM)
        assert gw.process.wait(20) == 0
        assert time.monotonic() - began < 5
        assert client.response().status == 503
        assert client.ends()
    gw.stderr.join()
    assert gw.events("cut", why="asked to end at once") and gw.events("stopped", code=0)
    assert not gw.events("gateway_exited")


def test_a_drain_that_does_not_end_by_itself_is_no_success(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, drain={"timeout": "60s"}))
    with gw.client() as client:
        client.send(head("GET", "/sleep/60000"))
        wait_until(lambda: app.active, "the request at the server")
        gw.signal(signal.SIGTERM)
        gw.wait_event("draining")
        kill(gw)
        gw.ended(1)
    assert gw.events("gateway_exited", signal=9)
