# SPDX-License-Identifier: Apache-2.0
"""Clients and servers that mean harm or break down at the worst moment. Whatever they do, Lintel goes
on, gives back what it took, rests when there is nothing to do, and says what happened."""
import json
import os
import random
import resource
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from lib.client import Client, Closed, Cut, chunked, head, tls_trust
from lib.configs import basic, upstream, with_tls
from lib.gateway import slowness
from lib.origin import OK, always
from lib.prometheus import Metrics
from lib.strict_h1 import Malformed
from lib.wait import wait_until


def metrics(gw):
    return Metrics(gw.admin("/metrics").body.decode())


def in_flight(gw):
    """Exchanges at servers that have a `max`."""
    status = json.loads(gw.admin("/status").body)
    return sum(s.get("in_flight", 0) for u in status["upstreams"] for s in u["servers"])


def cpu_seconds(pid):
    """CPU time that a process has used, over all of its threads."""
    with open(f"/proc/{pid}/stat", "rb") as f:
        fields = f.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def high_water(pid):
    """The most memory that a process has had."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))


def settles(gw, connections=0):
    """All that was taken comes back, and nobody works while there is no work."""
    def given_back():
        now = metrics(gw)
        return (now.sum("lintel_connections") == connections and now.sum("lintel_exchanges") == 0
                and in_flight(gw) == 0)
    wait_until(given_back, "connections, exchanges and slots to be given back")
    pid = gw.gateway_pid()
    before = cpu_seconds(pid)
    time.sleep(0.3)
    assert cpu_seconds(pid) - before < 0.15


def outcome(client, method="GET"):
    """The status of a response, or how the connection ended."""
    try:
        return client.response(method).status
    except (Closed, Cut, ConnectionResetError) as end:
        return type(end).__name__


# ---- A message that ends at each of its bytes ----

REQUESTS = {
    "get": head("GET", "/r/get"),
    "length": head("POST", "/r/length", {"Content-Length": "5"}) + b"hello",
    "chunked": head("POST", "/r/chunked", {"Transfer-Encoding": "chunked"})
               + chunked(b"hel", b"lo", trailers=[("X-Sum", "1")]),
    "expect": head("PUT", "/r/expect", {"Content-Length": "2", "Expect": "100-continue"}) + b"ab",
}


@pytest.fixture(scope="module")
def echo_gw(shared):
    app = shared.echo()
    return shared.lintel(basic({"address": app.address, "max": 3}))


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_ends_at_each_byte(echo_gw, name, how):
    """A request that is cut reaches nobody as a whole one; a whole one is answered."""
    request = REQUESTS[name]
    for at in range(len(request) + 1):
        with echo_gw.client() as client:
            client.send(request[:at])
            if how == "reset":
                client.reset()
            elif how == "half":
                client.finish_sending()
                if name == "expect" and request.index(b"\r\n\r\n") + 4 <= at < len(request):
                    continue  # a 100 may come first
                whole = at == len(request)
                assert (outcome(client) == 200) == whole, f"cut at {at}"
    settles(echo_gw)


RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n"
               b"0\r\nX-Sum: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"
               b"Content-Length: 2\r\n\r\nok",
    "empty": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("how", ["close", "reset", "shut"])
@pytest.mark.parametrize("name", RESPONSES)
def test_a_server_that_dies_at_each_byte(shop, name, how):
    """The client learns that the response is cut, or gets a 502, and each time the cause is told."""
    response = RESPONSES[name]
    def script(peer):
        request = peer.request()
        at = int(request.target[1:])
        peer.send(response[:at])
        if how == "reset":
            peer.reset()
        elif how == "shut":
            peer.sock.shutdown(socket.SHUT_WR)
            peer.until_closed()
    app = shop.origin(script)
    gw = shop.lintel(basic({"address": app.address, "max": 2}, app={"retry": {"attempts": 1}}))
    for at in range(len(response) + 1):
        with gw.client() as client:
            client.send(head("GET", f"/{at}"))
            got = outcome(client)
            if at == len(response) and how != "reset":
                assert got in (200, 204)
            elif at < len(response):
                assert got in (502, "Cut", "ConnectionResetError", "Closed"), f"cut at {at}"
    lines = {e["path"]: e for e in gw.access(len(response) + 1)}
    for at in range(len(response)):
        cause = lines[f"/{at}"].get("cause")
        assert cause in ("closed_before_response", "reset_before_response", "response_cut"), at
    settles(gw)


# ---- Back-pressure and slow readers ----

def test_pipelined_requests_of_a_client_that_does_not_read_wait(shop):
    """Their answers must not fill the memory that all connections share."""
    config = basic(routes=[{"match": "/big", "respond": {"status": 200, "body": "x" * 4000}},
                           {"match": "/*", "respond": {"status": 200, "body": "ok"}}],
                   limits={"buffers": {"total": "2M"}})
    gw = shop.lintel(config)
    greedy = gw.client(timeout=1)
    greedy.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    requests, sent = head("GET", "/big") * 1000, 0
    try:
        while sent < 500:
            greedy.sock.sendall(requests)
            sent += 1
    except TimeoutError:
        pass
    assert sent < 500
    assert not [e for e in gw.stdout.objects() if e.get("cause")]
    greedy.sock.settimeout(10)
    for _ in range(200):
        assert len(greedy.response().body) == 4000
    assert gw.get().status == 200
    greedy.close()
    settles(gw)


def test_many_requests_at_once_do_not_take_memory_all_at_once(shop):
    """40 clients send 2,000 tiny requests each before any is looked at."""
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": {"status": 204}}], workers=1,
                           log={"access": "none"}),
                     env={"ASAN_OPTIONS": "exitcode=99:quarantine_size_mb=1"})
    clients = [gw.client() for _ in range(40)]
    for client in clients:
        client.send(head("GET", "/"))
        assert client.response().status == 204
    pid = gw.gateway_pid()
    before = high_water(pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        for client in clients:
            client.send(head("GET", "/", host="a") * 2000)
    finally:
        os.kill(pid, signal.SIGCONT)
    for client in clients:
        assert [client.response().status for _ in range(2000)] == [204] * 2000
        client.close()
    assert high_water(pid) - before < 100 << 20
    settles(gw)


def test_a_client_that_reads_slowly_but_reads_is_not_cut_off(shop):
    """The write time-out is for clients that stopped reading."""
    size = 12 << 20
    app = shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)))
    config = basic(app)
    config["listen"][0]["timeouts"] = {"write": "500ms"}
    gw = shop.lintel(config)
    with gw.client() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(head("GET", "/"))
        got, end = 0, time.monotonic() + 2.5
        while time.monotonic() < end:
            got += len(client.sock.recv(16384))
            time.sleep(0.05)
        assert got < size
        while got < size:
            data = client.sock.recv(65536)
            assert data, f"cut after {got} bytes"
            got += len(data)
    assert "cause" not in gw.access()[0]


def test_many_slow_readers_share_the_memory_for_bodies(shop):
    """When it gets scarce, servers are read more slowly; no response is cut for it."""
    size = 8 << 20
    app = shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)))
    gw = shop.lintel(basic(app, limits={"buffers": {"total": "4M"}}))
    clients = [gw.client() for _ in range(16)]
    for client in clients:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(head("GET", "/"))
    wait_until(lambda: len(app.requests) == 16, "all requests at the server")
    time.sleep(1)
    for client in clients:
        assert len(client.response().body) == size
        client.close()
    assert not [e for e in gw.access(16) if e.get("cause")]
    settles(gw)


def test_many_slow_uploads_share_the_memory_for_bodies(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, limits={"buffers": {"total": "1M"}}))
    clients = [gw.client() for _ in range(16)]
    for client in clients:
        client.send(head("POST", "/", {"Content-Length": "300000"}) + bytes(150_000))
    time.sleep(0.5)
    for client in clients:
        client.send(bytes(150_000))
    assert [c.response().status for c in clients] == [200] * 16
    for client in clients:
        client.close()
    settles(gw)


def test_an_upload_paused_while_memory_was_scarce_goes_on_when_it_is_not(shop):
    """More may be held than when it was paused: it must not wait for what it doesn't read."""
    size = 16 << 20
    app = shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)))
    echo = shop.echo()
    (shop.folder / "late.lua").write_text(
        "local f = {}\nfunction f.request(ctx) ctx:sleep(1.5) end\nreturn f\n")
    gw = shop.lintel(basic(app, workers=1, limits={"buffers": {"total": "1M"}},
                           upstreams={"app": upstream(app), "echo": upstream(echo)},
                           filters={"late": {"filter": "late"}},
                           routes=[{"match": "/up", "to": "echo", "filters": ["late"]},
                                   {"match": "/*", "to": "app"}]),
                     env={"LINTEL_SCRIPTS": str(shop.folder)})
    hogs = [gw.client() for _ in range(16)]
    for client in hogs:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(head("GET", "/"))
    wait_until(lambda: len(app.requests) == 16, "all requests at the server")
    time.sleep(0.3)
    with gw.client() as client:
        client.send(head("POST", "/up", {"Content-Length": "100000"}) + bytes(100_000))
        time.sleep(0.5)
        for hog in hogs:
            hog.reset()
        assert outcome(client) == 200
    settles(gw)


