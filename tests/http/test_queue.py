# SPDX-License-Identifier: Apache-2.0
"""Requests that wait for a server: in order, bounded, and not longer than they may."""
import json
import os
import socket
import threading
import time

import pytest

from lib.client import head
from lib.configs import basic
from lib.gateway import command, slowness
from lib.h2_origin import h2_script
from lib.origin import OK, EchoOrigin
from lib.prometheus import Metrics
from lib.wait import wait_until

RATE = 200   # requests a second while the application is stopped
STOPPED = 4  # seconds


def one_seat(app, **queue):
    options = {"queue": queue} if queue else {}
    return basic({"address": app.address, "max": 1}, app=options)


def metric(gw, name):
    return Metrics(gw.admin("/metrics").body.decode()).sum(name)


def queued(gw):
    return metric(gw, "lintel_queued")


def denied(gw, response, cause):
    """What a request that was turned away gets, and what the log says about it."""
    told = json.loads(response.body)
    assert (response.status, told["cause"]) == (503, cause), told
    assert 1 <= int(response.headers.get("retry-after")) <= 60
    return gw.access(id=told["request_id"])[0]


class Asking:
    """Requests that are sent one after the other, each on a connection of its own, and whose
    responses are read later."""

    def __init__(self, gw):
        self.gw, self.clients = gw, []

    def send(self, target="/", headers=()):
        client = self.gw.client()
        client.send(head("GET", target, headers))
        self.clients.append(client)
        return client

    def send_in_order(self, count, first=0):
        """Each waits before the next is sent."""
        for i in range(count):
            before = queued(self.gw)
            self.send(f"/{first + i}")
            wait_until(lambda n=before: queued(self.gw) > n, "the request to wait")

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        for client in self.clients:
            client.close()


class Gate(EchoOrigin):
    """An application that answers when it is told to."""

    def __init__(self, **options):
        self.go = threading.Semaphore(0)
        super().__init__(**options)

    def _answer(self, peer, request):
        while not self.stopping.is_set() and not self.go.acquire(timeout=0.1):
            pass
        return super()._answer(peer, request)


@pytest.fixture
def gate(shop):
    return shop._keep(Gate())  # pylint: disable=protected-access


def targets(app):
    return [r.target for r in app.requests]


