# SPDX-License-Identifier: Apache-2.0
"""The main job on real programs: curl over TLS, Lintel, Flask on gunicorn and FastAPI on uvicorn."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from lib.client import Client, fetch, tls_trust
from lib.configs import basic, with_tls
from lib.origin import pattern
from lib.wait import wait_until

BIG = 20 << 20

FLASK = '''
import hashlib, os
from flask import Flask, Response, jsonify, request
app = Flask(__name__)

@app.get("/who")
def who():
    return jsonify(app=os.environ["APP_NAME"], scheme=request.scheme,
                   client=request.headers.get("X-Forwarded-For"))

@app.post("/json")
def json_():
    return jsonify(got=request.get_json(), app=os.environ["APP_NAME"])

@app.post("/upload")
def upload():
    data = request.get_data()
    return jsonify(length=len(data), sha256=hashlib.sha256(data).hexdigest())

@app.get("/download")
def download():
    with open(os.environ["APP_DATA"], "rb") as f:
        return Response(f.read(), mimetype="application/octet-stream")

@app.get("/stream")
def stream():
    def pieces():
        with open(os.environ["APP_DATA"], "rb") as f:
            while piece := f.read(100_000):
                yield piece
    return Response(pieces(), mimetype="application/octet-stream")
'''

FASTAPI = '''
import hashlib, os
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, StreamingResponse
app = FastAPI()

@app.get("/who")
async def who(request: Request):
    return {"app": os.environ["APP_NAME"], "scheme": request.url.scheme,
            "client": request.headers.get("x-forwarded-for")}

@app.post("/json")
async def json_(request: Request):
    return {"got": await request.json(), "app": os.environ["APP_NAME"]}

@app.post("/upload")
async def upload(request: Request):
    digest, length = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        length += len(piece)
    return {"length": length, "sha256": digest.hexdigest()}

@app.get("/download")
async def download():
    return FileResponse(os.environ["APP_DATA"])

@app.get("/stream")
async def stream():
    def pieces():
        with open(os.environ["APP_DATA"], "rb") as f:
            while piece := f.read(100_000):
                yield piece
    return StreamingResponse(pieces())
'''


class App:
    """One application server as its users start it."""

    def __init__(self, kind, name, folder):
        self.kind, self.name, self.folder = kind, name, folder
        env = {**os.environ, "APP_NAME": name, "APP_DATA": str(folder / "data"),
               "PYTHONDONTWRITEBYTECODE": "1"}
        for unwanted in ("LINTEL", "srcdir"):
            env.pop(unwanted, None)
        if kind == "flask":
            self.address = f"unix:{folder}/{name}.sock"
            args = ["gunicorn", "--bind", self.address, "--workers", "2", "--log-level", "warning",
                    "--forwarded-allow-ips", "*", "--graceful-timeout", "5", "flask_app:app"]
            kept = ()
        else:
            # The socket is ours, so that nobody else can take the port meanwhile.
            self._sock = socket.socket()
            self._sock.bind(("127.0.0.1", 0))
            self._sock.listen(128)
            self.address = f"127.0.0.1:{self._sock.getsockname()[1]}"
            args = ["uvicorn", "--fd", str(self._sock.fileno()), "--log-level", "warning",
                    "--forwarded-allow-ips", "*", "fastapi_app:app"]
            kept = (self._sock.fileno(),)
        self.process = subprocess.Popen([sys.executable, "-m", *args], cwd=folder, env=env,
                                        pass_fds=kept)
        if kind != "flask":
            self._sock.close()

    def answers(self):
        assert self.process.poll() is None, f"{self.name} ended"
        host, _, port = self.address.rpartition(":")
        name = self.address[5:] if self.kind == "flask" else (host, int(port))
        try:
            return fetch(name, "/who", timeout=5).status == 200
        except OSError:
            return False

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apps")
    (folder / "flask_app.py").write_text(FLASK)
    (folder / "fastapi_app.py").write_text(FASTAPI)
    (folder / "data").write_bytes(pattern(BIG))
    return folder


def started(kind, folder, prefix):
    apps = [App(kind, f"{prefix}-{kind}-{i}", folder) for i in (1, 2)]
    for app in apps:
        wait_until(app.answers, f"{app.name} to start", 60, 0.05)
    return apps


PRESETS = {"flask": "gunicorn", "fastapi": "uvicorn"}


def configured(apps, kind, authority, **top):
    cert, key = authority.leaf("localhost")
    servers = [{"address": a.address, **({"max": 2} if kind == "flask" else {})} for a in apps]
    config = basic(*servers, app={"preset": PRESETS[kind], "balance": "round_robin"},
                   site={"body": {"max": "32M"}}, **top)
    return with_tls(config, cert, key)


@pytest.fixture(scope="module", params=["flask", "fastapi"])
def stack(request, folder, shared, authority):
    """(kind, gateway) over two servers each."""
    apps = started(request.param, folder, "m")
    gw = shared.lintel(configured(apps, request.param, authority, workers=2))
    yield request.param, gw
    gw.stop()
    for app in apps:
        app.stop()


def curl(gateway, authority, target, *args, **options):
    """curl as a user has it: real certificate check, the name resolved to the listener."""
    host, port = gateway.secure
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--http1.1", "--max-time", "60",
         "--cacert", str(authority.ca), "--resolve", f"localhost:{port}:{host}",
         f"https://localhost:{port}{target}", *args],
        capture_output=True, check=False, timeout=90, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_get(stack, authority):
    _, gw = stack
    told = json.loads(curl(gw, authority, "/who"))
    assert told["scheme"] == "https" and told["client"] == "127.0.0.1"


def test_requests_spread_over_both_servers(stack, authority):
    _, gw = stack
    names = {json.loads(curl(gw, authority, "/who"))["app"] for _ in range(4)}
    assert len(names) == 2


def test_post_json(stack, authority):
    _, gw = stack
    told = json.loads(curl(gw, authority, "/json", "--json", '{"a": [1, "ä"]}'))
    assert told["got"] == {"a": [1, "ä"]}


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_20_mb_upload(stack, authority, folder, framing):
    _, gw = stack
    more = ["-H", "Transfer-Encoding: chunked"] if framing == "chunked" else []
    told = json.loads(curl(gw, authority, "/upload", "--data-binary", f"@{folder}/data",
                           "-H", "Content-Type: application/octet-stream", *more))
    assert told == {"length": BIG, "sha256": hashlib.sha256(pattern(BIG)).hexdigest()}


@pytest.mark.parametrize("target", ["/download", "/stream"])
def test_a_20_mb_download(stack, authority, target):
    _, gw = stack
    assert curl(gw, authority, target) == pattern(BIG)


@pytest.mark.parametrize("kind", ["flask", "fastapi"])
def test_a_server_that_stops_during_2000_requests_costs_no_client_an_error(
        shop, folder, authority, kind):
    """One of two servers is stopped in order while 50 clients keep asking."""
    apps = started(kind, folder, "stop")
    shop.finally_(*[a.stop for a in apps])
    config = configured(apps, kind, authority, workers=2)
    for server in config["upstreams"]["app"]["servers"]:
        server.pop("max", None)  # this is about connecting, not about waiting for a place
    gw = shop.lintel(config)
    trust = tls_trust(authority.ca)
    lock, done, wrong = threading.Lock(), [], []

    def ask():
        while True:
            try:
                with Client(gw.secure, trust=trust) as client:
                    for _ in range(20):
                        with lock:
                            if len(done) + len(wrong) >= 2000:
                                return
                            done.append(None)
                        response = client.request(target="/who")
                        if response.status != 200:
                            wrong.append((response.status, response.body))
            except Exception as failure:  # pylint: disable=broad-except
                wrong.append(repr(failure))
                return
    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(done) > 400, "the load to run", 120)
    apps[0].process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert not wrong, (len(wrong), wrong[:3])
    assert len(done) == 2000
    wait_until(lambda: apps[0].process.poll() is not None, "the stopped server to end")
