"""Words to systemd over its notification socket (sd_notify(3)); outside of systemd they go nowhere."""

import contextlib
import os
import socket


def notify(*words: str) -> bool:
    """Send assignments such as ``READY=1``; return False where no one listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.settimeout(1.0)
        there.connect("\0" + address[1:] if address.startswith("@") else address)
        there.send("\n".join(words).encode())
        return True
    return False


def watchdog_s() -> float | None:
    """Return after how many seconds without ``WATCHDOG=1`` systemd restarts this process; None where it does not."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(usec) / 1e6 if usec.isdigit() and int(usec) and pid == str(os.getpid()) else None
