# SPDX-License-Identifier: Apache-2.0
# Manual pages and documents.

dist_man_MANS += docs/man/lintel.8
EXTRA_DIST += \
	docs/ARCHITECTURE.md \
	docs/causes.md \
	docs/config-reference.md \
	docs/configuration.md \
	docs/decisions \
	docs/filters.md \
	docs/internals \
	docs/load-balancing.md \
	docs/operations.md \
	docs/presets.md \
	docs/security.md \
	docs/troubleshooting-502.md
