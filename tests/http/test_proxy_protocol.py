# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol, from balancers in front of Lintel and towards servers behind it."""
import json
import shutil
import socket
import struct
import subprocess
import time

import pytest

from lib.client import Client, connect, head, tls_trust
from lib.configs import basic, with_tls
from lib.origin import OK
from lib.prometheus import Metrics
from lib.wait import wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n"


def v2(source="192.0.2.1", port=4711, command=0x21, tlvs=b""):
    v6 = ":" in source
    family = socket.AF_INET6 if v6 else socket.AF_INET
    target = "2001:db8::2" if v6 else "198.51.100.2"
    body = (socket.inet_pton(family, source) + socket.inet_pton(family, target)
            + struct.pack(">HH", port, 443) + tlvs)
    return SIGNATURE + bytes([command, 0x21 if v6 else 0x11]) + struct.pack(">H", len(body)) + body


def config(origin, mode="accept", /, trust=("127.0.0.0/8",), **top):
    made = basic(origin, trust=list(trust), log={"fields": {"port": "client.port"}}, **top)
    made["listen"][0].update({"proxy_protocol": mode, "timeouts": {"proxy_header": "500ms"}})
    return made


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def accepting(shared, app):
    return shared.lintel(config(app))


@pytest.fixture(scope="module")
def requiring(shared, app):
    return shared.lintel(config(app, "require"))


@pytest.fixture(scope="module")
def wary(shared, app):
    """Believes nobody who connects here."""
    return shared.lintel(config(app, "require", trust=["192.0.2.0/24"]))


def asked(gateway, header, target="/", fields=(), bytewise=False):
    """What the application saw of a request behind that header."""
    with gateway.client() as client:
        client.send(header + head("GET", target, fields), bytewise)
        response = client.response()
        assert response.status == 200, response
        return dict((n.lower(), v) for n, v in json.loads(response.body)["headers"])


def refusals(gateway):
    return Metrics(gateway.admin("/metrics").body.decode()).sum("lintel_proxy_header_refused_total")


def ended(gateway, data, cause, bytewise=False):
    """The connection is ended without a word, counted, and told once in a while."""
    before = refusals(gateway)
    with gateway.client() as client:
        client.send(data, bytewise)
        assert client.ends()
    assert refusals(gateway) == before + 1
    if cause is not None:
        event = gateway.wait_event("proxy_header_refused", cause=cause)
        assert event["peer"].startswith("127.0.0.1:")


# ---- from balancers ----

@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("header, ip, port", [
    (V1, "192.0.2.1", "4711"),
    (b"PROXY TCP6 2001:db8::7 ::1 1234 80\r\n", "2001:db8::7", "1234"),
    (v2(), "192.0.2.1", "4711"),
    (v2("2001:db8::7", 99), "2001:db8::7", "99"),
    (v2(tlvs=b"\x02\0\x0bexample.com" + b"\x20\0\x05" + bytes(5)), "192.0.2.1", "4711"),
], ids=["v1", "v1-ipv6", "v2", "v2-ipv6", "v2-tlvs"])
def test_the_client_is_who_the_header_says(requiring, header, ip, port, bytewise):
    target = f"/{ip}/{port}/{bytewise}/{len(header)}"
    seen = asked(requiring, header, target, bytewise=bytewise)
    assert seen["x-forwarded-for"] == ip
    assert seen["x-forwarded-proto"] == "http"
    line = requiring.access(path=target)[0]
    assert (line["client"], line["port"], line["peer"]) == (ip, port, "127.0.0.1")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1.2.3.4 more\r\n",
                                    v2(command=0x20), SIGNATURE + b"\x21\0\0\0"],
                         ids=["unknown", "unknown-more", "local", "unspecified"])
def test_a_header_that_names_nobody_leaves_the_sockets_address(requiring, header):
    assert asked(requiring, header)["x-forwarded-for"] == "127.0.0.1"


