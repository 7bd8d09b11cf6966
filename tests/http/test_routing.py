# SPDX-License-Identifier: Apache-2.0
"""Which site and which route a request gets, and what routes do."""
import json
import re
import resource

import pytest

from lib.client import fetch, head
from lib.configs import basic, upstream, with_tls
from lib.gateway import command, slowness, text_of


def says(text):
    return {"status": 200, "body": text}


def route(match, text=None, **more):
    return {"match": match, "respond": says(text or match), **more}


SITES = [
    {"hosts": ["exact.test", "second.test"], "routes": [
        route("/*", "rest"),
        route("/"),
        route("/a"),
        route("/a/*", "below a"),
        route("/a/b/*", "below a/b"),
        route("/u/{id}", "segment"),
        route("/u/me", "literal segment"),
        route("/u/{id}/posts/{post}", "two segments"),
        route("/u/{id}/*", "below segment"),
        route("GET /m", "get"),
        route("POST /m", "post"),
        {"match": "/only", "methods": ["PUT", "DELETE"], "respond": says("put or delete")},
        route("/w", "plain"),
        route("/w", "with when", when='header.x-beta == "1"'),
        route("/w", "with two", when='header.x-beta == "1" and query.q == "2"'),
        route("/p", "low", when='header.x-a == "1"'),
        route("/p", "high", when='header.x-b == "1"', priority=5),
        route("/slash/", "with slash"),
        route("/slash", "without slash"),
        {"match": "/old/*", "redirect": {"status": 308, "to": "/new/{rest}"}},
        {"match": "/away", "redirect": "https://other.test/x"},
        {"match": "/q", "redirect": {"to": "/to?{query}&p={path}"}},
        {"match": "/seg/{name}", "redirect": {"to": "https://{host}/n/{name}"}},
        {"match": "/gone", "respond": 410},
        {"match": "/json", "respond": {"status": 201, "body": '{"a":1}',
                                       "content_type": "application/json"}},
        {"match": "/empty", "respond": {"status": 204}},
    ]},
    {"hosts": ["*.wild.test"], "routes": [route("/*", "wild")]},
    {"hosts": ["*.deep.wild.test"], "routes": [route("/*", "deeper wild")]},
    {"hosts": ["named.wild.test"], "routes": [route("/x", "named")]},
]


@pytest.fixture(scope="module")
def gw(shared):
    config = basic()
    config["sites"] = SITES
    return shared.lintel(config)


def body(gateway, target, host="exact.test", method="GET", headers=()):
    response = gateway.get(target, host=host, method=method, headers=headers)
    assert response.status == 200, response
    return response.body.decode()


@pytest.mark.parametrize("target,expected", [
    ("/", "/"), ("/nothing", "rest"), ("/a", "/a"), ("/a/", "below a"), ("/a/x", "below a"),
    ("/ab", "rest"), ("/a/b", "below a/b"), ("/a/b/c/d", "below a/b"), ("/a/bc", "below a"),
    ("/u/7", "segment"), ("/u/me", "literal segment"), ("/u/7/posts/9", "two segments"),
    ("/u/7/posts", "below segment"), ("/u/me/x", "below segment"), ("/u", "rest"),
    ("/slash", "without slash"), ("/slash/", "with slash"), ("/a?x=/a/b", "/a"),
    ("/a/./b/../c", "below a"), ("/%61", "/a"), ("/A", "rest"),
])
def test_the_most_specific_path_wins(gw, target, expected):
    assert body(gw, target) == expected


@pytest.mark.parametrize("host,expected", [
    ("exact.test", "rest"), ("EXACT.test", "rest"), ("exact.test:8080", "rest"),
    ("exact.test.", "rest"), ("second.test", "rest"), ("a.wild.test", "wild"),
    ("a.b.wild.test", "wild"), ("x.deep.wild.test", "deeper wild"), ("deep.wild.test", "wild"),
])
def test_the_best_host_wins(gw, host, expected):
    assert body(gw, "/nothing", host) == expected


def test_the_best_host_is_final(gw):
    """A wildcard site has a route for it, but the exact one has the host."""
    assert body(gw, "/x", "named.wild.test") == "named"
    assert gw.get("/y", host="named.wild.test").status == 404


@pytest.mark.parametrize("host", ["wild.test", "unknown.test", "127.0.0.1", "[::1]"])
def test_an_unknown_host_is_421(gw, host):
    response = gw.get("/", host=host)
    assert response.status == 421 and json.loads(response.body)["cause"] == "host_unknown"


def test_an_unknown_host_gets_the_default_site(shop):
    config = basic()
    config["sites"] = [{"hosts": ["a.test"], "routes": [route("/*", "a")]},
                       {"hosts": ["b.test"], "default": True, "routes": [route("/*", "b")]}]
    gw = shop.lintel(config)
    assert body(gw, "/", "a.test") == "a"
    assert body(gw, "/", "unknown.test") == "b"


