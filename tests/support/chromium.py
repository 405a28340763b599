"""Debian's Chromium without a window, for tests of pages as a reviewer's browser shows them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PICTURES = os.environ.get("CIED_SCREENSHOTS")
"""Folder for the pictures of docs/review.md; where nobody asks, those that were taken are not kept."""
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")


def keep(picture: Path, folder: Path, name: str) -> Path:
    """Keep a picture in `PICTURES`, or else in a folder, small enough for git; return its file."""
    kept = Path(PICTURES or folder) / name
    Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(kept, optimize=True)
    return kept


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
