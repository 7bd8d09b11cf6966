# SPDX-License-Identifier: Apache-2.0
"""Configurations are read once, and everything that is wrong with them is told at once."""
import json
import re

import pytest

from lib.configs import basic
from lib.gateway import command, text_of

TEN = """\
lintel: 1
workers: many
listen:
  - {name: plain, address: "127.0.0.1:99999"}
  - {name: other, address: "127.0.0.1:0", tsl: true}
log: {level: loud}
upstreams:
  app:
    servers: ["127.0.0.1:8000"]
    balance: p2d
    timeouts: {connect: 5 parsecs}
filters:
  limit: {filter: rate_limit, key: client.ipp, rate: 5/1m}
sites:
  - hosts: ["a.example.com"]
    routes:
      - {match: "/a", to: ap}
      - {match: "b", to: app}
      - {match: "/c", to: app, respond: {status: 200}}
      - {match: "/d", to: app, filters: [limt]}
      - {match: "/d2", redirect: {status: 200, to: "/e"}}
"""
# line of each mistake: (what its message or hint has to name)
MISTAKES = {2: "many", 4: "99999", 5: "tls", 6: "loud", 10: "p2c", 11: "parsecs",
            17: "app", 18: "/", 19: "respond", 20: "limit", 21: "200"}


def check(tmp_path, config, *args, env=None, name="lintel.yaml"):
    path = tmp_path / name
    path.write_text(text_of(config))
    return command("check", "-c", path, *args, env=env)


def test_a_good_configuration_passes(tmp_path):
    done = check(tmp_path, basic(routes=[{"match": "/*", "respond": 200}]))
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_ten_mistakes_are_told_at_once_each_with_position_and_hint(tmp_path):
    done = check(tmp_path, TEN)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    source = TEN.splitlines()
    told = {}
    for i, line in enumerate(lines):
        match = re.match(r".*lintel\.yaml:(\d+):(\d+): (?:error: )?(.*)", line)
        if match:
            told[int(match[1])] = (int(match[2]), "\n".join(lines[i:i + 4]))
    assert set(MISTAKES) <= set(told), done.stderr
    assert len(told) >= 10
    for number, word in MISTAKES.items():
        column, text = told[number]
        assert word in text, (number, text)
        assert source[number - 1].strip() in text, f"line {number} is not shown: {text}"
        assert 1 <= column <= len(source[number - 1])
        assert re.search(r"^[ |0-9]*\^~*", text, re.M), f"no caret: {text}"
    assert re.search(r"\b1[0-9] errors\b", done.stderr)


