"""The sensor model: groups held out whole, unknown outcomes, missing modalities."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from train.small_fits import COLUMNS, SENSOR, groups_of, made

from pipeline.model.fitted import Columns
from pipeline.runtime.errors import StageError
from pipeline.train import sensor_threat
from threat_scorer.scoring.features import assemble

MEASURED = ["voltage", "height", "emi_in_phase", "emi_quadrature"]
EMI = {"emi": ["emi_in_phase", "emi_quadrature"]}


def sensor_table(rows: int = 240) -> tuple[pa.Table, Columns]:
    """Return alarms as `features` writes them, a tenth of unknown outcome; half the hazards show in EMI alone."""
    random = np.random.default_rng(5)
    outcome = random.random(rows) < 0.5
    voltage = np.clip(random.normal(0.4 + 0.1 * outcome, 0.1), 0, 1)
    in_phase = random.normal(outcome.astype(float), 0.3)
    inputs = {"voltage": voltage, "height": random.random(rows), "emi_in_phase": in_phase, "emi_quadrature": -in_phase}
    names, matrix = assemble("sensor_threat", inputs)
    table = pa.table(
        {
            "detection_id": [f"d{n:03d}" for n in range(rows)],
            "group_id": groups_of(6, rows).tolist(),
            "label": pa.array([None if n % 10 == 0 else int(outcome[n]) for n in range(rows)], pa.int8()),
            **{name: matrix[:, j] for j, name in enumerate(names)},
        }
    )
    return table, Columns(names, tuple(name for name in names if not name.startswith("emi")))


def test_a_held_out_group_changes_nothing_of_what_scores_it() -> None:
    matrix, outcome = made(360)
    groups = groups_of(6, 360)
    as_seen = {"log_odds": matrix}
    _, found = sensor_threat.held_out(matrix, outcome, groups, COLUMNS, SENSOR, as_seen=as_seen)
    held = groups == "soil 2"
    changed = np.where(held, ~outcome, outcome)
    fold, other = sensor_threat.held_out(matrix, changed, groups, COLUMNS, SENSOR, as_seen=as_seen)
    before, after = found["log_odds"], other["log_odds"]
    np.testing.assert_array_equal(before[held], after[held])
    assert not np.array_equal(before[~held], after[~held])
    assert set(np.array(fold)[held]) == {"soil 2"}


def test_folds_hold_out_every_group_once_and_whole() -> None:
    matrix, outcome = made(600)
    groups = groups_of(20, 600)
    fold, scored = sensor_threat.held_out(matrix, outcome, groups, COLUMNS, SENSOR, as_seen={"log_odds": matrix})
    assert len(set(fold)) == 6
    assert len(set(zip(fold, groups.tolist(), strict=True))) == 20
    assert np.isfinite(scored["log_odds"]).all()


def test_one_group_is_refused() -> None:
    matrix, outcome = made(50)
    with pytest.raises(StageError, match="at least two"):
        sensor_threat.fit(matrix, outcome, groups_of(1, 50), COLUMNS, SENSOR)


def test_alarms_of_unknown_outcome_are_not_learned_from() -> None:
    table, columns = sensor_table()
    fit, held_out = sensor_threat.train(table, columns, SENSOR, measured=MEASURED, optional={})
    assert fit.rows == held_out.num_rows == 216
    assert held_out.schema.equals(sensor_threat.HELD_OUT)


def test_a_row_scored_without_a_modality_shows_nothing_of_it() -> None:
    table, columns = sensor_table()
    _, held_out = sensor_threat.train(table, columns, SENSOR, measured=MEASURED, optional=EMI)
    blind = held_out["log_odds_without_emi"].to_numpy()
    hazard = held_out["label"].to_numpy() == 1
    assert roc_auc_score(hazard, blind) < roc_auc_score(hazard, held_out["log_odds"].to_numpy())
    # rows that differ only in EMI are one row to a sensor without it
    place = table.column_names.index("voltage")
    same = table.set_column(place, "voltage", pa.array(np.full(table.num_rows, 0.4, np.float32)))
    same = same.set_column(place + 1, "height", pa.array(np.full(table.num_rows, 0.5, np.float32)))
    alike = sensor_threat._without(EMI["emi"], same, MEASURED)
    np.testing.assert_array_equal(alike, np.broadcast_to(alike[0], alike.shape))


def test_the_random_split_ignores_groups_and_keeps_the_share_of_hazards() -> None:
    outcome = np.arange(600) % 4 == 0
    groups = sensor_threat._at_random(outcome, 6, 7)
    assert [outcome[groups == group].sum() for group in np.unique(groups)] == [25] * 6
    assert len(set(zip(groups.tolist(), groups_of(6, 600).tolist(), strict=True))) == 36
