# SPDX-License-Identifier: Apache-2.0
"""`lintel run --dev`: files are taken up as they are saved, errors of filters are shown to those who
may see them."""
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from lib.client import Client, fetch
from lib.configs import basic
from lib.gateway import PROGRAM, command, environment
from lib.wait import wait_until

GOOD = 'return { response = function(ctx) ctx.res.headers["x-a"] = "%s" end }\n'
BROKEN = "return {\n  response = function(ctx) local 3 end,\n}\n"
RAISES = 'return {\n  response = function(ctx)\n    local t = ctx.vars.none.x\n  end,\n}\n'


def in_place(path, text):
    path.write_text(text)


def by_rename(path, text):
    new = path.with_suffix(".swp")
    new.write_text(text)
    os.replace(new, path)


def by_backup(path, text):
    """As an editor does that moves the old file away first."""
    os.replace(path, path.with_suffix(".bak"))
    path.write_text(text)


SAVES = {"in place": in_place, "by rename": by_rename, "by backup": by_backup}


@pytest.fixture(name="dev")
def dev_fixture(shop):
    def make(text=GOOD % "1", args=("--dev",), **top):
        path = shop.folder / f"a{len(shop.gateways)}.lua"
        path.write_text(text)
        config = basic(shop.echo(), workers=2, **top)
        config["filters"] = {"a": {"filter": str(path)}}
        config["sites"][0]["filters"] = ["a"]
        gw = shop.lintel(config, args=args)
        gw.allowed |= {"filters_refused", "filter_not_compiled", "filter_error"}
        return gw, path
    return make


def header(gw):
    return {n.lower(): v for n, v in gw.get().headers}.get("x-a")


def shows(gw, value):
    wait_until(lambda: {header(gw) for _ in range(6)} == {value}, f"every answer says {value}")


@pytest.mark.parametrize("how", SAVES)
def test_a_filter_is_taken_up_when_it_is_saved(dev, how):
    gw, path = dev()
    shows(gw, "1")
    for value in ("2", "3", "22"):
        SAVES[how](path, GOOD % value)
        shows(gw, value)
    assert not gw.events("reloaded")


@pytest.mark.parametrize("how", SAVES)
def test_a_broken_save_is_shown_until_it_is_mended(dev, how):
    gw, path = dev()
    SAVES[how](path, BROKEN)
    wait_until(lambda: all(gw.get().status == 503 for _ in range(6)), "every worker shows the error")
    answer = gw.get()
    text = answer.body.decode()
    assert f"{path}:2:" in text and "local 3 end" in text and "^" in text
    assert ("content-type", "text/plain; charset=utf-8") in [(n.lower(), v) for n, v in answer.headers]
    SAVES[how](path, GOOD % "2")
    shows(gw, "2")
    assert len(gw.events("filters_refused")) == 1


def test_what_was_broken_and_is_as_before_serves_again(dev):
    gw, path = dev()
    path.write_text(BROKEN)
    wait_until(lambda: gw.get().status == 503, "the error is shown")
    path.write_text(GOOD % "1")
    shows(gw, "1")
    assert not gw.events("filters_reloaded")


def test_an_error_at_run_time_is_shown_with_its_line(dev):
    gw, path = dev(RAISES)
    answer = gw.get()
    assert answer.status == 503
    text = answer.body.decode()
    assert f"{path.stem}.lua:3: attempt to index a nil value" in text
    assert "3 |     local t = ctx.vars.none.x" in text
    told = json.loads(gw.get(headers={"Accept": "application/json"}).body)
    assert told["cause"] == "filter_error" and "ctx.vars.none.x" in told["error"]
    page = gw.get(headers={"Accept": "text/html"}).body.decode()
    assert "<pre>" in page and "ctx.vars.none.x" in page
    deep = 'local function f(x) return x.y end\nreturn { request = function(ctx) f(nil); ctx:sleep(0) end }\n'
    path.write_text(deep)
    wait_until(lambda: len(re.findall(r"^a\d+\.lua:\d", gw.get().body.decode(), re.M)) == 2,
               "the traceback")


