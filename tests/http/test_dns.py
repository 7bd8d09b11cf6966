# SPDX-License-Identifier: Apache-2.0
"""Servers that are names: found, followed, kept when the name dies."""
import json
import random
import signal
import socket
import ssl
import threading
import time

import pytest

from lib.configs import basic
from lib.dns import A, AAAA, NXDOMAIN, REFUSED, SERVFAIL, DnsServer
from lib.gateway import command
from lib.origin import EchoOrigin
from lib.prometheus import Metrics
from lib.wait import wait_until


@pytest.fixture
def dns(shop):
    server = DnsServer()
    shop.finally_(server.stop)
    return server


def free_port():
    """A port that is free on every address of the loopback."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


@pytest.fixture
def machines(shop):
    """machine(n): an application at 127.0.9.n, all with the same port."""
    port = free_port()

    def machine(n, **options):
        app = EchoOrigin(f"app{n}", at=(f"127.0.9.{n}", port), **options)
        shop.finally_(app.stop)
        return app
    machine.port = port
    return machine


def named(dns, *servers, app=None, resolver=None, **options):
    """A configuration whose servers are names, in quick succession looked up."""
    return basic(*({"address": s} for s in servers), app={"balance": "round_robin", **(app or {})},
                 resolver={"servers": [dns.address], "hosts": "/dev/null", "timeout": "200ms",
                           "tries": 2, "min_ttl": "100ms", "retry": "100ms", "max_retry": "500ms",
                           **(resolver or {})}, **options)


def apps(gateway, count=6):
    """Which applications answer."""
    seen = set()
    for _ in range(count):
        response = gateway.get("/")
        assert response.status == 200, response
        seen.add(json.loads(response.body)["app"])
    return seen


def names(gateway):
    """What status says of the names, by name."""
    return {n["name"]: n for n in json.loads(gateway.admin("/status").body)["names"]}


def servers(gateway):
    return sorted(s["address"] for s in
                  json.loads(gateway.admin("/status").body)["upstreams"][0]["servers"])


def failed(gateway):
    """One request that fails because no address is known."""
    response = gateway.get("/")
    told = json.loads(response.body)
    assert (response.status, told["cause"]) == (503, "dns_failed"), told
    return gateway.access(id=told["request_id"])[0]


# Finding and following.

def test_a_name_stands_for_all_its_addresses(shop, dns, machines):
    machines(1), machines(2)
    dns.say("app.internal", "127.0.9.1", "127.0.9.2", ttl=60)
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    assert apps(gw) == {"app1", "app2"}
    assert servers(gw) == [f"127.0.9.{n}:{machines.port}" for n in (1, 2)]


def test_names_stand_beside_addresses(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1", ttl=60)
    fixed = machines(2)
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}", fixed.address))
    assert apps(gw) == {"app1", "app2"}


def test_ipv6_addresses_are_used(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1", "::ffff:127.0.9.2", ttl=60)
    machines(2)
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    assert apps(gw) == {"app1", "app2"}


def test_one_family_is_enough_where_that_is_said(shop, dns, machines):
    machines(1), machines(2)
    dns.say("app.internal", "127.0.9.1", "::ffff:127.0.9.2", ttl=60)
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}", resolver={"families": "ipv4"}))
    assert apps(gw) == {"app1"} and dns.count("app.internal", AAAA) == 0
    gw.reload(named(dns, f"dns:app.internal:{machines.port}", resolver={"families": "ipv6"}))
    wait_until(lambda: apps(gw, 1) == {"app2"}, "the other family")
    hosts = shop.folder / "hosts"
    hosts.write_text("127.0.9.1 app.internal\n::ffff:127.0.9.2 app.internal\n")
    other = shop.lintel(named(dns, f"dns:app.internal:{machines.port}",
                              resolver={"families": "ipv6", "hosts": str(hosts)}))
    assert apps(other) == {"app2"}


def test_traffic_moves_when_the_answer_changes(shop, dns, machines):
    machines(1), machines(2)
    dns.say("app.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    assert apps(gw) == {"app1"}
    dns.say("app.internal", "127.0.9.2")
    wait_until(lambda: apps(gw, 1) == {"app2"}, "traffic at the new address")
    assert apps(gw) == {"app2"}
    assert gw.wait_event("dns_changed", 2)["now"] == 1


def test_a_long_ttl_is_obeyed_and_capped(shop, dns, machines):
    machines(1), machines(2)
    dns.say("long.internal", "127.0.9.1", ttl=3600)
    dns.say("capped.internal", "127.0.9.1", ttl=3600)
    gw = shop.lintel(named(dns, f"dns:long.internal:{machines.port}"))
    other = shop.lintel(named(dns, f"dns:capped.internal:{machines.port}",
                              resolver={"max_ttl": "300ms"}))
    dns.say("long.internal", "127.0.9.2")
    dns.say("capped.internal", "127.0.9.2")
    wait_until(lambda: apps(other, 1) == {"app2"}, "max_ttl to be over")
    assert apps(gw) == {"app1"}
    assert dns.count("long.internal", A) == 1


def test_a_removed_address_drains(shop, dns, machines):
    """What is at work there goes on to its end; nothing new comes."""
    machines(1), machines(2)
    dns.say("app.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    results = []
    slow = threading.Thread(target=lambda: results.append(gw.get("/sleep/2000")))
    slow.start()
    dns.say("app.internal", "127.0.9.2")
    wait_until(lambda: servers(gw) == [f"127.0.9.2:{machines.port}"], "the new set")
    assert apps(gw) == {"app2"}
    slow.join()
    assert results[0].status == 200 and json.loads(results[0].body)["app"] == "app1"


def test_a_name_is_not_asked_more_often_than_it_may(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1", ttl=0)
    config = named(dns, f"dns:app.internal:{machines.port}", resolver={"min_ttl": "2s"})
    config["upstreams"]["other"] = {"servers": [f"dns:app.internal:{machines.port}",
                                                "dns:app.internal:1"]}
    gw = shop.lintel(config)
    for _ in range(3):
        assert apps(gw, 20) == {"app1"}
        gw.reload()
    assert dns.count("app.internal", A) <= 2


# Names that die.

@pytest.mark.parametrize("death", ["nxdomain", "empty", "servfail", "refused", "silent"])
def test_the_last_good_answer_is_kept(shop, dns, machines, death):
    machines(1), machines(2)
    dns.say("app.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    rcodes = {"nxdomain": NXDOMAIN, "servfail": SERVFAIL, "refused": REFUSED}
    if death == "silent":
        dns.silent = True
    else:
        dns.say("app.internal", rcode=rcodes.get(death, 0))
    event = gw.wait_event("dns_failed", dns_name="app.internal")
    assert event["level"] == "warn" and event["addresses_kept"] == 1
    wait_until(lambda: names(gw)["app.internal"].get("failures", 0) >= 3, "some failures")
    assert apps(gw) == {"app1"}
    told = names(gw)["app.internal"]
    assert told["known"] and told["addresses"] == ["127.0.9.1"] and told["why"] == event["why"]
    assert len(gw.events("dns_failed")) == 1
    dns.silent = False
    dns.say("app.internal", "127.0.9.2")
    wait_until(lambda: apps(gw, 1) == {"app2"}, "the name to be well again")
    gw.wait_event("dns_recovered", dns_name="app.internal")


def test_one_family_that_fails_takes_nothing_away(shop, dns, machines):
    machines(1), machines(2)
    dns.say("app.internal", "127.0.9.1", "::ffff:127.0.9.2")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    dns.say("app.internal", rcode=SERVFAIL, kind=AAAA)
    before = dns.count("app.internal", AAAA)
    wait_until(lambda: dns.count("app.internal", AAAA) > before + 3, "more look-ups")
    assert apps(gw) == {"app1", "app2"}


def test_a_dead_server_is_gone_round(shop, dns, machines):
    """The first DNS server never answers, the second one does."""
    machines(1)
    dead = DnsServer()
    shop.finally_(dead.stop)
    dead.silent = True
    dns.say("app.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}",
                           resolver={"servers": [dead.address, dns.address]}))
    assert apps(gw) == {"app1"}
    assert dead.count("app.internal", A) >= 1


def test_a_failing_name_is_asked_more_and_more_rarely(shop, dns):
    gw = shop.lintel(named(dns, "dns:nobody.internal:80",
                           resolver={"retry": "100ms", "max_retry": "10s"}))
    wait_until(lambda: dns.count("nobody.internal", A) >= 4, "a few look-ups", step=0.001)
    before = dns.count("nobody.internal", A)
    gw.get("/"), gw.get("/")
    assert dns.count("nobody.internal", A) <= before + 1  # requests ask nobody


# Without an answer.

def test_it_starts_without_an_answer_and_says_why(shop, dns, machines):
    machines(1)
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    line = failed(gw)
    assert line["detail"] == f"dns:app.internal:{machines.port}: no such name (NXDOMAIN)"
    assert names(gw)["app.internal"]["known"] is False
    dns.say("app.internal", "127.0.9.1")
    wait_until(lambda: gw.get("/").status == 200, "the name to be found")
    assert apps(gw) == {"app1"}


def test_it_starts_while_dns_is_silent(shop, dns, machines):
    machines(1)
    dns.silent = True
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}",
                           app={"queue": {"restart": "1s"}},
                           resolver={"timeout": "10s", "start_wait": "100ms"}))
    assert gw.events("dns_not_waited_for")
    assert failed(gw)["detail"].endswith(": no answer yet")
    response = gw.get("/")
    assert "lintel;error=dns_error" in response.headers.get("proxy-status")


@pytest.mark.parametrize("entry", ["dns:app.internal:{port}", "dns+srv:_http._tcp.app.internal"])
def test_requests_wait_for_the_first_answer(shop, dns, machines, entry):
    machines(1)
    dns.say("app.internal", rcode=SERVFAIL)
    dns.say("_http._tcp.app.internal", (10, 1, machines.port, "app.internal"))
    gw = shop.lintel(named(dns, entry.format(port=machines.port),
                           app={"queue": {"wait": "1m", "restart": "1m"}},
                           resolver={"start_wait": "100ms"}))
    results = []
    waiting = threading.Thread(target=lambda: results.append(gw.get("/", timeout=60)))
    waiting.start()
    wait_until(lambda: Metrics(gw.admin("/metrics").body.decode()).sum("lintel_queued") == 1, "the queue")
    dns.say("app.internal", "127.0.9.1")
    waiting.join()
    assert results[0].status == 200 and json.loads(results[0].body)["app"] == "app1"


def test_requests_stop_waiting_when_the_name_is_denied(shop, dns):
    dns.say("app.internal", rcode=SERVFAIL)
    gw = shop.lintel(named(dns, "dns:app.internal:80",
                           app={"queue": {"wait": "1m", "restart": "1m"}},
                           resolver={"start_wait": "100ms"}))
    results = []
    waiting = threading.Thread(target=lambda: results.append(gw.get("/", timeout=60)))
    waiting.start()
    wait_until(lambda: Metrics(gw.admin("/metrics").body.decode()).sum("lintel_queued") == 1, "the queue")
    dns.say("app.internal", rcode=NXDOMAIN)
    waiting.join()
    assert json.loads(results[0].body)["cause"] == "dns_failed"


def test_check_needs_no_network(shop, dns):
    dns.silent = True
    path = shop.folder / "lintel.yaml"
    path.write_text(json.dumps(named(dns, "dns:app.internal:80", "dns+srv:_http._tcp.app.internal")))
    done = command("check", "-c", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not dns.asked


@pytest.mark.parametrize("address,hint", [
    ("app.internal:80", "dns:app.internal:8000"),
    ("dns:app.internal", "a port must follow"),
    ("dns:10.0.0.1:80", "leave `dns:` out"),
    ("dns+srv:_http._tcp.app.internal:80", "leave the port out"),
    ("dns+srv:app.internal", "_http._tcp."),
])
def test_mistakes_are_told_with_their_cure(shop, dns, address, hint):
    path = shop.folder / "lintel.yaml"
    path.write_text(json.dumps(named(dns, address), indent=1))
    done = command("check", "-c", path)
    assert done.returncode == 1
    assert "is not an address" in done.stderr and hint in done.stderr


# SRV.

def test_services_bring_their_ports_and_weights(shop, dns, machines):
    machines(1), machines(2)
    dns.say("_http._tcp.app.internal", (10, 3, machines.port, "one.internal"),
            (10, 1, machines.port, "two.internal"), ttl=60)
    dns.say("one.internal", "127.0.9.1", ttl=60)
    dns.say("two.internal", "127.0.9.2", ttl=60)
    gw = shop.lintel(named(dns, "dns+srv:_http._tcp.app.internal", workers=1))
    seen = [json.loads(gw.get("/").body)["app"] for _ in range(12)]
    assert (seen.count("app1"), seen.count("app2")) == (9, 3)


def test_targets_of_a_service_are_followed(shop, dns, machines):
    machines(1), machines(2)
    dns.say("_http._tcp.app.internal", (10, 1, machines.port, "one.internal"))
    dns.say("one.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, "dns+srv:_http._tcp.app.internal"))
    assert apps(gw) == {"app1"}
    dns.say("one.internal", "127.0.9.2")
    wait_until(lambda: apps(gw, 1) == {"app2"}, "the target's new address")
    dns.say("three.internal", "127.0.9.1")
    dns.say("_http._tcp.app.internal", (10, 1, machines.port, "three.internal"))
    wait_until(lambda: apps(gw, 1) == {"app1"}, "the new target")
    wait_until(lambda: "one.internal." not in names(gw), "the old target to be forgotten")


def test_a_service_that_is_decidedly_absent_has_no_servers(shop, dns, machines):
    """RFC 2782: the one record with the target "."."""
    machines(1)
    dns.say("_http._tcp.app.internal", (10, 1, machines.port, "one.internal"))
    dns.say("one.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, "dns+srv:_http._tcp.app.internal"))
    assert apps(gw) == {"app1"}
    dns.say("_http._tcp.app.internal", (0, 0, 0, ""))
    event = gw.wait_event("dns_service_absent", dns_name="_http._tcp.app.internal")
    assert event["level"] == "warn" and event["targets_dropped"] == 1
    wait_until(lambda: servers(gw) == [], "the end of its servers")
    assert failed(gw)["detail"].endswith('there is no such service (SRV target ".")')
    assert not dns.count("") and not dns.count(".")
    dns.say("_http._tcp.app.internal", (10, 1, machines.port, "one.internal"))
    wait_until(lambda: gw.get("/").status == 200, "the service to be back")
    other = shop.lintel(named(dns, "dns+srv:_sip._tcp.app.internal"))
    dns.say("_sip._tcp.app.internal", (0, 0, 0, ""))
    other.wait_event("dns_service_absent")
    wait_until(lambda: "SRV target" in failed(other)["detail"], "the reason")


def test_a_service_has_a_limit_of_addresses(shop, dns, machines):
    for n in range(3):
        dns.say(f"t{n}.internal", *[f"127.0.{20 + n}.{k}" for k in range(1, 5)], ttl=60)
    dns.say("_http._tcp.app.internal", *[(10, 1, 80, f"t{n}.internal") for n in range(3)], ttl=60)
    gw = shop.lintel(named(dns, "dns+srv:_http._tcp.app.internal",
                           resolver={"max_addresses": 6}))
    wait_until(lambda: len(servers(gw)) == 6, "the servers")
    assert {s.rsplit(".", 1)[0] for s in servers(gw)} == {"127.0.20", "127.0.21"}
    event = gw.wait_event("dns_too_many_addresses")
    assert (event["left_out"], event["max"]) == (6, 6)
    assert event["dns_name"] == "dns+srv:_http._tcp.app.internal"


def test_many_answers_make_few_sets(shop, dns, machines):
    """Each target of a service has answers of its own; servers change at most every 250 ms."""
    targets = range(40)

    def say(last):
        for n in targets:
            dns.say(f"t{n}.internal", f"127.1.{n}.{last}")
    say(1)
    dns.say("_http._tcp.app.internal", *[(10, 1, 80, f"t{n}.internal") for n in targets])
    gw = shop.lintel(named(dns, "dns+srv:_http._tcp.app.internal"))

    def published():
        return Metrics(gw.admin("/metrics").body.decode()).sum("lintel_server_sets_published_total")
    began, before = time.monotonic(), published()
    for last in range(2, 12):
        asked = len(dns.asked)
        say(last)
        wait_until(lambda: len(dns.asked) > asked + 60, "look-ups")
    wait_until(lambda: servers(gw) == sorted(f"127.1.{n}.11:80" for n in targets), "the last answer")
    sets = published() - before
    assert 1 <= sets <= (time.monotonic() - began) * 4 + 2


def test_further_priorities_are_backups(shop, dns, machines):
    dns.say("_http._tcp.app.internal", (10, 1, machines.port, "one.internal"),
            (20, 1, machines.port, "two.internal"))
    dns.say("two.internal", "127.0.9.2")
    gw = shop.lintel(named(dns, "dns+srv:_http._tcp.app.internal"))

    def roles():
        upstream = json.loads(gw.admin("/status").body)["upstreams"][0]
        return {s["address"].split(":")[0]: s.get("backup", False) for s in upstream["servers"]}
    assert roles() == {"127.0.9.2": False}  # nobody is before it
    dns.say("one.internal", "127.0.9.1")
    wait_until(lambda: roles() == {"127.0.9.1": False, "127.0.9.2": True}, "the first priority")


def test_an_address_is_drained_by_the_operator(shop, dns, machines):
    machines(1), machines(2)
    dns.say("app.internal", "127.0.9.1", "127.0.9.2")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    done = command("drain", f"app/127.0.9.1:{machines.port}", "--admin",
                   f"unix:{gw.folder}/admin.sock")
    assert done.returncode == 0, done.stderr
    assert apps(gw) == {"app2"}
    dns.say("app.internal", "127.0.9.1", "127.0.9.2", "127.0.9.3")
    wait_until(lambda: len(servers(gw)) == 3, "another answer")
    machines(3)
    wait_until(lambda: apps(gw) == {"app2", "app3"}, "the new one to be used")


def test_a_service_without_targets_says_so(shop, dns):
    dns.say("_http._tcp.app.internal", (10, 1, 80, "gone.internal"))
    gw = shop.lintel(named(dns, "dns+srv:_http._tcp.app.internal"))
    assert failed(gw)["detail"] == "dns+srv:_http._tcp.app.internal: no such name (NXDOMAIN)"


# Host and TLS.

@pytest.mark.parametrize("entry,host", [
    ("dns:app.internal:{port}", "app.internal:{port}"),
    ("dns+srv:_http._tcp.app.internal", "app.internal:{port}"),
])
def test_host_upstream_is_the_name(shop, dns, machines, entry, host):
    machines(1)
    dns.say("app.internal", "127.0.9.1")
    dns.say("_http._tcp.app.internal", (1, 1, machines.port, "app.internal"))
    gw = shop.lintel(named(dns, entry.format(port=machines.port), app={"host": "upstream"}))
    sent = dict(json.loads(gw.get("/").body)["headers"])
    assert sent.get("Host", sent.get("host")) == host.format(port=machines.port)


def test_the_certificate_is_for_the_name(shop, dns, machines, authority):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, authority.leaf("app.internal")))
    machines(1, tls=tls)
    dns.say("app.internal", "127.0.9.1", ttl=60)
    dns.say("else.internal", "127.0.9.1", ttl=60)
    app = {"tls": {"ca": str(authority.ca)}}
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}", app=app))
    assert apps(gw) == {"app1"}
    other = shop.lintel(named(dns, f"dns:else.internal:{machines.port}", app=app))
    response = other.get("/")
    assert json.loads(response.body)["cause"] == "server_certificate_name"


# Reload.

def test_a_reload_keeps_what_is_known(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1")
    config = named(dns, f"dns:app.internal:{machines.port}")
    gw = shop.lintel(config)
    dns.silent = True
    gw.wait_event("dns_failed")
    config["upstreams"]["app"]["timeouts"] = {"connect": "2s"}
    gw.reload(config)
    assert apps(gw) == {"app1"}


def test_names_come_and_go_with_the_configuration(shop, dns, machines):
    fixed = machines(1)
    machines(2)
    dns.say("app.internal", "127.0.9.2", ttl=60)
    gw = shop.lintel(named(dns, fixed.address))
    assert not names(gw) and not dns.asked
    gw.reload(named(dns, f"dns:app.internal:{machines.port}"))
    assert apps(gw) == {"app2"}
    gw.reload(named(dns, fixed.address))
    assert apps(gw) == {"app1"}
    assert servers(gw) == [fixed.address] and not names(gw)


def test_a_reload_brings_other_dns_servers(shop, dns, machines):
    machines(1), machines(2)
    other = DnsServer()
    shop.finally_(other.stop)
    dns.say("app.internal", "127.0.9.1", ttl=3600)
    other.say("app.internal", "127.0.9.2")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    gw.reload(named(dns, f"dns:app.internal:{machines.port}",
                    resolver={"servers": [other.address]}))
    wait_until(lambda: apps(gw, 1) == {"app2"}, "the other DNS server to be asked")


def test_another_name_for_an_address_gets_connections_of_its_own(shop, dns, machines, authority):
    """What was verified for one name is no proof of another one."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, authority.leaf("app.internal")))
    machines(1, tls=tls)
    dns.say("app.internal", "127.0.9.1", ttl=60)
    dns.say("else.internal", "127.0.9.1", ttl=60)
    app = {"tls": {"ca": str(authority.ca)}, "keepalive": {"idle": "60s"}}
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}", app=app))
    assert apps(gw) == {"app1"}
    gw.reload(named(dns, f"dns:else.internal:{machines.port}", app=app))
    assert json.loads(gw.get("/").body)["cause"] == "server_certificate_name"


