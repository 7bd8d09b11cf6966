# SPDX-License-Identifier: Apache-2.0
"""TLS: certificates by name, versions, resumption, ALPN."""
import os
import signal
import socket
import ssl
import time

import pytest

from lib.client import Client, connect, head, tls_trust
from lib.configs import basic
from lib.origin import OK, always
from lib.wait import wait_until


@pytest.fixture(scope="module")
def certs(authority):
    return {name: authority.leaf(*names, kind=kind) for name, names, kind in (
        ("one", ["one.test"], "ec"), ("wild", ["*.wild.test"], "ec"),
        ("default", ["localhost"], "rsa"))}


def site(hosts, cert, text, **more):
    return {"hosts": hosts, "tls": {"certificates": [{"certificate": str(cert[0]),
                                                      "key": str(cert[1])}]},
            "routes": [{"match": "/*", "respond": {"body": text}}], **more}


def config(certs, **more):
    conf = basic(**more)
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"] = [site(["one.test"], certs["one"], "one"),
                     site(["*.wild.test"], certs["wild"], "wild"),
                     site(["localhost"], certs["default"], "default", default=True)]
    return conf


@pytest.fixture(scope="module")
def gw(shared, certs):
    return shared.lintel(config(certs, workers=2))


@pytest.fixture(scope="module")
def trust(authority):
    return tls_trust(authority.ca)


def secure(gateway, trust, name="localhost", **options):
    return Client(gateway.secure, trust=trust, server_name=name, **options)


@pytest.mark.parametrize("name,subject,text", [
    ("one.test", "one.test", b"one"), ("ONE.test", "one.test", b"one"),
    ("a.wild.test", "*.wild.test", b"wild"), ("localhost", "localhost", b"default")])
def test_the_certificate_follows_the_server_name(gw, trust, name, subject, text):
    with secure(gw, trust, name) as client:
        assert ("DNS", subject) in client.sock.getpeercert()["subjectAltName"]
        assert client.request(host=name).body == text


def test_an_unknown_server_name_gets_the_default_sites_certificate(gw, authority):
    blind = tls_trust(authority.ca)
    blind.check_hostname = False
    with secure(gw, blind, "unknown.test") as client:
        assert ("DNS", "localhost") in client.sock.getpeercert()["subjectAltName"]
    with Client(gw.secure, trust=blind, server_name=None) as client:
        assert ("DNS", "localhost") in client.sock.getpeercert()["subjectAltName"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(gw, authority, version):
    with secure(gw, tls_trust(authority.ca, version)) as client:
        assert client.sock.version() == version.name.replace("_", ".")
        for _ in range(3):
            assert client.request().body == b"default"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused(gw, authority):
    old = tls_trust(authority.ca)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        secure(gw, old)


@pytest.mark.parametrize("offered,chosen", [(["http/1.1"], "http/1.1"),
                                            (["h3", "http/1.1"], "http/1.1"), ([], None)])
def test_alpn(gw, authority, offered, chosen):
    with secure(gw, tls_trust(authority.ca, alpn=offered)) as client:
        assert client.sock.selected_alpn_protocol() == chosen
        assert client.request().body == b"default"


def visit(gateway, trust, resume=None):
    """One request; (whether it resumed, the newest ticket)."""
    with secure(gateway, trust, resume=resume) as client:
        assert client.request().body == b"default"
        return client.sock.session_reused, client.sock.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume_whichever_worker_gets_the_connection(shop, certs, authority, version):
    gw = shop.lintel(config(certs, workers=4))
    trust = tls_trust(authority.ca, version)
    reused, ticket = visit(gw, trust)
    assert not reused
    for _ in range(16):  # over four workers
        reused, newer = visit(gw, trust, ticket)
        assert reused
        ticket = newer if version == ssl.TLSVersion.TLSv1_3 else ticket


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume_after_the_gateway_was_killed(shop, certs, authority, version):
    gw = shop.lintel(config(certs, workers=2))
    trust = tls_trust(authority.ca, version)
    _, ticket = visit(gw, trust)
    gw.allowed.add("gateway_exited")
    os.kill(gw.gateway_pid(), signal.SIGKILL)
    gw.wait_event("ready", 2)
    assert visit(gw, trust, ticket)[0]


def test_sessions_resume_after_a_reload(shop, certs, trust):
    gw = shop.lintel(config(certs))
    _, ticket = visit(gw, trust)
    gw.reload()
    assert visit(gw, trust, ticket)[0]


def test_a_reload_changes_the_certificate(shop, certs, authority, trust):
    cert, key = authority.leaf("localhost", "new.test")
    conf = config(certs)
    gw = shop.lintel(conf)
    with secure(gw, trust) as old:
        assert old.request().body == b"default"
        conf["sites"][2] = site(["localhost"], (cert, key), "changed", default=True)
        gw.reload(conf)
        with secure(gw, trust) as new:
            assert ("DNS", "new.test") in new.sock.getpeercert()["subjectAltName"]
            assert new.request().body == b"changed"
        assert old.request().body == b"changed"  # its connection lives on


def test_several_certificates_of_one_site(shop, authority):
    """EC for clients that can, RSA for the others."""
    ec, rsa = authority.leaf("localhost", "ec.test"), authority.leaf("localhost", kind="rsa")
    conf = basic(routes=[{"match": "/*", "respond": {"body": "x"}}])
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"][0]["tls"] = {"certificates": [
        {"certificate": str(c), "key": str(k)} for c, k in (rsa, ec)]}
    gw = shop.lintel(conf)
    for ciphers, is_ec in (("ECDHE-ECDSA-AES128-GCM-SHA256", True),
                           ("ECDHE-RSA-AES128-GCM-SHA256", False)):
        trust = tls_trust(authority.ca, ssl.TLSVersion.TLSv1_2)
        trust.set_ciphers(ciphers)
        with secure(gw, trust) as client:
            names = client.sock.getpeercert()["subjectAltName"]
            assert (("DNS", "ec.test") in names) == is_ec


