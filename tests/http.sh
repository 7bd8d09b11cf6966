#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the black-box tests against $LINTEL. Without the Python modules they are skipped (77);
# "./bootstrap check" installs those. LINTEL_TEST_WORKERS: how many workers the gateway has in tests
# that leave it open (1). LINTEL_TEST_SECONDS: how long those last that go on for a while.
# LINTEL_TEST_LARGE: MB of the largest bodies that clients of HTTP/2 move (8).
modules="pytest h2 httpx websockets requests flask fastapi uvicorn gunicorn"
for module in $modules; do
    if ! "$PYTHON" -c "import $module" 2>/dev/null; then
        echo "python3 module missing: $module"
        exit 77
    fi
done
exec "$PYTHON" -m pytest -q -p no:cacheprovider "${srcdir:?}/tests/http"
