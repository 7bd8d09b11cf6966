# SPDX-License-Identifier: Apache-2.0
"""What is too large, too many or too slow costs little and is told."""
import json
import socket
import threading
import time

import pytest

from lib.client import Client, Closed, head
from lib.configs import basic
from lib.origin import OK, always, pattern
from lib.prometheus import Metrics
from lib.wait import wait_until


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    config = basic(app, routes=[
        {"match": "/*", "to": "app"},
        {"match": "/small", "to": "app", "body": {"max": "10"}},
        {"match": "/none", "to": "app", "body": {"max": "0"}}])
    config["listen"][0].update({
        "max_head": "4K", "max_headers": 20, "body": {"max": "100K"},
        "timeouts": {"head": "600ms", "keepalive": "600ms", "body": "600ms"}})
    return shared.lintel(config)


def refused(client, status, cause):
    """Reads the refusal and the end of the connection."""
    response = client.response()
    assert response.status == status, response
    assert json.loads(response.body)["cause"] == cause
    assert response.headers.get("connection").lower() == "close"
    assert client.ends()


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_head_over_the_limit_is_431(gw, app, bytewise):
    before = app.received()
    with gw.client() as client:
        client.send(head("GET", "/", {"X": "a" * 4096}), bytewise)
        refused(client, 431, "head_too_large")
    assert app.received() == before


def test_a_head_at_the_limit_is_served(gw):
    data = head("GET", "/", {"X": ""})
    with gw.client() as client:
        assert client.request(headers={"X": "a" * (4096 - len(data))}).status == 200


def test_an_endless_head_is_refused_before_it_ends(gw):
    with gw.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 2000)
        refused(client, 431, "head_too_large")


def test_an_endless_request_line_is_414(gw):
    with gw.client() as client:
        client.send(b"GET /" + b"a" * 9000)
        response = client.response()
        assert response.status == 414
        assert json.loads(response.body)["cause"] == "target_too_long"
        assert client.ends()


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_target_may_be_as_long_as_max_target(shop, app, bytewise):
    config = basic(app)
    config["listen"][0]["max_target"] = "100"
    gw = shop.lintel(config)
    with gw.client() as client:
        client.send(head("GET", "/" + "a" * 99), bytewise)
        assert client.response().status == 200
        client.send(head("GET", "/" + "a" * 100), bytewise)
        refused(client, 414, "target_too_long")
    config["listen"][0]["max_target"] = "200"
    gw.reload(config)
    assert gw.get("/" + "a" * 150).status == 200


def test_a_connection_serves_max_requests(shop, app):
    config = basic(app)
    config["listen"][0]["max_requests"] = 3
    gw = shop.lintel(config)

    def last_of(n):
        with gw.client() as client:
            for i in range(n):
                response = client.request()
                assert response.status == 200
                assert (response.headers.get("connection") == "close") == (i == n - 1)
            assert client.ends()
    last_of(3)
    config["defaults"] = {"max_requests": 2}
    del config["listen"][0]["max_requests"]
    gw.reload(config)
    last_of(2)


def test_requests_after_the_last_one_are_not_served(shop, app):
    config = basic(app)
    config["listen"][0]["max_requests"] = 2
    gw = shop.lintel(config)
    with gw.client() as client:
        client.send(head("GET", "/a") + head("GET", "/b") + head("GET", "/third"))
        assert client.response().status == client.response().status == 200
        assert client.ends()
    assert not [r for r in app.requests if r.target == "/third"]


def test_endless_empty_lines_are_refused(gw):
    with gw.client() as client:
        client.send(b"\r\n" * 20000)
        assert client.response().status in (400, 431)
        assert client.ends()


def test_too_many_fields_are_431(gw):
    with gw.client() as client:
        assert client.request(headers=[(f"A{i}", "b") for i in range(19)]).status == 200
        client.send(head("GET", "/", [(f"A{i}", "b") for i in range(20)]))
        refused(client, 431, "head_too_large")


def test_a_body_that_announces_too_much_is_413_at_once(gw, app):
    before = app.received()
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": str(100 * 1024 + 1)}))
        response = client.response()
        assert response.status == 413
        assert json.loads(response.body)["cause"] == "body_too_large"
    assert app.received() == before


def test_a_body_that_announces_too_much_is_not_asked_for(gw):
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "1000000", "Expect": "100-continue"}))
        response = client.response()
        assert response.status == 413 and not response.interim


def test_a_chunked_body_that_grows_too_large_is_413(gw):
    with gw.client() as client:
        client.send(head("POST", "/", {"Transfer-Encoding": "chunked"})
                    + b"8000\r\n" + bytes(0x8000) + b"\r\n")
        for _ in range(4):
            client.send(b"8000\r\n" + bytes(0x8000) + b"\r\n")
        assert client.response().status == 413
        assert client.ends()


def test_bodies_at_the_limit_are_served(gw):
    with gw.client() as client:
        assert client.request("POST", body=bytes(100 * 1024)).status == 200
        assert client.request("POST", body=[bytes(50 * 1024)] * 2).status == 200


