# SPDX-License-Identifier: Apache-2.0
# The filter host: chain, Lua VMs, budgets, sandbox, the Lua API.
liblintel_a_SOURCES += \
	filters/absent.c filters/absent.h \
	filters/api.c filters/api.h \
	filters/api_ctx.c \
	filters/api_print.c \
	filters/budget.c filters/budget.h \
	filters/cache.c filters/cache.h \
	filters/call.c filters/call.h \
	filters/chain.c filters/chain.h \
	filters/crypto.c filters/crypto.h \
	filters/ctx.c filters/ctx.h \
	filters/ctx_answer.c \
	filters/ctx_body.c \
	filters/ctx_cert.c \
	filters/ctx_fields.c \
	filters/ctx_http.c \
	filters/ctx_upstream.c \
	filters/ctx_user.c \
	filters/every.c filters/every.h \
	filters/excerpt.c filters/excerpt.h \
	filters/filter_conf.c filters/filter_conf.h \
	filters/filter_doc.c filters/filter_doc.h \
	filters/filter_json.c filters/filter_json.h \
	filters/filter_tool.c filters/filter_tool.h \
	filters/filter_tls.c filters/filter_tls.h \
	filters/flow.c filters/flow.h \
	filters/globals.c filters/globals.h \
	filters/host.c filters/host.h \
	filters/host_impl.h \
	filters/job.c filters/job.h \
	filters/jose_impl.h \
	filters/jose_jwk.c \
	filters/jose_keys.c filters/jose_keys.h \
	filters/jose_verify.c filters/jose_verify.h \
	filters/jwks.c filters/jwks.h \
	filters/jwt.c filters/jwt.def filters/jwt.h \
	filters/jwt_claims.c \
	filters/lent.c filters/lent.h \
	filters/lib.c filters/lib.h \
	filters/lib_cache.c \
	filters/lib_cidr.c \
	filters/lib_crypt.c \
	filters/lib_crypto.c \
	filters/lib_expr.c filters/lib_file.c \
	filters/lib_http.c filters/lib_http.h \
	filters/lib_http_response.c \
	filters/lib_json.c \
	filters/lib_jwks.c \
	filters/lib_jwt.c filters/lib_jwt.h \
	filters/lib_limit.c filters/lib_limit.h \
	filters/lib_limiter.c \
	filters/lib_re.c filters/lib_re.h \
	filters/lib_redis.c \
	filters/lib_shared.c \
	filters/lua_code.c filters/lua_code.h \
	filters/lua_match.c filters/lua_match.h \
	filters/lua_table.c filters/lua_table.h \
	filters/parallel.c \
	filters/password.c filters/password.h \
	filters/program.c filters/program.h \
	filters/program_impl.h \
	filters/program_renew.c filters/program_renew.h \
	filters/report.c filters/report.h \
	filters/sandbox.c filters/sandbox.h \
	filters/schema.c filters/schema.h \
	filters/schema_values.c \
	filters/scripts_dir.c filters/scripts_dir.h \
	filters/task.c filters/task.h \
	filters/test_bed.c filters/test_bed.h \
	filters/test_cases.c \
	filters/test_checks.c \
	filters/test_coverage.c \
	filters/test_diff.c \
	filters/test_exchange.c \
	filters/test_http.c \
	filters/test_impl.h \
	filters/test_lines.c \
	filters/test_redis.c \
	filters/test_report.c \
	filters/test_result.c \
	filters/test_runner.c filters/test_runner.h \
	filters/test_spec.c \
	filters/unit.c filters/unit.h \
	filters/vm.c filters/vm.h

