# SPDX-License-Identifier: Apache-2.0
"""ACME: challenges from a folder, and certificates by lego from pebble."""
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from lib.client import Client, head, tls_trust
from lib.configs import basic
from lib.gateway import command, text_of
from lib.origin import OK, always
from lib.users import ARGS, let_in
from lib.wait import wait_until

PATH = "/.well-known/acme-challenge/"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"
TEXT = TOKEN.encode() + b"." + b"x" * 43


@pytest.fixture
def folder(shop):
    made = shop.folder / "challenges"
    made.mkdir()
    (made / TOKEN).write_bytes(TEXT)
    return made


def serving(folder, *origins, **more):
    return basic(*origins, acme={"challenges": str(folder)}, **more)


def test_a_challenge_is_answered_from_the_folder(shop, folder):
    gw = shop.lintel(serving(folder, shop.origin(always(OK)), workers=2))
    response = gw.get(PATH + TOKEN)
    assert (response.status, response.body) == (200, TEXT)
    assert response.headers.get("content-type") == "application/octet-stream"
    assert gw.get(PATH + TOKEN, method="HEAD").headers.get("content-length") == str(len(TEXT))
    line = gw.access(path=PATH + TOKEN, method="GET")[0]
    assert line["status"] == 200 and line["detail"] == "acme_challenge"
    assert "cause" not in line and "upstream" not in line
    assert b"lintel_acme_challenges_total 2" in gw.admin("/metrics").body


def test_a_new_file_is_answered_at_once(shop, folder):
    gw = shop.lintel(serving(folder, shop.origin(always(OK))))
    with gw.client() as client:
        for i in range(50):
            assert client.request(target=PATH + f"t{i}").body == b"ok"
            (folder / f"t{i}").write_text(str(i))
            assert client.request(target=PATH + f"t{i}").body == str(i).encode()
            (folder / f"t{i}").unlink()
            assert client.request(target=PATH + f"t{i}").body == b"ok"


def test_no_redirect_filter_or_unknown_host_stands_before_it(shop, folder, authority):
    cert, key = authority.leaf("localhost")
    conf = serving(folder, shop.origin(always(OK)),
                   filters={"partner": {"filter": "key_auth", "keys": {"a": "0" * 64}}})
    conf["listen"][0]["redirect"] = "https"
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"] = [{"hosts": ["localhost"], "filters": ["partner"], "tls": {"certificates": [
        {"certificate": str(cert), "key": str(key)}]}, "routes": [{"match": "/*", "to": "app"}]}]
    gw = shop.lintel(conf)
    for host in ("localhost", "unknown.test", "127.0.0.1"):
        assert gw.get(PATH + TOKEN, host=host).body == TEXT
    assert gw.get("/", host="localhost").status == 308
    assert gw.get(PATH + "another").status == 401  # as without the folder


@pytest.mark.parametrize("name", [
    "", "..", ".", "../secret", "%2e%2e/secret", "..%2fsecret", "%2e%2e%2fsecret", "sub/inner",
    "sub", TOKEN + "%00", TOKEN + "/", TOKEN + ".txt", "a" * 129, "link", "pipe", "big", "empty",
    "linked/" + TOKEN])
def test_nothing_else_comes_out_of_the_folder(shop, folder, name):
    (shop.folder / "secret").write_text("secret")
    (folder / "sub").mkdir()
    (folder / "sub" / "inner").write_text("secret")
    (folder / (TOKEN + ".txt")).write_text("secret")
    (folder / ("a" * 129)).write_text("secret")
    (folder / "link").symlink_to(shop.folder / "secret")
    (folder / "linked").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    (folder / "big").write_text("secret" * 1000)
    (folder / "empty").touch()
    gw = shop.lintel(serving(folder, routes=[{"match": "/other", "respond": 204}]))
    response = gw.get(PATH + name)
    assert response.status in (400, 404) and b"secret" not in response.body
    assert gw.get(PATH + TOKEN).body == TEXT


def test_other_methods_go_on_to_the_routes(shop, folder):
    gw = shop.lintel(serving(folder, shop.origin(always(OK))))
    for method in ("POST", "DELETE"):
        assert gw.get(PATH + TOKEN, method=method, body=b"").body == b"ok"


def test_an_application_may_answer_what_is_not_there(shop, folder):
    app = shop.origin(always(OK))
    gw = shop.lintel(serving(folder, app))
    assert gw.get(PATH + "theirs").body == b"ok"
    assert app.requests[0].target == PATH + "theirs"


