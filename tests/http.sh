#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the black-box tests against $LINTEL, three files at a time, the largest first. Without the Python
# modules they are skipped (77); "./bootstrap check" installs those. LINTEL_TEST_JOBS: how many files at
# a time (3). LINTEL_TEST_WORKERS: how many workers the gateway has in tests that leave it open (1).
# LINTEL_TEST_SECONDS: how long those last that go on for a while. LINTEL_TEST_LARGE: MB of the largest
# bodies that clients of HTTP/2 move (8). LINTEL_TEST_RESTARTS: requests while servers are restarted.
#
# These tests watch the clocks of real processes, and a busy machine can upset one. So a test that failed
# beside another file runs once more when the machine is quiet: where it passes then, it passed, and is
# listed as unsteady, which is a defect of the test to mend. More than $few failures are no accident, and
# nothing runs again.
few=5
modules="pytest h2 httpx websockets requests flask fastapi uvicorn gunicorn"
for module in $modules; do
    if ! "$PYTHON" -c "import $module" 2>/dev/null; then
        echo "python3 module missing: $module"
        exit 77
    fi
done
work=$(mktemp -d "${TMPDIR:-/tmp}/lintel-http-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export work

# What one file prints comes in one piece. Each has a folder of its own: of pytest's common one, every
# start of pytest takes away the right to pass that some tests give to other users.
# shellcheck disable=SC2011,SC2012,SC2016 # our own file names; expanded by the inner shell
ls -S "${srcdir:?}"/tests/http/test_*.py |
    xargs -n 1 -P "${LINTEL_TEST_JOBS:-3}" sh -c '
        name=${1##*/}
        "$PYTHON" -m pytest -q --basetemp="$work/$name.tmp" -o cache_dir="$work/$name.cache" "$1" \
            >"$work/$name" 2>&1 || echo "$1" >>"$work/failed"
        rm -rf "$work/$name.tmp"
        printf "%s: %s\n" "$name" "$(cat "$work/$name")"' sh
[ -s "$work/failed" ] || exit 0

# The tests that failed, a line each, as pytest names them.
while read -r file; do
    grep -E '^(FAILED|ERROR) ' "$work/${file##*/}" || echo "FAILED ${file##*/} as a whole"
done <"$work/failed" >"$work/tests"
if [ "$(wc -l <"$work/tests")" -gt "$few" ] || grep -q 'as a whole$' "$work/tests"; then
    exit 1
fi
echo "again: $(wc -l <"$work/tests") failed"
status=0
while read -r file; do
    name=${file##*/}
    if "$PYTHON" -m pytest -q --last-failed --basetemp="$work/$name.tmp" -o cache_dir="$work/$name.cache" \
        "$file" </dev/null; then
        grep -E '^(FAILED|ERROR) ' "$work/$name" | sed 's/^[A-Z]*/unsteady:/'
    else
        status=1
    fi
done <"$work/failed"
exit "$status"
