# SPDX-License-Identifier: Apache-2.0
"""lintel test: what tests can do, and what is said when they fail."""
import re
import xml.etree.ElementTree as ElementTree

import pytest

from lib.gateway import TREE, command

FAULTY = """-- Does what it is told.
local M = { on_error = "closed", schema = { what = { type = "string", default = "" } } }

local function deep(user)
  return user.plan.name
end

function M.request(ctx)
  local what = ctx.conf.what
  if what == "hang" then
    while true do end
  elseif what == "bomb" then
    return ("x"):rep(2 ^ 23) .. ("y"):rep(2 ^ 23)
  elseif what == "sleep" then
    ctx:sleep(5)
  elseif what == "deep" then
    local name = deep({})
    return name
  elseif what == "object" then
    error({})
  elseif what == "wait" then
    ctx:defer(function() lintel.log.info("over") end)
    ctx:sleep(1)
  end
end

function M.body(ctx, chunks)
  for chunk in chunks do
    ctx:emit(chunk:upper())
  end
end

function M.log(ctx)
  lintel.log.info("logged", { cause = ctx.cause })
end

return M
"""

HEAD = """local t = require "lintel.test"
local function run(what) return t.run("faulty", { conf = { what = what } }) end
"""


def run(tmp_path, cases, *args, filters=None):
    """The text of the cases becomes a test; gives the finished command."""
    for name, text in {"faulty": FAULTY, **(filters or {})}.items():
        (tmp_path / f"{name}.lua").write_text(text)
    (tmp_path / "a_test.lua").write_text(HEAD + cases)
    return command("test", *args, tmp_path / "a_test.lua", cwd=tmp_path)


