# SPDX-License-Identifier: Apache-2.0
"""Commands that are typed wrongly say which word they do not know; `help` knows commands and options."""
import pytest

from lib.gateway import command


@pytest.mark.parametrize("line, said", [
    ("filer doc echo", 'there is no "filer"; did you mean "filter"?'),
    ("nonsense", 'there is no "nonsense"\n`lintel help` lists the commands'),
    ("filter nwe x", 'filter: there is no "nwe"; did you mean "new"?'),
    ("filter doc echo --markdwon", 'filter: there is no "--markdwon"; did you mean "--markdown"?'),
    ("limits shwo", 'limits: there is no "shwo"; did you mean "show"?'),
    ("filters relaod", 'filters: there is no "relaod"; did you mean "reload"?'),
    ("status --jsno", 'status: there is no "--jsno"; did you mean "--json"?'),
    ("run --dve x.lua", 'run: there is no "--dve"; did you mean "--dev"?'),
    ("run --dev x.lua --st a=b", 'run: there is no "--st"; did you mean "--set"?'),
    ("show confg", 'show: there is no "confg"; did you mean "config"?'),
    ("check --jsn", 'check: there is no "--jsn"; did you mean "--json"?'),
    ("drain app/x --wiat", 'drain: there is no "--wiat"; did you mean "--wait"?'),
    ("add app/1 --wieght=3", 'add: there is no "--wieght=3"'),
    ("test --filtr x", 'test: there is no "--filtr"; did you mean "--filter"?'),
    ("test --filter", 'test: "--filter" needs a value'),
    ("test a_test.lua --list", 'test: options stand before the files: "--list"'),
])
def test_a_word_that_is_not_known_is_named(line, said):
    done = command(*line.split())
    assert done.returncode == 2 and f"lintel: {said}" in done.stderr, done.stderr


@pytest.mark.parametrize("line", ["pause", "drain app/x app/y", "weight a/b", "limits", "limits top 1 2 --json",
                                  "filter doc", "show upstreams --json x"])
def test_a_wrong_line_of_known_words_is_told_how_it_is_written(line):
    done = command(*line.split())
    assert done.returncode == 2 and "usage: lintel" in done.stderr and "there is no" not in done.stderr


@pytest.mark.parametrize("name, parts", [
    ("limits", ["  limits show [KEY]", "  limits reset KEY", "As an option of the configuration:"]),
    ("filter", ["  filter doc NAME", "  filter new NAME", "As an option of the configuration:\n\nfilters.*.filter"]),
    ("filters", ["  filters reload [FILE]", "sites[].routes[].filters"]),
    ("run", ["  run [-c FILE]", "  run --dev ["]),
    ("resume", ["  pause | resume UPSTREAM"]),
])
def test_help_knows_commands_and_options(name, parts):
    done = command("help", name)
    assert done.returncode == 0 and not done.stderr
    for part in parts:
        assert part in done.stdout, done.stdout
    assert ("As an option" in done.stdout) == (name not in ("run", "resume"))
