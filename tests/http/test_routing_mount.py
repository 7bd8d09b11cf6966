# SPDX-License-Identifier: Apache-2.0
"""Applications mounted under a prefix or asked by another Host: what they are told, and what becomes
of the addresses in their answers."""
import json

import pytest

from lib.configs import basic, upstream
from lib.gateway import command, text_of
from lib.origin import Origin


class Telling(Origin):
    """Answers with the header fields in the query-less target: /FIELD=VALUE|FIELD=VALUE."""

    def __init__(self, path=None):
        self.fields = []
        super().__init__(self._tell, path=path)

    def _tell(self, peer):
        while True:
            peer.request()
            lines = "".join(f"{name}: {value}\r\n" for name, value in self.fields)
            peer.send(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode())


@pytest.fixture(scope="module")
def app(shared):
    telling = Telling()
    shared.finally_(telling.stop)
    return telling


@pytest.fixture(scope="module")
def gw(shared, app):
    config = basic(app, routes=[
        {"match": "/shop/*", "strip": "/shop", "to": "app"},
        {"match": "/aware/*", "strip": "/aware", "map_back": False, "to": "app"},
        {"match": "/named/*", "to": "named"}, {"match": "/own/*", "strip": "/own", "to": "own"},
        {"match": "/*", "to": "app"}], trust=["127.0.0.9/32"])
    config["upstreams"]["named"] = upstream(app, host="app.internal")
    config["upstreams"]["own"] = upstream(app, host="upstream")
    return shared.lintel(config)


def answered(gateway, app, target, fields, **options):
    app.fields = fields
    return gateway.get(target, **options).headers


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("sent,expected", [
    ("/cart?a=/b", "/shop/cart?a=/b"), ("/", "/shop/"), ("/shop/cart", "/shop/cart"),
    ("/shopping", "/shop/shopping"), ("cart", "cart"), ("?page=2", "?page=2"),
    ("http://localhost/cart", "http://localhost/shop/cart"), ("//localhost/x", "//localhost/shop/x"),
    ("https://localhost/cart", "https://localhost/shop/cart"),
    ("http://other.test/cart", "http://other.test/cart"), ("//other.test/x", "//other.test/x"),
    ("http://localhost.evil.test/", "http://localhost.evil.test/"),
])
def test_paths_are_mapped_back_under_the_prefix(gw, app, name, sent, expected):
    assert answered(gw, app, "/shop/x", [(name, sent)]).get(name) == expected
    assert answered(gw, app, "/x", [(name, sent)]).get(name) == sent
    assert answered(gw, app, "/aware/x", [(name, sent)]).get(name) == sent


def test_refresh_is_mapped_back(gw, app):
    got = answered(gw, app, "/shop/x", [("Refresh", "5; url=/next")])
    assert got.get("refresh") == "5; url=/shop/next"


