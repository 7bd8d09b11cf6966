# SPDX-License-Identifier: Apache-2.0
# Router, match, rewrite.
liblintel_a_SOURCES += \
	proxy/route/build.c proxy/route/build.h \
	proxy/route/build_answer.c \
	proxy/route/build_host.c proxy/route/build_impl.h \
	proxy/route/build_tree.c \
	proxy/route/compiled.h \
	proxy/route/compress_options.c proxy/route/compress_options.h \
	proxy/route/error_pages.c proxy/route/error_pages.h \
	proxy/route/names.c \
	proxy/route/pattern.c proxy/route/pattern.h \
	proxy/route/readings.c proxy/route/readings.h \
	proxy/route/rewrite.c \
	proxy/route/router.c proxy/route/router.h \
	proxy/route/site_conf.c proxy/route/site_conf.h \
	proxy/route/table.c proxy/route/table.h

check_PROGRAMS += \
	tests/unit/test_compress_options \
	tests/unit/test_error_pages \
	tests/unit/test_readings \
	tests/unit/test_rewrite \
	tests/unit/test_route_regex \
	tests/unit/test_router \
	tests/unit/test_site_conf
tests_unit_test_compress_options_SOURCES = \
	tests/unit/test_compress_options.c tests/unit/route_env.h
tests_unit_test_error_pages_SOURCES = tests/unit/test_error_pages.c tests/unit/route_env.h
tests_unit_test_readings_SOURCES = tests/unit/test_readings.c tests/unit/route_env.h
tests_unit_test_rewrite_SOURCES = tests/unit/test_rewrite.c tests/unit/route_env.h
tests_unit_test_route_regex_SOURCES = tests/unit/test_route_regex.c tests/unit/route_env.h
tests_unit_test_router_SOURCES = tests/unit/test_router.c tests/unit/route_env.h
tests_unit_test_site_conf_SOURCES = tests/unit/test_site_conf.c tests/unit/route_env.h