def test_all_are_served_in_order_over_four_workers(shop):
    """More clients than places: nobody is turned away, and never more than max get in."""
    app = shop.echo(delay=0.005)
    gw = shop.lintel({**one_seat(app), "workers": 4})
    results, lock = [], threading.Lock()

    def ask(n):
        with gw.client() as client:
            for i in range(6):
                status = client.request(target=f"/{n}/{i}").status
                with lock:
                    results.append((time.monotonic(), n, i, status))
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r[3] for r in results] == [200] * 300
    assert app.peak == 1
    # Each waits behind all others, so nobody gets far ahead: the order is that of the requests.
    rounds = [i for _, _, i, _ in sorted(results)]
    late = max(abs(place // 50 - i) for place, i in enumerate(rounds))
    assert late <= 2, rounds
    wait_until(lambda: queued(gw) == 0, "the queue to be empty")
    assert metric(gw, "lintel_queue_waited_total") >= 200


def test_one_worker_serves_in_the_order_of_arrival(shop, gate):
    gw = shop.lintel({**one_seat(gate), "workers": 1})
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(6)
        for _ in range(7):
            gate.go.release()
        for client in asking.clients:
            assert client.response().status == 200
    assert targets(gate) == ["/first", *(f"/{i}" for i in range(6))]
    assert gate.peak == 1


def test_queue_full(shop, gate):
    gw = shop.lintel(one_seat(gate, size=2))
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(2)
        line = denied(gw, gw.get(), "queue_full")
        assert "2 wait for upstream app, 1 of 1 in flight" in line["detail"]
        assert "size 2" in line["detail"]
        assert metric(gw, "lintel_queue_full_total") == 1
        for _ in range(3):
            gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 3


def test_queue_timeout(shop, gate):
    gw = shop.lintel(one_seat(gate, wait="300ms"))
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        began = time.monotonic()
        line = denied(gw, gw.get(), "queue_timeout")
        assert 0.28 < time.monotonic() - began < 5
        assert "waited 0.3 s" in line["detail"] and "wait 0.3 s" in line["detail"]
        assert "1 of 1 in flight" in line["detail"]
        assert metric(gw, "lintel_queue_timeout_total") == 1
        gate.go.release()
        assert asking.clients[0].response().status == 200


def test_queue_overload(shop, gate):
    """Who waited for too long makes room for those who still have time; they get in first."""
    gw = shop.lintel({**one_seat(gate, target="1s", interval="300ms", wait="20s"), "workers": 1})
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(2)
        old = asking.clients[1:]
        time.sleep(0.7)
        asking.send_in_order(2, first=10)
        young = asking.clients[3:]
        lines = [denied(gw, client.response(), "queue_overload") for client in old]
        assert "target 1.0 s, interval 0.3 s" in lines[0]["detail"]
        assert metric(gw, "lintel_queue_overload_total") == 2
        gate.go.release()
        gate.go.release()
        assert young[1].response().status == 200
        gate.go.release()
        assert young[0].response().status == 200
    assert targets(gate) == ["/first", "/11", "/10"]


def test_clients_that_leave_are_removed_at_once(shop, gate):
    gw = shop.lintel(one_seat(gate, size=3))
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(3)
        for client in asking.clients[1:3]:
            client.reset()
        wait_until(lambda: queued(gw) == 1, "the clients to be gone")
        assert metric(gw, "lintel_queue_left_total") == 2
        asking.clients[1:3] = []
        asking.send_in_order(2, first=7)
        for _ in range(4):
            gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 4
    assert sorted(targets(gate)) == ["/2", "/7", "/8", "/first"]
    assert len(gw.access(2, cause="client_gone")) == 2


@pytest.mark.parametrize(("leave", "length"), [("reset", 0), ("reset", 200000), ("close", 0)])
def test_clients_that_asked_for_more_and_left_are_removed(shop, gate, leave, length):
    gw = shop.lintel({**one_seat(gate, wait="60s", target="60s"), "workers": 1})
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        client = gw.client()
        client.send(head("GET", "/gone") + head("GET", "/more") + b"GET /" + b"x" * length)
        wait_until(lambda: queued(gw) == 1, "the request to wait")
        getattr(client, leave)()
        wait_until(lambda: queued(gw) == 0, "the client to be gone")
        assert gw.access(1, path="/gone")[0]["cause"] == "client_gone"
        gate.go.release()
        assert asking.clients[0].response().status == 200
    assert targets(gate) == ["/first"]


def test_a_client_that_asked_for_all_and_ended_its_side_gets_all(shop, gate):
    config = {**one_seat(gate, wait="60s", target="60s"), "workers": 1}
    config["listen"][0]["timeouts"] = {"half_closed": "20s"}
    gw = shop.lintel(config)
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        client = asking.send("/0")
        client.send(head("GET", "/1") + head("GET", "/2"))
        client.finish_sending()
        time.sleep(1.5)  # it is looked for meanwhile
        for _ in range(4):
            gate.go.release()
        assert [client.response().status for _ in range(3)] == [200] * 3
        assert client.ends()
    assert targets(gate) == ["/first", "/0", "/1", "/2"]


def test_the_whole_time_of_an_exchange_ends_its_wait(shop, gate):
    gw = shop.lintel(basic({"address": gate.address, "max": 1}, routes=[
        {"match": "/*", "to": "app"},
        {"match": "/short", "to": "app", "timeouts": {"total": "300ms"}}]))
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        response = gw.get("/short")
        assert (response.status, json.loads(response.body)["cause"]) == (504, "deadline")
        wait_until(lambda: queued(gw) == 0, "the queue to be empty")
        gate.go.release()
        assert asking.clients[0].response().status == 200
    assert targets(gate) == ["/first"]


def test_a_filter_gives_a_priority(shop, gate):
    (shop.folder / "class.lua").write_text("""return {
  request = function(ctx)
    if not pcall(function() ctx.priority = ctx.req.headers["x-class"] or ctx.priority end) then
      return ctx:respond{status = 400, body = ctx.priority}
    end
  end,
}
""")
    config = {**one_seat(gate, size=4), "workers": 1, "filters": {
        "class": {"filter": str(shop.folder / "class.lua")}}}
    config["sites"][0]["routes"][0]["filters"] = ["class"]
    gw = shop.lintel(config)
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        for i, name in enumerate(("low", "normal", "high", "low")):
            before = queued(gw)
            asking.send(f"/{name}{i}", [("X-Class", name)])
            wait_until(lambda n=before: queued(gw) > n, "the request to wait")
        # The queue is full: the youngest of the least urgent makes room.
        asking.send("/high4", [("X-Class", "high")])
        denied(gw, asking.clients.pop(4).response(), "queue_full")
        denied(gw, gw.get("/low5", headers={"X-Class": "low"}), "queue_full")
        for _ in range(5):
            gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 5
        response = gw.get(headers={"X-Class": "urgent"})  # there is no such class
        assert (response.status, response.body) == (400, b"normal")
    assert targets(gate)[:5] == ["/first", "/high2", "/high4", "/normal1", "/low0"]


def test_full_connections_of_http2_are_waited_for(shop):
    go = threading.Event()

    @h2_script
    def script(h2):
        while True:
            stream = h2.request()
            go.wait(20)
            h2.respond(stream, 200, body=b"ok")
    origin = shop.origin(script)
    gw = shop.lintel(basic(origin, workers=1, app={"protocol": "h2c",
                                        "http2": {"streams": 1, "connections": 1}}))
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: origin.requests, "the first request at the server")
        asking.send("/0")
        asking.send("/1")
        wait_until(lambda: queued(gw) == 2, "two requests to wait")
        go.set()
        assert [c.response().status for c in asking.clients] == [200] * 3


def test_a_paused_upstream_holds_requests(shop):
    app = shop.echo()
    gw = shop.lintel({**basic(app, app={"queue": {"wait": "20s"}}), "workers": 2})
    admin = f"unix:{gw.folder}/admin.sock"
    assert command("pause", "app", "--admin", admin).returncode == 0
    with Asking(gw) as asking:
        asking.send_in_order(5)
        assert targets(app) == []
        assert command("resume", "app", "--admin", admin).returncode == 0
        assert [c.response().status for c in asking.clients] == [200] * 5


def test_a_paused_upstream_holds_requests_that_wait_for_places(shop, gate):
    """Places that become free meanwhile are for nobody."""
    gw = shop.lintel({**one_seat(gate, wait="60s", target="60s"), "workers": 1})
    admin = f"unix:{gw.folder}/admin.sock"
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(3)
        assert command("pause", "app", "--admin", admin).returncode == 0
        for _ in range(5):
            gate.go.release()
        assert asking.clients[0].response().status == 200
        asking.send_in_order(1, first=3)
        assert targets(gate) == ["/first"] and queued(gw) == 4
        assert command("resume", "app", "--admin", admin).returncode == 0
        assert [c.response().status for c in asking.clients[1:]] == [200] * 4
    assert targets(gate) == ["/first", "/0", "/1", "/2", "/3"]


def test_a_paused_upstream_without_a_queue_says_so(shop):
    gw = shop.lintel(basic(shop.echo(), app={"queue": {"size": 0}}))
    admin = f"unix:{gw.folder}/admin.sock"
    assert command("pause", "app", "--admin", admin).returncode == 0
    assert "it is paused" in denied(gw, gw.get(), "upstream_paused")["detail"]
    assert metric(gw, "lintel_queue_full_total") == 0
    assert command("resume", "app", "--admin", admin).returncode == 0
    assert gw.get().status == 200


@pytest.mark.parametrize("how", ["maintenance", "remove"])
def test_who_waits_for_a_server_that_is_taken_out_is_told_so(shop, gate, how):
    gw = shop.lintel({**one_seat(gate, wait="60s"), "workers": 1})
    admin = f"unix:{gw.folder}/admin.sock"
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(2)
        assert command(how, f"app/{gate.address}", "--admin", admin).returncode == 0
        for client in asking.clients[1:]:
            line = denied(gw, client.response(), "no_server")
            assert "1 drained or in maintenance" in line["detail"] or how == "remove", line
        assert metric(gw, "lintel_queue_timeout_total") == 0
        gate.go.release()
        assert asking.clients[0].response().status == 200


def test_waits_for_a_drained_server_are_counted_when_they_end(shop, gate):
    gw = shop.lintel({**one_seat(gate, wait="500ms"), "workers": 1})
    admin = f"unix:{gw.folder}/admin.sock"
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        assert command("drain", f"app/{gate.address}", "--admin", admin).returncode == 0
        asking.send("/0")
        asking.send("/1")
        for client in asking.clients[1:]:
            denied(gw, client.response(), "queue_timeout")
        assert metric(gw, "lintel_queue_timeout_total") == 2
        gate.go.release()
        assert asking.clients[0].response().status == 200


def test_the_time_at_the_server_is_not_that_in_the_queue(shop, gate):
    gw = shop.lintel({**one_seat(gate, wait="60s", target="60s"), "workers": 1})
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(1)
        time.sleep(2)
        gate.go.release()
        gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 2
    line = gw.access(1, path="/0")[0]
    assert line["duration_ms"] - line["upstream_ms"] > 1500, line


def test_the_time_at_the_server_is_not_that_of_its_restart(shop):
    path = shop.folder / "app.sock"
    gw = shop.lintel(basic({"address": f"unix:{path}"}))
    with Asking(gw) as asking:
        asking.send_in_order(1)
        time.sleep(2)
        app = EchoOrigin(path=path)
        assert asking.clients[0].response().status == 200
        app.stop()
    line = gw.access(1, path="/0")[0]
    assert line["duration_ms"] - line["upstream_ms"] > 1500, line


def test_a_paused_upstream_holds_them_for_queue_wait(shop):
    gw = shop.lintel(basic(shop.echo(), app={"queue": {"wait": "300ms"}}))
    admin = f"unix:{gw.folder}/admin.sock"
    assert command("pause", "app", "--admin", admin).returncode == 0
    assert "it is paused" in denied(gw, gw.get(), "queue_timeout")["detail"]


# Applications that restart.

def test_a_missing_socket_is_waited_for(shop):
    path = shop.folder / "app.sock"
    gw = shop.lintel(basic({"address": f"unix:{path}"}))
    with Asking(gw) as asking:
        asking.send_in_order(3)
        app = EchoOrigin(path=path)
        assert [c.response().status for c in asking.clients] == [200] * 3
        app.stop()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_waits_in_vain_is_told_what_the_server_did(shop, method):
    gw = shop.lintel(basic(shop.refusing(), app={"queue": {"restart": "500ms"}}))
    began = time.monotonic()
    response = gw.get(method=method, body=b"x" if method == "POST" else None)
    assert json.loads(response.body)["cause"] == "connect_refused_by_server"
    assert 0.45 < time.monotonic() - began < 10
    # From then on nobody waits for it.
    began = time.monotonic()
    for _ in range(3):
        assert json.loads(gw.get().body)["cause"] == "connect_refused_by_server"
    assert time.monotonic() - began < 0.4 * slowness()


def test_a_server_that_is_up_is_not_kept_waiting_by_one_that_is_not(shop):
    app = shop.echo()
    gw = shop.lintel({**basic(shop.refusing(), app), "workers": 1})
    began = time.monotonic()
    assert [gw.get().status for _ in range(20)] == [200] * 20
    assert time.monotonic() - began < 2 * slowness()
    assert metric(gw, "lintel_queue_waited_total") == 0


class Restarting:
    """An application of several servers whose processes stop and start again."""

    def __init__(self, count):
        self.ports, self.served = [], []
        self._lock = threading.Lock()
        for _ in range(count):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", 0))
                self.ports.append(sock.getsockname()[1])
        self._listeners = []
        self.running = False

    def start(self):
        self.running = True
        for port in self.ports:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            sock.listen(512)
            self._listeners.append(sock)
            threading.Thread(target=self._accept, args=(sock,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        """One request a connection, as gunicorn's sync workers do; what was taken is answered."""
        with sock:
            data = b""
            while b"\r\n\r\n" not in data:
                more = sock.recv(65536)
                if not more:
                    return
                data += more
            with self._lock:
                self.served.append(int(data.split(b" ")[1][1:]))
            sock.sendall(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    def stop(self):
        self.running = False
        for sock in self._listeners:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._listeners = []


def test_an_application_that_is_stopped_for_some_seconds_loses_no_request(shop):
    """The load goes on while all servers are down: all of it is answered, in the order in which it
    came, and soon after they are back."""
    app = Restarting(3)
    app.start()
    gw = shop.lintel({**basic(*({"address": f"127.0.0.1:{p}", "max": 8} for p in app.ports),
                              app={"keepalive": {"max": 0}}), "workers": 2})
    results, lock, threads = [], threading.Lock(), []
    rate = RATE if slowness() <= 1 else RATE // 4

    def ask(number):
        began = time.monotonic()
        try:
            status = gw.get(f"/{number}", method="POST" if number % 4 == 0 else "GET",
                            body=b"x" if number % 4 == 0 else None).status
        except OSError as error:
            status = str(error)
        with lock:
            results.append((number, status, time.monotonic() - began))
    began, number, stop_at, start_at = time.monotonic(), 0, 1, 1 + STOPPED
    stopped = False
    while (now := time.monotonic() - began) < start_at + 2:
        if not stopped and now >= stop_at:
            app.stop()
            stopped = True
        elif not app.running and now >= start_at:
            app.start()
        thread = threading.Thread(target=ask, args=(number,), daemon=True)
        thread.start()
        threads.append(thread)
        number += 1
        time.sleep(max(0, began + number / rate - time.monotonic()))
    for thread in threads:
        thread.join(30)
    app.stop()
    assert len(results) == number
    assert [r for r in results if r[1] != 200] == []
    assert sorted(app.served) == list(range(number)), "each once"
    times = sorted(took for _, _, took in results)
    p99 = times[int(number * 0.99)]
    print(f"{number} requests, p99 {p99:.2f} s, longest {times[-1]:.2f} s")
    assert p99 < STOPPED + 0.5 * slowness(), p99
    # Those that waited went in the order in which they had come, but for what several workers and
    # several servers at once make of it.
    waited = [n for n in app.served if rate * stop_at < n < rate * (start_at - 1)]
    off = sorted(abs(n - place) for n, place in zip(waited, sorted(waited)))
    assert off[int(len(off) * 0.9)] < number * 0.2, off[-1]


# What becomes of places.

def test_a_killed_gateway_leaves_no_place_taken(shop, gate):
    gw = shop.lintel(one_seat(gate))
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(3)
        gw.allowed.add("gateway_exited")
        os.kill(gw.gateway_pid(), 9)
        gw.wait_event("ready", 2)
    for _ in range(10):
        gate.go.release()
    wait_until(lambda: not gate.active, "the server to be free")
    assert [gw.get().status for _ in range(3)] == [200] * 3


def test_who_waits_is_served_while_the_gateway_ends(shop, gate):
    gw = shop.lintel({**one_seat(gate), "workers": 4})
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(8)
        gw.signal(15)
        gw.wait_event("draining")
        for _ in range(9):
            gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 9


def test_requests_of_an_older_configuration_do_not_hold_up_those_of_the_new_one(shop, gate):
    """The old server hangs: who waits for it goes to the new one too."""
    live = shop.echo()
    queue = {"queue": {"wait": "60s", "target": "60s"}}
    gw = shop.lintel({**basic({"address": gate.address, "max": 1}, app=queue), "workers": 1})
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(3)
        gw.reload({**basic({"address": live.address, "max": 2}, app=queue), "workers": 1})
        assert [gw.get(f"/new{i}").status for i in range(5)] == [200] * 5
        assert [c.response().status for c in asking.clients[1:]] == [200] * 3
        gate.go.release()
        assert asking.clients[0].response().status == 200
    assert sorted(targets(live)[:3]) == ["/0", "/1", "/2"]


def test_who_waits_for_a_server_that_is_down_goes_to_the_one_a_reload_names(shop):
    """Also when a reload names one that is down too, before."""
    live = shop.echo()
    queue = {"queue": {"wait": "60s", "restart": "60s"}}
    gw = shop.lintel({**basic(shop.refusing(), app=queue), "workers": 1})
    with Asking(gw) as asking:
        asking.send_in_order(3)
        gw.reload({**basic(shop.refusing(), app=queue), "workers": 1})
        asking.send_in_order(1, first=3)
        gw.reload({**basic(live, app=queue), "workers": 1})
        assert [c.response().status for c in asking.clients] == [200] * 4
        assert gw.get().status == 200
    assert sorted(targets(live)) == ["/", "/0", "/1", "/2", "/3"]


def test_an_upstream_that_a_reload_removes_serves_those_who_wait(shop, gate):
    config = one_seat(gate)
    gw = shop.lintel({**config, "workers": 1})
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(2)
        config["upstreams"] = {"other": {"servers": [{"address": gate.address, "max": 1}]}}
        config["sites"][0]["routes"] = [{"match": "/*", "to": "other"}]
        gw.reload({**config, "workers": 1})
        for _ in range(3):
            gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 3


def test_who_waits_gets_the_places_that_a_reload_adds(shop, gate):
    def config(places):
        return {**basic({"address": gate.address, "max": places},
                        app={"queue": {"wait": "60s", "target": "60s"}}), "workers": 1}
    gw = shop.lintel(config(1))
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(4)
        gw.reload(config(3))
        wait_until(lambda: gate.active == 3, "two more requests at the server")
        asking.send_in_order(1, first=4)
        for _ in range(6):
            gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 6
    assert sorted(targets(gate)[:3]) == ["/0", "/1", "/first"] and gate.peak == 3


def test_who_waits_is_served_by_what_a_reload_makes_of_the_upstream(shop, gate):
    config = one_seat(gate)
    gw = shop.lintel(config)
    with Asking(gw) as asking:
        asking.send("/first")
        wait_until(lambda: gate.active, "the first request at the server")
        asking.send_in_order(4)
        config["upstreams"]["app"]["servers"][0]["max"] = 3
        gw.reload(config)
        asking.send("/new")
        wait_until(lambda: gate.active >= 2, "more requests at the server")
        for _ in range(6):
            gate.go.release()
        assert [c.response().status for c in asking.clients] == [200] * 6
    assert gate.peak <= 3
