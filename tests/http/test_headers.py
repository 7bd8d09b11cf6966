# SPDX-License-Identifier: Apache-2.0
"""What a gateway adds to, takes from and leaves in the fields that pass."""
import json
import re

import pytest

from lib.client import Client, head
from lib.configs import basic
from lib.origin import always
from lib.strict_h1 import Fields


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    """Clients are not trusted."""
    return shared.lintel(basic(app))


@pytest.fixture(scope="module")
def trusting(shared, app):
    """Clients on the loopback are trusted, and so is a proxy at 10.0.0.0/8 before them."""
    return shared.lintel(basic(app, trust=["127.0.0.0/8", "10.0.0.0/8"]))


def seen(gateway, headers=(), target="/", host="localhost", method="GET", body=None):
    """The fields that the application got."""
    with gateway.client() as client:
        response = client.request(method, target, headers, body, host)
    assert response.status == 200, response
    return Fields(tuple(f) for f in json.loads(response.body)["headers"])


def test_ordinary_fields_pass_in_order_with_their_case_and_all_their_values(gw):
    sent = [("X-b", "1"), ("Accept", "a/b"), ("X-b", "2"), ("Cookie", "a=b; c=d"), ("UPPER", "")]
    got = seen(gw, sent)
    assert [f for f in got if f in sent] == sent


def test_host_is_the_clients(gw):
    assert seen(gw, host="LocalHost:8080").get("host") == "LocalHost:8080"


@pytest.mark.parametrize("name", ["Connection", "Keep-Alive", "Proxy-Connection", "TE",
                                  "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Expect"])
def test_hop_by_hop_fields_of_requests_do_not_pass(gw, name):
    values = {"Connection": "keep-alive", "Transfer-Encoding": "chunked", "TE": "trailers",
              "Expect": "100-continue", "Upgrade": "websocket"}
    body = [] if name == "Transfer-Encoding" else None
    if body is not None:
        got = seen(gw, method="POST", body=[b"a"])
        assert got.all("transfer-encoding") in (["chunked"], [])  # the gateway's own framing
    else:
        got = seen(gw, [(name, values.get(name, "x"))])
        assert name not in got


def test_fields_named_in_connection_do_not_pass(gw):
    got = seen(gw, [("Connection", "x-one, X-Two"), ("X-One", "1"), ("x-two", "2"),
                    ("X-Three", "3")])
    assert "x-one" not in got and "x-two" not in got and got.get("x-three") == "3"


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X-Forwarded-For", "Authorization",
                                  "Cookie", "X-Request-Id"])
def test_connection_can_not_remove_fields_that_matter(gw, name):
    """A client that could strip what the gateway adds could hide who it is."""
    got = seen(gw, [("Connection", name), ("Authorization", "a"), ("Cookie", "b")], method="POST",
               body=b"abc")
    assert name in got


def test_hop_by_hop_fields_of_responses_do_not_pass(shop):
    server = shop.origin(always(
        b"HTTP/1.1 200 OK\r\nConnection: x-gone, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Gone: 1\r\n"
        b"Proxy-Connection: a\r\nUpgrade: h2c\r\nX-Stays: 1\r\nSet-Cookie: a=1\r\n"
        b"Set-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"))
    response = shop.lintel(basic(server)).get()
    for name in ("keep-alive", "x-gone", "proxy-connection", "upgrade"):
        assert name not in response.headers, name
    assert response.headers.get("x-stays") == "1"
    assert response.headers.all("set-cookie") == ["a=1", "b=2"]
    assert "x-gone" not in response.headers.get("connection", "")


def test_forwarding_fields_are_added(gw):
    got = seen(gw, host="localhost:81")
    port = gw.plain[1]
    assert got.get("x-forwarded-for") == "127.0.0.1"
    assert got.get("x-forwarded-proto") == "http"
    assert got.get("x-forwarded-host") == "localhost:81"
    assert got.get("x-forwarded-port") == str(port)
    assert got.get("forwarded") == 'for=127.0.0.1;proto=http;host="localhost:81"'
    assert got.get("via") == "1.1 lintel"


FORGED = [("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-Proto", "https"),
          ("X-Forwarded-Host", "evil"), ("X-Forwarded-Port", "1"), ("X-Forwarded-Prefix", "/evil"),
          ("Forwarded", "for=10.1.1.1"), ("X-Real-IP", "10.1.1.1"), ("X-Request-Id", "forged-id")]


