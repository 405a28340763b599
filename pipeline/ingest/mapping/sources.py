"""The sources of a dataset: their mappings, in an order in which gazetteers come before those who look places up."""

from collections.abc import Mapping as Lookup
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pipeline.ingest.mapping.mapping import Mapping, read_mapping
from pipeline.ingest.rules.borders import Border
from pipeline.ingest.rules.positions import Gazetteer
from pipeline.params import ANY_YEARS, Bounds, Measured, Years
from pipeline.params.declarations import nearest
from pipeline.runtime.errors import DeclarationError
from pipeline.storage.schemas import TableSpec, tables
from pipeline.storage.versions import latest


@dataclass(frozen=True)
class Source:
    """A mapping in its place: all that a record is mapped with."""

    name: str
    mapping: Mapping
    bounds: Bounds
    measured: Lookup[str, Measured]
    gazetteers: Lookup[str, Gazetteer]
    border: Border | None = None
    """What every position of a report must lie in; None where the theatre names none, and for places."""
    years: Years = ANY_YEARS
    """In which every date of a record must lie."""

    @cached_property
    def table(self) -> TableSpec:
        """The canonical table that the rows go to."""
        return tables(self.measured)[self.mapping.table]


def read_sources(names: list[str], folder: Path, *, measured: Lookup[str, Measured]) -> dict[str, Mapping]:
    """Read the mappings of a dataset, gazetteers first.

    Raises
    ------
    DeclarationError
        A mapping is missing or wrong, or names a gazetteer that is not a source of places of the dataset.
    """
    mappings: dict[str, Mapping] = {}
    for name in names:
        path = folder / f"{name}.yaml"
        if not path.is_file():
            known = sorted(other.stem for other in folder.glob("*.yaml"))
            raise DeclarationError(f"{path}: no such mapping{nearest(name, known)} (known: {', '.join(known)})")
        mappings[name] = read_mapping(path, measured=measured)
    gazetteers = [name for name, mapping in mappings.items() if mapping.table == "places" and not mapping.gazetteer]
    for name, mapping in mappings.items():
        if mapping.gazetteer and mapping.gazetteer not in gazetteers:
            raise DeclarationError(
                f"{folder / name}.yaml: position.place.source: {mapping.gazetteer!r} is not a gazetteer among the "
                f"dataset's sources{nearest(mapping.gazetteer, gazetteers)} (known: {', '.join(gazetteers) or 'none'})"
            )
    return dict(sorted(mappings.items(), key=lambda item: (item[1].gazetteer is not None, item[0])))


def as_gazetteer(places: pa.Table) -> Gazetteer:
    """Return the positions of places by the key of their record; of several versions the last."""
    places = latest(places)
    return Gazetteer(
        places.column("record_id").combine_chunks(),
        places.column("latitude_deg").to_numpy(),
        places.column("longitude_deg").to_numpy(),
    )
