# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a configuration is told without the secrets in it."""
import pytest

from lib.configs import basic
from lib.gateway import command, text_of

SECRET = "hunter2XYZ"
CONFIG = """\
lintel: 1
listen: [{name: plain, address: "127.0.0.1:0"}]
filters:
FILTERS
sites: [{hosts: [a], routes: [{match: /, respond: 200}]}]
"""
# What stands in `filters`; SECRET is the secret. Each is wrong in a way of its own.
MISTAKES = {
    "tab": "  p: {filter: key_auth,\n\tkeys: {a: \"SECRET\"}}",
    "alias": "  p:\n    filter: key_auth\n    keys:\n      acme: *SECRET",
    "alias2": "  p: {filter: key_auth, keys: {acme: *SECRET}}",
    "anchor": "  p: {filter: key_auth, keys: {acme: &SECRET}}",
    "tag": "  p: {filter: key_auth, keys: {acme: !SECRET x}}",
    "at": "  p: {filter: key_auth, keys: {acme: @SECRET}}",
    "colon": "  p:\n    filter: key_auth\n    keys:\n      acme: a: SECRET",
    "quote": "  p:\n    filter: key_auth\n    keys:\n      acme: \"SECRET\n",
    "quote2": "  p:\n    filter: key_auth\n    keys:\n      acme: \"a\" SECRET\n",
    "flow": "  p: {filter: key_auth, keys: {acme: SECRET[}}",
    "brace": "  p: {filter: key_auth, keys: {acme: x{SECRET}",
    "badvar": "  p: {filter: key_auth, keys: {acme: \"x${SECRET y}\"}}",
    "badvar2": "  p: {filter: key_auth, keys: {acme: \"${SECRET\"}}",
    "novar": "  p: {filter: key_auth, keys: {acme: \"SECRET${NOPE}\"}}",
    "list": "  p: {filter: key_auth, keys: [SECRET]}",
    "scalar": "  p: {filter: key_auth, keys: SECRET}",
    "nested": "  p: {filter: key_auth, keys: {acme: {x: SECRET}}}",
    "unknown": "  p: {filter: key_auth, kyes: {acme: SECRET}}",
    "unknown2": "  p:\n    filter: key_auth\n    kyes:\n      acme: SECRET\n",
    "nofilter": "  p: {filter: kye_auth, keys: {acme: SECRET}}",
    "misplaced": "  p: {filter: key_auth, budget: {keys: {acme: SECRET}}}",
    "password": "  p: {filter: key_auth, keys: {}}\npassword: SECRET",
    "dup": "  p: {filter: key_auth, keys: {acme: SECRET, acme: SECRET}}",
    "init": "  p: {filter: key_auth, keys: {acme: SECRET}}",
    "block": "  p:\n    filter: key_auth\n    keys:\n      acme: |\n        line1\n       SECRET: x: y\n",
    "ctrl": "  p: {filter: key_auth, keys: {acme: \"SECRET\u0001\"}}",
    "utf8": "  p: {filter: key_auth, keys: {acme: \"SECRET\u00ff\"}}",
    "shortenv": "  p: {filter: key_auth, keys: {acme: \"${NOPE:-SECRET}\"}, x: 1}",
    "merge": "  p:\n    filter: key_auth\n    keys:\n      <<: SECRET",
    "nul": "  p: {filter: key_auth, keys: {acme: \"SECRET\\0\"}}",
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("args", [["check"], ["check", "--json"], ["show", "config"]], ids=" ".join)
def test_no_message_shows_a_secret(tmp_path, name, args):
    path = tmp_path / "lintel.yaml"
    text = CONFIG.replace("FILTERS", MISTAKES[name]).replace("SECRET", SECRET)
    path.write_bytes(text.encode("latin-1"))
    done = command(*args, "-c", path)
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    assert "lintel.yaml" in done.stdout + done.stderr


def test_lines_without_secrets_are_still_shown(tmp_path):
    path = tmp_path / "lintel.yaml"
    path.write_text("lintel: 1\nlisten: [{name: a, address: [::1]:443}]\n")
    done = command("check", "-c", path)
    assert "listen: [{name: a, address: [::1]:443}]" in done.stderr
    assert 'quote this: "[::1]:443"' in done.stderr
    path.write_text(text_of(basic(routes=[{"match": "/*", "respond": 200, "filters": ["x"]}],
                                  filters={"x": {"filter": "rate_limit", "key": "client.ipp",
                                                 "rate": "5/1m"}})))
    assert '"key": "client.ipp"' in command("check", "-c", path).stderr


def test_show_config_shows_the_settings_of_filters_but_no_secrets(tmp_path):
    path = tmp_path / "lintel.yaml"
    digest = "ab" * 32
    path.write_text(text_of(basic(
        routes=[{"match": "/*", "respond": 200, "filters": ["auth", "limit"]}],
        filters={"auth": {"filter": "key_auth", "keys": {"acme": digest}, "header": "x-my-key"},
                 "limit": {"filter": "rate_limit", "key": "client.ip", "rate": "5/1m"}})))
    done = command("show", "config", "-c", path)
    assert done.returncode == 0, done.stderr
    lines = [line.split("#")[0].strip() for line in done.stdout.splitlines()]
    assert digest not in done.stdout
    assert "acme: <redacted>" in lines and "header: x-my-key" in lines
    assert "forward_as: x-consumer" in lines, "a default of the filter"
    assert "rate: [5/1m]" in lines and "key: client.ip" in lines
    assert done.stdout.count("<redacted>") == 1


def test_show_config_of_a_filter_that_is_not_there_tells_so(tmp_path):
    path = tmp_path / "lintel.yaml"
    path.write_text(text_of(basic(routes=[{"match": "/*", "respond": 200}],
                                  filters={"x": {"filter": "kye_auth", "keys": {"a": SECRET}}})))
    done = command("show", "config", "-c", path)
    assert done.returncode == 1 and "kye_auth" in done.stderr and SECRET not in done.stderr
