# SPDX-License-Identifier: Apache-2.0
"""The filter cors: what goes over the wire, and what a real browser makes of it."""
import json
import re

import pytest

from lib.browser import chromium
from lib.client import fetch, head
from lib.configs import basic, upstream, with_tls
from lib.gateway import command
from lib.wait import PATIENCE

PAGE = "https://page.localhost"
ASKS = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-a"}


def cors(server, *, after=(), filters=None, app=None, **settings):
    settings.setdefault("origins", ["https://app.example.com"])
    return basic(server, app=app, site={"filters": ["pages", *after]},
                 filters={"pages": {"filter": "cors", **settings}, **(filters or {})})


def grants(response):
    return {name.lower() for name, _ in response.headers
            if name.lower().startswith("access-control-")}


def varies(response):
    return [v.strip().lower() for n, value in response.headers if n.lower() == "vary"
            for v in value.split(",")]


def test_a_preflight_never_reaches_the_application(shop):
    app = shop.echo()
    gw = shop.lintel(cors(app, credentials=True))
    response = gw.get("/x", method="OPTIONS", headers=ASKS)
    assert response.status == 204 and response.body == b""
    assert response.headers.get("access-control-allow-origin") == "https://app.example.com"
    assert response.headers.get("access-control-allow-credentials") == "true"
    assert response.headers.get("access-control-allow-headers") == "x-a"
    assert "PUT" in response.headers.get("access-control-allow-methods")
    assert app.served == 0
    refused = gw.get("/x", method="OPTIONS", headers={**ASKS, "Origin": "https://evil.example"})
    assert refused.status == 403 and not grants(refused) and "origin" in varies(refused)
    assert json.loads(refused.body)["cause"] == "cors_origin"
    assert app.served == 0
    assert gw.access(path="/x", status=403)[0]["reason"] == "cors_origin"
    assert gw.get("/x", method="OPTIONS", headers={"Origin": ASKS["Origin"]}).status == 200
    assert app.served == 1


def test_every_response_varies_by_origin(shop):
    app = shop.echo()
    gw = shop.lintel(cors(app))
    for origin, path in [(None, "/"), ("https://app.example.com", "/"), ("https://no.example", "/"),
                         (None, "/status/304"), ("https://app.example.com", "/status/500")]:
        response = gw.get(path, headers={"Origin": origin} if origin else {})
        assert varies(response).count("origin") == 1, (origin, path)
        assert bool(grants(response)) == (origin == "https://app.example.com")


def test_pages_can_read_refusals_and_failures(shop):
    """What a later filter or Lintel itself answers has the fields, too."""
    door = {"filter": "key_auth", "keys": {"a": "0" * 64}, "when": "path == '/locked'"}
    gw = shop.lintel(cors(shop.refusing(), after=["door"], filters={"door": door},
                          app={"queue": {"restart": 0}}))
    for path, status in (("/locked", 401), ("/", 502)):
        response = gw.get(path, headers={"Origin": "https://app.example.com"})
        assert response.status == status
        assert response.headers.get("access-control-allow-origin") == "https://app.example.com"
    assert gw.get("/locked", method="OPTIONS", headers=ASKS).status == 204


def test_what_the_application_has_set(shop):
    def answer(peer):
        while True:
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n"
                      b"Access-Control-Allow-Credentials: true\r\nVary: Accept\r\n\r\nok")
    for override, wanted in ((True, None), (False, "*")):
        gw = shop.lintel(cors(shop.origin(answer), override=override))
        response = gw.get(headers={"Origin": "https://no.example"})
        assert response.headers.get("access-control-allow-origin") == wanted
        assert varies(response) == ["accept", "origin"]


def test_a_route_for_certain_methods_needs_options_among_them(shop):
    config = cors(shop.echo())
    config["sites"][0]["routes"] = [{"match": "/put", "methods": ["PUT", "OPTIONS"], "to": "app"},
                                    {"match": "PUT /bare", "to": "app"}]
    gw = shop.lintel(config)
    assert gw.get("/put", method="OPTIONS", headers=ASKS).status == 204
    refused = gw.get("/bare", method="OPTIONS", headers=ASKS)
    assert refused.status == 405 and not grants(refused)


def test_two_origins_are_none(shop):
    gw = shop.lintel(cors(shop.echo(), origins=["https://a.example", "https://b.example"]))
    with gw.client() as client:
        client.send(head("GET", "/", [("Origin", "https://a.example"),
                                      ("Origin", "https://b.example")]))
        assert not grants(client.response())


