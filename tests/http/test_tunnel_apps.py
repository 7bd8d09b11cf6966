# SPDX-License-Identifier: Apache-2.0
"""WebSocket, Server-Sent Events and Socket.IO with real clients and servers. LINTEL_TEST_SECONDS
makes the run with reloads longer than its 5 seconds."""
import asyncio
import json
import os
import ssl
import subprocess
import time

import pytest
import socketio
import websockets

from lib.asgi import Uvicorn
from lib.client import head
from lib.configs import basic, with_tls
from lib.gateway import slowness
from lib.origin import pattern
from lib.wait import wait_until

SECONDS = float(os.environ.get("LINTEL_TEST_SECONDS", "5"))

APP = '''
import asyncio, time
import socketio
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

api = FastAPI()
io = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(io, other_asgi_app=api)

@api.get("/up")
async def up():
    return "yes"

@api.websocket("/echo")
async def echo(ws: WebSocket):
    await ws.accept(subprotocol="chat" if "chat" in ws.scope["subprotocols"] else None)
    try:
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is not None:
                await ws.send_text(message["text"])
            else:
                await ws.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass

@api.websocket("/closed")
async def closed(ws: WebSocket):
    await ws.accept()
    await ws.close(code=4001, reason="enough")

@api.websocket("/refused")
async def refused(ws: WebSocket):
    await ws.close()

@api.get("/events")
async def events():
    async def stream():
        for i in range(20):
            yield f"data: {time.time()}\\n\\n"
            await asyncio.sleep(0.07)
    return StreamingResponse(stream(), media_type="text/event-stream")

@io.event
async def say(sid, text):
    await io.emit("said", text + "!", to=sid)
    return "ok"
'''

NODE = '''
const WebSocket = require("ws");
const ws = new WebSocket(process.argv[2], ["chat"], {perMessageDeflate: true});
const sizes = [0, 1, 125, 126, 65535, 65536, 1000000];
let at = 0;
ws.on("open", () => ws.send("x".repeat(sizes[at])));
ws.on("message", data => {
    if (data.toString() !== "x".repeat(sizes[at])) { console.log("wrong"); process.exit(1); }
    if (++at < sizes.length) { ws.send("x".repeat(sizes[at])); } else { ws.ping("p"); }
});
ws.on("pong", () => ws.close(1000, "done"));
ws.on("close", (code, reason) => { console.log(ws.protocol, code, reason.toString(), at); });
ws.on("error", e => { console.log("error", e.message); process.exit(1); });
'''

NODE_CROWD = '''
const WebSocket = require("ws");
const [url, count, seconds] = process.argv.slice(2);
const end = Date.now() + seconds * 1000;
let open = Number(count), broken = 0, least = Infinity;
for (let number = 0; number < count; number++) {
    const ws = new WebSocket(url);
    let n = 0;
    const say = () => Date.now() < end ? ws.send(`${number} ${n}`) : ws.close(1000);
    ws.on("open", say);
    ws.on("message", data => {
        if (data.toString() !== `${number} ${n}`) { broken++; }
        n++;
        setTimeout(say, 100);
    });
    ws.on("error", () => broken++);
    ws.on("close", code => {
        if (code !== 1000) { broken++; }
        least = Math.min(least, n);
        if (--open === 0) { console.log(JSON.stringify({broken, least})); }
    });
}
'''


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    server = Uvicorn(tmp_path_factory.mktemp("asgi"), "tunnel_app", APP)
    yield server
    server.stop()


def url(gw, path, scheme="ws"):
    host, port = gw.plain
    return f"{scheme}://{host}:{port}{path}"


def test_websockets_of_python(shop, app, authority):
    cert, key = authority.leaf("localhost")
    gw = shop.lintel(with_tls(basic(app), cert, key))
    host, port = gw.secure
    trust = ssl.create_default_context(cafile=authority.ca)

    async def converse():
        async with websockets.connect(url(gw, "/echo"), subprotocols=["chat"]) as ws:
            assert ws.subprotocol == "chat"
            for message in ("", "ä" * 1000, pattern(900_000)):
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping())
        async with websockets.connect(f"wss://localhost:{port}/echo", host=host, ssl=trust,
                                      server_hostname="localhost") as ws:
            await ws.send("secret")
            assert await ws.recv() == "secret"
        async with websockets.connect(url(gw, "/closed")) as ws:
            await ws.wait_closed()
            assert ws.close_code == 4001 and ws.close_reason == "enough"
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            await websockets.connect(url(gw, "/refused"))
        assert refused.value.status_code == 403
    asyncio.run(converse())
    lines = gw.access(3, status=101)
    assert len(lines) == 3 and not [line for line in lines if "cause" in line]


