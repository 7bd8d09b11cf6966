# SPDX-License-Identifier: Apache-2.0
"""The bodies of Lintel's own answers: problem+json or a page by Accept, or the operator's file."""
import json
import re

import pytest

from lib.client import head
from lib.configs import basic
from lib.gateway import command
from lib.origin import always
from lib.wait import wait_until

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PAGE = "<title>{status} {reason}</title><style>p { color: red }</style>" \
       "<p id='{request_id}'>{cause} {unknown} {{status}}</p>\n"
JSON = '{"code": {status}, "why": "{cause}", "id": "{request_id}", "text": "{reason}"}'


def denied(accept):
    return {} if accept is None else {"Accept": accept}


# ---- without files ----

@pytest.mark.parametrize("accept, kind", [
    (None, "application/problem+json"), ("*/*", "application/problem+json"),
    (BROWSER, "text/html"), ("text/html", "text/html"), ("text/*", "text/html"),
    ("text/html;q=0.5, application/json;q=0.4", "text/html"),
    ("text/html;q=0.4, application/json", "application/problem+json"),
    ("application/json, text/html", "application/problem+json"),
    ("text/html;q=0, */*", "application/problem+json"),
    ("application/problem+json;q=0.1, text/html;q=0.2", "text/html"),
    ("application/x-text/html", "application/problem+json"), ("image/png", "application/problem+json")])
def test_json_or_a_page_by_accept(plain, accept, kind):
    with plain.client() as c:
        r = c.request(target="/none", headers=denied(accept))
    assert r.status == 404 and r.headers.get("content-type").split(";")[0] == kind
    assert r.headers.get("vary") == "Accept"
    if kind.endswith("json"):
        told = json.loads(r.body)
        assert (told["status"], told["cause"]) == (404, "route_unknown")
    else:
        assert b"<h1>404 Not Found</h1>" in r.body and b"route_unknown" in r.body


@pytest.fixture(scope="module")
def plain(shared):
    return shared.lintel(basic(routes=[{"match": "/fixed", "respond": 200}]))


# ---- with files ----

@pytest.fixture
def pages(tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "page.html").write_text(PAGE)
    (folder / "down.json").write_text(JSON)
    (folder / "oops.txt").write_text("Sorry: {status} {cause} {request_id}\n")
    (folder / "still.html").write_text("<p>Nothing { to } fill in: ä</p>")
    (folder / "empty.txt").write_text("")
    return folder


def errors(pages, **names):
    return {k.strip("_"): str(pages / v) for k, v in names.items()}


def get(gw, target="/none", method="GET", **headers):
    with gw.client() as c:
        return c.request(method, target, headers=headers)


def test_a_page_is_filled_in_and_any_other_brace_stays(shop, pages):
    gw = shop.lintel(basic(routes=[{"match": "/fixed", "respond": 200}],
                           defaults={"errors": errors(pages, _404="page.html")}))
    r = get(gw, Accept=BROWSER)
    request_id = r.headers.get("x-request-id")
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert r.status == 404 and r.headers.get("content-type") == "text/html; charset=utf-8"
    assert r.headers.get("vary") == "Accept"
    assert r.body.decode() == (
        "<title>404 Not Found</title><style>p { color: red }</style>"
        f"<p id='{request_id}'>route_unknown {{unknown}} {{404}}</p>\n")


@pytest.mark.parametrize("name, kind", [
    ("page.html", "text/html; charset=utf-8"), ("down.json", "application/json"),
    ("oops.txt", "text/plain; charset=utf-8"), ("still.html", "text/html; charset=utf-8"),
    ("empty.txt", "text/plain; charset=utf-8")])
def test_types_and_head(shop, pages, name, kind):
    gw = shop.lintel(basic(routes=[{"match": "/fixed", "respond": 200}],
                           defaults={"errors": errors(pages, _4xx=name)}))
    full, top = get(gw), get(gw, method="HEAD")
    assert full.headers.get("content-type") == top.headers.get("content-type") == kind
    assert full.headers.get("content-length") == top.headers.get("content-length")
    assert len(full.body) == int(full.headers.get("content-length")) and top.body == b""
    if name == "down.json":
        assert json.loads(full.body)["why"] == "route_unknown"
    if name == "still.html":
        assert full.body.decode() == "<p>Nothing { to } fill in: ä</p>"