def test_a_star_site_takes_every_host(shop):
    config = basic()
    config["sites"] = [{"hosts": ["a.test"], "routes": [route("/*", "a")]},
                       {"hosts": ["*"], "routes": [route("/*", "star")]}]
    gw = shop.lintel(config)
    assert body(gw, "/", "a.test") == "a" and body(gw, "/", "zzz") == "star"


@pytest.mark.parametrize("method,expected", [("GET", "get"), ("POST", "post")])
def test_the_method_decides(gw, method, expected):
    assert body(gw, "/m", method=method) == expected


def test_get_serves_head(gw):
    response = gw.get("/m", host="exact.test", method="HEAD")
    assert response.status == 200 and response.headers.get("content-length") == "3"


def test_another_method_falls_back_to_a_less_specific_route(gw):
    assert body(gw, "/m", method="PUT") == "rest"


def test_a_path_without_the_method_is_405_and_tells_which(shop):
    config = basic()
    config["sites"] = [{"hosts": ["*"], "routes": [
        route("GET /m"), route("POST /m"), {"match": "/only", "methods": ["PUT"],
                                            "respond": says("put")}]}]
    gw = shop.lintel(config)
    response = gw.get("/m", method="DELETE")
    assert response.status == 405
    assert sorted(re.split(", *", response.headers.get("allow"))) == ["GET", "HEAD", "POST"]
    assert gw.get("/only").headers.get("allow") == "PUT"
    assert gw.get("/none").status == 404


@pytest.mark.parametrize("headers,target,expected", [
    ({}, "/w", "plain"), ({"X-Beta": "1"}, "/w", "with when"), ({"X-Beta": "2"}, "/w", "plain"),
    ({"X-Beta": "1"}, "/w?q=2", "with two"), ({}, "/w?q=2", "plain"),
    ({"X-A": "1"}, "/p", "low"), ({"X-B": "1"}, "/p", "high"),
    ({"X-A": "1", "X-B": "1"}, "/p", "high"), ({}, "/p", "rest"),
])
def test_conditions_decide_between_routes_of_one_path(gw, headers, target, expected):
    assert body(gw, target, headers=headers) == expected


@pytest.mark.parametrize("target,status,location", [
    ("/old/a/b?c=d", 308, "/new/a/b"), ("/old", 308, "/new/"),
    ("/away", 307, "https://other.test/x"),
    ("/q?a=b", 307, "/to?a=b&p=/q"),
    ("/seg/abc", 307, "https://exact.test/n/abc"),
])
def test_redirects(gw, target, status, location):
    response = gw.get(target, host="exact.test")
    assert response.status == status
    got = response.headers.get("location")
    assert got == location or got == location + "?c=d"


@pytest.mark.parametrize("target", ["/old//evil.test/x", "/old/%0d%0aSet-Cookie:%20a=b",
                                    "/old/\\evil.test", "/old/%5c%5cevil.test"])
def test_a_redirect_never_leads_to_a_host_the_client_chose(gw, target):
    response = gw.get(target, host="exact.test")
    if response.status == 308:
        location = response.headers.get("location")
        assert location.startswith("/new/") and "\r" not in location
    else:
        assert response.status == 400
    assert "set-cookie" not in response.headers


def test_fixed_answers(gw):
    assert gw.get("/gone", host="exact.test").status == 410
    made = gw.get("/json", host="exact.test")
    assert (made.status, made.body) == (201, b'{"a":1}')
    assert made.headers.get("content-type") == "application/json"
    empty = gw.get("/empty", host="exact.test")
    assert empty.status == 204 and empty.body == b""


def test_a_fixed_answer_keeps_the_connection_even_when_a_body_was_sent(gw):
    with gw.client() as client:
        for _ in range(3):
            assert client.request("POST", "/gone", body=b"abc", host="exact.test").status == 410


def test_strip_takes_the_prefix_off(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, routes=[{"match": "/shop/*", "strip": "/shop", "to": "app"},
                                        {"match": "/a/{x}", "strip": "/a", "to": "app"}]))
    for target, expected in (("/shop/cart?a=b", "/cart?a=b"), ("/shop", "/"), ("/shop/", "/"),
                             ("/shop//x", "/x"), ("/a/b", "/b")):
        got = json.loads(gw.get(target).body)["target"]
        assert got == expected or (target == "/shop//x" and got == "//x"), (target, got)


def test_a_split_divides_by_its_shares(shop):
    a, b = shop.echo("a"), shop.echo("b")
    config = basic(routes=[{"match": "/*", "to": {"a": "75%", "b": "25%"}}],
                   upstreams={"a": upstream(a), "b": upstream(b)})
    gw = shop.lintel(config)
    with gw.client() as client:
        for _ in range(200):
            assert client.request().status == 200
    # 25 % of 200: 99.99 % of all runs stay within four standard deviations.
    assert 25 <= b.served <= 75 and a.served == 200 - b.served


