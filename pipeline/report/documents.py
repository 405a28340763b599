"""``python -m pipeline.report documents [DATASET ...]``: reports, catalogues -> docs/results.md, docs/features.md."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline import params
from pipeline.model.catalogue import Catalogue, Feature
from pipeline.model.skill_records import Metrics, metrics_of
from pipeline.report import feature_page, results
from pipeline.runtime.errors import StageError
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from threat_scorer.scoring.kinds import kind_of


def write(words: Sequence[str]) -> None:
    """Write both pages from the stages' files of the named datasets, or of all.

    Raises
    ------
    StageError
        A dataset has not been run: its results would be missing from the page.
    """
    declared = params.load()
    arguments = argparse.ArgumentParser(prog="python -m pipeline.report documents", description=__doc__)
    arguments.add_argument("datasets", nargs="*", help="entries of `datasets` in params.yaml; without any, all")
    arguments.add_argument("--out", type=Path, default=Path("docs"), help="folder; without it, docs")
    given = arguments.parse_args(words)
    datasets = given.datasets or list(declared.datasets)
    entries = {dataset: declared.dataset(dataset).models for dataset in datasets}
    evaluations = {
        dataset: {model: _metrics(DatasetPaths(dataset).evaluation(model) / "metrics.json") for model in models}
        for dataset, models in entries.items()
    }
    catalogues: dict[str, dict[str, dict[str, Feature]]] = {}
    for dataset, models in entries.items():
        for model in models:
            of_kind = catalogues.setdefault(kind_of(model), {}).setdefault(dataset, {})
            catalogue = Catalogue.read(_existing(DatasetPaths(dataset).catalogue(model)))
            of_kind |= {feature.name: feature for feature in catalogue.features}
    store.write_bytes(results.results(evaluations).encode(), given.out / "results.md")
    store.write_bytes(feature_page.features(catalogues).encode(), given.out / "features.md")
    print(f"{given.out / 'results.md'} and {given.out / 'features.md'}: {', '.join(datasets)}")


def _metrics(path: Path) -> Metrics:
    return metrics_of(store.read_json(_existing(path)), where=str(path))


def _existing(path: Path) -> Path:
    if not path.exists():
        dataset = path.parts[1] if path.parts[0] == "reports" else path.parts[2]
        raise StageError(f"{path}: no such file; expected what `make DATASET={dataset}` leaves; run it first")
    return path
