# SPDX-License-Identifier: Apache-2.0
"""What the program says about options, causes and presets when it is asked."""
import json
import re

import pytest

from lib.gateway import TREE, command

NAMES = ["generic", "gunicorn", "gunicorn-threads", "uvicorn", "hypercorn", "node"]
PAGE = TREE / "docs" / "presets.md"


# ---- causes and near misses ----

def test_help_explains_a_cause():
    done = command("help", "closed_before_response")
    assert done.returncode == 0
    assert "stage response_head; answered with 502" in done.stdout
    assert "What happened: the application server closed the connection" in done.stdout
    assert "What to look at: the worker crashed" in done.stdout
    assert "no answer is made" in command("help", "tunnel_cut").stdout


def test_help_on_an_option_names_another_one_with_the_same_words():
    done = command("help", "max_body")
    assert done.returncode == 0
    assert "health.max_body" in done.stdout and done.stdout.endswith("\nSee also: body.max\n")


@pytest.mark.parametrize("word, meant", [
    ("closed_befor_response", "closed_before_response"),
    ("first_byte_timeot", "first_byte_timeout"),
    ("first_byte_timeouts", "timeouts.first_byte"), ("idle_keepalive", "keepalive.idle"),
])
def test_help_on_a_near_miss_says_what_is_meant(word, meant):
    done = command("help", word)
    assert done.returncode == 2
    assert f'did you mean "{meant}"?' in done.stderr
    assert command("help", meant).returncode == 0


# ---- presets: what is printed is what is set ----

def settings(name):
    """Row to value, as `lintel help preset NAME` prints it."""
    done = command("help", "preset", name)
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^    ([a-z_.]+): (\S+)$", done.stdout, re.M))


def milliseconds(value):
    """A duration in one unit, anything else as it is."""
    match = re.fullmatch(r"([\d.]+)(ms|s|m)", value)
    return float(match[1]) * {"ms": 1, "s": 1000, "m": 60_000}[match[2]] if match else value


def in_effect(tmp_path, upstream):
    path = tmp_path / "lintel.yaml"
    path.write_text(json.dumps({"lintel": 1, "listen": [{"name": "a", "address": "127.0.0.1:8080"}],
                                "upstreams": {"app": upstream},
                                "sites": [{"hosts": ["a.example"],
                                           "routes": [{"match": "/*", "to": "app"}]}]}))
    done = command("show", "config", "-c", path)
    assert done.returncode == 0, done.stderr
    text = done.stdout[done.stdout.index("\nupstreams:"):]
    return text[:text.index("\nsites:")]


@pytest.mark.parametrize("name", NAMES)
def test_help_prints_what_the_preset_sets(tmp_path, name):
    text = in_effect(tmp_path, {"preset": name, "servers": ["127.0.0.1:1"]})
    printed = settings(name)
    assert (name == "generic") == (not printed)
    for row, value in printed.items():
        found = re.findall(rf"^ +{row.split('.')[-1]}: (\S+) +# preset {name}$", text, re.M)
        assert [milliseconds(v) for v in found] == [milliseconds(value)], (row, text)
    assert text.count(f"# preset {name}") == len(printed)


def test_what_the_upstream_says_comes_before_the_preset(tmp_path):
    text = in_effect(tmp_path, {"preset": "gunicorn", "servers": ["127.0.0.1:1"],
                                "keepalive": {"max": 5}, "takes": {"field": "16K"}})
    assert re.search(r"^ +max: 5 +# .*lintel\.yaml", text, re.M)
    assert re.search(r"^ +field: 16K +# .*lintel\.yaml", text, re.M)
    assert re.search(r"^ +line: 4094 +# preset gunicorn", text, re.M)


def test_help_lists_the_presets():
    done = command("help", "preset")
    assert done.returncode == 0
    for name in NAMES:
        assert re.search(rf"^{name} +\w", done.stdout, re.M), name
    done = command("help", "preset", "gunicron")
    assert done.returncode == 2 and 'did you mean "gunicorn"?' in done.stderr


def test_the_page_of_presets_is_what_the_program_prints():
    done = command("show", "presets")
    assert done.returncode == 0, done.stderr
    assert PAGE.read_text() == done.stdout, "run: lintel show presets >docs/presets.md"
