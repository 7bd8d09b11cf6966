# SPDX-License-Identifier: Apache-2.0
"""lintel filter: explains filters, and begins new ones."""
import json
import re
import shutil
import subprocess

import pytest

from lib.gateway import PROGRAM, TREE, command, environment

SHIPPED = sorted(p.stem for p in (TREE / "scripts").glob("*.lua") if not p.stem.endswith("_test"))
SHIPPED = [name for name in SHIPPED if not name.startswith("lintel")]

NESTED = """-- SPDX-License-Identifier: Apache-2.0
-- Counts | things.
return {
  group = "limit",
  schema = {
    rules = {type = "list", required = true, doc = "Rules | more.", fields = {
      path = {type = "string", required = true, doc = "Where."},
      cost = {type = "int", default = 1, min = 1},
      key = {type = "secret", default = "hush"}}},
    names = {type = "map", of = "duration", default = {a = "2s"}},
    how = {type = "enum", values = {"x y", "z"}, required = true},
  },
  request = function() end, log = function() end, every = {["30s"] = function() end},
}
"""


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_filter_explains_itself(name):
    for more in ([], ["--markdown"]):
        done = command("filter", "doc", name, *more)
        assert done.returncode == 0, done.stderr
        assert f"filter: {name}" in done.stdout and "Group " in done.stdout
    schema = json.loads(command("filter", "schema", name).stdout)
    assert schema["title"] == name and schema["type"] == "object"
    assert all(row["description"] for row in schema["properties"].values())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_guide_names_every_setting_of_a_shipped_filter(name):
    page = TREE / "docs" / "filters" / f"{name}.md"
    guide = (TREE / "docs" / "filters" / "shipped.md").read_text()
    section = re.search(rf"^## {name}\n(.*?)(?=^##|\Z)", guide, re.M | re.S)
    text = page.read_text() if page.exists() else section[1]
    settings = json.loads(command("filter", "schema", name).stdout)["properties"]
    told = set(re.findall(r"`(\w+)`", text))
    assert set(settings) <= told, sorted(set(settings) - told)
    assert (TREE / "conf" / f"{name}.yaml").exists() or name in ("key_auth", "rate_limit")


def test_doc_of_records(tmp_path):
    path = tmp_path / "n.lua"
    path.write_text(NESTED)
    done = command("filter", "doc", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("n\n\nCounts | things.\n\nGroup limit; on_error is open")
    assert "Hooks: request log every 30s\n" in done.stdout
    assert "  names (by name: duration; default {a: 2s})\n" in done.stdout
    assert "  rules[].cost (whole number, at least 1; default 1)\n" in done.stdout
    assert "  rules[].path (text; required)\n      Where.\n" in done.stdout
    assert f"filter: {path}, how: \"x y\", rules: [{{path: text}}]}}" in done.stdout
    done = command("filter", "doc", path, "--markdown")
    assert "| `rules` | list: mapping | required | Rules \\| more. |\n" in done.stdout
    assert "hush" not in done.stdout
    schema = json.loads(command("filter", "schema", path).stdout)
    rules = schema["properties"]["rules"]
    assert rules["items"]["required"] == ["path"] and not rules["items"]["additionalProperties"]
    assert schema["required"] == ["how", "rules"]


def test_a_filter_that_is_not_there_or_broken(tmp_path):
    done = command("filter", "doc", SHIPPED[0][:-1] + "x")
    assert done.returncode == 1 and f'did you mean "{SHIPPED[0]}"?' in done.stderr
    path = tmp_path / "bad.lua"
    path.write_text("return {")
    done = command("filter", "schema", path)
    assert done.returncode == 1 and "bad.lua:1:" in done.stderr and not done.stdout
    path.write_text("while true do end")
    assert "used more than its time" in command("filter", "doc", path).stderr


def test_new_writes_a_filter_that_works(tmp_path):
    done = command("filter", "new", "say_it", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"lintel test {tmp_path}/say_it_test.lua" in done.stdout
    tried = command("test", tmp_path)
    assert tried.returncode == 0 and "2 passed, 0 failed" in tried.stdout, tried.stdout
    assert "x-say-it" in (tmp_path / "say_it.lua").read_text()
    name = re.search(r'\{filter: "(.*?)"\}', done.stdout)[1]
    config = tmp_path / "lintel.yaml"
    config.write_text("lintel: 1\nlisten: [{name: a, address: '127.0.0.1:8080'}]\n"
                      f"filters: {{say_it: {{filter: '{name}'}}}}\n"
                      "sites: [{hosts: ['*'], filters: [say_it], "
                      "routes: [{match: /*, respond: {body: ok}}]}]\n")
    assert command("check", "-c", config).returncode == 0


def test_new_overwrites_nothing(tmp_path):
    for there in ("a.lua", "a_test.lua"):
        folder = tmp_path / there
        folder.mkdir()
        (folder / there).write_text("mine")
        done = command("filter", "new", "a", folder)
        assert done.returncode == 1 and "is there already" in done.stderr
        assert [p.name for p in folder.iterdir()] == [there]
        assert (folder / there).read_text() == "mine"
    done = command("filter", "new", "a", tmp_path / "none")
    assert done.returncode == 1 and "No such file or directory" in done.stderr


@pytest.mark.parametrize("args", [
    [], ["doc"], ["doc", "--markdown"], ["doc", "a", "b"], ["schema", "a", "b"], ["make", "a"],
    ["new", "A"], ["new", "../a"], ["new", "1a"], ["new", ""], ["new", "a" * 65],
    ["new", "a", "b", "c"], ["new", "a", "b" * 5000],
])
def test_wrong_usage(args):
    assert command("filter", *args).returncode == 2


def test_the_shipped_filters_are_found_beside_the_program(tmp_path):
    """Where it was built, and wherever an installation was moved to."""
    env = {n: v for n, v in environment().items() if n != "LINTEL_SCRIPTS"}
    def doc(program, name="echo"):
        return subprocess.run([program, "filter", "doc", name], cwd=tmp_path, env=env, text=True,
                              capture_output=True, timeout=60)
    built, moved = tmp_path / "build", tmp_path / "usr" / "bin"
    for folder in (built, moved):
        folder.mkdir(parents=True)
        shutil.copy(PROGRAM, folder / "lintel")
    (built / "scripts").symlink_to(TREE / "scripts")
    (tmp_path / "usr" / "share" / "lintel").mkdir(parents=True)
    (tmp_path / "usr" / "share" / "lintel" / "scripts").symlink_to(TREE / "scripts")
    for program in (built / "lintel", moved / "lintel"):
        done = doc(program)
        assert done.returncode == 0 and "Answers with the request" in done.stdout, done.stderr
    done = doc(moved / "lintel", "ehco")
    assert 'did you mean "echo"?' in done.stderr and "usr/bin/../share/lintel/scripts" in done.stderr
