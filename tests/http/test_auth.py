# SPDX-License-Identifier: Apache-2.0
"""Tokens, passwords and signed bodies in front of real requests: jwt, basic_auth and hmac."""
import base64
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from lib.configs import basic
from lib.gateway import TREE, command
from lib.tokens import (HASHES, ask, b64, claims_of, guarded, jwk_of, pem_of, reason, sent,
                        token_of)
from lib.wait import wait_until

SECRET = "0123456789abcdef" * 4


def test_every_algorithm_of_another_implementation_is_verified(shop):
    """One gateway with a key of each kind: RSA, three curves, Ed25519, Ed448, and a secret."""
    app = shop.echo()
    rsa_key = rsa.generate_private_key(65537, 2048)
    curves = {alg: ec.generate_private_key(curve()) for alg, curve in (
        ("ES256", ec.SECP256R1), ("ES384", ec.SECP384R1), ("ES512", ec.SECP521R1))}
    ed = [ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()]
    pems = [pem_of(k) for k in (rsa_key, *curves.values(), *ed)]
    gw = shop.lintel(guarded(app, filter="jwt", pem=pems, secrets=[SECRET]))
    keys = {**{a + b: rsa_key for a in ("RS", "PS") for b in HASHES}, **curves,
            **{"HS" + b: SECRET for b in HASHES}}
    assert len(keys) == 12
    for alg, key in keys.items():
        assert ask(gw, token_of(alg, key)).status == 200, alg
    for key in ed:
        assert ask(gw, token_of("EdDSA", key)).status == 200
    for alg, key in keys.items():
        good = token_of(alg, key)
        assert reason(ask(gw, good[:-8] + "AAAAAAAA"), 401) == "bad_signature", alg


