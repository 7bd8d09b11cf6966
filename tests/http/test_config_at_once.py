# SPDX-License-Identifier: Apache-2.0
"""Mistakes of every stage of reading a configuration are told in one run, each with its position and
a hint: none hides another."""
import os
import re
import socket

import pytest

from lib.configs import basic
from lib.gateway import command, text_of

RAISES = 'return { init = function(conf) error("no such colour") end, request = function(ctx) end }\n'
BROKEN = "return { request = function(ctx) end\n"

# The mark at the end of a line: what the message or hint about this line says.
EVERY_STAGE = """\
lintel: 1
listen:
  - {name: plain, address: "127.0.0.1:0"}
  - {name: secure, address: "127.0.0.2:0", tls: true}
log:
  access: FOLDER/nowhere/access.log     #: mkdir -p FOLDER/nowhere
  errors: FOLDER                        #: is a folder
upstreams:
  app:
    servers: ["127.0.0.1:8000"]
    balence: p2c                        #: did you mean "balance"
  other:
    servers: ["joe:hunter2@127.0.0.1:8001"]   #: without user and password
filters:
  gone: {filter: key_auht}              #: did you mean "key_auth"
  lost: {filter: filters/none.lua}      #: starts at the folder of this file
  bad: {filter: FOLDER/broken.lua}           #: mend FOLDER
  wrong: {filter: rate_limit, key: client.ip, rate: fast}   #: as in 100/1m
  raises: {filter: FOLDER/raises.lua}        #: no such colour
  budget: {filter: FOLDER/raises.lua, budget: {memory: lots}}   #: as in 512, 64K or 10M
sites:
  - hosts: [a.test]
    name: same
    tls: {certificates: [{certificate: FOLDER/junk.pem, key: CERT.key}]}   #: BEGIN CERTIFICATE
    routes:
      - {match: "/expression", when: header.x ===, to: app}   #: write a name
      - {match: {regex: "^/(?<n"}, to: mising}   #: PCRE2
      - {match: "/tie", to: app}
      - {match: "/tie", to: other}      #: give them different methods
      - {match: "/split", to: {app: 95%, other: 10%}}   #: take 5% from one of them
      - {match: "/unknown", to: elsewhere}   #: known names: app, other
      - {match: "/near", to: othr}      #: did you mean "other"
      - {match: "/filter", to: app, filters: [raise]}   #: did you mean "raises"
      - {match: "/leave", to: app, without: [raises]}   #: has no filters
  - hosts: [b.test]
    name: same                          #: the name of two sites
    listeners: [secured]                #: did you mean "secure"
    tls: {certificates: [{certificate: CERT.pem, key: OTHER.key}]}   #: doesn't belong
    routes: [{match: /, respond: 200}]
  - hosts: [a.test]                     #: the other one is at
    tls:
      certificates:
        - certificate: none.pem         #: No such file
          key: none.key                 #: No such file
    errors: {502: none.html}            #: No such file
    routes: [{match: /, respond: {status: 200, content: x}}]   #: content_type
"""


@pytest.fixture
def every_stage(tmp_path, authority):
    """The text, and by number of line what has to be said about it."""
    cert, _ = authority.leaf("localhost")
    _, other = authority.leaf("other.test")
    (tmp_path / "junk.pem").write_text("no certificate\n")
    (tmp_path / "raises.lua").write_text(RAISES)
    (tmp_path / "broken.lua").write_text(BROKEN)
    cert_key = authority.leaf("localhost")[1]
    text = (EVERY_STAGE.replace("FOLDER", str(tmp_path)).replace("CERT.pem", str(cert))
            .replace("CERT.key", str(cert_key)).replace("OTHER.key", str(other)))
    words = {}
    lines = text.splitlines()
    for i, line in enumerate(lines):
        code, mark, word = line.partition("#:")
        lines[i] = code.rstrip()
        if mark:
            words[i + 1] = word.strip()
    return "\n".join(lines) + "\n", words


def told(text):
    """By number of line: what is printed about it, with source line, caret and hint."""
    found = {}
    for block in re.split(r"^(?=\S*\.yaml:\d+:\d+: )", text, flags=re.M):
        match = re.match(r"\S*\.yaml:(\d+):\d+: error: ", block)
        if match:
            found[int(match[1])] = found.get(int(match[1]), "") + block
    return found


