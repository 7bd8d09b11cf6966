# SPDX-License-Identifier: Apache-2.0
"""TLS to servers: who is believed, what is said about it, sessions, ends of connections."""
import base64
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from lib.client import Cut, head
from lib.configs import basic
from lib.gateway import command, text_of
from lib.origin import OK, always, answer, pattern
from lib.wait import wait_until

NAME = "app.test"


@pytest.fixture(scope="module")
def pair(authority):
    """A server's (certificate, key), for its name and its address."""
    return authority.leaf(NAME, "127.0.0.1")


def serving(pair, version=None, alpn=("http/1.1",), client_ca=None):
    """What a TLS server needs."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, pair))
    if version is not None:
        tls.minimum_version = tls.maximum_version = version
    if alpn:
        tls.set_alpn_protocols(list(alpn))
    if client_ca is not None:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(client_ca)
    return tls


def over(*origins, authority=None, app=None, workers=None, **tls):
    """A configuration with these servers spoken to by TLS. workers: where their number matters."""
    if authority is not None:
        tls.setdefault("ca", str(authority.ca))
    return basic(*origins, app={"tls": tls or True, **(app or {})},
                 **({"workers": workers} if workers else {}))


def key_pin(cert):
    """sha256/BASE64 of a certificate's public key."""
    key = subprocess.run(["openssl", "x509", "-in", str(cert), "-noout", "-pubkey"], check=True,
                         capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], check=True, input=key,
                         capture_output=True).stdout
    return "sha256/" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def failed(gateway, cause, status=502, detail="", error=None, method="GET"):
    """One request that has to fail with this cause in body, Proxy-Status, status and log."""
    body = b"x" if method == "POST" else None
    response = gateway.get("/", method=method, body=body)
    told = json.loads(response.body)
    assert (response.status, told["cause"]) == (status, cause), told
    assert f'details="{cause}"' in response.headers.get("proxy-status")
    if error:
        assert f"error={error}" in response.headers.get("proxy-status")
    line = gateway.access(id=told["request_id"])[0]
    assert line["cause"] == cause and detail in line.get("detail", ""), line
    return line


