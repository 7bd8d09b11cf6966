# SPDX-License-Identifier: Apache-2.0
"""rate_limit around real requests: what is in flight, dry runs, and what the operator sees."""
import json
import os
import signal

import pytest

from lib.client import fetch, head
from lib.configs import basic
from lib.gateway import command
from lib.prometheus import Metrics
from lib.wait import wait_until
from test_tunnels import echo_tunnel, opened


def limited(*origins, routes=None, **settings):
    config = basic(*origins, routes=routes)
    config["filters"] = {"limit": {"filter": "rate_limit", **settings}}
    config["sites"][0]["filters"] = ["limit"]
    return config


RESPOND = [{"match": "/*", "respond": {"body": "ok"}}]


def metric(gw, name, **labels):
    samples = Metrics(gw.admin("/metrics").body.decode()).samples.get(f"lintel_{name}", [])
    return sum(value for got, value in samples if got == labels)


def limits(gw, *words):
    return command("limits", *words, "--admin", f"unix:{gw.folder}/admin.sock")


def asked(gw, *words):
    done = limits(gw, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# In flight.

def hold(gw, app, n=1):
    """A client whose n requests the application works on."""
    clients = [gw.client() for _ in range(n)]
    for client in clients:
        client.send(head("GET", "/held"))
    wait_until(lambda: app.active == n, "requests in flight")
    return clients


def in_flight(gw, key="127.0.0.1"):
    return asked(gw, "show", key)[0]["in_flight"]


@pytest.fixture
def held(shop):
    """A limit of two in flight before an application that answers when told to."""
    app = shop.echo(delay=3600)
    gw = shop.lintel(limited(app, in_flight=2))
    return gw, app


def test_no_more_than_so_many_are_in_flight(shop):
    app = shop.echo(delay=0.3)
    gw = shop.lintel(limited(app, in_flight=2))
    clients = hold(gw, app, 2)
    refused = gw.get()
    assert refused.status == 429 and refused.headers.get("retry-after") == "1"
    assert json.loads(refused.body)["cause"] == "too_many_in_flight"
    assert in_flight(gw) == 2
    assert [c.response().status for c in clients] == [200, 200]
    wait_until(lambda: in_flight(gw) == 0, "both to be over")
    assert gw.get().status == 200
    assert app.peak == 2
    assert metric(gw, "limit_requests_total", limit="limit", result="refused") == 1
    assert metric(gw, "limit_requests_total", limit="limit", result="passed") == 3


def test_a_client_that_leaves_gives_its_place_back(held):
    gw, app = held
    for client in hold(gw, app, 2):
        client.reset()
    wait_until(lambda: in_flight(gw) == 0, "the places to be free")


def test_a_filter_that_dies_behind_it_gives_the_place_back(shop):
    folder = shop.folder / "scripts"
    folder.mkdir()
    (folder / "dies.lua").write_text(
        "return {request = function() while true do end end, on_error = 'closed'}")
    config = limited(routes=RESPOND, in_flight=1)
    config["filters"]["dies"] = {"filter": str(folder / "dies.lua"), "budget": {"cpu": "10ms"}}
    config["sites"][0]["filters"] = ["limit", "dies"]
    gw = shop.lintel(config)
    for _ in range(3):
        gw.allowed.update(("filter_killed", "filter_cpu", "filter_quarantined", "filter_timeout"))
        assert gw.get().status in (500, 503)
        wait_until(lambda: in_flight(gw) == 0, "the place to be free")


def test_a_gateway_that_dies_holds_nothing(held):
    gw, app = held
    clients = hold(gw, app, 2)
    gw.allowed.add("gateway_exited")
    os.kill(gw.gateway_pid(), signal.SIGKILL)
    gw.wait_event("ready", 2)
    for client in clients:
        client.close()
    assert in_flight(gw) == 0


def test_a_tunnel_is_in_flight_until_it_ends(shop):
    gw = shop.lintel(limited(shop.origin(echo_tunnel), in_flight=1))
    with gw.client() as client:
        opened(client)
        assert in_flight(gw) == 1
        assert gw.get().status == 429
    wait_until(lambda: in_flight(gw) == 0, "the end of the tunnel")


# What the operator sees.

def test_dry_run_counts_and_refuses_nothing(shop):
    gw = shop.lintel(limited(routes=RESPOND, rate=["2/1h"], dry_run=True))
    got = [gw.get() for _ in range(5)]
    assert [r.status for r in got] == [200] * 5
    assert not any(r.headers.get("ratelimit") for r in got)
    assert metric(gw, "limit_requests_total", limit="limit", result="would_refuse") == 3
    assert metric(gw, "limit_requests_total", limit="limit", result="passed") == 2
    assert metric(gw, "limited_total") == 0
    assert gw.wait_event("would_refuse", limit="default", why="rate")
    assert asked(gw, "show")[0]["would_refuse"] == 3


def test_limits_are_shown_reset_and_listed(shop):
    gw = shop.lintel(limited(routes=RESPOND, rate=["3/1h", "100/1d"], name="api", key="header.x-key"))

    def send(key):
        return gw.get(headers={"X-Key": key}).status
    assert [send("alice/1 &") for _ in range(5)] == [200] * 3 + [429] * 2
    assert [send("bob"), send("bob")] == [200, 200]
    assert send("carol") == 200
    limit, = asked(gw, "show")
    assert limit["name"] == "api" and limit["rates"] == "3/1h, 100/1d"
    assert (limit["passed"], limit["refused"]) == (6, 2)
    key, = asked(gw, "show", "alice/1 &")
    assert [(w["of"], w["remaining"]) for w in key["windows"]] == [(3, 0), (100, 97)]
    top = asked(gw, "top")
    assert [t["key"] for t in top[:1]] == ["alice/1 &"] and top[0]["refused"] == 2
    assert "carol" not in [t["key"] for t in top]
    assert len(asked(gw, "top", "1")) == 1
    text = limits(gw, "top").stdout
    assert "alice/1 &" in text and "LIMIT" in text
    assert "0 of 3 left" in limits(gw, "show", "alice/1 &").stdout
    assert "3/1h, 100/1d" in limits(gw, "show").stdout
    reset, = asked(gw, "reset", "alice/1 &", "--limit", "api")
    assert [w["remaining"] for w in reset["windows"]] == [3, 100]
    assert send("alice/1 &") == 200
    assert asked(gw, "show", "bob")[0]["windows"][0]["remaining"] == 1


def test_counts_and_settings_survive_a_reload(shop):
    config = limited(routes=RESPOND, rate="2/1h")
    gw = shop.lintel(config)
    assert [gw.get().status for _ in range(3)] == [200, 200, 429]
    config["filters"]["limit"]["rate"] = "3/1h"
    gw.reload(config)
    assert asked(gw, "show")[0]["rates"] == "3/1h"
    assert asked(gw, "show")[0]["refused"] == 1


def test_addresses_of_a_network_share_a_limit(shop):
    config = limited(routes=RESPOND, rate="1/1h")
    config["listen"][0]["address"] = "[::1]:0"
    gw = shop.lintel(config)
    assert [fetch(gw.plain).status for _ in range(2)] == [200, 429]
    assert asked(gw, "show", "::ffff:0:0:7")[0]["windows"][0]["remaining"] == 0
    assert asked(gw, "top")[0]["key"] == "::/64"


@pytest.fixture(scope="module")
def idle(shared):
    return shared.lintel(limited(routes=RESPOND, rate="1/1h"))


@pytest.mark.parametrize("words, status, said", [
    ((), 2, "usage"), (("reset",), 2, "usage"), (("show", "a", "b"), 2, "usage"),
    (("top", "many"), 2, "usage"), (("what",), 2, "usage"),
    (("show", "a", "--limit", "none"), 1, "there is no limit of that name")])
def test_the_command_says_what_is_wrong(idle, words, status, said):
    done = limits(idle, *words)
    assert done.returncode == status and done.stdout == "" and said in done.stderr


@pytest.mark.parametrize("method, target, status", [
    ("DELETE", "/limits", 400), ("GET", "/limits?top=x", 400), ("PUT", "/limits", 405)])
def test_calls_say_what_is_wrong(idle, method, target, status):
    response = fetch(str(idle.folder / "admin.sock"), target, method)
    assert response.status == status and "error" in json.loads(response.body)
