"""``python -m pipeline.report --dataset NAME`` writes metrics, page and cards; ``--show`` prints the results.

``python -m pipeline.report documents`` writes the results and features of all datasets into docs/.
"""

import sys
from pathlib import Path

from pipeline import params
from pipeline.model.parity_report import ParityReport
from pipeline.model.skill_records import read_metrics
from pipeline.report import documents, facts, render, summary
from pipeline.runtime import cli
from pipeline.storage import records, store
from pipeline.storage.ingest_report import IngestReport
from pipeline.storage.paths import DatasetPaths


def main() -> None:
    """Combine the stages' results, or show them."""
    if sys.argv[1:2] == ["documents"]:
        documents.write(sys.argv[2:])
        return
    arguments = cli.parser("pipeline.report", "Combine what the stages found.", model=False)
    arguments.add_argument("--show", action="store_true", help="print the results and where they are; write nothing")
    given = arguments.parse_args()
    paths = DatasetPaths(given.dataset)
    declared = params.load()
    models = declared.dataset(given.dataset).models
    evaluations = {model: read_metrics(paths.evaluation(model) / "metrics.json") for model in models}
    if given.show:
        print(f"\n{summary.table(evaluations)}\n")
        print(_next_steps(paths, "sensor_threat" if "sensor_threat" in evaluations else next(iter(evaluations))))
        return
    parity = {model: records.read(paths.parity(model), ParityReport) for model in models}
    store.write_json(summary.combine(evaluations, parity, records.read(paths.ingested, IngestReport)), paths.metrics)
    gathered = facts.gather(given.dataset, declared)
    for model in gathered.models:
        store.write_bytes(render.card(gathered, model).encode(), paths.card(model.evidence.model))
    store.write_bytes(render.page(gathered).encode(), paths.page)
    print(f"reviewers' page: {paths.page}")
    # MLflow is a log beside the files, and slow to import: nothing above needs it
    from pipeline import tracking

    tracking.record_pipeline(given.dataset)


def _next_steps(paths: DatasetPaths, model: str) -> str:
    scorer = Path(".venv/bin/threat-scorer")
    return (
        f"Results:  {paths.page}   Models: {paths.bundle}/   MLflow: make ui\n"
        f"Score:    {scorer} score --bundle {paths.bundle} --model {model} < detections.jsonl > scores.jsonl"
    )


if __name__ == "__main__":
    cli.run(main)
