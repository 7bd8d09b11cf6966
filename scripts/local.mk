# SPDX-License-Identifier: Apache-2.0
# The filters Lintel ships, with their tests.

pkgscriptsdir = $(pkgdatadir)/scripts
dist_pkgscripts_DATA = \
	scripts/lintel.d.lua scripts/lintel.test.d.lua \
	scripts/acl.lua scripts/acl_test.lua \
	scripts/basic_auth.lua scripts/basic_auth_test.lua \
	scripts/cors.lua scripts/cors_test.lua \
	scripts/echo.lua scripts/echo_test.lua \
	scripts/headers.lua scripts/headers_test.lua \
	scripts/hmac.lua scripts/hmac_test.lua \
	scripts/ip_allow.lua scripts/ip_allow_test.lua \
	scripts/jwt.lua scripts/jwt_test.lua \
	scripts/key_auth.lua scripts/key_auth_test.lua \
	scripts/log_fields.lua scripts/log_fields_test.lua \
	scripts/maintenance.lua scripts/maintenance_test.lua \
	scripts/mtls.lua scripts/mtls_test.lua \
	scripts/rate_limit.lua scripts/rate_limit_test.lua \
	scripts/request_id.lua scripts/request_id_test.lua \
	scripts/security_headers.lua scripts/security_headers_test.lua

dist_pkgscripts_DATA += \
	scripts/forward_auth.lua scripts/forward_auth_test.lua \
	scripts/introspection.lua scripts/introspection_test.lua

# What several of them require.
pkgscriptslibdir = $(pkgscriptsdir)/lib
dist_pkgscriptslib_DATA = scripts/lib/token.lua scripts/lib/trouble.lua
