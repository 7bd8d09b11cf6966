# SPDX-License-Identifier: Apache-2.0
# Manual pages and documents.

dist_man_MANS += docs/man/lintel.8
EXTRA_DIST += docs/config-reference.md docs/configuration.md docs/internals/config.md docs/internals/net.md
