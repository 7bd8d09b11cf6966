# SPDX-License-Identifier: Apache-2.0
"""HTTP in HTTP/2 (RFC 9113 §8): pseudo-headers, fields, lengths, trailers, CONNECT.

What HTTP/1 refuses (test_gate.py) can't come in by HTTP/2 either: whatever is refused reaches no
server, and what is accepted is written to it in one form, which a strict reader reads.
"""
import json

import pytest

from lib.configs import h2
from lib.h2_verdict import INTERNAL_ERROR, MALFORMED, PROTOCOL_ERROR, answer, connection, judge
from lib.raw_h2 import H2, data, get, headers, post, request
from lib.strict_h1 import Fields

REFUSED = answer(400)
EITHER = MALFORMED | REFUSED


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(h2(app))


def refuses(gw, app, sent, allowed):
    """Sends a request (fields of a whole one, or frames on stream 1), which must reach no server."""
    served = app.served
    with H2(gw.plain) as client:
        if isinstance(sent, list):
            client.open(sent)
        else:
            client.known(1)
            client.send(sent)
        judge(client, allowed)
    # judge() has a request served afterwards, unless the connection had to end.
    assert app.served - served <= 1 and not any(b"smuggled" in p.received for p in app.peers)


def twice(*names):
    """A request in which these pseudo-headers are there twice."""
    fields = get()
    return fields + [f for f in fields if f[0] in names]


# ---- §8.2: names and values ----

# A valid field block may hold any bytes: these must never become a line of HTTP/1.
BAD_NAMES = {
    "upper case": "Aa", "upper case at the end": "aA", "empty": "", "space": "a b",
    "space at the end": "a ", "space first": " a", "tab": "a\t", "colon": "a:b", "colon at the end": "a:",
    "NUL": "a\0", "CR": "a\r", "LF": "a\n", "CR LF": "a\r\nsmuggled", "delete": "a\x7f",
    "control": "a\x01", "above ASCII": "a\xe4", "quote": 'a"', "comma": "a,b", "slash": "a/b",
    "brackets": "a[0]", "parenthesis": "a(", "at": "a@b", "semicolon": "a;", "equals": "a=",
    "question": "a?", "braces": "{a}", "backslash": "a\\", "less": "<a>"}
BAD_VALUES = {
    "NUL": "\0", "NUL inside": "a\0b", "CR": "a\rb", "LF": "a\nb", "CR LF": "a\r\nsmuggled: 1",
    "CR LF CR LF": "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CR at the end": "a\r", "LF first": "\na", "fold": "a\r\n b", "bell": "\x07", "escape": "\x1b[0m",
    "delete": "a\x7f", "vertical tab": "a\x0b", "form feed": "a\x0c"}
SPACED = {"space first": " a", "space at the end": "a ", "tab first": "\ta", "tab at the end": "a\t",
          "only a space": " "}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_8_2_1_a_bad_name(gw, app, name):
    refuses(gw, app, get((BAD_NAMES[name], "x")), MALFORMED)


@pytest.mark.parametrize("name", BAD_VALUES)
def test_8_2_1_a_bad_value(gw, app, name):
    allowed = MALFORMED if set(BAD_VALUES[name]) & set("\0\r\n") else EITHER
    refuses(gw, app, get(("a", BAD_VALUES[name])), allowed)
    refuses(gw, app, get(("cookie", BAD_VALUES[name])), allowed)


@pytest.mark.parametrize("name", SPACED)
def test_8_2_1_space_around_a_value(gw, app, name):
    refuses(gw, app, get(("a", SPACED[name])), MALFORMED)


# ---- §8.2.2: fields of connections ----

CONNECTION = {
    "Connection": ("connection", "keep-alive"), "Connection: close": ("connection", "close"),
    "Connection names another": ("connection", "x-drop"), "Keep-Alive": ("keep-alive", "timeout=5"),
    "Proxy-Connection": ("proxy-connection", "keep-alive"), "Upgrade": ("upgrade", "websocket"),
    "Upgrade: h2c": ("upgrade", "h2c"), "Transfer-Encoding": ("transfer-encoding", "chunked"),
    "Transfer-Encoding: identity": ("transfer-encoding", "identity"),
    "TE": ("te", "gzip"), "TE with trailers": ("te", "trailers, gzip"),
    "TE with a weight": ("te", "trailers;q=0.5"), "TE: chunked": ("te", "chunked")}