def judge(text, words):
    found = told(text)
    for number, word in words.items():
        assert number in found, f"nothing about line {number} ({word}) in:\n{text}"
        assert word in found[number], (word, found[number])
        assert "= hint: " in found[number], found[number]
        assert re.search(r"^ +\| +\^", found[number], re.M), found[number]
    assert set(found) == set(words), text
    assert "mising" in text, "the rest of a route with a bad pattern is checked too"
    assert "hunter2" not in text and "joe" not in text


def test_by_check(tmp_path, every_stage):
    text, words = every_stage
    path = tmp_path / "lintel.yaml"
    path.write_text(text)
    done = command("check", "-c", path)
    assert done.returncode == 1
    judge(done.stderr, words)
    assert f"{len(words) + 1} errors" in done.stderr
    done = command("check", "--json", "-c", path)
    assert done.returncode == 1 and "hunter2" not in done.stdout


def test_by_run(shop, every_stage):
    text, words = every_stage
    gw = shop.lintel(text, wait=False)
    gw.process.wait(30)
    gw.stderr.join()
    gw.allowed.update(e["event"] for e in gw.events(level="error"))
    gw.ended(1)
    judge("\n".join(line for line in gw.stderr.lines if not line.startswith("{")) + "\n", words)


def test_by_hup(shop, every_stage):
    text, words = every_stage
    gw = shop.lintel(basic(routes=[{"match": "/*", "respond": 200}]))
    gw.reload(text, fails=True)
    assert gw.get("/").status == 200
    errors = gw.events("config_error")
    assert {e["line"] for e in errors} == set(words)
    for number, word in words.items():
        assert any(word in e["message"] + e["hint"] for e in errors if e["line"] == number), word
    assert all(e["hint"] for e in errors), [e for e in errors if not e["hint"]]
    assert all(" = hint" not in e["message"] and "hunter2" not in str(e) for e in errors)


def test_show_config_tells_all_too(tmp_path, every_stage):
    text, words = every_stage
    path = tmp_path / "lintel.yaml"
    path.write_text(text)
    done = command("show", "config", "-c", path)
    assert done.returncode == 1
    places = {n for n, word in words.items() if "nowhere" in word or "is a folder" in word}
    assert set(told(done.stderr)) == set(words) - places


# ---- places that are written to ----


def minimal(**top):
    return text_of({"lintel": 1, "listen": [{"name": "plain", "address": "127.0.0.1:0"}],
                    "sites": [{"hosts": ["a"], "routes": [{"match": "/", "respond": 200}]}], **top})


def places(folder):
    """Configurations with one place that can't be used, and what is said of it."""
    (folder / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "socket"))
    return {
        "access_folder_missing": (minimal(log={"access": f"{folder}/no/a.log"}), "mkdir -p"),
        "errors_folder_missing": (minimal(log={"errors": f"{folder}/no/a.log"}), "mkdir -p"),
        "access_is_a_folder": (minimal(log={"access": str(folder)}), "is a folder"),
        "access_below_a_file": (minimal(log={"access": f"{folder}/file/a.log"}), "not a folder"),
        "access_is_a_socket": (minimal(log={"access": f"{folder}/socket"}), "is a socket"),
        "access_too_long": (minimal(log={"access": f"{folder}/{'x' * 5000}"}), "shorter path"),
        "no_folder_for_bodies": (
            minimal(limits={"buffers": {"path": f"{folder}/no"}}), "mkdir -p"),
        "bodies_below_a_file": (
            minimal(limits={"buffers": {"path": f"{folder}/file"}}), "not a folder"),
        "admin_folder_missing": (minimal(admin=f"unix:{folder}/no/s"), "mkdir -p"),
        "admin_is_a_file": (minimal(admin=f"unix:{folder}/file"), "is no socket"),
        "listener_folder_missing": (
            minimal(listen=[{"name": "plain", "address": f"unix:{folder}/no/s"}]), "mkdir -p"),
    }


@pytest.mark.parametrize("name", [
    "access_folder_missing", "errors_folder_missing", "access_is_a_folder", "access_below_a_file",
    "access_is_a_socket", "access_too_long", "no_folder_for_bodies", "bodies_below_a_file", "admin_folder_missing", "admin_is_a_file",
    "listener_folder_missing"])
