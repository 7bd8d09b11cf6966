# SPDX-License-Identifier: Apache-2.0
"""What is ambiguous or malformed is refused on both sides, and never sent on.

Each case goes out as one write and byte by byte: a parser that depends on how bytes arrive has a
hole. The origin reads strictly, so whatever it is sent is proved well-formed as well.
"""
import contextlib
import json
import os
import pathlib
import signal
import threading
import time

import pytest

from lib.client import chunked, head
from lib.configs import basic
from lib.origin import OK
from lib.prometheus import counted
from lib.strict_h1 import Fields
from lib.wait import wait_until

HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def get(*lines, first=b"GET / HTTP/1.1"):
    """A GET with Host and further raw lines, which bring their own line ends."""
    return first + b"\r\n" + HOST + b"".join(lines) + b"\r\n"


def post(*lines, body=b"", version=b"HTTP/1.1"):
    return b"POST / " + version + b"\r\n" + HOST + b"".join(lines) + b"\r\n" + body


def length(value):
    return b"Content-Length:" + value + b"\r\n"


def coding(value):
    return b"Transfer-Encoding:" + value + b"\r\n"


def chunks(data, *lines):
    return post(coding(b" chunked"), *lines, body=data)


END = b"0\r\n\r\n"

# name: (bytes, status, cause)
BAD_REQUESTS = {
    # line ends
    "bare_cr_in_value": (get(b"A: b\rc\r\n"), 400, None),
    "bare_cr_then_field": (get(b"A:\rX: 1\r\n"), 400, None),
    "bare_cr_in_request_line": (get(first=b"GET /\r HTTP/1.1"), 400, None),
    "bare_lf_after_request_line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400, "line_end_invalid"),
    "bare_lf_after_field": (get(b"A: b\n"), 400, "line_end_invalid"),
    "bare_lf_as_last_line": (b"GET / HTTP/1.1\r\n" + HOST + b"\n", 400, "line_end_invalid"),
    "bare_lf_everywhere": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400, "line_end_invalid"),
    "cr_cr_lf": (b"GET / HTTP/1.1\r\n" + HOST + b"\r\r\n", 400, None),
    # request line
    "two_spaces_before_target": (get(first=b"GET  / HTTP/1.1"), 400, "request_line_invalid"),
    "two_spaces_before_version": (get(first=b"GET /  HTTP/1.1"), 400, "request_line_invalid"),
    "space_at_the_end": (get(first=b"GET / HTTP/1.1 "), 400, "request_line_invalid"),
    "space_at_the_start": (get(first=b" GET / HTTP/1.1"), 400, None),
    "tab_for_space": (get(first=b"GET\t/ HTTP/1.1"), 400, "request_line_invalid"),
    "space_in_target": (get(first=b"GET /a b HTTP/1.1"), 400, "request_line_invalid"),
    "http_0_9": (b"GET /\r\n\r\n", 400, "request_line_invalid"),
    "version_0_9": (get(first=b"GET / HTTP/0.9"), 505, "version_unsupported"),
    "version_1_2": (get(first=b"GET / HTTP/1.2"), 505, "version_unsupported"),
    "version_2_0": (get(first=b"GET / HTTP/2.0"), 505, "version_unsupported"),
    "h2_preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_unsupported"),
    "version_lower_case": (get(first=b"GET / http/1.1"), 400, "request_line_invalid"),
    "version_too_long": (get(first=b"GET / HTTP/1.10"), 400, "request_line_invalid"),
    "ice": (get(first=b"GET / ICE/1.0"), 400, "request_line_invalid"),
    "rtsp": (get(first=b"DESCRIBE / RTSP/1.0"), 400, "request_line_invalid"),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400,
                "request_line_invalid"),
    "method_unknown": (get(first=b"FROB / HTTP/1.1"), 501, "method_unknown"),
    "method_lower_case": (get(first=b"get / HTTP/1.1"), 501, "method_unknown"),
    "method_query": (get(first=b"QUERY / HTTP/1.1"), 501, "method_unknown"),
    "method_with_delimiter": (get(first=b"G(T / HTTP/1.1"), 400, "request_line_invalid"),
    "connect": (get(first=b"CONNECT localhost:80 HTTP/1.1"), 405, "connect_refused"),
    "connect_to_a_path": (get(first=b"CONNECT /x HTTP/1.1"), 405, "connect_refused"),
    # target
    "target_fragment": (get(first=b"GET /#a HTTP/1.1"), 400, "target_invalid"),
    "target_asterisk_with_get": (get(first=b"GET * HTTP/1.1"), 400, "target_invalid"),
    "target_without_slash": (get(first=b"GET x HTTP/1.1"), 400, "target_invalid"),
    "target_nul": (get(first=b"GET /\0 HTTP/1.1"), 400, None),
    "target_above_ascii": (get(first=b"GET /\xe4 HTTP/1.1"), 400, None),
    "target_delete": (get(first=b"GET /\x7f HTTP/1.1"), 400, None),
    "target_absolute_without_host": (get(first=b"GET http:///x HTTP/1.1"), 400, "target_invalid"),
    "target_absolute_other_host": (get(first=b"GET http://other/ HTTP/1.1"), 400, "host_invalid"),
    "target_absolute_with_user": (get(first=b"GET http://a@localhost/ HTTP/1.1"), 400, None),
    "target_of_another_scheme": (get(first=b"GET ftp://localhost/ HTTP/1.1"), 400,
                                 "target_invalid"),
    "path_dots_by_encoded_slash": (get(first=b"GET /a/..%2fb HTTP/1.1"), 400, "path_invalid"),
    "path_encoded_line_end": (get(first=b"GET /a%0d%0aB:c HTTP/1.1"), 400, "path_invalid"),
    "path_overlong_dots": (get(first=b"GET /a/%c0%ae%c0%ae/b HTTP/1.1"), 400, "path_invalid"),
    "path_encoded_backslash": (get(first=b"GET /a%5Cb HTTP/1.1"), 400, "path_invalid"),
    "path_encoded_nul": (get(first=b"GET /a%00 HTTP/1.1"), 400, "path_invalid"),
    "path_bad_percent": (get(first=b"GET /a%zz HTTP/1.1"), 400, "path_invalid"),
    "path_cut_percent": (get(first=b"GET /a%2 HTTP/1.1"), 400, "path_invalid"),
    "path_above_the_root": (get(first=b"GET /a/../../b HTTP/1.1"), 400, "path_invalid"),
    "path_encoded_above_the_root": (get(first=b"GET /%2e%2e/b HTTP/1.1"), 400, "path_invalid"),
    # fields
    "fold": (get(b"A: b\r\n c\r\n"), 400, "header_folded"),
    "fold_with_tab": (get(b"A: b\r\n\tc\r\n"), 400, "header_folded"),
    "fold_of_the_first_field": (b"GET / HTTP/1.1\r\n A: b\r\n" + HOST + b"\r\n", 400, None),
    "no_colon": (get(b"Abc\r\n"), 400, "header_invalid"),
    "empty_name": (get(b": b\r\n"), 400, "header_invalid"),
    "space_before_colon": (get(b"A : b\r\n"), 400, "header_invalid"),
    "tab_before_colon": (get(b"A\t: b\r\n"), 400, "header_invalid"),
    "space_in_name": (get(b"A B: c\r\n"), 400, "header_invalid"),
    "nul_in_name": (get(b"A\0: b\r\n"), 400, "header_invalid"),
    "nul_in_value": (get(b"A: b\0\r\n"), 400, "header_invalid"),
    "bell_in_value": (get(b"A: b\x07\r\n"), 400, "header_invalid"),
    "delete_in_value": (get(b"A: b\x7f\r\n"), 400, "header_invalid"),
    "above_ascii_in_name": (get(b"\xc3\xa4: b\r\n"), 400, "header_invalid"),
    # host
    "host_missing": (b"GET / HTTP/1.1\r\n\r\n", 400, "host_invalid"),
    "host_twice": (get(HOST), 400, "host_invalid"),
    "host_empty": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "host_invalid"),
    "host_empty_label": (b"GET / HTTP/1.1\r\nHost: localhost..\r\n\r\n", 400, "host_invalid"),
    "host_empty_label_inside": (b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", 400, "host_invalid"),
    "host_with_space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host_invalid"),
    "host_with_path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host_invalid"),
    "host_with_user": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "host_invalid"),
    "host_list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "host_invalid"),
    "host_bad_port": (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "host_invalid"),
    "host_port_too_big": (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400, "host_invalid"),
    # lengths
    "te_and_cl": (post(coding(b" chunked"), length(b" 5"), body=END + SMUGGLED), 400,
                  "framing_conflict"),
    "cl_and_te": (post(length(b" 5"), coding(b" chunked"), body=END + SMUGGLED), 400,
                  "framing_conflict"),
    "cl_twice_equal": (post(length(b" 5"), length(b" 5"), body=b"abcde"), 400,
                       "content_length_invalid"),
    "cl_twice_different": (post(length(b" 5"), length(b" 6"), body=b"abcdef"), 400,
                           "content_length_invalid"),
    **{f"cl_{name}": (post(length(value), body=b"abcde"), 400, "content_length_invalid")
       for name, value in {
           "list": b" 5, 5", "plus": b" +5", "minus": b" -5", "hex": b" 0x5", "two": b" 5 5",
           "empty": b"", "space": b" ", "float": b" 5.0", "word": b" five", "underscore": b" 1_0",
           "2_63": b" 9223372036854775808", "2_64_minus_1": b" 18446744073709551615",
           "2_64": b" 18446744073709551616", "huge": b" " + b"9" * 40,
           "above_ascii": b" \xb25"}.items()},
    "cl_fold": (post(b"Content-Length:\r\n 5\r\n", body=b"abcde"), 400, "header_folded"),
    **{f"te_{name}": (post(coding(value), body=END + SMUGGLED), 400, "transfer_encoding_invalid")
       for name, value in {
           "xchunked": b" xchunked", "gzip": b" gzip", "parameter": b" chunked;q=1",
           "quoted": b' "chunked"', "then_identity": b" chunked, identity",
           "chunked_twice": b" chunked, chunked", "trailing_comma": b" chunked,",
           "identity_first": b" identity, chunked", "gzip_first": b" gzip, chunked",
           "leading_comma": b" , chunked", "empty": b"", "identity": b" identity",
           "vertical_tab": b" chunked\xa0"}.items()},
    "te_control": (post(coding(b" \x0bchunked"), body=END + SMUGGLED), 400, None),
    "te_empty_with_cl": (post(coding(b""), length(b" 5"), body=b"abcde"), 400,
                         "framing_conflict"),
    "te_two_lines": (post(coding(b" chunked"), coding(b" chunked"), body=END), 400,
                     "transfer_encoding_invalid"),
    "te_identity_line_then_chunked": (post(coding(b" identity"), coding(b" chunked"), body=END),
                                      400, "transfer_encoding_invalid"),
    "te_fold": (post(b"Transfer-Encoding:\r\n chunked\r\n", body=END), 400, "header_folded"),
    "te_http_1_0": (post(coding(b" chunked"), body=END, version=b"HTTP/1.0"), 400,
                    "transfer_encoding_invalid"),
    "te_space_before_colon": (post(b"Transfer-Encoding : chunked\r\n", body=END), 400,
                              "header_invalid"),
    # chunks
    **{f"chunk_size_{name}": (chunks(value + b"\r\nabcde\r\n" + END), 400, "chunk_invalid")
       for name, value in {
           "leading_space": b" 5", "trailing_space": b"5 ", "0x": b"0x5", "plus": b"+5",
           "minus": b"-5", "underscore": b"0_5", "empty": b"", "word": b"zz",
           "overflow": b"1" + b"0" * 16, "huge": b"f" * 15 + b"e", "comma": b"5,"}.items()},
    "chunk_size_bare_lf": (chunks(b"5\nabcde\r\n" + END), 400, None),
    "chunk_size_bare_cr": (chunks(b"5\rabcde\r\n" + END), 400, "chunk_invalid"),
    "chunk_data_too_long": (chunks(b"5\r\nabcdef\r\n" + END), 400, "chunk_invalid"),
    "chunk_data_bare_lf": (chunks(b"5\r\nabcde\n" + END), 400, None),
    "chunk_data_other_end": (chunks(b"5\r\nabcdeXX0\r\n\r\n"), 400, "chunk_invalid"),
    "chunk_last_bare_lf": (chunks(b"0\n\r\n"), 400, None),
    "chunk_end_bare_lf": (chunks(b"0\r\n\n"), 400, None),
    "chunk_extension_lf": (chunks(b"5;a=b\nabcde\r\n" + END), 400, None),
    "chunk_extension_nul": (chunks(b"5;a=\0\r\nabcde\r\n" + END), 400, "chunk_invalid"),
    "chunk_extension_cr": (chunks(b"5;a=b\rX\r\nabcde\r\n" + END), 400, None),
    "chunk_extension_empty": (chunks(b"5;\r\nabcde\r\n" + END), 400, "chunk_invalid"),
    "trailer_fold": (chunks(b"0\r\nA: b\r\n c\r\n\r\n"), 400, None),
    "trailer_no_colon": (chunks(b"0\r\nAbc\r\n\r\n"), 400, None),
    "trailer_space_before_colon": (chunks(b"0\r\nA : b\r\n\r\n"), 400, None),
    "trailer_bare_lf": (chunks(b"0\r\nA: b\n\r\n"), 400, None),
    "trailer_coding": (chunks(b"0\r\nTransfer-Encoding: x\r\n\r\n"), 400, None),
    "trailer_nul": (chunks(b"0\r\nA: \0\r\n\r\n"), 400, None),
}


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(basic(app))


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request(gw, app, name, bytewise):
    data, status, cause = BAD_REQUESTS[name]
    before = app.received()
    with gw.client() as client:
        client.send(data, bytewise)
        response = client.response()
        assert response.status == status, response
        told = json.loads(response.body)["cause"]
        assert told == cause if cause else told.endswith("_invalid") or told == "header_folded"
        assert response.headers.get("connection", "").lower() == "close"
        assert client.ends(), "the connection stays open"
    assert app.received() == before, "something was sent on"


