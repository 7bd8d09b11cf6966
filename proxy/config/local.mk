# SPDX-License-Identifier: Apache-2.0
# YAML, schema rows, expressions, dump and manual of the options.
liblintel_a_SOURCES += \
	proxy/config/diag.c proxy/config/diag.h \
	proxy/config/dump.c proxy/config/dump.h \
	proxy/config/expr.c proxy/config/expr.def proxy/config/expr.h \
	proxy/config/expr_compile.c proxy/config/expr_impl.h \
	proxy/config/file.c proxy/config/file.h \
	proxy/config/files.c proxy/config/files.h \
	proxy/config/json_schema.c \
	proxy/config/load.c proxy/config/load.h \
	proxy/config/node.c proxy/config/node.h \
	proxy/config/place.c proxy/config/place.h \
	proxy/config/redact.c proxy/config/redact.h \
	proxy/config/help.c \
	proxy/config/reference.c proxy/config/reference.h \
	proxy/config/regex.c proxy/config/regex.h \
	proxy/config/schema.c proxy/config/schema.h proxy/config/schema_impl.h \
	proxy/config/schema_finish.c \
	proxy/config/source.c proxy/config/source.h \
	proxy/config/suggest.c \
	proxy/config/template.c proxy/config/template.h \
	proxy/config/types.c proxy/config/types.h \
	proxy/config/units.c proxy/config/units.h \
	proxy/config/vars.c proxy/config/vars.h \
	proxy/config/yaml.c proxy/config/yaml.h \
	proxy/config/yaml_error.c proxy/config/yaml_error.h

check_PROGRAMS += \
	tests/unit/test_diag tests/unit/test_expr tests/unit/test_files tests/unit/test_load \
	tests/unit/test_schema tests/unit/test_yaml
tests_unit_test_diag_SOURCES = tests/unit/test_diag.c tests/unit/config_env.h
tests_unit_test_expr_SOURCES = tests/unit/test_expr.c tests/unit/config_env.h
tests_unit_test_files_SOURCES = tests/unit/test_files.c
tests_unit_test_load_SOURCES = tests/unit/test_load.c tests/unit/config_env.h
tests_unit_test_schema_SOURCES = tests/unit/test_schema.c tests/unit/config_env.h
tests_unit_test_yaml_SOURCES = tests/unit/test_yaml.c tests/unit/config_env.h

check_PROGRAMS += tests/fuzz/fuzz_regex
tests_fuzz_fuzz_regex_SOURCES = tests/fuzz/fuzz_regex.c tests/fuzz/main.c
EXTRA_DIST += tests/fuzz/corpus/regex