def passes(tmp_path, cases, **options):
    done = run(tmp_path, cases, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fails(tmp_path, cases, **options):
    """Gives what is said of each case, by its name."""
    done = run(tmp_path, cases, **options)
    assert done.returncode == 1, done.stdout + done.stderr
    parts = re.split(r"^(ok  |FAIL)  .*?a_test\.lua: (\w[\w ]*?)(?: \([\d.]+ ms, \d+ KB\))?\n",
                     done.stdout, flags=re.M)[1:]
    return {name: (kind, text) for kind, name, text in zip(*[iter(parts)] * 3)}


def test_each_failure_has_its_place_its_line_and_its_callers(tmp_path):
    said = fails(tmp_path, """
local function must_be(got, wanted)
  t.eq(got, wanted)
end
t.case("values", function() t.eq(1, 2) end)
t.case("helper", function()
  must_be("a", "b")
end)
t.case("named", function() t.eq(nil, true, "the flag") end)
t.case("crash", function() local x = {} return x.y.z end)
t.case("good", function() t.eq({ 1, { a = "b" } }, { 1, { a = "b" } }) end)
""")
    path = tmp_path / "a_test.lua"
    assert said["values"] == ("FAIL", f"      {path}:7: is 1, should be 2\n"
                              "           7 | t.case(\"values\", function() t.eq(1, 2) end)\n")
    assert f"{path}:5: is \"a\", should be \"b\"\n           5 |   t.eq(got, wanted)\n" in said["helper"][1]
    assert f"called from {path}:9 in" in said["helper"][1]
    assert "           9 |   must_be(\"a\", \"b\")\n" in said["helper"][1]
    assert ":11: the flag: is nil, should be true" in said["named"][1]
    text, caret = said["crash"][1].splitlines()[1:3]
    assert "(field 'y')" in said["crash"][1] and text[caret.index("^")] == "y"
    assert said["good"][0] == "ok  "


def test_tables_differ_place_by_place(tmp_path):
    said = fails(tmp_path, """
t.case("tables", function()
  t.eq({ a = { 1, 2, { ["x-y"] = true } }, b = 1, c = "same", e = ("long "):rep(20) .. "x" },
    { a = { 1, 3, { ["x-y"] = false } }, c = "same", d = "new", e = ("long "):rep(20) .. "y" })
end)
t.case("many", function()
  local all = {}
  for i = 1, 15 do all[i] = i end
  t.eq(all, {})
end)
t.case("circle", function()
  local a, b = {}, {}
  a.a, b.a = a, b
  t.eq(a, b)
end)
t.case("bytes", function() t.eq("a\\n\\0\\"", "b") end)
""")
    text = said["tables"][1]
    assert "the tables differ\n" in text
    for line in ("  .a[2]: is 2, should be 3", '  .a[3]["x-y"]: is true, should be false',
                 "  .b: is 1, should not be there", '  .d: is missing, should be "new"',
                 'they part at byte 101: is ..."long long x", should be ..."long long y"'):
        assert line in text, line
    places = re.findall(r"^ {8}([.\[].*?): is", text, re.M)
    assert places == sorted(places) and len(places) == 5
    assert ".c" not in text
    assert said["many"][1].count("should not be there") == 10 and "and 5 more" in said["many"][1]
    assert "in a circle" in said["circle"][1]
    assert r'is "a\n\x00\"", should be "b"' in said["bytes"][1]


def test_the_checks(tmp_path):
    passes(tmp_path, """
t.case("all", function()
  t.ne(1, 2) t.ne({ 1 }, { 2 }) t.near(1, 1.05, 0.1) t.match("abc", "^a")
  t.eq(t.ok(7), 7) t.eq(t.raises(function() error("x", 0) end), "x")
  for text, check in pairs {
    ["1 is what it should not be"] = function() t.ne(1, 1) end,
    ["is 1, should be within 0.5 of 2"] = function() t.near(1, 2, 0.5) end,
    ["is nil, should be within"] = function() t.near(nil, 2, 0.5) end,
    ["nil is not true"] = function() t.ok(nil) end,
    ["false here: false is not true"] = function() t.ok(false, "false here") end,
    ['"abc" does not match "%^b"'] = function() t.match("abc", "^b") end,
    ["did not raise"] = function() t.raises(function() end) end,
    ['raised "x" does not match "y"'] = function() t.raises(function() error("x", 0) end, "y") end,
    ["no filter failed"] = function() t.error(run("")) end,
    ["write t.raises"] = function() t.error(function() end) end,
    ["so it is"] = function() t.fail("so it is") end,
  } do
    t.raises(check, text)
  end
end)
""")


def test_a_failed_filter_fails_its_case_unless_the_test_asks(tmp_path):
    said = fails(tmp_path, """
t.case("unseen", function() run("deep") end)
t.case("seen first", function() t.eq(run("deep").status, 200) end)
t.case("looked at", function() t.eq(run("deep").cause, "filter_error") end)
t.case("expected", function() t.match(t.error(run("deep"), "field 'plan'"), "faulty.lua:5") end)
t.case("object", function() run("object") end)
t.case("wall", function() run("sleep") end)
t.case("open", function()
  t.run("faulty", { conf = { what = "deep", on_error = "open" } })
end)
t.case("open and looked at", function()
  t.error(t.run("faulty", { conf = { what = "deep", on_error = "open" } }), "plan")
end)
""")
    filter_path = tmp_path / "faulty.lua"
    assert said["unseen"][1] == (
        "      the filter failed in `request` (filter_error), and the test does not look at it:\n"
        f"      {filter_path}:5: attempt to index a nil value (field 'plan')\n"
        "           5 |   return user.plan.name\n"
        "             |               ^\n"
        f"      called from {filter_path}:17 in function <faulty.lua:8>\n"
        "          17 |     local name = deep({})\n"
        "      its filters logged:\n"
        '        info: logged cause="filter_error"\n')
    assert "is 503, should be 200" in said["seen first"][1]
    assert f"{filter_path}:5: attempt" in said["seen first"][1]
    assert said["looked at"][0] == said["expected"][0] == said["open and looked at"][0] == "ok  "
    assert "an error object of type table" in said["object"][1]
    assert "was stopped over its budget in `request` (filter_wall)" in said["wall"][1]
    assert f"{filter_path}:15: took longer than budget.wall" in said["wall"][1]
    assert "field 'plan'" in said["open"][1]


def test_hangs_and_bombs_fail_their_case_and_the_next_goes_on(tmp_path):
    said = fails(tmp_path, """
t.case("hang", function() run("hang") end)
t.case("after hang", function() t.eq(run("").status, 200) end)
t.case("bomb", function() run("bomb") end)
t.case("after bomb", function() t.eq(run("").status, 200) end)
t.case("mock", function()
  t.http("GET http://x.test/", function() while true do end end)
  t.run("asks", {})
end)
t.case("own bomb", function()
  local all = {}
  while true do all[#all + 1] = ("x"):rep(2 ^ 20) .. #all end
end)
t.case("last", function() t.eq(run("").status, 200) end)
""", filters={"asks": "return { request = function(ctx) lintel.http.get('http://x.test/') end }"})
    assert [kind for kind, _ in said.values()] == [
        "FAIL", "ok  ", "FAIL", "ok  ", "FAIL", "FAIL", "ok  "]
    assert "was stopped over its budget in `request` (filter_cpu)" in said["hang"][1]
    assert "while true do end" in said["hang"][1]
    assert re.search(r"filter_(memory|error|cpu)", said["bomb"][1])
    assert "the test used more than 10 s of processor time" in said["mock"][1]
    assert "the test file used more than 64 MB of memory" in said["own bomb"][1]


def test_budgets_of_a_case(tmp_path):
    said = fails(tmp_path, """
t.case("small", { cpu = "1us", memory = "1K" }, function() run("") end)
t.case("large", { cpu = "10s", memory = "16M" }, function() run("") end)
""")
    assert re.search(r"the filters used [\d.]+ ms of processor time and may use 0.001 ms", said["small"][1])
    assert re.search(r"the filters used \d+ KB of memory and may use 1 KB", said["small"][1])
    assert f"{tmp_path}/a_test.lua:4:\n           4 | t.case(\"small\"" in said["small"][1]
    assert said["large"][0] == "ok  "


@pytest.mark.parametrize("case,told", [
    ("t.case('a', {cpu = 'x'}, function() end)", "cpu: a time such as"),
    ("t.case('a', {cpu = '20s'}, function() end)", "cpu: a time such as"),
    ("t.case('a', {memory = '-1'}, function() end)", "memory: a size such as"),
    ("t.case('a', {cpus = '1ms'}, function() end)", "did you mean `cpu`"),
    ("t.case('a\\nb', function() end)", "a name is one line of text"),
    ("t.case('', function() end)", "a name is one line of text"),
    ("t.case('a')", "write t.case("),
    ("t.run('faulty', {})", "t.run: only within t.case"),
    ("t.load('faulty')", "t.load: only within t.case"),
    ("t.every('faulty', '1s')", "t.every: only within t.case"),
    ("local x = = 1", "unexpected symbol near '='"),
    ("error('oops')", "oops"),
    ("while true do end", "used more than its time while it was loaded")])
def test_a_broken_file_says_where(tmp_path, case, told):
    done = run(tmp_path, case + "\n")
    assert done.returncode == 1
    assert f"FAIL  {tmp_path}/a_test.lua: the file itself\n" in done.stdout
    assert told in done.stdout
    if not told.startswith("used more"):
        assert f"{tmp_path}/a_test.lua:3" in done.stdout and f"3 | {case[:20]}" in done.stdout


@pytest.mark.parametrize("code,told", [
    ("t.case('b', function() end)", "not within another case"),
    ("lintel.sleep(1)", "can't wait"),
    ("t.load('faulty').run{}", "write filter:run(...) with a colon"),
    ("local f = t.load('faulty') t.load('faulty') f:run{}", "another filter was loaded meanwhile"),
    ("t.load('faulty'):run{conf = {}}", "`conf` is not known"),
    ("t.load('faulty'):parallel{}", "parallel: 1 to 32 requests"),
    ("t.load('faulty'):every('1s')", "no function in `every` for \"1s\""),
    ("t.run('faulty', {abort = {}, request = {metod = 1}})", "did you mean `method`"),
    ("t.run('faulty', {abort = 'x'})", "abort: a time such as"),
    ("t.run('faulty', {abort = {request = 0}})", "abort: after 1 to"),
    ("t.run('faulty', {abort = {respons = 1}})", "did you mean `response`"),
    ("t.run('faulty', {conf = {wat = 1}})", 'did you mean "what"?'),
    ("t.run('broken', {})", "   2 | local x = = 1"),
    ("t.http('GET http://x.test/', function() return t.run('faulty', {}) end) t.run('asks', {})",
     "not in a function that plays a service"),
    ("local f = t.load('asks') t.http('GET http://x.test/', function() f:every('1s') end) f:run{}",
     "not in a function that plays a service")])
def test_mistakes_of_a_case_are_explained(tmp_path, code, told):
    said = fails(tmp_path, f"t.case('it', function() {code} end)\n", filters={
        "asks": "return { request = function(ctx) lintel.http.get('http://x.test/') end }",
        "broken": "-- x\nlocal x = = 1\n"})
    assert told in said["it"][1], said["it"][1]


def test_one_instance_answers_several_requests(tmp_path):
    passes(tmp_path, """
t.case("state is kept", function()
  local counter = t.load("counter", { conf = { from = 5 } })
  t.eq(counter:run {}.headers["x-n"], "6")
  t.advance(2)
  t.eq(counter:run { request = { method = "POST", path = "/a" } }.headers["x-n"], "7")
  local r = counter:every("30s")
  t.eq({ r.slept, r.error, r.log[1].message }, { 0.5, nil, "reset" })
  t.eq(counter:run {}.headers["x-n"], "1")
end)
t.case("another load begins anew", function()
  t.eq(t.load("counter", {}):run {}.headers["x-n"], "1")
end)
t.case("at once", function()
  t.http("GET http://x.test/", { json = { n = 1 } })
  local all = t.load("cached"):parallel { {}, { request = { path = "/b" } }, { abort = "10ms" } }
  t.eq(#all, 3) t.eq(#all.http, 1)
  t.eq({ all[1].status, all[2].status, all[2].upstream_request.path }, { 200, 200, "/b" })
  t.eq({ all[3].aborted, all[3].upstream_called, all[1].aborted }, { true, false, false })
  t.eq({ all[1].slept, all[3].slept }, { 0.1, 0.01 })
end)
t.case("one of several fails", function()
  local all = t.load("faulty"):parallel { {}, { user = { id = "x" } } }
  t.eq(all[1].error, nil)
end)
""", filters={"counter": """
return { schema = { from = { type = "int", default = 0 } },
  init = function(conf) return { n = conf.from } end,
  response = function(ctx)
    ctx.state.n = ctx.state.n + 1
    ctx.res.headers["x-n"] = ctx.state.n
  end,
  every = { ["30s"] = function(state) lintel.sleep(0.5) lintel.log.info("reset") state.n = 0 end } }
""", "cached": """
local cache = lintel.cache.new { max = 10, ttl = "1m" }
return { request = function(ctx)
  cache:get("a", function() lintel.sleep(0.1) return lintel.http.get("http://x.test/"):json() end)
end }"""})


def test_clients_leave(tmp_path):
    passes(tmp_path, """
t.case("while a filter waits", function()
  local r = t.run("faulty", { conf = { what = "wait" }, abort = "250ms" })
  t.eq({ r.aborted, r.upstream_called, r.slept, r.cause }, { true, false, 0.25, "client_gone" })
  t.eq(r.status, nil)
  t.eq({ r.log[1].message, r.log[2].message, r.log[2].cause }, { "over", "logged", "client_gone" })
end)
t.case("too late", function()
  local r = t.run("faulty", { conf = { what = "wait" }, abort = "2s" })
  t.eq({ r.aborted, r.status }, { false, 200 })
end)
t.case("in the midst of a body", function()
  local r = t.run("faulty", { response = { body = { "a", "b", "c" } }, abort = { response = 2 } })
  t.eq({ r.aborted, r.status, r.cause }, { true, 200, "client_gone" })
  t.eq(r.pieces, { "A", "B" })
  r = t.run("both", { request = { body = { "a", "b" } }, abort = { request = 1 } })
  t.eq({ r.aborted, r.upstream_called }, { true, false })
  r = t.run("plain", { response = { body = { "a", "b", "c" } }, abort = { response = 2 } })
  t.eq({ r.aborted, r.pieces, r.body, r.cause }, { true, { "a", "b" }, "ab", "client_gone" })
  r = t.run("slow", { response = { body = { "a", "b" } }, abort = "1500ms" })
  t.eq({ r.aborted, r.body, r.slept }, { true, "a", 1.5 })
end)
""", filters={"plain": "return { log = function() end }", "both": "return { body = { request = function(ctx, chunks) "
              "for c in chunks do ctx:emit(c) end end } }",
              "slow": "return { body = function(ctx, chunks) "
              "for c in chunks do lintel.sleep(1) ctx:emit(c) end end }"})


def test_bodies_in_pieces(tmp_path):
    passes(tmp_path, """
t.case("through filters", function()
  local r = t.run("pairs", { request = { body = { "a", "b", "c" } },
                             response = { body = { "x", "yz" } } })
  t.eq(r.upstream_request.pieces, { "[ab]", "[c]" })
  t.eq(r.upstream_request.body, "[ab][c]")
  t.eq(r.pieces, { "x", "yz" })
end)
t.case("as they came", function()
  local r = t.run("faulty", { request = { body = { "a", "", "bc" } }, response = { body = "whole" } })
  t.eq({ r.upstream_request.pieces, r.pieces }, { { "a", "bc" }, { "WHOLE" } })
  t.eq(t.run("faulty", {}).pieces, {})
end)
t.case("put in the place of another", function()
  t.eq(t.run("sets", { response = { body = { "a", "b" } } }).pieces, { "new one" })
end)
""", filters={"sets": "return { response = function(ctx) ctx.res:set_body('new one') end }",
              "pairs": """
return { body = { request = function(ctx, chunks)
  local kept = ""
  for chunk in chunks do
    kept = kept .. chunk
    if #kept == 2 then ctx:emit("[" .. kept .. "]") kept = "" end
  end
  ctx:emit("[" .. kept .. "]")
end } }"""})


# ---- the command ----

def many(tmp_path):
    """Folders with tests, some of them broken."""
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    good = HEAD + 't.case("one <&\\"> #1", function() run("") end)\nt.case("two", function() end)\n'
    for name in ("z_test.lua", "b/a_test.lua", ".hidden/no_test.lua"):
        (tmp_path / name).write_text(good.replace('"faulty"', f'"{tmp_path}/faulty.lua"'))
    (tmp_path / "faulty.lua").write_text(FAULTY)
    (tmp_path / "b" / "unused.lua").write_text("-- nobody loads it\nreturn {\n  log = print,\n}\n")
    (tmp_path / "b" / "c_test.lua").write_text(
        HEAD + 't.case("bad \\xff]]>", function()\n  t.eq("\\1", "<a>")\nend)\n')
    (tmp_path / "c_test.lua").write_text("nonsense\n")


def test_folders_are_searched_in_order(tmp_path):
    many(tmp_path)
    done = command("test", tmp_path)
    assert done.returncode == 1
    files = re.findall(r"^(?:ok  |FAIL)  (\S+):", done.stdout, re.M)
    wanted = ["b/a_test.lua", "b/a_test.lua", "b/c_test.lua", "c_test.lua", "z_test.lua", "z_test.lua"]
    assert files == [f"{tmp_path}/{name}" for name in wanted]
    assert re.search(r"^4 passed, 2 failed \(4 files, [\d.]+ s\)$", done.stdout, re.M)


def test_lists_and_filters(tmp_path):
    many(tmp_path)
    (tmp_path / "c_test.lua").unlink()
    done = command("test", "--list", f"{tmp_path}/")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f'{tmp_path}/b/a_test.lua: one <&"> #1', f"{tmp_path}/b/a_test.lua: two",
        done.stdout.splitlines()[2], f'{tmp_path}/z_test.lua: one <&"> #1',
        f"{tmp_path}/z_test.lua: two"]
    done = command("test", "--filter", "a_test*two", tmp_path)
    assert done.returncode == 0 and "1 passed, 0 failed (1 file," in done.stdout
    done = command("test", "--filter", "three", tmp_path)
    assert done.returncode == 2 and "no case matches" in done.stderr


