# SPDX-License-Identifier: Apache-2.0
"""Routes by regular expression, and rewritten paths."""
import json

import pytest

from lib.configs import basic
from lib.gateway import command, text_of


def says(text):
    return {"status": 200, "body": text}


def regex(pattern, text=None, method=None, **more):
    match = {"regex": pattern, **({"method": method} if method else {})}
    return {"match": match, "respond": says(text or pattern), **more}


ROUTES = [
    {"match": "/*", "respond": says("rest")},
    {"match": "/exact", "respond": says("exact")},
    {"match": "/files/*", "respond": says("prefix")},
    regex(r"\.php$", "php"),
    regex(r"^/v(?<n>\d+)/", "version"),
    regex(r"^/v(?<n>\d+)/", "seven", when="path.n == 7"),
    regex(r"^/v(?<n>\d+)/", "put", method="PUT"),
    regex(r"^/v1/\d+$", "longer beginning"),
    regex(r"^/exact", "never for /exact"),
    regex(r"^/e%C3%A9(?<x>.)$", "e with accent"),
    regex(r"^/slow/(a+)+$", "slow"),
    {"match": "/when/*", "when": 'path ~ "^/when/(a+)+$"', "respond": says("when")},
    {"match": {"regex": r"^/go/(?<where>.+)$"}, "redirect": "/to/{where}"},
    {"match": {"regex": r"^/items/(?<kind>[a-z]+)-(?<id>[^/]+)$"},
     "rewrite": "/{kind}/by-id/{id}", "to": "app"},
    {"match": {"regex": r"^/pair/(?<a>[^/]*?)=(?<b>.*)$"}, "rewrite": "/{a}/{b}", "to": "app"},
    {"match": "/old/*", "rewrite": "/new/{rest}", "to": "app"},
    {"match": "/find/{word}", "rewrite": "/search?q={word}&{query}", "to": "app"},
]


@pytest.fixture(scope="module")
def gw(shared):
    return shared.lintel(basic(shared.echo(), routes=ROUTES))


@pytest.mark.parametrize("target,expected", [
    ("/", "rest"), ("/x.php", "php"), ("/x.php?y=1", "php"), ("/x.phpx", "rest"),
    ("/v12/x", "version"), ("/v7/x", "seven"), ("/v1/22", "longer beginning"), ("/vx/", "rest"),
    ("/exact", "exact"), ("/exactly", "never for /exact"), ("/files/x.php", "prefix"),
    ("/slow/aaa", "slow"), ("/slow/b", "rest"),
    # The normal form is what is matched: once decoded, never twice.
    ("/%76%31/22", "longer beginning"), ("/x//../v1/./22", "longer beginning"),
    ("/e%c3%a91", "e with accent"), ("/x%2Ephp", "php"), ("/x%252Epng", "rest"),
])
def test_regular_expressions_come_between_paths_and_the_rest(gw, target, expected):
    assert gw.get(target).body.decode() == expected


@pytest.mark.parametrize("target", ["/%2576%31/22", "/x%252Ephp"])
def test_what_decoded_twice_has_another_route_is_refused(gw, target):
    response = gw.get(target)
    assert response.status == 400 and json.loads(response.body)["cause"] == "path_ambiguous"


def test_the_method_counts(gw):
    assert gw.get("/v12/x", method="PUT").body == b"put"
    assert gw.get("/v12/x", method="DELETE").body == b"version"


def test_groups_go_into_a_redirect(gw):
    assert gw.get("/go/a/b%20c").headers.get("location") == "/to/a/b%20c"


@pytest.mark.parametrize("target,expected", [
    ("/items/book-7", "/book/by-id/7"), ("/items/book-7?a=b", "/book/by-id/7?a=b"),
    ("/items/book-a-b", "/book/by-id/a-b"),
    ("/old/a/b?c", "/new/a/b?c"), ("/old", "/new/"),
    # Escaped once, as it came; what divides values in a query is data there.
    ("/old/%2561%20%C3%A9", "/new/%2561%20%C3%A9"),
    ("/find/a", "/search?q=a"), ("/find/a?x=1", "/search?q=a&x=1"),
    ("/find/a&admin=1;b+c?x=1", "/search?q=a%26admin%3D1%3Bb%2Bc&x=1"),
    ("/pair/a=b/c", "/a/b/c"), ("/pair/=b", "/b"),
])
def test_rewritten_paths(gw, target, expected):
    assert json.loads(gw.get(target).body)["target"] == expected