def test_several_requests_on_one_connection_have_the_same_client(requiring):
    with requiring.client() as client:
        client.send(V1 + head("GET", "/1") + head("GET", "/2"))
        for _ in range(2):
            assert "192.0.2.1" in client.response().body.decode()


def test_a_named_client_is_not_believed_about_other_clients(requiring):
    """Its X-Forwarded-For counts only if the header's own address is in `trust`."""
    seen = asked(requiring, V1, "/forged", {"X-Forwarded-For": "203.0.113.9"})
    assert seen["x-forwarded-for"] == "192.0.2.1"
    assert requiring.access(path="/forged")[0]["client"] == "192.0.2.1"


def test_a_trusted_proxy_behind_the_balancer_is_believed(requiring):
    header = b"PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n"
    seen = asked(requiring, header, "/chain", {"X-Forwarded-For": "6.6.6.6, 203.0.113.9"})
    assert seen["x-forwarded-for"] == "6.6.6.6, 203.0.113.9, 127.0.0.9"
    assert requiring.access(path="/chain")[0]["client"] == "203.0.113.9"


def test_filters_see_the_named_client(shop, app):
    made = config(app, filters={"few": {"filter": "rate_limit", "key": "client.ip",
                                        "rate": "1/1h", "burst": 0}})
    made["sites"][0]["filters"] = ["few"]
    gw = shop.lintel(made)

    def status(ip):
        with gw.client() as client:
            client.send(v2(ip) + head("GET", "/"))
            return client.response().status
    assert [status(ip) for ip in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [200, 429, 200]


def test_a_header_may_be_left_out_where_it_is_only_accepted(accepting):
    for method in ("GET", "POST", "PROPFIND", "PUT"):
        with accepting.client() as client:
            assert client.request(method, body=b"").status in (200, 501)
    with accepting.client() as client:
        client.send(head("POST", "/slowly", {"Content-Length": "0"}), bytewise=True)
        assert client.response().status == 200


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\nGET / HTTP/1.1\r\n\r\n",
    b"PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n",
    b"PROXY UNKNOWN " + b"a" * 200,
    SIGNATURE + b"\x21\x11\xff\xff",
    SIGNATURE + b"\x21\x11\0\x04abcd",
    SIGNATURE + b"\x31\x11\0\0",
], ids=["none", "bare-lf", "nul", "long-line", "long-block", "short", "version"])
def test_what_is_no_header_ends_the_connection(requiring, data, bytewise):
    ended(requiring, data, None, bytewise)


@pytest.mark.parametrize("data, cause", [
    (b"GET / HTTP/1.1\r\n\r\n", "proxy_header_missing"),
    (b"PROXY TCP9 a b 1 2\r\n", "proxy_header_invalid"),
    (b"", "proxy_header_timeout"),
    (b"PROXY TCP4 192.0.2.1 ", "proxy_header_timeout"),
    (SIGNATURE + b"\x21\x11\0\x0c", "proxy_header_timeout")],
    ids=["missing", "invalid", "silent", "v1-part", "v2-part"])
def test_each_refusal_has_its_cause(shop, app, data, cause):
    gw = shop.lintel(config(app, "require"))
    began = time.monotonic()
    ended(gw, data, cause)
    if cause == "proxy_header_timeout":
        assert 0.4 < time.monotonic() - began < 3


def test_who_is_not_trusted_may_not_name_a_client(wary):
    ended(wary, V1 + head("GET", "/"), "proxy_peer_untrusted")


def test_a_header_of_an_untrusted_peer_is_a_bad_request(shop, app):
    gw = shop.lintel(config(app, "accept", trust=["192.0.2.0/24"]))
    with gw.client() as client:
        client.send(V1 + head("GET", "/"))
        assert client.response().status == 400
    with gw.client() as client:
        assert client.request().status == 200
    assert refusals(gw) == 0


def test_a_listener_without_the_option_reads_no_header(shop, app):
    gw = shop.lintel(basic(app, trust=["127.0.0.0/8"]))
    with gw.client() as client:
        client.send(V1 + head("GET", "/"))
        assert client.response().status == 400


