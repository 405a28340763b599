"""Why a bundle or a trust file is not used: one word for programs, one line for people."""

from typing import Literal

from threat_scorer.bundle.folder import BundleError

Reason = Literal[
    "malformed",
    "unsigned",
    "altered",
    "unknown-key",
    "revoked-key",
    "not-yet-valid",
    "expired",
    "not-for-us",
    "older",
    "failed-test",
    "nothing-installed",
]


class Refused(BundleError):
    """A file that is not loaded; the message says what, where, got and expected.

    Attributes
    ----------
    reason : str
        One of `Reason`.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"refused ({reason}): {message}")
        self.reason = reason
