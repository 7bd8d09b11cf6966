# SPDX-License-Identifier: Apache-2.0
# Metrics, status, control API.
liblintel_a_SOURCES += \
	proxy/admin/admin.c proxy/admin/admin.h \
	proxy/admin/client.c proxy/admin/client.h \
	proxy/admin/cmd_control.c proxy/admin/cmd_control.h \
	proxy/admin/cmd_limits.c proxy/admin/cmd_limits.h \
	proxy/admin/limits.c proxy/admin/limits.h \
	proxy/admin/cmd_status.c proxy/admin/cmd_status.h \
	proxy/admin/control.c proxy/admin/control.h
