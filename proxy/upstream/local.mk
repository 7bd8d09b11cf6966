# SPDX-License-Identifier: Apache-2.0
# Servers: balancing, idle connections, the HTTP/1 and HTTP/2 backs.
liblintel_a_SOURCES += \
	proxy/upstream/upstream.h \
	proxy/upstream/pool.c proxy/upstream/pool.h \
	proxy/upstream/balance.c proxy/upstream/balance.h \
	proxy/upstream/breaker.c proxy/upstream/breaker.h \
	proxy/upstream/check.c proxy/upstream/check.h \
	proxy/upstream/budget.c proxy/upstream/budget.h \
	proxy/upstream/idle.c proxy/upstream/idle.h \
	proxy/upstream/retry_conf.c proxy/upstream/retry_conf.h \
	proxy/upstream/balance_conf.c proxy/upstream/balance_conf.h \
	proxy/upstream/balance_options.h \
	proxy/upstream/connections.c proxy/upstream/connections.h \
	proxy/upstream/hash_ring.c proxy/upstream/hash_ring.h \
	proxy/upstream/latency.c proxy/upstream/latency.h \
	proxy/upstream/server_groups.c proxy/upstream/server_groups.h \
	proxy/upstream/standing.c proxy/upstream/standing.h \
	proxy/upstream/sticky.c proxy/upstream/sticky.h \
	proxy/upstream/health.c proxy/upstream/health.h \
	proxy/upstream/health_conf.c proxy/upstream/health_conf.h proxy/upstream/health_options.h \
	proxy/upstream/outliers.c proxy/upstream/outliers.h \
	proxy/upstream/dial.c proxy/upstream/dial.h \
	proxy/upstream/back_h1.c proxy/upstream/back_h1.h proxy/upstream/back_h1_conn.h \
	proxy/upstream/back_h1_response.c \
	proxy/upstream/back_h2.c proxy/upstream/back_h2.h proxy/upstream/back_h2_abuse.c proxy/upstream/back_h2_conn.h \
	proxy/upstream/back_h2_request.c proxy/upstream/back_h2_response.c \
	proxy/upstream/back_h2_session.c \
	proxy/upstream/open.c \
	proxy/upstream/fetch.c proxy/upstream/fetch.h proxy/upstream/fetch.def \
	proxy/upstream/fetch_redirect.c \
	proxy/upstream/origins.c proxy/upstream/origins.h \
	proxy/upstream/redis.c proxy/upstream/redis.h proxy/upstream/redis.def \
	proxy/upstream/redis_impl.h proxy/upstream/redis_refused.def \
	proxy/upstream/redis_cluster.c \
	proxy/upstream/redis_conn.c \
	proxy/upstream/redis_discover.c \
	proxy/upstream/redis_node.c \
	proxy/upstream/redis_slots.c proxy/upstream/redis_slots.h \
	proxy/upstream/redis_reply.c proxy/upstream/redis_reply.h \
	proxy/upstream/redis_url.c proxy/upstream/redis_url.h \
	proxy/upstream/server_set.c proxy/upstream/server_set.h \
	proxy/upstream/servers_file.c proxy/upstream/servers_file.h
liblintel_a_SOURCES += \
	proxy/upstream/peers.h \
	proxy/upstream/queue.c proxy/upstream/queue.h proxy/upstream/queue_impl.h \
	proxy/upstream/queue_line.c proxy/upstream/queue_serve.c \
	proxy/upstream/queue_conf.c proxy/upstream/queue_conf.h \
	proxy/upstream/seat.c proxy/upstream/seat.h
liblintel_a_SOURCES += \
	proxy/upstream/upstream_conf.c proxy/upstream/upstream_conf.h \
	proxy/upstream/presets.c proxy/upstream/presets.h \
	proxy/upstream/takes.c proxy/upstream/takes.h \
	proxy/upstream/dial_detail.c proxy/upstream/dial_detail.h \
	proxy/upstream/head_detail.c proxy/upstream/head_detail.h

check_PROGRAMS += tests/unit/test_hash_ring tests/unit/test_sticky
tests_unit_test_hash_ring_SOURCES = tests/unit/test_hash_ring.c
tests_unit_test_sticky_SOURCES = tests/unit/test_sticky.c
check_PROGRAMS += tests/unit/test_back_h2 tests/unit/test_balance tests/unit/test_server_set \
	tests/unit/test_servers_file tests/unit/test_budget tests/unit/test_idle \
	tests/unit/test_queue tests/unit/test_queue_stress
tests_unit_test_servers_file_SOURCES = tests/unit/test_servers_file.c
tests_unit_test_server_set_SOURCES = tests/unit/test_server_set.c
tests_unit_test_queue_stress_SOURCES = tests/unit/test_queue_stress.c tests/unit/net_env.h
tests_unit_test_queue_SOURCES = tests/unit/test_queue.c tests/unit/net_env.h
tests_unit_test_back_h2_SOURCES = tests/unit/test_back_h2.c tests/unit/net_env.h
tests_unit_test_balance_SOURCES = tests/unit/test_balance.c
check_PROGRAMS += tests/unit/test_breaker tests/unit/test_check tests/unit/test_fetch \
	tests/unit/test_health
check_PROGRAMS += tests/unit/test_redis
tests_unit_test_redis_SOURCES = tests/unit/test_redis.c tests/unit/net_env.h tests/unit/service_env.h
check_PROGRAMS += tests/fuzz/fuzz_redis_reply
tests_fuzz_fuzz_redis_reply_SOURCES = tests/fuzz/fuzz_redis_reply.c tests/fuzz/main.c
EXTRA_DIST += tests/fuzz/corpus/redis_reply
tests_unit_test_breaker_SOURCES = tests/unit/test_breaker.c
tests_unit_test_fetch_SOURCES = tests/unit/test_fetch.c tests/unit/net_env.h tests/unit/service_env.h
tests_unit_test_check_SOURCES = tests/unit/test_check.c tests/unit/net_env.h
tests_unit_test_health_SOURCES = tests/unit/test_health.c
tests_unit_test_budget_SOURCES = tests/unit/test_budget.c
tests_unit_test_idle_SOURCES = tests/unit/test_idle.c