def test_who_does_not_accept_the_type_gets_our_own(shop, pages):
    gw = shop.lintel(basic(routes=[{"match": "/fixed", "respond": 200}],
                           defaults={"errors": errors(pages, _404="page.html")}))
    r = get(gw, Accept="application/json")
    assert r.headers.get("content-type") == "application/problem+json"
    assert get(gw, Accept="text/html;q=0, */*").headers.get("content-type") \
        == "application/problem+json"
    assert get(gw, Accept="*/*").headers.get("content-type").startswith("text/html")


@pytest.mark.parametrize("request_id", ['"><script>x', "a\\\"b'&<c>"])
def test_values_are_made_safe_for_the_type(shop, pages, request_id):
    gw = shop.lintel(basic(
        sites=[{"hosts": ["h"], "default": True, "errors": errors(pages, _404="page.html"),
                "routes": [{"match": "/x", "respond": 200}]},
               {"hosts": ["j"], "errors": errors(pages, _404="down.json"),
                "routes": [{"match": "/x", "respond": 200}]}],
        trust=["127.0.0.0/8"]))
    with gw.client() as c:
        page = c.request(target="/none", headers={"X-Request-Id": request_id})
        told = c.request(target="/none", headers={"X-Request-Id": request_id}, host="j")
    body = page.body.decode()
    assert "<script" not in body and "<c>" not in body
    assert json.loads(told.body)["id"] == told.headers.get("x-request-id")


def test_the_nearest_level_wins_then_the_single_status(shop, pages):
    refused = shop.refusing()
    gw = shop.lintel(basic(
        refused, app={"queue": {"restart": 0}},
        defaults={"errors": errors(pages, _404="oops.txt", _502="page.html", _4xx="still.html")},
        site={"errors": errors(pages, _502="down.json", _5xx="oops.txt")},
        routes=[{"match": "/near", "to": "app", "errors": errors(pages, _5xx="still.html")},
                {"match": "/site", "to": "app"},
                {"match": "GET /get", "to": "app"}]))
    assert get(gw, "/near").body.startswith(b"<p>Nothing")
    assert json.loads(get(gw, "/site").body)["code"] == 502
    assert get(gw, "/none").body.startswith(b"Sorry: 404 route_unknown")
    got = get(gw, "/get", "DELETE")
    assert got.status == 405 and got.body.startswith(b"<p>Nothing")
    assert got.headers.get("allow") == "GET, HEAD"


def test_requests_without_a_site_or_a_head(shop, pages):
    gw = shop.lintel(basic(
        defaults={"errors": errors(pages, _4xx="oops.txt")},
        sites=[{"hosts": ["other.example"], "errors": errors(pages, _4xx="still.html"),
                "routes": [{"match": "/fixed", "respond": 200}]}]))
    with gw.client() as c:
        r = c.request(host="unknown.example")
        assert r.status == 421 and r.body.startswith(b"Sorry: 421 host_unknown")
        assert c.request(target="/no", host="other.example").body.startswith(b"<p>Nothing")
    with gw.client() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: other.example\r\nBad Name: x\r\n\r\n")
        r = c.response()
        assert r.status == 400 and r.body.startswith(b"Sorry: 400 ")


def test_a_refused_head_is_answered_by_the_accept_that_it_had(shop, pages):
    config = basic(routes=[{"match": "/", "respond": 204}])
    config["defaults"] = {"errors": {"400": str(pages / "page.html")}}
    gw = shop.lintel(config)
    for accept, kind in (("application/json", "application/problem+json"), ("text/html", "text/html")):
        with gw.client() as client:
            client.send(head("GET", "/", {"Accept": accept, "Host": "localhost.."}))
            response = client.response()
            assert response.status == 400 and b"host_invalid" in response.body
            assert response.headers.get("content-type").split(";")[0] == kind


