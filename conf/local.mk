# SPDX-License-Identifier: Apache-2.0
# Configurations that run as they are, the demo application, the systemd unit.

pkgconfdir = $(pkgdatadir)/conf
dist_pkgconf_DATA = conf/basic_auth.yaml conf/cors.yaml conf/echo.yaml conf/headers.yaml conf/hmac.yaml \
	conf/jwt.yaml conf/log_fields.yaml conf/maintenance.yaml conf/quickstart.yaml \
	conf/request_id.yaml conf/security_headers.yaml
dist_pkgconf_DATA += conf/forward_auth.yaml conf/introspection.yaml conf/jwks.yaml \
	conf/rate_limit.yaml
dist_pkgconf_DATA += conf/acl.yaml conf/ip_allow.yaml conf/key_auth.yaml conf/mtls.yaml
EXTRA_DIST += conf/demo/app.py conf/lintel.service.in

if INSTALL_UNIT
nodist_systemdsystemunit_DATA = conf/lintel.service
endif
CLEANFILES += conf/lintel.service

conf/lintel.service: conf/lintel.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) conf && sed -e 's|@bindir[@]|$(bindir)|' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|' $(srcdir)/conf/lintel.service.in >$@
