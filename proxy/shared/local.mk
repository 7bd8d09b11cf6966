# SPDX-License-Identifier: Apache-2.0
# Atomics that threads and processes share: counters, log rings, rate table, server state.
liblintel_a_SOURCES += \
	proxy/shared/addr_table.c proxy/shared/addr_table.h \
	proxy/shared/counter.def proxy/shared/refusal.def \
	proxy/shared/log_ring.c proxy/shared/log_ring.h \
	proxy/shared/metrics.c proxy/shared/metrics.h \
	proxy/shared/quota.c proxy/shared/quota.h \
	proxy/shared/server_state.c proxy/shared/server_state.h \
	proxy/shared/shm.c proxy/shared/shm.h \
	proxy/shared/tickets.c proxy/shared/tickets.h \
	proxy/shared/upstream_state.c proxy/shared/upstream_state.h
liblintel_a_SOURCES += proxy/shared/waiting.c proxy/shared/waiting.h
liblintel_a_SOURCES += proxy/shared/hold_table.c proxy/shared/hold_table.h
liblintel_a_SOURCES += proxy/shared/limits.c proxy/shared/limits.h
liblintel_a_SOURCES += proxy/shared/rate_table.c proxy/shared/rate_table.h
liblintel_a_SOURCES += proxy/shared/value_table.c proxy/shared/value_table.h

check_PROGRAMS += tests/unit/test_hold_table tests/unit/test_limits
tests_unit_test_hold_table_SOURCES = tests/unit/test_hold_table.c
tests_unit_test_limits_SOURCES = tests/unit/test_limits.c
check_PROGRAMS += tests/unit/test_rate_table
tests_unit_test_rate_table_SOURCES = tests/unit/test_rate_table.c
check_PROGRAMS += tests/unit/test_value_table
tests_unit_test_value_table_SOURCES = tests/unit/test_value_table.c

check_PROGRAMS += \
	tests/unit/test_addr_table \
	tests/unit/test_log_ring \
	tests/unit/test_metrics \
	tests/unit/test_shm \
	tests/unit/test_upstream_state
tests_unit_test_addr_table_SOURCES = tests/unit/test_addr_table.c
tests_unit_test_log_ring_SOURCES = tests/unit/test_log_ring.c
tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_shm_SOURCES = tests/unit/test_shm.c
tests_unit_test_upstream_state_SOURCES = tests/unit/test_upstream_state.c
