# SPDX-License-Identifier: Apache-2.0
"""Other tries: what is sent again, where to, how often, and what never is."""
import json
import re
import socket
import struct
import threading
import time

import pytest
from h2.errors import ErrorCodes

from lib.configs import basic
from lib.gateway import command, text_of
from lib.h2_origin import h2_script
from lib.origin import OK, always, answer
from lib.wait import wait_until

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
TURNS = {"balance": "round_robin"}


def app_of(**retry):
    return {**TURNS, "retry": retry}


def cause(response):
    return json.loads(response.body)["cause"]


def closes(peer):
    """Reads a request whole and closes."""
    peer.request()


def both(shop, script, **retry):
    """A server with this script and one that is well, in turns; and the gateway."""
    bad, good = shop.origin(script), shop.echo("good")
    return bad, good, shop.lintel(basic(bad, good, app=app_of(**retry), workers=1))


# ---- what is worth another try ----

@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_connection_that_closes_before_the_answer(shop, method):
    """What a worker that is killed leaves behind."""
    bad, good, gw = both(shop, closes)
    for _ in range(4):
        response = gw.get(method=method, body=b"x" if method == "PUT" else None)
        assert response.status == 200 and json.loads(response.body)["app"] == "good"
    assert len(bad.requests) == 2 and len(good.requests) == 4
    lines = gw.access(4)
    assert sorted(line["tries"] for line in lines) == [1, 1, 2, 2]
    assert {line.get("recovered") for line in lines} == {None, "closed_before_response"}


def test_a_post_that_was_read_is_sent_twice_only_by_the_operators_will(shop):
    bad, good, gw = both(shop, closes)
    assert sorted(gw.get(method="POST", body=b"x").status for _ in range(4)) == [200, 200, 502, 502]
    assert (len(bad.requests), len(good.requests)) == (2, 2)
    bad, good, gw = both(shop, closes, unsafe=True)
    assert [gw.get(method="POST", body=b"x").status for _ in range(4)] == [200] * 4
    assert (len(bad.requests), len(good.requests)) == (2, 4)


def test_nothing_is_tried_again_when_no_word_says_so(shop):
    bad, good = shop.origin(closes), shop.echo("good")
    gw = shop.lintel(basic(bad, good, shop.refusing(), app=app_of(when=[]), workers=1))
    assert sorted(gw.get().status for _ in range(3)) == [200, 502, 502]
    assert (len(bad.requests), len(good.requests)) == (1, 1)


def test_a_broken_response_is_not_asked_for_again(shop):
    """The next one would be the same."""
    bad, good, gw = both(shop, always(b"garbage\r\n\r\n"))
    assert sorted(gw.get().status for _ in range(2)) == [200, 502]
    assert (len(bad.requests), len(good.requests)) == (1, 1)


def test_a_status_on_the_list_goes_to_another_server(shop):
    bad, good, gw = both(shop, always(BUSY), when=["503"])
    for _ in range(4):
        assert json.loads(gw.get().body)["app"] == "good"
    assert len(bad.requests) == 2
    lines = gw.access(4)
    assert sorted((line["tries"], line.get("recovered", 0)) for line in lines) == [
        (1, 0), (1, 0), (2, 503), (2, 503)]
    assert all(line["upstream_status"] == 200 and "cause" not in line for line in lines)


def test_a_status_that_the_client_never_saw_counts_for_the_servers_health(shop):
    bad, good = shop.origin(always(BUSY)), shop.echo("good")
    gw = shop.lintel(basic(bad, good, workers=1, app={
        **app_of(when=["503"]), "outliers": {"errors": 3, "time": "1m"}}))
    assert [gw.get().status for _ in range(20)] == [200] * 20
    assert len(bad.requests) == 3


def test_other_statuses_do_not(shop):
    bad, _, gw = both(shop, always(BUSY), when=["502", "504"])
    assert sorted(gw.get().status for _ in range(2)) == [200, 503]
    assert len(bad.requests) == 1


def test_a_post_is_not_sent_again_for_a_status(shop):
    """A 503 doesn't say that nothing was done."""
    bad, good, gw = both(shop, always(BUSY), when=["503"])
    responses = [gw.get(method="POST", body=b"x") for _ in range(2)]
    assert sorted(r.status for r in responses) == [200, 503]
    assert b"busy" in [r.body for r in responses]
    assert (len(bad.requests), len(good.requests)) == (1, 1)


