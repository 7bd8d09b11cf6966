# SPDX-License-Identifier: Apache-2.0
"""One normal form of paths: what is matched is what servers get, and a guarded path is guarded under
every spelling that any server could read it from.
"""
import hashlib
import itertools
import json
import os
import random
import re

import pytest

from lib.client import head
from lib.configs import basic

KEY = "secret"
GUARD = {"filter": "key_auth", "keys": {"acme": hashlib.sha256(KEY.encode()).hexdigest()}}
ROUTES = [
    {"match": "/*", "to": "app"},
    {"match": "/admin/*", "to": "app", "filters": ["guard"]},
    {"match": "/c++/*", "to": "app", "filters": ["guard"]},
    {"match": "/@ops/*", "to": "app", "filters": ["guard"]},
    {"match": "/files/*", "to": "app", "encoded_slashes": "keep"},
    {"match": "/files/admin/*", "to": "app", "filters": ["guard"]},
]
GUARDED = re.compile(r"/(?:admin|c\+\+|@ops|files/admin)(?:/|\Z)")


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(basic(app, routes=ROUTES, filters={"guard": GUARD}))


# The same guard by the filter's own condition.
BY_WHEN = [
    {"match": "/*", "to": "app", "filters": ["guard"]},
    {"match": "/files/*", "to": "app", "encoded_slashes": "keep", "filters": ["guard"]},
]
WHEN = r'method == "GET" and path ~ "^/(admin|c[+][+]|@ops|files/admin)(/|$)"'


@pytest.fixture(scope="module", params=["route", "when"])
def guarded(request, shared, app, gw):
    if request.param == "route":
        return gw
    return shared.lintel(basic(app, routes=BY_WHEN, filters={"guard": {**GUARD, "when": WHEN}}))


# ---- what a lax server makes of a path ----

def decoded(path):
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), path)


def resolved(path):
    out = []
    for segment in path.replace("\\", "/").split("/"):
        if segment == "..":
            out = out[:-1]
        elif segment not in ("", "."):
            out.append(segment)
    return "/" + "/".join(out)


def cut(path):
    return "/".join(segment.split(";")[0] for segment in path.split("/"))


def readings(target):
    """Every path that a chain of those steps makes of it, in any order, decoded twice at most."""
    path = target.split("?")[0]
    steps = (decoded, decoded, cut, resolved)
    for n in range(len(steps) + 1):
        for chain in set(itertools.permutations(steps, n)):
            made = path
            for step in chain:
                made = step(made)
            yield resolved(made)


