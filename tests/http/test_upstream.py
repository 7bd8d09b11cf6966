# SPDX-License-Identifier: Apache-2.0
"""Which server a request gets, and what becomes of it when that server fails."""
import json
import os
import threading
import time

import pytest

from lib.client import Cut, head
from lib.configs import basic
from lib.origin import OK, EchoOrigin, always, answer
from lib.users import ARGS, ROOT, let_in
from lib.wait import wait_until


def apps(gateway, count, **options):
    """How many of count requests each application answered."""
    seen = {}
    for _ in range(count):
        response = gateway.get("/", **options)
        assert response.status == 200, response
        name = json.loads(response.body)["app"]
        seen[name] = seen.get(name, 0) + 1
    return seen


def failed(gateway, cause, status, target="/", method="GET", body=None):
    """One request that has to fail with this cause in body, Proxy-Status, status and log."""
    response = gateway.get(target, method=method, body=body)
    told = json.loads(response.body)
    assert (response.status, told["cause"]) == (status, cause), told
    assert f'details="{cause}"' in response.headers.get("proxy-status")
    line = gateway.access(id=told["request_id"])[0]
    assert (line["cause"], line["status"], line["path"]) == (cause, status, target)
    return response


def test_round_robin_takes_servers_in_turn(shop):
    servers = [shop.echo(n) for n in "abc"]
    gw = shop.lintel(basic(*servers, app={"balance": "round_robin"}, workers=1))
    assert apps(gw, 12) == {"a": 4, "b": 4, "c": 4}


def test_round_robin_obeys_weights(shop):
    a, b = shop.echo("a"), shop.echo("b")
    gw = shop.lintel(basic({"address": a.address, "weight": 3}, {"address": b.address},
                           app={"balance": "round_robin"}, workers=1))
    assert apps(gw, 12) == {"a": 9, "b": 3}


def test_p2c_spreads_over_all_servers(shop):
    gw = shop.lintel(basic(*[shop.echo(n) for n in "abc"]))
    seen = apps(gw, 90)
    assert sorted(seen) == ["a", "b", "c"] and min(seen.values()) >= 10


def test_p2c_avoids_the_busy_server(shop):
    busy, free = shop.echo("busy", delay=1.5), shop.echo("free")
    gw = shop.lintel(basic(busy, free, workers=1))
    threads = []
    while not busy.active:
        threads.append(threading.Thread(target=gw.get))
        threads[-1].start()
        time.sleep(0.02)
    assert apps(gw, 10) == {"free": 10}
    for thread in threads:
        thread.join()


def test_unix_and_tcp_servers_share_the_requests(shop):
    gw = shop.lintel(basic(shop.echo("unix", unix=True), shop.echo("tcp"),
                           app={"balance": "round_robin"}, workers=1))
    assert apps(gw, 10) == {"unix": 5, "tcp": 5}


def test_a_server_that_refuses_is_avoided_without_the_client_noticing(shop):
    gw = shop.lintel(basic(shop.refusing(), shop.echo("up")))
    with gw.client() as client:
        for i in range(30):
            method = ("GET", "POST")[i % 2]
            assert client.request(method, body=b"x").status == 200


def test_a_socket_that_is_missing_is_avoided_without_the_client_noticing(shop):
    gw = shop.lintel(basic({"address": f"unix:{shop.folder}/missing.sock"}, shop.echo("up"),
                           app={"balance": "round_robin"}))
    assert apps(gw, 10) == {"up": 10}


def test_a_server_that_does_not_answer_the_connect_is_avoided(shop):
    gw = shop.lintel(basic(shop.deaf(), shop.echo("up"), app={
        "balance": "round_robin", "timeouts": {"connect": "200ms"}}))
    assert apps(gw, 6) == {"up": 6}


def test_a_server_that_comes_back_gets_requests_again(shop):
    path = shop.folder / "back.sock"
    gw = shop.lintel(basic({"address": f"unix:{path}"}, shop.echo("other"),
                           app={"balance": "round_robin"}))
    assert apps(gw, 6) == {"other": 6}
    back = EchoOrigin("back", path=path)
    wait_until(lambda: "back" in apps(gw, 1), "the server to be used again")
    back.stop()


