# SPDX-License-Identifier: Apache-2.0
"""Files that change while Lintel serves: certificates, keys, authorities, keys of tickets."""
import base64
import os
import shutil
import signal
import ssl
import threading
import time

import pytest

from lib.client import Client, tls_trust
from lib.configs import basic
from lib.prometheus import Metrics
from lib.wait import wait_until

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [TLS12, TLS13])


@pytest.fixture(scope="module")
def pairs(authority):
    """Pairs for the same name, by number."""
    return [authority.leaf("localhost", f"{i}.test") for i in range(4)]


def put(source, target):
    """As careful programs replace files: whole, at once."""
    new = target.with_suffix(".new")
    shutil.copyfile(source, new)
    os.replace(new, target)


def take(shop, pair):
    """Copies of a pair, where the configuration has it."""
    target = (shop.folder / "live.pem", shop.folder / "live.key")
    for source, path in zip(pair, target):
        put(source, path)
    return target


def config(live, watch="100ms", workers=2, **tls):
    conf = basic(routes=[{"match": "/*", "respond": {"body": "x"}}], workers=workers)
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["tls"] = {"watch": watch, **tls}
    conf["sites"][0]["tls"] = {"certificates": [{"certificate": str(live[0]), "key": str(live[1])}]}
    return conf


def serial(gw, trust):
    """The number of the pair that is shown now."""
    with Client(gw.secure, trust=trust) as client:
        assert client.request().status == 200
        names = [n for _, n in client.sock.getpeercert()["subjectAltName"]]
        return int(names[1].split(".")[0])


@pytest.fixture(scope="module")
def trust(authority):
    return tls_trust(authority.ca)


def test_a_new_pair_is_taken_up_by_every_worker(shop, pairs, trust):
    live = take(shop, pairs[0])
    gw = shop.lintel(config(live, workers=4))
    assert serial(gw, trust) == 0
    with Client(gw.secure, trust=trust) as old:
        assert old.request().status == 200
        take(shop, pairs[1])
        gw.wait_event("files_taken_up", policies="same")
        wait_until(lambda: {serial(gw, trust) for _ in range(12)} == {1}, "all workers")
        assert old.request().status == 200  # connections live on
    assert len(gw.events("reloaded")) == 0


def test_what_is_not_watched_waits_for_a_reload(shop, pairs, trust):
    live = take(shop, pairs[0])
    gw = shop.lintel(config(live, watch="0s"))
    take(shop, pairs[1])
    time.sleep(0.3)  # nothing may happen
    assert serial(gw, trust) == 0
    gw.reload()
    assert serial(gw, trust) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_a_pair_replaced_one_after_the_other_is_no_error(shop, pairs, trust, first):
    live = take(shop, pairs[0])
    gw = shop.lintel(config(live, watch="400ms"))
    put(pairs[1][first], live[first])
    began = time.monotonic()
    while time.monotonic() - began < 0.9:  # a look or two find a pair that doesn't fit
        assert serial(gw, trust) == 0
    put(pairs[1][1 - first], live[1 - first])
    wait_until(lambda: serial(gw, trust) == 1, "the new pair")
    assert not gw.events("changed_file_refused")