# ---- The server's failures ----

def test_a_retry_that_succeeds_leaves_no_error_in_the_log(shop):
    app, refusing = shop.echo(), shop.refusing()
    gw = shop.lintel(basic(refusing, app, app={"balance": "round_robin"}))
    for _ in range(4):
        assert gw.get().status == 200
    assert any(e.get("recovered") == "connect_refused_by_server" for e in gw.access(4))
    assert not any("error" in e or "cause" in e for e in gw.access(4))


def test_a_client_that_is_slow_with_its_body_is_not_the_servers_fault(shop):
    """The time for the first byte runs only once the server has the whole request."""
    app = shop.echo()
    gw = shop.lintel(basic(app, app={"timeouts": {"first_byte": "300ms"}},
                           site={"body": {"stream": True}}))
    size = 400_000
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": str(size)}) + bytes(size - 10))
        wait_until(lambda: app.received() > size // 2, "the body on its way to the server")
        time.sleep(0.8)
        client.send(bytes(10))
        assert client.response().status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_the_time_for_the_first_byte_begins_when_the_request_has_left(shop, stream):
    """While a server takes the body slowly it is timeouts.idle that counts."""
    def slow(peer):
        request = peer.request_head()
        peer.pause(1)
        peer.reader.request_body(request)
        peer.send(OK)
    gw = shop.lintel(basic(shop.origin(slow), app={"timeouts": {"first_byte": "500ms"}},
                           site={"body": {"max": "24M", "stream": stream}}))
    with gw.client() as client:
        assert client.request("POST", body=bytes(24 << 20)).status == 200


def test_a_post_does_not_use_an_idle_connection_that_the_server_has_closed(shop):
    """The close is in the socket already when the request comes, in the same turn of the loop."""
    def once(peer):
        peer.request()
        peer.send(OK)
        close.wait(10)
    close = threading.Event()
    app = shop.origin(once, always(OK))
    gw = shop.lintel(basic(app, workers=1))
    with gw.client() as client:
        assert client.request().status == 200
        pid = gw.gateway_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            close.set()
            app.peers[0].closed.wait(5)
            time.sleep(0.1)
            client.send(head("POST", "/", {"Content-Length": "1"}) + b"x")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert client.response().status == 200


# ---- Draining ----

def test_requests_that_are_there_when_draining_begins_are_answered(shop):
    """On connections that idled and on ones that wait to be accepted."""
    app = shop.echo()
    gw = shop.lintel(basic(app, workers=1, drain={"delay": "0s", "timeout": "5s"}))
    idle = [gw.client() for _ in range(20)]
    for client in idle:
        assert client.request().status == 200
    pid = gw.gateway_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        gw.signal(signal.SIGTERM)
        time.sleep(0.3)
        fresh = [gw.client() for _ in range(20)]
        for client in idle + fresh:
            client.send(head("GET", "/"))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [outcome(c) for c in idle + fresh] == [200] * 40
    for client in idle + fresh:
        client.close()
    gw.ended(0)


def test_a_response_that_waits_for_its_client_when_draining_begins_arrives_whole(shop):
    """Of some sizes the last part waits here, though for the exchange all has been sent."""
    sizes = range(2 << 20, 7 << 20, 256 << 10)

    def script(peer):
        while True:
            size = int(peer.request().target[1:])
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
    gw = shop.lintel(basic(shop.origin(script), drain={"delay": "0s", "timeout": "5s"}))
    clients = [gw.client() for _ in sizes]
    for client, size in zip(clients, sizes):
        client.send(head("GET", f"/{size}"))
    time.sleep(0.7)
    gw.signal(signal.SIGTERM)
    gw.wait_event("draining")
    time.sleep(0.3)
    for client, size in zip(clients, sizes):
        assert len(client.response().body) == size
        client.close()
    gw.ended(0)


# ---- No descriptors ----

def limit_files(pid, more):
    """Lets a process open so many files more."""
    soft = len(os.listdir(f"/proc/{pid}/fd")) + more
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_flood_of_connections_takes_all_descriptors_and_rests(shop):
    """What can't be accepted waits in the kernel, without a spin, and is served later. A request
    for which no descriptor is left is answered, and the server isn't blamed."""
    app = shop.echo()
    gw = shop.lintel(basic(app, app={"keepalive": {"max": 0}}, workers=1))
    gw.allowed.add("accept_failed")
    pid = gw.gateway_pid()
    limit_files(pid, 8)
    clients = [gw.client() for _ in range(20)]
    gw.wait_event("accept_failed")
    before = cpu_seconds(pid)
    time.sleep(0.5)
    assert cpu_seconds(pid) - before < 0.15
    assert clients[0].request().status == 503
    line = gw.access(cause="no_descriptors")[0]
    assert line["stage"] == "connect" and line["status"] == 503
    for client in clients[:16]:
        client.close()
    for client in clients[16:]:
        wait_until(lambda c=client: c.request().status == 200, "a descriptor")
    for client in clients:
        client.close()
    settles(gw)


def test_an_idle_connection_makes_room_when_descriptors_are_short(shop):
    """A connection kept for one server is given up for a request to another one."""
    one, two = shop.echo("one"), shop.echo("two")
    gw = shop.lintel(basic(one, workers=1, upstreams={"one": upstream(one), "two": upstream(two)},
                           routes=[{"match": "/one", "to": "one"}, {"match": "/two", "to": "two"}]))
    gw.allowed.add("accept_failed")  # Linux looks for a free descriptor before it looks for a connection
    with gw.client() as client:
        assert client.request(target="/one").status == 200
        limit_files(gw.gateway_pid(), 0)
        for _ in range(3):
            assert client.request(target="/two").status == 200
            assert client.request(target="/one").status == 200


# ---- Reloads in the middle ----

def test_a_server_that_is_removed_and_comes_back_while_it_works_keeps_its_slots(shop):
    """Slots are counted by the server's name, over all configurations."""
    gate = threading.Event()

    def slow(peer):
        while True:
            peer.request()
            gate.wait(20)
            peer.send(OK)
    app, other = shop.origin(slow), shop.echo()
    server = {"address": app.address, "max": 2}
    gw = shop.lintel(basic(server))
    busy = [gw.client() for _ in range(2)]
    for client in busy:
        client.send(head("GET", "/"))
    wait_until(lambda: len(app.requests) == 2, "the requests at the server")
    gw.reload(basic(other))
    assert gw.get().status == 200
    gw.reload(basic(server))
    assert in_flight(gw) == 2
    assert gw.get().status == 503
    gate.set()
    assert [c.response().status for c in busy] == [200, 200]
    for client in busy:
        client.close()
    settles(gw)
    assert gw.get().status == 200


def test_a_connection_whose_listener_is_removed_ends_after_its_request(shop):
    app = shop.echo()
    config = basic(app)
    config["listen"].append({"name": "other", "address": "127.0.0.3:0"})
    gw = shop.lintel(config)
    client = Client(gw.address("other"))
    client.send(head("GET", "/sleep/500"))
    wait_until(lambda: app.served, "the request at the server")
    config["listen"].pop()
    gw.reload(config)
    assert outcome(client) == 200
    client.close()
    settles(gw)


# ---- Causes that have no other test ----

def test_connect_failed(shop):
    """An address that the kernel has no way to."""
    gw = shop.lintel(basic({"address": "255.255.255.255:9"}))
    assert gw.get().status == 502
    line = gw.access(cause="connect_failed")[0]
    assert line["stage"] == "connect" and line["error"]


def test_exchanges_that_outlive_the_drain_are_cut(shop):
    app = shop.origin(lambda peer: (peer.request(), peer.pause(20)))
    gw = shop.lintel(basic(app, drain={"delay": "0s", "timeout": "300ms"}))
    with gw.client() as client:
        client.send(head("GET", "/slow"))
        wait_until(lambda: app.requests, "the request at the server")
        gw.signal(signal.SIGTERM)
        assert outcome(client) == 503
        gw.ended(0)
    assert gw.access(cause="draining")[0]["path"] == "/slow"


# ---- Requests that are answered before they are whole ----

@pytest.mark.parametrize("path", ["/app", "/own"])
def test_a_client_that_sends_on_gets_the_early_answer_unbroken(shop, path):
    """The connection isn't torn down while it still sends, be the answer the application's or ours."""
    def early(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        peer.until_closed()
    routes = [{"match": "/own", "to": "app", "body": {"max": "1M"}}, {"match": "/app", "to": "app"}]
    gw = shop.lintel(basic(shop.origin(early), routes=routes))
    for fields, body in (({"Content-Length": str(20 << 20)}, bytes(20 << 20)),
                         ({"Transfer-Encoding": "chunked"}, chunked(*[bytes(1 << 20)] * 20))):
        with gw.client() as client:
            assert client.send(head("POST", path, fields) + body), "the connection broke"
            assert outcome(client) == 413
    settles(gw)


EXPECTING = {
    "length": ({"Content-Length": "5", "Expect": "100-continue"}, b"hello"),
    "case": ({"Content-Length": "5", "expect": "100-CONTINUE"}, b"hello"),
    "chunked": ({"Transfer-Encoding": "chunked", "Expect": "100-continue"}, chunked(b"hello")),
    "large": ({"Content-Length": "900000", "Expect": "100-continue"}, bytes(900_000)),
}


@pytest.mark.parametrize("name", EXPECTING)
def test_a_client_that_waits_for_100_gets_it_once(echo_gw, name):
    fields, body = EXPECTING[name]
    with echo_gw.client() as client:
        client.send(head("POST", "/r", fields))
        assert client.reader.response_head().status == 100
        client.send(body)
        got = client.response()
        assert got.status == 200 and not got.interim
        assert client.request().status == 200
    settles(echo_gw)


@pytest.mark.parametrize("fields", [{"Expect": "100-continue"},
                                    {"Expect": "100-continue", "Content-Length": "0"}])
def test_no_100_for_a_request_without_body(echo_gw, fields):
    with echo_gw.client() as client:
        client.send(head("POST", "/r", fields))
        got = client.response()
        assert got.status == 200 and not got.interim


def test_a_refused_expectation_asks_for_no_body_and_ends_the_connection(shop):
    """Whether the client sends the body nobody knows: what comes is not a request."""
    app = shop.echo()
    gw = shop.lintel(basic(app, routes=[{"match": "/app", "to": "app"}]))
    with gw.client() as client:
        client.send(head("POST", "/unknown", {"Content-Length": "5", "Expect": "100-continue"}))
        got = client.response()
        assert got.status == 404 and not got.interim
        client.send(head("GET", "/app"))
        assert client.ends()
    assert app.served == 0


def test_a_redirect_to_https_needs_a_host_to_go_to(shop):
    config = basic(routes=[{"match": "/*", "respond": {"status": 200}}])
    config["listen"][0]["redirect"] = "https"
    gw = shop.lintel(config)
    with gw.client() as client:
        client.send(head("GET", "/x", host=None, version="HTTP/1.0"))
        assert outcome(client) == 400
    with gw.client() as client:
        assert client.request("OPTIONS", "*").headers.get("location") == "https://localhost/"


# ---- TLS ----

@pytest.fixture(scope="module")
def tls_gw(shared, authority):
    app = shared.echo()
    return shared.lintel(with_tls(basic(app), *authority.leaf("localhost")))


@pytest.fixture(scope="module")
def trust(authority):
    return tls_trust(authority.ca)


class TlsWire:
    """A TLS client whose records are in the test's hands."""

    def __init__(self, address, trust):
        self.sock = socket.create_connection(address, timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trust.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def push(self, cut=None):
        """Sends what OpenSSL has written, in pieces of `cut` bytes."""
        data = self.outgoing.read()
        for i in range(0, len(data), cut or len(data) or 1):
            self.sock.sendall(data[i:i + (cut or len(data))])

    def run(self, call, cut=None):
        """Calls until it needs no more bytes from the other side."""
        while True:
            try:
                result = call()
                self.push(cut)
                return result
            except ssl.SSLWantReadError:
                self.push(cut)
                data = self.sock.recv(65536)
                if not data:
                    self.incoming.write_eof()
                self.incoming.write(data)

    def close(self):
        self.sock.close()


def test_a_handshake_that_ends_or_is_spoilt_at_any_byte(tls_gw, trust):
    wire = TlsWire(tls_gw.secure, trust)
    with pytest.raises(ssl.SSLWantReadError):
        wire.tls.do_handshake()
    hello = wire.outgoing.read()
    wire.close()
    dice = random.Random(1)
    for i in range(150):
        at = dice.randrange(len(hello))
        data = bytearray(hello[:at] if i % 2 else hello)
        if i % 2 == 0:
            data[at] ^= 1 << dice.randrange(8)
        sock = socket.create_connection(tls_gw.secure, timeout=10)
        sock.sendall(data)
        if i % 3 == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    with Client(tls_gw.secure, trust=trust) as client:
        assert client.request().status == 200
    settles(tls_gw)


def test_tls_records_may_come_byte_by_byte(tls_gw, trust):
    wire = TlsWire(tls_gw.secure, trust)
    wire.run(wire.tls.do_handshake, cut=1)
    wire.tls.write(head("POST", "/", {"Content-Length": "3"}) + b"abc")
    wire.push(cut=1)
    assert wire.run(lambda: wire.tls.read(65536)).startswith(b"HTTP/1.1 200 ")
    wire.close()
    settles(tls_gw)


@pytest.mark.parametrize("spoil", ["bit", "plain", "cut"])
def test_a_record_that_is_spoilt_after_the_handshake_reaches_nobody(shop, authority, trust, spoil):
    app = shop.echo()
    gw = shop.lintel(with_tls(basic(app), *authority.leaf("localhost")))
    wire = TlsWire(gw.secure, trust)
    wire.run(wire.tls.do_handshake)
    wire.tls.write(head("GET", "/spoilt"))
    record = bytearray(wire.outgoing.read())
    if spoil == "bit":
        record[-1] ^= 1
    elif spoil == "plain":
        record = head("GET", "/spoilt")
    else:
        record = record[:-1]
    wire.sock.sendall(record)
    wire.sock.shutdown(socket.SHUT_WR)
    while wire.sock.recv(65536):
        pass
    wire.close()
    settles(gw)
    assert app.served == 0


def test_a_body_that_ends_without_close_notify_is_cut(shop, authority, trust):
    """Somebody on the way may have cut it: it must not count as whole."""
    app = shop.echo()
    gw = shop.lintel(with_tls(basic(app), *authority.leaf("localhost")))
    wire = TlsWire(gw.secure, trust)
    wire.run(wire.tls.do_handshake)
    wire.tls.write(head("POST", "/", {"Transfer-Encoding": "chunked"}) + b"3\r\nabc\r\n")
    wire.push()
    wire.sock.shutdown(socket.SHUT_WR)
    assert gw.access(cause="client_gone")
    wire.close()
    settles(gw)
    assert app.served == 0


def test_the_client_may_end_its_direction_over_tls(tls_gw, trust):
    wire = TlsWire(tls_gw.secure, trust)
    wire.run(wire.tls.do_handshake)
    wire.tls.write(head("GET", "/sleep/200"))
    with pytest.raises(ssl.SSLWantReadError):
        wire.tls.unwrap()  # sends close_notify
    wire.push()
    data = b""
    wire.sock.settimeout(5)
    while True:
        more = wire.sock.recv(65536)
        if not more:
            break
        data += more
    assert len(data) > 200  # a response, and our close_notify
    wire.close()
    settles(tls_gw)


# ---- Servers that send what nobody wants ----

HOSTILE = {
    "interim flood": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    "early hints flood": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100,
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 200_000,
    "endless status": b"HTTP/1.1 200 " + b"O" * 200_000,
    "endless fields": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000,
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_response_becomes_a_502(shop, name):
    app = shop.origin(lambda peer: (peer.request(), peer.send(HOSTILE[name]), peer.until_closed()))
    gw = shop.lintel(basic({"address": app.address, "max": 1}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        while (got := client.reader.response_head()).status < 200:
            pass
        assert got.status == 502
    assert gw.access(status=502)[0]["cause"]
    settles(gw)


CHUNKS = {
    "long extension": b"10;" + b"x" * 100_000,
    "many extensions": b"1;a=%s\r\nx\r\n" % (b"b" * 40) * 10_000,
    "many trailers": b"0\r\n" + b"X-A: b\r\n" * 10_000,
    "long trailer": b"0\r\nX-A: " + b"x" * 100_000,
    "overflow": b"fffffffffffffffff\r\n",
    "negative": b"-1\r\n",
    "space": b" 1\r\nx\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_chunked_response_that_goes_on_for_ever_or_wrong_is_cut(shop, name):
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n" + CHUNKS[name]
    app = shop.origin(lambda peer: (peer.request(), peer.send(response), peer.until_closed()))
    gw = shop.lintel(basic({"address": app.address, "max": 1}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        assert outcome(client) in ("Cut", "ConnectionResetError", 502)
    assert gw.access()[0]["cause"] in ("response_framing_invalid", "response_invalid")
    settles(gw)


# ---- All of it at once ----

def random_request(dice):
    """Bytes that are mostly a request, or several."""
    kind = dice.randrange(9)
    path = f"/{dice.choice('abcdefgh')}"
    if kind < 3:
        return head("GET", path)
    if kind == 3:
        return head("POST", path, {"Content-Length": "3000"}) + bytes(3000)
    if kind == 4:
        return head("POST", path, {"Transfer-Encoding": "chunked"}) + chunked(b"ab", bytes(90_000))
    if kind == 5:
        return head("HEAD", path) + head("GET", path) * 3
    if kind == 6:
        return head("PUT", path, {"Content-Length": "400000"}) + bytes(400_000)
    if kind == 7:
        return head("GET", path) + b"GARBAGE\r\n\r\n"
    return head("POST", path, {"Content-Length": "5", "Expect": "100-continue"}) + b"hello"


def act_up(dice, connect_):
    """One badly behaved client."""
    client = connect_()
    data = random_request(dice)
    cut = dice.choice([len(data), len(data), dice.randrange(len(data) + 1)])
    try:
        for i in range(0, cut, 50_000):
            client.sock.sendall(data[i:min(i + 50_000, cut)])
        end = dice.randrange(4)
        if end == 0:
            client.reset()
        elif end == 1:
            client.sock.recv(dice.choice([1, 100, 65536]))
        elif end == 2:
            client.finish_sending()
            while client.sock.recv(65536):
                pass
    except OSError:
        pass
    client.close()


def moody(dice):
    """A server's script: fine, slow, cut, wrong, gone."""
    def script(peer):
        while True:
            mood = dice.randrange(10)
            if mood == 0:
                peer.request_head()
                return
            peer.request()
            if mood == 1:
                peer.reset()
                return
            if mood == 2:
                peer.send(OK[:dice.randrange(len(OK))])
                return
            if mood == 3:
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                peer.pause(dice.random() * 0.05)
                peer.send(b"0\r\n\r\n")
            elif mood == 4:
                peer.send(OK + OK)
            elif mood == 5:
                peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000))
                return
            else:
                peer.send(OK if peer.requests[-1].method != "HEAD" else OK[:-2])
    return script


DOZY = """
local f = {}
local turn = 0
local function doze(ctx)
    turn = turn + 1
    if turn % 3 == 0 then
        ctx:sleep((turn % 50) / 1000)
    end
    if turn % 101 == 0 then
        error("tired")
    end
end
f.request, f.response, f.log = doze, doze, doze
return f
"""


@pytest.mark.parametrize("dozy", [False, True])
def test_everything_that_goes_wrong_at_once_leaves_nothing_behind(shop, authority, trust, dozy):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    servers = [shop.origin(moody(random.Random(dice.random()))) for _ in range(3)]
    config = with_tls(basic(*[{"address": s.address, "max": 4} for s in servers], workers=2,
                            app={"timeouts": {"first_byte": "500ms", "idle": "500ms"}}),
                      *authority.leaf("localhost"))
    for listener in config["listen"]:
        listener["timeouts"] = {"body": "400ms", "head": "400ms", "write": "400ms"}
    if dozy:
        (shop.folder / "dozy.lua").write_text(DOZY)
        config["filters"] = {"dozy": {"filter": "dozy"}}
        config["sites"][0]["filters"] = ["dozy"]
    gw = shop.lintel(config, env={"LINTEL_SCRIPTS": str(shop.folder)} if dozy else None)
    gw.allowed.update(("filter_error", "filter_failed", "filter_quarantined"))
    stop = time.monotonic() + 6 * (1 if slowness() == 1 else 1.5)

    def crowd(own):
        while time.monotonic() < stop:
            plain = own.randrange(3) > 0
            try:
                act_up(own, gw.client if plain else lambda: Client(gw.secure, trust=trust))
            except OSError:
                pass
    crowds = [threading.Thread(target=crowd, args=(random.Random(dice.random()),)) for _ in range(8)]
    for thread in crowds:
        thread.start()
    while time.monotonic() < stop:
        gw.reload()
        time.sleep(0.3)
    for thread in crowds:
        thread.join()
    for server in servers:
        server.faults.clear()
    settles(gw)
    assert not any(e.get("cause") == "internal" for e in gw.stdout.objects())


@pytest.mark.parametrize("body", [b"zz\r\n", b"3\r\nabc\r\nzz\r\n", b"3\r\nabcX\r\n", b"-1\r\n"])
def test_a_body_that_is_malformed_in_the_segment_of_its_head_is_502(shop, body):
    """Nothing of the response has left yet: the client can still be told."""
    def broken(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Of: server\r\n\r\n" + body)
        peer.until_closed()
    gw = shop.lintel(basic(shop.origin(broken)))
    response = gw.get()
    assert response.status == 502
    assert response.headers.get("x-of") is None
    told = json.loads(response.body)["cause"]
    line = gw.access(1)[0]
    assert line["status"] == 502 and line["cause"] == told
