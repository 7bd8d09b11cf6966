# SPDX-License-Identifier: Apache-2.0
# Loop, timers, streams, TLS, connect, listener.
liblintel_a_SOURCES += \
	proxy/net/compress_conf.c proxy/net/compress_conf.h \
	proxy/net/http2_conf.c proxy/net/http2_conf.h \
	proxy/net/addresses.c proxy/net/addresses.h \
	proxy/net/connect.c proxy/net/connect.h \
	proxy/net/dns_answer.c proxy/net/dns_answer.h \
	proxy/net/hosts.c proxy/net/hosts.h \
	proxy/net/listen_conf.c proxy/net/listen_conf.h \
	proxy/net/listen_open.c \
	proxy/net/listener.c proxy/net/listener.h \
	proxy/net/loop.c proxy/net/loop.h \
	proxy/net/mailbox.c proxy/net/mailbox.h \
	proxy/net/names.c proxy/net/names.h \
	proxy/net/proxy_protocol.c proxy/net/proxy_protocol.h \
	proxy/net/proxy_reader.c proxy/net/proxy_reader.h \
	proxy/net/resolve.c proxy/net/resolve.h \
	proxy/net/resolver_conf.c proxy/net/resolver_conf.h \
	proxy/net/stream.c proxy/net/stream.h \
	proxy/net/timer.c \
	proxy/net/tls.h \
	proxy/net/tls_ca.c proxy/net/tls_ca.h \
	proxy/net/tls_cert.c \
	proxy/net/tls_client.c proxy/net/tls_client.h \
	proxy/net/tls_client_conf.c proxy/net/tls_client_conf.h \
	proxy/net/tls_clients_conf.c \
	proxy/net/tls_conf.c proxy/net/tls_conf.h \
	proxy/net/tls_conn.c \
	proxy/net/tls_impl.h \
	proxy/net/tls_info.c proxy/net/tls_info.h \
	proxy/net/tls_keylog.h \
	proxy/net/tls_policy.c proxy/net/tls_policy.h \
	proxy/net/tls_refusal.c \
	proxy/net/tls_server.c \
	proxy/net/tls_temporary.c \
	proxy/net/tls_terms.c \
	proxy/net/tls_trust.c proxy/net/tls_trust.h \
	proxy/net/vanished.c proxy/net/vanished.h \
	proxy/net/work_pool.c proxy/net/work_pool.h

if KEY_LOG
liblintel_a_SOURCES += proxy/net/tls_keylog.c
else
EXTRA_DIST += proxy/net/tls_keylog.c
endif

check_PROGRAMS += \
	tests/unit/test_addresses \
	tests/unit/test_connect \
	tests/unit/test_dns_answer \
	tests/unit/test_hosts \
	tests/unit/test_listener \
	tests/unit/test_loop \
	tests/unit/test_mailbox \
	tests/unit/test_names \
	tests/unit/test_proxy_protocol \
	tests/unit/test_proxy_reader \
	tests/unit/test_stream \
	tests/unit/test_tls \
	tests/unit/test_tls_client \
	tests/unit/test_tls_client_conf \
	tests/unit/test_tls_conf \
	tests/unit/test_tls_policy \
	tests/unit/test_work_pool
tests_unit_test_connect_SOURCES = tests/unit/test_connect.c tests/unit/net_env.h
tests_unit_test_dns_answer_SOURCES = tests/unit/test_dns_answer.c tests/unit/dns_env.h
tests_unit_test_hosts_SOURCES = tests/unit/test_hosts.c
tests_unit_test_listener_SOURCES = tests/unit/test_listener.c
tests_unit_test_loop_SOURCES = tests/unit/test_loop.c
tests_unit_test_mailbox_SOURCES = tests/unit/test_mailbox.c
tests_unit_test_addresses_SOURCES = tests/unit/test_addresses.c tests/unit/net_env.h
tests_unit_test_names_SOURCES = tests/unit/test_names.c tests/unit/dns_env.h
tests_unit_test_proxy_protocol_SOURCES = tests/unit/test_proxy_protocol.c
tests_unit_test_proxy_reader_SOURCES = tests/unit/test_proxy_reader.c
tests_unit_test_stream_SOURCES = tests/unit/test_stream.c
tests_unit_test_tls_SOURCES = tests/unit/test_tls.c tests/unit/tls_env.h
tests_unit_test_tls_client_SOURCES = tests/unit/test_tls_client.c tests/unit/tls_env.h
tests_unit_test_tls_client_conf_SOURCES = tests/unit/test_tls_client_conf.c tests/unit/tls_env.h
tests_unit_test_tls_conf_SOURCES = tests/unit/test_tls_conf.c tests/unit/tls_env.h
tests_unit_test_tls_policy_SOURCES = tests/unit/test_tls_policy.c tests/unit/tls_env.h
tests_unit_test_work_pool_SOURCES = tests/unit/test_work_pool.c tests/unit/net_env.h

check_PROGRAMS += tests/fuzz/fuzz_dns_answer
tests_fuzz_fuzz_dns_answer_SOURCES = tests/fuzz/fuzz_dns_answer.c tests/fuzz/main.c
EXTRA_DIST += tests/fuzz/corpus/dns_answer

check_PROGRAMS += tests/fuzz/fuzz_proxy_protocol
tests_fuzz_fuzz_proxy_protocol_SOURCES = tests/fuzz/fuzz_proxy_protocol.c tests/fuzz/main.c
EXTRA_DIST += tests/fuzz/corpus/proxy_protocol
