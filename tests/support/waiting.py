"""Waiting for what another process or thread brings about."""

import time


def until(holds, seconds=120):
    """Wait until `holds()` is true; a test that waits so long has failed."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