def test_a_balancer_that_only_looks_is_not_told_of(requiring):
    before, told = refusals(requiring), len(requiring.events("proxy_header_refused"))
    for data in (b"", b"PROXY TC"):
        with requiring.client() as client:
            client.send(data)
            client.finish_sending()
            assert client.ends()
    assert (refusals(requiring), len(requiring.events("proxy_header_refused"))) == (before, told)


def test_whoever_reaches_a_unix_socket_is_believed(shop, app):
    made = config(app, "require", trust=[])
    path = shop.folder / "front.sock"
    made["listen"][0]["address"] = f"unix:{path}"
    gw = shop.lintel(made)
    assert asked(gw, V1)["x-forwarded-for"] == "192.0.2.1"
    assert gw.access()[0]["peer"] == "unix"


def test_connections_that_wait_for_their_header_count_and_drain(shop, app):
    made = config(app, "require")
    made["listen"][0].update({"max_connections": 2, "timeouts": {"proxy_header": "1m"}})
    made["drain"] = {"timeout": "300ms"}
    gw = shop.lintel(made)
    waiting = [connect(gw.plain) for _ in range(2)]
    with gw.client() as client:
        assert client.response().status == 503
    waiting.pop().close()

    def served():
        with gw.client() as client:
            client.send(V1 + head("GET", "/"))
            return client.response().status == 200
    wait_until(served, "room for another connection")
    gw.stop()
    waiting[0].close()


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("header", [V1, v2()], ids=["v1", "v2"])
def test_tls_begins_behind_the_header(shop, app, authority, header, bytewise):
    made = with_tls(config(app), *authority.leaf("localhost"))
    made["listen"][1]["proxy_protocol"] = "require"
    gw = shop.lintel(made)
    with Client(gw.secure) as client:
        client.send(header, bytewise)
        client.sock = tls_trust(authority.ca).wrap_socket(client.sock, server_hostname="localhost")
        client.send(head("GET", "/"))
        seen = dict((n.lower(), v) for n, v in json.loads(client.response().body)["headers"])
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("192.0.2.1", "https")


# ---- towards servers ----

def naming(peer):
    """Reads a PROXY header, then answers one request after the other."""
    data = bytearray()
    if peer.sock.recv(1, socket.MSG_PEEK) == b"P":
        while not data.endswith(b"\r\n"):
            data += peer.sock.recv(1)
    else:
        while len(data) < 16 or len(data) < 16 + struct.unpack(">H", data[14:16])[0]:
            data += peer.sock.recv(1)
    peer.origin.named.append(bytes(data))
    while True:
        peer.request()
        peer.send(OK)


@pytest.fixture
def told(shop):
    origin = shop.origin(naming)
    origin.named = []
    return origin


def test_servers_are_told_by_version_1(shop, told):
    gw = shop.lintel(basic(told, app={"proxy_protocol": "v1"}))
    with gw.client() as client:
        port = client.sock.getsockname()[1]
        for _ in range(3):
            assert client.request().status == 200
    line = f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {gw.plain[1]}\r\n".encode()
    assert told.named == [line] * 3  # a connection for each request


def test_servers_are_told_by_version_2(shop, told):
    gw = shop.lintel(basic(told, app={"proxy_protocol": "v2"}))
    with gw.client() as client:
        ports = struct.pack(">HH", client.sock.getsockname()[1], gw.plain[1])
        assert client.request("POST", body=b"x" * 100000).status == 200
    ip = bytes([127, 0, 0, 1])
    assert told.named == [SIGNATURE + b"\x21\x11\0\x0c" + ip + ip + ports]


def test_the_client_by_trust_is_passed_on(shop, told):
    gw = shop.lintel(config(told, app={"proxy_protocol": "v1"}))
    assert gw.get().status == 200
    with gw.client() as client:
        client.send(b"PROXY TCP6 2001:db8::7 2001:db8::8 1234 80\r\n" + head("GET", "/"))
        assert client.response().status == 200
    assert gw.get(headers={"X-Forwarded-For": "203.0.113.9"}).status == 200
    port = gw.plain[1]
    assert told.named[1] == f"PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 1234 {port}\r\n".encode()
    assert told.named[2] == f"PROXY TCP4 203.0.113.9 127.0.0.1 0 {port}\r\n".encode()


