"""Assignments such as ``READY=1`` -> systemd's notification socket (sd_notify(3)); nowhere where there is none."""

import contextlib
import os
import socket


def notify(*assignments: str) -> bool:
    """Send assignments such as ``READY=1``; return False where no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.settimeout(1.0)
        notifications.connect("\0" + address[1:] if address.startswith("@") else address)
        notifications.send("\n".join(assignments).encode())
        return True
    return False


def watchdog_s() -> float | None:
    """Return the seconds without ``WATCHDOG=1`` after which systemd restarts this process; None where it does not."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(usec) / 1e6 if usec.isdigit() and int(usec) and pid == str(os.getpid()) else None
