# SPDX-License-Identifier: Apache-2.0
"""Servers come, go and are drained while requests run, by the admin socket and by commands."""
import itertools
import json
import socket
import threading
import time
from urllib.parse import quote

import pytest

from lib.asgi import Uvicorn
from lib.client import Client, fetch, head
from lib.configs import basic
from lib.gateway import command
from lib.h2_origin import h2_script
from lib.wait import wait_until


def call(gw, method, target, body=None):
    """One call of the control API: status and JSON."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    response = fetch(str(gw.folder / "admin.sock"), target, method, body=data, host="lintel")
    return response.status, json.loads(response.body)


def server_target(address, upstream="app"):
    return f"/servers?upstream={quote(upstream)}&address={quote(address, safe='')}"


def upstream(gw, name="app"):
    return call(gw, "GET", f"/upstreams?name={quote(name)}")[1]


def server(gw, address, name="app"):
    return next((s for s in upstream(gw, name)["servers"] if s["address"] == address), None)


def ask(gw, *words, timeout=60):
    return command(*words, "--admin", f"unix:{gw.folder}/admin.sock", timeout=timeout)


def well(gw, *words):
    done = ask(gw, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Load:
    """Threads that ask over kept connections, GET and POST in turn, and note what failed."""

    def __init__(self, gw, threads=6):
        self.count, self.failures, self.posted = 0, [], set()
        self._gw, self._stop, self._numbers = gw, threading.Event(), itertools.count()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        try:
            with Client(self._gw.plain) as client:
                while not self._stop.is_set():
                    number = next(self._numbers)
                    body = b"%d" % number if number % 2 else None
                    response = client.request("POST" if body else "GET", "/load", body=body)
                    assert response.status == 200, response
                    if body:
                        self.posted.add(body)
                    self.count += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failures.append(repr(failure))

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.failures, self.failures[:3]
        assert self.count > 20

    def goes_on(self, n=30):
        """Waits until so many more were answered."""
        before = self.count
        wait_until(lambda: self.count >= before + n or self.failures, "answers")


# ---- what is shown ----

def test_upstreams_are_shown(shop):
    apps = [shop.echo("one"), shop.echo("two", unix=True)]
    gw = shop.lintel(basic({"address": apps[0].address, "max": 3, "weight": 2}, apps[1]))
    for _ in range(10):
        assert gw.get().status == 200
    status, all_of_them = call(gw, "GET", "/upstreams")
    assert status == 200 and all_of_them == [upstream(gw)]
    assert all_of_them[0]["name"] == "app" and all_of_them[0]["paused"] is False
    one, two = all_of_them[0]["servers"]
    assert one["address"] == apps[0].address and one["max"] == 3 and one["weight"] == 2
    assert two["address"] == apps[1].address and "max" not in two
    assert one["source"] == two["source"] == "configuration"
    assert one["state"] == two["state"] == "ready" and one["in_flight"] == two["in_flight"] == 0
    assert one["requests"] + two["requests"] == 10 and one["idle"] + two["idle"] >= 1
    assert max(one.get("latency_ms", 0), two.get("latency_ms", 0)) > 0
    text = well(gw, "show", "upstreams")
    assert "app  0 in the queue\n" in text and apps[1].address in text and "0/3" in text and " up " in text
    assert json.loads(well(gw, "show", "upstreams", "--json")) == call(gw, "GET", "/upstreams")[1]


def test_requests_in_flight_are_counted_without_a_max(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, workers=3))
    threads = [threading.Thread(target=gw.get, args=("/sleep/600",)) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: server(gw, app.address)["in_flight"] == 5, "five in flight")
    for thread in threads:
        thread.join()
    assert server(gw, app.address)["in_flight"] == 0


# ---- drains ----

def test_servers_are_replaced_one_by_one_under_load(shop):
    apps = [shop.echo("first"), shop.echo("second")]
    gw = shop.lintel(basic(*apps, workers=2))
    with Load(gw) as load:
        for i in range(6):
            old, new = apps[i % 2], shop.echo(f"new-{i}")
            load.goes_on()
            well(gw, "drain", f"app/{old.address}", "--wait=20")
            state = server(gw, old.address)
            assert state["state"] == "drained" and state["in_flight"] == 0 and state["idle"] == 0
            served = old.served
            old.stop()
            well(gw, "add", f"app/{new.address}")
            well(gw, "remove", f"app/{old.address}")
            load.goes_on()
            assert old.served == served and new.served > 0
            apps[i % 2] = new
    assert {s["address"] for s in upstream(gw)["servers"]} == {a.address for a in apps}


# Notes each POST in a file that all processes share.
APP = """
import os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    if scope["method"] == "POST":
        with open("../posts", "ab", buffering=0) as f:
            f.write(body + b"\\n")
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def test_uvicorn_is_replaced_without_a_failure_and_no_post_runs_twice(shop, tmp_path):
    made = []

    def start():
        made.append(Uvicorn(tmp_path / f"app-{len(made)}", "counted", APP))
        shop.finally_(made[-1].stop)
        return made[-1]

    apps = [start(), start()]
    gw = shop.lintel(basic(*({"address": a.address} for a in apps), workers=2,
                           app={"preset": "uvicorn"}))
    with Load(gw) as load:
        for i in range(4):
            old, new = apps[i % 2], start()
            well(gw, "add", f"app/{new.address}")
            well(gw, "drain", f"app/{old.address}", "--wait=20")
            old.process.terminate()
            old.process.wait(10)  # nobody keeps it: no connection is left
            well(gw, "remove", f"app/{old.address}")
            load.goes_on(100)
            apps[i % 2] = new
    posts = (tmp_path / "posts").read_bytes().split()
    assert len(posts) == len(set(posts)) and set(posts) == load.posted