def test_servers_errors_fixed_answers_and_redirects_are_not_ours(shop, pages):
    origin = shop.origin(always(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nown"))
    gw = shop.lintel(basic(
        origin, defaults={"errors": errors(pages, _4xx="oops.txt", _5xx="oops.txt")},
        routes=[{"match": "/fixed", "respond": {"status": 404, "body": "fixed"}},
                {"match": "/bare", "respond": 503}, {"match": "/*", "to": "app"}]))
    assert get(gw, "/fixed").body == b"fixed"
    assert get(gw, "/bare").body == b""
    assert get(gw, "/x").body == b"own"


def test_filters_that_only_deny_get_the_page(shop, pages):
    gw = shop.lintel(basic(
        filters={"key": {"filter": "key_auth", "keys": {"a": "0" * 64}}},
        defaults={"errors": errors(pages, _401="oops.txt")},
        routes=[{"match": "/*", "respond": 200, "filters": ["key"]}]))
    r = get(gw, "/")
    assert r.status == 401 and r.body.startswith(b"Sorry: 401 ")
    assert "www-authenticate" in r.headers


def test_a_reload_reads_the_files_again(shop, pages):
    config = basic(routes=[{"match": "/fixed", "respond": 200}],
                   defaults={"errors": errors(pages, _404="oops.txt")})
    gw = shop.lintel(config)
    (pages / "oops.txt").write_text("new")
    assert get(gw).body.startswith(b"Sorry")
    gw.reload()
    wait_until(lambda: get(gw).body == b"new", "the new page")
    (pages / "oops.txt").unlink()
    gw.reload(fails=True)
    assert get(gw).body == b"new"


def test_they_are_not_compressed_and_pages_keep_their_length(shop, pages):
    (pages / "oops.txt").write_text("x" * 10000)
    gw = shop.lintel(basic(routes=[{"match": "/fixed", "respond": 200}],
                           defaults={"compress": True,
                                     "errors": errors(pages, _404="oops.txt")}))
    r = get(gw, **{"Accept-Encoding": "gzip"})
    assert r.body == b"x" * 10000 and r.headers.get("content-length") == "10000"


def test_http10(shop, pages):
    gw = shop.lintel(basic(routes=[{"match": "/fixed", "respond": 200}],
                           defaults={"errors": errors(pages, _404="still.html")}))
    with gw.client() as c:
        c.send(head("GET", "/none", version="HTTP/1.0"))
        r = c.response()
        assert r.body.startswith(b"<p>Nothing") and c.ends()


# ---- mistakes ----

@pytest.mark.parametrize("written, says, column", [
    ("404: pages/none.html", "No such file", 14), ("404: pages/page.php", ".html", 14),
    ("404: pages/folder.html", "folder", 14), ("404: pages/large.txt", "larger than 262144", 14),
    ("200: pages/page.html", "not the status", 9), ("6xx: pages/page.html", "not the status", 9),
    ("40x: pages/page.html", "not the status", 9), ("4xxx: pages/page.html", "not the status", 9),
    ("404: ''", "not a path", 14), ("404: [a.html]", "one value", 14)])
@pytest.mark.parametrize("place", ["defaults", "site", "route"])
def test_mistakes_are_told_with_their_place(tmp_path, pages, written, says, column, place):
    (pages / "folder.html").mkdir()
    (pages / "large.txt").write_text("x" * (256 * 1024 + 1))
    path = tmp_path / "lintel.yaml"
    text = {p: "" for p in ("defaults", "site", "route")}
    indent = {"defaults": "  ", "site": "    ", "route": "        "}[place]
    text[place] = f"{indent}errors:\n        {'  ' if place == 'route' else ''}{written}\n"
    column += 2 if place == "route" else 0
    path.write_text(
        "lintel: 1\nlisten: ['127.0.0.1:0']\n"
        + ("defaults:\n" + text["defaults"] if text["defaults"] else "")
        + "sites:\n  - hosts: ['*']\n" + text["site"]
        + "    routes:\n      - match: /\n        respond: 200\n" + text["route"])
    line = path.read_text()[:path.read_text().index(written)].count("\n") + 1
    done = command("check", "-c", path)
    assert done.returncode == 1, done.stderr
    assert f"lintel.yaml:{line}:{column}: error:" in done.stderr and says in done.stderr, done.stderr
    assert "\n1 error\n" in done.stderr, done.stderr


def test_a_file_that_is_closed_to_us_names_owner_and_mode(tmp_path, pages):
    """Root reads anything: then there is nothing to complain about."""
    (pages / "page.html").chmod(0)
    path = tmp_path / "lintel.yaml"
    path.write_text("lintel: 1\nlisten: ['127.0.0.1:0']\ndefaults: {errors: {404: pages/page.html}}\n"
                    "sites:\n  - hosts: ['*']\n    routes: [{match: /, respond: 200}]\n")
    done = command("check", "-c", path)
    assert done.returncode == 0 or "mode 0000" in done.stderr
