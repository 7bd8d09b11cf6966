# SPDX-License-Identifier: Apache-2.0
"""The access log tells what happened, one JSON object a line, whatever bytes clients send."""
import json
import re

from lib.client import head
from lib.configs import basic
from lib.origin import OK, always
from lib.wait import wait_until


def test_a_line_has_all_that_one_wants_to_know(shop):
    server = shop.origin(always(OK))
    gw = shop.lintel(basic(server, app={"balance": "round_robin"}))
    gw.get("/a/b?secret=1", method="POST", body=b"abc")
    line = gw.access()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"])
    expected = {
        "client": "127.0.0.1", "method": "POST", "host": "localhost", "path": "/a/b",
        "status": 200, "site": "localhost", "route": "/*", "upstream": "app",
        "server": server.address, "tries": 1, "upstream_status": 200,
        "bytes_in": 3, "bytes_out": 2, "id": server.requests[0].headers.get("x-request-id"),
    }
    assert {k: line.get(k) for k in expected} == expected
    assert re.fullmatch("[0-9a-f]{32}", line["trace_id"])
    assert "cause" not in line and "secret" not in json.dumps(line)


def test_the_timings_of_the_steps_add_up(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app))
    gw.get("/sleep/300")
    line = gw.access()[0]
    assert line["duration_ms"] >= 300 and line["upstream_ms"] >= 300
    steps = line["steps"]
    assert steps["response_head"] >= 290
    assert {"route", "pick", "connect", "send", "response_head", "relay"} <= set(steps)
    assert abs(sum(steps.values()) - line["duration_ms"]) < 20


def test_an_answer_of_our_own_has_its_cause_and_stage(shop):
    gw = shop.lintel(basic(routes=[{"match": "/here", "respond": 200}]))
    gw.get("/there")
    line = gw.access()[0]
    assert (line["status"], line["cause"], line["stage"]) == (404, "route_unknown", "route")
    assert "upstream" not in line and "server" not in line


def test_a_refused_request_is_logged_too(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]))
    with gw.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n")
        client.response()
    line = gw.access()[0]
    assert (line["status"], line["cause"], line["client"]) == (400, "header_invalid", "127.0.0.1")


def test_a_connect_failure_names_the_system_error_and_the_tries(shop):
    gw = shop.lintel(basic(shop.refusing(), shop.refusing(), app={"balance": "round_robin",
                                                                       "queue": {"restart": 0}}))
    gw.get()
    line = gw.access()[0]
    assert line["cause"] == "connect_refused_by_server" and line["tries"] == 2
    assert "refused" in line["error"].lower()


HOSTILE = ['"', "\\", '","status":200,"x":"', "</script>", "%0d%0aevil", "{}", "'", "%22", "%00x"]


def test_hostile_bytes_never_break_a_line(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": {"status": 418}}], log={
        "fields": {"agent": "header.user-agent", "q": "query.q"}}))
    for i, text in enumerate(HOSTILE):
        with gw.client() as client:
            client.send(head("GET", f"/{i}/{text}?q={text}", {"User-Agent": text + "\x80\xff\t"}))
            client.response()
    lines = gw.access(len(HOSTILE))
    assert len(lines) == len(gw.stdout.lines) == len(HOSTILE), "a line was broken"
    for line in lines:
        assert line["status"] in (418, 400)
    first = next(e for e in lines if e["path"].startswith("/0/"))
    assert first["path"] == '/0/"'
    assert first["agent"].startswith('"') and first["q"] == '"'


def test_redacted_fields_are_not_shown(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}], log={
        "redact": ["authorization", "x-secret", "cookie"],
        "fields": {"a": "header.authorization", "s": "header.x-secret", "c": "cookie.id",
                   "o": "header.x-open"}}))
    gw.get(headers={"Authorization": "Bearer hidden", "X-Secret": "hidden", "Cookie": "id=hidden",
                    "X-Open": "seen"})
    line = gw.access()[0]
    assert "hidden" not in "\n".join(gw.stdout.lines + gw.stderr.lines)
    assert line["a"] == line["s"] == line["c"] == "[redacted]" and line["o"] == "seen"


def test_very_long_values_are_cut_and_marked(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]))
    gw.get("/" + "a" * 5_000)
    line = gw.access()[0]
    assert len(line["path"]) < 5_000 and line["truncated"] is True and line["status"] == 200


def test_slow_requests_are_marked(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, log={"slow": "200ms"}))
    gw.get("/sleep/400")
    gw.get("/fast")
    assert gw.access(path="/sleep/400")[0]["slow"] is True
    assert "slow" not in gw.access(path="/fast")[0]


def test_access_none_logs_nothing(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}], log={"access": "none"}))
    for _ in range(3):
        gw.get()
    gw.stop()
    assert gw.stdout.lines == []


def test_access_and_errors_may_go_to_files(shop):
    access, errors = shop.folder / "a.log", shop.folder / "e.log"
    config = basic(routes=[{"match": "/*", "respond": 200}],
                   log={"access": str(access), "errors": str(errors)})
    gw = shop.lintel(config, wait=False)
    wait_until(lambda: errors.exists() and '"ready"' in errors.read_text()
               or gw.events("ready"), "the program to be ready")
    ready = gw.events("ready") or [json.loads(line) for line in errors.read_text().splitlines()
                                   if '"ready"' in line]
    gw.ready = ready[0]
    gw.get("/x")
    wait_until(lambda: '"/x"' in access.read_text(), "the access line")
    for line in errors.read_text().splitlines() + access.read_text().splitlines():
        assert isinstance(json.loads(line), dict)


def test_every_line_of_the_error_log_is_json_with_time_level_and_event(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}], log={"level": "debug"}))
    gw.get()
    gw.reload()
    gw.stop()
    for line in gw.stderr.lines:
        event = json.loads(line)
        assert {"time", "level", "event"} <= set(event), line
        assert event["level"] in ("debug", "info", "warn", "error")


def test_all_lines_are_there_after_a_drain(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}], workers=2))
    for _ in range(10):
        with gw.client() as client:
            for _ in range(30):
                client.request()
    gw.stop()
    assert len(gw.stdout.objects()) == 300


def test_no_field_can_have_the_name_of_a_member_that_lines_have(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, log={"slow": "1ms"}))
    gw.get("/sleep/5")
    bad = shop.refusing()
    line = gw.access(1)[-1]
    gw.reload(basic(bad, app={"queue": {"restart": 0}}, log={"slow": "1ms"}))
    gw.get("/")
    members = sorted({*line, *gw.access(2)[-1]})
    assert "status" in members and "cause" in members and "slow" in members
    failed = gw.reload(basic(app, log={"fields": {name: "path" for name in members}}), fails=True)
    assert failed["errors"] == len(members)
