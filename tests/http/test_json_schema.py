# SPDX-License-Identifier: Apache-2.0
"""What `lintel show schema` tells editors: it takes what the program takes, and finds mistakes, in the
settings of shipped filters as in the rest."""
import json
import re

import jsonschema
import pytest
import yaml

from lib.gateway import TREE, command

SHIPPED = sorted(p.stem for p in (TREE / "scripts").glob("*.lua")
                 if not p.stem.endswith("_test") and not p.stem.startswith("lintel"))
PAGES = [TREE / "README.md", *sorted((TREE / "docs").rglob("*.md"))]
SNIPPET = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)
WHOLE = {"lintel": 1, "listen": [{"name": "a", "address": ":8080"}], "sites": [
    {"hosts": ["*"], "routes": [{"match": "/*", "respond": 200}]}]}


@pytest.fixture(scope="module")
def schema():
    done = command("show", "schema")
    assert done.returncode == 0, done.stderr
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


@pytest.fixture(scope="module")
def judge(schema):
    """Gives what is wrong with a configuration, or None."""
    validator = jsonschema.Draft202012Validator(schema)

    def wrong(config):
        error = jsonschema.exceptions.best_match(validator.iter_errors(config))
        return error and (list(error.absolute_path), error.message)
    return wrong


def snippets():
    """Whole configurations of the documents, and parts of them made whole."""
    for page in PAGES:
        text = page.read_text()
        for match in SNIPPET.finditer(text):
            line = text[:match.start()].count("\n") + 2
            config = yaml.safe_load(match[1])
            if not isinstance(config, dict):
                continue
            if "lintel" not in config:
                if page.name != "filters.md":
                    continue
                named = set(config) & {"filters", "sites", "limits", "log", "upstreams"}
                config = {**WHOLE, **(config if named else {"filters": config})}
            yield pytest.param(config, id=f"{page.name}:{line}")


@pytest.mark.parametrize("path", sorted((TREE / "conf").glob("*.yaml")), ids=lambda p: p.name)
def test_the_examples_are_valid(judge, path):
    assert judge(yaml.safe_load(path.read_text())) is None


@pytest.mark.parametrize("config", snippets())
def test_what_the_documents_show_is_valid(judge, config):
    assert judge(config) is None


def instance(**settings):
    return {**WHOLE, "filters": {"one": settings}}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_settings_of_a_shipped_filter(schema, judge, name):
    """An editor knows each with its text, and says when one is written wrongly."""
    item = schema["properties"]["filters"]["additionalProperties"]["anyOf"][0]
    known = [part["then"] for part in item["allOf"]
             if part.get("if", {}).get("properties", {}).get("filter") == {"const": name}]
    own = json.loads(command("filter", "schema", name).stdout)
    assert len(known) == 1
    assert {k: v for k, v in known[0]["properties"].items() if v is not True} == own["properties"]
    assert all(v.get("description") for v in own["properties"].values()), name
    for setting in own["properties"]:
        assert judge(instance(filter=name, **{setting + "x": 1})) is not None
    assert judge(instance(filter=name, when="path", on_error="closed", budget={"cpu": "1s"},
                          nosuch=1)) is not None


@pytest.mark.parametrize("config", [
    instance(filter="crs"),
    instance(filter="cors", origin=["https://a.example"]),
    instance(filter="cors", origins="https://a.example"),
    instance(filter="cors", max_age="soon"),
    instance(filter="cors", credentials="maybe"),
    instance(filter="cors", budget={"cpus": "1s"}),
    instance(filter="security_headers", preset="pages"),
    instance(filter="security_headers", hsts={"maxage": "1d"}),
    instance(filter="headers", response_replace=[{"name": "a", "pattern": "b"}]),
    instance(filter="rate_limit", rate="10/1s", in_flight=-1),
    instance(filter="rate_limit", rate="often"),
    instance(filter="jwt", algs="RS256"),
    {**WHOLE, "filter": {}},
    {**WHOLE, "lintel": "x", "sites": []},
])
def test_mistakes_are_found(judge, config):
    assert judge(config) is not None


@pytest.mark.parametrize("config", [
    instance(filter="my/own.lua", anything=1),
    instance(filter="own.lua", anything=[1]),
    instance(filter="${WHICH}", anything=1),
    instance(filter="cors", origins=["${ORIGIN}"], credentials="${COOKIES}", max_age="${AGE}"),
    {**WHOLE, "filters": {"one": "headers"}},
])
def test_what_only_the_gateway_knows_is_left_to_it(judge, config):
    assert judge(config) is None


def test_a_filter_that_is_broken_is_told(tmp_path):
    done = command("show", "schema", env={"LINTEL_SCRIPTS": str(tmp_path)})
    assert done.returncode == 0 and json.loads(done.stdout)["title"] == "Lintel configuration"
    (tmp_path / "good.lua").write_text("return {request = function() end}")
    done = command("show", "schema", env={"LINTEL_SCRIPTS": str(tmp_path)})
    assert done.returncode == 0 and '"good"' in done.stdout
    (tmp_path / "bad.lua").write_text("return {")
    done = command("show", "schema", env={"LINTEL_SCRIPTS": str(tmp_path)})
    assert done.returncode == 1 and "bad.lua:1:" in done.stderr and not done.stdout


@pytest.mark.parametrize("name", SHIPPED)
def test_a_misspelt_setting_of_a_shipped_filter(tmp_path, name):
    """`lintel check` says where it stands and what was meant."""
    settings = json.loads(command("filter", "schema", name).stdout)["properties"]
    for setting in settings:
        wrong = setting[:-1] + ("x" if setting[-1] != "x" else "y") if len(setting) > 3 else None
        if wrong is None or wrong in settings:
            continue
        path = tmp_path / "lintel.yaml"
        path.write_text("lintel: 1\nlisten: [{name: a, address: ':8080'}]\nfilters:\n"
                        f"  one:\n    filter: {name}\n    {wrong}: 1\n"
                        "sites: [{hosts: ['*'], routes: [{match: '/*', respond: 200}]}]\n")
        done = command("check", "-c", path)
        assert done.returncode == 1
        assert f'lintel.yaml:6:5: error: unknown key "{wrong}" in {name}' in done.stderr, done.stderr
        assert "did you mean \"" in done.stderr, done.stderr