def test_a_place_that_cannot_be_used_is_told_with_position(tmp_path, shop, name):
    text, word = places(tmp_path)[name]
    path = tmp_path / "lintel.yaml"
    path.write_text(text)
    done = command("check", "-c", path)
    assert done.returncode == 1
    assert word in done.stderr and "hint" in done.stderr, done.stderr
    assert re.search(r"lintel\.yaml:\d+:\d+: error", done.stderr)
    gw = shop.lintel(text, wait=False)
    gw.process.wait(30)
    gw.stderr.join()
    gw.allowed.update(e["event"] for e in gw.events(level="error"))
    gw.ended(1)
    assert re.search(r"lintel\.yaml:\d+:\d+: error", "\n".join(gw.stderr.lines))


def test_places_that_can_be_used_are_left_alone(tmp_path):
    path = tmp_path / "lintel.yaml"
    path.write_text(minimal(log={"access": f"{tmp_path}/a.log", "errors": "/dev/null"},
                            admin=f"unix:{tmp_path}/s"))
    before = sorted(os.listdir(tmp_path))
    done = command("check", "-c", path)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == before


def test_check_tries_as_the_user_that_will_run(tmp_path):
    """Root may write anywhere; the user that it names may not. Others can only be themselves."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and folder.stat().st_uid == 0 and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o055)
    path = tmp_path / "lintel.yaml"
    path.write_text(minimal(log={"access": f"{closed}/a.log"}, admin=f"unix:{closed}/s"))
    assert command("check", "-c", path).returncode == 0
    done = command("check", "-c", path, "--user", "nobody")
    assert done.returncode == 1
    if os.geteuid() == 0:
        assert len(told(done.stderr)) == 1 and "a.log" in done.stderr, done.stderr
        assert "closed" in done.stderr and "hint" in done.stderr, done.stderr
    else:
        assert "act as nobody" in done.stderr
    done = command("check", "-c", path, "--user", "nobody-at-all")
    assert done.returncode == 1 and "nobody-at-all" in done.stderr


def test_an_address_that_is_taken_is_told_with_position(shop):
    app = shop.echo()
    config = basic(routes=[{"match": "/*", "respond": 200}])
    config["listen"][0]["address"] = app.address
    gw = shop.lintel(config, wait=False)
    gw.process.wait(30)
    gw.stderr.join()
    why = gw.events("start_failed")[0]["why"]
    gw.allowed.update(e["event"] for e in gw.events(level="error"))
    gw.ended(1)
    assert re.search(r"lintel\.yaml:\d+:\d+: can't listen on .*in use", why), why


# ---- help on what is shown ----


def paths_of(shown):
    """The paths of all keys that `show config` prints."""
    found, open_keys = set(), []
    for line in shown.splitlines():
        match = re.match(r"( *)((?:- )*)(?:\"([^\"]*)\"|([\w.%*/-]+)):(?: |$)", line)
        if not match:
            continue
        indent = len(match[1]) + len(match[2])
        while open_keys and open_keys[-1][0] >= indent:
            open_keys.pop()
        key = match[3] if match[3] is not None else match[4]
        open_keys.append((indent, ("0." if match[2] else "") + key))
        found.add(".".join(k for _, k in open_keys))
    return found


def test_help_knows_every_path_that_show_config_prints(tmp_path):
    path = tmp_path / "lintel.yaml"
    path.write_text("""\
lintel: 1
listen: [{name: plain, address: "127.0.0.1:0"}]
log: {fields: {agent: header.user-agent}}
upstreams: {app: {servers: ["127.0.0.1:8000"]}, other: ["127.0.0.1:8001"]}
filters: {limit: {filter: rate_limit, key: client.ip, rate: 5/1m}}
sites:
  - hosts: [a]
    routes:
      - {match: "/a", to: {app: 95%, other: 5%}, filters: [limit]}
""")
    done = command("show", "config", "-c", path)
    assert done.returncode == 0, done.stderr
    paths = paths_of(done.stdout)
    assert {"upstreams.app.servers", "upstreams.app.servers.0.address"} <= paths, paths
    for shown in sorted(p for p in paths if not p.startswith(("defaults.", "upstreams.other."))):
        done = command("help", shown)
        assert done.returncode == 0 and done.stdout, (shown, done.stderr)
