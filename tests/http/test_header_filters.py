# SPDX-License-Identifier: Apache-2.0
"""The filters headers, security_headers, request_id and log_fields over the wire."""
import json
import re

import pytest

from lib.browser import chromium
from lib.client import Client, tls_trust
from lib.configs import basic, with_tls
from lib.wait import PATIENCE


def through(server, filters, **top):
    return basic(server, filters=filters, site={"filters": list(filters)}, **top)


def sent(response):
    """The fields that the application got."""
    assert response.status == 200, response
    return {name.lower(): value for name, value in json.loads(response.body)["headers"]}


# ---- headers ----

def test_values_of_headers_come_from_the_request(shop):
    config = through(shop.echo(), {"edit": {
        "filter": "headers", "request_set": {"X-Who": "{client.ip} asks for {path}", "X-Q": "{query.q}"},
        "request_remove": ["X-Debug-*"], "response_set": {"X-Route": "{route}"},
        "response_replace": [{"name": "Server", "pattern": "^a", "with": "A"}]}})
    gw = shop.lintel(config)
    response = gw.get("/a?q=%0d%0aX-Evil:%201",
                      headers={"X-Debug-A": "1", "x-debug-b": "2", "X-Q": "forged"})
    got = sent(response)
    assert got["x-who"] == "127.0.0.1 asks for /a"
    assert not {"x-debug-a", "x-debug-b", "x-q", "x-evil"} & set(got)
    assert response.headers.get("x-route") == "/*" and response.headers.get("server") == "App"
    assert not gw.events("filter_failed")


def test_headers_by_condition_and_status(shop):
    config = through(shop.echo(), {
        "get": {"filter": "headers", "when": "method == 'GET'", "response_set": {"X-Get": "1"}},
        "bad": {"filter": "headers", "response_set": {"X-Bad": "1"}, "response_status": ["404", "5xx"]}})
    gw = shop.lintel(config)
    for path, method, fields in (("/", "GET", {"x-get"}), ("/", "POST", set()),
                                 ("/status/404", "GET", {"x-get", "x-bad"}),
                                 ("/status/503", "POST", {"x-bad"})):
        response = gw.get(path, method=method)
        assert {n.lower() for n, _ in response.headers} & {"x-get", "x-bad"} == fields


# ---- security_headers ----

def test_hsts_is_sent_over_tls_alone(shop, authority):
    config = with_tls(through(shop.echo(), {"safe": {"filter": "security_headers"}}),
                      *authority.leaf("localhost"))
    gw = shop.lintel(config)
    assert gw.get().headers.get("strict-transport-security") is None
    with Client(gw.secure, trust=tls_trust(authority.ca)) as client:
        assert client.request().headers.get("strict-transport-security") == "max-age=31536000"
    assert gw.get().headers.get("server") is None
    assert gw.get().headers.get("x-content-type-options") == "nosniff"


def test_lintels_own_answers_are_careful_too(shop):
    gw = shop.lintel(through(shop.refusing(),
                             {"safe": {"filter": "security_headers", "preset": "api"}}))
    response = gw.get()
    assert response.status == 502
    assert response.headers.get("content-security-policy").startswith("default-src 'none'")