@pytest.mark.parametrize("name", CONNECTION)
def test_8_2_2_a_field_of_the_connection(gw, app, name):
    refuses(gw, app, get(CONNECTION[name]), MALFORMED)


def test_8_2_2_transfer_encoding_with_a_body(gw, app):
    refuses(gw, app, headers(1, post(("transfer-encoding", "chunked")), end=False)
            + data(1, b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"), MALFORMED)


# ---- §8.3: pseudo-headers ----

BAD_PSEUDO = {
    "unknown": (get((":unknown", "x")), MALFORMED),
    "unknown first": ([(":x", "y"), *get()], MALFORMED),
    "colon alone": ([(":", "y"), *get()], MALFORMED),
    "of responses": ([(":status", "200"), *get()], MALFORMED),
    "upper case": (get()[1:] + [(":Method", "GET")], MALFORMED),
    "after a field": (get()[:3] + [("a", "b"), (":path", "/")], MALFORMED),
    "after a field, twice": (get(("a", "b"), (":path", "/smuggled")), MALFORMED),
    ":method twice": (twice(":method"), MALFORMED),
    ":scheme twice": (twice(":scheme"), MALFORMED),
    ":path twice": (twice(":path"), MALFORMED),
    ":authority twice": (twice(":authority"), MALFORMED),
    "no :method": (request(None), MALFORMED),
    "no :scheme": (get(scheme=None), MALFORMED),
    "no :path": (get(path=None), MALFORMED),
    "no pseudo-header": ([("a", "b")], MALFORMED),
    "no field at all": ([], MALFORMED),
    ":protocol without CONNECT": ([(":protocol", "websocket"), *get()], MALFORMED),
}


@pytest.mark.parametrize("name", BAD_PSEUDO)
def test_8_3_pseudo_headers(gw, app, name):
    fields, allowed = BAD_PSEUDO[name]
    refuses(gw, app, fields, allowed)


# What stands in them: value, verdict. What becomes the request line of HTTP/1 is judged as that is.
SMUGGLING = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
BAD_METHODS = {
    "empty": ("", EITHER), "space": ("GE T", EITHER), "space first": (" GET", EITHER),
    "a request line": ("GET /smuggled HTTP/1.1", EITHER), "CR LF": ("GET / HTTP/1.1\r\na: b", EITHER),
    "NUL": ("G\0T", EITHER), "delimiter": ("G(T", EITHER), "above ASCII": ("G\xcbT", EITHER),
    "lower case": ("get", answer(501)), "unknown": ("FROB", answer(501)), "PRI": ("PRI", answer(501))}
BAD_PATHS = {
    "empty": ("", MALFORMED), "space": ("/a b", EITHER), "space at the end": ("/ ", EITHER),
    "a version": ("/ HTTP/1.1", EITHER), "a whole request": ("/ HTTP/1.1\r\n\r\n" + SMUGGLING, EITHER),
    "CR": ("/\r", EITHER), "LF": ("/\n", EITHER), "NUL": ("/\0", EITHER), "tab": ("/\t", EITHER),
    "delete": ("/\x7f", EITHER), "above ASCII": ("/\xe4", EITHER), "no slash": ("x", EITHER),
    "query alone": ("?a", EITHER), "asterisk": ("*", EITHER), "asterisk and more": ("*x", EITHER),
    "fragment": ("/#a", EITHER), "fragment in the query": ("/?a#b", EITHER),
    "absolute": ("http://localhost/", EITHER), "absolute elsewhere": ("http://other/", EITHER),
    "authority": ("localhost:80", EITHER), "backslash": ("/a\\b", EITHER),
    "encoded line end": ("/a%0d%0ab", EITHER), "encoded NUL": ("/%00", EITHER),
    "above the root": ("/a/../../b", EITHER), "encoded dots": ("/%2e%2e/b", EITHER),
    "dots by an encoded slash": ("/a/..%2fb", EITHER), "bad percent": ("/%zz", EITHER),
    "too long": ("/" + "a" * 20000, answer(414))}
BAD_AUTHORITIES = {
    "empty": ("", EITHER), "user": ("a@localhost", EITHER), "user and password": ("u:p@localhost", EITHER),
    "space": ("a b", EITHER), "path": ("localhost/", EITHER), "query": ("a?b", EITHER),
    "fragment": ("a#b", EITHER), "list": ("a, b", EITHER), "port 0": ("a:0", EITHER),
    "port too large": ("a:65536", EITHER), "port a word": ("a:b", EITHER), "port empty": ("a:", EITHER),
    "CR LF": ("localhost\r\nsmuggled: 1", EITHER), "NUL": ("local\0host", EITHER),
    "bare IPv6": ("::1", EITHER), "open bracket": ("[::1", EITHER), "backslash": ("a\\b", EITHER),
    "above ASCII": ("\xe4", EITHER), "percent": ("a%41", EITHER), "tab": ("a\tb", EITHER)}
BAD_SCHEMES = {
    "empty": ("", EITHER), "space": ("ht tp", EITHER), "CR LF": ("http\r\na: b", EITHER),
    "a URL": ("http://smuggled/?", EITHER), "a digit first": ("1http", EITHER), "NUL": ("http\0", EITHER),
    "of another protocol": ("ftp", EITHER)}


@pytest.mark.parametrize("name", BAD_METHODS)
def test_8_3_1_a_bad_method(gw, app, name):
    refuses(gw, app, request(BAD_METHODS[name][0]), BAD_METHODS[name][1])


@pytest.mark.parametrize("name", BAD_PATHS)
def test_8_3_1_a_bad_path(gw, app, name):
    refuses(gw, app, get(path=BAD_PATHS[name][0]), BAD_PATHS[name][1])


@pytest.mark.parametrize("name", BAD_AUTHORITIES)
def test_8_3_1_a_bad_authority(gw, app, name):
    value, allowed = BAD_AUTHORITIES[name]
    refuses(gw, app, get(authority=value), allowed)
    refuses(gw, app, get(("host", value), authority=None), allowed)


@pytest.mark.parametrize("name", BAD_SCHEMES)
def test_8_3_1_a_bad_scheme(gw, app, name):
    refuses(gw, app, get(scheme=BAD_SCHEMES[name][0]), BAD_SCHEMES[name][1])


HOSTS = {
    "another host": (get(("host", "other"))),
    "another port": (get(("host", "localhost:81"))),
    "an empty host": (get(("host", ""))),
    "a host twice": (get(("host", "localhost"), ("host", "localhost"))),
    "two hosts": (get(("host", "localhost"), ("host", "other"), authority=None)),
    "neither": (get(authority=None)),
}


@pytest.mark.parametrize("name", HOSTS)
def test_8_3_1_host_beside_authority(gw, app, name):
    refuses(gw, app, HOSTS[name], EITHER)


# ---- §8.1.1: lengths ----

def body(length, *pieces, last=True):
    """A POST that announces a length (several: a tuple), with these pieces as DATA."""
    lengths = length if isinstance(length, tuple) else (length,)
    out = headers(1, post(*[("content-length", n) for n in lengths]), end=not pieces)
    for i, piece in enumerate(pieces):
        out += data(1, piece, last and i == len(pieces) - 1)
    return out


LENGTHS = {
    "more than announced": (body("1", b"1234"), MALFORMED),
    "more in several frames": (body("1", b"12", b"34"), MALFORMED),
    "less than announced": (body("5", b"1234"), MALFORMED),
    "less in several frames": (body("5", b"12", b"34"), MALFORMED),
    "no DATA at all": (body("1"), MALFORMED),
    "an empty DATA": (body("1", b""), MALFORMED),
    "DATA after 0": (body("0", b"1"), MALFORMED),
    "a request behind the end": (body("4", b"1234", b"GET /smuggled HTTP/1.1\r\n\r\n"), MALFORMED),
    "twice the same": (body(("4", "4"), b"1234"), EITHER),
    "twice different": (body(("4", "5"), b"1234"), EITHER),
    **{f"as {value!r}": (body(value, b"1234"), EITHER) for value in (
        "", "+4", "-4", "4, 4", "0x4", "4 4", "4.0", "four", "9223372036854775808",
        "18446744073709551620", "9" * 40, "4\xb2", "4_0")},
    "less, then trailers": (headers(1, post(("content-length", "5")), end=False)
                            + data(1, b"1234", end=False) + headers(1, [("a", "b")]), MALFORMED),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_8_1_1_the_length_agrees_with_the_data(gw, app, name):
    refuses(gw, app, *LENGTHS[name])


# ---- §8.1: trailers ----

def trailers(*fields, end=True, after=b""):
    return headers(1, post(), end=False) + data(1, b"x", end=False) + headers(1, list(fields), end) + after


TRAILERS = {
    "a pseudo-header": (trailers((":path", "/")), MALFORMED),
    ":method": (trailers((":method", "GET")), MALFORMED),
    "an unknown pseudo-header": (trailers((":x", "y")), MALFORMED),
    "upper case": (trailers(("A", "b")), MALFORMED),
    "a bad name": (trailers(("a b", "c")), MALFORMED),
    "a bad value": (trailers(("a", "b\r\nsmuggled: 1")), MALFORMED),
    "a field of the connection": (trailers(("connection", "close")), MALFORMED),
    "transfer-encoding": (trailers(("transfer-encoding", "chunked")), MALFORMED),
    "not the end": (trailers(("a", "b"), end=False), MALFORMED | connection(PROTOCOL_ERROR)),
    "not the end, then DATA": (trailers(("a", "b"), end=False, after=data(1, b"y")),
                               MALFORMED | connection(PROTOCOL_ERROR)),
    "HEADERS twice": (headers(1, post(), end=False) * 2, MALFORMED | connection(PROTOCOL_ERROR)),
}


@pytest.mark.parametrize("name", TRAILERS)
def test_8_1_trailers(gw, app, name):
    refuses(gw, app, *TRAILERS[name])


# ---- §8.5 and RFC 8441: CONNECT ----

PROTOCOL = (":protocol", "websocket")
CONNECTS = {
    "to a port": (request("CONNECT", None, scheme=None, authority="localhost:80"), answer(405)),
    "to nothing": (request("CONNECT", None, scheme=None, authority=None), EITHER),
    "with a path": (request("CONNECT", "/", scheme=None), EITHER),
    "with a scheme": (request("CONNECT", None), EITHER),
    "with both": (request("CONNECT", "/"), EITHER),
    "with a host alone": (request("CONNECT", None, ("host", "localhost:80"), scheme=None,
                                  authority=None), EITHER),
    "extended, no path": ([*request("CONNECT", None), PROTOCOL], MALFORMED),
    "extended, no scheme": ([*request("CONNECT", "/", scheme=None), PROTOCOL], MALFORMED),
    "extended, no authority": ([*request("CONNECT", "/", authority=None), PROTOCOL], EITHER),
    "extended, twice": ([*request("CONNECT", "/"), PROTOCOL, PROTOCOL], MALFORMED),
    "extended, empty": ([*request("CONNECT", "/"), (":protocol", "")], EITHER | answer(501)),
    "extended, unknown": ([*request("CONNECT", "/"), (":protocol", "frob")], EITHER | answer(501)),
    "extended, no token": ([*request("CONNECT", "/"), (":protocol", "a\r\nb")], EITHER),
    "extended, after a field": ([*request("CONNECT", "/"), ("a", "b"), PROTOCOL], MALFORMED),
}


@pytest.mark.parametrize("name", CONNECTS)
def test_8_5_connect(gw, app, name):
    fields, allowed = CONNECTS[name]
    refuses(gw, app, headers(1, fields, end=False), allowed)


# ---- what is right reaches the server in one form ----

def ours(facts):
    """The fields of the client in what the server got."""
    added = ("x-forwarded-", "forwarded", "via", "x-request-id", "traceparent")
    return Fields((n.lower(), v) for n, v in facts["headers"] if not n.lower().startswith(added))


LOCAL = ("host", "localhost")
GOOD = {  # fields, body or None, trailers or None; method, target, fields, body at the server
    "plain": ((get(),), "GET", "/", [LOCAL]),
    "query": ((get(path="/a?b=c&d"),), "GET", "/a?b=c&d", [LOCAL]),
    "HEAD": ((request("HEAD"),), "HEAD", None, None),
    "OPTIONS of a path": ((request("OPTIONS"),), "OPTIONS", "/", [LOCAL]),
    "host without :authority": ((get(LOCAL, authority=None),), "GET", "/", [LOCAL]),
    "the same host": ((get(LOCAL),), "GET", "/", [LOCAL]),
    "the same host in other letters": ((get(("host", "LOCALHOST")),), "GET", "/", [LOCAL]),
    "pseudo-headers in another order": ((get()[::-1],), "GET", "/", [LOCAL]),
    "a field": ((get(("a", "b c\td")),), "GET", "/", [LOCAL, ("a", "b c\td")]),
    "a field without a value": ((get(("a", "")),), "GET", "/", [LOCAL, ("a", "")]),
    "a field twice": ((get(("a", "1"), ("a", "2")),), "GET", "/", [LOCAL, ("a", "1"), ("a", "2")]),
    "above ASCII": ((get(("a", "caf\xc3\xa9")),), "GET", "/", [LOCAL, ("a", "caf\xc3\xa9")]),
    "te: trailers": ((get(("te", "trailers")),), "GET", "/", [LOCAL]),
    "who the user is": ((get(("remote-user", "admin"), ("script-name", "/x"), ("path-info", "/x"),
                             ("a", "b")),), "GET", "/", [LOCAL, ("a", "b")]),
    "underscores": ((get(("x_forwarded_for", "1.2.3.4"), ("a", "b")),), "GET", "/",
                    [LOCAL, ("a", "b")]),
    "crumbs of a cookie": ((get(("cookie", "a=1"), ("b", "c"), ("cookie", "d=2; e=3"),
                                ("cookie", "f=4")),), "GET", "/",
                           [LOCAL, ("cookie", "a=1; d=2; e=3; f=4"), ("b", "c")]),
    "a length of 0": ((post(("content-length", "0")),), "POST", "/", [LOCAL, ("content-length", "0")]),
    "a body": ((post(("content-length", "4")), b"1234"), "POST", "/",
               [LOCAL, ("content-length", "4")], b"1234"),
    "a body of GET": ((get(("content-length", "4")), b"1234"), "GET", "/",
                      [LOCAL, ("content-length", "4")], b"1234"),
    "a body without a length": ((post(), b"1234"), "POST", "/", None, b"1234"),
    "an empty body": ((post(), b""), "POST", "/", None, b""),
    "trailers": ((post(), b"1234", [("x-check", "sum")]), "POST", "/", None, b"1234"),
    "trailers after a length": ((post(("content-length", "4")), b"1234", [("x-check", "sum")]), "POST",
                                "/", None, b"1234"),
    "a path to be normalised": ((get(path="//a/./b/../%7e{}"),), "GET", "/a/~%7B%7D", [LOCAL]),
    "another scheme": ((get(scheme="https"),), "GET", "/", [LOCAL]),
}


@pytest.mark.parametrize("name", GOOD)
def test_8_what_is_right(gw, name):
    sent, method, target, fields, *bodies = GOOD[name]
    with H2(gw.plain) as client:
        record = client.request(*sent)
        assert record.status == 200, record
        if method == "HEAD":
            assert not record.body and record.headers.get("content-length")
            return
        facts = json.loads(bytes(record.body))
        assert (facts["method"], facts["target"]) == (method, target)
        if fields is not None:
            assert sorted(ours(facts)) == sorted(fields)
        got = ours(facts)
        assert "te" not in got and got.get("host") == "localhost"
        if bodies:
            assert facts["body"].encode() == bodies[0]


@pytest.mark.parametrize("fields", [[(f"x-{n}", "v" * 4000) for n in range(20)], [("a", "b")] * 500,
                                    [("a", "v" * 60000)]], ids=["sum", "number", "one"])
def test_8_1_a_head_that_is_too_large(gw, app, fields):
    with H2(gw.plain) as client:
        client.open(get(*fields))
        judge(client, answer(431))


# ---- responses ----

def respond(raw):
    """An application whose every answer is these bytes; then it closes."""
    def script(peer):
        peer.request()
        peer.send(raw)
    return script


RESPONSES = {
    "fields of the connection": (b"HTTP/1.1 200 OK\r\nConnection: X-Drop, keep-alive\r\nX-Drop: 1\r\n"
                                 b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\nok", 200, b"ok"),
    "upper case": (b"HTTP/1.1 200 OK\r\nX-UPPER: Yes\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, b""),
    "a reason": (b"HTTP/1.1 299 Very: odd\r\nContent-Length: 0\r\n\r\n", 299, b""),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_8_a_response_of_http_1(shop, name):
    raw, status, text = RESPONSES[name]  # what the server sends; what comes of it
    gw = shop.lintel(h2(shop.origin(respond(raw))))
    with H2(gw.plain) as client:
        record = client.request()
        assert (record.status, bytes(record.body), record.ended) == (status, text, True)
        assert "x-drop" not in record.headers


def test_8_trailers_of_a_response(shop):
    gw = shop.lintel(h2(shop.origin(respond(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n"
        b"X-Sum: 42\r\nContent-Length: 7\r\n\r\n"))))
    with H2(gw.plain) as client:
        record = client.request(get(("te", "trailers")))
        assert record.trailers == [("x-sum", "42")] and record.body == b"ok"


def test_8_1_interim_responses(shop):
    gw = shop.lintel(h2(shop.origin(respond(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))))
    with H2(gw.plain) as client:
        record = client.request()
        assert [(s, f.get("link")) for s, f in record.interim] == [(103, "</a.css>")]
        assert record.status == 200


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"], ids=["length", "chunk", "chunks"])
def test_8_1_a_response_that_is_cut_never_ends_as_if_it_were_whole(shop, raw):
    """§8.1.1: RST_STREAM, not END_STREAM."""
    gw = shop.lintel(h2(shop.origin(respond(raw))))
    with H2(gw.plain) as client:
        record = client.request()
        if record.status == 200:
            assert not record.ended and record.reset == INTERNAL_ERROR, record
        else:
            assert (record.status, record.ended) == (502, True)
        assert client.alive()


def test_8_1_a_client_that_waits_for_100(gw):
    with H2(gw.plain) as client:
        stream = client.open(post(("expect", "100-continue"), ("content-length", "4")), end=False)
        record = client.known(stream)
        assert client.until(lambda: record.interim or record.over)
        assert [s for s, _ in record.interim] == [100]
        client.send(data(stream, b"1234"))
        assert client.response(stream).status == 200


def test_8_1_a_refused_request_names_its_cause(gw):
    """What HTTP/1 answers with a problem document, HTTP/2 does as well."""
    with H2(gw.plain) as client:
        record = client.request(get(path="/a/../../b"))
        assert record.status == 400 and json.loads(bytes(record.body))["cause"] == "path_invalid"
        assert "lintel;error=" in record.headers.get("proxy-status")


def test_8_1_1_a_malformed_request_is_in_the_access_log(gw):
    with H2(gw.plain) as client:
        assert client.request(get(("a", "\n"), path="/wrong")).reset == PROTOCOL_ERROR
        assert client.request(get(path="/right")).status == 200
    assert gw.access(cause="h2_malformed")
    assert gw.access(path="/right")[0]["protocol"] == "HTTP/2"
    assert gw.get("/older").status == 200 and gw.access(path="/older")[0]["protocol"] == "HTTP/1.1"