@pytest.mark.parametrize("damage", ["empty", "junk", "missing", "other", "cut"])
def test_a_bad_file_keeps_the_old_one_and_is_told(shop, pairs, trust, damage):
    live = take(shop, pairs[0])
    gw = shop.lintel(config(live))
    gw.allowed.add("changed_file_refused")
    if damage == "missing":
        live[0].unlink()
    elif damage == "other":
        put(pairs[1][1], live[1])
    else:
        text = pairs[1][0].read_text()
        live[0].write_text({"empty": "", "junk": "junk", "cut": text[:len(text) // 2]}[damage])
    event = gw.wait_event("changed_file_refused")
    assert str(live[1 if damage == "other" else 0]) in event["message"]
    assert event["instead"] == "what was there before is used"
    assert serial(gw, trust) == 0
    take(shop, pairs[2])
    wait_until(lambda: serial(gw, trust) == 2, "the good pair")
    assert len(gw.events("changed_file_refused")) == 1


def test_links_are_followed(shop, pairs, trust):
    """As certbot and Kubernetes do it: the path is a link, which is turned."""
    for i in (0, 1):
        folder = shop.folder / f"v{i}"
        folder.mkdir()
        shutil.copyfile(pairs[i][0], folder / "tls.crt")
        shutil.copyfile(pairs[i][1], folder / "tls.key")
    link = shop.folder / "data"
    link.symlink_to("v0")
    gw = shop.lintel(config((link / "tls.crt", link / "tls.key")))
    assert serial(gw, trust) == 0
    (shop.folder / "next").symlink_to("v1")
    os.replace(shop.folder / "next", link)
    wait_until(lambda: serial(gw, trust) == 1, "the other folder")


@pytest.mark.parametrize("times", [int(os.environ.get("LINTEL_TEST_SWAPS", "8"))])
def test_swaps_under_load_fail_no_handshake(shop, pairs, authority, times):
    live = take(shop, pairs[0])
    gw = shop.lintel(config(live, watch="20ms"))
    failures, done, over = [], [0], threading.Event()

    def visit():
        trust = tls_trust(authority.ca)
        while not over.is_set():
            try:
                with Client(gw.secure, trust=trust) as client:
                    assert client.request().status == 200
                done[0] += 1
            except Exception as error:
                failures.append(repr(error))
                return

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for i in range(1, times + 1):
            take(shop, pairs[i % len(pairs)])
            wait_until(lambda i=i: len(gw.events("files_taken_up")) >= i or failures, "the swap")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures and done[0] > times
    got = Metrics(gw.admin("/metrics").body.decode())
    assert got.sum("lintel_tls_failed_total") == 0
    assert not gw.events("changed_file_refused")


def test_what_was_taken_up_survives_reload_and_crash(shop, pairs, trust):
    live = take(shop, pairs[0])
    gw = shop.lintel(config(live))
    take(shop, pairs[1])
    gw.wait_event("files_taken_up")
    gw.reload()
    assert serial(gw, trust) == 1
    gw.allowed.add("gateway_exited")
    os.kill(gw.gateway_pid(), signal.SIGKILL)
    gw.wait_event("ready", 2)
    assert serial(gw, trust) == 1


def test_changes_and_reloads_at_the_same_time(shop, pairs, trust):
    live = take(shop, pairs[0])
    conf = config(live, watch="10ms")
    gw = shop.lintel(conf)
    for i in range(6):
        take(shop, pairs[i % 4])
        gw.reload(conf)
        assert serial(gw, trust) == i % 4
    wait_until(lambda: serial(gw, trust) == 1, "the last pair")


# ---- What ends soon ----

def test_expiry_is_in_the_metrics_and_follows_the_file(shop, authority, pairs):
    old, new = authority.leaf("localhost", "0.test", days=10), authority.leaf("localhost", "1.test", days=25)
    live = take(shop, old)
    gw = shop.lintel(config(live))

    def days():
        got = Metrics(gw.admin("/metrics").body.decode())
        ends = got.sum("lintel_certificate_expiry_timestamp_seconds", file=str(live[0]))
        return round((ends - time.time()) / 86400)
    assert days() == 10
    take(shop, new)
    wait_until(lambda: days() == 25, "the new date")


@pytest.mark.parametrize("days,age,warned", [(20, 60, True), (22, 60, False), (1, 1, False), (-1, 60, True)])
def test_what_ends_within_21_days_is_warned_of(shop, authority, days, age, warned):
    live = take(shop, authority.leaf("localhost", days=days, age=age))
    gw = shop.lintel(config(live))
    said = "expires soon" in gw.told() or "expired on" in gw.told()
    assert said == warned


# ---- Tickets ----

def visit(gw, trust, resume=None):
    """(whether it resumed, the newest ticket)"""
    with Client(gw.secure, trust=trust, resume=resume) as client:
        assert client.request().status == 200
        return client.sock.session_reused, client.sock.session


def key(n):
    return base64.b64encode(bytes([n]) * 80).decode()


@BOTH
def test_tickets_may_be_switched_off(shop, pairs, authority, version):
    gw = shop.lintel(config(take(shop, pairs[0]), tickets={"enabled": False}))
    trust = tls_trust(authority.ca, version)
    _, ticket = visit(gw, trust)
    assert ticket is None or not ticket.has_ticket
    assert not visit(gw, trust, ticket)[0]


@BOTH
def test_keys_rotate_and_old_tickets_are_good_for_three_more(shop, pairs, authority, version):
    """Resumption never fails while keys change under it; a ticket that is too old doesn't resume."""
    gw = shop.lintel(config(take(shop, pairs[0]), tickets={"rotate": "1s", "lifetime": "3s"}))
    trust = tls_trust(authority.ca, version)
    _, first = visit(gw, trust)
    ticket = first
    while len(gw.events("ticket_key_made")) < 3:
        reused, ticket = visit(gw, trust, ticket)
        assert reused
    assert visit(gw, trust, ticket)[0]
    wait_until(lambda: len(gw.events("ticket_key_made")) >= 6, "more keys", timeout=30)
    assert not visit(gw, trust, first)[0]


@BOTH
def test_a_fleet_shares_its_keys(shop, pairs, authority, version):
    live, keys = take(shop, pairs[0]), shop.folder / "tickets"
    keys.write_text(key(1))
    conf = config(live, tickets={"file": str(keys)})
    one, two = shop.lintel(conf), shop.lintel(conf)
    alone = shop.lintel(config(live))
    trust = tls_trust(authority.ca, version)
    _, ticket = visit(one, trust)
    assert visit(two, trust, ticket)[0]
    _, ticket = visit(one, trust)
    assert not visit(alone, trust, ticket)[0]
    # A new key is made known to all first, then used, then the old one goes.
    _, old = visit(one, trust)
    for text in (f"{key(1)}\n{key(2)}\n", f"{key(2)}\n{key(1)}\n"):
        count = len(one.events("ticket_keys_read")), len(two.events("ticket_keys_read"))
        keys.write_text(text)
        one.wait_event("ticket_keys_read", count[0] + 1)
        two.wait_event("ticket_keys_read", count[1] + 1)
    reused, newer = visit(two, trust, old)
    assert reused
    keys.write_text(key(2))
    one.wait_event("ticket_keys_read", 4)
    assert visit(one, trust, newer)[0]
    _, fresh = visit(one, trust)
    assert visit(two, trust, fresh)[0]


def test_bad_keys_of_a_fleet_keep_the_old_ones(shop, pairs, authority):
    live, keys = take(shop, pairs[0]), shop.folder / "tickets"
    keys.write_text(key(1))
    gw = shop.lintel(config(live, tickets={"file": str(keys)}))
    gw.allowed.add("changed_file_refused")
    trust = tls_trust(authority.ca, TLS13)
    _, ticket = visit(gw, trust)
    keys.write_text("nonsense")
    event = gw.wait_event("changed_file_refused")
    assert "is not 80 bytes in base64" in event["message"] and "nonsense" not in event["message"]
    assert visit(gw, trust, ticket)[0]


def test_keys_of_a_fleet_that_are_no_longer_wanted_open_nothing(shop, pairs, authority):
    live, keys = take(shop, pairs[0]), shop.folder / "tickets"
    keys.write_text(key(1))
    gw = shop.lintel(config(live, tickets={"file": str(keys)}))
    trust = tls_trust(authority.ca, TLS13)
    _, ticket = visit(gw, trust)
    gw.reload(config(live))
    assert not visit(gw, trust, ticket)[0]


@pytest.mark.parametrize("text", ["", "\n", "AAAA", key(1)[:-2], f"{key(1)}\n{key(1)}",
                                  "\n".join(key(i) for i in range(5)), key(1) + "=\n"])
def test_bad_files_of_keys_are_errors_at_load(shop, pairs, text):
    live, keys = take(shop, pairs[0]), shop.folder / "tickets"
    keys.write_text(text)
    gw = shop.lintel(config(live, tickets={"file": str(keys)}), wait=False)
    gw.allowed.update(("start_failed", "config_error", "gateway_exited"))
    gw.ended(1)
    assert str(keys) in gw.told()


@BOTH
def test_all_resume_over_workers_reload_and_restart(shop, pairs, authority, version):
    gw = shop.lintel(config(take(shop, pairs[0]), workers=2))
    trust = tls_trust(authority.ca, version)
    _, ticket = visit(gw, trust)
    for what in ("nothing", "reload", "restart", "certificate"):
        if what == "reload":
            gw.reload()
        elif what == "restart":
            gw.allowed.add("gateway_exited")
            os.kill(gw.gateway_pid(), signal.SIGKILL)
            gw.wait_event("ready", 2)
        elif what == "certificate":
            take(shop, pairs[1])
            gw.wait_event("files_taken_up")
        for _ in range(8):
            reused, ticket = visit(gw, trust, ticket)
            assert reused, what
