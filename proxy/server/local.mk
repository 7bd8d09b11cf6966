# SPDX-License-Identifier: Apache-2.0
# Supervisor, workers, accept, snapshot building, reload, drain, access log.
liblintel_a_SOURCES += \
	proxy/server/accept.c proxy/server/accept.h \
	proxy/server/access_log.c proxy/server/access_log.h \
	proxy/server/acme.c proxy/server/acme.h \
	proxy/server/certs.c proxy/server/certs.h \
	proxy/server/control.c proxy/server/control.h \
	proxy/server/cpus.c proxy/server/cpus.h \
	proxy/server/dev.c proxy/server/dev.h \
	proxy/server/dev_demo.c proxy/server/dev_demo.h \
	proxy/server/dns_servers.c proxy/server/dns_servers.h proxy/server/dns_servers_impl.h \
	proxy/server/dns_status.c \
	proxy/server/drain.c proxy/server/drain.h \
	proxy/server/filter_swap.c proxy/server/filter_swap.h \
	proxy/server/gateway.c proxy/server/gateway.h \
	proxy/server/json.c proxy/server/json.h \
	proxy/server/log_writer.c proxy/server/log_writer.h \
	proxy/server/lookups.c proxy/server/lookups.h \
	proxy/server/notify.c proxy/server/notify.h \
	proxy/server/privileges.c proxy/server/privileges.h \
	proxy/server/probe.c proxy/server/probe.h \
	proxy/server/probes.c proxy/server/probes.h proxy/server/probes_status.c \
	proxy/server/reload.c proxy/server/reload.h \
	proxy/server/server_sets.c proxy/server/server_sets.h proxy/server/server_sets_impl.h \
	proxy/server/server_changes.c proxy/server/server_merge.c \
	proxy/server/server_files.c proxy/server/server_files.h \
	proxy/server/state_file.c \
	proxy/server/slots.c proxy/server/slots.h \
	proxy/server/snapshot.c proxy/server/snapshot.h \
	proxy/server/snapshot_build.c proxy/server/snapshot_build.h \
	proxy/server/sockets.c proxy/server/sockets.h \
	proxy/server/status.c \
	proxy/server/supervisor.c proxy/server/supervisor.h \
	proxy/server/ticket_file.c \
	proxy/server/usage.c proxy/server/usage.h \
	proxy/server/tls_set.c proxy/server/tls_set.h \
	proxy/server/upstream_status.c proxy/server/upstream_status.h \
	proxy/server/watchdog.c proxy/server/watchdog.h \
	proxy/server/worker.c proxy/server/worker.h

check_PROGRAMS += \
	tests/unit/test_access_log \
	tests/unit/test_log_writer \
	tests/unit/test_server_sets \
	tests/unit/test_slots \
	tests/unit/test_supervision \
	tests/unit/test_tls_set
tests_unit_test_tls_set_SOURCES = tests/unit/test_tls_set.c tests/unit/tls_env.h
tests_unit_test_access_log_SOURCES = tests/unit/test_access_log.c
tests_unit_test_server_sets_SOURCES = tests/unit/test_server_sets.c
tests_unit_test_slots_SOURCES = tests/unit/test_slots.c
tests_unit_test_log_writer_SOURCES = tests/unit/test_log_writer.c
tests_unit_test_supervision_SOURCES = tests/unit/test_supervision.c

liblintel_a_SOURCES += \
	proxy/server/check.c \
	proxy/server/check_limits.c \
	proxy/server/places.c \
	proxy/server/cmd_config.c proxy/server/cmd_config.h \
	proxy/server/root_conf.c proxy/server/root_conf.h
check_PROGRAMS += tests/unit/test_root_conf
tests_unit_test_root_conf_SOURCES = tests/unit/test_root_conf.c

check_PROGRAMS += tests/fuzz/fuzz_config
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c tests/fuzz/main.c
EXTRA_DIST += tests/fuzz/corpus/config
