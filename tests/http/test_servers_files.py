# SPDX-License-Identifier: Apache-2.0
"""Files of servers that are watched, and the file that keeps what the operator changed."""
import json
import os
import signal

import pytest

from lib.client import Client, fetch
from lib.configs import basic
from lib.gateway import command
from lib.wait import wait_until


def upstream(gw, name="app"):
    response = fetch(str(gw.folder / "admin.sock"), f"/upstreams?name={name}")
    return json.loads(response.body)


def addresses(gw):
    return [s["address"] for s in upstream(gw)["servers"]]


def well(gw, *words):
    done = command(*words, "--admin", f"unix:{gw.folder}/admin.sock")
    assert done.returncode == 0, done.stderr


def put(path, text):
    """In one move, as deployment tools do."""
    beside = path.with_suffix(".tmp")
    beside.write_text(text)
    os.replace(beside, path)


def with_file(path, *origins, **options):
    config = basic(*origins) if origins else basic()
    config["upstreams"] = {"app": {**config.get("upstreams", {}).get("app", {}),
                                   "servers_file": str(path), "servers_file_watch": "100ms",
                                   **options}}
    config["sites"][0]["routes"] = [{"match": "/*", "to": "app"}]
    return config


@pytest.fixture
def path(tmp_path):
    return tmp_path / "servers"


# ---- servers_file ----

def test_a_changed_file_changes_the_servers(shop, path):
    one, two = shop.echo("one"), shop.echo("two", unix=True)
    path.write_text(f"# today\n{one.address} weight=2 max=5\n")
    gw = shop.lintel(with_file(path))
    servers = upstream(gw)["servers"]
    assert [(s["address"], s["weight"], s["max"], s["source"]) for s in servers] == [
        (one.address, 2, 5, "servers_file")]
    assert json.loads(gw.get().body)["app"] == "one"
    put(path, f"{two.address}\n")
    wait_until(lambda: addresses(gw) == [two.address], "the new server")
    assert json.loads(gw.get().body)["app"] == "two"
    # In place, in two steps: what lies there in between is not taken up for long.
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{two.address}\n{one.address}")
        f.flush()
        f.write(" backup\n")
    wait_until(lambda: len(addresses(gw)) == 2 and upstream(gw)["servers"][1].get("backup"),
               "both servers")
    # None at all is what the file may say, too.
    put(path, "# nobody\n")
    wait_until(lambda: addresses(gw) == [], "no server")
    assert gw.get().status == 503


def test_a_mistaken_file_leaves_the_last_good_servers(shop, path):
    app, other = shop.echo("app"), shop.echo("other")
    path.write_text(f"{app.address}\n")
    gw = shop.lintel(with_file(path))
    gw.allowed.add("servers_file_refused")
    put(path, f"{other.address}\n  {app.address} wait=2\nnowhere\n")
    event = gw.wait_event("servers_file_refused", line=2)
    assert event["column"] == 4 + len(app.address) and event["file"] == str(path)
    assert "no option of a server" in event["message"] and event["upstream"] == "app"
    gw.wait_event("servers_file_refused", line=3)
    assert addresses(gw) == [app.address] and gw.get().status == 200
    path.unlink()
    end = wait_until(lambda: [e for e in gw.events("servers_file_refused") if "line" not in e],
                     "the end")
    assert "column" not in end[0] and end[0]["file"] == str(path) and end[0]["message"]
    assert addresses(gw) == [app.address] and gw.get().status == 200
    put(path, f"{other.address}\n")
    wait_until(lambda: addresses(gw) == [other.address], "the mended file")


def test_servers_of_file_and_configuration_go_together(shop, path):
    one, two = shop.echo("one"), shop.echo("two")
    path.write_text(f"{one.address}\n{two.address} weight=9\n")
    config = with_file(path, {"address": one.address, "weight": 4})
    gw = shop.lintel(config)
    assert [(s["address"], s["weight"], s["source"]) for s in upstream(gw)["servers"]] == [
        (one.address, 4, "configuration"), (two.address, 9, "servers_file")]
    well(gw, "drain", f"app/{two.address}", "--wait")
    put(path, f"{two.address} weight=3\n")
    wait_until(lambda: upstream(gw)["servers"][1]["weight"] == 3, "the new weight")
    assert upstream(gw)["servers"][1]["state"] == "drained"
    # A reload takes up the file as it is, and forgets it with the option.
    path.write_text("")
    gw.reload(config)
    assert addresses(gw) == [one.address]
    path.write_text(f"{two.address}\n")
    gw.reload({**config, "limits": {"connections": 1000}})
    assert addresses(gw) == [one.address, two.address]
    gw.reload(basic(one))
    assert addresses(gw) == [one.address]


