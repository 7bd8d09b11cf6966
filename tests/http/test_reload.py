# SPDX-License-Identifier: Apache-2.0
"""A reload changes what is served and nothing else."""
import threading
import time

from lib.client import Client, connect, fetch, head, tls_trust
from lib.configs import basic, with_tls
from lib.origin import pattern
from lib.wait import wait_until


def saying(text, **more):
    return basic(routes=[{"match": "/*", "respond": {"body": text}}], **more)


class Load:
    """Threads that ask over connections they keep, and note every failure."""

    def __init__(self, address, threads, trust=None):
        self.count, self.failures = 0, []
        self._address, self._trust = address, trust
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                with Client(self._address, trust=self._trust) as client:
                    for _ in range(50):
                        response = client.request(target="/load")
                        assert response.status == 200, response
                        self.count += 1
                        if self._stop.is_set():
                            break
                        time.sleep(0.005)
            except Exception as failure:  # pylint: disable=broad-except
                self.failures.append(repr(failure))

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.failures, self.failures[:3]
        assert self.count > 20


def test_a_reload_changes_what_is_served(shop):
    gw = shop.lintel(saying("one"))
    with gw.client() as client:
        assert client.request().body == b"one"
        gw.reload(saying("two"))
        assert client.request().body == b"two"
    assert gw.get().body == b"two"
    assert len(gw.gateways()) == 1


def test_a_mistaken_configuration_leaves_the_old_one_serving(shop):
    gw = shop.lintel(saying("one"))
    with gw.client() as client:
        bad = saying("two")
        bad["worker"] = 3
        bad["listen"][0]["adress"] = "x"
        gw.reload(bad, fails=True)
        assert client.request().body == b"one"
        told = "\n".join(gw.stderr.lines)
        assert "worker" in told and "adress" in told, "not all mistakes were told"
        assert gw.get().body == b"one"
        gw.reload(saying("three"))
        assert client.request().body == b"three"


def test_a_configuration_that_is_gone_leaves_the_old_one_serving(shop):
    gw = shop.lintel(saying("one"))
    gw.config.unlink()
    gw.reload(fails=True)
    assert gw.get().body == b"one"


def test_a_filter_that_can_not_be_loaded_leaves_the_old_one_serving(shop):
    gw = shop.lintel(saying("one"))
    bad = saying("two", filters={"f": {"filter": "no_such_filter"}})
    bad["sites"][0]["filters"] = ["f"]
    gw.reload(bad, fails=True)
    assert gw.get().body == b"one"


def test_a_listener_that_can_not_be_opened_leaves_the_old_one_serving(shop):
    app = shop.echo()
    gw = shop.lintel(saying("one"))
    bad = saying("two")
    bad["listen"].append({"name": "taken", "address": app.address})
    gw.reload(bad, fails=True)
    assert gw.get().body == b"one"


def test_listeners_come_and_go(shop):
    gw = shop.lintel(saying("one"))
    more = saying("two")
    more["listen"].append({"name": "more", "address": f"unix:{shop.folder}/more.sock"})
    gw.reload(more)
    path = f"{shop.folder}/more.sock"
    with Client(path) as kept:
        assert kept.request().body == b"two"
        gw.reload(saying("three"))
        assert gw.get().body == b"three"
        # A connection that was accepted lives on; new ones are not accepted.
        assert kept.request().body in (b"two", b"three")

    def refused():
        try:
            connect(path).close()
            return False
        except (ConnectionRefusedError, FileNotFoundError):
            return True
    wait_until(refused, "the listener to be closed")
    gw.reload(more)
    assert fetch(path).body == b"two"


def test_a_listeners_port_stays_over_reloads(shop):
    gw = shop.lintel(saying("one", workers=2))
    before = gw.plain
    for i in range(3):
        gw.reload(saying(str(i), workers=2))
        assert fetch(before).body == str(i).encode()


def test_an_exchange_in_progress_ends_under_the_configuration_it_began_with(shop):
    old, new = shop.echo("old", delay=1), shop.echo("new")
    gw = shop.lintel(basic(old))
    with gw.client() as client:
        client.send(head("GET", "/x"))
        wait_until(lambda: old.active, "the request at the server")
        gw.reload(basic(new))
        assert client.response().headers.get("server") == "old"
        assert client.request().headers.get("server") == "new"


def test_limits_survive_a_reload(shop):
    config = saying("ok", filters={"limit": {"filter": "rate_limit", "key": "client.ip",
                                             "rate": "3/1h"}})
    config["sites"][0]["filters"] = ["limit"]
    gw = shop.lintel(config)
    assert [gw.get().status for _ in range(3)] == [200] * 3
    gw.reload(config)
    assert gw.get().status == 429


def test_twenty_reloads_under_load_fail_no_request_and_break_no_download(shop, authority):
    cert, key = authority.leaf("localhost")
    app = shop.echo()
    config = with_tls(basic(app, workers=2), cert, key)
    gw = shop.lintel(config)
    trust = tls_trust(authority.ca)
    loads = [Load(gw.plain, 3), Load(gw.secure, 2, trust)]
    downloads = []

    def download():
        with gw.client() as client:
            client.send(head("GET", f"/bytes/{16 << 20}"))
            response = client.reader.response_head()
            body = bytearray()
            while len(body) < 16 << 20:
                # Slowly, so that it spans the reloads.
                body += client.reader._exactly(min(1 << 20, (16 << 20) - len(body)))
                time.sleep(0.3)
            downloads.append(response.status == 200 and bytes(body) == pattern(16 << 20))
    thread = threading.Thread(target=download)
    thread.start()
    for i in range(20):
        config["sites"][0]["routes"] = [{"match": "/*", "to": "app"},
                                        {"match": f"/only-{i}", "respond": 200}]
        gw.reload(config)
        assert gw.get(f"/only-{i}").status == 200
        time.sleep(0.1)
    thread.join()
    for load in loads:
        load.stop()
    assert downloads == [True]
    assert not gw.events("gateway_exited")
    assert len(gw.gateways()) == 1


def test_reloads_leave_no_memory_behind(shop):
    """A snapshot that stayed would show: each is more than a megabyte."""
    def large(i):
        return saying("x" * (1 << 20) + str(i))
    # AddressSanitizer holds back what was freed: little of it here, so that growth can be seen.
    gw = shop.lintel(large(0), env={"ASAN_OPTIONS": "exitcode=99:quarantine_size_mb=1"})
    for i in range(5):
        gw.reload(large(i))
    before = gw.memory()
    for i in range(40):
        gw.reload(large(i))
        assert gw.get().status == 200
    assert gw.memory() - before < 30 << 20


def test_a_connection_of_a_listener_that_goes_ends_with_a_response_as_before(shop):
    app = shop.echo()
    config = basic(app, site={"listeners": ["plain"]}, defaults={"body": {"max": "64K"}})
    gw = shop.lintel(config)
    with gw.client() as client, gw.client() as other:
        assert client.request("POST", "/echo", body=b"one").status == 200
        assert other.request().status == 200
        # The same name elsewhere: its sites answer where the client came in, by the same limits.
        config["listen"][0]["address"] = "127.0.0.3:0"
        gw.reload(config)
        response = client.request("POST", "/echo", body=b"two" * 1000)
        assert response.status == 200, response
        assert response.headers.get("connection") == "close" and client.ends()
        assert other.request("POST", "/echo", body=b"x" * 70000).status == 413