# Causes.

def test_refused(shop):
    gw = shop.lintel(basic(shop.refusing(), app={"queue": {"restart": 0}}))
    failed(gw, "connect_refused_by_server", 502)
    failed(gw, "connect_refused_by_server", 502, method="POST", body=b"x")


def test_socket_missing(shop):
    gw = shop.lintel(basic({"address": f"unix:{shop.folder}/missing.sock"},
                           app={"queue": {"restart": 0}}))
    failed(gw, "socket_missing", 502)


def test_connect_timeout(shop):
    gw = shop.lintel(basic(shop.deaf(), app={"timeouts": {"connect": "300ms"}}))
    began = time.monotonic()
    failed(gw, "connect_timeout", 504)
    assert 0.25 < time.monotonic() - began < 5


def test_socket_backlog(shop):
    gw = shop.lintel(basic(shop.deaf(unix=True)))
    failed(gw, "socket_backlog", 503)


def test_socket_permission(shop):
    """Root may open every socket: there the gateway runs as nobody."""
    let_in(shop.folder)
    server = shop.echo(unix=True)
    os.chmod(server.path, 0o600 if ROOT else 0)
    config = basic(server)
    config["admin"]["listen"] = f"unix:{shop.folder}/admin.sock"
    failed(shop.lintel(config, args=ARGS), "socket_permission", 502)


def test_a_server_that_closes_while_the_body_is_being_sent(shop):
    def refuse(peer):
        peer.request_head()
        peer.reset()
    gw = shop.lintel(basic(shop.origin(refuse)))
    response = gw.get(method="POST", body=bytes(8 << 20))
    assert response.status == 502
    assert json.loads(response.body)["cause"] == "reset_before_response"


def test_first_byte_timeout(shop):
    def silent(peer):
        peer.request()
        peer.until_closed()
    server = shop.origin(silent)
    gw = shop.lintel(basic(server, app={"timeouts": {"first_byte": "300ms"}}))
    began = time.monotonic()
    failed(gw, "first_byte_timeout", 504)
    assert 0.25 < time.monotonic() - began < 5
    assert server.peers[0].closed.wait(5)
    assert len(server.requests) == 1, "a request that may have had an effect was sent twice"


def test_a_route_may_be_more_patient_than_its_upstream(shop):
    gw = shop.lintel(basic(
        shop.echo(), app={"timeouts": {"first_byte": "300ms"}},
        routes=[{"match": "/*", "to": "app"},
                {"match": "/sleep/*", "to": "app", "timeouts": {"first_byte": "10s"}}]))
    assert gw.get("/sleep/800").status == 200


