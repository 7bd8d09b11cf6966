# SPDX-License-Identifier: Apache-2.0
"""Issuers, authorization servers and login services that filters ask: keys that change, answers
that are remembered, and what happens while nobody answers."""
import base64
import json
import ssl
import threading
import time

from cryptography.hazmat.primitives.asymmetric import ec

from lib.gateway import TREE
from lib.origin import Origin
from lib.tokens import ask, claims_of, guarded, jwk_of, pem_of, reason, sent, token_of
from lib.wait import wait_until


def message(body, status=200, fields=()):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Told", *(f"{n}: {v}" for n, v in fields),
             f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Issuer(Origin):
    """Publishes its keys at /keys and signs tokens with the newest one."""

    def __init__(self, tls=None, host="127.0.0.1"):
        self.keys, self.fetched, self.down, self.document = [], 0, False, None
        self.hold = threading.Event()
        self.hold.set()
        self.rotate()
        super().__init__(self._serve_keys, tls=tls)
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"

    def rotate(self):
        """Signs by another key from now on; the last one is still published."""
        key = (ec.generate_private_key(ec.SECP256R1()), f"key-{time.monotonic_ns()}")
        self.keys = [*self.keys, key][-2:]

    def token(self, key=None, **more):
        key, kid = key or self.keys[-1]
        return token_of("ES256", key, claims_of(**{"iss": self.url, **more}), {"alg": "ES256", "kid": kid})

    def _serve_keys(self, peer):
        while True:
            request = peer.request()
            self.hold.wait(60)
            if self.down or self.stopping.is_set():
                return
            if request.target.startswith("/.well-known/"):
                peer.send(message(self.document or {"issuer": self.url,
                                                    "jwks_uri": self.url + "/keys"}))
            else:
                self.fetched += 1
                peer.send(message({"keys": [jwk_of(*key) for key in self.keys]}))

    def stop(self):
        self.hold.set()
        super().stop()


def issuer_of(shop, **options):
    issuer = Issuer(**options)
    shop.finally_(issuer.stop)
    return issuer


def trusting(app, issuer, settings=None, **more):
    settings = {"filter": "jwt", "retry": "1s", "budget": {"wall": "20s"},
                "providers": [{"issuer": issuer.url, "jwks_url": issuer.url + "/keys"}],
                **(settings or {})}
    return {**guarded(app, **settings), **more}


# Keys.

def test_a_rotation_at_the_issuer_costs_no_request(shop):
    """Clients that get a token and use it at once, over several rotations and on several
    workers: the token may be the first one with a new key."""
    issuer, app = issuer_of(shop), shop.echo()
    gw = shop.lintel(trusting(app, issuer, workers=2))
    ending, wrong, counts = threading.Event(), [], [0] * 4

    def work(number):
        while not ending.is_set():
            response = ask(gw, issuer.token())
            counts[number] += 1
            if response.status != 200:
                wrong.append((response.status, response.body))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(counts))]
    for thread in threads:
        thread.start()
    for _ in range(4):
        # Longer than `retry`, within which an unknown key is asked for once.
        ending.wait(2.5)
        before = [sum(counts), issuer.fetched]
        issuer.rotate()
        wait_until(lambda: sum(counts) > before[0] + 20 and issuer.fetched > before[1],
                   "requests with the new key")
    ending.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert issuer.fetched <= 2 * (1 + 2 * 4)


def test_made_up_key_ids_cost_the_issuer_little(shop):
    issuer, app = issuer_of(shop), shop.echo()
    gw = shop.lintel(trusting(app, issuer, {"retry": "1h"}, workers=1))
    assert ask(gw, issuer.token()).status == 200
    for i in range(100):
        forged = issuer.token(key=(issuer.keys[0][0], f"made-up-{i}"))
        assert reason(ask(gw, forged), 401) == "unknown_key"
    assert issuer.fetched == 2
    assert ask(gw, issuer.token()).status == 200
    # The public key, which everybody can fetch, is no secret.
    key, kid = issuer.keys[-1]
    swapped = token_of("HS256", pem_of(key), claims_of(iss=issuer.url), {"alg": "HS256", "kid": kid})
    assert reason(ask(gw, swapped), 401) == "wrong_algorithm"
    # What is wrong in itself, or names another place, makes nobody ask.
    place = {"alg": "ES256", "kid": "x", "jku": issuer.url + "/evil", "x5u": issuer.url + "/evil"}
    assert reason(ask(gw, token_of("ES256", key, claims_of(iss=issuer.url), place)), 401) == \
        "unknown_key"
    assert not [r for r in issuer.requests if "evil" in r.target]
    assert issuer.fetched == 2


