# SPDX-License-Identifier: Apache-2.0
"""What may last how long: connections, bodies, whole exchanges; and peers that are gone."""
import json
import time
from pathlib import Path

import pytest

from lib.client import Cut, head
from lib.configs import basic
from lib.gateway import command
from lib.origin import OK, always, pattern
from lib.wait import wait_until


def listening(config, **options):
    config["listen"][0].update(options)
    return config


# ---- age ----

def test_an_idle_connection_is_closed_at_its_age(shop):
    config = listening(basic(shop.echo()), timeouts={"age": "600ms"})
    gw = shop.lintel(config)
    with gw.client() as client:
        began = time.monotonic()
        assert client.request().headers.get("connection") is None
        time.sleep(0.3)
        assert client.request().headers.get("connection") is None
        assert client.ends() and not client.reader.rest()
        assert 0.4 < time.monotonic() - began < 5
    gw.reload(listening(config, timeouts={"age": "0"}))
    with gw.client() as client:
        assert client.request().status == 200
        assert client.waits(0.9)


def test_a_response_after_the_age_closes(shop):
    gw = shop.lintel(listening(basic(shop.echo()), timeouts={"age": "300ms"}))
    with gw.client() as client:
        response = client.request(target="/sleep/500")
        assert response.status == 200 and response.headers.get("connection") == "close"
        assert client.ends()


# ---- rate of request bodies ----

def drip(client, size, pieces, pause):
    """Sends a body of that many pieces until the other side says something; the answer."""
    client.send(head("POST", "/", {"Content-Length": str(size * pieces)}))
    client.sock.settimeout(pause)
    for _ in range(pieces):
        if not client.send(b"x" * size):
            break
        try:
            client.sock.recv(1, 2)  # MSG_PEEK
            break
        except TimeoutError:
            continue
    client.sock.settimeout(20)
    return client.response()


def test_a_body_that_drips_is_408(shop):
    app = shop.echo()
    config = listening(basic(app), body={"min_rate": "1000", "grace": "500ms"})
    gw = shop.lintel(config)
    with gw.client() as client:
        began = time.monotonic()
        response = drip(client, 10, 1000, 0.1)
        assert response.status == 408 and json.loads(response.body)["cause"] == "body_too_slow"
        assert client.ends()
        assert 0.4 < time.monotonic() - began < 5
    assert app.received() == 0
    assert gw.access(cause="body_too_slow")[0]["status"] == 408
    with gw.client() as client:  # as slow for no longer than the grace
        assert drip(client, 10, 2, 0.1).status == 200
    gw.reload(listening(config, body={"min_rate": "0"}))
    with gw.client() as client:
        assert drip(client, 10, 12, 0.1).status == 200


def test_a_body_that_keeps_the_rate_takes_its_time(shop):
    gw = shop.lintel(listening(basic(shop.echo()), body={"min_rate": "1000", "grace": "500ms"}))
    with gw.client() as client:
        assert drip(client, 1000, 20, 0.1).status == 200


def test_a_fast_start_does_not_pay_for_an_endless_drip(shop):
    config = listening(basic(shop.echo()), body={"min_rate": "100", "grace": "500ms"},
                       timeouts={"body": "1s"})
    gw = shop.lintel(config)
    with gw.client() as client:
        began = time.monotonic()
        client.send(head("POST", "/", {"Content-Length": "1000000"}) + bytes(100000))
        client.sock.settimeout(0.1)
        while time.monotonic() - began < 20:
            client.send(b"x")
            try:
                client.sock.recv(1, 2)
                break
            except TimeoutError:
                continue
        client.sock.settimeout(20)
        response = client.response()
        assert json.loads(response.body)["cause"] == "body_too_slow"
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_does_not_pay_for_a_slow_server(shop, stream):
    """While nothing is read of it, its rate isn't asked for."""
    def slow(peer):
        request = peer.request_head()
        time.sleep(1.5)
        peer.reader.request_body(request)
        peer.send(OK)
    body = pattern(1 << 20) * 24
    config = basic(shop.origin(slow), site={"body": {"max": "64M", "stream": stream}})
    gw = shop.lintel(listening(config, body={"min_rate": "1M", "grace": "300ms"}))
    with gw.client() as client:
        assert client.request("POST", body=body).status == 200


# ---- the whole exchange ----

@pytest.fixture(scope="module")
def gw(shared):
    app = shared.echo()
    config = basic(app, site={"timeouts": {"total": "500ms"}}, routes=[
        {"match": "/*", "to": "app"},
        {"match": "/sleep/1000", "to": "app", "timeouts": {"total": "1m"}}])
    config["defaults"] = {"timeouts": {"total": "1ms"}}
    return shared.lintel(config)


def over(response):
    assert response.status == 504
    assert json.loads(response.body)["cause"] == "deadline"
    assert "error=http_response_timeout" in response.headers.get("proxy-status")


def test_a_server_that_needs_longer_than_the_whole_may_is_504(gw):
    began = time.monotonic()
    with gw.client() as client:
        over(client.request(target="/sleep/3000"))
        assert 0.4 < time.monotonic() - began < 2.5
        assert client.request(target="/fine").status == 200  # the connection lives on
    line = gw.access(path="/sleep/3000", cause="deadline")[0]
    assert line["status"] == 504 and "upstream_status" not in line


def test_the_route_has_the_last_word(gw):
    assert gw.get("/sleep/1000").status == 200


def test_a_body_that_comes_too_late_is_504(gw):
    with gw.client() as client:
        client.send(head("POST", "/body", {"Content-Length": "10"}) + b"abc")
        over(client.response())
        client.send(b"defghij")  # so little is thrown away, and the connection lives on
        assert client.request().status == 200


