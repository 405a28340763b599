"""``python -m pipeline.report --dataset NAME`` writes reports/NAME/metrics.json; ``--show`` prints what there is."""

from pathlib import Path

from pipeline import cli, store
from pipeline.paths import DatasetPaths
from pipeline.report import summary


def main() -> None:
    """Combine the stages' findings, or show them."""
    arguments = cli.parser("pipeline.report", "Combine what the stages found.", model=False)
    arguments.add_argument("--show", action="store_true", help="print the results and where they are; write nothing")
    given = arguments.parse_args()
    paths = DatasetPaths(given.dataset)
    evaluations = {
        folder.name: store.read_json(folder / "metrics.json")
        for folder in sorted(paths.evaluation("any").parent.glob("*/"))
    }
    if given.show:
        print(f"\n{summary.table(evaluations)}\n")
        print(_where(paths, "sensor_threat" if "sensor_threat" in evaluations else "area_risk"))
        return
    parity = {file.stem: store.read_json(file) for file in sorted(paths.parity("any").parent.glob("*.json"))}
    store.write_json(summary.combine(evaluations, parity, store.read_json(paths.ingested)), paths.metrics)


def _where(paths: DatasetPaths, model: str) -> str:
    scorer = Path(".venv/bin/threat-scorer")
    return (
        f"Results:  {paths.reports}/   Models: {paths.bundle}/   MLflow: make ui\n"
        f"Score:    {scorer} score --bundle {paths.bundle} --model {model} < detections.jsonl > scores.jsonl"
    )


cli.run(main)
