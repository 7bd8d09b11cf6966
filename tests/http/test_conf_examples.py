# SPDX-License-Identifier: Apache-2.0
"""The configurations that come with Lintel run as they are."""
import json
import subprocess
import sys

import pytest

from lib.client import Client, fetch, tls_trust
from lib.gateway import TREE, command
from lib.wait import wait_until

EXAMPLES = sorted((TREE / "conf").glob("*.yaml"))
KEY = {"X-API-Key": "demo"}  # as bootstrap prints it


def place(folder, authority):
    """The variables of the examples, and the files that they name."""
    cert, key = authority.leaf("localhost", "127.0.0.1")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(cert.read_bytes())
    (folder / "key.pem").write_bytes(key.read_bytes())
    (folder / "clients.pem").write_bytes(authority.ca.read_bytes())
    return {"LINTEL_RUN": str(folder), "LINTEL_SOCKETS": str(folder),
            "LINTEL_HTTP": "127.0.0.1:0", "LINTEL_HTTPS": "127.0.0.2:0"}


def test_there_are_examples():
    assert [p for p in EXAMPLES if p.name == "quickstart.yaml"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_passes_the_check(path, tmp_path, authority):
    done = command("check", "-c", path, env=place(tmp_path, authority))
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_the_quickstart_serves_what_bootstrap_promises(shop, authority):
    env = place(shop.folder / "run", authority)
    for i in (1, 2):
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--workers", "2", "--log-level", "warning",
             "--bind", f"unix:{shop.folder}/run/app-{i}.sock", "app:app"],
            cwd=TREE / "conf" / "demo", env={"PATH": "/usr/bin:/bin", "DEMO_NAME": f"app-{i}",
                                             "PYTHONDONTWRITEBYTECODE": "1"})
        shop.finally_(process.wait, process.terminate)
    for i in (1, 2):
        wait_until((shop.folder / "run" / f"app-{i}.sock").exists, "the demo application", 60)
    gw = shop.lintel((TREE / "conf" / "quickstart.yaml").read_text(), env=env)
    assert gw.get("/healthz").body == b"ok"
    with Client(gw.secure, trust=tls_trust(authority.ca)) as client:
        told = json.loads(client.request().body)
        assert told["scheme"] == "https" and told["client"] == "127.0.0.1"
    workers = {json.loads(gw.get().body)["worker"].split(",")[0] for _ in range(20)}
    assert workers == {"app-1", "app-2"}
    refused = gw.get("/v1/hello")
    assert refused.status == 401 and json.loads(refused.body)["cause"]
    assert gw.get("/v1/hello", headers={"X-API-Key": "wrong"}).status == 401
    statuses = [gw.get("/v1/hello", headers=KEY).status for _ in range(7)]
    assert statuses[0] == 200 and statuses[-1] == 429
    assert fetch(str(shop.folder / "run" / "admin.sock"), "/readyz").status == 200