@pytest.mark.parametrize("sent,expected", [
    ("a=b; Path=/; HttpOnly", "a=b; Path=/shop; HttpOnly"), ("a=b; path=/cart", "a=b; Path=/shop/cart"),
    ("a=b; Path=/shop/x", "a=b; Path=/shop/x"), ("a=b", "a=b"),
    ("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
])
def test_paths_of_cookies_are_mapped_back(gw, app, sent, expected):
    got = answered(gw, app, "/shop/x", [("Set-Cookie", sent), ("Set-Cookie", "c=d; Path=/y")])
    assert got.all("set-cookie") == [expected, "c=d; Path=/shop/y"]


@pytest.mark.parametrize("host,prefix,location,expected", [
    ("localhost", "/named", "http://app.internal/x", "http://localhost/x"),
    ("www.test:8080", "/named", "http://app.internal/x", "http://www.test:8080/x"),
    ("localhost", "/named", "http://localhost/x", "http://localhost/x"),
    ("localhost", "/named", "http://app.internal:81/x", "http://app.internal:81/x"),
    ("localhost", "/named", "/x", "/x"),
    ("localhost", "/own", "http://{own}/x", "http://localhost/own/x"),
])
def test_another_host_is_mapped_back(gw, app, host, prefix, location, expected):
    fields = [("Location", location.format(own=app.address))]
    assert answered(gw, app, f"{prefix}/y", fields, host=host).get("location") == expected


def test_a_domain_that_only_the_server_has_is_left_out_of_cookies(gw, app):
    got = answered(gw, app, "/named/x", [("Set-Cookie", "a=b; Domain=app.internal; Path=/"),
                                         ("Set-Cookie", "c=d; Domain=localhost")])
    assert got.all("set-cookie") == ["a=b; Path=/", "c=d; Domain=localhost"]


def told(gateway, target, headers=(), **options):
    """The fields that the server got, of an echoing server."""
    facts = json.loads(gateway.get(target, headers=headers, **options).body)
    return {n.lower(): v for n, v in facts["headers"]}


@pytest.fixture(scope="module")
def echoing(shared):
    tcp, unix = shared.echo(), shared.echo(unix=True)
    config = basic(tcp, routes=[
        {"match": "/shop/*", "strip": "/shop", "to": "app"}, {"match": "/a/*", "to": "own"},
        {"match": "/b/*", "to": "named"}, {"match": "/c/*", "to": "sock"},
        {"match": "/d/*", "to": "both"}, {"match": "/*", "to": "app"}])
    config["upstreams"].update({
        "own": upstream(tcp, host="upstream"), "named": upstream(tcp, host="app.internal:81"),
        "sock": upstream(unix, host="upstream"),
        "both": upstream(shared.refusing(), tcp, host="upstream", balance="round_robin")})
    plain = shared.lintel(config)
    config["trust"] = ["127.0.0.0/8"]
    return tcp, plain, shared.lintel(config)


def test_servers_are_told_the_prefix(echoing):
    _, plain, _ = echoing
    assert told(plain, "/shop/x")["x-forwarded-prefix"] == "/shop"
    assert "x-forwarded-prefix" not in told(plain, "/x")


def test_a_prefix_from_clients_counts_only_when_they_are_trusted(echoing):
    _, plain, trusting = echoing
    forged = {"X-Forwarded-Prefix": "/outer/"}
    assert told(plain, "/shop/x", forged)["x-forwarded-prefix"] == "/shop"
    assert "x-forwarded-prefix" not in told(plain, "/x", forged)
    assert told(trusting, "/shop/x", forged)["x-forwarded-prefix"] == "/outer/shop"
    assert told(trusting, "/shop/x", {"X-Forwarded-Prefix": "x"})["x-forwarded-prefix"] == "/shop"
    assert told(trusting, "/x", forged)["x-forwarded-prefix"] == "/outer/"


def test_the_host_by_policy(echoing):
    tcp, plain, _ = echoing
    for target, expected in (("/x", "www.test:8080"), ("/a/x", tcp.address),
                             ("/b/x", "app.internal:81"), ("/c/x", "sock")):
        got = told(plain, target, host="www.test:8080")
        assert got["host"] == expected
        assert got["x-forwarded-host"] == "www.test:8080"
        assert 'host="www.test:8080"' in got["forwarded"]


def test_another_server_gets_its_own_host(echoing):
    """The first try goes to a server that refuses."""
    tcp, plain, _ = echoing
    for _ in range(4):
        assert told(plain, "/d/x")["host"] == tcp.address


@pytest.mark.parametrize("host", ["http://x", "a b", "x/y", "user@x"])
def test_what_is_no_host_is_a_mistake(tmp_path, host):
    config = basic()
    config["upstreams"] = {"app": {"servers": ["127.0.0.1:1"], "host": host}}
    path = tmp_path / "lintel.yaml"
    path.write_text(text_of(config))
    done = command("check", "-c", path)
    assert done.returncode == 1 and "host: this is not a host" in done.stdout + done.stderr
