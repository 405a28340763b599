"""``python -m pipeline.tune --dataset NAME --model NAME``: data/tables -> reports/<dataset>/tuning/<model>.csv."""

import dataclasses

from pipeline import params
from pipeline.params.declarations import declare
from pipeline.runtime import cli
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from pipeline.tune import search, summary, training_period, trials


def main() -> None:
    """Search, store each try, and print the result; params.yaml stays as it is."""
    parser = cli.parser("pipeline.tune", "Search for better values of `train`, inside the training period.", model=True)
    parser.add_argument("--trials", type=int, help="candidates besides the present values; default: tune.trials")
    parser.add_argument("--seed", type=int, help="another one draws others; default: tune.seed")
    given = parser.parse_args()
    paths, declared = DatasetPaths(given.dataset), params.load()
    overrides = {name: value for name in ("trials", "seed") if (value := getattr(given, name)) is not None}
    tune = declare({**dataclasses.asdict(declared.tune), **overrides}, params.Tune, where="the search")
    rows = training_period.read(declared, paths, given.model, retrain_periods=tune.retrain_periods)
    evaluate, digest = declared.evaluate, rows.digest()
    file = paths.tuning(given.model)
    memory = file.with_suffix(".parquet")
    stored, scores = trials.read(memory), []
    candidates = search.candidates(
        declared.train.area_risk[given.model], tune.area_risk, trials=tune.trials, seed=tune.seed
    )
    for trial, candidate in enumerate(candidates):
        key = trials.key(digest, candidate)
        if key not in stored:
            stored[key] = search.score(rows, candidate, bins=evaluate.calibration_bins)
            trials.add(memory, key, candidate, stored[key])
            print(f"trial {trial} of {tune.trials}: log-loss {stored[key].log_loss:.6f}", flush=True)
        scores.append(stored[key])
    searched = list(tune.area_risk)
    result = summary.table(candidates, scores, searched, evaluate)
    store.write_csv(result, file)
    for line in summary.lines(result, searched, rows.task, dataset=given.dataset, model=given.model):
        print(line)


if __name__ == "__main__":
    cli.run(main)