def test_sites_may_answer_on_some_listeners_only(shop):
    config = basic()
    config["listen"].append({"name": "inside", "address": "127.0.0.3:0"})
    config["sites"] = [{"hosts": ["a.test"], "routes": [route("/*", "both")]},
                       {"hosts": ["b.test"], "listeners": ["inside"],
                        "routes": [route("/*", "inside")]}]
    gw = shop.lintel(config)
    assert body(gw, "/", "a.test") == "both"
    assert gw.get("/", host="b.test").status == 421
    assert fetch(gw.address("inside"), "/", host="b.test").body == b"inside"
    assert fetch(gw.address("inside"), "/", host="a.test").body == b"both"


def test_a_listener_may_redirect_to_https(shop, authority):
    cert, key = authority.leaf("localhost")
    config = basic(routes=[route("/*", "served")])
    config["listen"][0]["redirect"] = "https"
    config["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    config["sites"][0]["tls"] = {"certificates": [{"certificate": str(cert), "key": str(key)}]}
    gw = shop.lintel(config)
    response = gw.get("/a?b=c", host="localhost:80")
    assert response.status == 308
    assert response.headers.get("location") == "https://localhost/a?b=c"
    assert gw.get("/.well-known/acme-challenge/x").body == b"served"
    with gw.client() as client:
        client.send(head("POST", "/a", {"Content-Length": "3"}) + b"abc")
        assert client.response().status == 308
        assert client.request(target="/b").status == 308


TIES = {
    "same_path": ([route("/a"), route("/a")], 2),
    "same_method": ([route("GET /a"), route("GET /a")], 2),
    "same_segment": ([route("/u/{id}"), route("/u/{name}")], 2),
    "same_prefix": ([route("/a/*"), route("/a/*")], 2),
    "same_terms": ([route("/a", when='header.x == "1"'), route("/a", when='header.y == "1"')], 2),
    "a_common_method": ([route("GET /a"), {"match": "/a", "methods": ["GET", "PUT"],
                                           "respond": says("x")}], 2),
}


@pytest.mark.parametrize("name", TIES)
def test_a_tie_is_an_error_that_names_both_lines(tmp_path, name):
    routes, _count = TIES[name]
    config = basic()
    config["sites"][0]["routes"] = routes
    path = tmp_path / "lintel.yaml"
    # One route a line, so that the lines can be looked at.
    lines = [json.dumps(r) for r in routes]
    config["sites"][0]["routes"] = "ROUTES"
    path.write_text(text_of(config).replace('"ROUTES"', "[\n" + ",\n".join(lines) + "\n]"))
    numbers = [i for i, line in enumerate(path.read_text().splitlines(), 1)
               if line.startswith('{"match"')]
    done = command("check", "-c", path)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert f"{path.name}:{numbers[1]}:" in told
    assert f"line {numbers[0]}" in told or f":{numbers[0]}:" in told


@pytest.mark.parametrize("routes", [
    [route("GET /a"), route("POST /a"), route("/a")],
    [route("/a"), route("/a/*"), route("/{x}"), route("/*")],
    [route("/a", priority=1), route("/a")],
    [route("/a", when='header.x == "1"'), route("/a")],
])
def test_what_does_not_tie_is_no_error(tmp_path, routes):
    config = basic()
    config["sites"][0]["routes"] = routes
    path = tmp_path / "lintel.yaml"
    path.write_text(text_of(config))
    done = command("check", "-c", path)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("kind", ["sites", "hosts", "paths"])
def test_ten_thousand_of_them_with_one_certificate_load_at_once(tmp_path, authority, kind):
    """An ordinary build takes 0.15 s of processor time; reading the certificate again for each
    site took seconds."""
    cert, key = authority.leaf("localhost")
    config = with_tls(basic(), cert, key)
    tls, to = config["sites"][0]["tls"], {"match": "/*", "respond": 204}
    hosts = [f"h{i}.test" for i in range(10000)]
    config["sites"] = {
        "sites": [{"hosts": [h], "tls": tls, "routes": [to]} for h in hosts],
        "hosts": [{"hosts": hosts, "tls": tls, "routes": [to]}],
        "paths": [{"hosts": ["h.test"], "tls": tls, "routes": [
            {"match": f"/api/v{i}/items/{{id}}", "respond": 204} for i in range(10000)]}]}[kind]
    path = tmp_path / "lintel.yaml"
    path.write_text(text_of(config))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = command("check", "-c", path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == 0, done.stderr
    assert took < 1 * slowness(), took
