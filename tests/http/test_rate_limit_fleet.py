# SPDX-License-Identifier: Apache-2.0
"""Several Lintels that count together in Redis. By default the window is short; for the real
thing, with an optimised build:

    LINTEL_FLEET_PERIOD=60 LINTEL_FLEET_COUNT=100 LINTEL_FLEET_PER_SECOND=50 \\
        LINTEL=build/lintel pytest -s tests/http/test_rate_limit_fleet.py
"""
import collections
import os
import time

import pytest

from lib.client import fetch
from lib.configs import basic
from lib.prometheus import Metrics
from lib.redis import RedisError
from lib.wait import wait_until
from test_filter_redis import cluster, redis, watched  # noqa: F401  pylint: disable=unused-import

PERIOD = int(os.environ.get("LINTEL_FLEET_PERIOD", "3"))
COUNT = int(os.environ.get("LINTEL_FLEET_COUNT", "20"))
PER_SECOND = int(os.environ.get("LINTEL_FLEET_PER_SECOND", "40"))
WINDOWS = 3
LINTELS = 3


class Fleet:
    """Lintels with one limit; requests go to them in turn."""

    def __init__(self, shop, url, **settings):
        config = basic(routes=[{"match": "/*", "respond": {"body": "ok"}}], workers=2)
        # A timeout that no machine is slow enough for, so that a count alone is no accident.
        config["filters"] = {"fleet": {
            "filter": "rate_limit", "rate": f"{COUNT}/{PERIOD}s", "key": "header.x-key",
            "redis": url, "timeout": "4s", "budget": {"wall": "10s"}, **settings}}
        config["sites"][0]["filters"] = ["fleet"]
        self.gateways = [shop.lintel(config) for _ in range(LINTELS)]
        self.sent = 0
        self.slowest = 0.0
        self.statuses = collections.Counter()

    def send(self, key="k"):
        gw = self.gateways[self.sent % LINTELS]
        self.sent += 1
        began = time.monotonic()
        response = fetch(gw.plain, headers={"X-Key": key})
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.statuses[response.status] += 1
        # What is not the limit's own is a failure that a limit must never be the reason for.
        assert response.status in (200, 429), response
        assert response.headers.get("ratelimit")
        return response.status == 200

    def passed(self, windows=WINDOWS):
        """How many pass in each of so many whole windows of the clock."""
        per_window = collections.Counter()
        first = int(time.time() // PERIOD) + 1
        while time.time() < (first + windows) * PERIOD:
            passed = self.send()
            number = int(time.time() // PERIOD)
            if passed and first <= number < first + windows:
                per_window[number] += 1
            time.sleep(1 / PER_SECOND)
        counts = [per_window[first + i] for i in range(windows)]
        print(f"\n{COUNT}/{PERIOD}s, {LINTELS} Lintels, {PER_SECOND} requests/s: {counts} passed, "
              f"slowest {self.slowest * 1000:.1f} ms")
        return counts

    def fallbacks(self):
        """Per Lintel, how many requests it counted alone."""
        return [sum(v for _, v in Metrics(gw.admin("/metrics").body.decode())
                    .samples["lintel_limit_fallbacks_total"]) for gw in self.gateways]

    def until(self, condition, what):
        """Sends until it holds; gives the seconds that it took."""
        began = time.monotonic()

        def sent():
            self.send("other")
            return condition()
        wait_until(sent, what)
        return time.monotonic() - began

    def together(self):
        """Whether a request to each Lintel is counted in Redis."""
        before = self.fallbacks()
        for _ in range(4 * LINTELS):
            self.send("other")
        return self.fallbacks() == before


def exact(counts):
    # A request at the border of two windows belongs to the one or to the other.
    assert all(COUNT - 1 <= n <= COUNT + 1 for n in counts), counts


@pytest.mark.parametrize("algorithm", ["window", "gcra", "sliding"])
def test_a_fleet_lets_through_what_one_would(shop, redis, algorithm):  # noqa: F811
    fleet = Fleet(shop, f"redis://{redis().address}", algorithm=algorithm)
    if algorithm == "gcra":  # what it lets in at once is used up first
        while fleet.send():
            pass
    counts = fleet.passed()
    if algorithm == "sliding":  # the first window may follow one that was used in part
        counts = counts[1:]
    exact(counts)
    assert fleet.fallbacks() == [0] * LINTELS


def out_and_back(fleet, out, back):
    """Redis goes away and comes back while requests go on."""
    assert fleet.together()
    before = fleet.fallbacks()
    out()
    away = fleet.until(lambda: all(n > b for n, b in zip(fleet.fallbacks(), before)),
                       "each Lintel to count alone")
    # Alone, each has the whole limit for itself; and it holds.
    alone = collections.Counter()
    for _ in range(3 * LINTELS * COUNT):
        alone[fleet.sent % LINTELS] += fleet.send("alone")
    assert all(n >= COUNT for n in alone.values()), alone
    assert fleet.statuses[429] > 0
    back()
    again = fleet.until(fleet.together, "all to count together")
    print(f"\ncounts alone after {away:.2f} s, together after {again:.2f} s, "
          f"slowest {fleet.slowest * 1000:.1f} ms; {dict(fleet.statuses)}")
    for gw in fleet.gateways:
        gw.wait_event("message", message="limits are counted by this Lintel alone")
        gw.wait_event("message", message="limits are counted in Redis again")
    # At once, and after a second or two; slow machines are given some more.
    assert away < 5 and again < 15


def test_redis_that_stops_and_returns(shop, redis):  # noqa: F811
    server = redis()
    fleet = Fleet(shop, f"redis://{server.address}", algorithm="window")
    out_and_back(fleet, server.stop, server.start)
    exact(fleet.passed(2)[1:])


def test_redis_that_hangs_delays_one_request_by_the_timeout_and_no_other(shop, redis):  # noqa: F811
    server = redis()
    fleet = Fleet(shop, f"redis://{server.address}", timeout="1s")
    assert fleet.together()
    server.freeze()
    delayed = 0
    for _ in range(20 * LINTELS):
        began = time.monotonic()
        fleet.send()
        delayed += time.monotonic() - began > 0.9
        time.sleep(0.1)
    # Each worker asks for itself.
    assert 1 <= delayed <= 2 * LINTELS
    assert fleet.slowest < 4
    server.thaw()
    fleet.until(fleet.together, "all to count together")


def test_a_cluster_counts_and_loses_a_server(shop, cluster):  # noqa: F811
    fleet = Fleet(shop, f"redis+cluster://{cluster[0].address},{cluster[1].address}",
                  algorithm="window", rate=[f"{COUNT}/{PERIOD}s", "100000/1h"])
    exact(fleet.passed())
    assert fleet.fallbacks() == [0] * LINTELS
    keys = [f"key {i}" for i in range(30)]
    for key in keys:
        assert fleet.send(key)
    assert all(node.call("DBSIZE") > 0 for node in cluster)
    for node in cluster:
        node.stop()
    assert fleet.until(lambda: all(fleet.fallbacks()), "each Lintel to count alone")


def test_the_successor_of_a_master_counts_on(shop, watched):  # noqa: F811
    master, replica, sentinel = watched
    fleet = Fleet(shop, f"redis+sentinel://{sentinel.address}/mine", algorithm="window")
    exact(fleet.passed(2))
    master.stop()

    def leads():
        try:
            return "role:master" in replica.call("INFO", "replication")
        except (OSError, RedisError):
            return False
    fleet.until(lambda: leads() and fleet.together(), "the successor to count")
    exact(fleet.passed(2)[1:])
