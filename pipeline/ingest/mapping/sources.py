"""Names of a dataset's sources -> their mappings, gazetteers before the mappings that look places up in them."""

from collections.abc import Collection
from pathlib import Path

from pipeline.ingest.mapping.mapping import Mapping, read_mapping
from pipeline.params.names import nearest
from pipeline.runtime.errors import DeclarationError


def read_sources(names: list[str], folder: Path, *, measured: Collection[str]) -> dict[str, Mapping]:
    """Read the mappings of a dataset, gazetteers first.

    Parameters
    ----------
    names
        The dataset's sources.
    folder
        Of the mappings.
    measured
        The measured columns of the dataset's detections (`Params.measured`).

    Raises
    ------
    DeclarationError
        A mapping is missing or wrong, or names a gazetteer that is not a source of places of the dataset.
    """
    mappings: dict[str, Mapping] = {}
    for name in names:
        path = folder / f"{name}.yaml"
        if not path.is_file():
            known = sorted(file.stem for file in folder.glob("*.yaml"))
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