def test_a_start_that_waits_for_names_can_be_stopped(shop, dns):
    dns.silent = True
    gw = shop.lintel(named(dns, "dns:app.internal:80",
                           resolver={"timeout": "20s", "start_wait": "10s"}), wait=False)
    wait_until(lambda: dns.asked, "the first query")
    began = time.monotonic()
    gw.allowed.update(("start_failed",))
    gw.signal(signal.SIGTERM)
    gw.process.wait(20)
    assert time.monotonic() - began < 8


def test_a_reload_that_fails_changes_nothing(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1")
    dns.say("other.internal", "127.0.9.2")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}"))
    bad = named(dns, f"dns:other.internal:{machines.port}",
                log={"access": str(shop.folder / "no" / "such" / "folder.log")})
    gw.reload(bad, fails=True)
    assert apps(gw) == {"app1"} and set(names(gw)) == {"app.internal"}


# What comes over the wire.

def test_what_is_cut_off_is_fetched_over_tcp(shop, dns):
    dns.say("app.internal", *[f"127.0.10.{n}" for n in range(1, 201)], ttl=60)
    gw = shop.lintel(named(dns, "dns:app.internal:80"))
    assert len(servers(gw)) == 200
    assert ("app.internal", A, "tcp") in dns.asked


def test_hundreds_of_addresses_are_cut_to_the_limit(shop, dns):
    addresses = [f"127.0.{10 + n // 200}.{n % 200 + 1}" for n in range(900)]
    dns.say("app.internal", *addresses)
    gw = shop.lintel(named(dns, "dns:app.internal:80", resolver={"max_addresses": 300}))
    first = servers(gw)
    assert len(first) == 300 and names(gw)["app.internal"]["left_out"] == 600
    assert gw.wait_event("dns_too_many_addresses")["left_out"] == 600
    random.shuffle(addresses)
    before = dns.count("app.internal", A)
    dns.say("app.internal", *addresses)
    wait_until(lambda: dns.count("app.internal", A) > before + 2, "another look-up")
    assert servers(gw) == first