def test_the_refusal_of_a_broken_head_request_has_no_body_either(gw):
    with gw.client() as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n")
        assert client.response("HEAD").status == 400
        assert client.ends()


def test_a_bad_request_behind_a_good_one_is_refused_alone(gw, app):
    """Pipelined: the good one is answered, the bad one refused, what follows is never read."""
    before = len(app.requests)
    with gw.client() as client:
        client.send(head("GET", "/good") + get(b"A : b\r\n") + SMUGGLED)
        assert client.response().status == 200
        assert client.response().status == 400
        assert client.ends()
    assert [r.target for r in app.requests[before:]] == ["/good"]


def test_what_follows_connection_close_is_not_a_request(gw, app):
    with gw.client() as client:
        client.send(head("GET", "/last", {"Connection": "close"}) + SMUGGLED)
        assert client.response().status == 200
        assert client.ends()
    assert all(r.target != "/smuggled" for r in app.requests)


# What a strict reader may take, and how it has to look behind the gateway.

def facts(client, data, bytewise=False):
    client.send(data, bytewise)
    response = client.response()
    assert response.status == 200, response
    told = json.loads(response.body)
    told["headers"] = Fields(tuple(f) for f in told["headers"])
    return told


def test_leading_zeros_of_a_length_are_dropped(gw):
    with gw.client() as client:
        got = facts(client, post(length(b" 005"), body=b"abcde"))
    assert got["body"] == "abcde" and got["headers"].get("content-length") == "5"