def forgeries(key):
    """Name, token, reason. key: the RSA key whose public half the gateway has."""
    now = int(time.time())

    def made(alg="HS256", by=SECRET, sign_as=None, header=None, **more):
        claims = claims_of(**{"iss": "https://id.test/", "aud": "orders", **more})
        return token_of(alg, by, claims, header, sign_as)

    good, attacker = made(), "attacker" * 8
    deep = "[" * 3000 + "]" * 3000
    yield "none", made(header={"alg": "none"}).rpartition(".")[0] + ".", "unsigned_token"
    yield "None", made(header={"alg": "NoNe"}), "unsigned_token"
    yield "public key as secret", made(by=pem_of(key)), "bad_signature"
    yield "PS named RS", made("RS256", key, sign_as="PS256"), "bad_signature"
    yield "kid of a file", made(by="", header={"alg": "HS256", "kid": "../dev/null"}), \
        "bad_signature"
    yield "kid of a query", made(by="x", header={"alg": "HS256", "kid": "' UNION SELECT 'x"}), \
        "bad_signature"
    yield "embedded key", made(by=attacker, header={
        "alg": "HS256", "jwk": {"kty": "oct", "k": b64(attacker)}}), "bad_signature"
    yield "key elsewhere", made(by=attacker, header={
        "alg": "HS256", "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}), \
        "bad_signature"
    yield "stripped signature", good.rpartition(".")[0] + ".", "bad_signature"
    yield "two parts", good.rpartition(".")[0], "malformed_token"
    yield "padding", good + "=", "malformed_token"
    yield "unknown extension", made(header={"alg": "HS256", "crit": ["exp"]}), "unknown_critical"
    yield "duplicate header", made(header='{"alg":"none","alg":"HS256"}'), "malformed_token"
    yield "duplicate claims", token_of(
        "HS256", SECRET, f'{{"sub":"alice","sub":"root","exp":{now + 60}}}'), "malformed_token"
    yield "deep claims", token_of(
        "HS256", SECRET, f'{{"exp":{now + 60},"a":{deep}}}'), "malformed_token"
    yield "huge", made(pad="x" * 20000), "token_too_large"
    yield "expired", made(exp=now - 600), "expired"
    yield "never expires", made(exp=None), "missing_claim"
    yield "expires as text", made(exp=str(now + 60)), "bad_claim"
    yield "not yet", made(nbf=now + 600), "not_yet_valid"
    yield "from the future", made(iat=now + 600), "not_yet_valid"
    yield "other issuer", made(iss="https://evil.test/"), "wrong_issuer"
    yield "no issuer", made(iss=None), "missing_claim"
    yield "other audience", made(aud=["billing"]), "wrong_audience"
    yield "line break in a name", made(sub="a\r\nX-Admin: 1"), "bad_claim"


def test_no_forgery_gets_through(shop):
    app = shop.echo()
    key = rsa.generate_private_key(65537, 2048)
    gw = shop.lintel(guarded(app, filter="jwt", pem=[pem_of(key)], secrets=[SECRET],
                             issuer=["https://id.test/"], audience=["orders"],
                             forward={"sub": "X-User"}))
    good = claims_of(iss="https://id.test/", aud="orders")
    assert sent(ask(gw, token_of("HS256", SECRET, good)))["x-user"] == "alice"
    served, wrong = app.served, []
    for name, token, wanted in forgeries(key):
        response = ask(gw, token)
        got = reason(response, 401) if response.status == 401 else response.status
        if got != wanted:
            wrong.append((name, got, wanted))
        assert 'error="invalid_token"' in response.headers.get("www-authenticate"), name
    assert not wrong
    assert app.served == served
    assert gw.get().headers.get("www-authenticate") == 'Bearer realm="api"'


def test_keys_from_a_file_are_picked_by_their_id_and_rotate_by_a_reload(shop):
    app = shop.echo()
    old, new = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    path = shop.folder / "keys.json"
    path.write_text(json.dumps({"keys": [jwk_of(old, "old"), {"kty": "new"}]}))
    config = guarded(app, filter="jwt", jwks=f"${{file:{path}}}")
    gw = shop.lintel(config)
    by = {k: token_of("ES256", key, header={"alg": "ES256", "kid": k})
          for k, key in (("old", old), ("new", new))}
    assert ask(gw, by["old"]).status == 200
    assert reason(ask(gw, by["new"]), 401) == "unknown_key"
    path.write_text(json.dumps({"keys": [jwk_of(old, "old"), jwk_of(new, "new")]}))
    gw.reload(config)
    assert ask(gw, by["old"]).status == ask(gw, by["new"]).status == 200
    path.write_text("<html>")
    gw.reload(config, fails=True)
    assert ask(gw, by["new"]).status == 200


def test_claims_go_to_the_application_and_spoofed_fields_do_not(shop):
    app = shop.echo()
    gw = shop.lintel(guarded(app, filter="jwt", secrets=[SECRET], hide=True,
                             forward={"sub": "X-User", "admin": "X-Admin", "groups": "X-Groups"}))
    got = sent(ask(gw, token_of("HS256", SECRET, claims_of(groups=["a", "b"])),
                   **{"X-Admin": "true", "X-User": "root"}))
    assert got["x-user"] == "alice" and got["x-groups"] == "a,b"
    assert "x-admin" not in got and "authorization" not in got


def test_a_missing_scope_is_403(shop):
    gw = shop.lintel(guarded(shop.echo(), filter="jwt", secrets=[SECRET], scope=["a", "b"]))
    response = ask(gw, token_of("HS256", SECRET, claims_of(scope="b")))
    assert reason(response, 403) == "insufficient_scope"
    assert response.headers.get("www-authenticate") == \
        'Bearer realm="api", error="insufficient_scope", scope="a b"'
    assert ask(gw, token_of("HS256", SECRET, claims_of(scope="b c a"))).status == 200


@pytest.mark.parametrize("settings, told", [
    ({"secrets": ["short"]}, "at least 32 bytes"),
    ({"pem": ["x"]}, "holds nothing in PEM form"),
    ({"secrets": [SECRET], "algs": ["none"]}, "none"),
    ({}, "there is no key"),
])
def test_settings_that_can_not_work_are_told_by_check(tmp_path, settings, told):
    path = tmp_path / "lintel.yaml"
    path.write_text(json.dumps(basic(filters={"auth": {"filter": "jwt", **settings}}, routes=[
        {"match": "/*", "filters": ["auth"], "respond": {"body": "ok"}}])))
    done = command("check", "-c", path)
    assert done.returncode != 0 and told in done.stderr
    assert "short" not in done.stderr.replace("too short", "")


# Passwords.

# "demo" with a cost that takes a moment, and "password" quickly.
SLOW = "$2b$08$0EnlnZwuarxT5x18ZkPlw.OZewAycEuENw1auPg0D0u6nptNESqo6"
QUICK = "$apr1$8sFt66rZ$CwW5jnBTcCMb9M9VZMRdm/"


def login(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def staff(app, **more):
    return guarded(app, filter="basic_auth", users={"alice": SLOW, "bob": QUICK},
                   budget={"wall": "1m"}, **more)


def test_a_password_lets_in_and_the_application_sees_the_name_alone(shop):
    app = shop.echo()
    gw = shop.lintel(staff(app, realm="Lager"))
    for name, password in (("alice", "demo"), ("bob", "password"), ("alice", "demo")):
        got = sent(gw.get(headers={**login(name, password), "X-User": "root"}))
        assert got["x-user"] == name and "authorization" not in got
    served = app.served
    refused = gw.get(headers=login("bob", "demo"))
    assert reason(refused, 401) == "wrong_credentials"
    assert refused.headers.get("www-authenticate") == 'Basic realm="Lager", charset="UTF-8"'
    assert reason(gw.get(headers=login("eve", "demo")), 401) == "wrong_credentials"
    assert reason(gw.get(), 401) == "missing_credentials"
    assert app.served == served
    text = "\n".join(gw.stdout.lines + gw.stderr.lines)
    assert "demo" not in text.replace("demo_", "") and SLOW not in text


def test_many_passwords_at_once_hold_nobody_up(shop):
    """More wrong ones than may wait: how many are told to come back depends on the machine. None
    holds a worker up, and those that go away while they wait leave nothing behind."""
    config = staff(shop.echo())
    config["sites"][0]["routes"].insert(
        0, {"match": "/free", "without": ["auth"], "respond": {"body": "ok"}})
    gw = shop.lintel(config)
    clients = [gw.client() for _ in range(300)]
    for i, client in enumerate(clients):
        fields = "".join(f"{n}: {v}\r\n" for n, v in login("alice", f"guess {i}").items())
        client.send(f"GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
    for _ in range(5):
        assert gw.get("/free").status == 200
    for client in clients[:40]:
        client.reset()
    statuses = [client.response().status for client in clients[40:]]
    assert 401 in statuses and set(statuses) <= {401, 503}
    for client in clients[40:]:
        client.close()
    assert sent(gw.get(headers=login("alice", "demo")))["x-user"] == "alice"


def test_who_is_not_served_in_time_is_told_so_and_it_is_no_failure(shop):
    """More passwords than threads can hash within the wall budget."""
    gw = shop.lintel(guarded(shop.echo(), filter="basic_auth", users={"alice": SLOW},
                             budget={"wall": "100ms"}))
    clients = [gw.client() for _ in range(100)]
    for i, client in enumerate(clients):
        fields = "".join(f"{n}: {v}\r\n" for n, v in login("alice", f"guess {i}").items())
        client.send(f"GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
    told = [client.response() for client in clients]
    for client in clients:
        client.close()
    late = [response for response in told if response.status != 401]
    assert late and all(reason(response, 503) == "busy" for response in late)
    assert {line["cause"] for line in gw.access(len(clients))} == {"filter_denied"}
    assert not gw.events("filter_wall")
    wait_until(lambda: gw.get(headers=login("alice", "demo")).status == 200, "its turn")


def test_the_end_does_not_wait_for_those_who_went(shop):
    """Passwords are in the queue when the gateway ends: nothing leaks, nothing crashes."""
    gw = shop.lintel(staff(shop.echo()))
    clients = [gw.client() for _ in range(60)]
    for client in clients:
        fields = "".join(f"{n}: {v}\r\n" for n, v in login("alice", "guess").items())
        client.send(f"GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
    wait_until(lambda: gw.get(headers=login("bob", "x")).status in (401, 503), "an answer")
    for client in clients:
        client.reset()
    gw.stop()


def test_an_htpasswd_file_is_read_and_another_password_counts_after_a_reload(shop):
    path = shop.folder / "htpasswd"
    path.write_text(f"# people\nbob:{QUICK}\n")
    config = guarded(shop.echo(), filter="basic_auth", htpasswd=f"${{file:{path}}}")
    gw = shop.lintel(config)
    assert gw.get(headers=login("bob", "password")).status == 200
    path.write_text(f"bob:{SLOW}\n")
    gw.reload(config)
    assert gw.get(headers=login("bob", "password")).status == 401
    assert gw.get(headers=login("bob", "demo")).status == 200
    path.write_text("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    gw.reload(config, fails=True)
    assert gw.get(headers=login("bob", "demo")).status == 200


def test_the_examples_let_in_whom_they_say(shop):
    """conf/jwt.yaml and conf/basic_auth.yaml with an application behind them."""
    app = shop.echo(name="app", unix=True)
    folder = app.address.removeprefix("unix:").rpartition("/")[0]
    key = ed25519.Ed25519PrivateKey.from_private_bytes(  # RFC 8037 appendix A.1
        base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="))
    for name, headers in (
            ("jwt", {"Authorization": "Bearer " + token_of("EdDSA", key, claims_of(
                iss="https://id.example.com/", aud="orders-api"))}),
            ("basic_auth", login("alice", "demo"))):
        text = (TREE / "conf" / f"{name}.yaml").read_text().replace("/app-1.sock", "/" +
                                                                    app.address.rpartition("/")[2])
        gw = shop.lintel(text, env={"LINTEL_HTTP": "127.0.0.1:0", "LINTEL_SOCKETS": folder})
        assert gw.get("/healthz").body == b"ok"
        assert gw.get("/").status == 401
        assert sent(gw.get("/", headers=headers))["x-user"] == "alice"


# Webhooks.

HOOK = {"filter": "hmac", "secrets": ["old secret of the sender", "new secret of the sender"],
        "header": "X-Hub-Signature-256", "prefix": "sha256="}


def signed(body, secret="new secret of the sender", field="X-Hub-Signature-256", said=None):
    made = hmac.new(secret.encode(), said or body, "sha256").hexdigest()
    return {field: f"sha256={made}"}


def post(gw, body, headers):
    with gw.client() as client:
        return client.request("POST", "/hook", headers=headers, body=body)


def test_a_signed_webhook_reaches_the_application_whole(shop):
    app = shop.echo()
    gw = shop.lintel(guarded(app, **HOOK))
    for body in (b"{}", b"x" * 300000, b""):
        for secret in HOOK["secrets"]:
            response = post(gw, body, signed(body, secret))
            assert response.status == 200, response
            assert json.loads(response.body)["length"] == len(body)
    served = app.served
    assert reason(post(gw, b"{ }", signed(b"{}")), 401) == "bad_signature"
    assert reason(post(gw, b"{}", signed(b"{}", "guess")), 401) == "bad_signature"
    assert reason(post(gw, b"{}", {}), 401) == "missing_signature"
    assert reason(post(gw, b"x" * 2000000, signed(b"x" * 2000000)), 413) == "body_too_large"
    assert app.served == served


def test_an_old_webhook_is_not_taken_again(shop):
    gw = shop.lintel(guarded(shop.echo(), **{**HOOK, "signed": "v0:{timestamp}:{body}",
                                             "timestamp": "X-Time"}))
    now = int(time.time())
    for at, status in ((now, 200), (now - 3600, 401), (now + 3600, 401)):
        headers = {**signed(b"x", said=f"v0:{at}:x".encode()), "X-Time": str(at)}
        assert post(gw, b"x", headers).status == status
    headers = {**signed(b"x", said=f"v0:{now - 3600}:x".encode()), "X-Time": str(now)}
    assert reason(post(gw, b"x", headers), 401) == "bad_signature"