def test_a_flood_of_made_up_key_ids_shuts_nobody_out(shop):
    """Several clients with a new id for each request, while others have good tokens: the issuer is
    asked once per `retry`, and a rotation in the midst of it takes no longer than that."""
    issuer, app = issuer_of(shop), shop.echo()
    gw = shop.lintel(trusting(app, issuer, {"retry": "1s"}, workers=1))
    assert ask(gw, issuer.token()).status == 200
    ending, forged, wrong = threading.Event(), [0] * 3, []
    forger = ec.generate_private_key(ec.SECP256R1())

    def flood(number):
        while not ending.is_set():
            token = issuer.token(key=(forger, f"made-up-{number}-{forged[number]}"))
            forged[number] += 1
            response = ask(gw, token)
            if response.status != 401:
                wrong.append((response.status, response.body))

    begin, before = time.monotonic(), issuer.fetched
    threads = [threading.Thread(target=flood, args=(i,)) for i in range(len(forged))]
    for thread in threads:
        thread.start()
    old = issuer.keys[-1]
    wait_until(lambda: issuer.fetched >= before + 2, "fetches because of the flood")
    for _ in range(20):
        assert ask(gw, issuer.token()).status == 200
    issuer.rotate()
    wait_until(lambda: ask(gw, issuer.token()).status == 200, "the new key to be known")
    for _ in range(20):
        assert ask(gw, issuer.token()).status == 200
        assert ask(gw, issuer.token(key=old)).status == 200
    ending.set()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begin
    assert not wrong, wrong[:3]
    assert min(forged) > 0 and issuer.fetched - before <= took + 2


def test_without_the_issuer_the_gateway_starts_and_says_so(shop):
    issuer, app = issuer_of(shop), shop.echo()
    issuer.down = True
    config = trusting(app, issuer)
    config["sites"][0]["routes"].insert(
        0, {"match": "/free", "without": ["auth"], "respond": {"body": "ok"}})
    gw = shop.lintel(config)
    assert gw.get("/free").status == 200
    response = ask(gw, issuer.token())
    assert reason(response, 503) == "keys_unavailable"
    assert response.headers.get("retry-after") == "1"
    assert reason(ask(gw, None), 401) == "missing_token"
    event = wait_until(lambda: gw.events("keys_not_fetched"), "a line in the log")[0]
    assert event["url"] == issuer.url + "/keys" and event["filter"] == "auth"
    issuer.down = False
    wait_until(lambda: ask(gw, issuer.token()).status == 200, "keys")


def test_an_issuer_that_hangs_hangs_nobody(shop):
    issuer, app = issuer_of(shop), shop.echo()
    issuer.hold.clear()
    config = trusting(app, issuer, {"budget": {"wall": "1s"}})
    gw = shop.lintel(config)
    began = time.monotonic()
    assert reason(ask(gw, issuer.token()), 503) == "keys_unavailable"
    assert time.monotonic() - began < 15
    with gw.client() as client:  # and goes while it waits
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
                    issuer.token().encode() + b"\r\n\r\n")
    gw.reload(config)  # while the fetch is under way
    issuer.hold.set()
    wait_until(lambda: ask(gw, issuer.token()).status == 200, "keys")


def test_old_keys_serve_while_the_issuer_is_down_over_a_reload_too(shop):
    issuer, app = issuer_of(shop), shop.echo()
    config = trusting(app, issuer, {"refresh": "1s"})
    gw = shop.lintel(config)
    assert ask(gw, issuer.token()).status == 200
    issuer.down = True
    wait_until(lambda: gw.events("keys_not_fetched"), "a fetch that fails")
    assert ask(gw, issuer.token()).status == 200
    config["sites"][0]["routes"].append({"match": "/new", "to": "app"})
    gw.reload(config)
    old = issuer.keys[-1]
    assert ask(gw, issuer.token(key=old)).status == 200
    issuer.rotate()
    assert reason(ask(gw, issuer.token()), 503) == "keys_unavailable"  # who knows
    issuer.down = False
    wait_until(lambda: ask(gw, issuer.token()).status == 200, "the new key")
    wait_until(lambda: gw.events("keys_fetched_again"), "the end of it in the log")


def test_workers_share_what_one_has_fetched(shop):
    issuer, app = issuer_of(shop), shop.echo()
    config = trusting(app, issuer, workers=4)
    gw = shop.lintel(config)
    for _ in range(40):
        assert ask(gw, issuer.token()).status == 200
    fetched = issuer.fetched
    assert fetched <= 4
    config["sites"][0]["routes"].append({"match": "/new", "to": "app"})
    gw.reload(config)
    for _ in range(40):
        assert ask(gw, issuer.token()).status == 200
    assert issuer.fetched == fetched


