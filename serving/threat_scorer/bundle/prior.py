"""The area prior of a bundle: log-odds of a hazard event in each H3 cell, looked up in memory-mapped arrays."""

import mmap
from dataclasses import dataclass
from operator import index
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from threat_scorer.bundle.archive import Member
from threat_scorer.bundle.manifest import PriorTerms
from threat_scorer.errors import RecordError

CELLS, LOG_ODDS = "prior_cells.u64", "prior_log_odds.f32"
"""Members of a bundle: H3 cells as little-endian uint64, rising; and for each its log-odds as little-endian float32."""


class PriorError(ValueError):
    """Arrays that are no prior."""


@dataclass(frozen=True)
class Prior:
    """The prior of one bundle."""

    terms: PriorTerms
    cells: npt.NDArray[np.uint64]
    """(cells,) rising."""
    log_odds: npt.NDArray[np.float32]
    """(cells,)"""

    def __post_init__(self) -> None:
        """Raise `PriorError` unless the arrays fit each other and can be searched."""
        if len(self.cells) != len(self.log_odds) or not len(self.cells):
            raise PriorError(f"prior: {len(self.cells)} cells, {len(self.log_odds)} log-odds; expected as many, over 0")
        if not (self.cells[1:] > self.cells[:-1]).all():
            raise PriorError("prior: its cells do not rise")
        if not np.isfinite(self.log_odds).all():
            raise PriorError("prior: log-odds that are not finite")

    @classmethod
    def mapped(cls, file: BinaryIO, cells: Member, log_odds: Member, terms: PriorTerms) -> "Prior":
        """Map the two members of an open bundle into memory; a look-up reads only the pages that it needs.

        Parameters
        ----------
        file
            The bundle, open.
        cells, log_odds
            Positions of the two members in it.
        terms
            From the bundle's manifest.

        Raises
        ------
        PriorError
            They are no prior.
        """
        if cells.size % 8 or log_odds.size % 4:
            raise PriorError(f"prior: members of {cells.size} and {log_odds.size} bytes; expected multiples of 8 and 4")
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(
            terms,
            np.frombuffer(pages, "<u8", cells.size // 8, cells.offset),
            np.frombuffer(pages, "<f4", log_odds.size // 4, log_odds.offset),
        )

    def at(self, cell: int | str) -> float | None:
        """Return the log-odds of an H3 cell; None where it is not in the prior.

        The cell is a number, or H3's hexadecimal text.

        Raises
        ------
        RecordError
            Neither hexadecimal text nor an integer, or not of 64 bits.

        Examples
        --------
        >>> terms = PriorTerms("2026-01-01T00:00:00Z", "2026-01-29T00:00:00Z", 5)
        >>> prior = Prior(terms, np.array([599686042433355775], np.uint64), np.array([-2.0], np.float32))
        >>> prior.at("85283473fffffff"), prior.at("8528347bfffffff")
        (-2.0, None)
        """
        number = _number(cell)
        place = int(np.searchsorted(self.cells, number))
        if place == len(self.cells) or self.cells[place] != number:
            return None
        return float(self.log_odds[place])


def _number(cell: int | str) -> np.uint64:
    try:
        number = int(cell, 16) if isinstance(cell, str) else index(cell)
        return np.uint64(number)
    except (ValueError, OverflowError, TypeError):
        raise RecordError(f"cell: got {repr(cell)[:80]}; expected an H3 cell as 85283473fffffff") from None
