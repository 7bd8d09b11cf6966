#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests that stand beside the filters Lintel ships and beside the examples of the guide, and
# sees to it that the guide shows the examples as they are.
top=${srcdir:?}

"$LINTEL" test "$top/scripts" "$top/docs/filters" || exit 1

for example in bearer maintenance policy quota signed_link order relink; do
    awk -v name="filters/$example.lua" '
        index($0, "(" name ")") { wanted = 1 }
        wanted && /^```lua$/ { inside = 1; next }
        inside && /^```$/ { exit }
        inside { print }' "$top/docs/filters.md" >"filters-guide.$$"
    sed 1d "$top/docs/filters/$example.lua" | cmp - "filters-guide.$$"
    same=$?
    rm -f "filters-guide.$$"
    if [ $same -ne 0 ]; then
        echo "docs/filters.md shows another text than docs/filters/$example.lua"
        exit 1
    fi
done