def test_the_same_as_json(tmp_path):
    done = check(tmp_path, TEN, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert set(MISTAKES) <= {d["line"] for d in found}
    for diag in found:
        assert diag["severity"] in ("error", "warning")
        assert diag["file"].endswith("lintel.yaml") and diag["column"] >= 1 and diag["message"]
    assert json.loads(check(tmp_path, basic(routes=[{"match": "/*", "respond": 200}]),
                            "--json").stdout) == []


@pytest.mark.parametrize("trust,mode,says", [
    ([], "require", "every connection to this listener is closed"),
    ([], "accept", "no PROXY header is believed"), (["10.0.0.1"], "require", None),
    ([], "none", None)])
def test_proxy_headers_that_nobody_may_send_are_a_warning(tmp_path, trust, mode, says):
    listen = [{"name": "plain", "address": "127.0.0.1:0", "proxy_protocol": mode},
              {"name": "local", "address": "unix:x.sock", "proxy_protocol": mode}]
    config = basic(routes=[{"match": "/*", "respond": 200}], listen=listen, trust=trust)
    done = check(tmp_path, config)
    assert done.returncode == 0
    assert done.stderr.count("warning:") == (says is not None)
    assert not says or says in done.stderr


@pytest.mark.parametrize("address,says", [("http://127.0.0.1:80", "leave the scheme out"),
                                          ("localhost:8000", "write `dns:` before it")])
def test_addresses_as_they_are_written_elsewhere(tmp_path, address, says):
    config = basic()
    config["upstreams"] = {"app": {"servers": [address]}}
    done = check(tmp_path, config)
    assert done.returncode == 1
    assert says in done.stderr


MISTAKEN = {
    "unknown_key": ('lintel: 1\nlisten: [{address: "127.0.0.1:0", adress: x}]\n'
                    "sites: [{hosts: [a], routes: [{match: /, respond: 200}]}]\n", 'address"'),
    "duplicate_key": ("lintel: 1\nlintel: 1\n", "line 1"),
    "anchor": ("lintel: &a 1\n", "anchor"),
    "alias": ("lintel: 1\nworkers: *a\n", "quote"),
    "tag": ("lintel: !x 1\n", "tag"),
    "tab": ("lintel: 1\nlisten:\n\t- a\n", "tab"),
    "not_utf_8": (b"lintel: 1\nname: \xff\n", ""),
    "no_mapping": ("- a\n", "mapping"),
    "empty": ("", ""),
    "wrong_version": ("lintel: 2\n", "1"),
    "unclosed": ("lintel: 1\nlisten: [{a: b}\n", ""),
    "missing_variable": ('lintel: 1\nlisten: [{address: "${NO_SUCH_VARIABLE}"}]\n',
                         "NO_SUCH_VARIABLE"),
    "missing_file": ('lintel: 1\nlisten: [{address: "${file:/no/such/file}"}]\n', "/no/such/file"),
    "missing_include": ("lintel: 1\ninclude: [no-such-file.yaml]\n", "no-such-file.yaml"),
    "negative_number_where_a_word_may_stand": ("lintel: 1\nworkers: -1\n", "too small"),
    "more_than_can_be_counted": (
        'lintel: 1\nupstreams: {a: {servers: [{address: "127.0.0.1:1", max: 70000}]}}\n', "65535"),
    "redact_without_a_header": ('lintel: 1\nlog: {redact: ["a b"]}\n', "no name of a header"),
    "no_sites": ('lintel: 1\nlisten: [{address: "127.0.0.1:0"}]\n', "sites"),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_mistake(tmp_path, name):
    text, hint = MISTAKEN[name]
    path = tmp_path / "lintel.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = command("check", "-c", path)
    assert done.returncode == 1
    assert hint in done.stderr, done.stderr
    assert "lintel.yaml" in done.stderr


def test_a_file_that_is_not_there(tmp_path):
    done = command("check", "-c", tmp_path / "none.yaml")
    assert done.returncode == 1 and "none.yaml" in done.stderr


@pytest.mark.parametrize("args", [[], ["chekc"], ["check", "--jsno"], ["check", "-c"],
                                  ["run", "-c"], ["show"], ["show", "nothing"],
                                  ["check", "surplus"]])
def test_wrong_usage_is_exit_2(args):
    done = command(*args)
    assert done.returncode == 2 and "lintel" in done.stderr and not done.stdout


def test_help_and_version():
    assert re.fullmatch(r"[Ll]intel \d+\.\d+\.\d+\n", command("--version").stdout)
    done = command("--help")
    assert done.returncode == 0 and "check" in done.stdout and "run" in done.stdout
    done = command("help", "upstreams.*.balance.by")
    assert done.returncode == 0 and "p2c" in done.stdout


@pytest.mark.parametrize("broken", ["certificate", "key", "pair", "missing", "garbage"])
def test_bad_certificates_are_named_with_position(tmp_path, authority, broken):
    cert, key = authority.leaf("localhost")
    other, _ = authority.leaf("other.test")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate\n")
    files = {"certificate": (key, key), "key": (cert, cert), "pair": (other, key),
             "missing": (tmp_path / "none.pem", key), "garbage": (garbage, key)}[broken]
    config = f"""\
lintel: 1
listen: [{{name: secure, address: "127.0.0.1:0", tls: true}}]
sites:
  - hosts: [localhost]
    tls:
      certificates:
        - {{certificate: {files[0]}, key: {files[1]}}}
    routes: [{{match: /, respond: 200}}]
"""
    done = check(tmp_path, config)
    assert done.returncode == 1
    assert re.search(r"lintel\.yaml:7:\d+", done.stderr), done.stderr
    assert "PRIVATE" not in done.stderr


def test_variables_are_put_in_as_one_value(tmp_path):
    config = basic(routes=[{"match": "/*", "respond": {"body": "${TEXT}-${NONE:-default}"}}])
    path = tmp_path / "lintel.yaml"
    path.write_text(text_of(config))
    done = command("show", "config", "-c", path, env={"TEXT": 'x", "status": 500'})
    assert done.returncode == 0, done.stderr
    assert "status: 500" not in done.stdout and "-default" in done.stdout


KEY = "0123456789abcdef" * 4


def test_show_config_tells_values_and_where_they_come_from_but_no_secrets(tmp_path, authority):
    cert, key = authority.leaf("localhost")
    config = basic(routes=[{"match": "/*", "to": "app", "filters": ["partner"]}],
                   filters={"partner": {"filter": "key_auth", "keys": {"acme": "${ACME}"}}})
    config["upstreams"] = {"app": {"preset": "uvicorn", "servers": ["127.0.0.1:8000"]}}
    config["defaults"] = {"upstream": {"timeouts": {"connect": "7s"}}}
    config["listen"].append({"name": "s", "address": "127.0.0.2:0", "tls": True})
    config["sites"][0]["tls"] = {"certificates": [{"certificate": str(cert), "key": str(key)}]}
    path = tmp_path / "lintel.yaml"
    path.write_text(text_of(config))
    done = command("show", "config", "-c", path, env={"ACME": KEY})
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout and "PRIVATE KEY" not in done.stdout
    for row, origin, count in (
            (r"unsafe_idle: 500ms", "preset uvicorn", 1),
            (r"connect: 7s", "lintel.yaml:", 2),  # where it is written, and where it counts
            (r"preset: uvicorn", "lintel.yaml:", 1),
            (r"by: p2c", "default", 2)):
        found = re.findall(rf"^ *{row} +# (.*)$", done.stdout, re.M)
        assert len(found) == count and all(origin in f for f in found), (row, found)


def test_included_files_add_upstreams_and_sites(shop):
    folder = shop.folder / "parts"
    (folder / "sites").mkdir(parents=True)
    for name in "ab":
        (folder / "sites" / f"{name}.yaml").write_text(text_of(
            {"sites": [{"hosts": [f"{name}.test"],
                        "routes": [{"match": "/*", "respond": {"body": name}}]}]}))
    config = basic(routes=[{"match": "/*", "respond": {"body": "main"}}],
                   include=[f"{folder}/sites/*.yaml"])
    gw = shop.lintel(config)
    for host, body in (("a.test", b"a"), ("b.test", b"b"), ("localhost", b"main")):
        assert gw.get(host=host).body == body


def ended(gateway):
    """Waits until it has given up; the errors that it logged."""
    gateway.process.wait(30)
    gateway.stderr.join()
    errors = gateway.events(level="error")
    assert errors
    gateway.allowed.update(e["event"] for e in errors)
    gateway.ended(1)
    return errors


def test_run_with_a_mistaken_configuration_exits_1_and_tells_all(shop):
    gw = shop.lintel(TEN, wait=False)
    ended(gw)
    told = "\n".join(gw.stderr.lines)
    for number in MISTAKES:
        assert re.search(rf"lintel\.yaml:{number}:|\"line\":{number}\b", told), told


def test_run_without_a_free_port_exits_1_and_names_it(shop):
    app = shop.echo()
    config = basic(routes=[{"match": "/*", "respond": 200}])
    config["listen"][0]["address"] = app.address
    gw = shop.lintel(config, wait=False)
    ended(gw)
    assert app.address in "\n".join(gw.stderr.lines)
