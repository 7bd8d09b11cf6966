# SPDX-License-Identifier: Apache-2.0
"""gRPC through Lintel: python3-grpcio as client and server, and scripted servers for what a real
one doesn't do."""
import hashlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from h2.errors import ErrorCodes
from hyperframe import frame as frames

from lib.configs import basic
from lib.h2_origin import h2_script
from lib.wait import wait_until

APP = Path(__file__).parent / "lib" / "grpc_app.py"
MESSAGES = 10_000
TIMEOUT = 60


class App:
    """The application as a program of its own."""

    def __init__(self, address="127.0.0.1:0"):
        self.process = subprocess.Popen([sys.executable, str(APP), address],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.address = f"127.0.0.1:{int(self.process.stdout.readline())}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def app(shop):
    made = App()
    shop.finally_(made.stop)
    return made


class Calls:
    """The methods of t.T over one channel."""

    def __init__(self, gateway):
        host, port = gateway.plain
        self.channel = grpc.insecure_channel(f"{host}:{port}", options=(
            ("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1),
            ("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1)))

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.channel.close()

    def unary(self, name, request=b"", **options):
        options.setdefault("timeout", TIMEOUT)
        return self.channel.unary_unary(f"/t.T/{name}").with_call(request, **options)

    def up(self, name, requests, **options):
        options.setdefault("timeout", TIMEOUT)
        return self.channel.stream_unary(f"/t.T/{name}")(requests, **options)

    def down(self, name, request=b"", **options):
        options.setdefault("timeout", TIMEOUT)
        return self.channel.unary_stream(f"/t.T/{name}")(request, **options)

    def both(self, name, requests, **options):
        options.setdefault("timeout", TIMEOUT)
        return self.channel.stream_stream(f"/t.T/{name}")(requests, **options)


def config(*servers, routes=None, app=None, **options):
    made = basic(*servers, app={"protocol": "h2c", **(app or {})}, routes=routes, **options)
    made["listen"][0]["http2"] = {"cleartext": True}
    return made


def gateway(shop, *servers, **options):
    return shop.lintel(config(*servers, **options))


def refused(function, *args, **options):
    """The status of a call that has to fail."""
    with pytest.raises(grpc.RpcError) as error:
        result = function(*args, **options)
        if not isinstance(result, tuple):
            list(result)
    return error.value.code(), error.value.details()


# ---- what passes ----

def test_unary(shop, app):
    with Calls(gateway(shop, app)) as calls:
        for size in (0, 1, 16384, 1_000_000):
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            response, call = calls.unary("Echo", body)
            assert response == body and call.code() is grpc.StatusCode.OK


def test_a_stream_of_messages_up(shop, app):
    with Calls(gateway(shop, app)) as calls:
        seen = json.loads(calls.up("Sum", (b"%d" % i for i in range(MESSAGES))))
    digest = hashlib.sha256(b"".join(b"%d" % i for i in range(MESSAGES))).hexdigest()
    assert seen == {"count": MESSAGES, "sha256": digest}


def test_a_stream_of_messages_down(shop, app):
    with Calls(gateway(shop, app)) as calls:
        assert list(calls.down("Count", b"%d" % MESSAGES)) == [b"%d" % i for i in range(MESSAGES)]


def test_streams_of_messages_both_ways(shop, app):
    with Calls(gateway(shop, app)) as calls:
        sent = [b"%d" % i for i in range(MESSAGES)]
        assert list(calls.both("Chat", iter(sent))) == sent


def test_each_message_passes_at_once(shop, app):
    said = threading.Semaphore(0)

    def ask():
        for i in range(20):
            said.acquire()
            yield b"%d" % i
    with Calls(gateway(shop, app)) as calls:
        said.release()
        answers = calls.both("Chat", ask())
        for i in range(20):
            assert next(answers) == b"%d" % i
            said.release()


def test_metadata_in_both_directions(shop, app):
    with Calls(gateway(shop, app)) as calls:
        response, call = calls.unary("Meta", metadata=(("x-mine", "1"), ("x-some-bin", b"\0\1\xff")))
        seen = json.loads(response)["metadata"]
        assert seen["x-mine"] == "1" and seen["x-some-bin"] == "0001ff"
        assert seen["x-forwarded-for"].startswith("127.")
        assert dict(call.initial_metadata())["x-initial"] == "1"
        trailing = dict(call.trailing_metadata())
        assert trailing["x-trailing"] == "2" and trailing["x-trace-bin"] == b"\0\xff"


def test_statuses_of_the_application_pass(shop, app):
    gw = gateway(shop, app)
    with Calls(gw) as calls:
        assert refused(calls.unary, "Abort", b"NOT_FOUND no such thing") == (
            grpc.StatusCode.NOT_FOUND, "no such thing")
        assert refused(calls.unary, "Nothing")[0] is grpc.StatusCode.UNIMPLEMENTED
        calls.unary("Echo")
    assert [line["grpc_status"] for line in gw.access(3)] == ["5", "12", "0"]


def test_many_calls_share_few_connections(shop, app):
    gw = gateway(shop, app, workers=1)
    with Calls(gw) as calls:
        futures = [calls.channel.unary_unary("/t.T/Sleep").future(b"200", timeout=TIMEOUT)
                   for _ in range(50)]
        assert {f.result() for f in futures} == {b"late"}
        assert calls.unary("Echo", b"x")[0] == b"x"
    assert len(gw.access(51, status=200)) == 51


def test_a_client_that_cancels(shop):
    @h2_script
    def script(h2):
        stream = h2.head()
        h2.headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        h2.wait(lambda: stream.reset is not None)
        h2.gone = stream.reset
        h2.until_closed()
    origin = shop.origin(script)
    with Calls(gateway(shop, origin)) as calls:
        answers = calls.down("Count", b"1")
        wait_until(lambda: origin.requests, "the call")
        answers.cancel()
        wait_until(lambda: getattr(origin.peers[0].h2, "gone", None) == ErrorCodes.CANCEL,
                   "RST_STREAM at the server")


# ---- deadlines ----

def test_the_server_hears_of_the_deadline(shop, app):
    with Calls(gateway(shop, app)) as calls:
        left = json.loads(calls.unary("Meta", timeout=30)[0])["left"]
        assert 20 < left < 30.3  # the client rounds up to tenths of a second


def test_the_servers_deadline_is_the_shorter_one(shop, app):
    gw = gateway(shop, app, routes=[{"match": "/*", "to": "app", "timeouts": {"total": "9s"}}])
    with Calls(gw) as calls:
        assert json.loads(calls.unary("Meta", timeout=30)[0])["left"] < 9.3


def test_deadline_exceeded(shop, app):
    with Calls(gateway(shop, app)) as calls:
        code, _ = refused(calls.unary, "Sleep", b"5000", timeout=0.3)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert calls.unary("Echo", b"x")[0] == b"x"


@h2_script
def stuck(h2):
    """Takes every request and answers none."""
    h2.until_closed()


def test_we_say_that_the_deadline_is_exceeded(shop):
    gw = gateway(shop, shop.origin(stuck),
                 routes=[{"match": "/*", "to": "app", "timeouts": {"total": "300ms"}}])
    with Calls(gw) as calls:
        code, text = refused(calls.unary, "Sleep", b"1")
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED and text.endswith("(deadline)")
    line = gw.access(cause="deadline")[0]
    assert (line["status"], line["grpc_status"]) == (200, "4")


def test_a_deadline_in_the_middle_of_a_response(shop):
    @h2_script
    def script(h2):
        stream = h2.request()
        h2.headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        h2.data(stream, b"\0\0\0\0\3one")
        h2.until_closed()
    gw = gateway(shop, shop.origin(script),
                 routes=[{"match": "/*", "to": "app", "timeouts": {"total": "500ms"}}])
    with Calls(gw) as calls:
        answers = calls.down("Count", b"1")
        assert next(answers) == b"one"
        with pytest.raises(grpc.RpcError) as error:
            next(answers)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


# ---- how long a call may take, and how long it may be ----

HASTY = {"timeouts": {"body": "200ms"}, "body": {"grace": "200ms", "min_rate": "1K"}}


def hasty(*servers, app=None, **options):
    """All the limits that hold for other requests, and shorter than these calls."""
    made = config(*servers, app={"timeouts": {"first_byte": "200ms", "idle": "200ms"},
                                 **(app or {})}, **options)
    made["listen"][0].update(HASTY)
    return made


def test_a_client_that_is_silent_for_long(shop, app):
    def slowly():
        for i in range(3):
            yield b"%d" % i
            time.sleep(0.7)
    with Calls(shop.lintel(hasty(app))) as calls:
        assert list(calls.both("Chat", slowly())) == [b"0", b"1", b"2"]
        assert json.loads(calls.up("Sum", slowly()))["count"] == 3


def test_a_server_that_thinks_for_long(shop, app):
    with Calls(shop.lintel(hasty(app))) as calls:
        assert calls.unary("Sleep", b"700", timeout=None)[0] == b"late"
        assert calls.unary("Sleep", b"700", timeout=10)[0] == b"late"


def test_a_call_may_be_longer_than_other_bodies(shop, app):
    gw = gateway(shop, app, routes=[{"match": "/*", "to": "app", "body": {"max": "100K"}}])
    with Calls(gw) as calls:
        assert json.loads(calls.up("Sum", (b"x" * 50_000 for _ in range(10))))["count"] == 10
    response = gw.get("/t.T/Echo", method="POST", body=b"x" * 200_000)
    assert response.status == 413


@pytest.mark.parametrize("answered", [False, True], ids=["before", "within"])
def test_a_call_in_which_nobody_says_anything(shop, answered):
    @h2_script
    def script(h2):
        stream = h2.head()
        if answered:
            h2.headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            h2.data(stream, b"\0\0\0\0\3one")
        h2.until_closed()
    gw = gateway(shop, shop.origin(script),
                 routes=[{"match": "/*", "to": "app", "timeouts": {"tunnel": "500ms"}}])
    over = threading.Event()

    def quiet():
        yield b"hello"
        over.wait(20)
    with Calls(gw) as calls:
        answers = calls.both("Chat", quiet())
        with pytest.raises(grpc.RpcError) as error:
            list(answers)
        over.set()
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error.value.details().endswith("(call_silent)")
    line = gw.access(cause="call_silent")[0]
    assert (line["status"], line["grpc_status"]) == (200, "14")


def test_a_client_that_speaks_keeps_the_call_open(shop):
    """While the server only listens."""
    @h2_script
    def script(h2):
        stream = h2.head()
        h2.headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        h2.wait(lambda: stream.ended)
        h2.headers(stream, [("grpc-status", "0")], end=True)
        h2.until_closed()
    gw = gateway(shop, shop.origin(script),
                 routes=[{"match": "/*", "to": "app", "timeouts": {"tunnel": "500ms"}}])

    def slowly():
        for i in range(6):
            yield b"%d" % i
            time.sleep(0.2)
    with Calls(gw) as calls:
        assert not list(calls.both("Chat", slowly()))


def test_a_server_of_http1_is_spared_slow_clients_that_call(shop):
    """It couldn't answer a call: the limits of other requests hold."""
    made = hasty(shop.echo(), app={"protocol": "h1"})
    gw = shop.lintel(made)
    over = threading.Event()

    def quiet():
        yield b"hello"
        over.wait(20)
    with Calls(gw) as calls:
        code, text = refused(calls.both, "Chat", quiet())
        over.set()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert text.endswith(("(body_too_slow)", "(body_timeout)"))


# ---- errors of ours ----

@pytest.mark.parametrize("status,code", [
    (401, grpc.StatusCode.UNAUTHENTICATED),
    (403, grpc.StatusCode.PERMISSION_DENIED),
    (404, grpc.StatusCode.UNIMPLEMENTED),
    (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (500, grpc.StatusCode.INTERNAL),
    (503, grpc.StatusCode.UNAVAILABLE),
])
def test_answers_of_routes(shop, app, status, code):
    gw = gateway(shop, app, routes=[{"match": "/t.T/Echo", "respond": {"status": status}},
                                    {"match": "/*", "to": "app"}])
    with Calls(gw) as calls:
        assert refused(calls.unary, "Echo")[0] is code


def test_no_route(shop, app):
    gw = gateway(shop, app, routes=[{"match": "/t.T/Echo", "to": "app"}])
    with Calls(gw) as calls:
        code, text = refused(calls.unary, "Nothing")
        assert code is grpc.StatusCode.UNIMPLEMENTED and text.endswith("(route_unknown)")


def test_no_server(shop):
    with Calls(gateway(shop, shop.refusing(), app={"queue": {"restart": 0}})) as calls:
        code, text = refused(calls.unary, "Echo")
        assert code is grpc.StatusCode.UNAVAILABLE
        assert text.endswith("(connect_refused_by_server)")


def test_the_text_of_a_route_that_refuses(shop, app):
    gw = gateway(shop, app, routes=[{"match": "/t.T/Echo", "respond": {"status": 403}},
                                    {"match": "/*", "to": "app"}])
    with Calls(gw) as calls:
        assert refused(calls.unary, "Echo") == (grpc.StatusCode.PERMISSION_DENIED, "Forbidden")


def test_a_server_killed_before_it_answers(shop, app):
    gw = gateway(shop, app)
    with Calls(gw) as calls:
        code, text = refused(calls.unary, "Die")
        assert code is grpc.StatusCode.UNAVAILABLE
        assert text.endswith(("(closed_before_response)", "(reset_before_response)"))


def test_a_server_killed_in_the_middle(shop, app):
    gw = gateway(shop, app)
    with Calls(gw) as calls:
        answers = calls.down("DieStreaming")
        assert [next(answers), next(answers)] == [b"one", b"two"]
        with pytest.raises(grpc.RpcError) as error:
            next(answers)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error.value.details().endswith("(response_cut)")
    line = gw.access(cause="response_cut")[0]
    assert (line["status"], line["grpc_status"]) == (200, "14")


def test_plain_requests_get_plain_errors(shop, app):
    gw = gateway(shop, app, routes=[{"match": "/t.T/Echo", "to": "app"}])
    response = gw.get("/x", headers=[("Content-Type", "application/grpc")])
    assert response.status == 404 and json.loads(response.body)["cause"] == "route_unknown"


# ---- restarts ----

def answer(h2, stream):
    h2.headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    h2.data(stream, bytes(stream.body))
    h2.headers(stream, [("grpc-status", "0")], end=True)


@h2_script
def echoing(h2):
    while True:
        answer(h2, h2.request())


def test_a_call_that_a_restarting_server_refused_is_repeated(shop):
    @h2_script
    def leaving(h2):
        first = h2.request()
        answer(h2, first)
        h2.request()
        h2.frame(frames.GoAwayFrame(0, last_stream_id=first.number, error_code=0))
        h2.peer.until_closed()
    gw = gateway(shop, shop.origin(leaving, echoing), workers=1)
    with Calls(gw) as calls:
        assert calls.unary("Echo", b"one")[0] == b"one"
        assert calls.unary("Echo", b"two" * 1000)[0] == b"two" * 1000
    assert gw.access(tries=2)


def test_a_call_that_sent_much_is_not_repeated(shop):
    @h2_script
    def refusing(h2):
        stream = h2.request()
        h2.reset(stream, ErrorCodes.REFUSED_STREAM)
        h2.until_closed()
    origin = shop.origin(refusing)
    gw = gateway(shop, origin)
    with Calls(gw) as calls:
        code, text = refused(calls.unary, "Echo", b"x" * 1_000_000)
        assert code is grpc.StatusCode.UNAVAILABLE and text.endswith("(stream_refused)")
    assert len(origin.requests) == 1


def test_a_call_whose_stream_was_reset_is_not_repeated(shop):
    @h2_script
    def resetting(h2):
        while True:
            h2.reset(h2.request(), ErrorCodes.INTERNAL_ERROR)
    origin = shop.origin(resetting)
    with Calls(gateway(shop, origin)) as calls:
        code, text = refused(calls.unary, "Echo", b"x")
        assert code is grpc.StatusCode.UNAVAILABLE and text.endswith("(stream_reset)")
    assert len(origin.requests) == 1


def test_servers_are_restarted_without_a_failed_call(shop):
    """The real server says GOAWAY when it stops."""
    apps = [App(), App()]
    shop.finally_(*(a.stop for a in apps))
    gw = gateway(shop, *apps)
    with Calls(gw) as calls:
        for i in range(40):
            assert calls.unary("Echo", b"%d" % i)[0] == b"%d" % i
            if i == 20:
                apps[0].process.stdin.close()  # it stops in order
                time.sleep(0.05)


# ---- filters ----

def test_a_filter_that_denies(shop, app):
    (shop.folder / "no.lua").write_text("""
return {request = function(ctx) return ctx:deny(401, "no_token") end}
""")
    gw = gateway(shop, app, filters={"no": {"filter": str(shop.folder / "no.lua")}},
                 routes=[{"match": "/*", "to": "app", "filters": ["no"]}])
    with Calls(gw) as calls:
        assert refused(calls.unary, "Echo") == (grpc.StatusCode.UNAUTHENTICATED, "no_token")
