# SPDX-License-Identifier: Apache-2.0
# Unit tests, black-box tests, fuzz corpus replay, lints.
#
# A unit test is added by the local.mk of the folder that it tests:
#     check_PROGRAMS += tests/unit/test_arena
#     tests_unit_test_arena_SOURCES = tests/unit/test_arena.c
# A fuzz target is a check program too. Run without arguments it replays
# $srcdir/tests/fuzz/corpus/<its name>, so that every "make check" reads the whole corpus.

EXTRA_DIST += tests/fuzz/run tests/lint tests/http tests/unit/unit.h
dist_check_SCRIPTS += tests/filters.sh tests/http.sh