def test_forwarding_fields_of_untrusted_peers_are_replaced(gw):
    got = seen(gw, FORGED)
    assert all(value not in ("10.1.1.1", "https", "evil", "1", "/evil", "forged-id")
               and "10.1.1.1" not in value for _, value in got)
    assert got.get("x-forwarded-for") == "127.0.0.1"
    assert got.get("x-forwarded-host") == "localhost"


CLAIMS = ["X-Forwarded-User", "x-forwarded-client-cert", "X-FORWARDED-SCHEME", "X-Forwarded-Server",
          "X-Original-URL", "X-Rewrite-URL", "Proxy", "True-Client-IP", "X-Client-IP",
          "X-Cluster-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP",
          "Remote-User", "Script-Name", "Path-Info"]  # WSGI makes HTTP_REMOTE_USER of the first


def test_claims_of_untrusted_peers_do_not_pass(gw, trusting):
    fields = [(name, "forged") for name in CLAIMS]
    assert "forged" not in [value for _, value in seen(gw, fields + [("X-Forwarded", "old")])]
    got = seen(trusting, fields)
    assert [got.get(name) for name in CLAIMS] == ["forged"] * len(CLAIMS)


def test_a_filter_may_name_the_client_as_the_application_wants_it(shop, app):
    filters = {"name": {"filter": "headers", "request_set": {"true-client-ip": "192.0.2.7"}}}
    gw = shop.lintel(basic(app, routes=[{"match": "/*", "to": "app", "filters": ["name"]}], filters=filters))
    got = seen(gw, [("True-Client-IP", "forged"), ("X-HTTP-Method-Override", "PUT")])
    assert got.get("true-client-ip") == "192.0.2.7"
    assert got.get("x-http-method-override") == "PUT"  # a feature of applications


def test_a_filter_may_tell_the_application_who_the_user_is(shop, app):
    """As RemoteUserMiddleware of frameworks reads it."""
    filters = {"user": {"filter": "headers", "request_set": {"Remote-User": "ada", "Script-Name": "/x"}}}
    gw = shop.lintel(basic(app, routes=[{"match": "/*", "to": "app", "filters": ["user"]}], filters=filters))
    got = seen(gw, [("remote-user", "admin"), ("Script-Name", "/evil"), ("Path-Info", "/evil")])
    assert got.all("remote-user") == ["ada"] and got.all("script-name") == ["/x"]
    assert "path-info" not in got


def test_routes_do_not_see_claims_of_untrusted_peers(shop, app):
    routes = [{"match": "/*", "to": "app"},
              {"match": "/*", "when": 'header.x-real-ip == "10.1.1.1" or header.x-forwarded-for '
               '== "10.1.1.1" or header.x-forwarded-user == "root"', "respond": 204}]
    fields = [("X-Real-IP", "10.1.1.1"), ("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-User", "root")]
    for field in fields:
        assert shop.lintel(basic(app, routes=routes)).get(headers=[field]).status == 200
        assert shop.lintel(basic(app, routes=routes, trust=["127.0.0.1"])).get(
            headers=[field]).status == 204


def test_forwarding_fields_of_trusted_peers_are_continued(trusting):
    got = seen(trusting, FORGED)
    assert got.get("x-forwarded-for") == "10.1.1.1, 127.0.0.1"
    assert got.get("x-forwarded-proto") == "https"
    assert got.get("x-forwarded-host") == "evil"
    assert got.get("x-forwarded-port") == "1"
    assert got.get("forwarded") == ("for=10.1.1.1;proto=https;host=evil, "
                                    "for=127.0.0.1;proto=https;host=evil")
    assert got.get("x-request-id") == "forged-id"


def test_a_balancer_that_knows_no_forwarded_does_not_lend_its_word_to_its_clients(trusting):
    got = seen(trusting, [("X-Forwarded-For", "10.1.1.1"), ("Forwarded", "for=6.6.6.6;proto=https")])
    assert got.all("forwarded") == ["for=10.1.1.1;proto=http;host=localhost, "
                                    "for=127.0.0.1;proto=http;host=localhost"]


def test_of_several_hosts_the_balancers_own_is_told(trusting):
    got = seen(trusting, [("X-Forwarded-Host", "evil.example, shop.example")])
    assert got.all("x-forwarded-host") == ["shop.example"]
    assert got.get("forwarded") == "for=127.0.0.1;proto=http;host=shop.example"


def test_the_client_is_the_first_untrusted_address_from_the_right(trusting):
    seen(trusting, [("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 10.3.3.3")], target="/who")
    assert trusting.access(path="/who")[0]["client"] == "2.2.2.2"


