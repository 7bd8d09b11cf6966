# SPDX-License-Identifier: Apache-2.0
"""What the documents show works as shown."""
import re
import shutil

import pytest

from lib.gateway import TREE, command

PAGES = [TREE / "README.md", *sorted((TREE / "docs").rglob("*.md"))]
SNIPPET = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)


def snippets():
    for page in PAGES:
        text = page.read_text()
        for match in SNIPPET.finditer(text):
            if re.match(r"(?:#.*\n|\s*\n)*lintel: 1\b", match[1]):
                line = text[:match.start()].count("\n") + 2
                yield pytest.param(match[1], id=f"{page.name}:{line}")


@pytest.mark.parametrize("text", snippets())
def test_a_whole_configuration_in_a_document_passes_the_check(tmp_path, authority, text):
    """Files that it names are put in their place; variables get a value."""
    cert, key = authority.leaf("localhost")
    text = re.sub(r"/[\w./-]+\.pem\b", str(cert), text)
    text = re.sub(r"/[\w./-]+\.key\b", str(key), text)
    text = text.replace("unix:/run/lintel/", f"unix:{tmp_path}/")
    text = text.replace("/var/lib/lintel/state", f"{tmp_path}/state")
    (tmp_path / "app.servers").write_text("127.0.0.1:8000\n")
    text = text.replace("/etc/lintel/app.servers", f"{tmp_path}/app.servers")
    path = tmp_path / "lintel.yaml"
    path.write_text(text)
    names = re.findall(r"\$\{([A-Z_0-9]+)\}", text)
    done = command("check", "-c", path, env={n: "0123456789abcdef" * 4 for n in names})
    assert done.returncode == 0, done.stderr


def anchors(page):
    """What GitHub calls the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    names = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        words = re.sub(r"\]\([^)]*\)", "", heading).lower()
        names.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return names


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(TREE))) for p in PAGES])
def test_links_of_a_document_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{target}: there is no such file"
        if anchor and to.suffix == ".md":
            assert anchor in anchors(to), f"{target}: there is no such heading"


EXAMPLES = [p for p in sorted((TREE / "docs" / "filters").rglob("*.lua"))
            if not p.name.endswith("_test.lua")]


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in EXAMPLES])
def test_the_guide_shows_each_example_as_it_is(path):
    """After a link to the file comes its text."""
    assert path.with_name(path.stem + "_test.lua").exists(), "an example has a test"
    wanted = path.read_text().split("\n", 1)[1]
    for page in PAGES:
        target = f"]({path.relative_to(page.parent)})" if page.parent in path.parents else None
        _, found, after = page.read_text().partition(target or "\0")
        if found:
            block = re.search(r"^```lua\n(.*?)^```$", after, re.M | re.S)
            assert block and block[1] == wanted, f"{page.name} shows another text"
            return
    pytest.fail("no page shows it")


def lua_snippets():
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^```lua(?: \S+)?\n(.*?)^```$", text, re.M | re.S):
            line = text[:match.start()].count("\n") + 2
            yield pytest.param(match[1], id=f"{page.name}:{line}")


@pytest.mark.parametrize("text", lua_snippets())
def test_lua_in_a_document_is_a_filter_or_a_part_of_one(tmp_path, text):
    """A whole filter is one that the program takes; of a part the syntax is right, and
    what comes before it is known."""
    if "\nreturn M\n" not in text:
        if re.search(r"^(function )?M\.", text, re.M):
            text += "\nfunction M.log() end"
        else:
            text = f"function M.log(ctx)\n{text}\nend"
        text = f"local M, t, user, load_limits, load_flags = {{}}\n{text}\nreturn M\n"
    path = tmp_path / "snippet.lua"
    path.write_text(text)
    done = command("filter", "doc", path)
    assert done.returncode == 0, done.stderr


def recipes():
    text = (TREE / "docs" / "filters" / "cookbook.md").read_text()
    for name, rest in re.findall(r"\[(\w+\.lua)\]\(cookbook/\1\)(.*?)(?=^##|\Z)", text, re.M | re.S):
        yield pytest.param(name, re.search(r"^```yaml\n(.*?)^```$", rest, re.M | re.S)[1], id=name)


@pytest.mark.parametrize("name, instances", recipes())
def test_a_recipe_can_be_used_as_its_instance_says(tmp_path, name, instances):
    (tmp_path / "my_filters").mkdir()
    shutil.copy(TREE / "docs" / "filters" / "cookbook" / name, tmp_path / "my_filters")
    instance = re.search(r"^  (\w+):", instances, re.M)[1]
    path = tmp_path / "lintel.yaml"
    path.write_text("lintel: 1\nlisten: [{name: main, address: \":0\"}]\n" + instances
                    + "upstreams: {app: {servers: [\"127.0.0.1:8000\"]}}\n"
                    "sites: [{hosts: [\"*\"], routes: [{match: \"/*\", filters: [%s], to: app}]}]\n"
                    % instance)
    names = re.findall(r"\$\{([A-Z_0-9]+)\}", instances)
    done = command("check", "-c", path, env={n: "0123456789abcdef" * 4 for n in names})
    assert done.returncode == 0, done.stderr


def test_the_readme_has_a_configuration():
    assert any("README.md" in p.id for p in snippets())


def test_the_reference_manual_is_what_the_program_prints():
    done = command("show", "reference")
    assert done.returncode == 0, done.stderr
    page = (TREE / "docs" / "config-reference.md").read_text()
    assert page == done.stdout, "run: lintel show reference >docs/config-reference.md"


def test_the_page_of_causes_is_what_the_program_prints():
    done = command("show", "causes")
    assert done.returncode == 0, done.stderr
    page = (TREE / "docs" / "causes.md").read_text()
    assert page == done.stdout, "run: lintel show causes >docs/causes.md"


@pytest.mark.parametrize("page, options", [("docs/filters/reference.md", []),
                                           ("scripts/lintel.d.lua", ["--lua"])])
def test_the_reference_of_filters_is_what_the_program_prints(page, options):
    done = command("show", "api", *options)
    assert done.returncode == 0, done.stderr
    assert (TREE / page).read_text() == done.stdout, \
        f"run: lintel {' '.join(['show', 'api', *options])} >{page}"


def test_the_page_about_502_knows_every_cause_of_one():
    causes = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", command("show", "causes").stdout, re.M))
    page = (TREE / "docs" / "troubleshooting-502.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+\*?)`", page))
    prefixes = tuple(name[:-1] for name in named if name.endswith("*"))
    for name, status in causes.items():
        assert status not in ("502", "504") or name in named or name.startswith(prefixes), name


def test_every_cause_has_an_explanation_and_a_hint():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\w+) \| (.*) \| (.*) \|$",
                      command("show", "causes").stdout, re.M)
    assert len(rows) > 40
    assert len({row[0] for row in rows}) == len(rows)
    for name, status, _, text, hint in rows:
        assert status == "0" or 400 <= int(status) <= 599, name
        assert len(text) > 10 and len(hint) > 10, name


def test_every_command_of_the_man_page_exists():
    page = (TREE / "docs" / "man" / "lintel.8").read_text()
    known = command("--help").stdout
    for name in re.findall(r"^\.It Cm (\w+)", page, re.M):
        assert re.search(rf"\b{name}\b", known), name
