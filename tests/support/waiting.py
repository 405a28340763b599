"""Waiting for what another process or thread brings about."""

import time


def until(condition, seconds=120):
    """Wait until `condition()` is true; a test that waits so long has failed."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
