# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 clients as they are in use, through Lintel to HTTP/1 servers: curl, httpx, nghttp, h2load,
node and Chromium; gunicorn, uvicorn and a scripted server. LINTEL_TEST_LARGE makes the largest body
so many MB instead of 8."""
import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys

import httpx
import pytest

from lib.asgi import Uvicorn
from lib.browser import chromium
from lib.client import fetch
from lib.configs import h2, upstream, with_tls
from lib.origin import pattern
from lib.wait import wait_until

LARGE = int(os.environ.get("LINTEL_TEST_LARGE", "8")) << 20
SIZES = [0, 1, 16384, LARGE]
WAIT = 60 + LARGE / (1 << 20)

WSGI = '''
import hashlib, random

def app(environ, start_response):
    path, n = environ["PATH_INFO"], int(environ.get("CONTENT_LENGTH") or 0)
    body = b"yes"
    if path == "/sum":
        body = hashlib.sha256(environ["wsgi.input"].read(n)).hexdigest().encode()
    elif path == "/echo":
        body = environ["wsgi.input"].read(n)
    elif path.startswith("/bytes/"):
        size = int(path[7:])
        body = random.Random(size).randbytes(size)
    start_response("200 OK", [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]
'''

ASGI = '''
import hashlib, random

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    path, body = scope["path"], b"yes"
    data, more = [], scope["method"] == "POST"
    while more:
        message = await receive()
        data.append(message.get("body", b""))
        more = message.get("more_body", False)
    if path == "/sum":
        body = hashlib.sha256(b"".join(data)).hexdigest().encode()
    elif path == "/echo":
        body = b"".join(data)
    elif path.startswith("/bytes/"):
        size = int(path[7:])
        body = random.Random(size).randbytes(size)
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain")]})
    for at in range(0, len(body), 50000):
        await send({"type": "http.response.body", "body": body[at:at + 50000], "more_body": True})
    await send({"type": "http.response.body"})
'''

PAGE = '''<!doctype html><html><head><title>page</title>
<script>let ran = 0</script>''' + "".join(f'<script src="/script/{n}.js"></script>'
                                        for n in range(40)) + "</head><body>" + "".join(
    f'<img src="/image/{n}.svg" alt="">' for n in range(60)) + "</body></html>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'


def page(peer):
    """A script: serves a page with a hundred resources."""
    while True:
        target = peer.request().target
        kind, text = ("text/html", PAGE)
        if target.startswith("/script"):
            kind, text = "text/javascript", "ran++;" + " " * 3000
        elif target.startswith("/image"):
            kind, text = "image/svg+xml", SVG
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n{text}"
                  .encode())


@pytest.fixture(scope="module")
def gw(shared, authority, tmp_path_factory):
    """A site for each server, by TLS and in the clear."""
    folder = tmp_path_factory.mktemp("apps")
    (folder / "wsgi.py").write_text(WSGI)
    address = f"unix:{folder}/gunicorn.sock"
    process = subprocess.Popen([sys.executable, "-m", "gunicorn", "--bind", address, "--threads", "8",
                                "--log-level", "warning", "wsgi:app"], cwd=folder,
                               env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    shared.finally_(process.wait, process.terminate)
    wait_until((folder / "gunicorn.sock").exists, "gunicorn to listen", 60, 0.05)
    asgi = Uvicorn(folder, "asgi", ASGI)
    shared.finally_(asgi.stop)
    servers = {"gunicorn": upstream({"address": address}, preset="gunicorn-threads"),
               "uvicorn": upstream({"address": asgi.address}, preset="uvicorn"),
               "page": upstream(shared.origin(page)), "echo": upstream(shared.echo())}
    config = h2(upstreams=servers)
    config["sites"] = [{"hosts": [f"{name}.localhost"], "body": {"max": "200M"},
                        "routes": [{"match": "/*", "to": name}]} for name in servers]
    gateway = shared.lintel(with_tls(
        config, *authority.leaf(*(f"{name}.localhost" for name in servers), "127.0.0.2")))
    wait_until(lambda: fetch(gateway.plain, "/up", host="gunicorn.localhost").status == 200,
               "gunicorn to answer", 60)
    return gateway


def tool(*args, **options):
    """Runs a client; its output."""
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run([*map(str, args)], capture_output=True, timeout=WAIT, check=False,
                          env={**env, **options.pop("env", {})}, **options)
    assert done.returncode == 0, (args, done.stderr[-2000:], done.stdout[-500:])
    return done.stdout


def base(gateway, name, secure=True):
    port = (gateway.secure if secure else gateway.plain)[1]
    return f"{'https' if secure else 'http'}://{name}.localhost:{port}"


@pytest.fixture(params=["tls", "clear"])
def curl(request, gw, authority):
    """curl over HTTP/2 to a site; its output."""
    secure = request.param == "tls"
    address, _ = gw.secure if secure else gw.plain

    def run(name, path, *args, **options):
        url = base(gw, name, secure)
        return tool("curl", "-sS", "--noproxy", "*", "--fail", "--cacert", authority.ca,
                    "--http2" if secure else "--http2-prior-knowledge", "--resolve",
                    f"{url.split('//')[1]}:{address}", url + path, *args, **options)
    return run


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_curl_moves_bodies_of_all_sizes_both_ways(curl, name, tmp_path):
    for size in SIZES:
        body = pattern(size)
        (tmp_path / "body").write_bytes(body)
        got = curl(name, "/echo", "--data-binary", f"@{tmp_path}/body", "-H", "Expect:", "-w",
                   "%{stderr}%{http_version}")
        assert got == body, size
        assert curl(name, f"/bytes/{size}") == body
        digest = curl(name, "/sum", "-T", f"{tmp_path}/body", "-X", "POST")
        assert digest.decode() == hashlib.sha256(body).hexdigest()


def test_curl_says_that_it_is_http_2(curl):
    assert curl("uvicorn", "/", "-o", "/dev/null", "-w", "%{http_version} %{http_code}") == b"2 200"


def test_curl_uploads_what_it_has_no_length_of(curl):
    body = pattern(300000)
    assert curl("uvicorn", "/echo", "-X", "POST", "-T", "-", input=body) == body


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn", "echo"])
def test_httpx_with_many_requests_at_once(gw, authority, name):
    async def fetch_all():
        async with httpx.AsyncClient(http2=True, verify=str(authority.ca), trust_env=False,
                                     base_url=f"https://{gw.secure[0]}:{gw.secure[1]}",
                                     headers={"Host": f"{name}.localhost"}, timeout=WAIT) as client:
            async def one(n):
                answer = await client.request(
                    "POST" if n % 2 else "GET", f"/bytes/{n * 100}" if n % 2 == 0 else "/sum",
                    content=pattern(n * 1000) if n % 2 else None,
                    extensions={"sni_hostname": f"{name}.localhost"})
                assert answer.http_version == "HTTP/2" and answer.status_code == 200
                return n, answer.content
            return await asyncio.gather(*(one(n) for n in range(80)))
    for n, content in asyncio.run(fetch_all()):
        if n % 2 == 0:
            assert content == pattern(n * 100)
        else:
            digest = hashlib.sha256(pattern(n * 1000)).hexdigest()
            assert digest in content.decode()


def test_nghttp_fetches_many_in_one_connection(gw):
    """With its own reading of every frame: -v says what it didn't like."""
    url = f"https://{gw.secure[0]}:{gw.secure[1]}"
    said = tool("nghttp", "-nv", "--no-verify-peer", "-H", ":authority: uvicorn.localhost", "-m", "5",
                *(f"{url}/bytes/{n}" for n in (0, 1, 16384, 100000, 65535))).decode()
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert said.count(":status: 200") == 25, said[-3000:]
    assert "RST_STREAM" not in said and "error_code=NO_ERROR" in said