def _noise(seed):
    """Answers that get worse and worse: the query's own head, then what may come."""
    rnd = random.Random(seed)

    def answer(query):
        body = bytes(rnd.randrange(256) for _ in range(rnd.randrange(400)))
        question = query[12:]
        head = query[:2] + b"\x81\x80" + b"\0\1" + bytes([0, rnd.randrange(256)]) + b"\0\0\0\0"
        kinds = (
            lambda: head + question + body,
            lambda: head + question + b"\xc0\x0c\0\1\0\1\0\0\0\0\xff\xff" + body,
            lambda: head + question + b"\xc0\x0c\0\x21\0\1\0\0\0\0\0\x08\0\1\0\1\0\x50\xc0\x0c",
            lambda: head[:rnd.randrange(12)],
            lambda: query,
            lambda: query[:2] + body,
            lambda: bytes(rnd.randrange(256) for _ in range(2)) + head[2:] + question,
            lambda: b"",
        )
        return rnd.choice(kinds)()
    return answer


def test_answers_of_an_attacker_break_nothing(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1")
    dns.say("_http._tcp.app.internal", (1, 1, machines.port, "app.internal"))
    config = named(dns, f"dns:app.internal:{machines.port}",
                   resolver={"timeout": "20ms", "retry": "100ms", "max_retry": "100ms"})
    config["upstreams"]["srv"] = {"servers": ["dns+srv:_http._tcp.app.internal"]}
    gw = shop.lintel(config)
    dns.garbage = _noise(7)
    before = len(dns.asked)
    wait_until(lambda: len(dns.asked) > before + 150, "many bad answers")
    dns.garbage = None
    wait_until(lambda: not [n for n in names(gw).values() if "why" in n],
               "all names to be well again")
    assert "app1" in apps(gw)


# Files.

def test_the_hosts_file_comes_first_and_is_read_again(shop, dns, machines):
    machines(1), machines(2)
    hosts = shop.folder / "hosts"
    hosts.write_text("127.0.9.1 app.internal # here\n")
    dns.say("app.internal", "127.0.9.2")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}",
                           resolver={"hosts": str(hosts)}))
    assert apps(gw) == {"app1"} and not dns.asked
    hosts.write_text("# nothing\n")
    wait_until(lambda: apps(gw, 1) == {"app2"}, "the name to be asked of DNS")