def test_tap(tmp_path):
    many(tmp_path)
    done = command("test", "--tap", "--coverage", tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "TAP version 13" and "1..6" in lines
    results = [line for line in lines if re.match(r"(not )?ok \d", line)]
    assert [int(re.search(r"ok (\d+)", line)[1]) for line in results] == list(range(1, 7))
    assert [line.startswith("ok") for line in results] == [True, True, False, False, True, True]
    assert results[0].endswith('a_test.lua: one <&"> _1')
    inside = False
    for line in lines[1:]:
        assert inside or re.match(r"(not )?ok \d|#|1\.\.6|  ---$", line), line
        inside = (inside or line == "  ---") and line != "  ..."
    assert "  cpu_ms: " in done.stdout and "  message: |" in done.stdout
    assert any(re.match(r"# 4 passed, 2 failed", line) for line in lines)


SUITE = {"name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "time"}


def test_junit(tmp_path):
    """What the schema of Ant's task asks for, which is the strictest in use."""
    many(tmp_path)
    out = tmp_path / "junit.xml"
    done = command("test", "--junit", out, tmp_path)
    assert done.returncode == 1
    root = ElementTree.parse(out).getroot()
    assert root.tag == "testsuites" and not root.attrib and len(root) == 4
    for i, suite in enumerate(root):
        assert suite.tag == "testsuite" and set(suite.attrib) == SUITE and suite.get("id") == str(i)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        assert suite.get("hostname") and float(suite.get("time")) >= 0
        tags = [child.tag for child in suite]
        cases = suite.findall("testcase")
        assert tags == ["properties"] + ["testcase"] * len(cases) + ["system-out", "system-err"]
        assert int(suite.get("tests")) == len(cases)
        for kind in ("failure", "error"):
            assert int(suite.get(kind + "s")) == len(suite.findall(f"testcase/{kind}"))
        for case in cases:
            assert set(case.attrib) == {"name", "classname", "time"} and len(case) <= 1
            assert case.get("classname") == suite.get("name") and float(case.get("time")) >= 0
            assert all(set(child.attrib) == {"type", "message"} for child in case)
    assert root[0][1].get("name") == 'one <&"> #1'
    bad = root[1].find("testcase")
    assert bad.get("name") == "bad ?]]>" and 'should be "<a>"' in bad.find("failure").text
    assert bad.find("failure").get("message") in bad.find("failure").text
    assert root[2].find("testcase/error") is not None


def test_coverage(tmp_path):
    many(tmp_path)
    (tmp_path / "c_test.lua").unlink()
    (tmp_path / "b" / "c_test.lua").unlink()
    out = tmp_path / "lcov.info"
    done = command("test", f"--coverage=lcov:{out}", tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"    0.0 %  {tmp_path}/b/unused.lua (0 of 3)\n          not run: 2-4\n" in done.stdout
    text = FAULTY.splitlines()
    missed = re.search(r"faulty\.lua \((\d+) of (\d+)\)\n +not run: (.*)\n", done.stdout)
    lines = {int(n) for part in missed[3].split(", ")
             for n in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)}
    assert text.index("  return user.plan.name") + 1 in lines
    assert text.index("    ctx:sleep(5)") + 1 in lines
    assert text.index("  local what = ctx.conf.what") + 1 not in lines
    assert text.index("-- Does what it is told.") + 1 not in lines
    records = out.read_text().split("end_of_record\n")
    assert len(records) == 3 and records[-1] == ""
    record = next(r for r in records if "faulty.lua" in r)
    hits = {int(n): int(c) for n, c in re.findall(r"^DA:(\d+),(\d+)$", record, re.M)}
    assert f"LF:{len(hits)}\nLH:{sum(c > 0 for c in hits.values())}\n" in record
    assert (str(len(hits)), str(sum(c > 0 for c in hits.values()))) == (missed[2], missed[1])
    assert hits[text.index("  local what = ctx.conf.what") + 1] == 2
    assert hits[text.index("  return user.plan.name") + 1] == 0


def test_coverage_of_a_filter_that_is_stopped(tmp_path):
    """Budgets hold while lines are counted; code that only runs while a file is tried out counts."""
    done = run(tmp_path, """
t.case("hang", function() t.error(run("hang")) end)
t.case("load", function() t.raises(function() t.run("picky", {}) end, "not so") end)
""", "--coverage", filters={"picky": "return { log = function() end, init = function()\n"
                                     "  error('not so')\nend }\n"})
    assert done.returncode == 0, done.stdout
    assert re.search(r"picky\.lua \(3 of 3\)|100.0 %  \S*picky\.lua", done.stdout)
    assert not re.search(r"not run: .*\b11\b", done.stdout)


@pytest.mark.parametrize("args", [
    [], ["--junit"], ["--filter", "x"], ["--coverage=html", "x"], ["--coverage=lcov:", "x"],
    ["--nonsense", "x"], ["--list", "--tap", "x"], ["--list", "--coverage", "x"]])
def test_wrong_usage(args):
    done = command("test", *args)
    assert done.returncode == 2 and "usage: lintel test" in done.stderr


def test_nothing_to_run_is_no_success(tmp_path):
    done = command("test", tmp_path)
    assert done.returncode == 2 and "there is no *_test.lua in" in done.stderr
    done = command("test", tmp_path / "none_test.lua")
    assert done.returncode == 1 and "No such file" in done.stdout
    many(tmp_path)
    done = command("test", "--junit", tmp_path / "none" / "x.xml", tmp_path / "z_test.lua")
    assert done.returncode == 2 and "No such file" in done.stderr
    done = command("test", f"--coverage=lcov:{tmp_path}/none/x", tmp_path / "z_test.lua")
    assert done.returncode == 1 and "No such file" in done.stderr


def test_help_is_where_people_look():
    for args in (["help", "test"], ["test", "--help"]):
        done = command(*args)
        assert done.returncode == 0
        for option in ("--filter", "--list", "--tap", "--junit", "--coverage"):
            assert option in done.stdout
    page = (TREE / "docs" / "man" / "lintel.8").read_text()
    for option in ("filter", "list", "tap", "junit", "coverage"):
        assert f"-{option}" in page


def test_the_example_of_the_manual(tmp_path):
    """Blocks of code that begin with a file's name are that file."""
    page = (TREE / "docs" / "filters" / "testing.md").read_text()
    blocks = re.findall(r"^```lua\n(.*?)^```$", page, re.M | re.S)
    named = [(re.match(r"-- (\w+\.lua)\n", text), text) for text in blocks]
    for name, text in named:
        if name:
            (tmp_path / name[1]).write_text(text)
    rest = [text for name, text in named if not name]
    for name in ("relink", "quota"):
        example = next((TREE / "docs" / "filters").rglob(f"{name}.lua"))
        (tmp_path / f"{name}.lua").write_text(example.read_text())
    (tmp_path / "more_test.lua").write_text('local t = require "lintel.test"\n' + "\n".join(rest))
    done = command("test", tmp_path)
    assert "4 passed, 1 failed" in done.stdout, done.stdout
    looking = done.stdout.partition("FAIL")[2]
    assert "what is going on?" in looking and '"upstream_called":true' in looking, done.stdout


def test_a_filter_that_cannot_be_loaded_is_shown_with_its_line(tmp_path):
    (tmp_path / "bad.lua").write_text("return {\n  log = function()\n    local x = = 1\n  end,\n}\n")
    done = command("filter", "doc", tmp_path / "bad.lua")
    assert done.returncode == 1 and f"{tmp_path}/bad.lua:3:5: error: unexpected symbol" in done.stderr
    assert done.stderr.count("local x = = 1") == 1


def test_definitions_for_editors_know_all_of_lintel_test(tmp_path):
    text = (TREE / "scripts" / "lintel.test.d.lua").read_text()
    names = sorted(re.findall(r"^function t\.(\w+)\(", text, re.M))
    methods = sorted(re.findall(r"^function filter:(\w+)\(", text, re.M))
    passes(tmp_path, """
local function functions(of)
  local names = {}
  for name, value in pairs(of) do
    if type(value) == "function" then names[#names + 1] = name end
  end
  table.sort(names)
  return table.concat(names, " ")
end
t.case("names", function()
  t.eq(functions(t), "%s")
  t.eq(functions(t.load("faulty")), "%s")
end)
""" % (" ".join(names), " ".join(methods)))


def test_the_shipped_filters_have_tests_of_their_lines():
    """A sign, not a wall: what can't be made to happen in a test need not be."""
    done = command("test", "--coverage", TREE / "scripts",
                   env={"LINTEL_SCRIPTS": str(TREE / "scripts")}, timeout=300)
    assert done.returncode == 0, done.stdout
    parts = re.findall(r"^ *([\d.]+) %  \S*/scripts/(\w+)\.lua ", done.stdout, re.M)
    assert {name for _, name in parts} >= {"jwt", "key_auth", "basic_auth", "hmac", "headers"}
    assert not [(name, part) for part, name in parts if float(part) < 90]


@pytest.mark.parametrize("case, told", [
    ('t.eq(run("").satus, 200)', "the result of a test has no 'satus'; did you mean 'status'?"),
    ('t.eq(run("").upstream_request.heders, 1)', "upstream_request has no 'heders'; did you mean 'headers'?"),
    ('t.eq(run("deep").resaon, 1)', "the result of a test has no 'resaon'; did you mean 'reason'?"),
    ('t.equal(1, 1)', "lintel.test has no 'equal'; did you mean 'eq'?"),
    ('t.run("faulty", { conf = { waht = "" } })', 'hint: did you mean "what"?'),
])
def test_a_misspelt_name_is_told_with_the_right_one(tmp_path, case, told):
    done = run(tmp_path, f't.case("c", function() {case} end)')
    assert done.returncode == 1 and told in done.stdout, done.stdout


def test_what_a_result_may_lack_is_nil(tmp_path):
    names = ["reason", "cause", "error", "user", "redis"]
    checks = " ".join(f"t.eq(r.{n} == nil or r.{n} ~= nil, true)" for n in names)
    done = run(tmp_path, f't.case("c", function() local r = run("") {checks} t.eq(r.user, nil) end)')
    assert done.returncode == 0, done.stdout


def test_of_a_case_that_fails_the_log_of_its_filters_is_shown(tmp_path):
    filters = {"talks": """return { request = function(ctx)
  ctx.log.warn("looked it up", { plan = "gold", n = 2 })
  lintel.log.info(("x"):rep(900))
end }
"""}
    case = """
t.case("fails", function()
  t.run("talks", {})
  for _ = 1, 9 do t.run("talks", {}) end
  t.eq(1, 2)
end)
t.case("passes", function() t.run("talks", {}) end)
t.case("fails without a word", function() t.eq(1, 2) end)
"""
    said = run(tmp_path, case, filters=filters).stdout
    assert said.count("its filters logged:") == 1 and "1 passed, 2 failed" in said, said
    shown = said.partition("its filters logged:\n")[2].partition("\nok ")[0].splitlines()
    assert shown[0].startswith("        warn: looked it up ") and 'plan="gold"' in shown[0] and "n=2" in shown[0]
    assert shown[1] == "        info: " + "x" * 900
    assert [len(line) for line in shown].count(914) == 4, "as many whole lines as there is room for"
