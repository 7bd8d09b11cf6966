# SPDX-License-Identifier: Apache-2.0
"""Which server of several a request gets: keys, cookies, backups, slow start, panic."""
import json
import os
import re
import signal
import threading
import time

import pytest

from lib.client import Client, tls_trust
from lib.configs import basic, with_tls
from lib.h2_origin import app as h2_app, h2_script
from lib.wait import wait_until

COOKIE = re.compile(r"lintel_server=([0-9a-f]{32}); Path=/; HttpOnly; SameSite=Lax\Z")
SECRET = "a secret that is long enough"


def config_of(*origins, balance, **top):
    top.setdefault("workers", 1)
    servers = [o if isinstance(o, dict) else {"address": o.address} for o in origins]
    # Without idle connections a server is gone as soon as its socket is.
    return basic(*servers, app={"balance": balance, "keepalive": {"max": 0}}, **top)


def ask(gateway, headers=(), **options):
    """(which application answered, the Set-Cookie that came or None)."""
    response = gateway.get("/", headers=headers, **options)
    assert response.status == 200, response
    return json.loads(response.body)["app"], response.headers.get("set-cookie")


def user(name):
    return [("X-User", name)]


def homes(gateway, users):
    return {name: ask(gateway, user(name))[0] for name in users}


def token(made):
    return COOKIE.match(made).group(1)


def with_cookie(value, name="lintel_server"):
    return [("Cookie", f"a=b; {name}={value}; c=d")]


class Away:
    """A server whose Unix socket is gone for a while."""

    def __init__(self, origin):
        self.path = origin.path

    def __enter__(self):
        os.rename(self.path, self.path + ".away")

    def __exit__(self, *_exc):
        os.rename(self.path + ".away", self.path)


@pytest.fixture
def three(shop):
    return [shop.echo(name, unix=True) for name in "abc"]


USERS = [f"user-{i}" for i in range(60)]

# ---- keys ----

HASH = {"hash": "header.x-user or client.ip"}


def test_a_key_stays_at_one_server(shop, three):
    gw = shop.lintel(config_of(*three, balance=HASH, workers=3))
    first = homes(gw, USERS)
    assert set(first.values()) == set("abc")
    assert homes(gw, USERS) == first
    gw.reload(config_of(*reversed(three), balance=HASH, workers=3))
    assert homes(gw, USERS) == first
    assert len({ask(gw)[0] for _ in range(10)}) == 1, "the address is the key of who has no name"


def test_only_the_keys_of_a_server_that_leaves_move(shop, three):
    gw = shop.lintel(config_of(*three, balance=HASH))
    first = homes(gw, USERS)
    gw.reload(config_of(*three[:2], balance=HASH))
    after = homes(gw, USERS)
    assert {n for n in USERS if after[n] != first[n]} == {n for n in USERS if first[n] == "c"}
    gw.reload(config_of(*three, balance=HASH))
    assert homes(gw, USERS) == first


def test_keys_of_a_server_that_is_down_go_to_all_others_and_come_back(shop, three):
    gw = shop.lintel(config_of(*three, balance=HASH))
    first = homes(gw, USERS)
    with Away(three[0]):
        meanwhile = homes(gw, USERS)
        assert {meanwhile[n] for n in USERS if first[n] == "a"} == {"b", "c"}
        assert all(meanwhile[n] == first[n] for n in USERS if first[n] != "a")
    wait_until(lambda: homes(gw, USERS) == first, "all are back")


def test_who_has_no_key_is_balanced(shop, three):
    gw = shop.lintel(config_of(*three, balance={"hash": "header.x-user"}))
    assert {ask(gw)[0] for _ in range(60)} == set("abc")


