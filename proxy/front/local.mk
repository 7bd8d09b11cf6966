# SPDX-License-Identifier: Apache-2.0
# The client's side of connections.
liblintel_a_SOURCES += \
	proxy/front/front_h1.c proxy/front/front_h1.h \
	proxy/front/front_h1_clocks.c \
	proxy/front/front_h1_conn.h \
	proxy/front/front_h1_request.c proxy/front/front_h1_response.c \
	proxy/front/front_h2.c proxy/front/front_h2.h \
	proxy/front/front_h2_abuse.c proxy/front/front_h2_abuse.def \
	proxy/front/front_h2_clocks.c proxy/front/front_h2_conn.h proxy/front/front_h2_frames.c \
	proxy/front/front_h2_send.c proxy/front/front_h2_session.c proxy/front/front_h2_stream.c \
	proxy/front/handshake.c proxy/front/handshake.h

check_PROGRAMS += tests/fuzz/fuzz_h2
tests_fuzz_fuzz_h2_SOURCES = tests/fuzz/fuzz_h2.c tests/fuzz/main.c tests/fuzz/strict_reader.h \
	tests/unit/config_env.h tests/unit/net_env.h tests/unit/route_env.h tests/unit/unit.h
EXTRA_DIST += tests/fuzz/corpus/h2