def test_markup_in_an_error_is_escaped(dev):
    gw, _ = dev('return { request = function(ctx) error("<script>" .. ctx.req.path) end }\n')
    page = gw.get("/<b>", headers={"Accept": "text/html"}).body.decode()
    assert "<script>" not in page, page
    assert "script&" in page


def test_without_dev_nothing_is_shown_and_nothing_watched(dev):
    gw, path = dev(RAISES, args=())
    assert header(gw) is None and gw.get().status == 200  # on_error: open
    path.write_text(GOOD % "2")
    done = command("filters", "reload", "-c", gw.config, cwd=gw.folder)
    assert done.returncode == 0, done.stderr
    shows(gw, "2")


PROXY = "PROXY TCP4 198.51.100.7 127.0.0.1 4000 80\r\n"


def test_errors_are_not_shown_to_others(dev):
    """A peer that a PROXY header names as somebody from elsewhere."""
    gw, path = dev(RAISES.replace("return {", 'return { on_error = "closed",'),
                   trust=["127.0.0.1"],
                   listen=[{"name": "plain", "address": "127.0.0.1:0", "proxy_protocol": "accept"}])
    def ask(before):
        with Client(gw.plain) as c:
            c.send(before.encode() + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return c.response()
    assert b"ctx.vars" in ask("").body
    other = ask(PROXY)
    assert other.status == 503 and b"ctx.vars" not in other.body and b"lua" not in other.body
    path.write_text(BROKEN)
    wait_until(lambda: b"local 3" in ask("").body, "the error is shown to us")
    other = ask(PROXY)
    assert b"local 3" not in other.body


def test_a_configuration_is_taken_up_when_it_is_saved(dev):
    gw, path = dev()
    config = json.loads(gw.config.read_text())
    config["filters"]["a"]["when"] = "path == '/only'"
    by_rename(gw.config, json.dumps(config))
    gw.wait_event("reloaded")
    shows(gw, None)
    gw.allowed |= {"config_error", "reload_failed"}
    gw.config.write_text("lintel: 1\nno_such: 3\n")
    gw.wait_event("reload_failed")
    assert gw.get().status == 200
    gw.config.write_text(json.dumps(config, indent=2))
    gw.wait_event("reloaded", count=2)
    path.write_text(GOOD % "5")
    gw.wait_event("filters_reloaded")
    answer = gw.get("/only")
    assert ("x-a", "5") in [(n.lower(), v) for n, v in answer.headers]


def test_a_configuration_that_failed_by_a_filter_is_taken_up_when_that_is_mended(dev):
    gw, path = dev()
    gw.allowed |= {"config_error", "reload_failed"}
    new = path.with_name("new.lua")
    new.write_text(BROKEN)
    config = json.loads(gw.config.read_text())
    config["filters"]["b"] = {"filter": str(new)}
    config["sites"][0]["filters"] = ["b"]
    path.write_text(BROKEN)
    gw.config.write_text(json.dumps(config))
    gw.wait_event("reload_failed")
    new.write_text(GOOD % "new")
    path.write_text(GOOD % "2")
    gw.wait_event("reloaded")
    shows(gw, "new")


def test_a_saved_module_renews_who_requires_it(shop):
    folder = shop.folder / "m"
    folder.mkdir()
    (folder / "words.lua").write_text('return { word = "1" }\n')
    (folder / "a.lua").write_text('local m = require("words")\n'
                                  'return { response = function(ctx) ctx.res.headers["x-a"] = m.word end }\n')
    config = basic(shop.echo(), workers=2)
    config["filters"] = {"a": {"filter": str(folder / "a.lua")}}
    config["sites"][0]["filters"] = ["a"]
    gw = shop.lintel(config, args=("--dev",))
    shows(gw, "1")
    by_rename(folder / "words.lua", 'return { word = "2" }\n')
    shows(gw, "2")


def test_saves_under_load_fail_no_request(dev):
    gw, path = dev()
    over, failed, seen = threading.Event(), [], set()

    def load():
        try:
            with Client(gw.plain) as c:
                while not over.is_set():
                    answer = c.request()
                    if answer.status != 200:
                        failed.append(answer)
                    seen.add({n.lower(): v for n, v in answer.headers}["x-a"])
        except (OSError, KeyError, AssertionError) as e:
            failed.append(e)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(2, 14):
        list(SAVES.values())[i % 3](path, GOOD % i)
        wait_until(lambda v=str(i): v in seen or failed, f"{i} is served")
    over.set()
    for t in threads:
        t.join()
    assert not failed, failed[:3]


# ---- one filter without a configuration ----

class Demo:
    """`lintel run --dev FILTER.lua` with a terminal for its output, which is kept as text."""

    def __init__(self, folder, *args):
        self.text = ""
        ours, theirs = os.openpty()
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.address = s.getsockname()
        listen = "{}:{}".format(*self.address)
        self.process = subprocess.Popen(
            [PROGRAM, "run", "--dev", *args, "--listen", listen, "--core-dumps"], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment())
        os.close(theirs)
        self._thread = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._thread.start()

    def _read(self, fd):
        try:
            while data := os.read(fd, 65536):
                self.text += data.decode(errors="replace")
        except OSError:
            pass  # the other end is closed
        os.close(fd)

    def says(self, what):
        def there():
            assert self.process.poll() is None or what in self.text, self.text
            return what in self.text
        wait_until(there, f"{what!r} is said")

    def get(self, target="/", **options):
        return fetch(self.address, target, **options)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(20)
        self._thread.join(10)
        assert "Sanitizer" not in self.text and "runtime error" not in self.text, self.text
        assert code == 0, self.text


@pytest.fixture(name="demo")
def demo_fixture(tmp_path):
    made = []

    def make(*args):
        made.append(Demo(tmp_path, *args))
        return made[-1]
    yield make
    for d in made:
        d.stop()


def test_the_newcomers_path(demo, tmp_path):
    """As docs/filters/dev.md tells it."""
    new = command("filter", "new", "hello", cwd=tmp_path)
    assert new.returncode == 0 and "lintel run --dev ./hello.lua" in new.stdout
    assert command("test", "hello_test.lua", cwd=tmp_path).returncode == 0
    d = demo("hello.lua", "--set", "value=hi there")
    d.says("ready")
    answer = d.get("/some/path?a=b", headers={"X-One": "1"})
    assert ("x-hello", "hi there") in [(n.lower(), v) for n, v in answer.headers]
    told = json.loads(answer.body)
    assert told["method"] == "GET" and told["target"] == "/some/path?a=b"
    assert told["headers"]["x-one"] == "1"
    d.says("GET /some/path?a=b 200")
    file = tmp_path / "hello.lua"
    good = file.read_text()
    file.write_text(good.replace("ctx.conf.value", '"now " .. ctx.conf.value'))
    d.says("filters reloaded filters=hello")
    answer = d.get()
    assert ("x-hello", "now hi there") in [(n.lower(), v) for n, v in answer.headers]
    file.write_text(good.replace("ctx.conf.value", "ctx.conf.value.."))
    d.says("filters refused")
    assert re.search(r"hello\.lua:\d+:\d+: error: ", d.text)
    assert d.get().status == 503
    by_rename(file, good)
    wait_until(lambda: d.get().status == 200, "it is mended")
    assert '{"time"' not in d.text


@pytest.mark.parametrize("value, type_", [("5", "int"), ("true", "bool"), ("1m", "duration"),
                                          ("[a, b]", "list"), ("a: b # c", "string"),
                                          ("http://localhost/", "url")])
def test_settings_are_given_by_set(demo, tmp_path, value, type_):
    of = ', of = "string"' if type_ == "list" else ""
    (tmp_path / "f.lua").write_text(f"""return {{
  schema = {{ s = {{ type = "{type_}"{of}, required = true }} }},
  response = function(ctx)
    local s = ctx.conf.s
    ctx.res.headers["x-s"] = type(s) == "table" and table.concat(s, "+") or tostring(s)
  end,
}}
""")
    d = demo("f.lua", "--set", f"s={value}")
    d.says("ready")
    said = {n.lower(): v for n, v in d.get().headers}["x-s"]
    expected = {"1m": "60", "[a, b]": "a+b"}.get(value, value)
    assert said.rstrip(".0") == expected.rstrip(".0")


def test_what_is_wrong_with_the_command_is_said(tmp_path):
    (tmp_path / "f.lua").write_text(GOOD % "1")
    for args in (("--dev", "f.lua", "--set", "novalue"), ("--dev", "gone.lua"), ("f.lua",),
                 ("--dev", "f.lua", "-c", "x.yaml"), ("--dev", "--set", "a=b"), ("--dev", "f.lua", "g.lua")):
        done = command("run", *args, cwd=tmp_path)
        assert done.returncode in (1, 2), args
        assert "usage" in done.stderr or "lintel: " in done.stderr, args
    done = command("run", "--dev", "f.lua", "--set", "unknown=1", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert done.returncode == 1 and "unknown" in done.stderr


def test_the_echo_answers_with_the_request(shop):
    config = basic(shop.echo())
    config["filters"] = {"echo": {"filter": "echo"}}
    config["sites"][0]["filters"] = ["echo"]
    gw = shop.lintel(config)
    told = json.loads(gw.get("/a?b=c", method="POST", body=b"some text").body)
    assert (told["method"], told["target"], told["body"]) == ("POST", "/a?b=c", "some text")


SETTINGS = """return {
  schema = {
    value = { type = "string", required = true, doc = "What is said." },
    ttl = { type = "duration" },
  },
  response = function(ctx) end,
}
"""


@pytest.mark.parametrize("args, told", [
    ((), ('f: "value" is missing', "hint: add value: What is said.", "given as --set KEY=VALUE")),
    (("--set", "value=a", "--set", "tlt=5s"), ('unknown key "tlt" in f', 'did you mean "ttl"?')),
    (("--set", "value=a", "--set", "ttl=soon"), ('ttl: "soon" is not a duration',)),
    (("--set", "value=[a, b"), ('this "[" is not closed',)),
    (("--set", "value=a", "--listen", "127.0.0.1:99999"), ('"127.0.0.1:99999" is not an address',
                                                           "--listen ADDRESS")),
    (("--set", "value=a", "--listen", "192.0.2.1:1"), ("can't listen on 192.0.2.1:1",)),
])
def test_what_is_wrong_with_the_settings_names_the_command(tmp_path, args, told):
    (tmp_path / "f.lua").write_text(SETTINGS)
    done = command("run", "--dev", "f.lua", *args, cwd=tmp_path)
    assert done.returncode == 1 and "lintel run --dev f.lua" in done.stderr, done.stderr
    assert all(t in done.stderr for t in told) and "/dev/fd" not in done.stderr, done.stderr


@pytest.mark.parametrize("text, told", [
    ("return {\n  request = function(ctx)\n    local x = = 1\n  end,\n}\n", "unexpected symbol near '='"),
    ("return {\n  request = function(ctx)\n    print(1)\n  end,\n}\n", "'print' is not declared: write"),
    ("return {\n  init = function(conf)\n    error('no luck')\n  end,\n  log = function() end,\n}\n",
     'filter "f": init: f.lua:3: no luck'),
])
def test_a_filter_that_is_wrong_from_the_beginning_is_shown_at_its_line(tmp_path, text, told):
    (tmp_path / "f.lua").write_text(text)
    done = command("run", "--dev", "f.lua", cwd=tmp_path)
    line = text.splitlines()[2]
    assert done.returncode == 1 and f"{tmp_path}/f.lua:3:5: error: {told}" in done.stderr, done.stderr
    assert done.stderr.count(line) == 1 and "/dev/fd" not in done.stderr, done.stderr
