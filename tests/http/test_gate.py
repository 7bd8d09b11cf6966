# SPDX-License-Identifier: Apache-2.0
"""The framing gate from both ends: what the client is told and which bytes the server saw.

Every class is sent in one write, byte by byte, and cut at random places (the same in each run). What is
refused reaches no server; what is accepted reaches it in exactly one form.
"""
import json
import random

import pytest

from lib.client import head
from lib.configs import basic
from lib.strict_h1 import Cut, Malformed
from test_framing import (BAD_REQUESTS, BAD_RESPONSES, CUT_RESPONSES, END, HOST, SMUGGLED, H,
                          chunks, coding, get, length, post)

SPLITS = ["whole", "bytewise", 1, 2, 3]


def split(data, how):
    """data in pieces: one, all of one byte, or cut at places drawn from the seed `how`."""
    if how == "whole":
        return [data]
    if how == "bytewise":
        return [data[i:i + 1] for i in range(len(data))]
    rand = random.Random(how)
    cuts = sorted({rand.randrange(1, len(data)) for _ in range(rand.randrange(2, 12))})
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]


def send(client, data, how):
    for piece in split(data, how):
        if not client.send(piece):
            return


def host(value):
    return b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"


# name: (bytes, status, cause); with those of test_framing.py every class that is refused.
MORE_BAD_REQUESTS = {
    # hosts
    **{f"host_{name}": (host(value), 400, "host_invalid") for name, value in {
        "bad_percent": b"a%zz", "percent": b"a%41", "query": b"a?b", "fragment": b"a#b",
        "backslash": b"a\\b", "leading_dot": b".a", "only_a_port": b":80", "port_empty": b"a:",
        "port_zero": b"a:0", "port_sign": b"a:+80", "port_twice": b"a:80:80",
        "user_and_password": b"u:p@a", "open_bracket": b"[::1", "bare_ipv6": b"::1",
        "zone": b"[::1%25lo]", "ipv4_in_brackets": b"[1.2.3.4]", "above_ascii": b"\xc3\xa4",
        "semicolon": b"a;b", "tab": b"a\tb"}.items()},
    "host_twice_in_1_0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host_invalid"),
    "host_empty_in_1_0": (b"GET / HTTP/1.0\r\nHost:\r\n\r\n", 400, "host_invalid"),
    "host_twice_by_case": (get(b"hOsT: localhost\r\n"), 400, "host_invalid"),
    # targets
    "absolute_other_port": (get(first=b"GET http://localhost:81/ HTTP/1.1"), 400, "host_invalid"),
    "absolute_without_host_field": (b"GET http://localhost/ HTTP/1.1\r\n\r\n", 400,
                                    "host_invalid"),
    "absolute_bad_percent": (get(first=b"GET http://a%zz/ HTTP/1.1"), 400, "target_invalid"),
    "authority_form": (get(first=b"GET localhost:80 HTTP/1.1"), 400, "target_invalid"),
    "authority_form_options": (get(first=b"OPTIONS localhost:80 HTTP/1.1"), 400, "target_invalid"),
    "asterisk_with_post": (get(first=b"POST * HTTP/1.1"), 400, "target_invalid"),
    "asterisk_and_more": (get(first=b"OPTIONS *x HTTP/1.1"), 400, "target_invalid"),
    "absolute_asterisk": (get(first=b"GET http://localhost* HTTP/1.1"), 400, "target_invalid"),
    "raw_backslash": (get(first=b"GET /a\\b HTTP/1.1"), 400, "path_invalid"),
    "raw_delete": (get(first=b"GET /\x7f HTTP/1.1"), 400, "target_invalid"),
    "fragment_in_query": (get(first=b"GET /?a#b HTTP/1.1"), 400, "target_invalid"),
    # the request line
    "three_spaces": (get(first=b"GET   / HTTP/1.1"), 400, "request_line_invalid"),
    "form_feed": (get(first=b"GET\x0c/ HTTP/1.1"), 400, "request_line_invalid"),
    "vertical_tab": (get(first=b"GET /\x0bHTTP/1.1"), 400, "request_line_invalid"),
    "version_1": (get(first=b"GET / HTTP/1"), 400, "request_line_invalid"),
    "version_3": (get(first=b"GET / HTTP/3.0"), 505, "version_unsupported"),
    "version_1_9": (get(first=b"GET / HTTP/1.9"), 505, "version_unsupported"),
    "version_00": (get(first=b"GET / HTTP/01.01"), 400, "request_line_invalid"),
    "version_word": (get(first=b"GET / HTTP/one"), 400, "request_line_invalid"),
    "version_missing": (get(first=b"GET / "), 400, "request_line_invalid"),
    "no_target": (get(first=b"GET HTTP/1.1"), 400, "request_line_invalid"),
    "two_empty_lines_first": (b"\r\n\r\n" + get(), 400, "request_line_invalid"),
    "bare_lf_first": (b"\n" + get(), 400, "line_end_invalid"),
    "method_nul": (get(first=b"G\0T / HTTP/1.1"), 400, "request_line_invalid"),
    # fields
    "nul_before_colon": (get(b"A\0: b\r\n"), 400, "header_invalid"),
    "escape_in_value": (get(b"A: \x1b[0m\r\n"), 400, "header_invalid"),
    "colon_alone": (get(b":\r\n"), 400, "header_invalid"),
    "fold_of_host": (b"GET / HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n", 400, "header_folded"),
    "fold_that_is_empty": (get(b"A: b\r\n \r\n"), 400, "header_folded"),
    "fold_hides_length": (post(b"X: y\r\n Content-Length: 5\r\n", body=b"abcde"), 400,
                          "header_folded"),
    "name_quoted": (get(b'"A": b\r\n'), 400, "header_invalid"),
    # lengths
    "cl_above_the_cap": (post(length(b" 1152921504606846977")), 400, "content_length_invalid"),
    "cl_above_the_limit": (post(length(b" 1152921504606846976")), 413, "body_too_large"),
    "cl_decimal_comma": (post(length(b" 5,0"), body=b"abcde"), 400, "content_length_invalid"),
    "cl_null_and_five": (post(length(b" 0"), length(b" 5"), body=b"abcde"), 400,
                         "content_length_invalid"),
    "cl_space_before_colon": (post(b"Content-Length : 5\r\n", body=b"abcde"), 400,
                              "header_invalid"),
    "cl_with_nul": (post(length(b" 5\0"), body=b"abcde"), 400, "header_invalid"),
    "te_and_cl_0": (post(coding(b" chunked"), length(b" 0"), body=END + SMUGGLED), 400,
                    "framing_conflict"),
    "te_bad_and_cl": (post(coding(b" xchunked"), length(b" 5"), body=b"abcde"), 400,
                      "framing_conflict"),
    "te_in_get": (get(coding(b" gzip")), 400, "transfer_encoding_invalid"),
    "te_1_0_keep_alive": (post(coding(b" chunked"), b"Connection: keep-alive\r\n", body=END,
                               version=b"HTTP/1.0"), 400, "transfer_encoding_invalid"),
    "te_three_lines": (post(*[coding(b" chunked")] * 3, body=END), 400,
                       "transfer_encoding_invalid"),
    "te_tab_inside": (post(coding(b" chun\tked"), body=END), 400, "transfer_encoding_invalid"),
    # chunks
    "chunk_extension_too_long": (chunks(b"1;" + b"a" * 300 + b"\r\nx\r\n" + END), 400,
                                 "chunk_invalid"),
    "chunk_extensions_too_many": (chunks((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100 + END), 400,
                                  "chunk_invalid"),
    "chunk_size_tab": (chunks(b"5\t\r\nabcde\r\n" + END), 400, "chunk_invalid"),
    "chunk_size_nul": (chunks(b"5\0\r\nabcde\r\n" + END), 400, "chunk_invalid"),
    "chunk_size_full_width": (chunks(b"\xef\xbc\x95\r\nabcde\r\n" + END), 400, "chunk_invalid"),
    "chunk_data_too_short": (chunks(b"6\r\nabcde\r\n" + END), 400, "chunk_invalid"),
    "chunk_line_cr_cr_lf": (chunks(b"5\r\r\nabcde\r\n" + END), 400, "chunk_invalid"),
    "chunk_end_bare_cr": (chunks(b"0\r\n\r\r\n"), 400, None),
    "trailer_empty_name": (chunks(b"0\r\n: b\r\n\r\n"), 400, "trailer_invalid"),
    "trailer_too_long": (chunks(b"0\r\nA: " + b"b" * 40000 + b"\r\n\r\n"), 400, "trailer_invalid"),
    "trailers_too_many": (chunks(b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n"), 400, "trailer_invalid"),
    # what else there is to refuse
    "expectation": (post(length(b" 1"), b"Expect: 200-ok\r\n", body=b"x"), 417,
                    "expect_unsupported"),
    "expectation_twice": (post(length(b" 1"), *[b"Expect: 100-continue\r\n"] * 2, body=b"x"), 417,
                          "expect_unsupported"),
    "upgrade_with_body": (post(length(b" 1"), b"Connection: upgrade\r\nUpgrade: websocket\r\n",
                               body=b"x"), 400, "upgrade_body"),
    "connect_with_length": (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n"
                            b"\r\nabc", 405, "connect_refused"),
    "too_many_fields": (get(b"A: b\r\n" * 100), 431, "head_too_large"),
    "head_too_long": (get(b"A: " + b"b" * 40000 + b"\r\n"), 431, "head_too_large"),
    "target_too_long": (get(first=b"GET /" + b"a" * 20000 + b" HTTP/1.1"), 414, "target_too_long"),
    "connection_too_long": (get(b"Connection: " + b"a," * 600 + b"a\r\n"), 400, "header_invalid"),
}
OF_ROUTES = ("body_too_large", "upgrade_body")  # these end no connection
REFUSED = {**BAD_REQUESTS, **MORE_BAD_REQUESTS}


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(basic(app))


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request_gets_a_cause_and_reaches_no_server(gw, app, name):
    data, status, cause = REFUSED[name]
    causes = set()
    before = app.received()
    for how in SPLITS:
        if how == "bytewise" and len(data) > 5000:
            continue
        with gw.client() as client:
            send(client, data, how)
            response = client.response()
            assert response.status == status, (how, response)
            told = json.loads(response.body)
            assert told["status"] == status and told["title"], (how, told)
            causes.add(told["cause"])
            assert "lintel;error=" in response.headers.get("proxy-status")
            if cause not in OF_ROUTES:
                assert client.ends(), how
    # Which of the rules is seen to be broken first may depend on how the bytes come.
    assert causes == {cause} if cause else all(c.endswith(("_invalid", "_folded")) for c in causes)
    assert app.received() == before, "something was sent on"


def test_every_refusal_is_in_the_access_log_with_its_cause(gw):
    """One of each cause; the log is read once at the end."""
    of_cause = {cause: data for data, _, cause in REFUSED.values() if cause}
    for data in of_cause.values():
        with gw.client() as client:
            client.send(data)
            client.response()
    for cause in of_cause:
        line = gw.access(cause=cause)[0]
        assert line["status"] >= 400 and line["stage"], line


# What is accepted: (bytes, first line, fields of the client, body). The rest of the fields is the
# gateway's own.

ADDED = ("x-forwarded-", "forwarded", "via", "x-request-id", "traceparent")
PLAIN = ["host: localhost"]
SIZED = [*PLAIN, "content-length: 5"]
ACCEPTED = {
    "plain": (get(), "GET / HTTP/1.1", PLAIN, b""),
    "one_empty_line_first": (b"\r\n" + get(), "GET / HTTP/1.1", PLAIN, b""),
    "http_1_0": (b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", "GET / HTTP/1.1", PLAIN, b""),
    "trimmed_values": (get(b"A: \t b \t c \t\r\n", b"B:\r\n", b"C:c\r\n"), "GET / HTTP/1.1",
                       [*PLAIN, "A: b \t c", "B: ", "C: c"], b""),
    "names_with_underscore": (get(b"X_Forwarded_For: 1.2.3.4\r\n", b"Content_Length: 5\r\n",
                                  b"_: 1\r\n", b"A: b\r\n"), "GET / HTTP/1.1",
                              [*PLAIN, "A: b"], b""),
    "hop_by_hop": (get(b"Connection: close, X-Drop\r\n", b"X-Drop: 1\r\n", b"Keep-Alive: 5\r\n",
                       b"TE: trailers\r\n", b"Proxy-Connection: x\r\n"), "GET / HTTP/1.1",
                   PLAIN, b""),
    "connection_names_host": (get(b"Connection: host\r\n"), "GET / HTTP/1.1", PLAIN, b""),
    "connection_names_length": (post(length(b" 5"), b"Connection: content-length\r\n",
                                     body=b"abcde"), "POST / HTTP/1.1", SIZED, b"abcde"),
    "length_with_zeros": (post(length(b" 005"), body=b"abcde"), "POST / HTTP/1.1", SIZED,
                          b"abcde"),
    "length_zero": (post(length(b" 000")), "POST / HTTP/1.1", [*PLAIN, "content-length: 0"], b""),
    "length_in_get": (get(length(b" 5"))[:-2] + b"\r\nabcde", "GET / HTTP/1.1", SIZED, b"abcde"),
    "length_like_name": (post(length(b" 5"), b"Content-Length-X: 9\r\n", body=b"abcde"),
                         "POST / HTTP/1.1", [*PLAIN, "Content-Length-X: 9", "content-length: 5"],
                         b"abcde"),
    "chunked_upper_case": (post(coding(b"  CHUNKED "), body=b"5\r\nabcde\r\n0\r\n\r\n"),
                           "POST / HTTP/1.1", None, b"abcde"),
    "chunk_extensions": (chunks(b"2;a=b\r\nab\r\n2;c=\"d\"\r\ncd\r\n1;e\r\ne\r\n0;f\r\n\r\n"),
                         "POST / HTTP/1.1", None, b"abcde"),
    "chunk_zeros": (chunks(b"00002\r\nab\r\n3\r\ncde\r\n000\r\n\r\n"), "POST / HTTP/1.1", None,
                    b"abcde"),
    "trailers_of_framing": (chunks(b"5\r\nabcde\r\n0\r\nContent-Length: 9\r\nHost: evil\r\n\r\n"),
                            "POST / HTTP/1.1", None, b"abcde"),
    "absolute_form": (get(first=b"GET http://LOCALHOST:80/a?b HTTP/1.1"), "GET /a?b HTTP/1.1",
                      PLAIN, b""),
    "absolute_form_no_path": (get(first=b"GET http://localhost?b HTTP/1.1"), "GET /?b HTTP/1.1",
                              PLAIN, b""),
    "query_as_it_came": (get(first=b"GET /?a=%2f..//%zz?&;{} HTTP/1.1"),
                         "GET /?a=%2f..//%zz?&;{} HTTP/1.1", PLAIN, b""),
    "path": (get(first=b"GET //a/./b/../%7e%40%c3%a9%20{} HTTP/1.1"),
             "GET /a/~@%C3%A9%20%7B%7D HTTP/1.1", PLAIN, b""),
    "parameters": (get(first=b"GET /a;b=1/c%3bd+e%2b HTTP/1.1"),
                   "GET /a;b=1/c%3Bd+e%2B HTTP/1.1", PLAIN, b""),
    "upgrade_h2c": (get(b"Connection: Upgrade, HTTP2-Settings\r\n", b"Upgrade: h2c\r\n",
                        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), "GET / HTTP/1.1",
                    PLAIN, b""),
    "connection_upgrade_alone": (get(b"Connection: upgrade\r\n"), "GET / HTTP/1.1", PLAIN, b""),
    "expect": (post(length(b" 5"), b"Expect: 100-continue\r\n", body=b"abcde"), "POST / HTTP/1.1",
               SIZED, b"abcde"),
    "high_bytes_in_value": (get(b"A: caf\xc3\xa9\xff\r\n"), "GET / HTTP/1.1",
                            [*PLAIN, "A: caf\xc3\xa9\xff"], b""),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_request_reaches_the_server_in_one_form(gw, app, name):
    data, first, fields, body = ACCEPTED[name]
    for how in SPLITS:
        sizes = {peer: len(peer.received) for peer in app.peers}
        with gw.client() as client:
            send(client, data, how)
            response = client.response()
            assert response.status == 200, (how, response)
        got = [bytes(peer.received[sizes.get(peer, 0):]) for peer in app.peers]
        [got] = [part for part in got if part]
        text, _, rest = got.partition(b"\r\n\r\n")
        lines = text.decode("latin-1").split("\r\n")
        assert lines[0] == first, how
        own = [line for line in lines[1:] if not line.lower().startswith(ADDED)]
        if fields is None:  # a body of chunks may have been collected meanwhile
            assert own[0] == "host: localhost", how
            assert own[1:] in (["transfer-encoding: chunked"], ["content-length: 5"]), how
            sized = own[1] == "content-length: 5"
            assert json.loads(response.body)["body"].encode() == body
            assert json.loads(response.body)["trailers"] == [] and (not sized or rest == body)
        else:
            assert own == fields and rest == body, how


# Responses.

MORE_BAD_RESPONSES = {
    "cl_twice_by_case": (H + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\nok",
                         "response_framing_invalid"),
    "cl_above_the_cap": (H + b"Content-Length: 1152921504606846977\r\n\r\n",
                         "response_framing_invalid"),
    "te_xchunked": (H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
                    "response_framing_invalid"),
    "te_empty_and_cl": (H + b"Transfer-Encoding:\r\nContent-Length: 2\r\n\r\nok",
                        "response_framing_invalid"),
    "status_000": (b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_signed": (b"HTTP/1.1 +20 No\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_two_spaces": (b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_missing": (b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "version_0_9": (b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "version_1_2": (b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "empty_line_first": (b"\r\n" + H + b"Content-Length: 2\r\n\r\nok", "response_invalid"),
    "html": (b"<html><body>500 Internal Server Error</body></html>\r\n\r\n", "response_invalid"),
    "rtsp": (b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "icy": (b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "bare_cr_in_value": (H + b"A: b\rc\r\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "control_in_value": (H + b"A: \x07\r\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "last_line_bare_lf": (H + b"Content-Length: 2\r\n\nok", "response_invalid"),
    "informational_without_end": (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 50,
                                  "response_invalid"),
    "processing_without_end": (b"HTTP/1.1 102 Processing\r\n\r\n" * 50, "response_invalid"),
    "informational_with_body": (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nabcde" + H +
                                b"Content-Length: 2\r\n\r\nok", "response_invalid"),
    "head_without_end": (H + b"A: " + b"b" * 70000, "response_head_too_large"),
}
REFUSED_RESPONSES = {**BAD_RESPONSES, **MORE_BAD_RESPONSES}
MORE_CUT_RESPONSES = {
    **CUT_RESPONSES,
    **{f"chunk_{name}": H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + data
       for name, data in {"size_0x": b"0x3\r\nabc\r\n" + END, "size_plus": b"+3\r\nabc\r\n" + END,
                          "extension_too_long": b"3;" + b"a" * 300 + b"\r\nabc\r\n" + END,
                          "extension_nul": b"3;\0\r\nabc\r\n" + END,
                          "end_bare_lf": b"0\r\n\n", "trailer_fold": b"0\r\nA: b\r\n c\r\n\r\n",
                          "trailer_coding": b"0\r\nTransfer-Encoding: x\r\n\r\n"}.items()},
}


def playing(table):
    """A script: GET /NAME/HOW is answered by that entry of the table, in those pieces."""
    def script(peer):
        while True:
            name, _, how = peer.request().target.lstrip("/").partition("/")
            data = table.get(name, H + b"Content-Length: 2\r\n\r\nok")
            data = data[0] if isinstance(data, tuple) else data
            how = int(how) if how.isdecimal() else how
            for piece in split(data, how or "whole"):
                peer.send(piece)
            if name in table:
                peer.until_closed()
                return
    return script


@pytest.fixture(scope="module")
def bad_gw(shared):
    server = shared.origin(playing({**REFUSED_RESPONSES, **MORE_CUT_RESPONSES}))
    return shared.lintel(basic(server, app={"timeouts": {"idle": "5s", "first_byte": "5s"}}))


@pytest.mark.parametrize("name", REFUSED_RESPONSES)
def test_a_response_that_breaks_a_rule_is_a_502_with_its_cause(bad_gw, name):
    data, cause = REFUSED_RESPONSES[name]
    with bad_gw.client() as client:
        for how in SPLITS:
            if how == "bytewise" and len(data) > 5000:
                continue
            response = client.request(target=f"/{name}/{how}")
            assert response.status == 502, (how, response)
            assert json.loads(response.body)["cause"] == cause, how
            # Nothing of it is left for the next one.
            assert client.request(target="/fine").body == b"ok", how


@pytest.mark.parametrize("name", MORE_CUT_RESPONSES)
def test_a_response_that_breaks_a_rule_too_late_is_visibly_cut(bad_gw, name):
    for how in SPLITS:
        with bad_gw.client() as client:
            client.send(head("GET", f"/{name}/{how}"))
            try:
                response = client.response()
                assert response.status == 502, (how, response)
                assert json.loads(response.body)["cause"].startswith("response_")
            except (Cut, ConnectionResetError):
                pass  # its head and a piece had left
            except Malformed as fault:
                raise AssertionError(f"{how}: what came was not cut but malformed") from fault
    assert all(e["cause"].startswith("response_")
               for e in bad_gw.access(len(SPLITS), method="GET") if e["path"].startswith(f"/{name}/"))
