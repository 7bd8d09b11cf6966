# SPDX-License-Identifier: Apache-2.0
# The filters Lintel ships, with their tests.

pkgscriptsdir = $(pkgdatadir)/scripts
dist_pkgscripts_DATA = \
	scripts/lintel.d.lua \
	scripts/basic_auth.lua scripts/basic_auth_test.lua \
	scripts/headers.lua scripts/headers_test.lua \
	scripts/hmac.lua scripts/hmac_test.lua \
	scripts/jwt.lua scripts/jwt_test.lua \
	scripts/key_auth.lua scripts/key_auth_test.lua \
	scripts/rate_limit.lua scripts/rate_limit_test.lua
