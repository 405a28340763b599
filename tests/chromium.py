"""Debian's Chromium without a window, for tests of pages as a reviewer's browser shows them."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")


def run(address: str, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open an address; it reaches no other machine.

    Parameters
    ----------
    profile
        Folder of what the browser remembers.
    options
        What to do with the page, ``--dump-dom`` for one.
    """
    alone = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # Chromium's own curiosity ends here
        f"--user-data-dir={profile}",
    ]
    command = [str(CHROMIUM), *alone, *options, address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
