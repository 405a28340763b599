"""Lines that hold no record: every input of JSON Lines passes over them, as `threat-scorer score` does."""

from threat_scorer.scoring.lines import TooLong


def is_blank(line: bytes | TooLong) -> bool:
    r"""Return whether a line holds nothing but white space.

    Examples
    --------
    >>> is_blank(b" \r"), is_blank(b"{}"), is_blank(TooLong())
    (True, False, False)
    """
    return isinstance(line, bytes) and not line.strip()