def test_a_deadline_holds_for_pipelined_requests_one_by_one(gw):
    with gw.client() as client:
        client.send(head("GET", "/sleep/300") + head("GET", "/sleep/300"))
        assert client.response().status == client.response().status == 200


def test_a_response_that_drips_over_the_deadline_is_cut_visibly(shop):
    def slow(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            peer.send(b"x")
            peer.pause(0.05)
    server = shop.origin(slow)
    config = basic(server)
    config["defaults"] = {"timeouts": {"total": "600ms"}}
    gw = shop.lintel(config)
    with gw.client() as client:
        client.send(head("GET", "/"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    assert gw.access(cause="deadline")[0]["status"] == 200
    wait_until(lambda: server.peers[0].closed.is_set(), "the server's connection to be freed")


def test_connecting_is_under_the_deadline_and_no_other_try_is_made(shop):
    deaf = shop.deaf()
    config = basic(deaf, app={"timeouts": {"connect": "10s"}})
    config["listen"][0]["timeouts"] = {"total": "400ms"}
    gw = shop.lintel(config)
    began = time.monotonic()
    over(gw.get())
    assert time.monotonic() - began < 5
    assert gw.access(cause="deadline")[0]["tries"] == 1


def test_an_upgrade_ends_the_deadline(shop):
    def tunnel(peer):
        peer.request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  b"Connection: Upgrade\r\n\r\n")
        while data := peer.sock.recv(100):
            peer.send(data)
    config = basic(shop.origin(tunnel, tunnel))
    config["defaults"] = {"timeouts": {"total": "400ms"}}
    gw = shop.lintel(config)
    with gw.client() as client:
        client.send(head("GET", "/", {"Connection": "Upgrade", "Upgrade": "websocket"}))
        while not client.sock.recv(65536).endswith(b"\r\n\r\n"):
            pass
        time.sleep(0.8)
        client.send(b"still here")
        assert client.sock.recv(100) == b"still here"


# ---- what servers are told of it ----

NAME = "X-Request-Deadline-Ms"


def told(gw, **fields):
    """The values of the field that the server got."""
    headers = json.loads(gw.get(headers=fields).body)["headers"]
    return [v for n, v in headers if n.lower() == NAME.lower()]


def test_servers_are_told_how_much_time_is_left(shop):
    app = shop.echo()
    config = basic(app, app={"deadline_header": NAME})
    gw = shop.lintel(config)
    assert told(gw, **{NAME: "99"}) == []  # nobody we trust says so
    config["defaults"] = {"timeouts": {"total": "5s"}}
    gw.reload(config)
    left, = told(gw, **{NAME: "99"})
    assert left.isdigit() and 4000 < int(left) <= 5000
    config["trust"] = ["127.0.0.0/8"]
    gw.reload(config)
    assert len(told(gw, **{NAME: "99"})) == 1 and told(gw, **{NAME: "99"}) != ["99"]
    del config["defaults"]
    gw.reload(config)
    assert told(gw, **{NAME: "99"}) == ["99"]
    del config["upstreams"]["app"]["deadline_header"], config["trust"]
    gw.reload(config)
    assert told(gw, **{NAME: "99"}) == ["99"]  # a field like any other


def test_another_try_is_told_what_is_left_then(shop):
    def late_reset(peer):
        peer.request()
        peer.pause(0.4)
        peer.reset()
    first, second = shop.origin(late_reset), shop.echo()
    config = basic(first, second, app={"deadline_header": NAME, "balance": "round_robin"})
    config["defaults"] = {"timeouts": {"total": "5s"}}
    gw = shop.lintel(config)
    answers = [int(told(gw)[0]) for _ in range(2)]
    assert min(answers) < 4700


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X Y", "X_Y", "X-Forwarded-For", ""])
def test_the_field_needs_a_name_of_its_own(tmp_path, name):
    config = basic(app={})
    config["upstreams"] = {"app": {"servers": ["127.0.0.1:9"], "deadline_header": name}}
    path = tmp_path / "lintel.yaml"
    path.write_text(json.dumps(config), encoding="ascii")
    done = command("check", "-c", path)
    assert done.returncode != 0 and "deadline_header" in done.stdout + done.stderr


# ---- peers that are gone ----

def sockets(**ports):
    """What the kernel does about TCP connections with these ports, local and remote: the timers."""
    found = []
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        local, remote = (int(f.split(":")[1], 16) for f in fields[1:3])
        kind, _, when = fields[5].partition(":")
        if (fields[3] == "01" and local == ports.get("local", local)
                and remote == ports.get("remote", remote)):
            found.append((kind, int(when, 16) / 100))
    return found


def test_the_kernel_asks_for_clients_and_servers_that_are_silent(shop):
    """Timer 02 is that of keep-alive: the next probe comes after half of the time."""
    app = shop.echo()
    config = listening(basic(app, app={"timeouts": {"idle": "5s", "vanished": "20s"},
                                       "keepalive": {"idle": "1m"}}),
                       timeouts={"write": "5s", "vanished": "40s"})
    gw = shop.lintel(config)
    with gw.client() as client:
        assert client.request().status == 200
        (kind, seconds), = sockets(local=gw.plain[1])
        assert kind == "02" and 15 < seconds <= 20
        (kind, seconds), = sockets(remote=app.port)
        assert kind == "02" and 5 < seconds <= 10
    gw.reload(listening(config, timeouts={"vanished": "12s", "write": "10s"}))
    with gw.client() as client:
        assert client.request().status == 200
        wait_until(lambda: len(sockets(local=gw.plain[1])) == 1, "the first one to go")
        (kind, seconds), = sockets(local=gw.plain[1])
        assert kind == "02" and 3 < seconds <= 6
