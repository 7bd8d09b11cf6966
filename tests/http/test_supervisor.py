# SPDX-License-Identifier: Apache-2.0
"""The gateway may die; the supervisor, the sockets and what is shared live on."""
import os
import signal
import socket
import threading
import time

import pytest

from lib.client import fetch, head
from lib.configs import basic
from lib.gateway import slowness
from lib.wait import wait_until


def kill(gateway):
    """kill -9 of the gateway process; its pid."""
    gateway.allowed.add("gateway_exited")
    pid = gateway.gateway_pid()
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_gateway_is_replaced_within_a_second(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": {"body": "ok"}}], workers=2))
    for _ in range(2):
        assert gw.get().body == b"ok"
        old = kill(gw)
        began = time.monotonic()
        # The sockets are open all the time: connecting works, the answer comes a moment later.
        assert gw.get().body == b"ok"
        assert time.monotonic() - began < 1 * slowness()
        assert gw.gateway_pid() != old
    assert len(gw.events("gateway_exited", signal=9)) == 2


def test_limits_counted_before_a_kill_are_still_counted(shop):
    config = basic(routes=[{"match": "/*", "respond": 200, "filters": ["limit"]}],
                   filters={"limit": {"filter": "rate_limit", "key": "client.ip", "rate": "3/1h"}})
    gw = shop.lintel(config)
    assert [gw.get().status for _ in range(3)] == [200] * 3
    kill(gw)
    assert gw.get().status == 429


def test_max_is_still_what_is_configured_after_a_kill(shop):
    app = shop.echo(delay=0.5)
    gw = shop.lintel(basic({"address": app.address, "max": 2}, workers=2))
    clients = [gw.client() for _ in range(2)]
    for client in clients:
        client.send(head("GET", "/slow"))
    wait_until(lambda: app.active == 2, "both places to be taken")
    kill(gw)  # with two requests in flight
    gw.wait_event("ready", 2)
    for client in clients:
        client.close()
    wait_until(lambda: app.active == 0, "the server to be free")
    app.peak, statuses = 0, []
    lock = threading.Lock()

    def ask():
        status = gw.get().status
        with lock:
            statuses.append(status)
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.peak == 2 and statuses.count(200) >= 2


def test_a_gateway_that_dies_again_and_again_is_started_with_a_pause(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": {"body": "ok"}}]))
    for i in range(4):
        kill(gw)
        gw.wait_event("ready", i + 2)
    assert gw.get().body == b"ok"
    gw.signal(signal.SIGTERM)
    assert gw.process.wait(20) == 0


def test_sigterm_finishes_what_is_in_progress(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app))
    idle = gw.client()
    assert idle.request().status == 200
    with gw.client() as client:
        client.send(head("GET", "/sleep/1000"))
        wait_until(lambda: app.active, "the request at the server")
        gw.signal(signal.SIGTERM)
        response = client.response()
        assert response.status == 200
        assert response.headers.get("connection").lower() == "close"
        assert client.ends()
    assert idle.ends(), "an idle connection is closed"
    assert gw.process.wait(20) == 0


def test_nothing_is_accepted_after_sigterm(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app))
    address = gw.plain
    with gw.client() as client:
        client.send(head("GET", "/sleep/1500"))
        wait_until(lambda: app.active, "the request at the server")
        gw.signal(signal.SIGTERM)

        def refused():
            try:
                socket.create_connection(address, 1).close()
                return False
            except (ConnectionRefusedError, ConnectionResetError):
                return True
        wait_until(refused, "the listener to be closed", 1.4)
        assert client.response().status == 200
    assert gw.process.wait(20) == 0


def test_a_drain_takes_no_longer_than_its_timeout(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, drain={"timeout": "500ms"}))
    with gw.client() as client:
        client.send(head("GET", "/sleep/20000"))
        wait_until(lambda: app.active, "the request at the server")
        began = time.monotonic()
        gw.signal(signal.SIGTERM)
        assert gw.process.wait(20) == 0
        assert 0.4 < time.monotonic() - began < 6
        assert client.response().status == 503
        assert client.ends()


def test_the_drain_delay_serves_on_while_readyz_fails(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": {"body": "ok"}}],
                           drain={"delay": "1500ms", "timeout": "5s"}))
    assert gw.admin("/readyz").status == 200
    gw.signal(signal.SIGTERM)
    wait_until(lambda: gw.admin("/readyz").status == 503, "readyz to fail")
    assert gw.get().body == b"ok"
    assert gw.admin("/livez").status == 200
    assert gw.process.wait(20) == 0


def test_sigint_drains_too(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]))
    gw.signal(signal.SIGINT)
    assert gw.process.wait(20) == 0


def test_sigusr1_opens_the_log_files_again(shop):
    access = shop.folder / "access.log"
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}],
                           log={"access": str(access)}))
    gw.get("/one")
    wait_until(lambda: "/one" in access.read_text(), "the first line")
    moved = access.with_suffix(".1")
    access.rename(moved)
    gw.signal(signal.SIGUSR1)
    wait_until(access.exists, "the new file")
    gw.get("/two")
    wait_until(lambda: "/two" in access.read_text(), "a line in the new file")
    assert "/two" not in moved.read_text() and "/one" not in access.read_text()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(shop, abstract):
    path = f"{shop.folder}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind("\0" + path if abstract else path)
        notify.settimeout(20)
        name = "@" + path if abstract else path

        def until(word):
            while word not in (said := notify.recv(4096).decode()):
                pass
            return said
        gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]),
                         env={"NOTIFY_SOCKET": name})
        until("READY=1")
        gw.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in until("RELOADING=1")
        until("READY=1")
        gw.signal(signal.SIGTERM)
        until("STOPPING=1")
        assert gw.process.wait(20) == 0


def test_unix_sockets_are_removed_at_the_end(shop):
    config = basic(routes=[{"match": "/*", "respond": 200}])
    config["listen"].append({"name": "local", "address": f"unix:{shop.folder}/in.sock"})
    gw = shop.lintel(config)
    assert (shop.folder / "in.sock").exists() and (gw.folder / "admin.sock").exists()
    gw.stop()
    assert not (shop.folder / "in.sock").exists() and not (gw.folder / "admin.sock").exists()


def test_a_socket_file_that_a_crash_left_behind_is_no_obstacle(shop):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{shop.folder}/in.sock")
    config = basic(routes=[{"match": "/*", "respond": {"body": "ok"}}])
    config["listen"].append({"name": "local", "address": f"unix:{shop.folder}/in.sock"})
    gw = shop.lintel(config)
    assert fetch(gw.address("local")).body == b"ok"


def test_the_supervisor_goes_when_it_is_killed_and_takes_the_gateway_along(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]))
    pid = gw.gateway_pid()
    gw.process.kill()
    gw.process.wait(10)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or pid not in gw.gateways(),
               "the gateway to end without its supervisor")
    gw.ended(-signal.SIGKILL)