def test_the_client_learns_about_https_in_forwarding_fields(shop, certs, trust):
    server = shop.origin(always(OK))
    conf = basic(server)
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"][0]["tls"] = {"certificates": [
        {"certificate": str(certs["default"][0]), "key": str(certs["default"][1])}]}
    gw = shop.lintel(conf)
    with secure(gw, trust) as client:
        assert client.request().body == b"ok"
        version = client.sock.version()
    assert server.requests[0].headers.get("x-forwarded-proto") == "https"
    assert server.requests[0].headers.get("x-forwarded-port") == str(gw.secure[1])
    line = gw.access()[0]
    assert line["tls"] == version


def test_plain_http_on_a_tls_listener_ends_without_harm(gw, trust):
    with Client(gw.secure) as client:
        client.send(head("GET", "/"))
        while client.sock.recv(4096):
            pass
    with secure(gw, trust) as client:
        assert client.request().body == b"default"


def test_a_handshake_that_does_not_go_on_is_closed(shop, certs):
    conf = config(certs)
    conf["listen"][1]["timeouts"] = {"tls": "300ms"}
    gw = shop.lintel(conf)
    sock = connect(gw.secure)
    sock.sendall(b"\x16\x03\x01\x02\x00")
    began = time.monotonic()
    try:
        assert sock.recv(100) == b""
    except ConnectionResetError:
        pass
    assert time.monotonic() - began < 5
    sock.close()


def test_bodies_pass_over_tls_whole_and_byte_by_byte(shop, certs, trust):
    app = shop.echo()
    conf = basic(app)
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"][0]["tls"] = {"certificates": [
        {"certificate": str(certs["default"][0]), "key": str(certs["default"][1])}]}
    gw = shop.lintel(conf)
    with secure(gw, trust) as client:
        assert client.request("POST", body=[bytes(300_000)] * 8).status == 200
        assert len(client.request(target=f"/bytes/{4 << 20}").body) == 4 << 20
        client.send(head("GET", "/x"), bytewise=True)
        assert client.response().status == 200


def test_a_client_that_vanishes_in_the_handshake_frees_its_place(shop, certs, trust):
    gw = shop.lintel(config(certs, limits={"connections": 4}))
    for _ in range(12):
        sock = socket.create_connection(gw.secure)
        sock.sendall(b"\x16\x03\x01")
        sock.close()

    def served():
        try:
            with secure(gw, trust) as client:
                return client.request().status == 200
        except (ssl.SSLError, OSError):
            return False
    wait_until(served, "a free place")
