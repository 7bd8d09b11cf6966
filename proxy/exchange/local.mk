# SPDX-License-Identifier: Apache-2.0
# The middle: one request and its response.
liblintel_a_SOURCES += \
	proxy/exchange/address.c \
	proxy/exchange/body.c proxy/exchange/body.h \
	proxy/exchange/challenge.c proxy/exchange/challenge.h \
	proxy/exchange/choose.c proxy/exchange/collect.c \
	proxy/exchange/compress.c proxy/exchange/compress.h \
	proxy/exchange/deadline.c proxy/exchange/grpc.c \
	proxy/exchange/env.h \
	proxy/exchange/exchange.c proxy/exchange/exchange.h \
	proxy/exchange/explain.c \
	proxy/exchange/follow.c \
	proxy/exchange/flow.c proxy/exchange/flow.h \
	proxy/exchange/hold.c \
	proxy/exchange/hooks.h \
	proxy/exchange/log_field.c proxy/exchange/log_field.h proxy/exchange/log_member.def \
	proxy/exchange/internal.h \
	proxy/exchange/misdirected.c \
	proxy/exchange/pick.c proxy/exchange/wait.c \
	proxy/exchange/relay.c \
	proxy/exchange/reply.c \
	proxy/exchange/retry.c \
	proxy/exchange/room.c \
	proxy/exchange/spool.c proxy/exchange/spool.h \
	proxy/exchange/step.def \
	proxy/exchange/steps.c \
	proxy/exchange/tunnel.c proxy/exchange/tunnel.h \
	proxy/exchange/verdict.c

check_PROGRAMS += tests/unit/test_address tests/unit/test_exchange tests/unit/test_spool
tests_unit_test_address_SOURCES = tests/unit/test_address.c
tests_unit_test_spool_SOURCES = tests/unit/test_spool.c
tests_unit_test_exchange_SOURCES = tests/unit/test_exchange.c
