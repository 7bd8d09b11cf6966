# SPDX-License-Identifier: Apache-2.0
"""Who the gateway is, and what it can read. As root these tests have it become nobody."""
from pathlib import Path

from lib.configs import basic, with_tls
from lib.client import Client, tls_trust
from lib.gateway import text_of
from lib.users import ARGS, ROOT, UID, let_in

RESPOND = [{"match": "/*", "respond": {"body": "ok"}}]


def status(pid):
    """/proc/PID/status as a dict of lists of words."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def readable(shop, config):
    """The arguments for a gateway whose files its user may read."""
    let_in(shop.folder)
    config["admin"]["listen"] = f"unix:{shop.folder}/admin.sock"
    return config


def test_the_gateway_gives_up_privileges_and_can_not_gain_any(shop):
    gw = shop.lintel(readable(shop, basic(routes=RESPOND, workers=2)), args=ARGS)
    assert gw.get().body == b"ok"
    facts = status(gw.gateway_pid())
    assert facts["Uid"] == [str(UID)] * 4 and facts["NoNewPrivs"] == ["1"]
    assert not ROOT or int(facts["CapEff"][0], 16) == 0
    gw.reload()
    assert gw.get().body == b"ok"


def test_a_configuration_that_the_user_may_not_read_is_told_with_owner_and_mode(shop):
    let_in(shop.folder)
    part = shop.folder / "part.yaml"
    part.write_text(text_of({"sites": []}))
    part.chmod(0o600 if ROOT else 0)
    gw = shop.lintel(basic(routes=RESPOND, include=[str(part)]), args=ARGS, wait=False)
    gw.process.wait(30)
    gw.stderr.join()
    gw.allowed.update(e["event"] for e in gw.events(level="error"))
    gw.ended(1)
    told = "\n".join(gw.stderr.lines)
    assert "part.yaml" in told and str(UID) in told
    assert ("0600" if ROOT else "0000") in told


def test_a_key_that_the_user_may_not_read_leaves_the_old_configuration_serving(shop, authority):
    let_in(shop.folder)
    config = readable(shop, basic(routes=RESPOND))
    cert, key = authority.leaf("localhost")
    files = [shop.folder / "cert.pem", shop.folder / "key.pem"]
    for copy, file in zip(files, (cert, key)):
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o644)
    gw = shop.lintel(with_tls(config, *files), args=ARGS)
    trust = tls_trust(authority.ca)
    files[1].chmod(0o600 if ROOT else 0)
    gw.reload(fails=True)
    assert "key.pem" in "\n".join(gw.stderr.lines)
    with Client(gw.secure, trust=trust) as client:
        assert client.request().body == b"ok"
    files[1].chmod(0o644)
    gw.reload()


def test_an_unknown_user_is_refused(shop):
    gw = shop.lintel(basic(routes=RESPOND), args=("--user", "no-such-user"), wait=False)
    gw.process.wait(30)
    gw.stderr.join()
    assert "no-such-user" in "\n".join(gw.stderr.lines)
    gw.allowed.update(e["event"] for e in gw.events(level="error"))
    gw.ended(1)
