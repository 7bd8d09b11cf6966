#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the black-box tests against $LINTEL, two files at a time, the largest first. Without the Python
# modules they are skipped (77); "./bootstrap check" installs those. LINTEL_TEST_JOBS: how many files at
# a time (2). LINTEL_TEST_WORKERS: how many workers the gateway has in tests that leave it open (1).
# LINTEL_TEST_SECONDS: how long those last that go on for a while. LINTEL_TEST_LARGE: MB of the largest
# bodies that clients of HTTP/2 move (8). LINTEL_TEST_RESTARTS: requests while servers are restarted.
modules="pytest h2 httpx websockets requests flask fastapi uvicorn gunicorn"
for module in $modules; do
    if ! "$PYTHON" -c "import $module" 2>/dev/null; then
        echo "python3 module missing: $module"
        exit 77
    fi
done

# What one file prints comes in one piece.
# shellcheck disable=SC2011,SC2012,SC2016 # our own file names; expanded by the inner shell
ls -S "${srcdir:?}"/tests/http/test_*.py |
    xargs -n 1 -P "${LINTEL_TEST_JOBS:-2}" sh -c '
        said=$("$PYTHON" -m pytest -q -p no:cacheprovider "$1" 2>&1)
        status=$?
        printf "%s: %s\n" "${1##*/}" "$said"
        exit $status' sh
