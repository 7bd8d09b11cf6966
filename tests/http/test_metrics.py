# SPDX-License-Identifier: Apache-2.0
"""The admin socket: metrics that Prometheus can read and that count right, probes, status."""
import json
import stat
import subprocess
import sys

from lib.client import Client, head
from lib.configs import basic
from lib.gateway import command
from lib.prometheus import Metrics
from lib.users import NOBODY, ROOT, let_in
from lib.wait import wait_until


def metrics(gateway):
    response = gateway.admin("/metrics")
    assert response.status == 200
    assert response.headers.get("content-type").startswith("text/plain; version=0.0.4")
    return Metrics(response.body.decode())


def test_metrics_parse_and_count_right(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, workers=2, routes=[
        {"match": "/*", "to": "app"}, {"match": "/fixed", "respond": {"body": "12345"}}]))
    for i in range(7):
        assert gw.get(f"/{i}", method="POST", body=b"abc").status == 200
    for _ in range(3):
        gw.get("/fixed")
    with gw.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n")
        client.response()
    gw.access(11)
    got = metrics(gw)
    assert got.sum("lintel_requests_total") == 11
    assert got.sum("lintel_requests_total", route="/fixed") == 3
    assert got.sum("lintel_requests_total", route="/*") == 7
    assert got.sum("lintel_connections_total") == 11
    assert got.sum("lintel_connections") == 0
    assert got.sum("lintel_causes_total", cause="header_invalid") == 1
    durations = "lintel_request_duration_seconds"
    assert got.sum(durations + "_count") == 11
    assert got.sum(durations + "_bucket", le="+Inf") == 11
    assert got.sum("lintel_upstream_connects_total") + got.sum("lintel_upstream_reused_total") == 7
    assert got.sum("lintel_log_dropped_total") == 0


def test_histograms_are_cumulative(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app))
    for ms in (0, 0, 50, 300):
        gw.get(f"/sleep/{ms}")
    gw.access(4)
    got = metrics(gw)
    name = "lintel_request_duration_seconds"
    series = {}
    for labels, value in got.samples[name + "_bucket"]:
        rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        series.setdefault(rest, []).append((float(labels["le"]), value))
    assert series
    for buckets in series.values():
        assert buckets == sorted(buckets) and buckets[-1][0] == float("inf")
        assert [v for _, v in buckets] == sorted(v for _, v in buckets)
    assert got.sum(name + "_sum") >= 0.35


def test_turns_of_workers_are_measured(shop):
    gw = shop.lintel(basic(workers=2, routes=[{"match": "/*", "respond": 200}]))
    gw.get("/")
    got = metrics(gw)
    turns = got.sum("lintel_turn_seconds_count")
    assert turns > 0 and got.sum("lintel_turn_seconds_bucket", le="+Inf") == turns
    longest = [value for _, value in got.samples["lintel_turn_max_seconds"]]
    assert 1 <= len(longest) <= 2 and 0 < max(longest) <= got.sum("lintel_turn_seconds_sum")


def test_open_connections_are_counted(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]))
    clients = [gw.client() for _ in range(3)]
    for client in clients:
        client.request()
    assert metrics(gw).sum("lintel_connections") == 3
    for client in clients:
        client.close()
    wait_until(lambda: metrics(gw).sum("lintel_connections") == 0, "the count to fall")


def test_exchanges_in_progress_are_counted(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app))
    with gw.client() as client:
        client.send(head("GET", "/sleep/700"))
        wait_until(lambda: app.active, "the request at the server")
        assert metrics(gw).sum("lintel_exchanges") == 1
        client.response()
    wait_until(lambda: metrics(gw).sum("lintel_exchanges") == 0, "the count to fall")


def test_counts_survive_a_reload(shop):
    config = basic(routes=[{"match": "/*", "respond": 200}])
    gw = shop.lintel(config)
    gw.get()
    gw.access(1)
    gw.reload(config)
    gw.get()
    gw.access(2)
    assert metrics(gw).sum("lintel_requests_total", route="/*") == 2


def test_labels_are_escaped(shop):
    gw = shop.lintel(basic(routes=[
        {"match": "/a", "when": 'header.x == "\\"q"', "respond": 200},
        {"match": "/a", "respond": 200}]))
    gw.get("/a")
    gw.access(1)
    assert metrics(gw).sum("lintel_requests_total") == 1


def test_probes(shop):
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]))
    assert gw.admin("/livez").status == 200
    assert gw.admin("/readyz").status == 200
    assert gw.admin("/nothing").status == 404


def test_the_admin_socket_has_its_mode_and_is_not_reached_from_outside(shop):
    config = basic(routes=[{"match": "/here", "respond": 200}])
    config["admin"]["mode"] = "0640"
    gw = shop.lintel(config)
    mode = (gw.folder / "admin.sock").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o640
    assert gw.get("/metrics").status == 404
    assert gw.get("/livez").status == 404


def test_the_user_decides_whatever_the_mode_of_the_admin_socket(shop):
    """Nobody is turned away unless listed. Who is not root can't be nobody, but is let in."""
    config = basic(routes=[{"match": "/here", "respond": 200}])
    config["admin"]["mode"] = "0666"
    gw = shop.lintel(config)
    let_in(gw.folder)
    path = gw.folder / "admin.sock"
    assert (ask(path) == b"HTTP/1.1 200") is not ROOT
    config["admin"]["uids"] = [NOBODY.pw_uid]
    gw.reload(config)
    assert ask(path) == b"HTTP/1.1 200"


def ask(path):
    """The beginning of the answer to a process of another user where we can start one."""
    code = ("import os, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "s.connect(sys.argv[1])\n"
            "try:\n"
            "    s.sendall(b'GET /livez HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
            "    sys.stdout.buffer.write(s.recv(100)[:12])\n"
            "except (BrokenPipeError, ConnectionResetError):\n    pass\n")
    who = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid} if ROOT else {}
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, timeout=30,
                          check=True, **who)
    return done.stdout


def test_status_tells_how_it_is(shop):
    app = shop.echo()
    gw = shop.lintel(basic(app, workers=2))
    gw.get()
    done = command("status", "-c", gw.config, cwd=gw.folder)
    assert done.returncode == 0, done.stderr
    assert app.address in done.stdout
    status = json.loads(gw.admin("/status").body)
    assert status["workers"] == 2


def test_status_of_nothing_running_fails_and_says_so(tmp_path):
    path = tmp_path / "lintel.yaml"
    path.write_text(json.dumps(basic(routes=[{"match": "/*", "respond": 200}])))
    done = command("status", "-c", path, cwd=tmp_path)
    assert done.returncode == 1 and "admin.sock" in done.stderr


def test_the_admin_socket_takes_no_rubbish(shop):
    gw = shop.lintel(basic(routes=[{"match": "/here", "respond": 200}]))
    with Client(str(gw.folder / "admin.sock")) as client:
        client.send(b"rubbish\r\n\r\n")
        assert client.response().status == 400
        assert client.ends()
    assert gw.admin("/livez").status == 200
