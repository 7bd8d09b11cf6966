#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests that stand beside the filters Lintel ships and beside the examples of the guide.
top=${srcdir:?}

"$LINTEL" test "$top/scripts" "$top/docs/filters" "$top/docs/filters/cookbook" || exit 1
