# SPDX-License-Identifier: Apache-2.0
"""Slow clients hold no server, slow servers no memory: bodies in memory, on disk and streamed."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from lib.client import Client, chunked, fetch, head, tls_trust
from lib.configs import basic, with_tls
from lib.gateway import slowness
from lib.origin import OK, always, pattern
from lib.prometheus import Metrics
from lib.wait import wait_until

STREAM = {"match": "/stream", "to": "app", "body": {"stream": True}}


def buffers(**options):
    return {"limits": {"buffers": options}}


def metric(gateway, name):
    return Metrics(gateway.admin("/metrics").body.decode()).sum(f"lintel_{name}")


def length(n, **more):
    return {"Content-Length": str(n), **more}


def refusal(client, status, cause):
    response = client.response()
    told = json.loads(response.body)
    assert (response.status, told["cause"]) == (status, cause), told
    return response


def narrow(config, shop):
    """Adds a listener `narrow` on a Unix socket, whose kernel buffers are small and stay so: what a
    slow reader leaves is the gateway's."""
    config["listen"].append({"name": "narrow", "address": f"unix:{shop.folder}/narrow.sock"})
    return config


def reader_of(gateway, target="/"):
    """A client that has asked and does not read yet."""
    client = Client(gateway.address("narrow"), timeout=60)
    client.send(head("GET", target))
    return client


# ---- collected requests ----

def test_a_long_body_waits_on_the_disk_and_holds_no_server(shop, tmp_path):
    server, body = shop.echo(), pattern(3 << 20)
    gw = shop.lintel(basic({"address": server.address, "max": 1}, **buffers(path=str(tmp_path))))
    with gw.client() as slow:
        slow.send(head("PUT", "/", length(len(body))) + body[:-1])
        wait_until(lambda: metric(gw, "body_file_bytes") >= len(body) - (64 << 10) - 1,
                   "the body in its file")
        assert metric(gw, "body_files") == 1
        assert os.listdir(tmp_path) == []
        assert gw.get().status == 200
        assert len(server.requests) == 1
        slow.send(body[-1:])
        told = json.loads(slow.response().body)
        assert told["length"] == len(body)
    wait_until(lambda: metric(gw, "body_files") == metric(gw, "body_file_bytes") == 0,
               "the file to be closed")
    assert metric(gw, "body_files_total") == 1
    assert server.requests[-1].body == body


def test_a_short_body_needs_no_file(shop):
    gw = shop.lintel(basic(shop.echo()))
    assert gw.get(method="POST", body=pattern(60_000)).status == 200
    assert metric(gw, "body_files_total") == 0


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_a_chunked_body_leaves_with_its_length(shop, size):
    server = shop.echo()
    gw = shop.lintel(basic(server))
    body = pattern(size)
    pieces = [body[i:i + 9999] for i in range(0, size, 9999)]
    assert gw.get(method="POST", body=pieces).status == 200
    request = server.requests[0]
    assert request.headers.all("content-length") == [str(size)]
    assert "transfer-encoding" not in request.headers
    assert request.body == body


def test_a_body_that_comes_byte_by_byte_is_one_body(shop):
    server = shop.echo()
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        client.send(head("POST", "/", {"Transfer-Encoding": "chunked"}) + chunked(b"abc", b"de"),
                    bytewise=True)
        assert client.response().status == 200
    assert server.requests[0].body == b"abcde"


def test_bodies_beyond_the_disk_limit_are_refused_and_told(shop):
    gw = shop.lintel(basic(shop.echo(), **buffers(disk="1M", memory="16K")))
    with gw.client() as first, gw.client() as second:
        first.send(head("POST", "/", length(900_000)) + bytes(899_999))
        wait_until(lambda: metric(gw, "body_file_bytes") > 800_000, "the first body on disk")
        second.send(head("POST", "/", length(900_000)) + bytes(900_000))
        response = refusal(second, 503, "body_buffer_full")
        assert response.headers.get("retry-after") == "1"
        first.send(b"x")
        assert first.response().status == 200
    assert gw.get(method="POST", body=bytes(900_000)).status == 200
    wait_until(lambda: metric(gw, "body_file_bytes") == 0, "the files to be closed")


def test_without_disk_short_bodies_are_served(shop):
    gw = shop.lintel(basic(shop.echo(), **buffers(disk="0")))
    assert gw.get(method="POST", body=bytes(60_000)).status == 200
    with gw.client() as client:
        client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(bytes(70_000)))
        refusal(client, 503, "body_buffer_full")


