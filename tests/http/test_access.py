# SPDX-License-Identifier: Apache-2.0
"""Who gets in by key, certificate, address and group: key_auth, mtls, ip_allow and acl in front of
real requests."""
import hashlib
import json
import subprocess

import pytest

from lib.certs import Authority
from lib.client import Client, tls_trust
from lib.configs import basic
from lib.redis import RedisServer
from lib.wait import wait_until


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def guarded(app, **filters):
    """Everything behind these instances, in their order."""
    return basic(app, filters=filters, site={"filters": list(filters)})


def reason(response, status):
    assert response.status == status, response
    return json.loads(response.body)["cause"]


def told(response):
    """What the application says that it got: its target and fields."""
    assert response.status == 200, response
    got = json.loads(response.body)
    return got["target"], {name.lower(): value for name, value in got["headers"]}


# ---- keys ----

def test_a_key_in_the_query_reaches_neither_the_application_nor_the_log(shop):
    gw = shop.lintel(guarded(shop.echo(), keys={"filter": "key_auth", "query": "key",
                                                "keys": {"acme": digest("s3cret")}}))
    target, fields = told(gw.get("/v1?a=1&key=s3cret&b=%20"))
    assert target == "/v1?a=1&b=%20" and fields["x-consumer"] == "acme"
    assert told(gw.get("/v1?key=s3cret"))[0] == "/v1"
    assert gw.get("/v1?key=other").status == 401
    assert all("s3cret" not in line for line in gw.stdout.lines + gw.stderr.lines)


def test_keys_come_from_a_file_and_change_with_it(shop):
    file = shop.folder / "keys"
    file.write_text(f"acme {digest('one')} groups=partners,gold\nglobex {digest('two')}\n")
    gw = shop.lintel(guarded(
        shop.echo(), keys={"filter": "key_auth", "lines": "${file:%s}" % file},
        partners={"filter": "acl", "groups": ["partners"]}))
    assert told(gw.get(headers={"X-API-Key": "one"}))[1]["x-consumer"] == "acme"
    assert gw.get(headers={"X-API-Key": "two"}).status == 403
    file.write_text(f"globex {digest('two')} groups=partners\nacme {digest('one')} until=2020-01-01\n")
    gw.reload()
    assert told(gw.get(headers={"X-API-Key": "two"}))[1]["x-consumer"] == "globex"
    assert gw.get(headers={"X-API-Key": "one"}).status == 401


def test_keys_in_redis(shop):
    redis = RedisServer(shop.folder)
    shop.finally_(redis.stop)
    config = guarded(
        shop.echo(), keys={"filter": "key_auth", "redis": f"redis://{redis.address}",
                           "remember": "1s"},
        partners={"filter": "acl", "groups": ["partners"]})
    config["workers"] = 1  # each remembers for itself
    gw = shop.lintel(config)
    name = "lintel:key:" + digest("k")

    def ask(key="k"):
        return gw.get(headers={"X-API-Key": key})
    assert ask().status == 401
    redis.call("HSET", name, "consumer", "acme", "groups", "gold,partners")
    wait_until(lambda: ask().status == 200, "a new key")
    assert told(ask())[1]["x-consumer"] == "acme"
    redis.call("HSET", name, "groups", "gold")
    wait_until(lambda: ask().status == 403, "other groups")
    redis.call("HSET", name, "groups", "partners")
    wait_until(lambda: ask().status == 200, "the old groups")
    redis.stop()
    for _ in range(5):  # what was known counts, what wasn't is nobody's fault
        assert ask().status == 200
        unknown = ask("other")
        assert unknown.status == 503 and unknown.headers.get("retry-after") == "1"
    gw.wait_event("message", message="a key can't be looked up")
    assert ask().status == 200
    redis.start()
    wait_until(lambda: ask("other").status == 401, "Redis to be asked again")
    wait_until(lambda: ask().status == 401, "a key that is gone")


# ---- certificates ----

@pytest.fixture(scope="module")
def partners(tmp_path_factory):
    """The authority of the clients, another than the servers'."""
    return Authority(tmp_path_factory.mktemp("partners"))


def with_certificates(app, authority, partners, settings, **tls):
    conf = guarded(app, partner={"filter": "mtls", **settings})
    cert, key = authority.leaf("localhost")
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"][0]["tls"] = {
        "certificates": [{"certificate": str(cert), "key": str(key)}],
        "client": {"ca": str(partners.ca), "verify": "optional", **tls}}
    return conf


