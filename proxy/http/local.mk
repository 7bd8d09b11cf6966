# SPDX-License-Identifier: Apache-2.0
# Headers, message, URI, framing gate, HTTP/1, HTTP/2: no sockets.
liblintel_a_SOURCES += \
	proxy/http/accept.c proxy/http/accept.h \
	proxy/http/blame.c proxy/http/blame.h \
	proxy/http/encoder.c proxy/http/encoder.h \
	proxy/http/framing.c proxy/http/framing.h \
	proxy/http/h1.h proxy/http/h1_parse.c proxy/http/h1_scan.c proxy/http/h1_write.c \
	proxy/http/grpc.c proxy/http/grpc.h \
	proxy/http/h2.h proxy/http/h2_read.c proxy/http/h2_write.c \
	proxy/http/header.def \
	proxy/http/headers.c proxy/http/headers.h \
	proxy/http/hop.c proxy/http/hop.h \
	proxy/http/message.c proxy/http/message.h \
	proxy/http/method.def \
	proxy/http/mount.c proxy/http/mount.h \
	proxy/http/sides.h \
	proxy/http/upgrade.c proxy/http/upgrade.h \
	proxy/http/uri.c proxy/http/uri.h \
	proxy/http/url.c proxy/http/url.h \
	proxy/http/websocket.c proxy/http/websocket.h

check_PROGRAMS += \
	tests/unit/test_url \
	tests/unit/test_accept tests/unit/test_blame tests/unit/test_encoder \
	tests/unit/test_framing tests/unit/test_h1 tests/unit/test_h2 tests/unit/test_headers tests/unit/test_hop \
	tests/unit/test_message tests/unit/test_mount tests/unit/test_upgrade tests/unit/test_uri \
	tests/unit/test_grpc tests/unit/test_websocket
tests_unit_test_accept_SOURCES = tests/unit/test_accept.c
tests_unit_test_blame_SOURCES = tests/unit/test_blame.c
tests_unit_test_encoder_SOURCES = tests/unit/test_encoder.c
tests_unit_test_encoder_LDADD = $(LDADD) $(BROTLI_DECODER_LIBS)
tests_unit_test_framing_SOURCES = tests/unit/test_framing.c tests/unit/h1_reader.h
tests_unit_test_grpc_SOURCES = tests/unit/test_grpc.c
tests_unit_test_h1_SOURCES = tests/unit/test_h1.c tests/unit/h1_reader.h
tests_unit_test_h2_SOURCES = tests/unit/test_h2.c
tests_unit_test_headers_SOURCES = tests/unit/test_headers.c
tests_unit_test_hop_SOURCES = tests/unit/test_hop.c tests/unit/h1_reader.h
tests_unit_test_message_SOURCES = tests/unit/test_message.c
tests_unit_test_mount_SOURCES = tests/unit/test_mount.c
tests_unit_test_upgrade_SOURCES = tests/unit/test_upgrade.c
tests_unit_test_uri_SOURCES = tests/unit/test_uri.c
tests_unit_test_url_SOURCES = tests/unit/test_url.c
tests_unit_test_websocket_SOURCES = tests/unit/test_websocket.c

http_fuzz = tests/fuzz/main.c tests/fuzz/strict_reader.h tests/unit/h1_reader.h
check_PROGRAMS += \
	tests/fuzz/fuzz_accept tests/fuzz/fuzz_differential tests/fuzz/fuzz_framing \
	tests/fuzz/fuzz_h1_request tests/fuzz/fuzz_h1_response tests/fuzz/fuzz_h2_head \
	tests/fuzz/fuzz_mount tests/fuzz/fuzz_uri
tests_fuzz_fuzz_accept_SOURCES = tests/fuzz/fuzz_accept.c tests/fuzz/main.c
tests_fuzz_fuzz_differential_SOURCES = tests/fuzz/fuzz_differential.c $(http_fuzz)
tests_fuzz_fuzz_framing_SOURCES = tests/fuzz/fuzz_framing.c $(http_fuzz)
tests_fuzz_fuzz_h1_request_SOURCES = tests/fuzz/fuzz_h1_request.c $(http_fuzz)
tests_fuzz_fuzz_h1_response_SOURCES = tests/fuzz/fuzz_h1_response.c $(http_fuzz)
tests_fuzz_fuzz_h2_head_SOURCES = tests/fuzz/fuzz_h2_head.c tests/fuzz/main.c tests/unit/h1_reader.h
tests_fuzz_fuzz_mount_SOURCES = tests/fuzz/fuzz_mount.c tests/fuzz/main.c
tests_fuzz_fuzz_uri_SOURCES = tests/fuzz/fuzz_uri.c tests/fuzz/main.c
EXTRA_DIST += \
	tests/fuzz/corpus/accept tests/fuzz/corpus/differential tests/fuzz/corpus/framing \
	tests/fuzz/corpus/h1_request tests/fuzz/corpus/h1_response tests/fuzz/corpus/h2_head \
	tests/fuzz/corpus/mount tests/fuzz/corpus/uri