@pytest.mark.parametrize("bytewise", [False, True])
def test_chunk_extensions_are_not_sent_on(gw, bytewise):
    with gw.client() as client:
        got = facts(client, chunks(b"3;a=b\r\nabc\r\n2;c=\"d\"\r\nde\r\n0;x\r\n\r\n"), bytewise)
    assert got["body"] == "abcde"  # the origin's reader refuses extensions


def test_white_space_around_a_value_is_trimmed(gw):
    with gw.client() as client:
        got = facts(client, get(b"A: \t b c \t \r\n", b"E:   \r\n"))
    assert got["headers"].get("a") == "b c" and got["headers"].get("e") == ""


def test_coding_names_are_case_insensitive(gw):
    with gw.client() as client:
        assert facts(client, post(coding(b"  CHUNKED "), body=chunked(b"ab")))["body"] == "ab"


def test_absolute_form_becomes_origin_form(gw):
    with gw.client() as client:
        got = facts(client, get(first=b"GET http://localhost/a?b HTTP/1.1"))
        assert got["target"] == "/a?b"
        assert facts(client, get(first=b"GET http://LOCALHOST HTTP/1.1"))["target"] == "/"


def test_options_asterisk_is_served(gw):
    with gw.client() as client:
        client.send(get(first=b"OPTIONS * HTTP/1.1"))
        assert client.response().status in (200, 404)
        assert client.request().status == 200


