# SPDX-License-Identifier: Apache-2.0
"""Health of servers: checks that Lintel makes, servers ejected for their requests, the breaker."""
import json
import re
import ssl
import time
from concurrent import futures

import grpc
import pytest

from lib.configs import basic
from lib.gateway import command, text_of
from lib.h2_origin import h2_script
from lib.origin import EchoOrigin, always
from lib.wait import wait_until

FAST = {"get": "/healthz", "every": "50ms", "down_every": "50ms", "timeout": "5s"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SICK = b"HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n"


class App(EchoOrigin):
    """An application whose health and answers can be changed."""

    def __init__(self, name, tls=None):
        self.health, self.health_delay, self.health_body = 200, 0.0, b"fine"
        self.head_bodies = False  # sends bodies after HEAD too
        self.checks = []          # requests of checks
        self.answer = None        # status of all other requests; None: as they wish
        self.requests_served = 0  # other requests
        super().__init__(name, tls=tls)

    def _answer(self, peer, request):
        if request.target.startswith("/healthz"):
            self.checks.append(request)
            peer.pause(self.health_delay)
            return [b"HTTP/1.1 %d Health\r\nContent-Length: %d\r\n\r\n"
                    % (self.health, len(self.health_body))
                    + (b"" if request.method == "HEAD" and not self.head_bodies
                       else self.health_body)]
        self.requests_served += 1
        if self.answer is not None:
            return [b"HTTP/1.1 %d Told\r\nContent-Length: 0\r\n\r\n" % self.answer]
        return super()._answer(peer, request)


@pytest.fixture
def apps(shop):
    """Makes applications by name."""
    def make(*names, **options):
        made = [App(name, **options) for name in names]
        shop.finally_(*(app.stop for app in made))
        return made
    return make


def told(gateway, address, upstream="app"):
    """What the status says of a server."""
    status = json.loads(gateway.admin("/status").body)
    servers = {u["name"]: u["servers"] for u in status["upstreams"]}[upstream]
    return next(s for s in servers if s["address"] == address)


def whole(gateway, upstream="app"):
    status = json.loads(gateway.admin("/status").body)
    return next(u for u in status["upstreams"] if u["name"] == upstream)


def health(gateway, app):
    return told(gateway, app.address)["health"]


def gauge(gateway, name, **labels):
    """The value of a sample with these labels, or None."""
    for line in gateway.admin("/metrics").body.decode().splitlines():
        match = re.fullmatch(r"lintel_(\w+)(?:\{(.*)\})? (\S+)", line)
        if match and match.group(1) == name and all(
                f'{k}="{v}"' in (match.group(2) or "") for k, v in labels.items()):
            return float(match.group(3))
    return None


def who(gateway, n=20):
    """The names of the applications that answered n requests."""
    return [gateway.get("/").headers.get("server") for _ in range(n)]


# ---- checks ----

def test_a_server_that_fails_its_checks_gets_no_request_and_comes_back(lintel, apps):
    well, sick = apps("well", "sick")
    gateway = lintel(basic(well, sick, app={"health": FAST}))
    wait_until(lambda: sick.checks and well.checks, "checks of both")
    assert {"well", "sick"} == set(who(gateway, 60))
    sick.health = 500
    event = gateway.wait_event("server_down", server=sick.address, upstream="app")
    assert event["reason"] == "its checks failed"
    assert event["detail"] == "status 500"
    served = sick.requests_served
    assert set(who(gateway)) == {"well"}
    assert sick.requests_served == served
    facts = told(gateway, sick.address)
    assert facts["health"] == "checks_failed"
    assert facts["check"]["state"] == "down"
    assert facts["check"]["last_error"] == facts["last_error"] == "status 500"
    assert facts["down"]
    assert whole(gateway)["up"] == 1
    assert gauge(gateway, "server_up", server=sick.address) == 0
    assert gauge(gateway, "server_up", server=well.address) == 1
    assert gauge(gateway, "server_checks_failed_total", server=sick.address) >= 2
    sick.health = 200
    gateway.wait_event("server_up", server=sick.address)
    assert gauge(gateway, "server_up", server=sick.address) == 1
    assert {"well", "sick"} == set(who(gateway, 60))
    assert len(gateway.events("server_down")) == 1


def test_fall_and_rise_count_checks_in_a_row(lintel, apps):
    (app,) = apps("app")
    gateway = lintel(basic(app, app={"health": {**FAST, "fall": 4, "rise": 3}}))
    wait_until(lambda: app.checks, "a check")
    app.health = 500
    wait_until(lambda: health(gateway, app) == "checks_failed", "it to be down")
    facts = told(gateway, app.address)["check"]
    assert facts["failed"] >= 4
    app.health = 204
    app.health_body = b""
    before = len(app.checks)
    wait_until(lambda: health(gateway, app) == "up", "it to be up")
    assert len(app.checks) - before >= 3


def test_a_flapping_server_makes_no_storm(lintel, apps):
    (app,) = apps("app")
    gateway = lintel(basic(app, app={"health": {**FAST, "every": "10ms", "down_every": "10ms",
                                                "fall": 1, "rise": 1}}))
    wait_until(lambda: app.checks, "a check")
    began = time.monotonic()
    while time.monotonic() - began < 2:
        app.health = 200 if app.health == 500 else 500
        seen = len(app.checks)
        wait_until(lambda seen=seen: len(app.checks) > seen + 1, "further checks")
    took = time.monotonic() - began
    assert len(app.checks) > 30
    assert len(gateway.events("server_down")) + len(gateway.events("server_up")) <= took / 0.5 + 2


def test_a_slow_check_has_failed(lintel, apps):
    (app,) = apps("app")
    gateway = lintel(basic(app, app={"health": {**FAST, "timeout": "100ms", "fall": 1}}))
    wait_until(lambda: app.checks, "a check")
    assert health(gateway, app) == "up"
    app.health_delay = 2.0
    wait_until(lambda: health(gateway, app) == "checks_failed", "it to be down")
    assert told(gateway, app.address)["check"]["last_error"] == "no answer after 100 ms"


@pytest.mark.parametrize("protocol", ["h1", "h2c"])
def test_a_check_by_head_that_is_answered_with_a_body(lintel, shop, apps, protocol):
    asked = []
    if protocol == "h2c":
        @h2_script
        def sloppy(h2):
            while True:
                stream = h2.request()
                asked.append(stream)
                h2.headers(stream, [(":status", "200")])
                h2.data(stream, b"fine", end=True)
        server = shop.origin(sloppy)
    else:
        (server,) = apps("app")
        server.head_bodies, asked = True, server.checks
    gateway = lintel(basic(server, app={"protocol": protocol, "health": {**FAST, "method": "HEAD"}}))
    wait_until(lambda: len(asked) > 3, "checks")
    assert health(gateway, server) == "up"


def test_what_a_check_asks_for(lintel, apps):
    (app,) = apps("app")
    gateway = lintel(basic(app, app={"health": {
        **FAST, "get": "/healthz?deep=1", "method": "HEAD", "host": "check.test",
        "headers": {"X-Check": "yes", "User-Agent": "mine"}}}))
    wait_until(lambda: len(app.checks) > 2, "checks")
    request = app.checks[0]
    assert (request.method, request.target) == ("HEAD", "/healthz?deep=1")
    assert request.headers.get("host") == "check.test"
    assert request.headers.get("x-check") == "yes"
    assert request.headers.get("user-agent") == "mine"
    assert health(gateway, app) == "up"


@pytest.mark.parametrize("wish, body, status, error", [
    ({"expect": 200}, b"fine", 204, "status 204"),
    ({"expect": ["200-299", 401]}, b"", 401, None),
    ({"body": "fine"}, b"all is fine here", 200, None),
    ({"body": "fine"}, b"all is lost", 200, 'the body lacks "fine"'),
    ({"body_regex": '"db": *"up"'}, b'{"db":  "up"}', 200, None),
    ({"body_regex": '"db": *"up"'}, b'{"db": "down"}', 200, "the body does not match body_regex"),
    ({"body": "end", "max_body": 10}, b"x" * 5000 + b"end", 200, 'the body lacks "end"'),
    ({"max_body": 10}, b"x" * 100000, 200, None),
    ({"body": "x" + "\u00e4" * 60}, b"", 200, 'the body lacks "x' + "\u00e4" * 29 + '"'),
])
def test_what_passes_a_check(lintel, apps, wish, body, status, error):
    (app,) = apps("app")
    app.health, app.health_body = status, (b"" if status == 204 else body)
    gateway = lintel(basic(app, app={"health": {**FAST, "fall": 1, **wish}}))
    state = "down" if error else "up"
    facts = wait_until(lambda: (f := told(gateway, app.address)["check"])["state"] == state and f,
                       "the verdict")
    assert facts.get("last_error") == error


def test_a_server_that_waits_for_its_checks(lintel, apps):
    well, late = apps("well", "late")
    late.health = 500
    config = basic(well, app={"health": {**FAST, "init": "down"}})
    gateway = lintel(config)
    wait_until(lambda: health(gateway, well) == "up", "the first to be up")
    config["upstreams"]["app"]["servers"].append({"address": late.address})
    gateway.reload(config)
    assert set(who(gateway)) == {"well"}
    assert late.requests_served == 0
    late.health = 200
    wait_until(lambda: "late" in who(gateway), "it to be used")


def test_the_verdict_survives_a_reload(lintel, apps):
    well, sick = apps("well", "sick")
    sick.health = 500
    config = basic(well, sick, app={"health": {**FAST, "every": "1h", "down_every": "100ms"}})
    gateway = lintel(config)
    wait_until(lambda: health(gateway, sick) == "checks_failed", "it to be down")
    for number in range(3):
        config["upstreams"]["app"]["timeouts"] = {"connect": f"{number + 1}s"}
        gateway.reload(config)
        assert health(gateway, sick) == "checks_failed"
        assert set(who(gateway, 8)) == {"well"}
    assert len(gateway.events("server_down")) == 1
    # Without checks nothing holds it back.
    del config["upstreams"]["app"]["health"]
    gateway.reload(config)
    wait_until(lambda: "sick" in who(gateway), "it to be used")
    checks = len(sick.checks)
    who(gateway, 20)
    assert len(sick.checks) <= checks + 1


def test_checks_of_removed_servers_end(lintel, apps):
    stays, goes = apps("stays", "goes")
    config = basic(stays, goes, app={"health": FAST})
    gateway = lintel(config)
    wait_until(lambda: len(goes.checks) > 2, "checks")
    goes.health_delay = 1.0  # one is under way
    seen = len(goes.checks)
    wait_until(lambda: len(goes.checks) > seen, "a check")
    del config["upstreams"]["app"]["servers"][1]
    gateway.reload(config)
    last, seen = len(goes.checks), len(stays.checks)
    wait_until(lambda: len(stays.checks) > seen + 20, "further checks of the other")
    assert len(goes.checks) <= last + 1


@pytest.mark.parametrize("panic", [None, "0%", "1%", "50%"])
def test_with_all_down_panic_decides(lintel, apps, panic):
    one, two = apps("one", "two")
    one.health = two.health = 500
    app = {"health": FAST, **({"balance": {"panic": panic}} if panic else {})}
    gateway = lintel(basic(one, two, app=app))
    wait_until(lambda: whole(gateway)["up"] == 0, "both to be down")
    if panic in (None, "0%"):
        response = gateway.get("/")
        assert (response.status, json.loads(response.body)["cause"]) == (503, "no_server")
        assert one.requests_served + two.requests_served == 0
        line = gateway.access(id=json.loads(response.body)["request_id"])[0]
        assert line["detail"].startswith("of 2 servers of app 2 are down by checks or ejected, 0 ")
    else:
        assert {"one", "two"} == set(who(gateway, 40))
    one.health = 200
    wait_until(lambda: health(gateway, one) == "up", "one to be up")
    # One of two is not less than half of them.
    wait_until(lambda: set(who(gateway, 20)) == {"one"}, "the end of panic")


def test_a_server_that_comes_back_starts_slowly(lintel, apps):
    steady, back = apps("steady", "back")
    back.health = 500
    gateway = lintel(basic(steady, back, app={
        "health": FAST, "balance": {"by": "random", "slow_start": "4s"}}))
    wait_until(lambda: health(gateway, back) == "checks_failed", "it to be down")
    time.sleep(4)  # the other one's own slow start
    back.health = 200
    wait_until(lambda: health(gateway, back) == "up", "it to be up")
    began, shares = time.monotonic(), []
    while len(shares) < 6:
        names = []
        while time.monotonic() - began < len(shares) + 1:
            names += who(gateway, 5)
        shares.append(names.count("back") / len(names))
    print("share of the server that came back, by second:", [f"{s:.0%}" for s in shares])
    assert shares[0] < 0.3
    assert shares[0] < shares[2] < shares[5] + 0.1
    assert 0.35 < shares[5] < 0.65


def test_only_so_many_checks_run_at_once(lintel, shop):
    count = {"now": 0, "peak": 0}

    def script(peer):
        count["now"] += 1
        count["peak"] = max(count["peak"], count["now"])
        peer.request()
        peer.pause(0.02)
        count["now"] -= 1
        peer.send(OK)
    origins = [shop.origin(script) for _ in range(12)]
    gateway = lintel(basic(*origins, app={"health": {**FAST, "every": "30ms"}},
                           limits={"health_checks": 2}))
    wait_until(lambda: all(len(o.requests) > 2 for o in origins), "checks of all")
    assert count["peak"] <= 2
    assert whole(gateway)["up"] == 12


def test_checks_go_over_tls_as_requests_do(lintel, apps, authority):
    pair = authority.leaf("app.test", "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, pair))
    (app,) = apps("app", tls=tls)
    config = basic(app, app={"health": {**FAST, "fall": 1},
                             "tls": {"ca": str(authority.ca), "server_name": "app.test"}})
    gateway = lintel(config)
    wait_until(lambda: len(app.checks) > 3, "checks")
    assert health(gateway, app) == "up"
    config["upstreams"]["app"]["tls"]["server_name"] = "other.test"
    gateway.reload(config)
    wait_until(lambda: health(gateway, app) == "checks_failed", "it to be down")
    assert told(gateway, app.address)["check"]["last_error"].startswith("server_certificate_name")


def test_a_connection_is_check_enough(lintel, shop):
    origin = shop.origin(always(OK))
    refusing = shop.refusing()
    gateway = lintel(basic(origin, refusing, app={"health": {"tcp": True, "every": "50ms"}}))
    wait_until(lambda: told(gateway, refusing.address)["check"]["state"] == "down", "it to be down")
    assert told(gateway, refusing.address)["check"]["last_error"].startswith(
        "connect_refused_by_server")
    wait_until(lambda: told(gateway, origin.address)["check"]["checks"] > 3, "checks")
    assert told(gateway, origin.address)["check"]["state"] == "up"
    assert not origin.requests


def test_a_check_over_a_unix_socket_with_a_proxy_header(lintel, shop):
    def script(peer):
        line = bytearray()
        while not line.endswith(b"\r\n"):
            line += peer.sock.recv(1)
        assert bytes(line) == b"PROXY UNKNOWN\r\n"
        assert peer.request().headers.get("host") == "app"
        peer.send(OK)
    origin = shop.origin(script, unix=True)
    gateway = lintel(basic(origin, app={"health": FAST, "proxy_protocol": "v1"}))
    wait_until(lambda: told(gateway, origin.address)["check"]["checks"] > 2, "checks")
    assert told(gateway, origin.address)["check"]["failed"] == 0


def test_a_check_over_http2(lintel, shop):
    asked = []

    @h2_script
    def script(h2):
        while True:
            stream = h2.request()
            asked.append((stream.method, stream.path, stream.headers[":authority"]))
            h2.respond(stream, 200, body=b"fine")
    origin = shop.origin(script)
    gateway = lintel(basic(origin, app={"protocol": "h2c", "health": {
        **FAST, "body": "fine", "host": "app.test"}}))
    wait_until(lambda: told(gateway, origin.address)["check"]["checks"] > 3, "checks")
    assert told(gateway, origin.address)["check"]["failed"] == 0
    assert set(asked) == {("GET", "/healthz", "app.test")}
    assert len(origin.peers) > 3  # each on a connection of its own


def operate(gateway, *words):
    done = command(*words, "--admin", f"unix:{gateway.folder}/admin.sock")
    assert done.returncode == 0, done.stderr


def test_servers_that_the_operator_adds_are_checked(lintel, apps):
    well, late = apps("well", "late")
    late.health = 500
    gateway = lintel(basic(well, app={"health": {**FAST, "init": "down"}}))
    wait_until(lambda: health(gateway, well) == "up", "the first to be up")
    operate(gateway, "add", f"app/{late.address}")
    wait_until(lambda: late.checks, "a check")
    assert set(who(gateway)) == {"well"}
    late.health = 200
    wait_until(lambda: "late" in who(gateway), "it to be used")
    operate(gateway, "remove", f"app/{late.address}")
    last, seen = len(late.checks), len(well.checks)
    wait_until(lambda: len(well.checks) > seen + 10, "checks of the other")
    assert len(late.checks) <= last + 1


@pytest.mark.parametrize("init", ["up", "down"])
def test_a_failing_server_is_down_over_maintenance(lintel, apps, init):
    well, sick = apps("well", "sick")
    sick.health = 500
    wish = {**FAST, "init": init, "fall": 2}
    gateway = lintel(basic(well, sick, app={"health": wish}))
    wait_until(lambda: health(gateway, well) == "up", "the one to be up")
    # That it never was up is said, with the reason, once.
    wait_until(lambda: gateway.events("server_down", server=sick.address), "the line")
    assert "500" in gateway.events("server_down", server=sick.address)[0]["detail"]
    sick.health_delay = 60.0  # no check ends from here on
    operate(gateway, "maintenance", f"app/{sick.address}")
    wait_until(lambda: "check" not in told(gateway, sick.address), "the end of its checks")
    operate(gateway, "ready", f"app/{sick.address}")
    assert set(who(gateway, 8)) == {"well"}
    assert sick.requests_served == 0
    assert len(gateway.events("server_down", server=sick.address)) == 1
    assert not gateway.events("server_up", server=sick.address)


def test_a_server_that_is_drained_is_still_checked(lintel, apps):
    one, two = apps("one", "two")
    gateway = lintel(basic(one, two, app={"health": FAST, "queue": {"size": 0}}))
    wait_until(lambda: one.checks and two.checks, "checks")
    operate(gateway, "drain", f"app/{two.address}")
    assert set(who(gateway)) == {"one"}
    # Nothing brings it back, not even that the other is down.
    one.health = 500
    wait_until(lambda: health(gateway, one) == "checks_failed", "the other to be down")
    served = two.requests_served
    who(gateway)
    assert two.requests_served == served
    assert gauge(gateway, "server_up", server=two.address) == 0
    seen = len(two.checks)
    wait_until(lambda: len(two.checks) > seen + 2, "checks")
    assert health(gateway, two) == "up"
    assert not gateway.events("server_down", server=two.address)
    # In maintenance it is left in peace.
    operate(gateway, "maintenance", f"app/{two.address}")
    wait_until(lambda: "check" not in told(gateway, two.address), "the end of its checks")
    last, seen = len(two.checks), len(one.checks)
    wait_until(lambda: len(one.checks) > seen + 10, "checks of the other")
    assert len(two.checks) <= last + 1
    operate(gateway, "ready", f"app/{two.address}")
    wait_until(lambda: len(two.checks) > last + 2, "checks")
    assert set(who(gateway)) == {"two"}


# ---- gRPC ----

class HealthService:
    """grpc.health.v1.Health of a real gRPC server; messages written by hand."""

    def __init__(self):
        self.states, self.asked = {"": 1}, []
        handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {
            "Check": grpc.unary_unary_rpc_method_handler(self.check)})
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((handler,))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def check(self, request, context):
        service = request[2:].decode() if request else ""
        assert not request or request[:2] == bytes((0x0a, len(service)))
        self.asked.append(service)
        if service not in self.states:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        state = self.states[service]
        return bytes((0x08, state)) if state else b""

    def stop(self):
        self.server.stop(0).wait()


@pytest.mark.parametrize("service", ["", "shop.v1.Orders"])
def test_the_health_protocol_of_grpc(lintel, shop, service):
    app = HealthService()
    shop.finally_(app.stop)
    app.states[service] = 1
    gateway = lintel(basic(app, app={"protocol": "h2c", "health": {
        "grpc": service, "every": "50ms", "down_every": "50ms", "fall": 1, "rise": 1}}))
    wait_until(lambda: told(gateway, app.address)["check"]["state"] == "up", "it to be up")
    assert set(app.asked) == {service}
    for state, error in ((2, "it says NOT_SERVING"), (0, "it says UNKNOWN")):
        app.states[service] = state
        wait_until(lambda error=error: told(gateway, app.address)["check"].get("last_error") == error,
                   "it to be down")
        assert told(gateway, app.address)["check"]["state"] == "down"
    del app.states[service]
    wait_until(lambda: told(gateway, app.address)["check"]["last_error"]
               == "status 200, grpc-status 5", "another error")
    app.states[service] = 1
    wait_until(lambda: told(gateway, app.address)["check"]["state"] == "up", "it to be up")


# ---- outliers ----

def test_errors_in_a_row_eject_for_a_growing_time(lintel, apps):
    well, sick = apps("well", "sick")
    gateway = lintel(basic(well, sick, app={"balance": "round_robin", "outliers": {
        "errors": 3, "statuses": 500, "time": "700ms", "max_time": "1m"}}))
    sick.answer = 500
    wait_until(lambda: "ejected" == (gateway.get("/") and health(gateway, sick)), "an ejection")
    served = sick.requests_served
    assert served >= 3
    assert set(who(gateway, 10)) == {"well"}
    event = gateway.wait_event("server_down", server=sick.address)
    assert (event["reason"], event["detail"]) == ("ejected for its requests", "errors")
    wait_until(lambda: health(gateway, sick) == "up", "the end of it")
    gateway.wait_event("server_up", server=sick.address)
    wait_until(lambda: "ejected" == (gateway.get("/") and health(gateway, sick)), "another one")
    facts = told(gateway, sick.address)
    assert facts["ejections"] == 2
    assert facts["ejected_ms"] > 700
    assert gauge(gateway, "server_ejections_total", server=sick.address) == 2


def test_an_ejection_survives_a_reload(lintel, apps):
    well, sick = apps("well", "sick")
    config = basic(well, sick, app={"outliers": {"errors": 2, "statuses": [500], "time": "1h"}})
    gateway = lintel(config)
    sick.answer = 500
    wait_until(lambda: "ejected" == (gateway.get("/") and health(gateway, sick)), "an ejection")
    config["upstreams"]["app"]["timeouts"] = {"connect": "2s"}
    gateway.reload(config)
    assert health(gateway, sick) == "ejected"
    assert set(who(gateway, 20)) == {"well"}


@pytest.mark.parametrize("share, n, most", [("50%", 4, 2), ("10%", 3, 1), ("100%", 3, 3),
                                            ("100%", 1, 1), ("50%", 1, 0)])
def test_no_more_than_a_share_is_ejected(lintel, apps, share, n, most):
    servers = apps(*(f"app{i}" for i in range(n)))
    gateway = lintel(basic(*servers, app={"balance": "round_robin", "outliers": {
        "errors": 1, "statuses": 500, "time": "1h", "max_share": share}}))
    for app in servers:
        app.answer = 500
    for _ in range(10 * n):
        gateway.get("/")
    assert sum(health(gateway, app) == "ejected" for app in servers) == most


def test_what_clients_do_counts_against_nobody(lintel, apps):
    (app,) = apps("app")
    other = apps("other")[0]
    gateway = lintel(basic(app, other, app={"outliers": {"errors": 1, "time": "1h"}}))
    for _ in range(10):
        client = gateway.client()
        client.send(b"GET /sleep/1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: app.active + other.active, "the request to arrive")
        client.close()
        gateway.get("/status/500")  # isn't in the list
    assert {health(gateway, a) for a in (app, other)} == {"up"}


def test_a_share_of_errors_ejects(lintel, apps):
    well, sick = apps("well", "sick")
    turns = iter(range(10**9))
    answer = sick._answer
    sick._answer = lambda peer, request: (
        [SICK] if next(turns) % 2 else answer(peer, request))  # never two in a row
    gateway = lintel(basic(well, sick, app={"balance": "round_robin", "outliers": {
        "errors": 0, "rate": "40%", "requests": 10, "window": "1s", "statuses": 503,
        "time": "1h"}}))
    wait_until(lambda: "ejected" == (gateway.get("/") and health(gateway, sick)), "an ejection")
    assert gateway.wait_event("server_down")["detail"] == "rate"
    assert health(gateway, well) == "up"


def test_what_happened_before_the_option_ejects_nobody(lintel, apps):
    """Long over and never judged: a reload that asks for a rate begins to count."""
    well, sick = apps("well", "sick")
    sick.answer = 503
    outliers = {"errors": 0, "window": "2s", "statuses": 503, "requests": 10, "time": "1h"}
    config = basic(well, sick, app={"balance": "round_robin", "outliers": outliers})
    gateway = lintel(config)
    for _ in range(60):
        gateway.get("/")
    sick.answer = 200
    outliers["rate"] = "30%"
    gateway.reload(config)
    began = time.monotonic()
    while time.monotonic() < began + 3:
        gateway.get("/")
        assert health(gateway, sick) == "up"


def test_a_server_slower_than_the_others_is_ejected(lintel, apps):
    servers = apps("one", "two", "slow")
    servers[2].delay = 0.1
    gateway = lintel(basic(*servers, app={"balance": "round_robin", "outliers": {
        "latency": 4, "requests": 3, "window": "2s", "time": "1h"}}))
    wait_until(lambda: "ejected" == (gateway.get("/") and health(gateway, servers[2])),
               "an ejection")
    assert gateway.wait_event("server_down")["detail"] == "latency"
    assert {health(gateway, a) for a in servers[:2]} == {"up"}


# ---- the breaker ----

def test_the_breaker_opens_tries_and_closes(lintel, apps):
    (app,) = apps("app")
    app.answer = 503
    gateway = lintel(basic(app, app={"breaker": {
        "statuses": 503, "rate": "50%", "requests": 5, "open": "1500ms", "trials": 2}}))
    for _ in range(5):
        assert gateway.get("/").status == 503
    served = app.requests_served
    assert served == 5
    response = gateway.get("/")
    told_cause = json.loads(response.body)
    assert (response.status, told_cause["cause"]) == (503, "breaker_open")
    assert response.headers.get("retry-after") in ("1", "2")
    assert app.requests_served == served
    line = gateway.access(id=told_cause["request_id"])[0]
    assert line["cause"] == "breaker_open"
    assert line["detail"].startswith("at least 50.00 % of 5 requests or more failed within 10.0 s")
    assert 'details="breaker_open"' in response.headers.get("proxy-status")
    gateway.wait_event("breaker_opened", upstream="app")
    assert whole(gateway)["breaker"] == "open"
    assert gauge(gateway, "breaker_state", upstream="app") == 1
    # A trial that fails opens it again.
    wait_until(lambda: gateway.get("/").body == b"", "a trial")
    assert app.requests_served == served + 1
    assert whole(gateway)["breaker"] == "open"
    # Trials that do well close it.
    app.answer = None
    wait_until(lambda: gateway.get("/").status == 200, "a trial")
    assert gateway.get("/").status == 200
    assert whole(gateway)["breaker"] == "closed"
    gateway.wait_event("breaker_closed", upstream="app")
    assert gauge(gateway, "breaker_opened_total", upstream="app") == 2
    assert {gateway.get("/").status for _ in range(10)} == {200}


def test_an_open_breaker_survives_a_reload(lintel, apps):
    (app,) = apps("app")
    app.answer = 503
    config = basic(app, app={"breaker": {"requests": 3, "open": "1h"}})
    gateway = lintel(config)
    for _ in range(3):
        gateway.get("/")
    assert whole(gateway)["breaker"] == "open"
    config["upstreams"]["app"]["timeouts"] = {"connect": "2s"}
    gateway.reload(config)
    assert json.loads(gateway.get("/").body)["cause"] == "breaker_open"
    assert app.requests_served == 3


def test_a_client_that_leaves_gives_its_trial_back(lintel, apps):
    (app,) = apps("app")
    app.answer = 503
    gateway = lintel(basic(app, app={"breaker": {"requests": 1, "open": "100ms", "trials": 1}}))
    gateway.get("/")
    assert whole(gateway)["breaker"] == "open"
    app.answer = None
    app.delay = 0.3
    time.sleep(0.2)
    client = gateway.client()
    served = app.requests_served
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_until(lambda: app.requests_served > served, "the trial")
    client.close()
    wait_until(lambda: gateway.get("/").status == 200, "the next trial")
    assert whole(gateway)["breaker"] == "closed"


def test_a_tunnel_that_opens_is_a_trial_that_did_well(lintel, shop):
    def script(peer):
        request = peer.request()
        if request.headers.get("upgrade"):
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      b"Connection: Upgrade\r\n\r\n")
            peer.until_closed()
        else:
            peer.send(SICK)
    origin = shop.origin(script)
    config = basic(origin, app={"breaker": {"requests": 1, "open": "300ms", "trials": 1}})
    gateway = lintel(config)
    gateway.get("/")
    assert whole(gateway)["breaker"] == "open"
    time.sleep(0.4)
    client = gateway.client()
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n")
    wait_until(lambda: whole(gateway)["breaker"] == "closed", "it to close")
    client.close()


# ---- configuration ----

@pytest.mark.parametrize("app, message", [
    ({"health": {"every": "1s"}}, "it isn't said what to check"),
    ({"health": {"get": "/h", "tcp": True}}, "this says two kinds of checks"),
    ({"health": "healthz"}, "get: this can't be asked for"),
    ({"health": {"grpc": ""}}, "gRPC is spoken over HTTP/2 only"),
    ({"health": {"get": "/h", "expect": "2xx"}}, "neither a status nor a range"),
    ({"health": {"get": "/h", "expect": ["299-200"]}}, "neither a status nor a range"),
    ({"health": {"get": "/h", "body_regex": "("}}, "body_regex: at byte"),
    ({"health": {"get": "/h", "headers": {"Host": "x"}}}, "is set by Lintel"),
    ({"health": {"get": "/h", "headers": {"X Y": "x"}}}, "can't be sent as a header field"),
    ({"outliers": {"statuses": "99"}}, "neither a status nor a range"),
    ({"breaker": {"rate": "0%"}}, "is too small"),
])
def test_what_is_wrong_is_said_at_its_place(tmp_path, app, message):
    config = tmp_path / "lintel.yaml"
    config.write_text(text_of(basic({"address": "127.0.0.1:9"}, app=app)))
    done = command("check", "-c", config)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout


def test_defaults_and_the_short_forms(tmp_path):
    config = tmp_path / "lintel.yaml"
    config.write_text(text_of(basic(
        {"address": "127.0.0.1:9"}, app={"health": "/up", "outliers": True, "breaker": True},
        defaults={"upstream": {"health": {"every": "7s"}}})))
    done = command("check", "-c", config)
    assert done.returncode == 0, done.stderr
    config.write_text(text_of(basic(
        {"address": "127.0.0.1:9"}, app={"health": {"enabled": False}},
        defaults={"upstream": {"health": {"get": "/up"}}})))
    assert command("check", "-c", config).returncode == 0
    config.write_text(text_of(basic(
        {"address": "127.0.0.1:9"}, defaults={"upstream": {"health": {"every": "7s"}}})))
    assert command("check", "-c", config).returncode == 0
