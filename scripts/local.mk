# SPDX-License-Identifier: Apache-2.0
# The filters Lintel ships, with their tests.

pkgscriptsdir = $(pkgdatadir)/scripts
dist_pkgscripts_DATA =