def test_a_body_that_could_never_be_kept_is_refused_before_it_comes(shop):
    routes = [{"match": "/*", "to": "app"}, {"match": "/s", "to": "app", "body": {"stream": True}},
              {"match": "/r", "respond": {"status": 200, "body": "here"}}]
    gw = shop.lintel(basic(shop.echo(), routes=routes, **buffers(disk="1000")))
    with gw.client() as client:
        client.send(head("POST", "/", length(66_537, Expect="100-continue")))
        refusal(client, 413, "body_never_fits")
    detail = gw.access(cause="body_never_fits")[0]["detail"]
    assert detail == "limits.buffers.memory is 65536 and limits.buffers.disk is 1000"
    assert gw.get("/s", method="POST", body=bytes(70_000)).status == 200
    assert gw.get("/r", method="POST", body=bytes(70_000)).body == b"here"


def test_a_folder_that_takes_no_files_is_told(shop, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()  # at the start it has to be there
    gw = shop.lintel(basic(shop.echo(), **buffers(path=str(folder))))
    folder.rmdir()
    with gw.client() as client:
        client.send(head("POST", "/", length(200_000)) + bytes(200_000))
        refusal(client, 500, "body_buffer_io")
        assert client.ends()
    assert "No such file" in gw.access(cause="body_buffer_io")[0]["error"]
    assert gw.get(method="POST", body=bytes(1000)).status == 200


def test_a_disk_that_is_full_is_told(shop):
    """As a limit on the size of files, which a write meets as it does a full disk."""
    gw = shop.lintel(basic(shop.echo()))
    subprocess.run(["prlimit", f"--pid={gw.gateway_pid()}", "--fsize=300000"], check=True)
    with gw.client() as client:
        client.send(head("POST", "/", length(1_000_000)) + bytes(1_000_000))
        refusal(client, 500, "body_buffer_io")
    wait_until(lambda: metric(gw, "body_file_bytes") == 0, "the file to be closed")
    assert gw.get(method="POST", body=bytes(200_000)).status == 200


def test_the_413_says_which_limit_it_is(shop):
    server = shop.echo()
    gw = shop.lintel(basic(server, routes=[
        {"match": "/*", "to": "app"},
        {"match": "/small", "to": "app", "body": {"max": "10"}}]))
    for target, size, where in (("/", (10 << 20) + 1, "body.max is 10485760, set by the listener"),
                                ("/small", 11, "body.max is 10, set by the route")):
        with gw.client() as client:
            client.send(head("POST", target, length(size)))
            assert "body.max" in json.loads(refusal(client, 413, "body_too_large").body)["detail"]
        assert gw.access(path=target)[0]["detail"].startswith(where)
    assert server.received() == 0


def test_a_chunked_body_that_grows_too_large_asks_no_server(shop):
    server = shop.echo()
    gw = shop.lintel(basic(server, site={"body": {"max": "1M"}}))
    with gw.client() as client:
        client.send(head("POST", "/", {"Transfer-Encoding": "chunked"}))
        for _ in range(5):
            client.send(b"40000\r\n" + bytes(0x40000) + b"\r\n")
        refusal(client, 413, "body_too_large")
        assert client.ends()
    assert server.received() == 0
    assert gw.access(cause="body_too_large")[0]["detail"] == "body.max is 1048576, set by the site"


def test_a_client_that_goes_while_its_body_is_collected_leaves_nothing(shop):
    server = shop.echo()
    gw = shop.lintel(basic(server))
    for end in ("reset", "close", "finish_sending"):
        with gw.client() as client:
            client.send(head("POST", f"/{end}", length(900_000)) + bytes(500_000))
            wait_until(lambda: metric(gw, "body_file_bytes") > 0, "a file")
            getattr(client, end)()
            assert gw.access(path=f"/{end}")[0]["cause"] == "client_gone"
        assert metric(gw, "body_file_bytes") == 0
    assert server.received() == 0


def test_a_client_that_ends_its_direction_after_the_body_gets_its_answer(shop):
    gw = shop.lintel(basic(shop.echo()))
    with gw.client() as client:
        client.send(head("POST", "/", length(300_000)) + bytes(300_000))
        client.finish_sending()
        assert client.response().status == 200
        assert client.ends()


def forgetful(peer):
    """Serves one request and closes without a word when the next one has come whole."""
    peer.request()
    peer.send(OK)
    peer.request()


@pytest.mark.parametrize("size", [3, 50_000, 500_000])
def test_a_body_is_sent_again_when_the_used_connection_was_gone(shop, size):
    server, body = shop.origin(forgetful, always(OK)), pattern(size)
    gw = shop.lintel(basic(server, workers=1))
    assert gw.get().status == 200
    assert gw.get(method="PUT", body=body).status == 200
    assert [r.body for r in server.requests[1:]] == [body, body]
    assert gw.access(method="PUT")[0]["tries"] == 2


def test_a_body_is_not_sent_again_where_that_may_do_harm(shop):
    server = shop.origin(forgetful, always(OK))
    gw = shop.lintel(basic(server, workers=1))
    assert gw.get().status == 200
    response = gw.get(method="POST", body=bytes(300_000))
    assert json.loads(response.body)["cause"] == "closed_before_response"
    assert len(server.requests) == 2


def test_a_collected_body_goes_to_the_next_server_when_one_refuses(shop):
    server = shop.echo()
    gw = shop.lintel(basic(shop.refusing(), server, app={"balance": "round_robin"}))
    for _ in range(4):
        assert gw.get(method="POST", body=pattern(400_000)).status == 200
    assert all(r.body == pattern(400_000) for r in server.requests)


def test_a_server_that_reads_slowly_gets_the_whole_body(shop):
    def slow(peer):
        request = peer.request_head()
        go.wait(20)
        peer.reader.request_body(request)
        peer.send(OK)
    go, body = threading.Event(), pattern(5 << 20)
    server = shop.origin(slow, unix=True)
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        client.send(head("PUT", "/", length(len(body))) + body)
        wait_until(lambda: server.requests, "the head at the server")
        go.set()
        assert client.response().status == 200
    assert server.requests[0].body == body


# ---- streamed requests ----

def test_a_streamed_body_is_passed_on_as_it_comes(shop):
    server = shop.origin(always(OK))
    gw = shop.lintel(basic(server, routes=[STREAM]))
    with gw.client() as client:
        client.send(head("POST", "/stream", {"Transfer-Encoding": "chunked"}) + b"3\r\nabc\r\n")
        wait_until(lambda: server.peers and server.peers[0].received.endswith(b"3\r\nabc\r\n"),
                   "the first piece at the server")
        client.send(b"0\r\n\r\n")
        assert client.response().status == 200


def test_on_a_streaming_route_the_server_says_whether_to_continue(shop):
    def ask(peer):
        request = peer.request_head()
        peer.pause(0.2)
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.reader.request_body(request)
        peer.send(OK)
    server = shop.origin(ask)
    gw = shop.lintel(basic(server, routes=[STREAM]))
    with gw.client() as client:
        client.send(head("POST", "/stream", length(3, Expect="100-continue")))
        assert client.waits(0.1)
        status = client.reader.response_head().status
        assert status == 100
        client.send(b"abc")
        assert client.response().status == 200
    assert server.requests[0].headers.get("expect") == "100-continue"
    assert server.requests[0].body == b"abc"


def test_a_client_that_waits_to_continue_is_not_too_slow(shop):
    def ask(peer):
        request = peer.request_head()
        peer.pause(1.2)
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.reader.request_body(request)
        peer.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    config = basic(shop.origin(ask), routes=[STREAM])
    config["listen"][0]["timeouts"] = {"body": "500ms"}
    gw = shop.lintel(config)
    with gw.client() as client:
        client.send(head("POST", "/stream", length(3, Expect="100-continue")))
        assert client.reader.response_head().status == 100
        client.send(b"abc")
        assert client.response().status == 200
    with gw.client() as client:  # but one that has begun is
        client.send(head("POST", "/stream", length(3, Expect="100-continue")) + b"a")
        refusal(client, 408, "body_timeout")


def test_a_server_that_does_not_say_whether_to_continue_is_too_slow(shop):
    def silent(peer):
        peer.request_head()
        peer.until_closed()
    config = basic(shop.origin(silent), routes=[STREAM], app={"timeouts": {"first_byte": "500ms"}})
    gw = shop.lintel(config)
    with gw.client() as client:
        client.send(head("POST", "/stream", length(3, Expect="100-continue")))
        refusal(client, 504, "first_byte_timeout")
        assert client.ends()


def test_a_final_answer_instead_of_continue_ends_it(shop):
    def no(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        peer.until_closed()
    server = shop.origin(no)
    gw = shop.lintel(basic(server, routes=[STREAM]))
    with gw.client() as client:
        client.send(head("POST", "/stream", length(3, Expect="100-continue")))
        response = client.response()
        assert response.status == 401 and not response.interim
        assert response.headers.get("connection") == "close"
        assert client.ends()
    wait_until(lambda: server.peers[0].closed.is_set(), "the server's connection to be closed")


def test_on_other_routes_we_say_it_and_the_server_is_not_asked(shop):
    server = shop.echo()
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        client.send(head("POST", "/", length(3, Expect="100-continue")))
        assert client.reader.response_head().status == 100
        assert server.received() == 0
        client.send(b"abc")
        assert client.response().status == 200
    assert "expect" not in server.requests[0].headers


def test_a_streamed_body_is_not_sent_again(shop):
    server = shop.origin(forgetful, always(OK))
    gw = shop.lintel(basic(server, routes=[STREAM, {"match": "/", "to": "app"}], workers=1))
    assert gw.get().status == 200
    response = gw.get("/stream", method="PUT", body=b"abc")
    assert json.loads(response.body)["cause"] == "closed_before_response"
    assert gw.access(path="/stream")[0]["tries"] == 1


def test_many_streams_share_little_memory(shop):
    """Forty clients stream 2 MB each to servers that read slowly, with 1 MB for all of them."""
    def slow(peer):
        request = peer.request_head()
        go.wait(30)
        peer.reader.request_body(request)
        peer.send(OK)
    go, body, answers = threading.Event(), pattern(2 << 20), []
    server = shop.origin(slow, unix=True)
    gw = shop.lintel(basic(server, routes=[STREAM], **buffers(total="1M")))

    def send():
        with gw.client(timeout=60) as client:
            answers.append(client.request("POST", "/stream", body=body).status)
    threads = [threading.Thread(target=send) for _ in range(40)]
    for thread in threads:
        thread.start()
    time.sleep(1)  # what a faulty gateway would read, it has read by now
    go.set()
    for thread in threads:
        thread.join()
    assert answers == [200] * 40, gw.events()
    assert all(r.body == body for r in server.requests)


# ---- responses ----

def big_response(size):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + pattern(size)


def test_a_server_is_free_once_its_response_was_read(shop):
    server = shop.origin(always(big_response(1 << 20)))
    gw = shop.lintel(narrow(basic({"address": server.address, "max": 1}), shop))
    slow = reader_of(gw)
    wait_until(lambda: server.requests, "the request at the server")
    wait_until(lambda: gw.get().status == 200, "the server to be free")
    assert slow.response().body == pattern(1 << 20)
    slow.close()


def test_what_is_read_ahead_of_a_client_is_an_option(shop):
    server = shop.origin(always(big_response(1 << 20)), unix=True)
    gw = shop.lintel(narrow(basic({"address": server.address, "max": 1},
                                  app={"queue": {"size": 0}}, **buffers(response="64K")), shop))
    with reader_of(gw):
        wait_until(lambda: server.requests, "the request at the server")
        time.sleep(0.3)
        assert json.loads(gw.get().body)["cause"] == "servers_busy"


SLOW_READERS = 200


def test_slow_readers_share_the_memory_and_none_fails(shop):
    """Many more bytes wait than there is memory for; others are served meanwhile."""
    size = 1 << 20
    server = shop.origin(always(big_response(size)), unix=True)
    fast = shop.echo()
    config = narrow(basic(server, **buffers(total="2M")), shop)
    config["upstreams"]["fast"] = {"servers": [fast.address]}
    config["sites"][0]["routes"].append({"match": "/fast", "to": "fast"})
    gw = shop.lintel(config)
    readers = [reader_of(gw) for _ in range(SLOW_READERS)]
    wait_until(lambda: len(server.requests) == SLOW_READERS, "all requests at the server")
    times = []
    for _ in range(100):
        began = time.monotonic()
        assert gw.get("/fast").status == 200
        times.append(time.monotonic() - began)
    assert sorted(times)[98] < 0.1 * slowness()
    for reader in readers:
        assert reader.response().body == pattern(size)
        reader.close()
    assert not [e for e in gw.access(SLOW_READERS + 100) if "cause" in e]


def test_slow_readers_over_tls_share_the_memory_too(shop, authority):
    size = 1 << 20
    server = shop.origin(always(big_response(size)), unix=True)
    cert, key = authority.leaf("localhost")
    gw = shop.lintel(with_tls(basic(server, **buffers(total="1M")), cert, key))
    trust = tls_trust(authority.ca)
    readers = []
    for _ in range(30):
        readers.append(Client(gw.secure, trust=trust))
        readers[-1].send(head("GET", "/"))
    wait_until(lambda: len(server.requests) == 30, "all requests at the server")
    time.sleep(0.3)
    for reader in readers:
        assert reader.response().body == pattern(size)
        reader.close()


@pytest.mark.parametrize("framing, kind", [
    ("Transfer-Encoding: chunked", "text/event-stream"),
    ("Connection: close", "text/event-stream"),
    ("Transfer-Encoding: chunked", "text/plain"),
    ("Content-Length: 90", "text/plain"),
])
def test_each_piece_of_a_response_leaves_at_once(shop, framing, kind):
    """Head and events, each when it comes: nothing waits for more."""
    def events(peer):
        peer.request()
        peer.send(f"HTTP/1.1 200 OK\r\n{framing}\r\nContent-Type: {kind}\r\n"
                  "X-Accel-Buffering: no\r\n\r\n".encode())
        step.wait(10)
        for i in range(9):
            step.clear()
            piece = b"data: %02d\n\n" % i
            sent.append(time.monotonic())
            peer.send(b"a\r\n" + piece + b"\r\n" if "chunked" in framing else piece)
            step.wait(10)
        if "chunked" in framing:
            peer.send(b"0\r\n\r\n")
    step, sent = threading.Event(), []
    server = shop.origin(events)
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        client.send(head("GET", "/"))
        response = client.reader.response_head()
        assert "x-accel-buffering" not in response.headers
        step.set()
        data, late = b"", []
        for i in range(9):
            while b"data: %02d\n\n" % i not in data:
                data += client.sock.recv(1000)
            late.append(time.monotonic() - sent[i])
            step.set()
        assert max(late) < 0.05 * slowness(), late


# ---- the bound ----

def test_heads_in_progress_have_one_limit(shop):
    """Sixty heads of 28 KB that don't end are more than a megabyte."""
    gw = shop.lintel(basic(shop.echo(), limits={"heads": "1M"}))
    part = head("GET", "/", {"X": "a" * 28_000})[:-2]
    waiting = []
    for _ in range(60):
        client = gw.client()
        waiting.append(client)
        for i in range(0, len(part), 7000):
            client.send(part[i:i + 7000])
            time.sleep(0.001)
    line = wait_until(lambda: gw.access(cause="out_of_memory"), "a refusal")[0]
    assert line["status"] == 503
    refused = [c for c in waiting if not c.waits(0.01)]
    assert 0 < len(refused) < 50
    for client in waiting:
        client.close()
    wait_until(lambda: gw.get(headers={"X": "a" * 20_000}).status == 200, "room for heads again")


def test_the_bound_is_told_and_sane(shop):
    gw = shop.lintel(basic(shop.echo()))
    told = gw.wait_event("memory_bound")
    parts = [mb for part, mb in told.items() if part.endswith("_mb") and part != "total_mb"]
    assert told["buffers_mb"] == 48 and told["heads_mb"] == 128
    assert sum(parts) <= told["total_mb"] <= sum(parts) + len(parts)
    assert told["total_mb"] < 600


def test_limits_of_memory_follow_a_reload(shop):
    config = basic(shop.echo())
    gw = shop.lintel(config)
    assert gw.get(method="POST", body=bytes(500_000)).status == 200
    config["limits"] = {"buffers": {"disk": "0", "memory": "100K"}}
    gw.reload(config)
    assert gw.get(method="POST", body=bytes(100_000)).status == 200
    assert gw.get(method="POST", body=bytes(500_000)).status == 413


# ---- the whole way, with a real application server ----

APP = """
def app(environ, start_response):
    body = b"x" * (1 << 20) if environ["PATH_INFO"] == "/big" else b"ok"
    start_response("200 OK", [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]
"""


def test_a_gunicorn_sync_worker_is_free_while_a_slow_client_still_reads(shop, tmp_path):
    (tmp_path / "sync_app.py").write_text(APP)
    path = tmp_path / "g.sock"
    server = subprocess.Popen([sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}",
                               "--workers", "1", "--log-level", "warning", "sync_app:app"],
                              cwd=tmp_path)
    try:
        def answers():
            assert server.poll() is None
            try:
                return fetch(str(path), "/").status == 200
            except OSError:
                return False
        wait_until(answers, "gunicorn to start", 60, 0.05)
        gw = shop.lintel(narrow(basic({"address": f"unix:{path}", "max": 1},
                                      app={"preset": "gunicorn"}), shop))
        with reader_of(gw, "/big") as slow:
            got = len(slow.sock.recv(1000))
            began = time.monotonic()
            wait_until(lambda: gw.get().status == 200, "the worker to be free", 5)
            took = time.monotonic() - began
            for _ in range(10):  # 10 KB/s for a second: it goes on reading, nobody waits for it
                got += len(slow.sock.recv(1024))
                assert gw.get().status == 200
                time.sleep(0.1)
            assert took < 0.5 * slowness() and got < 1 << 20
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