def test_the_search_list_of_resolv_conf_is_used(shop, dns, machines):
    machines(1)
    conf = shop.folder / "resolv.conf"
    conf.write_text("search one.internal two.internal\n")
    dns.say("app.two.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, f"dns:app:{machines.port}", resolver={"resolv_conf": str(conf)}))
    assert apps(gw) == {"app1"}
    assert dns.count("app.one.internal", A) >= 1


# What it tells.

def test_status_shows_each_name_to_people(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1", ttl=60)
    dns.say("_http._tcp.app.internal", (1, 1, machines.port, "app.internal"), ttl=60)
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}", "dns:nobody.internal:80",
                           "dns+srv:_http._tcp.app.internal"))
    said = command("status", "-c", gw.config, cwd=gw.folder).stdout
    assert "name        app.internal, 1 addresses, answered 0 s ago\n" in said
    assert "name        _http._tcp.app.internal, 1 targets, answered" in said
    assert "name        nobody.internal, no answer yet\n" \
           "            FAILING for 0 s: no such name (NXDOMAIN)\n" in said


def test_metrics_show_each_name(shop, dns, machines):
    machines(1)
    dns.say("app.internal", "127.0.9.1")
    gw = shop.lintel(named(dns, f"dns:app.internal:{machines.port}", "dns:nobody.internal:80"))
    wait_until(lambda: names(gw)["nobody.internal"].get("failures", 0) >= 2, "failures")
    metrics = Metrics(gw.admin("/metrics").body.decode())

    def of(name, series):
        return metrics.sum(f"lintel_dns_{series}", dns_name=name, type="host")
    assert of("app.internal", "addresses") == 1
    assert of("app.internal", "failing_seconds") == 0
    assert of("nobody.internal", "addresses") == 0
    assert of("nobody.internal", "failing_seconds") >= 1
    assert of("nobody.internal", "lookups_failed_total") >= 2
    assert of("app.internal", "lookups_total") >= 1