def curl(gw, authority, *args, cert=None):
    """(status, body) of what curl gets."""
    host, port = gw.secure
    shown = ["--cert", str(cert[0]), "--key", str(cert[1])] if cert else []
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--cacert", str(authority.ca), *shown,
         "--resolve", f"localhost:{port}:{host}", "-w", "\n%{http_code}", *args,
         f"https://localhost:{port}/"], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def fields_of(body):
    return {name.lower(): value for name, value in body["headers"]}


def test_rules_decide_about_real_certificates(shop, authority, partners):
    shop_7 = partners.leaf("shop-7.partners.test", "10.1.2.3", subject="/O=Acme/CN=shop-7")
    spiffe = partners.leaf("spiffe://acme/ns/web/sa/front", subject="/CN=front")
    other = partners.leaf("shop-7.partners.test.evil.test", subject="/O=Acme, Inc/CN=shop-7")
    conf = with_certificates(shop.echo(), authority, partners, {
        "allow": [{"dns": "*.partners.test", "issuer": "CN=Test authority", "user": "acme",
                   "groups": ["partners"]},
                  {"uri": "spiffe://acme/ns/*/sa/*"}],
        "user": "cn", "forward": {"user": "X-Partner", "subject": "X-Subject", "serial": "X-Serial",
                                  "dns": "X-Names"}})
    conf["filters"]["who"] = {"filter": "acl", "allow": [
        "'partners' in user.groups", "tls.client.subject == 'CN=front'"]}
    conf["sites"][0]["filters"].append("who")
    conf["log"] = {"fields": {"issuer": "tls.client.issuer", "serial": "tls.client.serial"}}
    gw = shop.lintel(conf)
    twin = ("-H", "X-Partner: root", "-H", "x-partner: admin", "-H", "X-Names: evil.test")
    status, body = curl(gw, authority, *twin, cert=shop_7)
    assert status == 200, body
    fields = fields_of(body)
    assert fields["x-partner"] == "acme" and fields["x-subject"] == "CN=shop-7,O=Acme"
    assert fields["x-names"] == "shop-7.partners.test"
    serial = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", str(shop_7[0])],
                            check=True, capture_output=True, text=True).stdout.strip()
    assert serial == "serial=" + fields["x-serial"]
    line = gw.access(1, status=200)[0]
    assert line["issuer"] == "CN=Test authority" and line["serial"] == fields["x-serial"]
    status, body = curl(gw, authority, *twin, cert=spiffe)
    assert status == 200 and fields_of(body)["x-partner"] == "front"
    assert "x-names" not in fields_of(body)
    assert curl(gw, authority, *twin, cert=other)[0] == 403
    assert curl(gw, authority, *twin)[0] == 401


def test_who_issued_a_certificate_counts_by_itself(shop, authority, partners):
    """Authorities that are trusted alike issue the same subject and name."""
    other = partners.below("Other authority")
    bundle = shop.folder / "both.pem"
    bundle.write_bytes(partners.ca.read_bytes() + other.ca.read_bytes())
    name, subject = "shop-7.partners.test", "/O=Acme/CN=shop-7"
    good, wrong = partners.leaf(name, subject=subject), other.leaf(name, subject=subject)
    conf = with_certificates(shop.echo(), authority, partners, {
        "allow": [{"issuer": "CN=Test authority", "subject": "CN=shop-7,O=Acme"}]}, ca=str(bundle))
    gw = shop.lintel(conf)
    assert curl(gw, authority, cert=good)[0] == 200
    status, body = curl(gw, authority, cert=wrong)
    assert (status, body["cause"]) == (403, "certificate_not_allowed")
    status, body = curl(gw, authority)
    assert (status, body["cause"]) == (401, "no_client_certificate")
    conf["filters"]["partner"] = {"filter": "mtls", "deny": [{"issuer": "CN=Other authority"}]}
    gw.reload(conf)
    assert curl(gw, authority, cert=good)[0] == 200
    status, body = curl(gw, authority, cert=wrong)
    assert (status, body["cause"]) == (403, "certificate_denied")
    assert reason(gw.get(), 401) == "no_tls"


