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