def test_a_drain_lets_requests_and_keeps_none(shop):
    slow, other = shop.echo("slow"), shop.echo("other")
    gw = shop.lintel(basic(slow, app={"balance": "round_robin"}))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(gw.get("/sleep/1500")))
    thread.start()
    wait_until(lambda: slow.active == 1, "the request")
    well(gw, "add", f"app/{other.address}")
    late = ask(gw, "drain", f"app/{slow.address}", "--wait=0")
    assert late.returncode == 3 and "1 requests are still in flight" in late.stderr
    assert server(gw, slow.address)["state"] == "draining"
    for _ in range(8):
        assert json.loads(gw.get().body)["app"] == "other"
    well(gw, "drain", f"app/{slow.address}", "--wait")
    thread.join()
    assert answers[0].status == 200 and json.loads(answers[0].body)["app"] == "slow"
    gw.wait_event("server_empty", server=slow.address)
    # Its connection was not kept either.
    wait_until(lambda: server(gw, slow.address)["idle"] == 0, "no idle connection")
    well(gw, "ready", f"app/{slow.address}")
    assert server(gw, slow.address)["state"] == "ready"
    wait_until(lambda: json.loads(gw.get().body)["app"] == "slow", "requests again")


def test_a_tunnel_keeps_its_server_from_being_empty(shop):
    def switch(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                  b"Upgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        peer.until_closed()
    app = shop.origin(switch)
    gw = shop.lintel(basic(app))
    with gw.client() as client:
        client.send(head("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                      ("Sec-WebSocket-Version", "13"),
                                      ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
        assert b" 101 " in client.sock.recv(65536)
        assert ask(gw, "drain", f"app/{app.address}", "--wait=0").returncode == 3
        # The configuration that it came by is gone, the server too: the tunnel stays.
        well(gw, "remove", f"app/{app.address}")
        gw.reload(basic(app, limits={"connections": 1000}))
        assert client.waits(0.3)
    assert upstream(gw)["servers"] == []


def test_connections_of_http2_end_with_a_drain(shop):
    def serve(peer):
        while True:
            stream = peer.request()
            peer.respond(stream, 200, body=b"ok")
    app = shop.origin(h2_script(serve))
    gw = shop.lintel(basic(app, app={"protocol": "h2c", "queue": {"restart": 0}}))
    assert gw.get().status == 200
    well(gw, "drain", f"app/{app.address}", "--wait")
    wait_until(lambda: app.peers[0].sock is None or app.peers[0].sock.fileno() < 0,
               "the connection's end")
    assert gw.get().status == 503
    well(gw, "ready", f"app/{app.address}")
    assert gw.get().status == 200


def test_with_all_servers_out_requests_say_so(shop):
    apps = [shop.echo(), shop.echo()]
    gw = shop.lintel(basic(*apps, app={"queue": {"restart": 0}}))
    well(gw, "drain", f"app/{apps[0].address}")
    well(gw, "maintenance", f"app/{apps[1].address}")
    assert server(gw, apps[1].address)["state"] == "maintenance"
    response = gw.get()
    assert response.status == 503 and json.loads(response.body)["cause"] == "no_server"
    for app in apps:
        well(gw, "remove", f"app/{app.address}")
    assert gw.get().status == 503
    well(gw, "add", f"app/{apps[0].address}")
    assert gw.get().status == 200


# ---- changes ----

def test_changes_hold_over_reloads(shop):
    apps = [shop.echo("a"), shop.echo("b"), shop.echo("c"), shop.echo("d")]
    config = basic(*apps[:3])
    gw = shop.lintel(config)
    well(gw, "drain", f"app/{apps[0].address}", "--wait")
    well(gw, "remove", f"app/{apps[1].address}")
    well(gw, "weight", f"app/{apps[2].address}", "7")
    well(gw, "add", f"app/{apps[3].address}", "--weight", "3", "--max", "9", "--backup")
    before = upstream(gw)
    assert [s["address"] for s in before["servers"]] == [apps[i].address for i in (0, 2, 3)]
    assert [s["weight"] for s in before["servers"]] == [1, 7, 3]
    assert before["servers"][0]["state"] == "drained"
    added = before["servers"][2]
    assert added["source"] == "operator" and added["max"] == 9 and added["backup"] is True
    for i in range(3):
        gw.reload({**config, "limits": {"connections": 1000 + i}})
        after = upstream(gw)
        for one in (before, after):
            for s in one["servers"]:
                s.pop("requests"), s.pop("latency_ms", None), s.pop("idle")
        assert after == before
        before = upstream(gw)
    # A configuration that has the server too; then the operator takes all back.
    gw.reload(basic(*apps))
    assert server(gw, apps[3].address)["source"] == "configuration"
    well(gw, "ready", f"app/{apps[0].address}")
    well(gw, "add", f"app/{apps[1].address}")
    assert sorted(s["address"] for s in upstream(gw)["servers"]) == sorted(
        a.address for a in apps)
    wait_until(lambda: call(gw, "GET", "/status")[1]["config"]["snapshots"] == 1, "one snapshot")


def test_many_servers_come_and_go_under_load(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, workers=2, log={"level": "debug"}))
    with Load(gw, threads=3) as load:
        for i in range(120):
            address = f"127.1.{i}.1:9"
            assert call(gw, "POST", "/servers?upstream=app", {"address": address})[0] == 200
            target = server_target(address)
            assert call(gw, "PUT", target, {"state": "maintenance"})[0] == 200
            assert call(gw, "DELETE", target)[0] == 200
        load.goes_on()
    assert [s["address"] for s in upstream(gw)["servers"]] == [app.address]
    gw.wait_event("servers_forgotten", count=10)


def test_a_server_may_be_a_unix_socket(shop):
    app, more = shop.echo("first", unix=True), shop.echo("more", unix=True)
    gw = shop.lintel(basic(app))
    well(gw, "drain", f"app/{app.address}", "--wait")
    assert server(gw, app.address)["state"] == "drained"
    well(gw, "add", f"app/{more.address}")
    assert json.loads(gw.get().body)["app"] == "more"
    well(gw, "remove", f"app/{more.address}")
    well(gw, "ready", f"app/{app.address}")
    assert json.loads(gw.get().body)["app"] == "first"


def test_an_upstream_is_paused_and_resumed(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app))
    well(gw, "pause", "app")
    assert upstream(gw)["paused"] is True
    assert "PAUSED" in well(gw, "show", "upstreams") and "app, paused" in well(gw, "status")
    gw.reload(basic(app, limits={"connections": 1000}))
    assert upstream(gw)["paused"] is True
    well(gw, "resume", "app")
    assert upstream(gw)["paused"] is False
    gw.wait_event("resumed", upstream="app")
    assert gw.get().status == 200


# ---- mistakes ----

@pytest.fixture(scope="module")
def gateway(shared):
    return shared.lintel(basic(shared.echo()))


@pytest.mark.parametrize("words, status, said", [
    (["drain"], 2, "usage: lintel drain UPSTREAM/SERVER"),
    (["drain", "app"], 2, "write UPSTREAM/SERVER"),
    (["drain", "app/", "--wait"], 2, "write UPSTREAM/SERVER"),
    (["drain", "app/127.0.0.1:1", "--wait=x"], 2, "usage"),
    (["drain", "app/127.0.0.1:1", "--now"], 2, "usage"),
    (["drain", "nobody/127.0.0.1:1"], 1, "there is no upstream of that name"),
    (["drain", "app/127.0.0.1:1"], 1, "the upstream has no server with that address"),
    (["ready", "app/here"], 1, "port"),
    (["remove", "app/127.0.0.1:1"], 1, "no server with that address"),
    (["maintenance"], 2, "usage: lintel maintenance UPSTREAM/SERVER"),
    (["add", "app/127.0.0.1:1", "--weight", "0"], 1, "from 1 to 1000"),
    (["add", "app/127.0.0.1:1", "--max", "0"], 2, "usage"),
    (["add", "nobody/127.0.0.1:1"], 1, "no upstream"),
    (["weight", "app/127.0.0.1:1"], 2, "usage"),
    (["weight", "app/127.0.0.1:1", "2000"], 1, "from 1 to 1000"),
    (["weight", "app/127.0.0.1:1", "2"], 1, "no server with that address"),
    (["drain", "app/127.0.0.1:1", "--wait", "x"], 2, "usage"),
    (["ready", "app/127.0.0.1:1", "--wait"], 2, "usage: lintel ready UPSTREAM/SERVER ["),
    (["add", "app/127.0.0.1:0"], 1, "a server has a port from 1 to 65535"),
    (["add", "app/0.0.0.0:80"], 1, "no address of a server"),
    (["add", "app/[::]:80"], 1, "no address of a server"),
    (["add", "app/dns:app.internal:80"], 1, "names are looked up for the configuration"),
    (["add", "app/dns+srv:_http._tcp.app.internal"], 1, "named by their addresses"),
    (["drain", "app/127.0.0.1:1", "-c", "missing.yaml"], 1,
     "missing.yaml can't be read: name another file by -c FILE, or the admin socket by --admin"),
    (["pause"], 2, "usage: lintel pause UPSTREAM"),
    (["resume", "nobody"], 1, "no upstream"),
    (["show", "upstreams", "all"], 2, "usage: lintel show upstreams"),
])
def test_commands_say_what_is_wrong(gateway, words, status, said):
    done = command(*words) if "-c" in words else ask(gateway, *words)
    assert done.returncode == status and done.stdout == ""
    assert said in done.stderr


def test_nobody_there(tmp_path):
    done = command("drain", "app/127.0.0.1:1", "--admin", f"unix:{tmp_path}/none.sock")
    assert done.returncode == 1 and "No such file" in done.stderr
    done = command("pause", "app", "--admin", "nowhere")
    assert done.returncode == 2


@pytest.mark.parametrize("method, target, body, status, said", [
    ("GET", "/upstreams?name=nobody", None, 404, "no upstream"),
    ("DELETE", "/upstreams?name=app", None, 405, "method"),
    ("PUT", "/upstreams", {"paused": True}, 400, "?name=NAME"),
    ("PUT", "/upstreams?name=app", {"paused": 1}, 400, "true or false"),
    ("PUT", "/upstreams?name=app", {"stopped": True}, 400, "\"stopped\" can't be set here"),
    ("PUT", "/upstreams?name=app", {}, 400, "JSON object"),
    ("PUT", "/upstreams?name=app", b"{\"paused\": true, \"paused\": false}", 400, "JSON object"),
    ("PUT", "/upstreams?name=app", b"yes", 400, "JSON object"),
    ("PUT", "/upstreams?name=app", None, 400, "JSON object"),
    ("GET", "/servers?upstream=app", None, 405, "method"),
    ("POST", "/servers", {"address": "127.0.0.1:1"}, 400, "?upstream=NAME"),
    ("POST", "/servers?upstream=app", {"weight": 1}, 400, "where the server listens"),
    ("POST", "/servers?upstream=app", {"address": "app.internal:80"}, 400, ""),
    ("POST", "/servers?upstream=app", {"address": "127.0.0.1:1", "backup": 1}, 400, "backup"),
    ("POST", "/servers?upstream=app", {"address": "127.0.0.1:1", "max": 70000}, 400, "65535"),
    ("POST", "/servers?upstream=app", {"address": "127.0.0.1:1", "weight": "2"}, 400, "weight"),
    ("PUT", "/servers?upstream=app", {"state": "drain"}, 400, "&address="),
    ("PUT", "/servers?upstream=app&address=127.0.0.1:1", {"state": "gone"}, 400, "ready, drain"),
    ("PUT", "/servers?upstream=app&address=127.0.0.1:1", {"state": 3}, 400, "ready, drain"),
    ("PUT", "/servers?upstream=app&address=x", {"state": "drain"}, 400, ""),
])
def test_calls_say_what_is_wrong(gateway, method, target, body, status, said):
    got, answer = call(gateway, method, target, body)
    assert got == status and said in answer["error"] and answer["error"] != ""
    assert upstream(gateway)["paused"] is False and len(upstream(gateway)["servers"]) == 1


def test_an_address_is_there_once(gateway):
    there = upstream(gateway)["servers"][0]["address"]
    got, answer = call(gateway, "POST", "/servers?upstream=app", {"address": there})
    assert got == 409 and "has a server with that address" in answer["error"]
    mapped = "[::ffff:127.0.0.1]:" + there.split(":")[1]
    assert call(gateway, "POST", "/servers?upstream=app", {"address": mapped})[0] == 409


def test_bodies_have_limits(gateway):
    path = str(gateway.folder / "admin.sock")
    assert fetch(path, "/upstreams?name=app", "PUT", body=b"x" * 20000).status == 413
    assert fetch(path, "/upstreams?name=app", "PUT", body=[b"{}"]).status == 411
    with Client(path) as client:  # in pieces
        client.send(b"PUT /upstreams?name=app HTTP/1.1\r\nHost: l\r\nContent-Length: 17\r\n\r\n",
                    bytewise=True)
        time.sleep(0.05)
        client.send(b"{\"paused\": false}")
        assert client.response().status == 200


# ---- refused, removed, added again ----

def with_many(config, folder, n, options=""):
    """Adds upstreams with so many servers, from files."""
    for first in range(0, n, 1000):
        path = folder / f"servers-{first}"
        path.write_text("".join(f"127.1.{i // 250}.{i % 250 + 1}:1000{options}\n"
                                for i in range(first, min(first + 1000, n))))
        config["upstreams"][f"many-{first}"] = {"servers_file": str(path)}


def test_what_is_refused_is_not_kept(shop, tmp_path):
    app = shop.echo()
    config = basic({"address": app.address, "max": 9}, {"address": "127.0.0.1:7"})
    with_many(config, tmp_path, 4095, " max=1")
    config["admin"]["state_file"] = str(tmp_path / "state")
    gw = shop.lintel(config)
    gw.allowed.add("servers_not_taken")
    refused = ask(gw, "add", "app/127.0.0.1:8", "--max", "4")
    assert refused.returncode == 1 and "too many servers" in refused.stderr
    assert server(gw, "127.0.0.1:8") is None
    # Later changes are not in its way, nor is it in theirs.
    well(gw, "drain", "app/127.0.0.1:7")
    well(gw, "weight", f"app/{app.address}", "3")
    assert [s["address"] for s in upstream(gw)["servers"]] == [app.address, "127.0.0.1:7"]
    assert json.loads((tmp_path / "state").read_text())["upstreams"]["app"]["servers"].keys() == {
        app.address, "127.0.0.1:7"}
    well(gw, "add", "app/127.0.0.1:8")
    assert "max" not in server(gw, "127.0.0.1:8")


def test_a_removed_server_gets_nothing_from_older_configurations(shop):
    apps = [shop.echo("gone"), shop.echo("stays")]
    config = basic(*apps)
    gw = shop.lintel(config)
    clients = [Client(gw.plain) for _ in range(8)]
    for client in clients:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
    wait_until(lambda: call(gw, "GET", "/status")[1]["exchanges"] == 8, "the uploads")
    gw.reload({**config, "limits": {"connections": 1000}})
    well(gw, "remove", f"app/{apps[0].address}")
    for client in clients:
        client.send(b"56789")
        assert json.loads(client.response().body)["app"] == "stays"
        client.close()
    well(gw, "add", f"app/{apps[0].address}")
    wait_until(lambda: json.loads(gw.get().body)["app"] == "gone", "requests for it again")


def test_a_server_that_is_added_again_is_as_asked(shop):
    app = shop.echo()
    gw = shop.lintel(basic({"address": app.address, "weight": 5}))
    well(gw, "remove", f"app/{app.address}")
    well(gw, "add", f"app/{app.address}")
    assert server(gw, app.address)["weight"] == 5
    well(gw, "remove", f"app/{app.address}")
    well(gw, "add", f"app/{app.address}", "--weight", "7", "--max", "3", "--backup")
    now = server(gw, app.address)
    assert (now["weight"], now["max"], now["backup"]) == (7, 3, True)
    assert now["source"] == "configuration" and gw.get().status == 200
    well(gw, "remove", f"app/{app.address}")
    assert server(gw, app.address) is None


def test_all_that_empties_a_server_may_wait(shop):
    slow, other = shop.echo("slow"), shop.echo("other")
    gw = shop.lintel(basic(slow))
    name = f"app/{slow.address}"
    thread = threading.Thread(target=gw.get, args=("/sleep/1500",))
    thread.start()
    wait_until(lambda: slow.active == 1, "the request")
    well(gw, "add", f"app/{other.address}")
    for words in (("drain", name, "--wait", "0"), ("maintenance", name, "--wait=0"),
                  ("remove", "--wait", "0", name)):
        late = ask(gw, *words)
        assert late.returncode == 3 and "still in flight" in late.stderr, words
    assert "goes on draining and was not removed" in late.stderr
    assert server(gw, slow.address)["state"] == "draining"
    well(gw, "maintenance", name, "--wait", "20")
    thread.join()
    assert server(gw, slow.address)["empty"] is True
    well(gw, "remove", name, "--wait")
    assert server(gw, slow.address) is None


# ---- what is said of a server ----

def shown(gw, address):
    """What `show upstreams` has behind the address."""
    lines = well(gw, "show", "upstreams").splitlines()
    return next(line.split(address)[1].strip() for line in lines if address in line)


def test_one_word_says_what_holds_for_a_server(shop):
    app, failing = shop.echo("app"), shop.echo("failing")
    config = basic(app, {"address": "127.0.0.1:1"})
    config["upstreams"]["app"]["health"] = {"tcp": True, "every": "100ms", "fall": 1}
    config["upstreams"]["bad"] = {
        "servers": [failing.address, app.address],
        "balance": "round_robin", "outliers": {"errors": 1, "time": "60s"}}
    config["upstreams"]["broken"] = {
        "servers": [failing.address],
        "breaker": {"rate": "1%", "requests": 1, "open": "60s"}}
    config["sites"][0]["routes"] += [{"match": "/status/*", "to": "bad"},
                                     {"match": "/broken/*", "strip": "/broken", "to": "broken"}]
    gw = shop.lintel(config)
    wait_until(lambda: shown(gw, "127.0.0.1:1 ").startswith("down (check)"), "a failed check")
    for path in ("/status/503", "/status/503", "/broken/status/503"):
        gw.get(path)

    def states(name):
        lines = well(gw, "show", "upstreams").splitlines()
        return lines[next(i for i, line in enumerate(lines) if line.startswith(name)) + 1:]

    wait_until(lambda: " ejected for 60 s " in states("bad")[0] + states("bad")[1] or
               " ejected for 59 s " in states("bad")[0] + states("bad")[1], "an ejection")
    wait_until(lambda: " breaker open " in states("broken")[0], "an open breaker")
    assert shown(gw, app.address).startswith("up ")
    well(gw, "maintenance", f"app/{app.address}")
    assert shown(gw, app.address).startswith("maintenance ")
    well(gw, "drain", f"app/{app.address}", "--wait=20")
    assert shown(gw, app.address).startswith("drained ")


# ---- the admin socket ----

def connect(gw):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(gw.folder / "admin.sock"))
    return client


