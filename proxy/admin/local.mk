# SPDX-License-Identifier: Apache-2.0
# Metrics, status, control API.
