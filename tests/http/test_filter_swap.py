# SPDX-License-Identifier: Apache-2.0
"""One filter file taken up anew while the gateway runs: `lintel filters reload`."""
import threading

import pytest

from lib.client import Client, head
from lib.configs import basic
from lib.gateway import command
from lib.prometheus import Metrics
from lib.wait import wait_until

MARK = """return {{
  response = function(ctx) ctx.res.headers["x-{name}"] = "{value}" end,
}}
"""


def write(folder, name, text):
    (folder / f"{name}.lua").write_text(text)


def mark(folder, name, value):
    write(folder, name, MARK.format(name=name, value=value))


class Swapping:
    """A gateway with an admin socket, whose filters lie in a folder of their own."""

    def __init__(self, shop, origin, workers=2, instances=None, env=None, **texts):
        self.folder = shop.folder / f"filters-{len(shop.gateways)}"
        self.folder.mkdir()
        for name, text in texts.items():
            write(self.folder, name, text)
        config = basic(origin, workers=workers)
        config["filters"] = instances or {
            name: {"filter": f"{self.folder}/{name}.lua", "budget": {"wall": "60s"}}
            for name in texts}
        config["sites"][0]["filters"] = list(config["filters"])
        self.gw = shop.lintel(config, env=env)

    def reload(self, *args, code=0):
        done = command("filters", "reload", *args, "-c", self.gw.config, cwd=self.gw.folder)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout + done.stderr

    def refused(self, *args):
        self.gw.allowed |= {"filters_refused", "filter_not_compiled"}
        return self.reload(*args, code=1)

    def values(self, header, n=8):
        return {dict_of(self.gw.get()).get(header) for _ in range(n)}


def dict_of(response):
    return {n.lower(): v for n, v in response.headers}


def test_a_changed_file_is_taken_up_by_every_worker(shop):
    s = Swapping(shop, shop.echo(), a=MARK.format(name="a", value="1"),
                 b=MARK.format(name="b", value="1"))
    assert s.values("x-a") == {"1"} and s.values("x-b") == {"1"}
    assert s.reload() == "no filter file has changed\n"
    mark(s.folder, "a", "2")
    assert s.values("x-a") == {"1"}
    assert s.reload() == "reloaded: a\n"
    assert s.values("x-a") == {"2"} and s.values("x-b") == {"1"}
    (event,) = s.gw.events("filters_reloaded")
    assert event["filters"] == "a" and event["workers"] == 2
    assert not s.gw.events("reloaded")


def test_a_file_can_be_named_by_path_or_by_name(shop):
    s = Swapping(shop, shop.echo(), a=MARK.format(name="a", value="1"),
                 b=MARK.format(name="b", value="1"))
    mark(s.folder, "a", "2")
    mark(s.folder, "b", "2")
    assert s.reload("a") == "reloaded: a\n"
    assert s.values("x-a") == {"2"} and s.values("x-b") == {"1"}
    assert s.reload(s.folder / "b.lua") == "reloaded: b\n"
    assert s.values("x-b") == {"2"}
    assert "made of this file" in s.reload("c", code=1)
    assert "usage" in s.reload("a", "b", "c", code=2)


def test_a_broken_file_is_refused_and_the_old_one_serves_on(shop):
    s = Swapping(shop, shop.echo(), a=MARK.format(name="a", value="1"))
    write(s.folder, "a", "return {\n  request = function(ctx) local 3 end,\n}\n")
    said = s.refused()
    assert f"{s.folder}/a.lua:2:33: error: " in said and "local 3 end" in said and "^" in said
    assert said.count("local 3 end") == 1 and "filter \"a\"" not in said
    assert s.values("x-a") == {"1"}
    (event,) = s.gw.events("filter_not_compiled")
    assert event["file"] == f"{s.folder}/a.lua" and event["line"] == 2 and event["column"] == 33
    assert event["source"].startswith("request =")
    assert s.gw.events("filters_refused")[0]["filters"] == "a"
    mark(s.folder, "a", "2")
    assert s.reload() == "reloaded: a\n"
    assert s.values("x-a") == {"2"}