check_PROGRAMS += \
	tests/unit/test_filters_async \
	tests/unit/test_filters_bombs \
	tests/unit/test_filters_budget \
	tests/unit/test_filters_cache \
	tests/unit/test_filters_call \
	tests/unit/test_filters_definitions tests/unit/test_filters_expr \
	tests/unit/test_filters_file \
	tests/unit/test_filters_flow \
	tests/unit/test_filters_jwks \
	tests/unit/test_filters_jwt \
	tests/unit/test_filters_lib \
	tests/unit/test_filters_limit \
	tests/unit/test_filters_lua_match \
	tests/unit/test_filters_program \
	tests/unit/test_filters_re \
	tests/unit/test_filters_renew \
	tests/unit/test_filters_sandbox \
	tests/unit/test_filters_schema \
	tests/unit/test_filters_test_lines \
	tests/unit/test_filters_test_runner \
	tests/unit/test_jose \
	tests/unit/test_jwt \
	tests/unit/test_password
tests_unit_test_filters_async_SOURCES = tests/unit/test_filters_async.c tests/unit/filter_bed.h
tests_unit_test_filters_cache_SOURCES = tests/unit/test_filters_cache.c tests/unit/filter_bed.h
tests_unit_test_filters_bombs_SOURCES = tests/unit/test_filters_bombs.c tests/unit/filter_bed.h \
	tests/unit/bombs.def
tests_unit_test_filters_budget_SOURCES = tests/unit/test_filters_budget.c tests/unit/filter_vm.h
tests_unit_test_filters_call_SOURCES = tests/unit/test_filters_call.c tests/unit/filter_bed.h
tests_unit_test_filters_file_SOURCES = tests/unit/test_filters_file.c tests/unit/filter_bed.h
tests_unit_test_filters_expr_SOURCES = tests/unit/test_filters_expr.c tests/unit/filter_bed.h
tests_unit_test_filters_definitions_SOURCES = \
	tests/unit/test_filters_definitions.c tests/unit/filter_bed.h
tests_unit_test_filters_flow_SOURCES = tests/unit/test_filters_flow.c tests/unit/filter_bed.h
tests_unit_test_filters_jwks_SOURCES = tests/unit/test_filters_jwks.c tests/unit/filter_bed.h
tests_unit_test_filters_jwt_SOURCES = tests/unit/test_filters_jwt.c tests/unit/filter_bed.h
tests_unit_test_filters_limit_SOURCES = tests/unit/test_filters_limit.c
tests_unit_test_filters_lib_SOURCES = tests/unit/test_filters_lib.c tests/unit/filter_bed.h
tests_unit_test_filters_lua_match_SOURCES = \
	tests/unit/test_filters_lua_match.c tests/unit/filter_vm.h
tests_unit_test_filters_program_SOURCES = \
	tests/unit/test_filters_program.c tests/unit/filter_bed.h
tests_unit_test_filters_re_SOURCES = tests/unit/test_filters_re.c tests/unit/filter_bed.h
tests_unit_test_filters_renew_SOURCES = tests/unit/test_filters_renew.c tests/unit/filter_bed.h
tests_unit_test_filters_sandbox_SOURCES = tests/unit/test_filters_sandbox.c tests/unit/filter_vm.h
tests_unit_test_filters_schema_SOURCES = tests/unit/test_filters_schema.c tests/unit/filter_bed.h
tests_unit_test_filters_test_lines_SOURCES = tests/unit/test_filters_test_lines.c
tests_unit_test_filters_test_runner_SOURCES = \
	tests/unit/test_filters_test_runner.c tests/unit/filter_bed.h
tests_unit_test_jose_SOURCES = tests/unit/test_jose.c tests/unit/jwt_forge.h
tests_unit_test_jwt_SOURCES = tests/unit/test_jwt.c tests/unit/jwt_forge.h
tests_unit_test_password_SOURCES = tests/unit/test_password.c

check_PROGRAMS += tests/fuzz/fuzz_jwt
tests_fuzz_fuzz_jwt_SOURCES = tests/fuzz/fuzz_jwt.c tests/fuzz/main.c
EXTRA_DIST += tests/fuzz/corpus/jwt

EXTRA_DIST += docs/filters
