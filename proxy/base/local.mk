# SPDX-License-Identifier: Apache-2.0
# Memory, text, containers, clocks, logs: no libev, no OpenSSL.
liblintel_a_SOURCES += \
	proxy/base/addr.c proxy/base/addr.h \
	proxy/base/arena.c proxy/base/arena.h \
	proxy/base/base64.c proxy/base/base64.h \
	proxy/base/buf.c proxy/base/buf.h \
	proxy/base/cause.c proxy/base/cause.def proxy/base/cause.h \
	proxy/base/chain.c proxy/base/chain.h \
	proxy/base/cidr_set.c proxy/base/cidr_set.h \
	proxy/base/clock.c proxy/base/clock.h \
	proxy/base/defs.h \
	proxy/base/endpoint.c proxy/base/endpoint.h \
	proxy/base/err.c proxy/base/err.def proxy/base/err.h \
	proxy/base/hash.c proxy/base/hash.h \
	proxy/base/list.h \
	proxy/base/log.c proxy/base/log.h \
	proxy/base/map.c proxy/base/map.h \
	proxy/base/mem.c proxy/base/mem.h \
	proxy/base/members.c proxy/base/members.h \
	proxy/base/obj.h \
	proxy/base/rand.c proxy/base/rand.h \
	proxy/base/slab.c proxy/base/slab.h \
	proxy/base/str.c proxy/base/str.h

check_PROGRAMS += \
	tests/unit/test_addr \
	tests/unit/test_arena \
	tests/unit/test_base64 \
	tests/unit/test_buf \
	tests/unit/test_chain \
	tests/unit/test_cidr_set \
	tests/unit/test_endpoint \
	tests/unit/test_log \
	tests/unit/test_map \
	tests/unit/test_members \
	tests/unit/test_str
tests_unit_test_addr_SOURCES = tests/unit/test_addr.c
tests_unit_test_endpoint_SOURCES = tests/unit/test_endpoint.c
tests_unit_test_arena_SOURCES = tests/unit/test_arena.c
tests_unit_test_base64_SOURCES = tests/unit/test_base64.c
tests_unit_test_buf_SOURCES = tests/unit/test_buf.c
tests_unit_test_chain_SOURCES = tests/unit/test_chain.c
tests_unit_test_cidr_set_SOURCES = tests/unit/test_cidr_set.c
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_map_SOURCES = tests/unit/test_map.c
tests_unit_test_members_SOURCES = tests/unit/test_members.c
tests_unit_test_str_SOURCES = tests/unit/test_str.c