@pytest.mark.parametrize("target", ["/pair/..=etc", "/pair/a=..", "/pair/.=."])
def test_a_rewrite_never_makes_dot_segments(gw, target):
    response = gw.get(target)
    assert (response.status, json.loads(response.body)["cause"]) == (400, "rewrite_invalid")


@pytest.mark.parametrize("target", ["/slow/" + "a" * 60 + "!", "/when/" + "a" * 60 + "!"])
def test_a_pattern_that_takes_too_long_takes_no_other_route(gw, target):
    response = gw.get(target)
    assert (response.status, json.loads(response.body)["cause"]) == (500, "pattern_limit")
    entry = gw.access(path=target)[0]
    assert entry["cause"] == "pattern_limit" and "(a+)+$" in entry["route"]


def test_a_condition_that_takes_too_long_does_not_let_a_request_past_a_filter(shop):
    limit = {"filter": "rate_limit", "key": "client.ip", "rate": "1/1h",
             "when": 'path ~ "^/(a+)+$"'}
    gw = shop.lintel(basic(routes=[{"match": "/*", "filters": ["limit"], "respond": 200}],
                           filters={"limit": limit}))
    long = "/" + "a" * 60 + "!"
    assert [gw.get(target).status for target in ("/b", "/b", long, long)] == [200, 200, 200, 429]


def check(tmp_path, routes):
    """What `lintel check` says of these routes, one a line."""
    config = basic()
    config["upstreams"] = {"app": {"servers": ["127.0.0.1:1"]}}
    config["sites"][0]["routes"] = "ROUTES"
    path = tmp_path / "lintel.yaml"
    lines = ",\n".join(json.dumps(r) for r in routes)
    path.write_text(text_of(config).replace('"ROUTES"', f"[\n{lines}\n]"))
    first = path.read_text().splitlines().index(lines.splitlines()[0]) + 1
    done = command("check", "-c", path)
    return done.returncode, done.stdout + done.stderr, first


@pytest.mark.parametrize("a,b", [
    (regex(r"^/a/\d"), regex(r"^/a/\w")), (regex("x$"), regex("y$")),
    (regex("^(/a)"), regex("^(/b)")), (regex("^/a|^/b"), regex("x$")),
    (regex(r"^/a/\d"), regex(r"^/a/\d")),
    (regex(r"^/a/\d", method="GET"), regex(r"^/a/\w", methods=["GET", "PUT"])),
])
def test_expressions_with_one_beginning_tie(tmp_path, a, b):
    code, told, first = check(tmp_path, [a, b])
    assert code == 1 and f"lintel.yaml:{first + 1}:" in told and f"lintel.yaml:{first}:" in told
    assert "priority" in told, told


@pytest.mark.parametrize("routes", [
    [regex(r"^/a/\d"), regex(r"^/b/\d")], [regex(r"^/a/\d"), regex(r"^/a/b/\d")],
    [regex(r"^/a/\d", priority=1), regex(r"^/a/\w")],
    [regex(r"^/a/\d", method="GET"), regex(r"^/a/\w", method="PUT")],
    [regex(rf"^/part-{i}/(?<id>\d+)$") for i in range(300)],
])
def test_expressions_that_do_not_tie(tmp_path, routes):
    code, told, _ = check(tmp_path, routes)
    assert code == 0, told


@pytest.mark.parametrize("route,says_", [
    (regex("^/a("), "missing closing parenthesis"),
    (regex("(?<Id>x)"), 'the group "Id" is not a name'),
    ({"match": {"regex": "^/(?<id>.)"}, "to": "app", "rewrite": "/{di}"}, "{di} is not known"),
    ({"match": "/a", "to": "app", "rewrite": "/{rest}"}, "there is no {rest}"),
    ({"match": "/a", "to": "app", "rewrite": "x"}, "a path that begins with /"),
    ({"match": "/a", "to": "app", "rewrite": "/b", "strip": "/a"}, "can't have both"),
    ({"match": {"path": "/a", "regex": "^/a"}, "to": "app"}, "one of a path and a regex"),
])
def test_mistakes_are_named_with_their_line(tmp_path, route, says_):
    code, told, first = check(tmp_path, [route])
    assert code == 1 and says_ in told and f"lintel.yaml:{first}:" in told, told