@pytest.mark.parametrize("more, place, message", [
    ("origin: [x]", r":8:25: error", 'did you mean "origins"'),
    ('origins: ["*"], credentials: true', r":8:34: error", "with credentials name the origins"),
    ("origins: [a.example]", r":8:34: error", "is no origin"),
    ("max_age: soon", r":8:34: error", "is not a duration"),
])
def test_mistakes_have_their_place(tmp_path, more, place, message):
    path = tmp_path / "lintel.yaml"
    path.write_text("lintel: 1\nlisten: [{name: a, address: '127.0.0.1:8080'}]\n"
                    "sites:\n  - hosts: ['*']\n    filters: [pages]\n"
                    "    routes: [{match: '/*', respond: 200}]\nfilters:\n"
                    f"  pages: {{filter: cors, {more}}}\n")
    done = command("check", "-c", path)
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert re.search(place, done.stderr), done.stderr


# ---- Chromium ----

@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        driver.set_script_timeout(PATIENCE)
        yield driver


@pytest.fixture(scope="module")
def gw(shared, authority):
    """Pages at page.localhost, what they ask at the other names."""
    app = shared.echo()
    kinds = {
        "exact": {"origins": [PAGE + ":*"], "expose": ["Server"]},
        "cookies": {"origins": ["https://*.localhost:*"], "credentials": True},
        "any": {"origins": ["*"], "expose": ["*"]},
        "pattern": {"patterns": [r"https://page\.localhost:\d+"], "methods": ["GET", "PUT"],
                    "headers": ["X-One"]},
        "other": {"origins": ["https://other.example"]},
    }
    config = with_tls(basic(app, filters={k: {"filter": "cors", **v} for k, v in kinds.items()}),
                      *authority.leaf("localhost", "page.localhost"))
    tls = config["sites"][0]["tls"]
    config["sites"] = [
        {"hosts": ["page.localhost"], "tls": tls,
         "routes": [{"match": "/*", "respond": {"status": 200, "body": "page"}}]},
        *({"hosts": [f"{kind}.localhost"], "tls": tls, "filters": [kind],
           "routes": [{"match": "/*", "to": "app"}]} for kind in kinds)]
    config["upstreams"] = {"app": upstream(app)}
    gateway = shared.lintel(config)
    gateway.app = app
    return gateway


SCRIPT = """
const done = arguments[arguments.length - 1];
fetch(arguments[0], arguments[1]).then(
  async r => done({status: r.status, server: r.headers.get('server'), body: await r.text()}),
  e => done({error: String(e)}));
"""


def asks(browser, gw, kind, path="/", **init):
    port = gw.secure[1]
    if not browser.current_url.startswith(f"{PAGE}:{port}/"):
        browser.get(f"{PAGE}:{port}/")
    return browser.execute_async_script(SCRIPT, f"https://{kind}.localhost:{port}{path}", init)


@pytest.mark.parametrize("kind, init, allowed", [
    ("exact", {}, True),
    ("exact", {"method": "PUT", "headers": {"X-Any": "1"}, "body": "x"}, True),
    ("exact", {"method": "DELETE"}, True),
    ("exact", {"credentials": "include"}, False),
    ("cookies", {"credentials": "include"}, True),
    ("cookies", {"credentials": "include", "method": "PATCH", "headers": {"X-A": "1"}}, True),
    ("any", {"headers": {"Authorization": "x"}}, True),
    ("any", {"credentials": "include"}, False),
    ("pattern", {"method": "PUT", "headers": {"X-One": "1"}}, True),
    ("pattern", {"method": "PUT", "headers": {"X-Two": "1"}}, False),
    ("pattern", {"method": "DELETE"}, False),
    ("other", {}, False),
    ("other", {"method": "PUT"}, False),
])
def test_what_a_browser_lets_a_page_do(browser, gw, kind, init, allowed):
    told = asks(browser, gw, kind, **init)
    assert ("error" not in told) == allowed, told
    if allowed:
        assert told["status"] == 200
        facts = json.loads(told["body"])
        assert facts["method"] == init.get("method", "GET")


def test_a_browser_shows_scripts_what_is_exposed(browser, gw):
    assert asks(browser, gw, "exact")["server"] == "app"
    assert asks(browser, gw, "any")["server"] == "app"
    assert asks(browser, gw, "cookies")["server"] is None


def test_a_browser_remembers_a_preflight(browser, gw):
    for _ in range(3):
        assert asks(browser, gw, "exact", "/remember", method="DELETE")["status"] == 200
    gw.access(3, path="/remember", method="DELETE")
    assert len(gw.access(path="/remember", method="OPTIONS")) == 1


def test_a_page_reads_a_refusal_of_the_application(browser, gw):
    assert asks(browser, gw, "exact", "/status/403")["status"] == 403


def test_a_cached_response_of_another_origin_does_no_harm(gw):
    """Without Vary a cache would give one page what another one was allowed to read."""
    for origin in ("https://page.localhost:1", "https://evil.example", None):
        response = fetch(gw.plain, "/", headers={"Origin": origin} if origin else {},
                         host="exact.localhost")
        assert "origin" in varies(response)