BYPASSES = [
    # the plain one, and dots
    "/admin", "/admin/", "/admin/x", "/./admin", "/admin/.", "/admin/./x", "/x/../admin", "/x/y/../../admin/x",
    "/../admin", "/../../admin", "/admin/../admin", "/admin/x/..", "/admin/x/../y", "/x/./../admin",
    "/%2e/admin", "/x/%2e%2e/admin", "/x/%2E%2E/admin", "/x/.%2e/admin", "/x/%2e./admin",
    "/%2e%2e/admin", "/x/%2e%2e/%2e/admin/%2e", "/admin/%2e%2e/admin",
    "/.../admin", "/x/.../admin", "/x/..../admin",
    # slashes
    "//admin", "///admin", "//admin//x", "/admin//", "/.//admin", "/x//../admin", "//x/..//admin",
    "//admin@x/y", "///../admin", "/admin//../admin",
    # encoded characters
    "/%61dmin", "/adm%69n/x", "/%61%64%6d%69%6e", "/%61%64%6D%69%6E/x", "/a%64min%2e/../admin",
    "/ADMIN", "/Admin/x", "/%41dmin", "/adm%c4%b1n",
    # encoded slashes
    "/admin%2fx", "/admin%2Fx", "/%2fadmin", "/%2Fadmin/x", "/x%2f..%2fadmin", "/x%2f../admin", "/x/..%2fadmin",
    "/x%2f%2e%2e%2fadmin", "/..%2fadmin", "/.%2fadmin", "/admin%2f", "/admin%2f..%2fadmin",
    "/files/..%2fadmin", "/files%2f..%2fadmin", "/files/..%2f..%2fadmin", "/files/x%2f..%2f..%2fadmin",
    "/files/%2fadmin", "/files/admin%2fx", "/files/admin%2f", "/files/%2e%2e%2fadmin",
    "/files/x%2f..%2fadmin", "/files/.%2fadmin", "/files/..;/admin", "/files/..;%2fadmin",
    "/files/%2e%2e;x%2fadmin", "/files/admin;x%2fy", "/files/x%2f;%2f..%2fadmin",
    "/files%2fadmin", "/files;x/admin", "/files/;/admin", "/files/%3b/admin",
    # backslashes
    "/\\admin", "\\admin", "/admin\\x", "/x\\..\\admin", "/x/..\\admin", "/%5cadmin", "/admin%5cx", "/x/..%5cadmin",
    "/%5c%5cadmin", "/x%5c..%5cadmin", "/files/..%5cadmin",
    # parameters
    "/admin;", "/admin;x", "/admin;x/y", "/admin;x=1/y", "/admin;/x", "/;/admin", "/;x/admin", "/x;/../admin",
    "/.;/admin", "/..;/admin", "/x/..;/admin", "/x/..;x=1/admin", "/x/.;/..;/admin", "/x;a/..;b/admin",
    "/admin;x;y/z", "/admin%3b", "/admin%3bx/y", "/%3b/admin", "/x/..%3b/admin", "/x/%2e%2e%3b/admin",
    "/x/%2e%2e;/admin", "/admin;%2f", "/admin;%2fx", "/admin%3b%2fx", "/;a=b;c/admin/x", "//;//admin",
    # encoded twice, three times, overlong
    "/%2561dmin", "/%2561%2564min/x", "/x/%252e%252e/admin", "/%252e%252e/admin", "/%252e/admin",
    "/admin%252fx", "/%252fadmin", "/x%252f..%252fadmin", "/x/..%252fadmin", "/admin%253bx/y", "/x/..%253b/admin",
    "/x/%25%32%65%25%32%65/admin", "/%255cadmin", "/admin%255cx", "/x/%252e%252e%252fadmin",
    "/%25%36%31dmin", "/x/%252e%252e;/admin",
    "/%c0%afadmin", "/%c0%ae%c0%ae/admin", "/x/%c0%ae%c0%ae/admin", "/admin%c0%afx", "/%e0%80%afadmin",
    "/%f0%80%80%afadmin", "/%c1%9cadmin", "/%u0061dmin", "/%u002fadmin", "/x/%uff0e%uff0e/admin",
    # controls and spaces
    "/admin%00", "/admin%00/x", "/%00/admin", "/admin%0a", "/admin%0d%0ax", "/admin%09", "/admin%09/x", "/admin%7f",
    "/%0aadmin", "/x/..%00/admin", "/x/..%0d/admin", "/x/..%09/admin", "/admin%20", "/%20/admin",
    # the end of the path
    "/admin?", "/admin?x", "/admin/?/../x", "/admin%3f", "/admin%3fx/y", "/admin%23", "/admin#", "/admin#/../x",
    "/x?/../admin", "/x/../admin?x=/..",
    # the whole target
    "http://localhost/admin", "http://localhost//admin", "http://localhost/x/../admin",
    "http://localhost/%61dmin", "HTTP://LOCALHOST/admin/x", "http://localhost/admin;x/y", "http://localhost:80/admin",
    "http://localhost/../admin", "http:/admin", "http:admin", "http://localhost@/admin", "admin", "./admin",
    # other guarded names
    "/c++", "/c%2b%2b/x", "/c+%2B/x", "/c%2B+", "/c%252b%252b/x", "/@ops/x", "/%40ops/x", "/%2540ops/x",
    "/x/../%40ops", "/@ops;x/y", "/c++;x/y",
]


def ask(gw, target, key=None):
    with gw.client() as client:
        client.send(head("GET", target, {"X-API-Key": key} if key else {}))
        return client.response()


def test_there_are_enough_of_them():
    assert len(set(BYPASSES)) == len(BYPASSES) > 150


@pytest.mark.parametrize("target", BYPASSES)
def test_a_filter_is_not_walked_around(guarded, app, target):
    """Guarded, refused, or sent on in a form that no server reads as a guarded path."""
    before = len(app.requests)
    response = ask(guarded, target)
    if response.status != 200:
        assert len(app.requests) == before
        cause = json.loads(response.body)["cause"]
        assert (response.status, cause) in {
            (401, "missing_api_key"), (400, "path_invalid"), (400, "path_ambiguous"),
            (400, "path_encoded_slash"), (400, "target_invalid")}
        return
    [got] = [r.target for r in app.requests[before:]]
    for reading in readings(got):
        assert not GUARDED.match(reading), f"{target}: as {got} it went on, and is {reading} to some"
    # What went on is the form that was matched: asked for itself it is the same.
    again = ask(guarded, got)
    assert again.status == 200 and json.loads(again.body)["target"] == got


WORDS = ["admin", "files", "x", "/", "/", "/", "..", ".", "%2F", "%2f", "%252F", "%2e", "%252e", ";",
         "%3B", "%253b", "%5C", "%255c", "%61dmin", "%2561dmin", "%25", "61", "2f", "%", "a=b", "\\"]


def made_up(n):
    """n paths of those words; the same ones each time."""
    rand = random.Random(13)
    for _ in range(n):
        yield "/" + "".join(rand.choice(WORDS) for _ in range(rand.randrange(1, 9)))