@pytest.mark.parametrize("version, header", [("v1", b"PROXY UNKNOWN\r\n"),
                                             ("v2", SIGNATURE + b"\x21\0\0\0")])
def test_a_client_without_address_is_unknown(shop, told, version, header):
    made = basic(told, app={"proxy_protocol": version})
    made["listen"][0]["address"] = f"unix:{shop.folder / 'front.sock'}"
    gw = shop.lintel(made)
    assert gw.get().status == 200
    assert told.named == [header]


def test_another_try_begins_with_the_header_again(shop, told):
    def dying(peer):
        peer.reset()
    broken = shop.origin(dying)
    gw = shop.lintel(basic(broken, told, app={"proxy_protocol": "v1", "balance": "round_robin"}))
    assert [gw.get().status for _ in range(2)] == [200, 200]
    assert len(told.named) == 2


def test_lintel_understands_lintel(shop, app):
    inner = shop.lintel(config(app, "require"))
    host, port = inner.plain
    outer = shop.lintel(config({"address": f"{host}:{port}"}, "require",
                               app={"proxy_protocol": "v2"}))
    assert asked(outer, v2("2001:db8::7"), "/both")["x-forwarded-for"] == "2001:db8::7"
    assert inner.access(path="/both")[0]["client"] == "2001:db8::7"


# ---- real programs ----

def run_haproxy(shop, text):
    """Starts HAProxy and stops it with the workshop."""
    path = shop.folder / "haproxy.cfg"
    path.write_text("defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n"
                    " timeout server 10s\n" + text)
    process = subprocess.Popen(["haproxy", "-db", "-f", path], stderr=subprocess.DEVNULL)

    def stop():
        process.terminate()
        process.wait(10)
    shop.finally_(stop)
    return process


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def answers(address):
    try:
        with Client(address) as client:
            return client.request().status == 200
    except OSError:
        return False


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2",
                                    "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_in_front(shop, requiring, option):
    port, (host, lintel) = free_port(), requiring.plain
    run_haproxy(shop, f"listen l\n bind 127.0.0.1:{port}\n unique-id-format %pid\n"
                      f" server s {host}:{lintel} {option}\n")
    wait_until(lambda: answers(("127.0.0.1", port)), "HAProxy to answer")
    with Client(("127.0.0.1", port)) as client:
        mine = client.sock.getsockname()[1]
        target = f"/haproxy/{mine}"
        assert client.request(target=target).status == 200
    line = requiring.access(path=target)[0]
    assert (line["client"], line["port"]) == ("127.0.0.1", str(mine))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_behind(shop, app, version):
    port = free_port()
    run_haproxy(shop, f"listen l\n mode http\n bind 127.0.0.1:{port} accept-proxy\n"
                      " option forwardfor header x-seen\n"
                      f" server s 127.0.0.1:{app.port}\n")
    gw = shop.lintel(config({"address": f"127.0.0.1:{port}"}, app={"proxy_protocol": version}))

    def seen():
        with gw.client() as client:
            client.send(V1 + head("GET", "/"))
            response = client.response()
            return response.status == 200 and response.body.decode()
    fields = dict((n.lower(), v) for n, v in json.loads(
        wait_until(seen, "HAProxy to answer"))["headers"])
    assert fields["x-seen"] == "192.0.2.1"


def test_curl_says_who_it_is(requiring):
    assert shutil.which("curl")
    host, port = requiring.plain
    done = subprocess.run(["curl", "-sS", "--haproxy-protocol", f"http://{host}:{port}/curl"],
                          capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(done.stdout)["target"] == "/curl"
    assert requiring.access(path="/curl")[0]["client"] == "127.0.0.1"
