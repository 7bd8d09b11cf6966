# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests are made of: the gateway's process, clients, origins, a strict reader."""