def test_no_path_made_at_random_walks_around_it(guarded):
    went_on = 0
    client = guarded.client()
    for target in made_up(int(os.environ.get("LINTEL_TEST_PATHS", "1500"))):
        client.send(head("GET", target))
        response = client.response()
        if response.headers.get("connection", "").lower() == "close":
            client.close()
            client = guarded.client()
        assert response.status in (200, 400, 401), (target, response)
        if response.status == 200:
            went_on += 1
            got = json.loads(response.body)["target"]
            bad = {reading for reading in readings(got) if GUARDED.match(reading)}
            assert not bad, f"{target}: as {got} it went on, and is {bad} to some"
    client.close()
    assert went_on > 100


@pytest.mark.parametrize("target", [t for t in BYPASSES if t.startswith("/")])
def test_with_the_key_a_guarded_path_arrives_in_normal_form(gw, app, target):
    response = ask(gw, target, KEY)
    if response.status == 200:
        got = json.loads(response.body)["target"]
        path = got.split("?")[0]
        assert "//" not in path and "\\" not in path
        assert not {".", ".."} & set(path.split("/"))
        assert json.loads(ask(gw, got, KEY).body)["target"] == got


def test_any_term_of_a_condition_that_asks_for_the_path_guards(shop):
    def serve(condition):
        return shop.lintel(basic(shop.echo(), routes=[{"match": "/x/{id}", "to": "app", "filters": ["guard"]}],
                                 filters={"guard": {**GUARD, "when": condition}}))

    gw = serve('path.id == "admin" and user.id == "nobody"')  # a filter before may say who it is
    assert gw.get("/x/a%2564min").status == 400
    assert gw.get("/x/other;v=1").status == 200
    gw = serve('not (path in ["/x/open"])')
    assert gw.get("/x/open;x").status == 400
    assert gw.get("/x/other;x").status == 401
    gw = serve("path == header.x-path")  # nobody knows
    assert gw.get("/x/other;x").status == 400
    assert gw.get("/x/other").status == 200


@pytest.mark.parametrize("target,sent", [
    ("/files/a%2fb", "/files/a%2Fb"), ("/files/a%2Fb%2F?x=%2f", "/files/a%2Fb%2F?x=%2f"),
    ("/files/https:%2f%2Fexample.com", "/files/https:%2F%2Fexample.com"),
    ("/files/x/../a%2Fb", "/files/a%2Fb"), ("/files/a%252Fb", "/files/a%252Fb"),
    ("/users;v=1/7", "/users;v=1/7"), ("/%40user", "/@user"), ("/a%2Bb+c", "/a%2Bb+c"),
    ("/100%25", "/100%25"), ("/a%2561", "/a%2561"), ("/a b".replace(" ", "%20"), "/a%20b"),
    ("/a|b\"<c>", "/a%7Cb%22%3Cc%3E"), ("/caf%c3%a9", "/caf%C3%A9"), ("/x;a=1,2/y", "/x;a=1,2/y"),
])
def test_honest_spellings_go_on(gw, target, sent):
    response = ask(gw, target)
    assert response.status == 200, response
    assert json.loads(response.body)["target"] == sent


def test_an_encoded_slash_is_the_routes_decision(shop):
    app = shop.echo()
    routes = [{"match": "/{id}", "to": "app"},
              {"match": "/no/*", "to": "app", "encoded_slashes": "refuse"},
              {"match": "/strip/*", "to": "app", "strip": "/strip"},
              {"match": "/rewrite/{id}", "to": "app", "rewrite": "/item/{id}"},
              {"match": "/go/*", "redirect": "/to/{rest}"}]
    gw = shop.lintel(basic(app, routes=routes, site={"encoded_slashes": "keep"}))
    assert json.loads(gw.get("/a%2fb").body)["target"] == "/a%2Fb"
    assert json.loads(gw.get("/strip/a%2fb").body)["target"] == "/a%2Fb"
    assert json.loads(gw.get("/rewrite/a%2fb").body)["target"] == "/item/a%2Fb"
    assert gw.get("/go/a%2fb").headers.get("location") == "/to/a%2Fb"
    refused = gw.get("/no/a%2fb")
    assert refused.status == 400 and json.loads(refused.body)["cause"] == "path_encoded_slash"
    line = gw.access(cause="path_encoded_slash")[0]
    assert line["status"] == 400 and line["stage"] == "route"


def test_what_is_ambiguous_is_in_the_log_and_ends_no_connection(gw):
    with gw.client() as client:
        response = client.request(target="/admin;log")
        assert response.status == 400 and json.loads(response.body)["cause"] == "path_ambiguous"
        assert client.request(target="/fine").status == 200
    assert gw.access(cause="path_ambiguous")[0]["status"] == 400