def test_idle_admin_connections_make_room(shop):
    gw = shop.lintel(basic(shop.echo()))
    idle = [connect(gw) for _ in range(40)]
    assert "app" in well(gw, "show", "upstreams")
    # Who had to go is told so.
    said = idle[0].recv(4096)
    assert b" 503 " in said and b"too many connections to the admin socket" in said
    for client in idle:
        client.close()
    assert "app" in well(gw, "show", "upstreams")


def test_who_finds_no_room_at_the_admin_socket_is_told(shop, tmp_path):
    config = basic(shop.echo())
    with_many(config, tmp_path, 2000)
    gw = shop.lintel(config)
    gw.allowed.add("connections_full")
    busy = [connect(gw) for _ in range(32)]
    for client in busy:  # and doesn't read the answer, which is more than the socket holds
        client.sendall(b"GET /upstreams HTTP/1.1\r\nHost: lintel\r\n\r\n")
    refused = wait_until(lambda: (done := ask(gw, "show", "upstreams")).returncode and done,
                         "a refusal")
    assert "too many connections to the admin socket (32 are open)" in refused.stderr
    assert "try again" in refused.stderr
    for client in busy:
        client.close()
    wait_until(lambda: ask(gw, "show", "upstreams").returncode == 0, "room")


def test_an_answer_that_was_cut_is_no_answer(tmp_path):
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer():
            conn = listener.accept()[0]
            conn.recv(4096)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]")
            conn.close()

        thread = threading.Thread(target=answer)
        thread.start()
        done = command("show", "upstreams", "--admin", f"unix:{path}")
        thread.join()
    assert done.returncode == 1 and "Connection reset" in done.stderr and done.stdout == ""
