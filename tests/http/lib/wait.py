# SPDX-License-Identifier: Apache-2.0
"""Waiting for something to become true, instead of sleeping and hoping."""
import time

# Sanitizer builds on a busy machine are slow; nothing that works comes near this.
PATIENCE = 20.0


def wait_until(condition, what, timeout=PATIENCE, step=0.01):
    """The first true value that condition() gives; AssertionError after timeout seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain for: {what}")
        time.sleep(step)