@pytest.mark.parametrize("back", (False, True), ids=("from the file", "to the file"))
def test_requests_under_way_are_sent_as_their_configuration_says(shop, path, back):
    """Servers move between file and configuration while a request's body still comes."""
    app = shop.echo()
    path.write_text(f"{app.address}\n")
    configs = [with_file(path), basic(app)]
    if back:
        configs.reverse()
    gw = shop.lintel(configs[0])
    with Client(gw.plain) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
        gw.reload(configs[1])
        wait_until(lambda: [s["source"] for s in upstream(gw)["servers"]] == [
            "servers_file" if back else "configuration"], "the server's new source")
        client.send(b"56789")
        assert client.response().status == 200
    assert gw.get().status == 200


def test_mistakes_in_the_file_are_mistakes_of_the_configuration(shop, path):
    app = shop.echo()
    path.write_text(f"{app.address}\n{app.address}\n")
    gw = shop.lintel(with_file(path), wait=False)
    gw.allowed.update(("start_failed", "gateway_exited"))
    gw.ended(1)
    assert f"{path}:2:1: error: this server is listed twice" in gw.told()
    checked = command("check", "-c", gw.config)
    assert checked.returncode == 1 and "listed twice" in checked.stderr
    path.unlink()
    checked = command("check", "-c", gw.config)
    assert checked.returncode == 1 and "servers_file: " in checked.stderr
    path.write_text(f"{app.address}\n")
    assert command("check", "-c", gw.config).returncode == 0


def test_an_upstream_needs_servers(shop):
    config = basic(shop.echo())
    config["upstreams"]["app"] = {"preset": "generic"}
    gw = shop.lintel(config, wait=False)
    gw.allowed.update(("start_failed", "gateway_exited"))
    gw.ended(1)
    assert '"servers" is missing' in gw.told() and "servers_file: PATH" in gw.told()


def test_the_kept_configuration_has_its_file(shop, path):
    app = shop.echo()
    path.write_text(f"{app.address}\n")
    gw = shop.lintel(with_file(path))
    gw.allowed.update(("gateway_exited", "config_error", "config_fallback",
                       "servers_file_refused"))
    gw.write("lintel: 2\n")
    path.write_text("broken")
    os.kill(gw.gateway_pid(), signal.SIGKILL)
    gw.wait_event("ready", count=2)
    assert addresses(gw) == [app.address] and gw.get().status == 200


# ---- state_file ----

def remembering(path, *origins, **top):
    config = basic(*origins, **top)
    config["admin"]["state_file"] = str(path)
    return config


def test_a_state_file_that_a_reload_names_is_not_overwritten(shop, path):
    app = shop.echo()
    config = remembering(path, app)
    before = basic(app)
    gw = shop.lintel(before)
    path.write_text('{"precious": true}')
    gw.allowed.add("state_not_read")
    gw.reload(config)
    assert (path.parent / (path.name + ".bad")).read_text() == '{"precious": true}'
    assert json.loads(path.read_text()) == {"upstreams": {}}
    assert "reload" in gw.wait_event("state_not_read", level="error")["why"]


