# SPDX-License-Identifier: Apache-2.0
"""Splits that keep a client at the upstream that it got first."""
import json
import os
import re
import signal

import pytest

from lib.client import Client, tls_trust
from lib.configs import basic, upstream, with_tls

COOKIE = re.compile(r"lintel_split=([0-9a-f.]+); Path=/; HttpOnly; SameSite=Lax\Z")


@pytest.fixture
def servers(shop):
    return {name: shop.echo(name) for name in "abc"}


def config_of(servers, **splits):
    """A route /NAME/* for each split."""
    routes = [{"match": f"/{name}/*", "to": {u: f"{p}%" for u, p in split.items()},
               "sticky_split": "cookie"} for name, split in splits.items()]
    return basic(routes=routes, upstreams={n: upstream(o) for n, o in servers.items()})


def ask(gateway, target, cookie=None, method="GET"):
    """(which upstream answered, the new cookie's value or None)."""
    headers = [("Cookie", f"x=y; lintel_split={cookie}; z=1")] if cookie else []
    response = gateway.get(target, headers=headers, method=method)
    assert response.status == 200, response
    made = response.headers.get("set-cookie")
    return (json.loads(response.body)["app"],
            COOKIE.match(made).group(1) if made is not None else None)


def drawn(gateway, target, upstream_name):
    """A cookie of a client that got this upstream."""
    for _ in range(200):
        app, cookie = ask(gateway, target)
        if app == upstream_name:
            return cookie
    raise AssertionError(f"{upstream_name} was never drawn")


def test_a_client_stays_where_it_was_sent(shop, servers):
    gw = shop.lintel(config_of(servers, s={"a": 50, "b": 50}))
    for name in "ab":
        cookie = drawn(gw, "/s/x", name)
        for _ in range(10):
            assert ask(gw, "/s/y", cookie) == (name, None)


def test_a_choice_outlives_reloads_new_weights_and_the_process(shop, servers):
    gw = shop.lintel(config_of(servers, s={"a": 50, "b": 50}))
    cookie = drawn(gw, "/s/x", "b")
    gw.reload(config_of(servers, s={"a": 99, "b": 1}))
    assert {ask(gw, "/s/x", cookie) for _ in range(5)} == {("b", None)}
    gw.reload(config_of(servers, s={"a": 90, "b": 5, "c": 5}))
    assert {ask(gw, "/s/x", cookie) for _ in range(5)} == {("b", None)}
    gw.allowed.add("gateway_exited")
    os.kill(gw.gateway_pid(), signal.SIGKILL)
    assert {ask(gw, "/s/x", cookie) for _ in range(5)} == {("b", None)}


@pytest.mark.parametrize("split", [{"a": 100}, {"a": 100, "b": 0}])
def test_a_choice_that_is_no_more_is_made_again(shop, servers, split):
    gw = shop.lintel(config_of(servers, s={"a": 50, "b": 50}))
    cookie = drawn(gw, "/s/x", "b")
    gw.reload(config_of(servers, s=split))
    app, new = ask(gw, "/s/x", cookie)
    assert app == "a" and new is not None
    assert ask(gw, "/s/x", new) == ("a", None)


def test_routes_share_a_choice_where_they_can(shop, servers):
    gw = shop.lintel(config_of(servers, s={"a": 50, "b": 50}, t={"b": 50, "a": 50},
                               other={"c": 100}))
    cookie = drawn(gw, "/s/x", "b")
    assert ask(gw, "/t/x", cookie) == ("b", None)
    # A split of others gets a place of its own in the cookie; the first one's stays.
    app, both = ask(gw, "/other/x", cookie)
    assert app == "c" and both.startswith(cookie + ".")
    assert ask(gw, "/s/x", both) == ("b", None) and ask(gw, "/other/x", both) == ("c", None)


def test_workers_agree(shop, servers):
    config = config_of(servers, s={"a": 50, "b": 50})
    config["workers"] = 3
    gw = shop.lintel(config)
    cookie = drawn(gw, "/s/x", "b")
    assert {ask(gw, "/s/x", cookie) for _ in range(20)} == {("b", None)}


@pytest.mark.parametrize("cookie", [
    "x", "." * 20, "0" * 16, "0" * 15, "a" * 200, "a" * 4000, "a.b.c.d.e.f.g.h.i.j",
    ".".join(["0123456789abcdef"] * 7), ".".join(["0123456789abcdef"] * 8), '"x"', "é"])
def test_what_is_no_choice_is_drawn_again(shop, servers, cookie):
    gw = shop.lintel(config_of(servers, s={"a": 100}))
    app, new = ask(gw, "/s/x", cookie)
    assert app == "a" and len(new) <= 8 * 17
    assert ask(gw, "/s/x", new) == ("a", None)


def test_the_cookie_is_secure_over_https_and_lasts_as_configured(shop, servers, authority):
    config = config_of(servers, s={"a": 100})
    config["sites"][0]["routes"][0]["sticky_split"] = {"by": "cookie", "name": "side",
                                                       "max_age": "2d"}
    gw = shop.lintel(with_tls(config, *authority.leaf("localhost")))
    with Client(gw.secure, trust=tls_trust(authority.ca)) as client:
        made = client.request(target="/s/x").headers.get("set-cookie")
    assert re.fullmatch(r"side=[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax; Secure; "
                        r"Max-Age=172800", made)


def test_a_side_that_does_not_answer_is_not_kept(shop, servers):
    config = config_of(servers, s={"a": 100})
    config["upstreams"]["a"] = upstream(shop.refusing(), queue={"restart": 0})
    gw = shop.lintel(config)
    response = gw.get("/s/x")
    assert response.status == 502 and "set-cookie" not in response.headers