def test_the_last_servers_status_is_the_answer(shop):
    servers = [shop.origin(always(BUSY)) for _ in range(2)]
    gw = shop.lintel(basic(*servers, app=app_of(when=["503"], attempts=5), workers=1))
    response = gw.get()
    assert (response.status, response.body) == (503, b"busy")
    assert [len(s.requests) for s in servers] == [1, 1]
    assert gw.access()[0]["tries"] == 2


def test_too_many_requests_of_a_client_are_not_sent_elsewhere(shop):
    limited = (b"HTTP/1.1 429 Too Many Requests\r\n%sContent-Length: 0\r\n\r\n")
    _, _, gw = both(shop, always(limited % b"Retry-After: 30\r\n"), when=["429"])
    responses = [gw.get() for _ in range(2)]
    assert sorted(r.status for r in responses) == [200, 429]
    assert "30" in [r.headers.get("retry-after") for r in responses]
    _, _, gw = both(shop, always(limited % b""), when=["429"])
    assert [gw.get().status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_body_is_sent_again_whole(shop, size):
    bad, good, gw = both(shop, always(BUSY), when=["503"])
    body = bytes(range(256)) * (size // 256 + 1)
    for _ in range(2):
        assert gw.get(method="PUT", body=body).status == 200
    assert bad.requests[0].body == body and [r.body for r in good.requests] == [body, body]


def test_a_refused_stream_is_sent_again_unless_the_list_says_otherwise(shop):
    @h2_script
    def refusing(h2):
        h2.reset(h2.request(), ErrorCodes.REFUSED_STREAM)
        while True:
            h2.respond(h2.request(), 200, body=b"ok")
    origin = shop.origin(refusing)
    app = {"protocol": "h2c", "retry": {"when": ["refused_stream"]}}
    gw = shop.lintel(basic(origin, app=app, workers=1))
    assert gw.get(method="POST", body=b"x").body == b"ok"


def test_a_small_response_of_http2_that_is_cut_is_asked_for_again(shop):
    @h2_script
    def cut(h2):
        stream = h2.request()
        h2.conn.send_headers(stream.number, [(":status", "200"), ("content-length", "10")])
        h2.conn.send_data(stream.number, b"abc")
        h2.flush()
        h2.peer.pause(0.02)

    @h2_script
    def well(h2):
        while True:
            h2.respond(h2.request(), 200, body=b"0123456789")
    origin = shop.origin(cut, well)
    gw = shop.lintel(basic(origin, app={"protocol": "h2c", "hold": {"wait": "5s"}}, workers=1))
    assert gw.get().body == b"0123456789"
    assert gw.access()[0]["recovered"] == "response_cut"


# ---- where to ----

class Many:
    """One listener for all of 127.0.0.0/8: each address of it is a server of its own, which reads a
    request and closes. `got` are the addresses in their order."""

    def __init__(self):
        self.got = []
        self.listener = socket.socket()
        self.listener.bind(("0.0.0.0", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.got.append(sock.getsockname()[0])
            sock.recv(65536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@pytest.mark.parametrize("balance", ["p2c", "round_robin"])
def test_no_server_is_asked_twice_while_there_are_others(shop, balance):
    """However many there are."""
    many = Many()
    shop.finally_(many.stop)
    servers = [{"address": f"127.0.{i // 250 + 1}.{i % 250 + 1}:{many.port}"} for i in range(300)]
    gw = shop.lintel(basic(*servers, workers=1, app={
        "balance": balance, "retry": {"attempts": 10, "budget": "100%", "budget_min": 1000}}))
    for _ in range(10):
        many.got.clear()
        assert cause(gw.get()) == "reset_before_response"
        assert len(many.got) == 10 == len(set(many.got))


def test_a_single_server_is_asked_again(shop):
    """There may be other processes behind it."""
    server = shop.origin(closes, always(OK))
    gw = shop.lintel(basic(server, workers=1))
    assert gw.get().body == b"ok"
    assert gw.access()[0]["tries"] == 2


def test_the_first_failure_is_told_also_when_a_later_try_fails_otherwise(shop):
    """An application that a request ends, and that isn't back in time."""
    def crashes(peer):
        peer.request()
        server.stop()
    server = shop.origin(crashes)
    gw = shop.lintel(basic(server, workers=1, app={"queue": {"restart": "100ms"}}))
    assert cause(gw.get()) == "connect_refused_by_server"
    line = gw.access()[0]
    assert line["first_cause"] == "closed_before_response" and "recovered" not in line


def test_a_first_status_is_told_when_a_later_try_fails(shop):
    bad = shop.origin(always(BUSY))
    gw = shop.lintel(basic(bad, shop.origin(closes), workers=1, app=app_of(when=["503"])))
    gw.get()
    gw.get()
    lines = gw.access(2)
    assert [line.get("first_cause") for line in lines if line["tries"] == 2] == [503], lines


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("protocol", ["h1", "h2c"])
def test_a_request_that_ends_servers_is_tried_once_more_at_most(shop, protocol, used):
    """Each further try may cost another worker of the application."""
    def killed(peer):
        if used and not peer.number:
            peer.request()
            peer.send(OK)
        peer.request()

    @h2_script
    def killed2(h2):
        if used and not h2.peer.number:
            h2.respond(h2.request(), 200, body=b"ok")
        h2.request()
    server = shop.origin(killed if protocol == "h1" else killed2)
    gw = shop.lintel(basic(server, workers=1, app={
        "protocol": protocol, "retry": {"attempts": 10, "budget": "100%", "budget_min": 1000}}))
    if used:
        assert gw.get().status == 200
    assert cause(gw.get()) in ("closed_before_response", "reset_before_response")
    # A used connection may have been about to close: that is one more.
    assert gw.access(status=502)[0]["tries"] == (3 if used else 2)


@pytest.mark.parametrize("used", [False, True])
def test_a_request_that_ends_a_server_after_a_while_is_not_tried_again(shop, used):
    """It is what kills the server: each further try would cost another of its workers."""
    def killed(peer):
        if used:
            peer.request()
            peer.send(OK)
        peer.request()
        peer.pause(6)
    server = shop.origin(killed)
    gw = shop.lintel(basic(server, workers=1, app={"retry": {"attempts": 5}}))
    if used:
        assert gw.get().status == 200
    assert cause(gw.get()) == "closed_before_response"
    assert len(server.requests) == 1 + used
    line = gw.access(status=502)[0]
    assert line["tries"] == 1 and "retry" not in line["detail"], line
    assert re.match(r"closed by the server (\d+) ms after", line["detail"])


def test_a_failure_tells_how_long_its_own_try_took(shop):
    """Not the tries before it, nor the time in the queue."""
    def late(peer):
        peer.request()
        peer.pause(3)
    server = shop.origin(late, closes)
    gw = shop.lintel(basic(server, workers=1))
    assert cause(gw.get()) == "closed_before_response"
    line = gw.access()[0]
    took = re.match(r"closed by the server (\d+) ms after the exchange came to it, try 2",
                    line["detail"])
    assert took and int(took[1]) < 2000 and line["duration_ms"] >= 2900, line


def test_a_server_that_is_up_is_asked_again_rather_than_one_that_is_not(shop):
    server = shop.origin(answer(OK, OK), closes, always(OK))
    gw = shop.lintel(basic(shop.refusing(), server, app=app_of(attempts=3), workers=1))
    for _ in range(2):
        assert gw.get(method="OPTIONS").status == 200  # the other one is known to refuse
    wait_until(lambda: server.peers[0].closed.is_set(), "the end of the idle connection")
    response = gw.get()
    assert response.body == b"ok", gw.access(3)[-1]
    assert len(server.requests) == 4


def test_a_server_that_took_the_connection_is_asked_again_when_the_other_refuses(shop):
    server = shop.origin(closes, always(OK))
    gw = shop.lintel(basic(server, shop.refusing(), app=app_of(attempts=3), workers=1))
    assert gw.get().body == b"ok"
    assert gw.access()[0]["tries"] <= 3 and len(server.requests) == 2


# ---- how long ----

def late(seconds):
    def script(peer):
        while True:
            peer.request()
            peer.pause(seconds)
            peer.send(OK)
    return script


def test_a_server_that_takes_too_long_for_a_try(shop):
    slow, good, gw = both(shop, late(5), per_try="200ms")
    began = time.monotonic()
    assert [gw.get().status for _ in range(4)] == [200] * 4
    assert time.monotonic() - began < 3
    assert len(slow.requests) == 2 and len(good.requests) == 4
    assert "first_byte_timeout" in [line.get("recovered") for line in gw.access(4)]


def test_a_post_has_all_the_time(shop):
    slow, good, gw = both(shop, late(0.6), per_try="100ms")
    assert [gw.get(method="POST", body=b"x").status for _ in range(2)] == [200, 200]
    assert (len(slow.requests), len(good.requests)) == (1, 1)


def test_the_last_try_has_the_rest_of_the_time(shop):
    servers = [shop.origin(late(0.6)) for _ in range(2)]
    gw = shop.lintel(basic(*servers, app=app_of(per_try="100ms"), workers=1))
    assert gw.get().body == b"ok"
    assert gw.access()[0]["tries"] == 2


def test_a_try_without_another_server_has_the_rest_of_the_time(shop):
    server = shop.origin(late(0.5))
    gw = shop.lintel(basic(server, app={"retry": {"per_try": "100ms"},
                                        "timeouts": {"first_byte": "5s"}}, workers=1))
    assert gw.get().body == b"ok" and len(server.requests) == 1
    server = shop.origin(late(5))
    gw = shop.lintel(basic(server, app={"retry": {"per_try": "100ms"},
                                        "timeouts": {"first_byte": "400ms"}}, workers=1))
    began = time.monotonic()
    assert cause(gw.get()) == "first_byte_timeout"
    assert 0.35 < time.monotonic() - began < 2


def test_a_timeout_goes_to_another_server_where_the_list_says_so(shop):
    slow, good = shop.origin(late(5)), shop.echo("good")
    config = basic(slow, good, workers=1, app={
        **app_of(when=["timeout"]), "timeouts": {"first_byte": "200ms"}})
    gw = shop.lintel(config)
    assert [gw.get().status for _ in range(2)] == [200, 200]
    assert sorted(gw.get(method="POST", body=b"x").status for _ in range(2)) == [200, 504]


def test_the_whole_exchange_ends_in_time_whatever_is_left_to_try(shop):
    servers = [shop.origin(late(5)) for _ in range(4)]
    gw = shop.lintel(basic(*servers, app=app_of(per_try="200ms", attempts=10), workers=1,
                           routes=[{"match": "/*", "to": "app", "timeouts": {"total": "500ms"}}]))
    began = time.monotonic()
    assert cause(gw.get()) == "deadline"
    assert time.monotonic() - began < 2
    assert gw.access()[0]["tries"] == 3


# ---- how often ----

def test_the_budget_is_a_share_of_the_requests(shop):
    bad, _, gw = both(shop, closes, budget="50%", budget_min=0)
    statuses = [gw.get().status for _ in range(8)]
    assert statuses.count(200) > 4 and len(bad.requests) == 4
    dead = [shop.origin(closes) for _ in range(2)]
    gw = shop.lintel(basic(*dead, app=app_of(budget="20%", budget_min=2), workers=1))
    told = [cause(gw.get()) for _ in range(20)]
    assert told[:2] == ["closed_before_response"] * 2
    assert told.count("closed_before_response") == 4 and told.count("retry_budget_spent") == 16
    assert sum(len(d.requests) for d in dead) == 24


def test_retry_budget_spent(shop):
    _, _, gw = both(shop, closes, budget="0%", budget_min=0)
    response = next(r for r in (gw.get(), gw.get()) if r.status != 200)
    told = json.loads(response.body)
    assert (response.status, told["cause"]) == (502, "retry_budget_spent")
    assert 'details="retry_budget_spent"' in response.headers.get("proxy-status")
    line = gw.access(id=told["request_id"])[0]
    assert line["detail"] == ("closed_before_response; retry.budget is 0.00% and retry.budget_min "
                              "is 0")


def test_the_budget_is_not_for_what_no_server_saw(shop):
    gw = shop.lintel(basic(shop.refusing(), shop.echo(), app=app_of(budget="0%", budget_min=0)))
    assert [gw.get().status for _ in range(6)] == [200] * 6


def test_a_status_is_passed_on_when_the_budget_is_spent(shop):
    _, _, gw = both(shop, always(BUSY), when=["503"], budget="0%", budget_min=0)
    assert sorted(gw.get().status for _ in range(2)) == [200, 503]


# ---- configuration ----

@pytest.mark.parametrize("word", ["503x", "399", "600", "resets", "-1", ""])
def test_words_that_mean_nothing(shop, word):
    config = basic(shop.echo(), app={"retry": {"when": ["connect", word]}})
    path = shop.folder / "bad.yaml"
    path.write_text(text_of(config))
    result = command("check", "-c", str(path))
    assert result.returncode != 0
    assert "nothing that another try is made for" in result.stdout + result.stderr
