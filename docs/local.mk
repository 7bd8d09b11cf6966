# SPDX-License-Identifier: Apache-2.0
# Manual pages and documents.

dist_man_MANS += docs/man/lintel.8
EXTRA_DIST += docs/config-reference.md docs/configuration.md docs/internals/config.md docs/internals/net.md
EXTRA_DIST += docs/operations.md docs/internals/processes.md docs/internals/snapshot.md \
	docs/decisions/004-lines-are-dropped-not-requests.md \
	docs/decisions/005-the-supervisor-opens-what-the-gateway-asks-for.md