def test_discovery_over_tls_that_is_verified(shop, authority):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, authority.leaf("localhost")))
    issuer, app = issuer_of(shop, tls=tls, host="localhost"), shop.echo()
    config = trusting(app, issuer, {"providers": [{"issuer": issuer.url}],
                                    "tls": {"ca": str(authority.ca)}})
    gw = shop.lintel(config)
    assert sent(ask(gw, issuer.token()))
    assert {r.target for r in issuer.requests} == {"/.well-known/openid-configuration", "/keys"}
    # Another one's document, and a server that nobody vouches for.
    issuer.document = {"issuer": issuer.url + "/", "jwks_uri": issuer.url + "/keys"}
    config["filters"]["other"] = {**config["filters"].pop("auth")}
    config["sites"][0]["filters"] = ["other"]
    gw.reload(config)
    assert reason(ask(gw, issuer.token()), 503) == "keys_unavailable"
    issuer.document = None
    del config["filters"]["other"]["tls"]
    gw.reload(config)
    assert reason(ask(gw, issuer.token()), 503) == "keys_unavailable"
    wait_until(lambda: [e for e in gw.events("keys_not_fetched") if e["reason"] == "tls_failed"],
               "its reason")


def test_of_two_issuers_none_signs_for_the_other(shop):
    one, two, app = issuer_of(shop), issuer_of(shop), shop.echo()
    gw = shop.lintel(trusting(app, one, {
        "providers": [{"issuer": i.url, "jwks_url": i.url + "/keys"} for i in (one, two)]}))
    assert ask(gw, one.token()).status == ask(gw, two.token()).status == 200
    forged = token_of("ES256", one.keys[0][0], claims_of(iss=two.url),
                      {"alg": "ES256", "kid": one.keys[0][1]})
    assert reason(ask(gw, forged), 401) == "unknown_key"
    forged = token_of("ES256", one.keys[0][0], claims_of(iss=two.url),
                      {"alg": "ES256", "kid": two.keys[0][1]})
    assert reason(ask(gw, forged), 401) == "bad_signature"
    assert reason(ask(gw, one.token(iss="https://evil.test/")), 401) == "wrong_issuer"


def test_an_answer_that_is_too_large_is_no_key_set(shop):
    app = shop.echo()
    big = shop.origin(lambda peer: (peer.request(), peer.send(message(b"x" * 100000))))
    config = guarded(app, filter="jwt", providers=[
        {"issuer": "https://id.test/", "jwks_url": f"http://{big.address}/"}])
    gw = shop.lintel(config)
    wait_until(lambda: [e for e in gw.events("keys_not_fetched") if e["reason"] == "too_large"],
               "its refusal")


# Introspection.

class Server(Origin):
    """An authorization server: `tokens` to what it says of them."""

    def __init__(self):
        self.tokens, self.asked, self.down = {}, [], False
        self.hold = threading.Event()
        self.hold.set()
        super().__init__(self._judge)

    def _judge(self, peer):
        while True:
            request = peer.request()
            self.asked.append(request)
            self.hold.wait(60)
            if self.down or self.stopping.is_set():
                return
            token = request.body.decode().partition("token=")[2].partition("&")[0]
            wanted = "Basic " + base64.b64encode(b"gateway:s3cret").decode()
            if request.headers.get("authorization") != wanted:
                peer.send(message({}, 401))
                continue
            peer.send(message(self.tokens.get(token, {"active": False})))

    def stop(self):
        self.hold.set()
        super().stop()


def introspecting(shop, **settings):
    server, app = Server(), shop.echo()
    shop.finally_(server.stop)
    server.tokens["good"] = {"active": True, "sub": "alice", "scope": "read", "groups": ["a", "b"]}
    settings = {"filter": "introspection", "url": f"http://{server.address}/introspect",
                "client_id": "gateway", "client_secret": "s3cret", "timeout": "15s",
                "budget": {"wall": "20s"}, "forward": {"sub": "X-User", "groups": "X-Groups"},
                **settings}
    return server, app, {**guarded(app, **settings), "workers": 1}