PAGE = """<!doctype html><title>none</title>
<script nonce="%s">document.title = 'good'; window.ran = ['good'];</script>
<script>window.ran.push('bad');</script>
<script nonce="bm90LXRoaXMtbm9uY2U=">window.ran.push('stale');</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        driver.set_script_timeout(PATIENCE)
        yield driver


def test_a_browser_runs_scripts_with_the_nonce_alone(shop, authority, browser):
    def page(peer):
        while True:
            body = (PAGE % peer.request().headers.get("x-csp-nonce")).encode()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
                      % (len(body), body))
    settings = {"filter": "security_headers",
                "csp": "default-src 'none'; script-src 'nonce-{nonce}'; base-uri 'none'"}
    gw = shop.lintel(with_tls(through(shop.origin(page), {"safe": settings}),
                              *authority.leaf("localhost")))
    nonces = set()
    for _ in range(3):
        browser.get(f"https://page.localhost:{gw.secure[1]}/")
        assert browser.execute_script("return window.ran") == ["good"]
        assert browser.title == "good"
        nonces.add(browser.execute_script("return document.scripts[0].nonce"))
    assert len(nonces) == 3 and all(len(n) == 24 for n in nonces)


# ---- request_id ----

def test_the_response_names_the_request_as_logs_and_the_application_do(shop):
    app = shop.echo()
    gw = shop.lintel(through(app, {"ids": {"filter": "request_id", "format": "uuid"}}))
    response = gw.get(headers={"X-Request-Id": "mine"})
    request_id = response.headers.get("x-request-id")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id)
    assert sent(response)["x-request-id"] == request_id
    assert gw.access()[0]["id"] == request_id


def test_a_trusted_peer_names_the_request_and_no_other(shop):
    app = shop.echo()
    for name in ("X-Request-Id", "X-Correlation-Id"):
        filters = {"ids": {"filter": "request_id", "format": "ulid", "header": name}}
        trusted = shop.lintel(through(app, filters, trust=["127.0.0.1"]))
        response = trusted.get(headers={name: "peer-7"})
        assert response.headers.get(name) == "peer-7"
        got = sent(response)
        assert got["x-request-id"] == got[name.lower()] == "peer-7"
        assert trusted.access()[0]["id"] == "peer-7"
        for forged in ('a"b', "a" * 129):
            assert re.fullmatch("[0-9A-Z]{26}",
                                trusted.get(headers={name: forged}).headers.get(name))
        stranger = shop.lintel(through(app, filters))
        response = stranger.get(headers={name: "peer-7"})
        assert re.fullmatch("[0-9A-Z]{26}", response.headers.get(name))
        assert sent(response)[name.lower()] == response.headers.get(name)


def test_the_trace_id_as_request_id_also_in_answers_of_lintel(shop):
    gw = shop.lintel(through(shop.refusing(), {"ids": {"filter": "request_id", "format": "trace"}}))
    trace = "0af7651916cd43dd8448eb211c80319c"
    response = gw.get(headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert response.status == 502 and response.headers.get("x-request-id") == trace
    assert json.loads(response.body)["request_id"] == trace
    line = gw.access()[0]
    assert line["id"] == line["trace_id"] == trace


# ---- log_fields ----

def test_members_of_the_access_line(shop):
    gw = shop.lintel(through(shop.echo(), {
        "who": {"filter": "key_auth", "when": "header.x-api-key",
                "keys": {"acme": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}},
        "more": {"filter": "log_fields", "response": {"kind": "Content-Type"}, "fields": {
            "agent": "header.user-agent", "write": "not method in ['GET', 'HEAD']",
            "key": "header.authorization", "team": "user.team or 'none'", "twice": "path"}}},
        log={"redact": ["authorization"], "fields": {"twice": "method"}}))
    assert gw.get(headers={"User-Agent": 'a"b\t', "Authorization": "hidden",
                           "X-Api-Key": "secret"}).status == 200
    line = gw.access()[0]
    assert line["agent"] == 'a"b' and line["write"] == "false" and line["kind"] == "application/json"
    assert line["key"] == "[redacted]" and line["team"] == "none"
    assert line["twice"] == "GET", "a name of the configuration is its own"
    assert line["user"] == "acme"
    assert "hidden" not in "\n".join(gw.stdout.lines)


def test_a_line_names_the_user_and_nobody_where_there_is_none(shop):
    gw = shop.lintel(through(shop.echo(), {"basic": {
        "filter": "basic_auth", "remember": "0s",
        "users": {"ada": "$apr1$Xx8r0Wb9$8Zl1vJ2nM8hPpcYcA6u6P/"}}}))
    assert gw.get().status == 401
    assert "user" not in gw.access()[0]
