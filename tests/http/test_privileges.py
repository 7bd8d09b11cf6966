# SPDX-License-Identifier: Apache-2.0
"""Who the gateway is, and what it can read. As root these tests have it become nobody."""
import os
import signal
import subprocess
from pathlib import Path

from lib.configs import basic, with_tls
from lib.client import Client, tls_trust
from lib.gateway import text_of
from lib.users import ARGS, NOBODY, ROOT, UID, let_in

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


def may_look_into(pid):
    """Whether a process of the gateway's own user may read its memory: only while it may dump core."""
    who = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []} if ROOT else {}
    done = subprocess.run(["cat", f"/proc/{pid}/environ"], capture_output=True, check=False, **who)
    return done.returncode == 0


def test_the_gateway_leaves_no_core_unless_asked(shop):
    if ROOT:  # else the harness can't do without --core-dumps
        gw = shop.lintel(readable(shop, basic(routes=RESPOND)), args=ARGS)
        assert not may_look_into(gw.gateway_pid())
        gw.stop()
    gw = shop.lintel(readable(shop, basic(routes=RESPOND)), args=(*ARGS, "--core-dumps"))
    assert may_look_into(gw.gateway_pid())


def test_the_gateway_gives_up_what_the_supervisor_binds_low_ports_with(shop):
    """As the service manager starts it: an ordinary user with one capability."""
    config = readable(shop, basic(routes=RESPOND))
    wrap = ()
    if ROOT:
        config["listen"][0]["address"] = "127.0.0.1:83"
        caps = ("--inh-caps=-all,+net_bind_service", "--ambient-caps=+net_bind_service",
                "--bounding-set=-all,+net_bind_service")
        wrap = ("setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
                "--no-new-privs", *caps)
    folder = shop.folder / "lintel-0"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    config["admin"]["listen"] = f"unix:{folder}/admin.sock"
    gw = shop.lintel(config, wrap=wrap)
    assert gw.get().body == b"ok"
    facts = status(gw.gateway_pid())
    assert [int(facts[c][0], 16) for c in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [0] * 4
    assert not ROOT or int(status(gw.process.pid)["CapEff"][0], 16) == 1 << 10


def test_a_supervisor_that_is_root_keeps_only_what_it_needs(shop):
    config = readable(shop, basic(routes=RESPOND))
    config["listen"].append({"name": "local", "address": f"unix:{shop.folder}/in.sock"})
    gw = shop.lintel(config, args=ARGS)
    facts = status(gw.process.pid)
    # chown, dac_override, kill, setgid, setuid, net_bind_service
    needed = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10
    assert int(facts["CapEff"][0], 16) & ~needed == 0
    assert not ROOT or int(facts["CapBnd"][0], 16) & ~needed == 0
    os.kill(gw.gateway_pid(), signal.SIGSTOP)
    gw.allowed.update(("gateway_exited", "drain_overdue"))
    gw.signal(signal.SIGTERM)
    gw.signal(signal.SIGTERM)
    gw.ended(1)  # it had to be killed, which takes the right to
