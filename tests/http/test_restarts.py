# SPDX-License-Identifier: Apache-2.0
"""Application workers are restarted under load: gunicorn by HUP and max_requests, uvicorn processes
replaced one after another. LINTEL_TEST_RESTARTS is the number of requests in all; bench/restarts/run
is the same for longer, beside nginx and HAProxy."""
import json
import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(os.environ["srcdir"]) / "bench" / "restarts" / "run"
LINTEL = Path(os.environ["LINTEL"])
LOAD = LINTEL.parent / "bench" / "restarts" / "load"
REQUESTS = int(os.environ.get("LINTEL_TEST_RESTARTS", "50000"))


def run(scenario, share, folder, every="0.8"):
    """The row of one scenario; the load gets that share of the requests."""
    out = folder / "out.json"
    done = subprocess.run(
        [str(RUN), "--lintel", str(LINTEL), "--load", str(LOAD), "--only", scenario, "--peers", "lintel",
         "--requests", str(int(REQUESTS * share)), "--every", every, "--json", str(out)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(out.read_text())
    assert row["events"] > 0
    assert row["twice"] == 0, row
    return row


@pytest.mark.parametrize("scenario,share", [("gthread", 0.4), ("sync", 0.2), ("drain", 0.2)])
def test_nothing_fails(scenario, share, tmp_path):
    row = run(scenario, share, tmp_path)
    assert not row["failures"]


def test_without_a_word_to_the_gateway(tmp_path):
    """uvicorn reads some requests at SIGTERM that it will not answer, and nobody can tell them from
    those that it has begun to work on: a GET is repeated, a POST is not."""
    row = run("term", 0.1, tmp_path)
    assert row["failed_gets"] == 0
    assert all(f["how"] == "closed_before_response" for f in row["failures"]), row
    assert row["failed_posts"] <= 0.005 * row["requests"]


def test_workers_that_are_killed(tmp_path):
    """Only what was in the hands of a killed worker can fail, and only if it can't be repeated."""
    row = run("gthread-kill", 0.1, tmp_path)
    assert row["failed_gets"] == 0
    assert all(f["how"] in ("closed_before_response", "reset_before_response", "response_cut")
               for f in row["failures"]), row


def test_all_stopped_for_a_while(tmp_path):
    """Requests wait until the application is there again."""
    row = run("stop", 0.06, tmp_path, every="4")
    assert not row["failures"] and row["p99_ms"] < 5500, row