def test_dot_segments_are_resolved_before_anything_is_decided(gw):
    with gw.client() as client:
        got = facts(client, get(first=b"GET /a/./b/../c%7e HTTP/1.1"))
        assert got["target"] == "/a/c~"


@pytest.mark.parametrize("name", ["Content-Length", "Host", "Authorization", "Content-Type",
                                  "X-Forwarded-For", "Connection", "X_A"])
def test_trailers_that_mean_something_are_not_sent_on(gw, name):
    with gw.client() as client:
        got = facts(client, chunks(b"1\r\na\r\n0\r\n" + name.encode() + b": 5\r\nX-Fine: 1\r\n\r\n"))
    assert got["trailers"] == [["X-Fine", "1"]]


# Responses.

H = b"HTTP/1.1 200 OK\r\n"

# name: (bytes, cause)
BAD_RESPONSES = {
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "response_invalid"),
    "no_version": (b"200 OK\r\n\r\n", "response_invalid"),
    "version_2": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "version_lower_case": (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_99": (b"HTTP/1.1 99 No\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_099": (b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_1000": (b"HTTP/1.1 1000 No\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_600": (b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "status_word": (b"HTTP/1.1 OK OK\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "reason_nul": (b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "reason_bare_cr": (b"HTTP/1.1 200 O\rX: 1\r\nContent-Length: 0\r\n\r\n", "response_invalid"),
    "bare_lf_in_head": (H + b"A: b\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "bare_lf_everywhere": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "response_invalid"),
    "fold": (H + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "space_before_colon": (H + b"A : b\r\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "no_colon": (H + b"Abc\r\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "empty_name": (H + b": b\r\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "nul_in_value": (H + b"A: \0\r\nContent-Length: 2\r\n\r\nok", "response_invalid"),
    "te_and_cl": (H + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                  "response_framing_invalid"),
    "cl_twice_equal": (H + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
                       "response_framing_invalid"),
    "cl_twice": (H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
                 "response_framing_invalid"),
    **{f"cl_{name}": (H + b"Content-Length: " + value + b"\r\n\r\nok", "response_framing_invalid")
       for name, value in {"list": b"2, 2", "plus": b"+2", "minus": b"-2", "empty": b"",
                           "hex": b"0x2", "huge": b"18446744073709551616"}.items()},
    **{f"te_{name}": (H + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n",
                      "response_framing_invalid")
       for name, value in {"gzip": b"gzip", "chunked_gzip": b"chunked, gzip",
                           "gzip_chunked": b"gzip, chunked", "identity": b"identity",
                           "empty": b"", "twice": b"chunked, chunked"}.items()},
    "te_two_lines": (H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"0\r\n\r\n", "response_framing_invalid"),
    "te_http_1_0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    "response_framing_invalid"),
    "upgrade_unasked": (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
                        "upgrade_unexpected"),
}


def playing(table):
    """A script that answers GET /NAME with that entry of the table, then waits for the close."""
    def script(peer):
        while True:
            name = peer.request().target.lstrip("/").split("?")[0]
            if name not in table:
                peer.send(OK)
                continue
            entry = table[name]
            peer.send(entry[0] if isinstance(entry, tuple) else entry)
            peer.until_closed()
            return
    return script


@pytest.fixture(scope="module")
def bad_server(shared):
    return shared.origin(playing(BAD_RESPONSES))


@pytest.fixture(scope="module")
def bad_gw(shared, bad_server):
    return shared.lintel(basic(bad_server, app={"timeouts": {"idle": "3s", "first_byte": "3s"}}))


@pytest.mark.parametrize("name", BAD_RESPONSES)
def test_bad_response(bad_gw, bad_server, name):
    with bad_gw.client() as client:
        response = client.request(target=f"/{name}")
        cause = BAD_RESPONSES[name][1]
        assert response.status == 502, response
        assert json.loads(response.body)["cause"] == cause
        assert f'details="{cause}"' in response.headers.get("proxy-status")
        assert bad_gw.access(path=f"/{name}", cause=cause)[0]["status"] == 502
        peer = next(p for p in bad_server.peers
                    if any(r.target == f"/{name}" for r in p.requests))
        assert peer.closed.wait(5), "the connection to the server stays open"
        # The fault was the server's: the client's connection lives on.
        assert client.request(target="/fine").body == b"ok"


CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
CUT_RESPONSES = {
    "chunk_size_word": CHUNKED + b"zz\r\n",
    "chunk_size_space": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk_size_overflow": CHUNKED + b"f" * 17 + b"\r\n",
    "chunk_data_too_long": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunk_bare_lf": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "trailer_invalid": CHUNKED + b"0\r\nA : b\r\n\r\n",
}


@pytest.mark.parametrize("name", CUT_RESPONSES)
def test_a_body_that_turns_out_malformed_is_never_ended_as_if_it_were_whole(shared, name):
    server = shared.origin(playing(CUT_RESPONSES))
    gw = shared.lintel(basic(server))
    with gw.client() as client:
        client.send(head("GET", f"/{name}", {"Connection": "close"}))
        raw = b""
        try:
            while data := client.sock.recv(65536):
                raw += data
        except ConnectionResetError:
            pass
    # Either no response had begun, or what there is of it is visibly unfinished.
    assert raw.startswith(b"HTTP/1.1 502 ") or not raw.endswith(b"0\r\n\r\n"), raw
    assert gw.access(path=f"/{name}")[0]["cause"].startswith("response_")


@pytest.mark.parametrize("method, evil", [
    ("GET", b"204 No Content\r\nContent-Length: 5\r\n\r\nHTTP/"),
    ("GET", b"204 No Content\r\nContent-Length: 5\r\n\r\n"),
    ("HEAD", b"204 No Content\r\nContent-Length: 5\r\n\r\n"),
    ("GET", b"204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("GET", b"205 Reset Content\r\nContent-Length: 5\r\n\r\nHTTP/"),
])
def test_a_head_that_speaks_of_a_body_where_none_may_be_is_malformed(shop, method, evil):
    server = shop.origin(playing({"evil": b"HTTP/1.1 " + evil}))
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        for _ in range(3):
            assert client.request(method, target="/evil").status == 502
            assert client.request(target="/fine").body == b"ok"
    assert gw.access(path="/evil")[0]["cause"] == "response_framing_invalid"


EVIL_OK = b"HTTP/1.1 200 Evil\r\nContent-Length: 4\r\n\r\nevil"
BODILESS = [
    ("DELETE", b"204 No Content\r\n\r\n"),
    ("GET", b"304 Not Modified\r\n\r\n"),
    ("GET", b"304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ("HEAD", b"200 OK\r\nContent-Length: 5\r\n\r\n"),
    ("HEAD", b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("HEAD", b"200 OK\r\n\r\n"),
]


@pytest.mark.parametrize("method, evil", BODILESS)
@pytest.mark.parametrize("body", [b"HTTP/", b"0\r\n\r\n", EVIL_OK])
def test_a_body_that_comes_with_its_head_where_none_may_be_is_dropped(shop, method, evil, body):
    server = shop.origin(playing({"evil": b"HTTP/1.1 " + evil + body}))
    gw = shop.lintel(basic(server, workers=1))
    with gw.client() as client:
        for n in range(1, 4):
            response = client.request(method, target="/evil")
            assert (response.status, response.body) == (int(evil[:3]), b"")
            peer = next(p for p in server.peers if p.requests and p.requests[-1].target == "/evil"
                        and not hasattr(p, "seen"))
            peer.seen = True
            assert peer.closed.wait(20), "the connection to the server is used on"
            assert client.request(target="/fine").body == b"ok"
            wait_until(lambda n=n: counted(gw, "upstream_bodies_dropped_total") == n,
                       "it to be counted")
    assert not any(line.get("cause") for line in gw.access())


@pytest.mark.parametrize("method, evil", BODILESS)
def test_a_body_that_comes_later_where_none_may_be_is_nobodys(shop, method, evil):
    """The head first, the body once the client has its answer."""
    later = threading.Event()

    def script(peer):
        while True:
            if peer.request().target != "/evil":
                peer.send(OK)
                continue
            peer.send(b"HTTP/1.1 " + evil)
            assert later.wait(20)
            later.clear()
            peer.send(EVIL_OK)
            peer.until_closed()
            return
    server = shop.origin(script)
    gw = shop.lintel(basic(server, workers=1))
    with gw.client() as client:
        assert client.request(method, target="/evil").status == int(evil[:3])
        later.set()
        wait_until(lambda: counted(gw, "upstream_bodies_dropped_total") == 1,
                   "it to be counted")
        assert server.peers[0].closed.wait(20)
        for _ in range(3):
            assert client.request(target="/fine").body == b"ok"
        # It is known for that now: no such connection is kept.
        before = len(server.peers)
        assert client.request(method, target="/evil").status == int(evil[:3])
        later.set()
        assert client.request(target="/fine").body == b"ok"
        assert len(server.peers) > before


@pytest.mark.parametrize("fields", [b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_an_empty_205_goes_on(shop, fields):
    server = shop.origin(playing({"reset": b"HTTP/1.1 205 Reset Content\r\n" + fields}))
    with shop.lintel(basic(server)).client() as client:
        assert client.request(target="/reset").status == 205


def test_a_second_response_unasked_is_not_taken_for_an_answer(shop):
    twice = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    server = shop.origin(playing({"twice": twice}))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(3):
            assert client.request(target="/twice").body == b"ok"
            assert client.request(target="/fine").body == b"ok"


def stopped(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "stat").read_text().rpartition(")")[2].split()[0] not in "Tt":
            return False
    return True


def test_a_response_that_waits_when_its_connection_is_used_again_is_no_answer(shop):
    """Both are there when the gateway gets to look, as in a busy moment. What a server says later
    than that can't be told from an answer."""
    server = shop.origin(playing({}))
    gw = shop.lintel(basic(server, workers=1))
    pid = gw.gateway_pid()
    for _ in range(5):
        with gw.client() as client:
            assert client.request().body == b"ok"
            time.sleep(0.02)
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: stopped(pid), "all threads to stop")
            try:
                for peer in server.peers:
                    with contextlib.suppress(OSError):
                        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                time.sleep(0.005)
                client.send(head("GET", "/fine"))
                time.sleep(0.005)
            finally:
                os.kill(pid, signal.SIGCONT)
            assert client.response().body == b"ok"


@pytest.mark.parametrize("method,status", [("HEAD", b"200 OK"), ("GET", b"304 Not Modified")])
def test_a_body_where_none_may_be_that_comes_late_is_no_answer(shop, method, status):
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    def late(peer):
        while True:
            if peer.request().target == "/late":
                peer.send(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)),
                          body, pause=0.05)
            else:
                peer.pause(0.1)
                peer.send(OK)
    server = shop.origin(late)
    gw = shop.lintel(basic(server, workers=1))
    with gw.client() as one, gw.client() as other:
        for _ in range(3):
            assert one.request(method, "/late").status == int(status[:3])
            assert other.request().body == b"ok"


def test_a_response_that_comes_before_its_request_is_not_used(shop):
    """A server that speaks first on an idle connection: that connection is not used again."""
    def early(peer):
        peer.request()
        peer.send(OK)
        peer.pause(0.1)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        peer.until_closed()
    server = shop.origin(early)
    with shop.lintel(basic(server)).client() as client:
        assert client.request().body == b"ok"
        wait_until(lambda: server.peers[0].closed.is_set(), "the connection to be given up")
        assert client.request().body == b"ok"