def test_changes_are_kept_over_a_restart(shop, path):
    apps = [shop.echo("a"), shop.echo("b", unix=True), shop.echo("c"), shop.echo("d")]
    config = remembering(path, *apps[:3])
    gw = shop.lintel(config)
    assert not path.exists()
    well(gw, "drain", f"app/{apps[0].address}")
    well(gw, "remove", f"app/{apps[1].address}")
    well(gw, "weight", f"app/{apps[2].address}", "5")
    well(gw, "add", f"app/{apps[3].address}", "--weight", "2", "--max", "3", "--backup")
    well(gw, "pause", "app")
    assert path.stat().st_mode & 0o777 == 0o600
    gw.allowed.add("gateway_exited")
    os.kill(gw.gateway_pid(), signal.SIGKILL)
    gw.wait_event("ready", count=2)
    for running in (gw, shop.lintel(config)):
        running.wait_event("state_read", changes=4)
        now = upstream(running)
        assert now["paused"] is True
        got = [(s["address"], s["weight"], s["state"]) for s in now["servers"]]
        assert got == [(apps[0].address, 1, got[0][2]), (apps[2].address, 5, "ready"),
                       (apps[3].address, 2, "ready")]
        assert got[0][2] in ("draining", "drained")
        assert now["servers"][2]["max"] == 3 and now["servers"][2]["backup"] is True
        well(running, "resume", "app")
        well(running, "pause", "app")
    # What is taken back is forgotten.
    well(gw, "resume", "app")
    well(gw, "ready", f"app/{apps[0].address}")
    well(gw, "remove", f"app/{apps[3].address}")
    kept = json.loads(path.read_text())["upstreams"]["app"]
    assert kept == {"paused": False, "servers": {apps[1].address: {"removed": True},
                                                 apps[2].address: {"weight": 5}}}


def test_a_file_that_is_none_is_put_aside(shop, path):
    app = shop.echo()
    path.write_text("{\"upstreams\": [")
    gw = shop.lintel(remembering(path, app))
    gw.allowed.add("state_not_read")
    event = gw.wait_event("state_not_read")
    assert event["moved_to"] == f"{path}.bad" and event["why"] != ""
    assert gw.get().status == 200
    well(gw, "drain", f"app/{app.address}")
    assert json.loads(path.read_text())["upstreams"]["app"]["servers"]


def test_what_is_not_understood_is_left_out(shop, path):
    app = shop.echo()
    path.write_text(json.dumps({"upstreams": {
        "app": {"servers": {"nowhere": {"state": "drain"},
                            "127.0.0.1:0": {"state": "drain"},
                            "127.0.0.1:9": {"added": {"weight": -1, "max": 3}},
                            app.address: {"state": "asleep", "weight": 70000, "added": 3,
                                          "removed": 1, "wieght": 2}}},
        "bad": [],
        "gone": {"paused": "yes", "servers": {app.address: {"state": "drain"}}}}}))
    gw = shop.lintel(remembering(path, app))
    gw.allowed.add("state_left_out")
    gw.wait_event("state_left_out", server="nowhere")
    for member, why in (("state", "ready, drain or maintenance"), ("weight", "1 to 1000"),
                        ("added", "object"), ("removed", "true or false"), ("wieght", "no such")):
        event = gw.wait_event("state_left_out", level="warn", server=app.address, member=member)
        assert why in event["why"] and event["file"] == str(path) and event["upstream"] == "app"
    gw.wait_event("state_left_out", server="127.0.0.1:9", member="weight")
    gw.wait_event("state_left_out", upstream="bad", member="")
    assert "port" in gw.wait_event("state_left_out", server="127.0.0.1:0")["why"]
    gw.wait_event("state_left_out", upstream="gone", server="", member="paused")
    kept = upstream(gw)["servers"][1]
    assert kept["address"] == "127.0.0.1:9" and kept["max"] == 3 and kept["weight"] == 1
    server = upstream(gw)["servers"][0]
    assert server["state"] == "ready" and server["weight"] == 1 and gw.get().status == 200


def test_a_place_that_is_closed_is_told(shop, path):
    app = shop.echo()
    folder = path.with_name("folder")
    folder.mkdir()
    gw = shop.lintel(remembering(folder / "state", app))
    folder.rmdir()
    well(gw, "drain", f"app/{app.address}")
    gw.allowed.add("state_not_written")
    event = gw.wait_event("state_not_written")
    assert "No such file" in event["error"]
    assert upstream(gw)["servers"][0]["state"] != "ready"
    checked = command("check", "-c", gw.config)
    assert checked.returncode == 1
    assert f"state_file: the folder {folder}: No such file" in checked.stderr
    # Another place, from a reload on: what was changed so far is written there.
    gw.reload(remembering(path, app))
    wait_until(path.exists, "the state")
    assert json.loads(path.read_text())["upstreams"]["app"]["servers"]