def test_a_file_that_can_not_be_read_is_logged(shop, folder):
    let_in(shop.folder)
    folder.chmod(0o755)
    (folder / "closed").write_text("x")
    (folder / "closed").chmod(0)
    conf = serving(folder, routes=[{"match": "/other", "respond": 204}])
    conf["admin"]["listen"] = f"unix:{shop.folder}/admin.sock"
    gw = shop.lintel(conf, args=ARGS)
    assert gw.get(PATH + "closed").status == 404
    assert gw.wait_event("challenge_unreadable", file="closed")["error"] == "Permission denied"


def test_a_folder_that_comes_later(shop):
    folder = shop.folder / "later" / "challenges"
    gw = shop.lintel(serving(folder, shop.origin(always(OK))))
    assert any("there is no folder" in line for line in gw.stderr.lines)
    assert gw.get(PATH + TOKEN).body == b"ok"
    folder.mkdir(parents=True)
    (folder / TOKEN).write_bytes(TEXT)
    assert gw.get(PATH + TOKEN).body == TEXT


def test_a_file_is_no_folder(shop, folder):
    file = shop.folder / "c.yaml"
    file.write_text(text_of(serving(folder / TOKEN, routes=[{"match": "/", "respond": 204}])))
    done = command("check", "-c", str(file))
    assert done.returncode == 1 and "is not a folder" in done.stderr


def test_it_is_no_switch(shop):
    file = shop.folder / "c.yaml"
    file.write_text(text_of(basic(acme=True, routes=[{"match": "/", "respond": 204}])))
    done = command("check", "-c", str(file))
    assert done.returncode == 1 and "acme wants the folder" in done.stderr


def test_a_reload_takes_another_folder(shop, folder):
    other = shop.folder / "other"
    other.mkdir()
    (other / TOKEN).write_text("other")
    conf = serving(folder, shop.origin(always(OK)))
    gw = shop.lintel(conf)
    assert gw.get(PATH + TOKEN).body == TEXT
    conf["acme"] = str(other)
    gw.reload(conf)
    assert gw.get(PATH + TOKEN).body == b"other"
    del conf["acme"]
    gw.reload(conf)
    assert gw.get(PATH + TOKEN).body == b"ok"


def test_many_at_once_and_clients_that_do_not_wait(shop, folder):
    gw = shop.lintel(serving(folder, shop.origin(always(OK)), workers=2))
    clients = [gw.client() for _ in range(200)]
    for i, client in enumerate(clients):
        client.send(head("GET", PATH + TOKEN))
        if i % 2:
            client.sock.close()
    bodies = [c.response().body for c in clients[::2]]
    assert set(bodies) <= {TEXT, b"ok"} and TEXT in bodies
    for client in clients[::2]:
        client.sock.close()
    wait_until(lambda: json.loads(gw.admin("/status").body)["exchanges"] == 0, "the end of all")


# ---- a temporary certificate ----

def waiting_for(base, **more):
    """A configuration whose certificate isn't there yet, but looked for."""
    conf = basic(routes=[{"match": "/*", "respond": {"body": "x"}}], tls={"watch": "100ms"}, **more)
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"][0]["tls"] = {"certificates": [
        {"certificate": f"{base}.crt", "key": f"{base}.key", "missing": "temporary"}]}
    return conf


def subject(gw):
    """What the listener `secure` shows, in openssl's words."""
    return subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % gw.secure, "-servername",
                           "localhost"], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          text=True, timeout=20).stdout


def test_a_temporary_certificate_until_there_is_one(shop, authority):
    base = shop.folder / "site"
    conf = waiting_for(base)
    gw = shop.lintel(conf)
    assert "CN = temporary.invalid" in subject(gw)
    assert any("isn't there yet: a temporary certificate stands in" in s for s in gw.stderr.lines)
    blind = tls_trust(authority.ca)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with Client(gw.secure, trust=blind) as client:
        assert client.request().body == b"x"
    assert b"lintel_temporary_certificates 1" in gw.admin("/metrics").body
    cert, key = authority.leaf("localhost")
    shutil.copy(cert, f"{base}.crt")
    time.sleep(1)
    assert "CN = temporary.invalid" in subject(gw)  # half of it isn't enough
    shutil.copy(key, f"{base}.key")
    wait_until(lambda: "CN = localhost" in subject(gw), "the certificate")
    with Client(gw.secure, trust=tls_trust(authority.ca)) as client:
        assert client.request().body == b"x"
    assert b"lintel_temporary_certificates 0" in gw.admin("/metrics").body


