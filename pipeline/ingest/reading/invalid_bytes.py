"""Bytes that are invalid in a file's encoding <-> private characters, so that nothing is lost.

Arrow and JSON hold valid Unicode only. A byte 0x80 to 0xFF that does not decode becomes U+10FF80 to U+10FFFF. Ingest
rejects a row with such a cell. The quarantine keeps the byte as Python's `surrogateescape` does, U+DC80 to U+DCFF.
"""

_PRIVATE = 0x10FF00
_SURROGATE = 0xDC00
_TO_SURROGATE = {_PRIVATE + byte: _SURROGATE + byte for byte in range(0x80, 0x100)}
_TO_PRIVATE = {surrogate: private for private, surrogate in _TO_SURROGATE.items()}

PATTERN = "[\\x{10FF80}-\\x{10FFFF}]"
"""RE2 pattern that finds an invalid byte."""


def to_utf8(text: str) -> bytes:
    """Encode text that was decoded with `surrogateescape`."""
    return from_surrogates(text).encode("utf-8")


def to_surrogates(text: str) -> str:
    """Return text with each invalid byte as a lone surrogate."""
    return text.translate(_TO_SURROGATE)


def from_surrogates(text: str) -> str:
    r"""Return text with each invalid byte as a private character again.

    Examples
    --------
    >>> stray = "caf" + chr(0x10FFE9)
    >>> to_surrogates(stray).encode("utf-8", "surrogateescape"), from_surrogates(to_surrogates(stray)) == stray
    (b'caf\xe9', True)
    """
    return text.translate(_TO_PRIVATE)
