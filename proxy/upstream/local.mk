# SPDX-License-Identifier: Apache-2.0
# Servers: balancing, idle connections, the HTTP/1 back.
liblintel_a_SOURCES += \
	proxy/upstream/upstream.h \
	proxy/upstream/pool.c proxy/upstream/pool.h \
	proxy/upstream/balance.c \
	proxy/upstream/dial.c proxy/upstream/dial.h \
	proxy/upstream/back_h1.c proxy/upstream/back_h1.h proxy/upstream/back_h1_conn.h \
	proxy/upstream/back_h1_response.c
liblintel_a_SOURCES += \
	proxy/upstream/upstream_conf.c proxy/upstream/upstream_conf.h

check_PROGRAMS += tests/unit/test_balance
tests_unit_test_balance_SOURCES = tests/unit/test_balance.c
