"""A source and its file -> the digest of its staging folder's inputs: after a change, ingest reads again."""

import hashlib
from pathlib import Path

from pipeline.ingest.rules.source import Source
from pipeline.runtime import code_closure
from pipeline.storage import store

STAGING = "pipeline.ingest.staging"
"""The module that fills a staging folder; with all that it imports, it is an input too."""


def input_digest(source: Source, path: Path) -> str:
    """Return the digest of the file at `path`, the mapping, the dataset's settings, gazetteer, border and code."""
    settings = (source.name, source.mapping, source.bounds, source.years, dict(source.measured))
    state = hashlib.sha256(repr(settings).encode())
    if source.border is not None:
        state.update(source.border.digest.encode())
    for name, gazetteer in sorted(source.gazetteers.items()):
        if name == source.mapping.gazetteer:
            state.update(repr(gazetteer.codes.to_pylist()).encode())
            state.update(gazetteer.latitude_deg.tobytes() + gazetteer.longitude_deg.tobytes())
    state.update(code_closure.digest(STAGING).encode())
    if path.is_file():
        state.update(store.digest(path).encode())
    return f"sha256:{state.hexdigest()}"
