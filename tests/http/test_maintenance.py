# SPDX-License-Identifier: Apache-2.0
"""The filter maintenance: switched by a file, a flag and the clock, over all workers."""
import datetime
import json

from lib.configs import basic
from lib.wait import wait_until

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def closed(app, **settings):
    return basic(app, workers=2, site={"filters": ["closed"]},
                 filters={"closed": {"filter": "maintenance", **settings}})


def test_a_file_closes_and_opens_all_workers(shop, tmp_path):
    switch = tmp_path / "closed"
    gw = shop.lintel(closed(shop.echo(), file=str(switch)))
    assert gw.get().status == 200
    switch.touch()
    wait_until(lambda: gw.get().status == 503, "it to be closed")
    assert all(gw.get().status == 503 for _ in range(10))
    response = gw.get()
    assert response.headers.get("retry-after") == "300"
    assert json.loads(response.body)["cause"] == "maintenance"
    switch.unlink()
    wait_until(lambda: gw.get().status == 200, "it to be open")
    assert all(gw.get().status == 200 for _ in range(10))
    line = gw.access(status=503)[0]
    assert line["denied_by"] == "closed" and line["reason"] == "maintenance"


def test_a_file_that_is_there_at_the_start_closes_at_once(shop, tmp_path):
    (tmp_path / "closed").touch()
    gw = shop.lintel(closed(shop.echo(), file=str(tmp_path / "closed")))
    assert gw.get().status == 503


def test_a_relative_path_starts_at_the_configuration(shop):
    gw = shop.lintel(closed(shop.echo(), file="lintel.yaml"))
    assert gw.get().status == 503


def test_another_filter_switches_it(shop, tmp_path):
    switch = tmp_path / "switch.lua"
    switch.write_text("""
local M = { group = "transform" }
function M.init() return lintel.shared.open { name = "maintenance" } end
function M.request(ctx)
  if ctx.req.method == "PUT" then ctx.state:set("shop", true) else ctx.state:delete("shop") end
  return ctx:respond { status = 204 }
end
return M
""")
    config = basic(shop.echo(), workers=2, routes=[
        {"match": "/switch", "filters": ["switch"], "respond": 404},
        {"match": "/*", "filters": ["closed"], "to": "app"}],
        filters={"closed": {"filter": "maintenance", "flag": "shop"},
                 "switch": {"filter": str(switch)}})
    gw = shop.lintel(config)
    assert gw.get().status == 200
    assert gw.get("/switch", method="PUT").status == 204
    assert [gw.get().status for _ in range(6)] == [503] * 6
    assert gw.get("/switch", method="DELETE").status == 204
    assert [gw.get().status for _ in range(6)] == [200] * 6


def test_the_clock_opens_it(shop):
    now = datetime.datetime.now(datetime.timezone.utc)
    end = now + datetime.timedelta(seconds=4)
    gw = shop.lintel(closed(shop.echo(), **{
        "from": (now - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "until": end.strftime("%Y-%m-%dT%H:%M:%SZ")}))
    first = gw.get()
    if datetime.datetime.now(datetime.timezone.utc) < end - datetime.timedelta(seconds=1):
        assert first.status == 503 and 1 <= int(first.headers.get("retry-after")) <= 4
    wait_until(lambda: gw.get().status == 200, "the end")


def test_who_may_pass_and_who_gets_a_page(shop):
    page = "<!doctype html><h1>soon</h1>"
    gw = shop.lintel(closed(shop.echo(), page=page, allow="path == '/healthz'",
                            **{"pass": "let-me-in-please"}))
    assert gw.get("/healthz").status == 200
    assert gw.get(headers={"Cookie": "maintenance_pass=let-me-in-please"}).status == 200
    assert gw.get(headers={"Cookie": "maintenance_pass=let-me-in"}).status == 503
    browser = gw.get(headers=BROWSER)
    assert (browser.status, browser.body.decode()) == (503, page)
    assert browser.headers.get("content-type") == "text/html; charset=utf-8"
    assert gw.access(maintenance=True)[0]["status"] == 503
    api = gw.get(headers={"Accept": "application/json"})
    assert json.loads(api.body)["cause"] == "maintenance"