def metric(gateway, name):
    for line in gateway.admin("/metrics").body.decode().splitlines():
        if line.startswith(f"lintel_{name} "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


# ---- who is believed ----

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_whose_certificate_names_its_address(shop, authority, pair, version):
    app = shop.echo(tls=serving(pair, version))
    gw = shop.lintel(over(app, authority=authority))
    with gw.client() as client:
        for size in (0, 1, 16384, 3_000_000):
            sent = json.loads(client.request("POST", body=pattern(size)).body)
            assert sent["sha256"] == hashlib.sha256(pattern(size)).hexdigest()
            assert client.request(target=f"/bytes/{size}").body == pattern(size)
        assert client.request(target="/chunked/70000").body == pattern(70000)
    assert not app.tls_errors and len(app.peers) == 1


def test_the_authorities_of_the_system_are_trusted_by_default(shop, authority, pair):
    app = shop.origin(tls=serving(pair))
    gw = shop.lintel(over(app), env={"SSL_CERT_FILE": str(authority.ca)})
    assert gw.get().body == b"ok"


def test_a_private_authority_is_not_trusted_by_default(shop, pair):
    app = shop.origin(tls=serving(pair))
    gw = shop.lintel(over(app))
    failed(gw, "server_certificate_untrusted", detail="unable to get local issuer certificate",
           error="tls_certificate_error")
    assert not app.requests


def names_asked(tls):
    """The list of server names that clients of tls will ask for."""
    names = []
    tls.sni_callback = lambda sock, name, context: names.append(name)
    return names


def test_server_name_is_asked_for_and_verified(shop, authority):
    tls = serving(authority.leaf("other.test"))
    names = names_asked(tls)
    app = shop.origin(tls=tls)
    gw = shop.lintel(over(app, authority=authority, server_name="other.test"))
    assert gw.get().body == b"ok"
    assert names == ["other.test"]
    assert app.requests[0].headers.get("host") == "localhost"


def test_the_host_that_the_upstream_sets_is_the_servers_name(shop, authority, pair):
    tls = serving(pair)
    names = names_asked(tls)
    app = shop.origin(tls=tls)
    gw = shop.lintel(over(app, authority=authority, app={"host": f"{NAME}:8443"}))
    assert gw.get().body == b"ok"
    assert names == [NAME]


def test_an_address_is_no_server_name(shop, authority, pair):
    """RFC 6066 section 3; and the client's Host is none of ours either."""
    tls = serving(pair)
    names = names_asked(tls)
    gw = shop.lintel(over(shop.origin(tls=tls), authority=authority))
    assert gw.get(host=NAME).body == b"ok"
    assert names == [None]


def test_a_certificate_for_another_name(shop, authority):
    app = shop.origin(tls=serving(authority.leaf("other.test")))
    gw = shop.lintel(over(app, authority=authority, server_name=NAME))
    failed(gw, "server_certificate_name", detail="hostname mismatch (as app.test)",
           error="tls_certificate_error")
    gw = shop.lintel(over(app, authority=authority))
    failed(gw, "server_certificate_name", detail="IP address mismatch (as 127.0.0.1)")
    assert not app.requests


@pytest.mark.parametrize("days,age,detail", [(-1, 10, "certificate has expired"),
                                             (20, -5, "certificate is not yet valid")])
def test_a_certificate_that_is_not_valid_now(shop, authority, days, age, detail):
    app = shop.origin(tls=serving(authority.leaf("127.0.0.1", days=days, age=age)))
    gw = shop.lintel(over(app, authority=authority))
    failed(gw, "server_certificate_expired", detail=detail)
    assert not app.requests


def self_signed(folder, *extensions):
    cert, key = folder / "self.pem", folder / "self.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", "/CN=self",
                    "-addext", "subjectAltName=IP:127.0.0.1",
                    *(part for e in extensions for part in ("-addext", e)),
                    "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def test_a_self_signed_certificate(shop, authority):
    """Refused, unless its file is the ca, its key is pinned, or nothing is verified."""
    pair = self_signed(shop.folder)
    app = shop.origin(tls=serving(pair))
    gw = shop.lintel(over(app, authority=authority))
    failed(gw, "server_certificate_untrusted", detail="self-signed certificate")
    assert not app.requests
    for tls in ({"ca": str(pair[0])}, {"verify": False, "pin": [key_pin(pair[0])]},
                {"verify": False}):
        gw = shop.lintel(over(app, **tls))
        assert gw.get().body == b"ok"
        warned = any("nothing is verified" in line for line in gw.stderr.lines)
        assert warned == (tls == {"verify": False})


def test_a_certificate_that_is_none_of_a_server(shop):
    pair = self_signed(shop.folder, "extendedKeyUsage=clientAuth")
    app = shop.origin(tls=serving(pair))
    gw = shop.lintel(over(app, ca=str(pair[0])))
    failed(gw, "server_certificate_invalid", detail="unsuitable certificate purpose",
           error="tls_certificate_error")
    assert not app.requests


def test_pins(shop, authority, pair):
    app = shop.origin(tls=serving(pair))
    right, wrong = key_pin(pair[0]), "sha256/" + base64.b64encode(bytes(32)).decode()
    gw = shop.lintel(over(app, authority=authority, pin=[wrong, right]))
    assert gw.get().body == b"ok"
    for tls in ({"ca": str(authority.ca)}, {"verify": False}):
        gw = shop.lintel(over(app, pin=[wrong], **tls))
        failed(gw, "server_certificate_pin", detail="not a pinned one",
               error="tls_certificate_error")
    assert len(app.requests) == 1


def test_a_pin_does_not_replace_verification(shop, pair):
    app = shop.origin(tls=serving(pair))
    gw = shop.lintel(over(app, pin=[key_pin(pair[0])]))
    failed(gw, "server_certificate_untrusted")


def test_a_unix_socket_with_a_name(shop, authority, pair):
    app = shop.origin(tls=serving(pair), unix=True)
    gw = shop.lintel(over(app, authority=authority, server_name=NAME))
    assert gw.get().body == b"ok"


# ---- what we show ----

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate(shop, authority, pair, version):
    ours = authority.leaf("gateway.test")
    seen = []

    def script(peer):
        seen.append(peer.sock.getpeercert()["subject"])
        always(OK)(peer)
    app = shop.origin(script, tls=serving(pair, version, client_ca=authority.ca))
    gw = shop.lintel(over(app, authority=authority, certificate=str(ours[0]), key=str(ours[1])))
    assert gw.get().body == b"ok"
    assert seen == [((("commonName", "gateway.test"),),)]


@pytest.mark.parametrize("version,cause", [
    (ssl.TLSVersion.TLSv1_2, "server_tls_refused"),          # handshake_failure, whatever it is
    (ssl.TLSVersion.TLSv1_3, "server_refused_certificate")])  # certificate_required, which is late
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_misses_our_certificate(shop, authority, pair, version, cause, method):
    app = shop.origin(tls=serving(pair, version, client_ca=authority.ca))
    gw = shop.lintel(over(app, authority=authority))
    failed(gw, cause, detail="alert", error="tls_alert_received", method=method)
    assert not app.requests


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_does_not_trust_our_certificate(shop, authority, pair, version):
    ours = self_signed(shop.folder)
    app = shop.origin(tls=serving(pair, version, client_ca=authority.ca))
    gw = shop.lintel(over(app, authority=authority, certificate=str(ours[0]), key=str(ours[1])))
    failed(gw, "server_refused_certificate", detail="alert unknown ca")


# ---- servers that speak something else ----

def test_a_server_without_tls(shop, authority):
    app = shop.origin(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    gw = shop.lintel(over(app, authority=authority))
    failed(gw, "server_tls_missing", error="tls_protocol_error")


def test_a_server_that_says_nothing(shop, authority):
    app = shop.origin(lambda peer: peer.until_closed())
    gw = shop.lintel(over(app, authority=authority, app={"timeouts": {"connect": "300ms"}}))
    failed(gw, "server_tls_timeout", 504, error="connection_timeout")
    wait_until(lambda: all(p.closed.is_set() for p in app.peers), "our end of the connections")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_server_that_ends_in_the_handshake(shop, authority, end):
    def script(peer):
        peer.sock.recv(100)
        getattr(peer, end)()
    app = shop.origin(script)
    gw = shop.lintel(over(app, authority=authority))
    failed(gw, "server_tls_failed")


def test_a_server_with_an_old_version(shop, authority, pair):
    app = shop.origin(tls=serving(pair, ssl.TLSVersion.TLSv1_2))
    gw = shop.lintel(over(app, authority=authority, min_version="1.3"))
    failed(gw, "server_tls_refused", detail="protocol version")


def test_rubbish_instead_of_a_handshake(shop, authority):
    def script(peer):
        peer.send(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
        peer.until_closed()
    gw = shop.lintel(over(shop.origin(script), authority=authority))
    failed(gw, "server_tls_failed")


def test_alpn(shop, authority, pair):
    """http/1.1 is offered; a server without ALPN is fine, one that wants h2 only refuses."""
    chosen = []

    def script(peer):
        chosen.append(peer.sock.selected_alpn_protocol())
        always(OK)(peer)
    for alpn in (("h2", "http/1.1"), ()):
        gw = shop.lintel(over(shop.origin(script, tls=serving(pair, alpn=alpn)),
                              authority=authority))
        assert gw.get().body == b"ok"
    assert chosen == ["http/1.1", None]


# ---- other servers, other tries ----

@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_failed_handshake_is_tried_on_another_server(shop, authority, pair, method):
    bad = shop.origin(tls=serving(authority.leaf("other.test")))
    good = shop.echo("good", tls=serving(pair))
    gw = shop.lintel(over(bad, good, authority=authority, workers=1,
                          app={"balance": "round_robin"}))
    for _ in range(6):
        response = gw.get(method=method, body=b"x" if method == "POST" else None)
        assert json.loads(response.body)["app"] == "good"
    lines = gw.access(6, status=200)
    assert not any({"cause", "detail"} & set(line) for line in lines)
    assert max(line["tries"] for line in lines) == 2 and not bad.requests
    assert metric(gw, "upstream_tls_failed_total") >= 1


# ---- sessions and pooled connections ----

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_later_handshakes_resume(shop, authority, pair, version):
    reused = []

    def script(peer):
        reused.append(peer.sock.session_reused)
        peer.request()
        peer.send(OK)
        peer.sock.unwrap()
    app = shop.origin(script, tls=serving(pair, version))
    gw = shop.lintel(over(app, authority=authority, workers=1))
    for _ in range(8):
        assert gw.get().body == b"ok"
    assert reused == [False] + [True] * 7
    assert metric(gw, "upstream_tls_handshakes_total") == 8
    assert metric(gw, "upstream_tls_resumed_total") == 7


def test_sessions_can_be_switched_off(shop, authority, pair):
    reused = []

    def script(peer):
        reused.append(peer.sock.session_reused)
        answer(OK)(peer)
    gw = shop.lintel(over(shop.origin(script, tls=serving(pair)), authority=authority, workers=1,
                          sessions=0))
    assert [gw.get().body for _ in range(3)] == [b"ok"] * 3
    assert reused == [False] * 3


def test_tickets_after_the_response_do_not_end_an_idle_connection(shop, authority, pair):
    """TLS 1.3 servers send them when they like: they are no stray bytes."""
    app = shop.echo(tls=serving(pair, ssl.TLSVersion.TLSv1_3))
    gw = shop.lintel(over(app, authority=authority, workers=1))
    for method in ("GET", "POST", "POST", "GET", "POST"):
        told = json.loads(gw.get(method=method, body=b"x" if method == "POST" else None).body)
        assert told["connection"] == 0


def test_bytes_nobody_asked_for_end_an_idle_connection(shop, authority, pair):
    go = threading.Event()

    def script(peer):
        peer.request()
        peer.send(OK)
        go.wait(10)
        peer.send(OK)
        peer.until_closed()
    app = shop.origin(script, always(OK), tls=serving(pair))
    gw = shop.lintel(over(app, authority=authority, workers=1))
    assert gw.get().body == b"ok"
    go.set()
    wait_until(app.peers[0].closed.is_set, "the connection to be closed")
    assert gw.get().body == b"ok"
    assert len(app.peers) == 2


def test_a_reload_that_changes_nothing_keeps_connections_and_sessions(shop, authority, pair):
    app = shop.echo(tls=serving(pair))
    gw = shop.lintel(over(app, authority=authority, workers=1))
    gw.get()
    gw.reload()
    assert json.loads(gw.get().body)["connection"] == 0
    assert metric(gw, "upstream_tls_handshakes_total") == 1


@pytest.mark.parametrize("change", [
    {"server_name": NAME}, {"min_version": "1.3"}, {"verify": False}, {"enabled": False}])
def test_a_reload_with_other_settings_uses_no_old_connection(shop, authority, pair, change):
    app = shop.echo(tls=serving(pair))
    conf = over(app, authority=authority, workers=1)
    gw = shop.lintel(conf)
    assert json.loads(gw.get().body)["connection"] == 0
    tls = {"ca": str(authority.ca), **change}
    if change == {"verify": False}:
        del tls["ca"]
    conf["upstreams"]["app"]["tls"] = tls
    gw.reload(conf)
    if change == {"enabled": False}:
        assert gw.get().status == 502  # plain HTTP to a TLS port
        return
    assert json.loads(gw.get().body)["connection"] == 1
    assert metric(gw, "upstream_tls_resumed_total") == 0


def test_a_reload_with_another_authority_verifies_anew(shop, authority, pair, tmp_path):
    """What was believed under the old authority is believed no longer: no connection, no session."""
    app = shop.echo(tls=serving(pair))
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.ca.read_bytes())
    gw = shop.lintel(over(app, ca=str(ca), workers=1))
    assert gw.get().status == 200
    ca.write_bytes(self_signed(tmp_path)[0].read_bytes())
    gw.reload()
    failed(gw, "server_certificate_untrusted")


# ---- the PROXY protocol ----

@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_proxy_header_goes_before_tls(shop, authority, pair, version):
    headers = []
    tls = serving(pair)

    def script(peer):
        first = peer.sock.recv(16 if version == "v2" else 5)
        if version == "v2":
            first += peer.sock.recv(int.from_bytes(first[14:16], "big"))
        else:
            while not first.endswith(b"\r\n"):
                first += peer.sock.recv(1)
        headers.append(first)
        peer.sock = tls.wrap_socket(peer.sock, server_side=True)
        always(OK)(peer)
    gw = shop.lintel(over(shop.origin(script), authority=authority,
                          app={"proxy_protocol": version}))
    with gw.client() as client:
        for _ in range(2):
            assert client.request().body == b"ok"
    assert len(headers) == 2
    assert all(h.startswith(b"PROXY TCP4 127.0.0.1" if version == "v1" else b"\r\n\r\n\0\r\nQUIT")
               for h in headers)


# ---- ends ----

CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf a page"


def test_a_response_that_ends_with_close_notify_is_whole(shop, authority, pair):
    def script(peer):
        peer.request()
        peer.send(CLOSE)
        peer.sock.unwrap()
    gw = shop.lintel(over(shop.origin(script, tls=serving(pair)), authority=authority))
    assert gw.get().body == b"half a page"


def test_a_response_that_ends_without_close_notify_is_cut(shop, authority, pair):
    """Anybody on the way could have sent that FIN."""
    def script(peer):
        peer.request()
        peer.send(CLOSE)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.sock.close()
    gw = shop.lintel(over(shop.origin(script, tls=serving(pair)), authority=authority))
    with gw.client() as client:
        client.send(head("GET", "/"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    assert gw.access(cause="response_cut")


def test_a_response_with_a_length_needs_no_close_notify(shop, authority, pair):
    def script(peer):
        peer.request()
        peer.send(OK)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.sock.close()
    gw = shop.lintel(over(shop.origin(script, tls=serving(pair)), authority=authority))
    assert [gw.get().body for _ in range(3)] == [b"ok"] * 3


def test_an_idle_connection_that_ends_is_replaced(shop, authority, pair):
    """Also for a POST: its end, with or without close_notify, was there before."""
    def script(peer):
        peer.request()
        peer.send(OK)
        if peer.number % 2:
            peer.sock.unwrap()
        peer.sock.close()
    app = shop.origin(script, tls=serving(pair))
    gw = shop.lintel(over(app, authority=authority))
    for i in range(6):
        assert gw.get(method="POST", body=b"x").body == b"ok"
        wait_until(app.peers[i].closed.is_set, "the end of the connection")


def test_a_slow_client_holds_back_a_server(shop, authority, pair):
    size = 40 << 20
    sent = []

    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        block = bytes(1 << 16)
        for _ in range(size >> 16):
            peer.send(block)
            sent.append(len(block))
    gw = shop.lintel(over(shop.origin(script, tls=serving(pair)), authority=authority))
    with gw.client() as client:
        client.send(head("GET", "/"))
        wait_until(lambda: len(sent) > 10, "a part of the response")
        before = -1
        while before != len(sent):
            before = len(sent)
            threading.Event().wait(0.5)
        assert sum(sent) < size / 2
        assert len(client.response().body) == size


def test_websockets_pass(shop, authority, pair):
    def script(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        while data := peer.sock.recv(65536):
            peer.sock.sendall(data)
    gw = shop.lintel(over(shop.origin(script, tls=serving(pair)), authority=authority))
    with gw.client() as client:
        client.send(head("GET", "/", {"Connection": "upgrade", "Upgrade": "websocket"}))
        assert not client.reader.at_end() and client.reader.response_head().status == 101
        for piece in (b"a", pattern(100_000)):
            client.send(piece)
            got = b""
            while len(got) < len(piece):
                got += client.sock.recv(65536)
            assert got == piece


# ---- configuration ----

def refused(shop, conf, *texts):
    file = shop.folder / "checked.yaml"
    file.write_text(text_of(conf))
    done = command("check", "-c", str(file))
    assert done.returncode == 1
    for text in texts:
        assert text in done.stderr, done.stderr


def test_what_a_configuration_may_not_say(shop, authority, pair):
    tcp = {"address": "127.0.0.1:1"}
    refused(shop, basic({"address": "unix:/x.sock"}, app={"tls": True}),
            "TLS needs the name of the server behind this Unix socket", "server_name: NAME")
    refused(shop, basic(tcp, app={"tls": {"ca": "/no/such.pem"}}),
            "/no/such.pem: No such file or directory")
    refused(shop, basic(tcp, app={"tls": {"ca": str(pair[1])}}),
            "holds no certificate in PEM form")
    refused(shop, basic(tcp, app={"tls": {"certificate": str(pair[0])}}),
            "there is a certificate but no key")
    refused(shop, basic(tcp, app={"tls": {"key": str(pair[1]), "pin": ["sha256/xyz"]}}),
            "there is a key but no certificate", "a pin is \"sha256/\" and the base64 of 32 bytes")
    refused(shop, basic(tcp, app={"tls": {"server_name": "https://a.test"}}),
            "is neither a host name nor an IP address")
    refused(shop, basic(tcp, app={"tls": {"verify": False, "ca": str(authority.ca)}}),
            "no authority is asked")
    other = authority.leaf("other.test")
    refused(shop, basic(tcp, app={"tls": {"certificate": str(pair[0]), "key": str(other[1])}}),
            "the key doesn't belong to the certificate")


def test_defaults_hold_for_all_upstreams_and_can_be_switched_off(shop, authority, pair):
    safe, plain = shop.origin(tls=serving(pair)), shop.origin()
    conf = basic(safe, routes=[{"match": "/plain", "to": "plain"}, {"match": "/*", "to": "app"}])
    conf["defaults"] = {"upstream": {"tls": {"ca": str(authority.ca)}}}
    conf["upstreams"]["plain"] = {"servers": [plain.address], "tls": False}
    gw = shop.lintel(conf)
    assert gw.get("/").body == b"ok" and gw.get("/plain").body == b"ok"
    assert len(safe.requests) == len(plain.requests) == 1


# ---- application servers as their users start them ----

APP = '''
import hashlib

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    digest, more = hashlib.sha256(), True
    while more:
        event = await receive()
        digest.update(event.get("body", b""))
        more = event.get("more_body", False)
    size = int(scope["path"].rpartition("/")[2] or 0)
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"x-digest", digest.hexdigest().encode()),
                            (b"x-scheme", scope["scheme"].encode())]})
    for i in range(0, size, 65536):
        await send({"type": "http.response.body", "body": bytes(min(65536, size - i)),
                    "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def wsgi(environ, start):
    digest = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
    size = int(environ["PATH_INFO"].rpartition("/")[2] or 0)
    start("200 OK", [("X-Digest", digest), ("X-Scheme", environ["wsgi.url_scheme"]),
                     ("Content-Length", str(size))])
    return [bytes(size)]
'''


@pytest.fixture(params=["uvicorn", "gunicorn"])
def application(request, shop, pair):
    """An application server with a certificate: (preset, address)."""
    folder = shop.folder
    (folder / "app.py").write_text(APP)
    cert, key = map(str, pair)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    fd, address = sock.fileno(), f"127.0.0.1:{sock.getsockname()[1]}"
    args = (["uvicorn", "--fd", str(fd), "--ssl-certfile", cert, "--ssl-keyfile", key,
             "--log-level", "warning", "app:app"] if request.param == "uvicorn" else
            ["gunicorn", "--bind", f"fd://{fd}", "--certfile", cert, "--keyfile", key,
             "--log-level", "warning", "app:wsgi"])
    process = subprocess.Popen([sys.executable, "-m", *args], cwd=folder, pass_fds=(fd,),
                               env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    sock.close()

    def end():
        process.terminate()
        process.wait(20)
    shop.finally_(end)
    return request.param, address


def test_application_servers_with_certificates(shop, authority, application):
    preset, address = application
    gw = shop.lintel(over({"address": address}, authority=authority,
                          app={"preset": preset, "timeouts": {"connect": "20s"}}))
    big = pattern(5 << 20)
    with gw.client() as client:
        for _ in range(3):
            assert len(client.request(target="/bytes/3000000").body) == 3_000_000
            posted = client.request("POST", target="/0", body=big)
            assert posted.headers.get("x-digest") == hashlib.sha256(big).hexdigest()
            assert posted.headers.get("x-scheme") in ("http", "https")
    assert not [line for line in gw.access(6) if "cause" in line]
