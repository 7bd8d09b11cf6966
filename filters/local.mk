# SPDX-License-Identifier: Apache-2.0
# The filter host: chain, Lua VMs, budgets, sandbox, the Lua API.
liblintel_a_SOURCES += \
	filters/filter_conf.c filters/filter_conf.h