def test_a_route_has_its_own_limit(gw):
    with gw.client() as client:
        assert client.request("POST", "/small", body=bytes(10)).status == 200
        assert client.request("POST", "/small", body=bytes(11)).status == 413
    with gw.client() as client:
        assert client.request("GET", "/none").status == 200
        assert client.request("POST", "/none", body=b"a").status == 413


def test_the_rest_of_a_small_refused_body_does_not_become_a_request(gw, app):
    body = head("GET", "/evil")
    with gw.client() as client:
        client.send(head("POST", "/small", {"Content-Length": str(len(body))}))
        assert client.response().status == 413
        if client.send(body + head("GET", "/fine")):
            try:
                assert json.loads(client.response().body)["target"] == "/fine"
            except (Closed, ConnectionResetError):
                pass  # it ended the connection instead, which is as good
    assert all(r.target != "/evil" for r in app.requests)


def test_a_head_that_does_not_arrive_is_408(gw):
    began = time.monotonic()
    with gw.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: local")
        refused(client, 408, "head_timeout")
    assert 0.5 < time.monotonic() - began < 5


def test_dripping_bytes_does_not_prolong_a_head(gw):
    began = time.monotonic()
    with gw.client() as client:
        client.sock.settimeout(0.1)
        while time.monotonic() - began < 5:
            client.send(b"A")
            try:
                if client.sock.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        client.sock.settimeout(5)
        assert client.response().status in (400, 408)
        assert time.monotonic() - began < 3


def test_a_body_that_stops_arriving_is_408(gw, app):
    before = app.received()
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "10"}) + b"abc")
        refused(client, 408, "body_timeout")
    assert app.received() == before


def test_an_idle_connection_is_closed_without_a_word(gw):
    with gw.client() as client:
        assert client.request().status == 200
        began = time.monotonic()
        assert client.ends() and not client.reader.rest()
        assert 0.4 < time.monotonic() - began < 5


def test_a_connection_that_never_speaks_is_closed(gw):
    with gw.client() as client:
        assert client.ends()


def turned_away(gateway):
    """A connection that is one too many is told so and closed."""
    with gateway.client() as client:
        client.send(head("GET", "/"))
        response = client.response()
        assert response.status == 503 and b"too_many_connections" in response.body
        assert response.headers.get("retry-after")
        assert client.ends()


def test_too_many_connections_are_refused_cheaply_and_the_others_go_on(shop, app):
    gw = shop.lintel(basic(app, limits={"connections": 3}))
    clients = [gw.client() for _ in range(3)]
    for client in clients:
        assert client.request().status == 200
    turned_away(gw)
    for client in clients:
        assert client.request().status == 200
    assert gw.admin("/metrics").status == 200
    clients[0].close()
    wait_until(lambda: gw.get().status == 200, "a free place")
    for client in clients[1:]:
        client.close()


def test_a_listener_has_its_own_connection_limit(shop, app):
    config = basic(app)
    config["listen"][0]["max_connections"] = 1
    config["listen"].append({"name": "other", "address": "127.0.0.3:0"})
    gw = shop.lintel(config)
    with gw.client() as first:
        assert first.request().status == 200
        turned_away(gw)
        with Client(gw.address("other")) as other:
            assert other.request().status == 200


def connections_of(gw, source, n):
    """n connections from that address that were served."""
    clients = [gw.client(source=source) for _ in range(n)]
    for client in clients:
        assert client.request().status == 200
    return clients


def one_too_many(gw, source):
    with gw.client(source=source) as client:
        client.send(head("GET", "/"))
        response = client.response()
        assert response.status == 429 and response.body == b"too_many_client_connections\n"
        assert response.headers.get("retry-after") and "lintel" in response.headers.get("proxy-status")
        assert client.ends()


def test_one_client_may_not_have_all_connections(shop, app):
    """Counted over all workers and listeners, by address; those in `trust` are many clients."""
    config = basic(app, limits={"connections_per_client": 3}, workers=2, trust=["127.0.0.9/32"])
    config["listen"].append({"name": "other", "address": "127.0.0.3:0"})
    gw = shop.lintel(config)
    clients = connections_of(gw, "127.0.0.5", 2)
    clients.append(Client(gw.address("other"), source="127.0.0.5"))
    assert clients[2].request().status == 200
    one_too_many(gw, "127.0.0.5")
    one_too_many(gw, "127.0.0.5")
    others = connections_of(gw, "127.0.0.6", 3) + connections_of(gw, "127.0.0.9", 6)
    event = gw.wait_event("connections_refused", cause="too_many_client_connections")
    assert event["client"] == "127.0.0.5" and event["listener"]
    metrics = Metrics(gw.admin("/metrics").body.decode())
    assert metrics.sum("lintel_client_connections_refused_total") == 2
    assert metrics.sum("lintel_connections_refused_total") == 2
    assert metrics.sum("lintel_client_connections_uncounted_total") == 0
    assert clients[0].request().status == 200  # those that are there go on
    clients.pop().close()
    wait_until(lambda: gw.get(source="127.0.0.5").status == 200, "a free place")
    config["limits"]["connections_per_client"] = 5
    gw.reload(config)
    clients += connections_of(gw, "127.0.0.5", 3)
    one_too_many(gw, "127.0.0.5")
    for client in clients + others:
        client.close()


