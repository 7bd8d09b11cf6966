#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests that stand beside the filters Lintel ships.
exec "$LINTEL" test "${srcdir:?}"/scripts/*_test.lua