@pytest.mark.parametrize("number,value", enumerate(["garbage", "1.2.3.4:x", "2.2.2.2, ,", "unknown",
                                                    "999.1.1.1", ""]))
def test_a_forwarded_address_that_is_none_is_not_believed(trusting, number, value):
    seen(trusting, [("X-Forwarded-For", value)], target=f"/odd-{number}")
    assert trusting.access(path=f"/odd-{number}")[0]["client"] in ("127.0.0.1", "2.2.2.2")


def test_fields_with_an_underscore_do_not_pass(gw):
    """WSGI reads X_Forwarded_For as X-Forwarded-For."""
    got = seen(gw, [("X_Forwarded_For", "10.1.1.1"), ("SCRIPT_NAME", "/x"), ("X_A", "1"),
                    ("X-A", "2")])
    assert not [n for n, _ in got if "_" in n]
    assert got.get("x-a") == "2"


def test_every_request_has_an_id_that_server_and_log_agree_on(gw):
    first, second = (seen(gw, target="/id").get("x-request-id") for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", first) and first != second
    assert gw.access(id=first)[0]["path"] == "/id"


@pytest.mark.parametrize("bad", ["", "a" * 300, "a b\"c", "x\xe4"])
def test_a_request_id_that_is_unfit_is_replaced_even_from_trusted_peers(trusting, bad):
    assert re.fullmatch("[0-9a-f]{32}", seen(trusting, [("X-Request-Id", bad)]).get("x-request-id"))


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_traceparent_is_passed_on_with_a_new_parent(gw):
    got = seen(gw, [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"), ("tracestate", "a=b")],
               target="/trace")
    version, trace, parent, flags = got.get("traceparent").split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert re.fullmatch("[0-9a-f]{16}", parent) and parent != "00f067aa0ba902b7"
    assert got.get("tracestate") == "a=b"
    assert gw.access(path="/trace")[0]["trace_id"] == TRACE


@pytest.mark.parametrize("bad", [None, "", "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
                                 f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-00f067aa0ba902b7-01",
                                 f"00-{TRACE.upper()}-00f067aa0ba902b7-01", "garbage"])
def test_traceparent_is_made_where_there_is_no_valid_one(gw, bad):
    sent = [] if bad is None else [("traceparent", bad), ("tracestate", "a=b")]
    got = seen(gw, sent)
    match = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]", got.get("traceparent"))
    assert match and match[1] not in ("0" * 32, TRACE) and match[2] != "0" * 16
    assert "tracestate" not in got


def test_two_traceparents_are_none(gw):
    value = f"00-{TRACE}-00f067aa0ba902b7-01"
    got = seen(gw, [("traceparent", value), ("traceparent", value)])
    assert TRACE not in got.get("traceparent")


def test_via_names_every_hop(gw):
    got = seen(gw, [("Via", "1.1 before")])
    assert ", ".join(got.all("via")) == "1.1 before, 1.1 lintel"
    with gw.client() as client:
        assert client.request().headers.get("via") == "1.1 lintel"


def test_http_1_0_is_named_in_via(gw):
    with gw.client() as client:
        client.send(head("GET", "/", version="HTTP/1.0"))
        got = Fields(tuple(f) for f in json.loads(client.response().body)["headers"])
    assert got.get("via") == "1.0 lintel"


def test_a_unix_socket_client_has_no_address(shop, app):
    config = basic(app)
    config["listen"].append({"name": "local", "address": f"unix:{shop.folder}/in.sock"})
    gw = shop.lintel(config)
    with Client(gw.address("local")) as client:
        got = Fields(tuple(f) for f in json.loads(client.request().body)["headers"])
    assert "x-forwarded-for" not in got
    assert got.get("forwarded").startswith("for=unknown")


def test_an_answer_of_our_own_is_json_or_a_page_as_the_client_likes(shop):
    gw = shop.lintel(basic(routes=[{"match": "/only", "respond": {"body": "x"}}]))
    plain = gw.get("/missing", headers={"Accept": "*/*"})
    assert plain.status == 404
    assert plain.headers.get("content-type") == "application/problem+json"
    told = json.loads(plain.body)
    assert told["cause"] == "route_unknown" and told["status"] == 404
    assert told["request_id"] == plain.headers.get("x-request-id")
    assert 'lintel;error=' in plain.headers.get("proxy-status")
    page = gw.get("/missing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.headers.get("content-type").startswith("text/html")
    assert b"route_unknown" in page.body and b"<h1>404" in page.body
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", page.headers.get("date"))