def node(shop, text, *args):
    """A running program of Node's."""
    script = shop.folder / "client.js"
    script.write_text(text)
    return subprocess.Popen(["node", str(script), *map(str, args)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "NODE_PATH": "/usr/share/nodejs:/usr/lib/nodejs"})


def test_ws_of_node(shop, app):
    gw = shop.lintel(basic(app))
    told, errors = node(shop, NODE, url(gw, "/echo")).communicate(timeout=60)
    assert told == "chat 1000 done 7\n", (told, errors)


def test_100_websockets_while_the_configuration_is_reloaded(shop, app):
    config = basic(app, workers=2)
    gw = shop.lintel(config)
    told = []

    async def talk(number, end):
        async with websockets.connect(url(gw, "/echo"), compression=None) as ws:
            n = 0
            while time.monotonic() < end:
                await ws.send(f"{number} {n}")
                assert await ws.recv() == f"{number} {n}"
                n += 1
                await asyncio.sleep(0.1)
            told.append(n)

    async def reload(end):
        every = 5 if SECONDS > 20 else 1
        while time.monotonic() + every < end:
            await asyncio.sleep(every)
            limits = {"connections": 1000 + len(gw.events("reloaded"))}
            await asyncio.get_running_loop().run_in_executor(
                None, gw.reload, {**config, "limits": limits})

    async def everything():
        end = time.monotonic() + SECONDS
        await asyncio.gather(reload(end), *(talk(i, end) for i in range(50)))
    crowd = node(shop, NODE_CROWD, url(gw, "/echo"), 50, SECONDS)
    asyncio.run(everything())
    assert len(told) == 50 and min(told) > SECONDS
    out, errors = crowd.communicate(timeout=30)
    assert not errors and json.loads(out)["broken"] == 0, (out, errors)
    assert json.loads(out)["least"] > SECONDS
    assert not [line for line in gw.access(100, status=101) if "cause" in line]
    wait_until(lambda: json.loads(gw.admin("/status").body)["config"]["snapshots"] == 1,
               "old snapshots to be freed")


def test_each_event_of_a_stream_arrives_at_once(shop, app):
    gw = shop.lintel(basic(app))
    late = []
    with gw.client() as client:
        client.send(head("GET", "/events", {"Accept": "text/event-stream"}))
        data = b""
        while b"0\r\n\r\n" not in data[-7:]:
            data += client.sock.recv(65536)
            now = time.time()
            events = data.count(b"data: ")
            while len(late) < events:
                text = data.split(b"data: ")[len(late) + 1].split(b"\n")[0]
                late.append(now - float(text))
    assert len(late) == 20
    assert max(late) < 0.05 * slowness(), late


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]],
                         ids=["websocket", "polling", "upgraded"])
def test_socket_io(shop, app, transports):
    gw = shop.lintel(basic(app, drain={"timeout": "300ms"}))

    async def converse():
        said = asyncio.Queue()
        client = socketio.AsyncClient()
        client.on("said", said.put)
        await client.connect(url(gw, "/", "http"), transports=transports)
        for i in range(20):
            assert await client.call("say", str(i)) == "ok"
            assert await asyncio.wait_for(said.get(), 10) == f"{i}!"
        assert client.transport() == transports[-1]
        await client.disconnect()
        await asyncio.gather(*(t for t in asyncio.all_tasks() if t is not asyncio.current_task()))
        await client.eio.http.close()  # which it leaves open
    asyncio.run(converse())
    if "websocket" in transports:
        # That client may close before it has read all, which is a reset.
        assert gw.access(status=101)[0].get("cause") in (None, "client_gone")
