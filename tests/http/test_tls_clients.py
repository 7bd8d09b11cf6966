# SPDX-License-Identifier: Apache-2.0
"""Certificates of clients: who is let in, what servers and filters learn of them, and that neither
another name, nor a ticket, nor a reload gets anybody in without."""
import hashlib
import re
import base64
import ssl
import subprocess
import time

import pytest

from lib.certs import Authority
from lib.client import Client, connect, head, tls_trust
from lib.configs import basic
from lib.origin import OK, always
from lib.prometheus import Metrics
from lib.wait import wait_until

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [TLS12, TLS13])
REFUSED = (ssl.SSLError, ConnectionResetError, BrokenPipeError)


@pytest.fixture(scope="module")
def partners(tmp_path_factory):
    """The authority of the clients, another than the servers'."""
    return Authority(tmp_path_factory.mktemp("partners"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def shown(partners, strangers):
    """Certificates that clients may show."""
    return {"good": partners.leaf("one.partner.test", "spiffe://partner/one",
                                  subject="/O=Pärtner, Inc/CN=one"),
            "revoked": partners.leaf("two.partner.test"),
            "late": partners.leaf("late.partner.test", days=-1),
            "stranger": strangers.leaf("one.partner.test")}


@pytest.fixture(scope="module")
def server(authority):
    return authority.leaf("open.test", "wanted.test", "needed.test")


def entry(server, client=None, **more):
    tls = {"certificates": [{"certificate": str(server[0]), "key": str(server[1])}], **more}
    return tls if client is None else {**tls, "client": client}


def config(server, partners, *origins, crl=None, watch="100ms", **clients):
    """open.test asks nobody, wanted.test takes who comes without, needed.test doesn't."""
    conf = basic(*origins)
    ca = {"ca": str(partners.ca), **({"crl": str(crl)} if crl else {})}
    route = [{"match": "/*", "to": "app"}] if origins else None
    routes = {n: route or [{"match": "/*", "respond": {"body": n}}]
              for n in ("open", "wanted", "needed", "bare")}
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["tls"] = {"watch": watch}
    conf["sites"] = [
        {"hosts": ["open.test"], "default": True, "tls": entry(server), "routes": routes["open"]},
        {"hosts": ["wanted.test"], "routes": routes["wanted"],
         "tls": entry(server, {**ca, "verify": "optional", **clients})},
        {"hosts": ["needed.test"], "routes": routes["needed"],
         "tls": entry(server, {**ca, **clients})},
        {"hosts": ["bare.test"], "routes": routes["bare"]}]
    return conf


def trust(authority, cert=None, version=None):
    context = tls_trust(authority.ca, version)
    context.check_hostname = False
    if cert is not None:
        context.load_cert_chain(*cert)
    return context


def visit(gw, context, name, host=None, resume=None):
    """(status, body, whether it resumed, its ticket) of one request."""
    with Client(gw.secure, trust=context, server_name=name, resume=resume) as client:
        response = client.request(host=host or name)
        return response.status, response.body, client.sock.session_reused, client.sock.session


def let_in(gw, context, name):
    """Whether a request gets an answer at all; in TLS 1.3 a refusal comes after the handshake."""
    try:
        return visit(gw, context, name)[0] == 200
    except REFUSED:
        return False
    except Exception as error:  # the strict reader's: nothing came
        assert type(error).__name__ in ("Closed", "Cut"), error
        return False


@pytest.fixture(scope="module")
def gw(shared, server, partners, shown):
    crl = partners.crl(partners.folder / "list.pem", shown["revoked"][0])
    return shared.lintel(config(server, partners, crl=crl, tell=["subject"]))


@BOTH
@pytest.mark.parametrize("name,cert,expected", [
    ("open", None, True), ("open", "good", True), ("open", "stranger", True),
    ("wanted", None, True), ("wanted", "good", True), ("wanted", "stranger", False),
    ("wanted", "revoked", False), ("wanted", "late", False),
    ("needed", None, False), ("needed", "good", True), ("needed", "stranger", False),
    ("needed", "revoked", False), ("needed", "late", False)])
def test_who_is_let_in(gw, authority, shown, version, name, cert, expected):
    context = trust(authority, shown[cert] if cert else None, version)
    assert let_in(gw, context, f"{name}.test") == expected


@pytest.mark.parametrize("depth,expected", [(0, False), (1, True)])
def test_intermediate_authorities_up_to_depth(shop, server, partners, authority, tmp_path, depth,
                                              expected):
    between = partners.below(f"between-{depth}")
    cert, key = between.leaf("deep.partner.test")
    chain = tmp_path / "chain.pem"
    chain.write_text(cert.read_text() + between.ca.read_text())
    gw = shop.lintel(config(server, partners, depth=depth))
    assert let_in(gw, trust(authority, (chain, key)), "needed.test") == expected
    assert not let_in(gw, trust(authority, (cert, key)), "needed.test")  # nobody knows its issuer


@pytest.mark.parametrize("whole", [False, True])
def test_each_authority_of_a_chain_needs_a_revocation_list(shop, server, partners, authority,
                                                           tmp_path, whole):
    between = partners.below(f"listed-{whole}")
    cert, key = between.leaf("deep.partner.test")
    chain, crl = tmp_path / "chain.pem", tmp_path / "crl.pem"
    chain.write_text(cert.read_text() + between.ca.read_text())
    lists = [partners.crl(tmp_path / "root.pem").read_text()]
    if whole:
        lists.append(between.crl(tmp_path / "between.pem").read_text())
    crl.write_text("".join(lists))
    conf = config(server, partners, crl=crl)
    both = tmp_path / "ca.pem"
    both.write_text(partners.ca.read_text() + between.ca.read_text())
    for site in conf["sites"][1:3]:
        site["tls"]["client"]["ca"] = str(both)
    gw = shop.lintel(conf)
    assert let_in(gw, trust(authority, (chain, key)), "needed.test") == whole


def test_an_outdated_list_lets_nobody_in(shop, server, partners, authority, shown):
    crl = partners.crl(shop.folder / "crl.pem", seconds=1)
    time.sleep(1.5)
    gw = shop.lintel(config(server, partners, crl=crl))
    assert "a revocation list is out of date" in gw.told()
    assert not let_in(gw, trust(authority, shown["good"]), "needed.test")
    partners.crl(crl)
    wait_until(lambda: let_in(gw, trust(authority, shown["good"]), "needed.test"), "the new list")


def test_refusals_are_counted_and_told_by_reason(shop, server, partners, authority, shown):
    crl = partners.crl(shop.folder / "crl.pem", shown["revoked"][0])
    gw = shop.lintel(config(server, partners, crl=crl))
    for cert in (None, "stranger", "stranger"):
        assert not let_in(gw, trust(authority, shown[cert] if cert else None), "needed.test")
    gw.wait_event("handshake_failed", reason="certificate_missing")
    event = gw.wait_event("handshake_failed", reason="certificate_invalid")
    assert event["client"] == "127.0.0.1" and "certificate verify failed" in event["detail"]

    def counted():
        got = Metrics(gw.admin("/metrics").body.decode())
        return [got.sum("lintel_tls_failures_total", reason=f"certificate_{r}")
                for r in ("missing", "invalid")] + [got.sum("lintel_tls_failed_total")]
    wait_until(lambda: counted() == [1, 2, 3], "all to be counted")


# ---- The Host has to agree with the handshake ----

@BOTH
@pytest.mark.parametrize("name,host,status", [
    ("open", "open", 200), ("open", "wanted", 421), ("open", "needed", 421), ("open", "bare", 200),
    ("wanted", "open", 421), ("wanted", "needed", 421), ("wanted", "bare", 421),
    ("needed", "open", 421), ("needed", "needed", 200), ("unknown", "needed", 421),
    ("unknown", "open", 200), (None, "needed", 421)])
def test_the_host_must_be_of_the_policy_of_the_handshake(gw, authority, shown, version, name, host,
                                                         status):
    context = trust(authority, shown["good"], version)
    got = visit(gw, context, name and f"{name}.test", host=f"{host}.test")
    assert got[0] == status
    if status == 421:
        line = gw.access(1, cause="misdirected")[-1]
        assert line["stage"] == "route" and "site" not in line


@pytest.mark.parametrize("host", ["NEEDED.test", "needed.test.", "needed.test:443"])
def test_other_ways_to_write_the_host_do_not_help(gw, authority, host):
    assert visit(gw, trust(authority), "open.test", host=host)[0] == 421
    with Client(gw.secure, trust=trust(authority), server_name="open.test") as client:
        client.send(b"GET https://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n" % ((host.encode(),) * 2))
        assert client.response().status == 421


def test_a_connection_lives_on_after_a_421(gw, authority):
    with Client(gw.secure, trust=trust(authority), server_name="open.test") as client:
        assert client.request(host="needed.test").status == 421
        assert client.request(host="open.test").status == 200


def test_plain_http_does_not_reach_who_needs_a_certificate(gw):
    for host, status in (("open", 200), ("wanted", 200), ("bare", 200), ("needed", 421)):
        with Client(gw.plain) as client:
            assert client.request(host=f"{host}.test").status == status


def test_a_star_that_needs_a_certificate_is_not_reached_by_the_default_sites_name(
        shop, server, partners, authority):
    conf = config(server, partners)
    conf["sites"][2]["hosts"] = ["*"]
    gw = shop.lintel(conf)
    assert visit(gw, trust(authority), "open.test")[0] == 200
    assert not let_in(gw, trust(authority), "anything.test")
    assert visit(gw, trust(authority), "open.test", host="anything.test")[0] == 421


@pytest.mark.parametrize("first,second", [("1.2", "1.3"), ("1.3", "1.2")])
def test_versions_are_part_of_a_policy(shop, server, authority, first, second):
    """Whatever the first site's are: a connection is switched to those of the name it asks for."""
    conf = basic()
    conf["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    conf["sites"] = [
        {"hosts": [f"{n}.test"], "tls": entry(server, min_version=v, max_version=v),
         "routes": [{"match": "/*", "respond": {"body": n}}]}
        for n, v in (("one", first), ("two", second))]
    gw = shop.lintel(conf)
    for name, version in (("one", first), ("two", second)):
        for asked in (TLS12, TLS13):
            fits = asked.name.endswith(version.replace(".", "_"))
            assert let_in(gw, trust(authority, version=asked), f"{name}.test") == fits
    assert visit(gw, trust(authority), "one.test", host="two.test")[0] == 421


# ---- No session of another policy ----

def resumable(gw, context, name):
    """A ticket for name that does resume there."""
    ticket = visit(gw, context, name)[3]
    assert visit(gw, context, name, resume=ticket)[2]
    return visit(gw, context, name)[3]


@BOTH
def test_a_ticket_of_an_open_site_does_not_open_a_closed_one(gw, authority, shown, version):
    context = trust(authority, version=version)
    ticket = resumable(gw, context, "open.test")
    with pytest.raises(Exception):  # no certificate: a full handshake, which fails
        visit(gw, context, "needed.test", resume=ticket)
    ticket = resumable(gw, context, "open.test")
    assert not visit(gw, context, "wanted.test", resume=ticket)[2]


@BOTH
def test_a_ticket_of_a_certificate_is_good_for_its_policy_alone(gw, authority, shown, version):
    context = trust(authority, shown["good"], version)
    ticket = resumable(gw, context, "needed.test")
    status, _, reused, _ = visit(gw, context, "open.test", resume=ticket)
    assert (status, reused) == (200, False)
    ticket = resumable(gw, context, "needed.test")
    assert visit(gw, context, "wanted.test", resume=ticket)[2] is False


@BOTH
def test_a_resumed_session_still_knows_its_client(shop, server, partners, authority, shown, version):
    app = shop.origin(always(OK))
    gw = shop.lintel(config(server, partners, app, tell=["subject"]))
    context = trust(authority, shown["good"], version)
    ticket = visit(gw, context, "needed.test")[3]
    assert visit(gw, context, "needed.test", resume=ticket)[2]
    for request in app.requests:
        assert request.headers.get("x-client-cert-subject").startswith("CN=one")


# ---- Changes while it serves ----

@BOTH
def test_a_new_revocation_list_ends_connections_and_sessions(shop, server, partners, authority, shown,
                                                             version):
    crl = partners.crl(shop.folder / "crl.pem")
    gw = shop.lintel(config(server, partners, crl=crl))
    context = trust(authority, shown["revoked"], version)
    ticket = resumable(gw, context, "needed.test")
    with Client(gw.secure, trust=context, server_name="needed.test") as old, \
            Client(gw.secure, trust=trust(authority), server_name="open.test") as other:
        assert old.request(host="needed.test").status == 200
        assert other.request(host="open.test").status == 200
        partners.crl(crl, shown["revoked"][0])
        gw.wait_event("files_taken_up", policies="changed")
        assert old.ends()
        assert other.request(host="open.test").status == 200  # another policy: nothing happened
    with pytest.raises(Exception):
        visit(gw, context, "needed.test", resume=ticket)
    assert let_in(gw, trust(authority, shown["good"], version), "needed.test")


def test_a_reload_that_changes_the_policy_ends_connections_after_their_exchange(
        shop, server, partners, authority, shown):
    app = shop.echo(delay=0.5)
    conf = config(server, partners, app)
    gw = shop.lintel(conf)
    context = trust(authority)
    with Client(gw.secure, trust=context, server_name="wanted.test") as idle, \
            Client(gw.secure, trust=context, server_name="wanted.test") as busy, \
            Client(gw.secure, trust=context, server_name="open.test") as other:
        for client, host in ((idle, "wanted"), (busy, "wanted"), (other, "open")):
            assert client.request(host=f"{host}.test").status == 200
        busy.send(head("GET", "/slow", host="wanted.test"))
        wait_until(lambda: any(r.target == "/slow" for r in app.requests), "the request")
        conf["sites"][1]["tls"]["client"]["verify"] = "required"
        gw.reload(conf)
        assert idle.ends()
        response = busy.response()
        assert response.status == 200
        assert busy.ends()
        assert other.request(host="open.test").status == 200
    assert not let_in(gw, context, "wanted.test")


def test_a_tunnel_ends_when_its_client_is_revoked(shop, server, partners, authority, shown):
    def switch(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        peer.until_closed()
    crl = partners.crl(shop.folder / "crl.pem")
    conf = config(server, partners, shop.origin(switch), crl=crl)
    conf["drain"] = {"timeout": "300ms"}
    gw = shop.lintel(conf)
    fields = {"Connection": "Upgrade", "Upgrade": "websocket"}
    with Client(gw.secure, trust=trust(authority, shown["revoked"]), server_name="needed.test") as bad, \
            Client(gw.secure, trust=trust(authority), server_name="open.test") as other:
        for client, host in ((bad, "needed.test"), (other, "open.test")):
            client.send(head("GET", "/", fields, host))
            assert client.sock.recv(4096).startswith(b"HTTP/1.1 101")
        partners.crl(crl, shown["revoked"][0])
        assert bad.ends()
        assert other.waits(0.5)


def test_a_reload_that_changes_nothing_leaves_connections_alone(shop, server, partners, authority,
                                                                shown):
    gw = shop.lintel(config(server, partners))
    context = trust(authority, shown["good"])
    with Client(gw.secure, trust=context, server_name="needed.test") as client:
        assert client.request(host="needed.test").status == 200
        gw.reload()
        assert client.request(host="needed.test").status == 200


# ---- What is told of a certificate ----

FORGED = {"X-Client-Cert-Subject": "CN=root", "X-Client-Cert-San": "DNS:root",
          "X-Client-Cert-Fingerprint": "00", "Client-Cert": ":AAAA:", "Client-Cert-Chain": ":AAAA:",
          "X_Client_Cert_Subject": "CN=root"}


def told(request):
    return {n.lower(): v for n, v in [*request.headers, *request.trailers] if "cert" in n.lower()}


def test_servers_are_told_what_was_verified(shop, server, partners, authority, shown):
    app = shop.origin(always(OK))
    gw = shop.lintel(config(server, partners, app,
                            tell=["subject", "san", "fingerprint", "certificate"]))
    visit(gw, trust(authority, shown["good"]), "needed.test")
    der = ssl.PEM_cert_to_DER_cert(shown["good"][0].read_text())
    subject = subprocess.run(["openssl", "x509", "-in", shown["good"][0], "-noout", "-subject",
                              "-nameopt", "RFC2253"], capture_output=True, text=True, check=True)
    assert told(app.requests[0]) == {
        "x-client-cert-subject": subject.stdout.strip().removeprefix("subject="),
        "x-client-cert-san": "DNS:one.partner.test,URI:spiffe://partner/one",
        "x-client-cert-fingerprint": hashlib.sha256(der).hexdigest(),
        "client-cert": f":{base64.b64encode(der).decode()}:"}


@pytest.mark.parametrize("trusted", [False, True])
def test_no_client_can_forge_what_servers_are_told(shop, server, partners, authority, shown, trusted):
    app = shop.origin(always(OK))
    conf = config(server, partners, app, tell=["subject"])
    conf["trust"] = ["127.0.0.0/8"] if trusted else []
    conf["sites"][1]["routes"].append({"match": "/*", "respond": 204, "when":
                                       "header.x-client-cert-subject or header.client-cert"})
    gw = shop.lintel(conf)
    with Client(gw.plain) as client:
        assert client.request(headers=FORGED, host="wanted.test").status == 200
        client.send(head("POST", "/", {**FORGED, "Transfer-Encoding": "chunked"}, "wanted.test"))
        client.send(b"1\r\nx\r\n0\r\nX-Client-Cert-Subject: CN=root\r\n\r\n")
        assert client.response().status == 200
    for cert in (None, shown["good"]):
        with Client(gw.secure, trust=trust(authority, cert), server_name="wanted.test") as client:
            assert client.request(headers=FORGED, host="wanted.test").status == 200
    for request in app.requests[:3]:
        assert told(request) == {}
    assert list(told(app.requests[3])) == ["x-client-cert-subject"]
    assert app.requests[3].headers.get("x-client-cert-subject").startswith("CN=one")


def test_expressions_filters_and_logs_know_the_client(shop, server, partners, authority, shown):
    (shop.folder / "who.lua").write_text("""return {
  schema = {},
  request = function(ctx)
    local tls = ctx.client.tls
    local cert = tls and tls.cert
    if cert then
      return ctx:respond{status = 200, body = cert.subject .. "|" .. cert.san .. "|" .. cert.fingerprint}
    end
    return ctx:respond{status = 200, body = "nobody by " .. (tls and tls.version or "http")}
  end
}""")
    conf = config(server, partners)
    conf["filters"] = {"who": {"filter": str(shop.folder / "who.lua")}}
    conf["log"] = {"fields": {"partner": "tls.client.san", "print": "tls.client.fingerprint"}}
    conf["sites"][1]["routes"] = [
        {"match": "/*", "filters": ["who"], "respond": {"body": ""}},
        {"match": "/one", "when": "tls.client.subject ~ '^CN=one,'", "respond": {"body": "it is one"}},
        {"match": "/one", "respond": {"body": "somebody else"}}]
    gw = shop.lintel(conf)
    good = trust(authority, shown["good"], TLS13)
    with Client(gw.secure, trust=good, server_name="wanted.test") as client:
        subject, san, fingerprint = client.request(host="wanted.test").body.decode().split("|")
        assert subject.startswith("CN=one,O=P\\C3\\A4rtner\\, Inc")
        assert san == "DNS:one.partner.test,URI:spiffe://partner/one"
        assert re.fullmatch("[0-9a-f]{64}", fingerprint)
        assert client.request(target="/one", host="wanted.test").body == b"it is one"
    with Client(gw.secure, trust=trust(authority), server_name="wanted.test") as client:
        assert client.request(host="wanted.test").body.startswith(b"nobody by TLSv1")
        assert client.request(target="/one", host="wanted.test").body == b"somebody else"
    lines = gw.access(4)
    assert lines[0]["client_cert"] == subject and lines[0]["partner"] == san
    assert lines[0]["print"] == fingerprint
    assert "client_cert" not in lines[2] and "partner" not in lines[2]


def test_a_certificate_of_endless_names_is_refused(shop, server, partners, authority):
    gw = shop.lintel(config(server, partners))
    long = partners.leaf(*[f"{'x' * 50}{i}.test" for i in range(100)])
    assert not let_in(gw, trust(authority, long), "needed.test")
    event = gw.wait_event("handshake_failed", reason="certificate_invalid")
    assert event["detail"] == "the names in the client's certificate are too long"
    longer = partners.leaf(*[f"{'x' * 50}{i}.test" for i in range(400)])
    assert not let_in(gw, trust(authority, longer), "needed.test")
    event = gw.wait_event("handshake_failed", reason="malformed")
    assert event["detail"] == "excessive message size"


def test_a_client_may_vanish_when_asked_for_its_certificate(gw, authority):
    for _ in range(5):
        sock = connect(gw.secure)
        sock.close()
    assert let_in(gw, trust(authority), "open.test")