def test_an_active_token_is_asked_about_once(shop):
    server, app, config = introspecting(shop, hide=True)
    gw = shop.lintel(config)
    for _ in range(5):
        got = sent(gw.get(headers={"Authorization": "Bearer good", "X-User": "root"}))
        assert got["x-user"] == "alice" and got["x-groups"] == "a,b"
        assert "authorization" not in got
    assert len(server.asked) == 1
    assert server.asked[0].method == "POST" and server.asked[0].target == "/introspect"
    for _ in range(3):
        assert reason(ask(gw, "bad"), 401) == "inactive_token"
    assert len(server.asked) == 2
    text = "\n".join(gw.stdout.lines + gw.stderr.lines)
    assert "s3cret" not in text and "good" not in text


def test_what_is_remembered_ends_with_the_token(shop):
    server, app, config = introspecting(shop, ttl="1h", leeway="0s")
    gw = shop.lintel(config)
    server.tokens["short"] = {"active": True, "exp": int(time.time()) + 3}
    wait_until(lambda: ask(gw, "short").status == 200, "the token is let in")
    wait_until(lambda: reason(ask(gw, "short"), 401) == "expired" if
               ask(gw, "short").status != 200 else False, "the end of the token")
    assert len(server.asked) == 2


def test_many_who_come_with_one_token_make_one_question(shop):
    server, app, config = introspecting(shop)
    gw = shop.lintel(config)
    server.hold.clear()
    clients = [gw.client() for _ in range(20)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n\r\n")
    wait_until(lambda: server.asked, "a question")
    clients[0].reset()  # the one that asked, perhaps
    wait_until(lambda: int(gw.get("/", headers={}).status) == 401, "the gateway goes on")
    server.hold.set()
    assert {client.response().status for client in clients[1:]} == {200}
    for client in clients[1:]:
        client.close()
    assert len(server.asked) == 1


def test_without_the_server_nobody_gets_in_but_those_it_knew(shop):
    server, app, config = introspecting(shop, timeout="300ms")
    gw = shop.lintel(config)
    assert ask(gw, "good").status == 200
    server.down = True
    assert ask(gw, "good").status == 200
    served = app.served
    for token in ("bad", "other"):
        assert reason(ask(gw, token), 503) == "introspection_unavailable"
    server.down = False
    server.hold.clear()
    assert reason(ask(gw, "third"), 503) == "introspection_unavailable"
    server.hold.set()
    assert app.served == served
    wait_until(lambda: ask(gw, "third").status == 401, "the server is asked again")
    del config["filters"]["auth"]["client_secret"]
    gw.reload(config, fails=True)
    config["filters"]["auth"]["client_secret"] = "wrong"
    gw.reload(config)
    assert reason(ask(gw, "good"), 503) == "introspection_unavailable"


# A service that is asked about each request.

class Login(Origin):
    """Knows who has the cookie; sends the others to its login."""

    def __init__(self):
        self.hold = threading.Event()
        self.hold.set()
        self.mode = ""
        super().__init__(self._judge)

    def _judge(self, peer):
        while True:
            request = peer.request()
            self.hold.wait(60)
            if self.stopping.is_set() or self.mode == "down":
                return
            if "session=alice" in (request.headers.get("cookie") or ""):
                peer.send(message(b"", 200, [("Remote-User", "alice"), ("Remote-Groups", "a"),
                                             ("Remote-Groups", "b"), ("Secret", "x")]))
            else:
                peer.send(message(b"to the login", 302, [
                    ("Location", "https://login.test/?rd=1"), ("Content-Type", "text/html"),
                    ("Set-Cookie", "state=1; Path=/"), ("Set-Cookie", "other=2"),
                    ("Secret", "x")]))

    def stop(self):
        self.hold.set()
        super().stop()


def asking(shop, **settings):
    login, app = Login(), shop.echo()
    shop.finally_(login.stop)
    settings = {"filter": "forward_auth", "url": f"http://{login.address}/verify",
                "copy": ["Remote-User", "Remote-Groups"], "user": "Remote-User",
                "timeout": "15s", "budget": {"wall": "20s"}, **settings}
    return login, app, {**guarded(app, **settings), "workers": 1}


ALICE = {"Cookie": "session=alice"}


def test_the_service_lets_in_and_says_who_it_is(shop):
    login, app, config = asking(shop)
    gw = shop.lintel(config)
    with gw.client() as client:
        response = client.request("POST", "/a%20b?x=1", body=b"secret", headers={
            **ALICE, "Remote-User": "root", "Remote-Groups": "admin", "X-Other": "1"})
    assert response.status == 200
    told = json.loads(response.body)
    fields = [(n.lower(), v) for n, v in told["headers"]]
    assert [v for n, v in fields if n == "remote-user"] == ["alice"]
    assert [v for n, v in fields if n == "remote-groups"] == ["a", "b"]
    assert not [v for n, v in fields if n == "secret"]
    assert told["body"] == "secret"
    asked = login.requests[0]
    assert (asked.method, asked.target, asked.body) == ("GET", "/verify", b"")
    assert asked.headers.get("x-forwarded-method") == "POST"
    assert asked.headers.get("x-forwarded-uri") == "/a%20b?x=1"
    assert asked.headers.get("x-forwarded-host") == "localhost"
    assert asked.headers.get("x-forwarded-proto") == "http"
    assert asked.headers.get("x-forwarded-for") == "127.0.0.1"
    assert asked.headers.get("cookie") == "session=alice"
    assert "x-other" not in asked.headers and "remote-user" not in asked.headers


def test_another_answer_is_the_clients_and_no_redirect_is_followed(shop):
    login, app, config = asking(shop)
    gw = shop.lintel(config)
    for method in ("GET", "HEAD"):
        with gw.client() as client:
            response = client.request(method, "/", headers={"Remote-User": "root"})
        assert response.status == 302
        assert response.headers.get("location") == "https://login.test/?rd=1"
        assert response.headers.get("content-type") == "text/html"
        assert response.headers.all("set-cookie") == ["state=1; Path=/", "other=2"]
        assert "secret" not in response.headers
        assert response.body == (b"to the login" if method == "GET" else b"")
    assert len(login.requests) == 2 and app.served == 0


def test_what_the_service_said_is_remembered_for_those_it_knows(shop):
    login, app, config = asking(shop, ttl="1h")
    gw = shop.lintel(config)
    for _ in range(3):
        assert sent(gw.get(headers={**ALICE, "Remote-User": "root"}))["remote-user"] == "alice"
    assert len(login.requests) == 1
    assert gw.get("/other", headers=ALICE).status == 200
    assert len(login.requests) == 2
    for _ in range(2):  # refusals, and those that have shown nothing, are asked about
        assert gw.get(headers={"Cookie": "session=eve"}).status == 302
        assert gw.get().status == 302
    assert len(login.requests) == 6
    config["filters"]["auth"]["any_uri"] = True
    gw.reload(config)
    for target in ("/", "/other", "/third"):
        assert gw.get(target, headers=ALICE).status == 200
    assert len(login.requests) == 7


def test_many_at_once_make_one_question(shop):
    login, app, config = asking(shop, ttl="1h")
    gw = shop.lintel(config)
    login.hold.clear()
    clients = [gw.client() for _ in range(20)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: session=alice\r\n\r\n")
    wait_until(lambda: login.requests, "a question")
    clients[0].reset()
    login.hold.set()
    assert {client.response().status for client in clients[1:]} == {200}
    for client in clients[1:]:
        client.close()
    assert len(login.requests) == 1


def test_without_the_service_nobody_gets_in(shop):
    login, app, config = asking(shop, timeout="300ms")
    gw = shop.lintel(config)
    login.mode = "down"
    assert reason(gw.get(headers=ALICE), 503) == "auth_unavailable"
    login.mode = ""
    login.hold.clear()
    assert reason(gw.get(headers=ALICE), 503) == "auth_unavailable"
    login.hold.set()
    assert app.served == 0
    wait_until(lambda: gw.get(headers=ALICE).status == 200, "the service is back")


# The examples.

def test_the_examples_ask_whom_they_say(shop):
    app = shop.echo(name="app", unix=True)
    folder, _, name = app.address.removeprefix("unix:").rpartition("/")
    issuer, login = issuer_of(shop), Login()
    shop.finally_(login.stop)
    server, _, _ = introspecting(shop)
    server.tokens["good"] = {"active": True, "client_id": "acme", "scope": "orders"}
    for example, headers, field in (
            ("jwks", {"Authorization": "Bearer " + issuer.token(
                aud="orders-api", tenant="acme", groups=["staff", "x"])}, ("x-groups", "staff,x")),
            ("introspection", {"Authorization": "Bearer good"}, ("x-client", "acme")),
            ("forward_auth", ALICE, ("remote-user", "alice"))):
        text = (TREE / "conf" / f"{example}.yaml").read_text().replace("/app-1.sock", "/" + name)
        gw = shop.lintel(text, env={
            "LINTEL_HTTP": "127.0.0.1:0", "LINTEL_SOCKETS": folder, "LINTEL_ISSUER": issuer.url,
            "LINTEL_INTROSPECT": f"http://{server.address}/", "LINTEL_CLIENT_SECRET": "s3cret",
            "LINTEL_AUTH": f"http://{login.address}/"})
        assert gw.get("/healthz").body == b"ok"
        assert gw.get("/").status in (401, 302)
        assert sent(gw.get("/", headers=headers))[field[0]] == field[1]