def test_idle_timeout_in_the_middle_of_a_response(shop):
    def stops(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        peer.until_closed()
    server = shop.origin(stops)
    gw = shop.lintel(basic(server, app={"timeouts": {"idle": "300ms"}}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    assert gw.access(cause="response_idle_timeout")[0]["status"] == 200
    assert server.peers[0].closed.wait(5)


def test_closed_before_response(shop):
    server = shop.origin(lambda peer: peer.request())
    gw = shop.lintel(basic(server))
    failed(gw, "closed_before_response", 502)
    assert len(server.requests) == 2, "retry.attempts"
    failed(gw, "closed_before_response", 502, method="POST", body=b"x")
    assert len(server.requests) == 3, "a request that may have had an effect was sent twice"


def test_reset_before_response(shop):
    def crash(peer):
        peer.request()
        peer.reset()
    gw = shop.lintel(basic(shop.origin(crash)))
    failed(gw, "reset_before_response", 502)


def test_response_cut_in_the_head(shop):
    def dies(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    gw = shop.lintel(basic(shop.origin(dies)))
    failed(gw, "response_cut", 502)


def test_response_head_too_large(shop):
    big = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"
    gw = shop.lintel(basic(shop.origin(always(big))))
    failed(gw, "response_head_too_large", 502)


def test_too_many_fields_in_a_response(shop):
    big = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 250 + b"Content-Length: 0\r\n\r\n"
    gw = shop.lintel(basic(shop.origin(always(big))))
    failed(gw, "response_head_too_large", 502)


def test_servers_busy(shop):
    app = shop.echo(delay=1)
    gw = shop.lintel(basic({"address": app.address, "max": 1}, app={"queue": {"size": 0}}))
    thread = threading.Thread(target=gw.get, args=("/slow",))
    thread.start()
    wait_until(lambda: app.active, "the slow request at the server")
    response = failed(gw, "servers_busy", 503)
    assert response.headers.get("retry-after") == "1"
    thread.join()
    wait_until(lambda: not app.active, "the server to be free")
    assert gw.get().status == 200


# The keep-alive race.

def closing_after_one(peer):
    """A server that ends every connection right after a response, without saying so."""
    peer.request()
    peer.send(OK)


def test_a_get_on_a_connection_that_the_server_has_just_closed_is_recovered(shop):
    server = shop.origin(closing_after_one)
    with shop.lintel(basic(server)).client() as client:
        for _ in range(30):
            assert client.request().body == b"ok"


def test_a_get_on_a_connection_that_dies_when_it_is_used_is_recovered(shop):
    def dies_on_second(peer):
        peer.request()
        peer.send(OK)
        peer.request()
        peer.reset()
    server = shop.origin(dies_on_second, always(OK))
    with shop.lintel(basic(server)).client() as client:
        assert client.request(target="/1").body == b"ok"
        assert client.request(target="/2").body == b"ok"
    assert [r.target for r in server.requests] == ["/1", "/2", "/2"]
    assert len(server.peers) == 2


def test_a_get_that_is_reset_on_a_new_connection_is_tried_on_another_server(shop):
    """What becomes of those that wait in the listen queue of a server that stops."""
    def stopped(peer):
        peer.request_head()
        peer.reset()
    down, up = shop.origin(stopped), shop.echo("up")
    gw = shop.lintel(basic(down, up, app={"balance": "round_robin", "retry": {"reset_new": True}},
                           workers=1))
    assert apps(gw, 6) == {"up": 6}
    assert len(down.peers) == 3
    statuses = [gw.get(method="POST", body=b"x").status for _ in range(4)]
    assert statuses == [200] * 4, "a small POST that was reset was not read whole"
    statuses = [gw.get(method="POST", body=b"x" * 20000).status for _ in range(4)]
    assert sorted(statuses) == [200, 200, 502, 502], "a long one may have been acted upon"


def test_a_post_that_meets_a_closed_socket_is_tried_on_another_server(shop):
    """The end of the connection, then a reset: what a server that stops makes of new connections."""
    down, up = shop.origin(lambda peer: peer.sock.close()), shop.echo("up")
    gw = shop.lintel(basic(down, up, app={"balance": "round_robin", "preset": "uvicorn"}, workers=1))
    assert [gw.get(method="POST", body=b"x").status for _ in range(6)] == [200] * 6
    assert len(down.peers) == 3


def test_a_post_that_is_reset_on_a_new_connection_may_have_been_acted_upon(shop):
    """By a server that read a part of it, or all and reset nevertheless."""
    def acts(peer):
        peer.request()
        peer.reset()
    down, up = shop.origin(acts), shop.echo("up")
    gw = shop.lintel(basic(down, up, app={"balance": "round_robin"}, workers=1))
    assert apps(gw, 2) == {"up": 2}
    statuses = [gw.get(method="POST", body=b"x").status for _ in range(4)]
    assert sorted(statuses) == [200, 200, 502, 502]


def test_a_post_that_is_closed_upon_is_not_repeated(shop):
    """Without a reset all of it was read."""
    def stopped(peer):
        peer.request()
    down, up = shop.origin(stopped), shop.echo("up")
    gw = shop.lintel(basic(down, up, app={"balance": "round_robin"}, workers=1))
    statuses = [gw.get(method="POST", body=b"x").status for _ in range(4)]
    assert sorted(statuses) == [200, 200, 502, 502]


def test_a_post_that_may_have_had_an_effect_is_not_sent_twice(shop):
    def dies_on_second(peer):
        peer.request()
        peer.send(OK)
        peer.request()
    server = shop.origin(dies_on_second, always(OK))
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        assert client.request(target="/1").body == b"ok"
        response = client.request("POST", "/2", body=b"x")
        assert response.status == 502
        assert json.loads(response.body)["cause"] == "closed_before_response"
    assert [r.target for r in server.requests] == ["/1", "/2"]


def test_a_post_does_not_use_a_connection_that_was_idle_for_long(shop):
    server = shop.origin(always(OK))
    gw = shop.lintel(basic(server, app={"keepalive": {"unsafe_idle": "100ms"}}))
    with gw.client() as client:
        client.request("POST", body=b"x")
        client.request("POST", body=b"x")
        assert len(server.peers) == 1
        time.sleep(0.4)
        client.request("POST", body=b"x")
        assert len(server.peers) == 2


def test_an_idle_connection_to_a_server_is_closed_in_time(shop):
    server = shop.origin(always(OK))
    gw = shop.lintel(basic(server, app={"keepalive": {"idle": "300ms"}}))
    gw.get()
    assert server.peers[0].closed.wait(5)


def test_connections_to_servers_are_reused(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, workers=1))
    for _ in range(20):
        assert gw.get().status == 200
    assert len(app.peers) == 1


def test_the_gunicorn_preset_uses_a_new_connection_each_time(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, app={"preset": "gunicorn"}))
    for _ in range(5):
        assert gw.get().status == 200
    assert len(app.peers) == 5


def test_a_server_that_asks_to_close_is_obeyed(shop):
    server = shop.origin(answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
                                b"ok"))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(5):
            assert client.request().body == b"ok"
    assert len(server.peers) == 5


def test_an_http_1_0_server_is_served_from(shop):
    server = shop.origin(answer(b"HTTP/1.0 200 OK\r\n\r\nrest"))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(3):
            response = client.request()
            assert response.version == "HTTP/1.1" and response.body == b"rest"


# max.

def hammer(gateway, threads, seconds, target="/"):
    """Keeps asking from several threads; the statuses that came, with their numbers."""
    end, statuses, lock = time.monotonic() + seconds, {}, threading.Lock()

    def ask():
        while time.monotonic() < end:
            with gateway.client() as client:
                for _ in range(5):
                    status = client.request(target=target).status
                    with lock:
                        statuses[status] = statuses.get(status, 0) + 1
    workers = [threading.Thread(target=ask) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return statuses


def test_max_is_never_exceeded_over_four_workers(shop):
    app = shop.echo(delay=0.01)
    gw = shop.lintel(basic({"address": app.address, "max": 4}, workers=4))
    statuses = hammer(gw, 12, 3)
    assert app.peak == 4
    assert set(statuses) <= {200, 503} and statuses[200] > 20


def test_max_slots_come_back_after_every_kind_of_end(shop):
    """Clients that go away, servers that fail: no slot may leak."""
    app = shop.origin(*[s for _ in range(4) for s in (
        lambda peer: peer.request(),
        lambda peer: (peer.request(), peer.reset()),
        lambda peer: (peer.request(), peer.send(b"garbage\r\n\r\n")),
        lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")),
        lambda peer: (peer.request(), peer.until_closed()),
    )], always(OK))
    gw = shop.lintel(basic({"address": app.address, "max": 1},
                           app={"timeouts": {"first_byte": "200ms"}}))
    for i in range(20):
        with gw.client() as client:
            client.send(head("GET", f"/{i}"))
            wait_until(lambda n=i: len(app.requests) > n, "the request at the server")
            if i % 2:
                client.reset()
            else:
                try:
                    client.response()
                except (Cut, ConnectionResetError):
                    pass
        gw.access(path=f"/{i}")
    assert [gw.get().status for _ in range(3)] == [200] * 3
