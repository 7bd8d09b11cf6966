# SPDX-License-Identifier: Apache-2.0
"""Slow clients in numbers: they hold memory for themselves and nothing else. `bench/slow`
does the same with thousands."""
import threading
import time

import pytest

from lib.client import head
from lib.configs import basic
from lib.gateway import sanitized, slowness
from lib.origin import always, pattern
from lib.wait import wait_until

CLIENTS, SECONDS = 200, 3


def slow_head(client):
    client.send(b"GET / HTTP/1.1\r\nHost: local")


def slow_body(client):
    client.send(head("POST", "/", {"Content-Length": "100000"}) + bytes(20000))


def slow_reader(client):
    client.send(head("GET", "/big"))


def go_on(kind, client):
    """A little more of what the client is slow with."""
    if kind is slow_reader:
        client.sock.recv(1000)
    else:
        client.send(b"x")


@pytest.mark.parametrize("kind", [slow_head, slow_body, slow_reader])
def test_many_slow_clients_cost_little_memory_and_no_time_of_others(shop, kind):
    big = pattern(1 << 20)
    app = shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big) + big))
    gw = shop.lintel(basic(app, routes=[{"match": "/*", "to": "app"},
                                        {"match": "/fast", "respond": {"body": "ok"}}]))
    for _ in range(20):
        assert gw.get("/fast").status == gw.get("/big").status == 200
    before = gw.memory()
    clients = [gw.client() for _ in range(CLIENTS)]
    for client in clients:
        kind(client)
    if kind is slow_reader:  # the application, which shares this process, has done its part
        wait_until(lambda: len(app.requests) == CLIENTS + 20, "all requests")
        time.sleep(0.5)
    end = threading.Event()

    def drip():
        while not end.wait(0.5):
            for client in clients:
                go_on(kind, client)
    thread = threading.Thread(target=drip)
    thread.start()
    took, until = [], time.monotonic() + SECONDS
    while time.monotonic() < until:
        began = time.monotonic()
        assert gw.get("/fast").status == 200
        took.append(time.monotonic() - began)
        time.sleep(0.02)
    growth = gw.memory() - before
    end.set()
    thread.join()
    for client in clients:
        client.close()
    assert sorted(took)[len(took) * 99 // 100] < 0.1 * slowness(), took
    assert growth < 64 << 20
    assert gw.get("/big").body == big


def test_an_idle_connection_holds_no_buffer(shop):
    """A buffer would be 64 KB. What a sanitizer adds to each allocation is more than a connection is."""
    gw = shop.lintel(basic(shop.echo(), limits={"connections": 2000}))
    for _ in range(20):
        assert gw.get("/bytes/100000").status == 200
    before = gw.memory()
    clients = [gw.client() for _ in range(300)]
    for client in clients:
        assert client.request().status == 200
    wait_until(lambda: b'"exchanges":0' in gw.admin("/status").body.replace(b" ", b""), "rest")
    assert (gw.memory() - before) / len(clients) < (40000 if sanitized() else 4096)
    for client in clients:
        client.close()
