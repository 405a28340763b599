"""The errors that the scorer raises for its callers: of a bundle, a record, a score or a configuration."""

from typing import Literal

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


class BundleError(Exception):
    """A bundle that cannot be used; the message names what, where, got and expected."""


class Refused(BundleError):
    """A bundle or a trust file that the device refuses: one word for programs, one line for people.

    Attributes
    ----------
    reason : str
        One of `Reason`.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"refused ({reason}): {message}")
        self.reason = reason


class RecordError(ValueError):
    """A record that cannot be scored; the message names the key, what was got and expected."""


class ScoringError(RuntimeError):
    """A model gave something that is no probability: the model or the device is broken."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, what was got and expected."""