def test_a_connection_is_counted_until_it_is_gone(shop, app):
    """However it ends: refused, timed out, reset, without a word."""
    config = basic(app, limits={"connections_per_client": 2})
    config["listen"][0]["timeouts"] = {"head": "300ms", "keepalive": "300ms"}
    gw = shop.lintel(config)
    for _ in range(3):
        with gw.client() as silent, gw.client() as broken:
            broken.send(b"BROKEN\r\n\r\n")
            assert broken.response().status >= 400
            broken.reset()
            assert silent.ends()
        wait_until(lambda: gw.get().status == 200, "a free place")
        wait_until(lambda: json.loads(gw.admin("/status").body)["connections"] == 0,
                   "all to be gone")
    with gw.client() as idle, gw.client() as other:
        assert idle.request().status == other.request().status == 200
        one_too_many(gw, None)
        assert idle.ends() and other.ends()
    wait_until(lambda: gw.get().status == 200, "a free place")


def test_behind_a_balancer_the_client_in_the_proxy_header_is_counted(shop, app):
    config = basic(app, limits={"connections_per_client": 2}, trust=["127.0.0.0/8"])
    config["listen"][0]["proxy_protocol"] = "require"
    gw = shop.lintel(config)

    def ask(source):
        client = gw.client()
        client.send(f"PROXY TCP4 {source} 203.0.113.9 4711 80\r\n".encode() + head("GET", "/"))
        return client, client.response().status
    clients = [ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2"), ask("192.0.2.1")]
    assert [status for _, status in clients] == [200, 200, 200, 429]
    clients[0][0].close()

    def free():
        clients.append(ask("192.0.2.1"))
        return clients[-1][1] == 200
    wait_until(free, "a free place")
    for client, _ in clients:
        client.close()


def test_by_default_clients_on_this_machine_are_not_counted(shop, app):
    gw = shop.lintel(basic(app, limits={"connections": 8}))
    for client in connections_of(gw, None, 7):
        client.close()


def test_a_slow_reader_holds_little_memory_and_gets_everything(shop):
    """8 clients ask for 24 MB each and do not read: the origin has to wait."""
    size = 24 << 20
    big = pattern(1 << 20) * 24
    server = shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + big))
    gw = shop.lintel(basic(server))
    assert gw.get().body == big  # once at full speed: what a build needs is there now
    before = gw.memory()
    clients = [gw.client() for _ in range(8)]
    for client in clients:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(head("GET", "/"))
    wait_until(lambda: len(server.requests) == 9, "all requests at the origin")
    time.sleep(1)  # whatever a faulty gateway would read, it has read by now
    assert gw.memory() - before < 48 << 20
    assert clients[0].response().body == big
    for client in clients:
        client.close()


def test_a_slow_server_holds_little_memory_and_gets_everything(shop):
    """Clients that send 24 MB to a server that does not read have to wait."""
    def slow(peer):
        request = peer.request_head()
        go.wait(20)
        peer.reader.request_body(request)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                  + (b"ok" if request.body == data else b"no"))
    go, data = threading.Event(), pattern(1 << 20) * 24
    server = shop.origin(slow)
    gw = shop.lintel(basic(server, routes=[
        {"match": "/*", "to": "app", "body": {"max": "24M", "stream": True}}]))
    before = gw.memory()
    answers = []

    def send():
        with gw.client() as client:
            answers.append(client.request("POST", body=data))
    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(server.requests) == 4, "all heads at the origin")
    time.sleep(1)
    assert gw.memory() - before < 48 << 20
    go.set()
    for thread in threads:
        thread.join()
    assert [a.body for a in answers] == [b"ok"] * 4


def test_a_client_that_stops_reading_is_cut_off(shop):
    server = shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n"
                                + bytes(50_000_000)))
    config = basic(server)
    config["listen"][0]["timeouts"] = {"write": "500ms"}
    gw = shop.lintel(config)
    with gw.client() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(head("GET", "/"))
        assert gw.access(cause="client_write_timeout")
    wait_until(lambda: server.peers[0].closed.is_set(), "the server's connection to be freed")


def test_one_slow_client_does_not_delay_others(gw):
    slow = gw.client()
    slow.send(head("POST", "/", {"Content-Length": "10"}) + b"abc")
    began = time.monotonic()
    for _ in range(20):
        assert gw.get().status == 200
    assert time.monotonic() - began < 4
    slow.close()


def test_a_slow_upload_does_not_hold_a_server(shop):
    """The body is gathered before a server is taken."""
    server = shop.origin(always(OK))
    gw = shop.lintel(basic({"address": server.address, "max": 1}))
    slow = gw.client()
    slow.send(head("POST", "/slow", {"Content-Length": "10"}) + b"abc")
    for _ in range(5):
        assert gw.get("/fast").body == b"ok"
    assert [r.target for r in server.requests] == ["/fast"] * 5
    slow.send(b"defghij")
    assert slow.response().body == b"ok"
    slow.close()
