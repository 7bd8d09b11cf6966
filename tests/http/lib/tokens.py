# SPDX-License-Identifier: Apache-2.0
"""JSON Web Tokens and their keys, made by another implementation, and requests that carry them."""
import base64
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from lib.configs import basic

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def b64(data):
    data = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pem_of(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def signature(alg, key, text):
    """What alg (of RFC 7518) makes of text with key."""
    kind, bits = alg[:2], HASHES.get(alg[2:])
    if kind == "HS":
        return hmac.new(key.encode(), text, "sha" + alg[2:]).digest()
    if kind == "RS":
        return key.sign(text, padding.PKCS1v15(), bits())
    if kind == "PS":
        pss = padding.PSS(padding.MGF1(bits()), bits.digest_size)
        return key.sign(text, pss, bits())
    if kind == "ES":
        size = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(bits())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(text)


def claims_of(**more):
    claims = {"sub": "alice", "exp": int(time.time()) + 3600}
    claims.update(more)
    return {name: value for name, value in claims.items() if value is not None}


def token_of(alg, key, claims=None, header=None, sign_as=None):
    """sign_as: the algorithm that it is really signed with."""
    head = header if header is not None else {"alg": alg, "typ": "JWT"}
    head = head if isinstance(head, str) else json.dumps(head)
    claims = claims if claims is not None else claims_of()
    text = b64(head) + "." + b64(claims if isinstance(claims, str) else json.dumps(claims))
    return text + "." + b64(signature(sign_as or alg, key, text.encode()))


def guarded(app, **settings):
    """Everything behind one instance, `auth`."""
    return basic(app, filters={"auth": settings}, site={"filters": ["auth"]})


def ask(gw, token, **headers):
    return gw.get(headers={**headers, **({"Authorization": f"Bearer {token}"} if token else {})})


def reason(response, status):
    assert response.status == status, response
    return json.loads(response.body)["cause"]


def sent(response):
    """The fields that the application got."""
    assert response.status == 200, response
    return {name.lower(): value for name, value in json.loads(response.body)["headers"]}


def jwk_of(key, kid):
    n = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig",
            "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}
