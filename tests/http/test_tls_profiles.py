# SPDX-License-Identifier: Apache-2.0
"""What clients may speak: profiles, lists, names, and which of several certificates they get."""
import os
import re
import ssl
import subprocess

import pytest

from lib.client import Client, tls_trust
from lib.configs import basic
from lib.gateway import command, text_of
from lib.prometheus import Metrics
from lib.wait import wait_until

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def pair(authority):
    return authority.leaf("one.test", "two.test", "*.wild.test")


@pytest.fixture(scope="module")
def rsa(authority):
    return authority.leaf("one.test", kind="rsa")


def site(name, *pairs, default=False, **tls):
    return {"hosts": [name], "default": default,
            "tls": {"certificates": [{"certificate": str(c), "key": str(k)} for c, k in pairs], **tls},
            "routes": [{"match": "/*", "respond": {"body": name}}]}


def config(*sites, **tls):
    conf = basic()
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf.update({"tls": tls, "sites": list(sites)})
    return conf


def s_client(gw, name, *options):
    """(exit code, what was agreed on) of OpenSSL's own client."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{gw.secure[0]}:{gw.secure[1]}", "-servername", name,
         *options], input="", capture_output=True, text=True, timeout=60, check=False)
    found = {k: v for k, v in (
        ("version", re.search(r"^New, (TLSv[\d.]+)", done.stdout, re.M)),
        ("cipher", re.search(r"Cipher is (\S+)", done.stdout)),
        ("group", re.search(r"^Server Temp Key: (\w+)(?:, ([\w-]+))?", done.stdout, re.M)),
        ("signature", re.search(r"^Peer signature type: (\S+)", done.stdout, re.M))) if v}
    out = {k: v.group(v.lastindex) for k, v in found.items()}
    return done.returncode, out, done.stderr


def count(gw, reason):
    got = Metrics(gw.admin("/metrics").body.decode())
    return got.sum("lintel_tls_failures_total", reason=reason)


@pytest.mark.parametrize("profile,versions", [(None, {"-tls1_2", "-tls1_3"}),
                                              ("intermediate", {"-tls1_2", "-tls1_3"}),
                                              ("modern", {"-tls1_3"})])
def test_profiles(shop, pair, profile, versions):
    gw = shop.lintel(config(site("one.test", pair), **({"profile": profile} if profile else {})))
    for version in ("-tls1_2", "-tls1_3"):
        assert (s_client(gw, "one.test", version)[0] == 0) == (version in versions)
    if profile == "modern":
        gw.wait_event("handshake_failed", reason="no_common_version")
        wait_until(lambda: count(gw, "no_common_version") == 1, "it to be counted")


@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"])
def test_the_default_takes_no_weak_cipher(shop, rsa, cipher):
    gw = shop.lintel(config(site("one.test", rsa)))
    assert s_client(gw, "one.test", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")[0] != 0
    gw.wait_event("handshake_failed", reason="no_common_cipher")


def test_lists_say_what_is_taken_and_what_is_preferred(shop, rsa):
    gw = shop.lintel(config(
        site("one.test", rsa),
        ciphers=["ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"],
        ciphersuites=["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"], groups=["P-384", "P-256"]))
    both = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
    agreed = s_client(gw, "one.test", "-tls1_3", "-ciphersuites", both)[1]
    assert agreed["cipher"] == "TLS_AES_256_GCM_SHA384"
    agreed = s_client(gw, "one.test", "-tls1_2", "-cipher",
                      "AES128-SHA:ECDHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0", "-groups", "P-256:P-384")[1]
    assert agreed["cipher"] == "ECDHE-RSA-AES256-GCM-SHA384" and agreed["group"] == "secp384r1"
    assert s_client(gw, "one.test", "-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0")[0] == 0
    assert s_client(gw, "one.test", "-tls1_3", "-groups", "X25519")[0] != 0
    gw.wait_event("handshake_failed", reason="no_common_group")


def test_a_site_has_lists_of_its_own(shop, pair):
    gw = shop.lintel(config(
        site("one.test", pair),
        site("two.test", pair, ciphersuites=["TLS_CHACHA20_POLY1305_SHA256"], groups=["P-256"],
             profile="modern")))
    agreed = s_client(gw, "two.test")[1]
    assert agreed["cipher"] == "TLS_CHACHA20_POLY1305_SHA256"
    assert agreed["group"] in ("prime256v1", "P-256", "256")
    assert s_client(gw, "two.test", "-tls1_2")[0] != 0
    assert s_client(gw, "one.test", "-tls1_2")[0] == 0
    assert s_client(gw, "one.test")[1]["cipher"] == "TLS_AES_128_GCM_SHA256"


@pytest.mark.parametrize("sigalgs,kind", [("ECDSA+SHA256", "ECDSA"), ("RSA-PSS+SHA256", "RSA-PSS"),
                                          ("RSA-PSS+SHA256:ECDSA+SHA256", "ECDSA")])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_ecdsa_and_rsa_side_by_side(shop, pair, rsa, version, sigalgs, kind):
    gw = shop.lintel(config(site("one.test", rsa, pair)))
    code, agreed, _ = s_client(gw, "one.test", version, "-sigalgs", sigalgs)
    assert code == 0
    if kind == "ECDSA" and ":" in sigalgs:
        assert agreed["signature"] in ("ECDSA", "RSA-PSS")  # the client takes both
    else:
        assert agreed["signature"] == kind


@pytest.mark.parametrize("default,refuse,name,served", [
    (True, False, "unknown.test", True), (True, True, "unknown.test", False),
    (False, False, "unknown.test", False), (False, True, "unknown.test", False),
    (True, True, None, True), (False, False, None, True), (True, True, "one.test", True)])
def test_unknown_names(shop, authority, pair, default, refuse, name, served):
    gw = shop.lintel(config(site("one.test", pair, default=default),
                            **({"unknown_names": "refuse"} if refuse else {})))
    trust = tls_trust(authority.ca)
    trust.check_hostname = False
    if served:
        with Client(gw.secure, trust=trust, server_name=name) as client:
            assert client.request(host="one.test").body == b"one.test"
        return
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized name"):
        Client(gw.secure, trust=trust, server_name=name)
    gw.wait_event("handshake_failed", reason="unknown_name")


def test_reasons_are_told_now_and_then_and_counted_always(shop, pair):
    conf = config(site("one.test", pair))
    conf["workers"] = 1  # each worker tells for itself
    gw = shop.lintel(conf)
    for _ in range(5):
        with Client(gw.secure) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: one.test\r\n\r\n")
            while client.sock.recv(4096):
                pass
    event = gw.wait_event("handshake_failed", reason="not_tls")
    assert event["client"] == "127.0.0.1" and event["level"] == "info" and event["detail"] == "http request"
    wait_until(lambda: count(gw, "not_tls") == 5, "all to be counted")
    assert len(gw.events("handshake_failed")) == 1


@pytest.mark.parametrize("tls,said", [
    ({"ciphers": ["ECDHE-RSA-AES128-GCM-SHA256", "RC4"]}, '"RC4" is no cipher of TLS 1.2'),
    ({"ciphersuites": ["X"]}, '"X" is no cipher of TLS 1.3'),
    ({"groups": ["P-1"]}, '"P-1" is no group'),
    ({"profile": "old"}, "profile"),
    ({"min_version": "1.3", "max_version": "1.2"}, "max_version is older"),
    ({"tickets": {"file": "/no/such"}}, "/no/such: No such file"),
    ({"tickets": {"rotate": "1m"}}, "tickets would live longer")])
def test_mistakes_are_said_at_load(shop, pair, tls, said):
    path = shop.folder / "bad.yaml"
    path.write_text(text_of(config(site("one.test", pair), **tls)))
    done = command("check", "-c", path)
    assert done.returncode != 0 and said in done.stderr + done.stdout
    assert re.search(r"bad\.yaml:\d+:\d+: error", done.stderr + done.stdout)


def test_mistakes_of_a_site_are_said_at_load(shop, pair, authority):
    other = authority.leaf("x.test")
    path = shop.folder / "bad.yaml"
    (shop.folder / "junk.pem").write_text("junk")
    path.write_text(text_of(config(
        site("one.test", (pair[0], other[1]), client={"ca": str(shop.folder / "junk.pem")}),
        site("two.test", pair, client={"ca": str(authority.ca), "crl": "/no/such.pem"}),
        site("three.test", pair, client={}), site("four.test", pair, max_version="1.2", profile="modern"))))
    done = command("check", "-c", path)
    text = done.stderr + done.stdout
    for said in ("the key doesn't belong to the certificate", "junk.pem: holds no certificate",
                 "/no/such.pem: No such file", '"ca"', "no version of TLS is left"):
        assert said in text, said


def test_an_ordinary_build_writes_no_secrets(shop, pair, authority):
    log = shop.folder / "keys.log"
    gw = shop.lintel(config(site("one.test", pair)), env={"SSLKEYLOGFILE": str(log)})
    with Client(gw.secure, trust=tls_trust(authority.ca), server_name="one.test") as client:
        assert client.request(host="one.test").status == 200
    assert not os.path.exists(log)
