# SPDX-License-Identifier: Apache-2.0
"""Presets serve real servers of their names well. What they print is in test_help.py."""
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from lib.client import fetch
from lib.configs import basic
from lib.wait import wait_until

NAMES = ["gunicorn", "gunicorn-threads", "uvicorn", "hypercorn", "node"]

WSGI = '''
import json
def app(environ, start_response):
    environ["wsgi.input"].read()
    seen = {k: v for k, v in environ.items() if isinstance(v, str)}
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
'''

ASGI = '''
import json
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    seen = {"HTTP_" + k.decode().upper().replace("-", "_"): v.decode() for k, v in scope["headers"]}
    seen["RAW"] = json.dumps([k.decode().lower() for k, _ in scope["headers"]])
    body = json.dumps({**seen, "SCRIPT_NAME": scope.get("root_path", ""), "PATH_INFO": scope["path"],
                       "scheme": scope["scheme"]}).encode()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
'''

NODE = '''
const http = require("http");
http.createServer((req, res) => {
  req.resume();
  req.on("end", () => {
    const seen = {PATH_INFO: req.url, RAW: JSON.stringify(Object.keys(req.headers))};
    for (const [k, v] of Object.entries(req.headers)) seen["HTTP_" + k.toUpperCase().replace(/-/g, "_")] = v;
    res.end(JSON.stringify(seen));
  });
}).listen(Number(process.argv[2]), "127.0.0.1");
'''


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def arguments(name, port):
    python = [sys.executable, "-m"]
    address = f"127.0.0.1:{port}"
    return {
        "gunicorn": [*python, "gunicorn", "-b", address, "-w", "2", "--log-level", "warning", "wsgi:app"],
        "gunicorn-threads": [*python, "gunicorn", "-b", address, "-w", "1", "--threads", "4",
                             "--log-level", "warning", "wsgi:app"],
        "uvicorn": [*python, "uvicorn", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
                    "asgi:app"],
        "hypercorn": [*python, "hypercorn", "-b", address, "--log-level", "WARNING", "asgi:app"],
        "node": ["node", "app.js", str(port)],
    }[name]


@pytest.fixture(scope="module", params=NAMES)
def served(request, shared, tmp_path_factory):
    """(preset, gateway) over one real server of that name."""
    folder = tmp_path_factory.mktemp("preset")
    (folder / "wsgi.py").write_text(WSGI)
    (folder / "asgi.py").write_text(ASGI)
    (folder / "app.js").write_text(NODE)
    env = {k: v for k, v in os.environ.items() if k not in ("LINTEL", "srcdir")}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    port = free_port()
    process = subprocess.Popen(arguments(request.param, port), cwd=folder, env=env)

    def answers():
        assert process.poll() is None, "the server ended"
        try:
            return fetch(("127.0.0.1", port), "/", timeout=5).status == 200
        except OSError:
            return False
    try:
        wait_until(answers, "the server to start", 60, 0.05)
        gw = shared.lintel(basic({"address": f"127.0.0.1:{port}"}, app={"preset": request.param},
                                 routes=[{"match": "/*", "to": "app"},
                                         {"match": "/shop/*", "strip": "/shop", "to": "app"}],
                                 defaults={"max_head": "128K", "max_headers": 300}))
        yield request.param, gw
        gw.stop()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def seen(gw, target="/x", headers=()):
    response = gw.get(target, headers=list(headers))
    assert response.status == 200, response
    return json.loads(response.body)


def test_one_consistent_set_of_forwarded_fields(served):
    _, gw = served
    told = seen(gw)
    assert told["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert told["HTTP_X_FORWARDED_PROTO"] == "http"
    assert told["HTTP_X_FORWARDED_HOST"] == told["HTTP_HOST"] == "localhost"
    assert told["HTTP_FORWARDED"] == "for=127.0.0.1;proto=http;host=localhost"
    assert "HTTP_X_FORWARDED_PREFIX" not in told


def test_what_clients_claim_does_not_arrive(served):
    """A WSGI server reads X_Forwarded_For as X-Forwarded-For, and some read SCRIPT_NAME as a variable."""
    preset, gw = served
    claims = [(name, "evil") for name in (
        "SCRIPT_NAME", "Script-Name", "PATH_INFO", "Path-Info", "REMOTE_USER", "Remote-User", "X_Forwarded_For", "X-Forwarded-For",
        "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "X_Forwarded_Prefix",
        "X-Forwarded-Ssl", "X-Real-IP", "Forwarded", "Proxy")]
    told = seen(gw, headers=claims)
    told.pop("RAW", None)
    assert told.get("SCRIPT_NAME", "") == "" and told["PATH_INFO"] == "/x"
    assert "evil" not in json.dumps(told), (preset, told)


def test_a_stripped_prefix_is_told(served):
    _, gw = served
    told = seen(gw, "/shop/x")
    assert told["PATH_INFO"] == "/x" and told["HTTP_X_FORWARDED_PREFIX"] == "/shop"


def test_bodies_pass(served):
    _, gw = served
    with gw.client() as client:
        for _ in range(5):
            assert client.request("POST", "/x", body=b"a" * 100_000).status == 200


# What each server takes of a head, as it is when nobody sets it otherwise: just that is passed, one
# more is answered here.

def of_field(bytes_):
    return [("X-Big", "a" * (bytes_ - len("X-Big: \r\n")))]


def test_the_largest_head_that_the_server_takes_passes_and_a_larger_one_is_told(served):
    preset, gw = served
    if preset.startswith("gunicorn"):
        line = len("GET  HTTP/1.1")
        passes = [("/" + "a" * (4094 - line - 1), []), ("/", of_field(8190))]
        refused = [("/" + "a" * (4094 - line), []), ("/", of_field(8191)),
                   ("/", [(f"X-{n}", "1") for n in range(100)])]
    elif preset == "node":
        passes = [("/", of_field(15_500))]
        refused = [("/", of_field(16_384))]
    else:
        passes = [("/", of_field(15_000))]
        refused = [("/", of_field(17_000)), ("/", of_field(9000) + [("X-Two", "b" * 9000)])]
    for target, headers in passes:
        assert gw.get(target, headers=headers).status == 200, (preset, target[:20], len(headers))
    for target, headers in refused:
        response = gw.get(target, headers=headers)
        assert response.status == 431, (preset, response)
        assert json.loads(response.body)["cause"] == "server_head_limit"