def test_a_serial_and_a_fingerprint_are_those_that_openssl_prints(shop, authority, partners):
    one, two = (partners.leaf(f"{name}.partners.test") for name in ("one", "two"))

    def openssl(cert, *args):
        done = subprocess.run(["openssl", "x509", "-noout", *args, "-in", str(cert[0])], check=True,
                              capture_output=True, text=True)
        return done.stdout.strip().partition("=")[2]
    conf = with_certificates(shop.echo(), authority, partners, {
        "allow": [{"fingerprint": openssl(one, "-fingerprint", "-sha256")},
                  {"serial": openssl(two, "-serial")}],
        "deny": [{"dns": "two.partners.test", "serial": openssl(one, "-serial")}]})
    gw = shop.lintel(conf)
    assert curl(gw, authority, cert=one)[0] == 200
    assert curl(gw, authority, cert=two)[0] == 200
    conf["filters"]["partner"]["deny"] = [{"serial": openssl(one, "-serial")}]
    gw.reload(conf)
    assert curl(gw, authority, cert=one)[0] == 403
    assert curl(gw, authority, cert=two)[0] == 200


def test_a_resumed_connection_is_the_same_partner(shop, authority, partners):
    cert = partners.leaf("one.partners.test", subject="/CN=one")
    gw = shop.lintel(with_certificates(shop.echo(), authority, partners, {
        "allow": [{"dns": "*.partners.test"}], "user": "cn", "forward": {"user": "X-Partner"}}))
    trust = tls_trust(authority.ca)
    trust.load_cert_chain(*cert)
    ticket = None
    for resumed in (False, True):
        with Client(gw.secure, trust=trust, server_name="localhost", resume=ticket) as client:
            response = client.request(host="localhost")
            assert told(response)[1]["x-partner"] == "one"
            assert client.sock.session_reused == resumed
            ticket = client.sock.session


# ---- addresses ----

def test_the_address_is_the_client_s_behind_trusted_proxies(shop):
    conf = guarded(shop.echo(), offices={"filter": "ip_allow", "allow": ["10.0.0.0/8"],
                                         "deny": ["10.9.0.0/16"]})
    conf["trust"] = ["127.0.0.1"]
    gw = shop.lintel(conf)

    def ask(address):
        return gw.get(headers={"X-Forwarded-For": address} if address else {})
    assert ask("10.1.2.3").status == 200
    assert ask("::ffff:10.1.2.3").status == 200
    assert reason(ask("10.9.2.3"), 403)
    assert reason(ask("192.0.2.1"), 403)
    assert reason(ask("10.1.2.3, 192.0.2.1"), 403)
    assert reason(ask(None), 403)
    conf["trust"] = []
    gw.reload(conf)
    assert ask("10.1.2.3").status == 403


def test_ten_thousand_blocks_of_a_file(shop):
    rows = shop.folder / "blocks.txt"
    rows.write_text("# taken from elsewhere\n" + "".join(
        f"10.{i // 256}.{i % 256}.0/25 # {i}\n" for i in range(10000)) + "2001:db8::/32\n")
    conf = guarded(shop.echo(), blocked={"filter": "ip_allow", "deny_lines": "${file:%s}" % rows})
    conf["trust"] = ["127.0.0.1"]
    gw = shop.lintel(conf)
    for address, status in (("10.0.0.1", 403), ("10.39.15.127", 403), ("10.39.15.128", 200),
                            ("10.39.16.1", 200), ("2001:db8::1", 403), ("2001:db9::1", 200)):
        assert gw.get(headers={"X-Forwarded-For": address}).status == status, address


# ---- groups ----

def test_groups_decide_and_the_log_knows_them(shop):
    conf = guarded(
        shop.echo(),
        keys={"filter": "key_auth", "consumers": {
            "alice": {"groups": ["staff", "CN=ops,OU=x"], "keys": [{"sha256": digest("a")}]},
            "bob": {"keys": [{"sha256": digest("b")}]}}},
        staff={"filter": "acl", "groups": ["staff"], "deny": ["path ~ '^/internal/'"]},
        ops={"filter": "acl", "allow": ["method == 'GET'", "'CN=ops,OU=x' in user.groups"]})
    conf["log"] = {"fields": {"groups": "user.groups"}}
    conf["sites"][0]["routes"] = [
        {"match": "/anyone", "without": ["keys"], "to": "app"},
        {"match": "/*", "to": "app"}]
    gw = shop.lintel(conf)
    assert gw.get("/x", headers={"X-API-Key": "a"}).status == 200
    assert gw.get("/x", method="POST", headers={"X-API-Key": "a"}).status == 200
    assert gw.get("/internal/x", headers={"X-API-Key": "a"}).status == 403
    assert gw.get("/x", headers={"X-API-Key": "b"}).status == 403
    nobody = gw.get("/anyone")
    assert nobody.status == 401 and nobody.headers.get("www-authenticate") == "Bearer"
    assert gw.access(1, path="/x", method="POST")[0]["groups"] == "staff,CN=ops%2COU=x"