def test_a_bound_keeps_one_key_from_overloading_its_server(shop):
    slow = [shop.echo(name, delay=0.7) for name in "ab"]
    gw = shop.lintel(config_of(*slow, balance={**HASH, "bound": "125%"}))
    threads = [threading.Thread(target=gw.get, kwargs={"headers": user("hot")}) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slow[0].served + slow[1].served == 16
    assert max(slow[0].peak, slow[1].peak) <= 10  # 125 % of the average of 8


def test_keys_of_http2_servers(shop):
    origins = [shop.origin(h2_app) for _ in range(2)]
    config = config_of(*origins, balance=HASH)
    config["upstreams"]["app"]["protocol"] = "h2c"
    gw = shop.lintel(config)

    def servers_of(users, what):
        for name in users:
            assert gw.get(f"/{what}/{name}", headers=user(name)).status == 200
        return [gw.access(path=f"/{what}/{name}")[0]["server"] for name in users]
    first = servers_of(USERS[:12], "once")
    assert set(first) == {o.address for o in origins}
    assert servers_of(USERS[:12], "twice") == first


# ---- cookies ----

def test_a_client_stays_at_its_server(shop, three):
    gw = shop.lintel(config_of(*three, balance={"sticky": True}, workers=3))
    for _ in range(6):
        home, made = ask(gw)
        for _ in range(5):
            assert ask(gw, with_cookie(token(made))) == (home, None)


def test_a_home_outlives_reloads_crashes_and_an_absence(shop, three):
    gw = shop.lintel(config_of(*three, balance={"sticky": True}))
    home, made = ask(gw)
    mine = with_cookie(token(made))
    gw.reload(config_of(*reversed(three), balance={"sticky": True, "by": "round_robin"}))
    assert {ask(gw, mine) for _ in range(5)} == {(home, None)}
    gw.allowed.add("gateway_exited")
    os.kill(gw.gateway_pid(), signal.SIGKILL)
    assert {ask(gw, mine) for _ in range(5)} == {(home, None)}
    with Away(next(o for o in three if o.app_name == home)):
        meanwhile = {ask(gw, mine) for _ in range(8)}
        assert len(meanwhile) == 1 and meanwhile != {(home, None)}, "one other, and no new cookie"
        assert next(iter(meanwhile))[1] is None
    wait_until(lambda: ask(gw, mine) == (home, None), "the client is back")


def test_a_secret_holds_over_starts(shop, three):
    balance = {"sticky": {"secret": SECRET, "name": "where", "path": "/app", "ttl": "1h",
                          "same_site": "strict"}}
    made, homes_seen = None, set()
    for _ in range(2):
        gw = shop.lintel(config_of(*three, balance=balance))
        if made is None:
            home, made = ask(gw)
            value = re.fullmatch(r"where=([0-9a-f]{32}); Path=/app; HttpOnly; SameSite=Strict; "
                                 r"Max-Age=3600", made).group(1)
        homes_seen |= {ask(gw, with_cookie(value, "where")) for _ in range(6)}
        gw.stop()
    assert homes_seen == {(home, None)}


@pytest.mark.parametrize("forged", ["x", "0" * 32, "f" * 31, "F" * 32, "a" * 4000, '"x"', "%00"])
def test_what_nobody_signed_is_ignored(shop, three, forged):
    gw = shop.lintel(config_of(*three, balance={"sticky": True}))
    home, made = ask(gw, with_cookie(forged))
    assert ask(gw, with_cookie(token(made))) == (home, None)


def test_the_cookie_of_another_upstream_is_ignored(shop, three):
    config = config_of(*three, balance={"sticky": True})
    config["upstreams"]["other"] = dict(config["upstreams"]["app"])
    config["sites"][0]["routes"].insert(0, {"match": "/other", "to": "other"})
    gw = shop.lintel(config)
    made = gw.get("/other").headers.get("set-cookie")
    assert ask(gw, with_cookie(token(made)))[1] is not None


def test_a_server_that_is_gone_keeps_nobody(shop, three):
    gw = shop.lintel(config_of(three[0], balance={"sticky": True}))
    mine = with_cookie(token(ask(gw)[1]))
    gw.reload(config_of(*three[1:], balance={"sticky": True}))
    home, made = ask(gw, mine)
    assert home != "a" and ask(gw, with_cookie(token(made))) == (home, None)


def test_the_cookie_is_secure_over_tls(shop, three, authority):
    config = with_tls(config_of(*three, balance={"sticky": True}), *authority.leaf("localhost"))
    gw = shop.lintel(config)
    with Client(gw.secure, trust=tls_trust(authority.ca)) as client:
        made = client.request(target="/").headers.get("set-cookie")
    assert re.fullmatch(r"lintel_server=[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Lax; Secure", made)


def test_an_answer_of_our_own_sets_no_cookie(shop):
    gw = shop.lintel(config_of(shop.refusing(), balance={"sticky": True}))
    response = gw.get("/")
    assert response.status == 502 and "set-cookie" not in response.headers


# ---- the others ----

def test_backups_serve_while_no_other_does(shop, three):
    spare = shop.echo("spare")
    gw = shop.lintel(config_of(*three[:1], {"address": spare.address, "backup": True},
                               balance={"sticky": True}))
    home, made = ask(gw)
    assert home == "a"
    with Away(three[0]):
        assert {ask(gw, with_cookie(token(made))) for _ in range(6)} == {("spare", None)}
        new = token(ask(gw)[1])
    wait_until(lambda: ask(gw)[0] == "a", "the ordinary server is back")
    # Whom the spare one got first moves with a new cookie.
    home, made = ask(gw, with_cookie(new))
    assert home == "a" and made is not None


@pytest.mark.parametrize("by", ["p2c", "round_robin", "least_requests", "peak_ewma", "random"])
def test_every_balancer_reaches_all_and_heeds_max(shop, by):
    origins = [shop.echo(name, delay=0.05) for name in "abc"]
    gw = shop.lintel(config_of(*({"address": o.address, "max": 2} for o in origins), balance=by,
                               workers=2))
    threads = [threading.Thread(target=lambda: [gw.get() for _ in range(8)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(o.served for o in origins) >= 1
    assert max(o.peak for o in origins) <= 2


def test_a_server_that_was_added_starts_slowly(shop, three):
    balance = {"by": "round_robin", "slow_start": "4s"}
    gw = shop.lintel(config_of(*three[:2], balance=balance))
    assert {ask(gw)[0] for _ in range(10)} == {"a", "b"}, "all came at once"
    time.sleep(4)
    gw.reload(config_of(*three, balance=balance))
    seen = [ask(gw)[0] for _ in range(30)]
    assert seen.count("c") <= 6, "not yet its third"
    time.sleep(4)
    assert [ask(gw)[0] for _ in range(9)].count("c") == 3


@pytest.mark.parametrize("protocol", ["h1", "h2c"])
def test_connections_are_capped_over_all_workers(shop, protocol):
    """Idle ones of one worker make room for another's."""
    server = shop.origin(h2_app) if protocol == "h2c" else shop.echo()
    gw = shop.lintel(basic({"address": server.address, "max_connections": 1}, workers=3,
                           app={"protocol": protocol, "keepalive": {"idle": "60s"}}))

    def well():
        response = gw.get("/")
        assert response.status == 200 or json.loads(response.body)["cause"] == "servers_busy"
        return response.status == 200
    assert well()
    for _ in range(30):  # clients come to one worker or another
        wait_until(well, "room for a connection")
        # The one that made room may still be going.
        wait_until(lambda: sum(not p.closed.is_set() for p in server.peers) <= 1, "the other's end")
    assert len(server.peers) > 1


def test_at_the_cap_a_worker_closes_its_own_idle_connection(shop):
    server = shop.echo()
    gw = shop.lintel(basic({"address": server.address, "max_connections": 2}, workers=1,
                           app={"keepalive": {"idle": "60s", "unsafe_idle": "0"},
                                "queue": {"size": 0}}))
    for _ in range(6):
        assert gw.get("/", method="POST", body=b"x").status == 200
    wait_until(lambda: len([p for p in server.peers if not p.closed.is_set()]) <= 2, "the cap")
    threads = [threading.Thread(target=gw.get, args=("/sleep/400",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: server.active == 2, "both are busy")
    refused = gw.get("/")
    assert refused.status == 503 and json.loads(refused.body)["cause"] == "servers_busy"
    for thread in threads:
        thread.join()
    assert gw.get("/").status == 200


@pytest.mark.parametrize("protocol, cap", [("h1", 2), ("h2c", 1)])
def test_a_cap_goes_round_among_the_workers(shop, protocol, cap):
    """No worker keeps the connections while others have clients that wait."""
    @h2_script
    def one_by_one(h2):
        while True:
            stream = h2.request()
            time.sleep(0.005)
            h2.respond(stream, 200, body=b"ok")
    server = shop.origin(one_by_one) if protocol == "h2c" else shop.echo(delay=0.005)
    gw = shop.lintel(basic({"address": server.address, "max_connections": cap}, workers=4,
                           app={"protocol": protocol, "queue": {"wait": "60s", "target": "60s"}}))
    served, bad = [0] * 12, []
    done = threading.Event()

    def go(i):
        with gw.client() as client:
            while not done.is_set():
                response = client.request()
                served[i] += response.status == 200
                if response.status != 200:
                    bad.append(response.body)
                    return
    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(served))]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: bad or min(served) >= 10, "all are served again and again", 60)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not bad


@pytest.mark.parametrize("workers", [1, 2])
def test_streams_of_the_only_connection_are_waited_for(shop, workers):
    @h2_script
    def one_by_one(h2):
        while True:
            stream = h2.request()
            time.sleep(0.01)
            h2.respond(stream, 200, body=b"ok")
    server = shop.origin(one_by_one)
    gw = shop.lintel(basic({"address": server.address, "max_connections": 1}, workers=workers,
                           app={"protocol": "h2c", "http2": {"streams": 2},
                                "queue": {"wait": "60s", "target": "60s"}}))
    statuses = []

    def go():
        with gw.client() as client:
            statuses.extend(client.request().status for _ in range(5))
    threads = [threading.Thread(target=go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 30


# ---- mistakes ----

@pytest.mark.parametrize("balance, error, hint", [
    ("p3c", '"p3c" is not one of the choices', 'did you mean "p2c"?'),
    ("hash", "nothing says what is hashed", "balance: {hash: header.x-user or client.ip}"),
    ({"by": "p2c", "hash": "client.ip"}, "hash: works only by: hash", "leave `by` out"),
    ({"bound": "125%"}, 'bound: works only together with "hash"', "leave it out"),
    ({**HASH, "bound": "90%"}, "bound", "101%"),
    ({"panic": "101%"}, "panic", "up to 100"),
    ({"sticky": {"secret": "short"}}, "secret", "16"),
    ({"sticky": {"path": "x; y"}}, "this can't be the path of a cookie", "begins with /"),
    ({"sticky": {"name": "a b"}}, "this can't be the name of a cookie", "letters"),
])
def test_what_balances_nothing_is_an_error(shop, tmp_path, balance, error, hint):
    from lib.gateway import command, text_of  # pylint: disable=import-outside-toplevel
    file = tmp_path / "lintel.yaml"
    file.write_text(text_of(config_of({"address": "127.0.0.1:1"}, balance=balance)))
    done = command("check", "-c", file)
    assert done.returncode != 0
    assert error in done.stdout + done.stderr and hint in done.stdout + done.stderr


def test_what_defaults_say_can_be_chosen_otherwise(shop, three):
    config = config_of(*three, balance="round_robin")
    config["defaults"] = {"upstream": {"balance": {**HASH, "sticky": {"name": "seat"}}}}
    gw = shop.lintel(config)
    seen = [ask(gw) for _ in range(6)]
    assert sorted(name for name, _ in seen) == list("aabbcc")
    assert all(made.startswith("seat=") for _, made in seen)