BROKEN = {
    "no table": ("return 3\n", "ends with `return`"),
    "an unknown field": ("return { requst = function() end }\n", "did you mean `request`"),
    "no hook": ("return {}\n", "none of the hooks"),
    "an error at load": ('error("at load")\n', "at load"),
    "an error in init": ('return {\n init = function() error("in init") end,\n'
                         ' request = function() end }\n', "a.lua:2:"),
    "an endless loop": ("while true do end\n", "more than its time"),
    "a setting without a default": (
        'return { schema = { key = {type = "string", required = true} },'
        ' request = function() end }\n', "key"),
    "a module that is not there": ('require("gone")\nreturn { request = function() end }\n', "gone"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_a_file_is_said_and_nothing_changes(shop, what):
    text, told = BROKEN[what]
    s = Swapping(shop, shop.echo(), a=MARK.format(name="a", value="1"))
    write(s.folder, "a", text)
    assert told in s.refused()
    assert s.values("x-a") == {"1"}


def test_a_file_that_is_gone_is_said_and_the_old_one_serves_on(shop):
    s = Swapping(shop, shop.echo(), a=MARK.format(name="a", value="1"))
    (s.folder / "a.lua").unlink()
    assert "a.lua" in s.refused()
    assert s.values("x-a") == {"1"}


def test_a_module_that_changes_counts_for_the_filters_that_require_it(shop):
    folder = shop.folder / "modules"
    (folder / "shared").mkdir(parents=True)
    (folder / "shared" / "words.lua").write_text('return { word = "one" }\n')
    (folder / "a.lua").write_text(
        'local m = require("shared.words")\n'
        'return { response = function(ctx) ctx.res.headers["x-a"] = m.word end }\n')
    s = Swapping(shop, shop.echo(), instances={"a": {"filter": f"{folder}/a.lua"}})
    assert s.values("x-a") == {"one"}
    (folder / "shared" / "words.lua").write_text('return { word = "two" }\n')
    assert s.reload(folder / "shared" / "words.lua") == "reloaded: a\n"
    assert s.values("x-a") == {"two"}
    (folder / "shared" / "words.lua").write_text('return { word = }\n')
    said = s.refused()
    assert f"{folder}/shared/words.lua:1:" in said
    assert s.values("x-a") == {"two"}


def test_hooks_and_settings_that_a_file_gets_anew_take_effect(shop):
    s = Swapping(shop, shop.echo(), a="return { log = function() end }\n")
    assert s.values("x-a") == {None}
    write(s.folder, "a", """return {
  schema = { word = {type = "string", default = "hello"} },
  init = function(conf) return {word = conf.word} end,
  response = function(ctx) ctx.res.headers["x-a"] = ctx.state.word end,
  body = function(ctx, chunks)
    for chunk in chunks do ctx:emit(chunk) end
    ctx:emit("the end")
  end,
}
""")
    text = s.reload()
    assert text == "reloaded: a\n", text
    answer = s.gw.get()
    assert dict_of(answer)["x-a"] == "hello"


def test_all_instances_of_a_file_are_renewed(shop):
    folder = shop.folder / "two"
    folder.mkdir()
    text = """return {
  schema = { key = {type = "string", default = "x-none"} },
  response = function(ctx) ctx.res.headers[ctx.conf.key] = "%s" end,
}
"""
    (folder / "a.lua").write_text(text % "1")
    s = Swapping(shop, shop.echo(), instances={
        "one": {"filter": f"{folder}/a.lua", "key": "x-one"},
        "two": {"filter": f"{folder}/a.lua", "key": "x-two"}})
    assert s.values("x-one") == {"1"} and s.values("x-two") == {"1"}
    (folder / "a.lua").write_text(text % "2")
    assert s.reload() == "reloaded: a\n"
    assert s.values("x-one") == {"2"} and s.values("x-two") == {"2"}


def test_what_other_filters_keep_stays(shop):
    """Values of lintel.shared, rate limits and the states of files that have not changed."""
    counts = """local n = 0
return {
  init = function() return lintel.shared.open() end,
  response = function(ctx)
    n = n + 1
    ctx.res.headers["x-n"] = tostring(n)
    ctx.res.headers["x-shared"] = tostring(ctx.state:incr("n"))
  end,
}
"""
    s = Swapping(shop, shop.echo(), workers=1, a=MARK.format(name="a", value="1"), n=counts)
    for i in (1, 2):
        got = dict_of(s.gw.get())
        assert (got["x-n"], got["x-shared"]) == (str(i), str(i))
    mark(s.folder, "a", "2")
    s.reload()
    got = dict_of(s.gw.get())
    assert (got["x-n"], got["x-shared"], got["x-a"]) == ("3", "3", "2")
    write(s.folder, "n", counts + "-- changed\n")
    s.reload()
    got = dict_of(s.gw.get())
    assert (got["x-n"], got["x-shared"]) == ("1", "4")


SLOW = """return {{
  request = function(ctx)
    ctx.vars.kept = {{ "{value}" }}
    ctx:sleep(1)
    ctx.vars.value = "{value}"
  end,
  response = function(ctx)
    ctx.res.headers["x-request"] = ctx.vars.value
    ctx.res.headers["x-response"] = "{value}" .. ctx.vars.kept[1]
  end,
}}
"""


def test_an_exchange_in_flight_ends_on_the_version_it_began_with(shop):
    s = Swapping(shop, shop.echo(), workers=1, a=SLOW.format(value="1"))
    with Client(s.gw.plain) as old:
        old.send(head("GET", "/"))
        wait_until(lambda: Metrics(s.gw.admin("/metrics").body.decode())
                   .sum("lintel_exchanges") >= 1, "the exchange has begun")
        write(s.folder, "a", SLOW.format(value="2"))
        assert s.reload() == "reloaded: a\n"
        got = dict_of(old.response())
        assert got["x-request"] == "1" and got["x-response"] == "11"
    got = dict_of(s.gw.get())
    assert got["x-request"] == "2" and got["x-response"] == "22"


def test_periodic_work_and_loads_of_the_old_version_end(shop):
    text = """return {
  init = function()
    return {cache = lintel.cache.new{ttl = "1h"}, shared = lintel.shared.open{name = "t"}}
  end,
  every = {
    ["1s"] = function(state)
      state.shared:incr("%(name)s")
      lintel.sleep(0.05)
      if "%(name)s" == "old" then lintel.sleep(3600) end
    end,
  },
  response = function(ctx)
    local state = ctx.state
    local word = state.cache:get("k", function() lintel.sleep(0.05) return "%(name)s" end)
    ctx.res.headers["x-word"] = word
    ctx.res.headers["x-old"] = tostring(state.shared:get("old"))
    ctx.res.headers["x-new"] = tostring(state.shared:get("new"))
  end,
}
"""
    s = Swapping(shop, shop.echo(), a=text % {"name": "old"})
    wait_until(lambda: dict_of(s.gw.get())["x-old"] == "1", "the first run of the old one")
    write(s.folder, "a", text % {"name": "new"})
    s.reload()
    assert s.values("x-word") == {"new"}
    wait_until(lambda: int(dict_of(s.gw.get())["x-new"].replace("nil", "0")) >= 2,
               "two runs of the new one")
    assert s.values("x-old") == {"1"}


def test_a_full_reload_takes_the_place_of_all_versions(shop):
    s = Swapping(shop, shop.echo(), a=MARK.format(name="a", value="1"))
    for i in range(3):
        mark(s.folder, "a", f"v{i}")
        s.reload()
    mark(s.folder, "a", "last")
    s.gw.reload()
    assert s.values("x-a") == {"last"}
    assert s.reload() == "no filter file has changed\n"
    mark(s.folder, "a", "after")
    s.reload()
    assert s.values("x-a") == {"after"}


def test_long_exchanges_can_not_hold_any_number_of_versions(shop):
    s = Swapping(shop, shop.echo(), workers=1, a=SLOW.format(value="0").replace("sleep(1)", "sleep(50)"))
    held = []
    refused = None
    for i in range(20):
        client = Client(s.gw.plain)
        client.send(head("GET", "/"))
        held.append(client)
        wait_until(lambda n=i: Metrics(s.gw.admin("/metrics").body.decode())
                   .sum("lintel_exchanges") >= n + 1, "the exchange has begun")
        write(s.folder, "a", SLOW.format(value=str(i + 1)).replace("sleep(1)", "sleep(50)"))
        if i < 15:
            s.reload()
        else:
            refused = s.refused()
            break
    assert "earlier versions" in refused
    for client in held:
        client.reset()
    wait_until(lambda: Metrics(s.gw.admin("/metrics").body.decode())
               .sum("lintel_exchanges") == 0, "they are gone")
    assert s.reload() == "reloaded: a\n"


WS = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
      ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


def echo_tunnel(peer):
    """A script: switches, then sends back what comes."""
    peer.request()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    while data := peer.sock.recv(65536):
        peer.send(data)


def test_a_tunnel_holds_no_version(shop):
    """It outlives the states of its filters, and what ctx.vars referred to in them."""
    text = SLOW.replace("sleep(1)", "sleep(0)")
    s = Swapping(shop, shop.origin(echo_tunnel), workers=1, a=text.format(value="v"))
    with Client(s.gw.plain) as c:
        c.send(head("GET", "/", WS))
        c.reader.at_end()
        assert c.reader.response_head().status == 101
        for i in range(20):
            write(s.folder, "a", text.format(value=f"v{i}"))
            s.reload()
        s.gw.reload()
        c.send(b"still here")
        assert c.sock.recv(100) == b"still here"


def test_sixty_swaps_under_load_fail_no_request(shop):
    s = Swapping(shop, shop.echo(), a=SLOW.format(value="v0").replace("sleep(1)", "sleep(0.002)"),
                 b=MARK.format(name="b", value="1"))
    over, failed, served, seen = threading.Event(), [], [0], set()

    def load():
        try:
            with Client(s.gw.plain) as c:
                while not over.is_set():
                    answer = c.request()
                    got = dict_of(answer)
                    if answer.status != 200 or got["x-response"] != 2 * got["x-request"]:
                        failed.append(answer)
                    seen.add(got["x-request"])
                    served[0] += 1
        except (OSError, KeyError, AssertionError) as e:
            failed.append(e)
    threads = [threading.Thread(target=load) for _ in range(8)]
    for t in threads:
        t.start()
    for i in range(1, 61):
        before = served[0]
        if i % 10 == 0:
            write(s.folder, "a", "return {\n")
            s.refused("a")
        write(s.folder, "a", SLOW.format(value=f"v{i}").replace("sleep(1)", "sleep(0.002)"))
        assert s.reload() == "reloaded: a\n"
        if i == 30:
            s.gw.reload()
        wait_until(lambda b=before: served[0] > b or failed, "requests go on")
    over.set()
    for t in threads:
        t.join()
    assert not failed, failed[:3]
    assert len(seen) > 20 and s.values("x-request") == {"v60"}


def test_swaps_leave_no_memory_behind(shop):
    # AddressSanitizer holds back what was freed: little of it here, so that growth can be seen.
    s = Swapping(shop, shop.echo(), a=MARK.format(name="a", value="0"),
                 env={"ASAN_OPTIONS": "exitcode=99:quarantine_size_mb=1"})
    table = "local big = {}\nfor i = 1, 20000 do big[i] = 'word ' .. i end\n"

    def some(n, name):
        for i in range(n):
            write(s.folder, "a", table + MARK.format(name="a", value=f"{name}{i}"))
            s.reload()
            assert dict_of(s.gw.get())["x-a"] == f"{name}{i}"
        return s.gw.memory()
    before = some(5, "x")
    assert some(40, "y") - before < 30 << 20