def test_a_certificate_that_goes_away_is_kept(shop, authority):
    """`missing` is for the time before the first one."""
    base = shop.folder / "site"
    for source, suffix in zip(authority.leaf("localhost"), ("crt", "key")):
        shutil.copy(source, f"{base}.{suffix}")
    gw = shop.lintel(waiting_for(base))
    (shop.folder / "site.crt").unlink()
    (shop.folder / "site.key").unlink()
    gw.allowed.add("changed_file_refused")
    gw.wait_event("changed_file_refused")
    assert "CN = localhost" in subject(gw)


@pytest.mark.parametrize("there", ["crt", "key"])
def test_one_file_is_no_certificate_yet(shop, authority, there):
    base = shop.folder / "site"
    cert, key = authority.leaf("localhost")
    shutil.copy(cert if there == "crt" else key, f"{base}.{there}")
    assert "CN = temporary.invalid" in subject(shop.lintel(waiting_for(base)))


def test_a_certificate_that_is_wrong_is_not_missing(shop, authority):
    """Nor is one without `missing`."""
    base = shop.folder / "site"
    conf, file = waiting_for(base), shop.folder / "c.yaml"
    del conf["sites"][0]["tls"]["certificates"][0]["missing"]
    file.write_text(text_of(conf))
    assert "No such file" in command("check", "-c", str(file)).stderr
    (shop.folder / "site.crt").write_text("junk")
    (shop.folder / "site.key").write_text("junk")
    file.write_text(text_of(waiting_for(base)))
    done = command("check", "-c", str(file))
    assert done.returncode == 1 and "holds no certificate" in done.stderr


# ---- lego and pebble ----

def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


@pytest.fixture
def pebble(shop, authority):
    """Starts an authority that asks for challenges at a port; what lego needs to know of it."""
    def start(http_port):
        cert, key = authority.leaf("localhost", "127.0.0.1")
        port = free_port()
        file = shop.folder / "pebble.json"
        file.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": "127.0.0.1:0",
            "certificate": str(cert), "privateKey": str(key), "httpPort": http_port,
            "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": False}}))
        process = subprocess.Popen(["pebble", "-config", str(file)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env={
                                       "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0",
                                       "PEBBLE_AUTHZREUSE": "0"})

        def end():
            process.kill()
            process.wait()
        shop.finally_(end)

        def there():
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0
        wait_until(there, "pebble")
        return f"https://127.0.0.1:{port}/dir"
    return start


def lego(shop, server, authority, web, *command_):
    """Runs lego; its folder."""
    path = shop.folder / "lego"
    done = subprocess.run(
        ["lego", "--server", server, "--path", str(path), "--email", "admin@example.test",
         "--accept-tos", "--domains", "localhost", "--http", "--http.webroot", str(web), *command_],
        env={**os.environ, "LEGO_CA_CERTIFICATES": str(authority.ca)}, capture_output=True,
        text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return path


def leaf(text):
    """The first certificate in PEM form."""
    return re.search("-----BEGIN CERTIFICATE-----.*?-----END", text, re.S)[0]


def issuer(gw):
    return next((line for line in subject(gw).splitlines() if line.startswith("issuer=")), "")


def test_a_first_certificate_and_its_renewal(shop, authority, pebble):
    """From nothing, as the manual says it: Lintel starts, lego asks, Lintel serves the certificate."""
    web, base = shop.folder / "web", shop.folder / "lego" / "certificates" / "localhost"
    web.mkdir()
    conf = waiting_for(base, acme={"challenges": str(web / PATH.strip("/"))})
    # The authority takes either address of localhost.
    port, hosts = free_port(), ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
    conf["listen"][0] |= {"address": f"127.0.0.1:{port}", "redirect": "https"}
    conf["listen"] += [{"name": f"plain_{i}", "address": f"{host}:{port}", "redirect": "https"}
                       for i, host in enumerate(hosts[1:])]
    gw = shop.lintel(conf)
    assert "temporary" in issuer(gw)
    server = pebble(port)
    path = lego(shop, server, authority, web, "run")
    assert (path / "certificates" / "localhost.crt").exists()
    wait_until(lambda: "Pebble Intermediate CA" in issuer(gw), "the certificate")
    first = (path / "certificates" / "localhost.crt").read_text()
    lego(shop, server, authority, web, "renew", "--days", "100000", "--no-random-sleep")
    second = (path / "certificates" / "localhost.crt").read_text()
    assert first != second
    wait_until(lambda: leaf(subject(gw)) == leaf(second), "the new certificate")
    assert len(gw.access(2, status=200)) >= 2  # the challenges