def test_nghttp_with_trailers_padding_and_small_windows(gw, tmp_path):
    (tmp_path / "body").write_bytes(pattern(200000))
    digest = hashlib.sha256(pattern(200000)).hexdigest()
    got = tool("nghttp", "--no-verify-peer", "-H", ":authority: uvicorn.localhost", "-H",
               ":method: POST", "-d", tmp_path / "body", "--trailer", "x-sum: 1", "-b", "200", "-w",
               "10", "-W", "11", f"https://{gw.secure[0]}:{gw.secure[1]}/sum")
    assert got.decode() == digest


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "clear"])
@pytest.mark.parametrize("path", ["/bytes/1024", "/bytes/200000"])
def test_h2load_has_no_failure(gw, secure, path):
    address, port = gw.secure if secure else gw.plain
    said = tool("h2load", "-n", 300, "-c", 4, "-m", 16, "-H", ":authority: echo.localhost",
                f"{'https' if secure else 'http'}://{address}:{port}{path}").decode()
    assert "300 total, 300 started, 300 done, 300 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    assert "Application protocol: h2" in said


NODE = '''
const http2 = require("http2"), fs = require("fs"), crypto = require("crypto");
const [url, authority, ca, file] = process.argv.slice(2);
const session = http2.connect(url, {ca: fs.readFileSync(ca), servername: authority,
                                   maxSessionMemory: 1000});
session.on("error", e => { console.error(e); process.exit(1); });
const body = fs.readFileSync(file);
function ask(method, path, data) {
    return new Promise((resolve, reject) => {
        const r = session.request({":method": method, ":path": path, ":authority": authority},
                                  {endStream: data === undefined});
        const hash = crypto.createHash("sha256");
        let status, length = 0;
        r.on("response", h => { status = h[":status"]; });
        r.on("data", d => { hash.update(d); length += d.length; });
        r.on("end", () => resolve({status, length, sha256: hash.digest("hex")}));
        r.on("error", reject);
        if (data !== undefined) r.end(data);
    });
}
(async () => {
    const asked = [];
    for (let n = 0; n < 100; n++) asked.push(ask("GET", "/bytes/" + n * 500));
    asked.push(ask("POST", "/echo", body), ask("POST", "/echo", Buffer.alloc(0)));
    console.log(JSON.stringify(await Promise.all(asked)));
    session.close();
})().catch(e => { console.error(e); process.exit(1); });
'''


def test_node_with_many_streams(gw, authority, tmp_path):
    (tmp_path / "client.js").write_text(NODE)
    (tmp_path / "body").write_bytes(pattern(LARGE))
    said = json.loads(tool("node", tmp_path / "client.js", f"https://{gw.secure[0]}:{gw.secure[1]}",
                           "uvicorn.localhost", authority.ca, tmp_path / "body"))
    bodies = [pattern(n * 500) for n in range(100)] + [pattern(LARGE), b""]
    assert said == [{"status": 200, "length": len(b), "sha256": hashlib.sha256(b).hexdigest()}
                    for b in bodies]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


def test_chromium_loads_a_page_of_many_resources(gw, browser):
    browser.get(base(gw, "page"))
    loaded = browser.execute_script(
        "return [ran, [...document.images].filter(i => i.complete && i.naturalWidth === 9).length,"
        " [...performance.getEntriesByType('resource'),"
        "  ...performance.getEntriesByType('navigation')].map(e => e.nextHopProtocol)]")
    assert loaded[:2] == [40, 60]
    assert len(loaded[2]) >= 101 and set(loaded[2]) == {"h2"}
