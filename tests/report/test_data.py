"""The page's part on the data: how fresh it was, how far it has shifted, and where a model was measured on it."""

import dataclasses
from datetime import UTC as UTC_ZONE
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from support.made_features import feature

from pipeline.report import drift, facts, freshness, render
from pipeline.report.drift import Split
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.schemas import UTC


def moments(*days: str) -> pa.Array:
    return pa.array(np.array(days, "datetime64[us]"), UTC)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = pa.table(
        {
            "source_id": ["a", "a", "a", "b", "a"],
            "record_id": ["1", "1", "2", "1", "3"],
            "occurred_at": moments("2022-01-01", "2022-01-01", "2022-01-05", "2022-01-02", "2022-01-09"),
            "available_at": moments("2022-01-03", "2022-01-08", "2022-01-06", "2022-01-02", "2022-01-11"),
            "superseded_at": pa.array([datetime(2022, 1, 8, tzinfo=UTC_ZONE), None, None, None, None], UTC),
        }
    )
    file = DatasetPaths("made").tables / "incidents.parquet"
    store.write_table(rows, file, schema=rows.schema, sort_by=("source_id", "available_at"))
    return "made"


def test_freshness_counts_a_record_once_and_its_delay_to_the_first_report(tables) -> None:
    a, b = freshness.freshness(tables, np.datetime64("2022-01-10", "us"))
    assert (a.source, a.table, a.records, a.newest_occurred) == ("a", "incidents", 2, "2022-01-05")
    assert (a.newest_available, a.silent_days) == ("2022-01-08", 2.0)  # the correction
    assert (a.median_delay_days, a.high_delay_days) == (1.5, 1.9)  # of 2 days and of 1
    assert (b.records, b.median_delay_days, b.silent_days) == (1, 0.0, 8.0)


def test_rows_known_after_the_cutoff_change_no_freshness(tables) -> None:
    before = freshness.freshness(tables, np.datetime64("2022-01-10", "us"))
    after = freshness.freshness(tables, freshness.newest(tables))
    assert freshness.newest(tables) == np.datetime64("2022-01-11", "us")
    assert [source.records for source in before] == [2, 1]
    assert [source.records for source in after] == [3, 1]


def test_the_shifted_feature_of_a_group_is_named_with_the_rows_that_were_held_out() -> None:
    rng = np.random.default_rng(3)
    group = np.repeat(["x", "y", "z"], 1000)
    moved = rng.normal(size=3000) + np.where(group == "y", 1.0, 0.0)
    rows = pa.table(
        {
            "tip_log1p_decay14d_ring0": rng.normal(size=3000).astype(np.float32),
            "tip_log1p_decay14d_ring1": moved.astype(np.float32),
            "height": rng.normal(size=3000).astype(np.float32),
        }
    )
    features = [feature(name, group=name.split("_")[0]) for name in rows.column_names]
    first, second = drift.drift(rows, features, drift.by_group(group))
    assert (first.group, first.feature, first.split) == ("tip", "tip_log1p_decay14d_ring1", "y")
    assert (first.train, first.held_out) == (2000, 1000)
    assert first.index > 0.25 > 0.1 > second.index
    assert second.by_chance == pytest.approx(9 * (1 / 2000 + 1 / 1000))


def test_missing_values_are_a_shift_too_and_an_empty_feature_is_none() -> None:
    full, half = np.ones(200, np.float32), np.repeat(np.float32([1, np.nan]), 100)
    assert drift.stability_index(full, half)[0] > 1
    assert drift.stability_index(full * np.nan, full * np.nan)[0] == 0


def test_the_rows_of_the_last_origin_are_compared_with_those_whose_labels_had_ended() -> None:
    days = ["2022-01-01", "2022-01-15", "2022-02-01", "2022-02-15", "2022-03-01"]
    held_out = pa.table({"cutoff": moments(*days[2:]), "fold": ["2022-01-20", "2022-02-10", "2022-02-10"]})
    (split,) = drift.after_the_last_origin(np.array(days, "datetime64[us]"), held_out, horizon_days=14, zone="UTC")
    expected = Split("2022-02-10", np.array([True, True, False, False, False]), np.array([0, 0, 0, 1, 1], bool))
    assert split.name == expected.name
    assert (split.train.tolist(), split.held_out.tolist()) == (expected.train.tolist(), expected.held_out.tolist())


def test_one_group_has_nothing_to_compare_with() -> None:
    assert drift.by_group(np.array(["x", "x"])) == []


def test_parts_of_the_rows_stand_under_their_headings() -> None:
    part = facts.Part("theatre", 10, 1, "base_rate", {"value": 0.0, "low": 0.0, "high": 0.0}, (), None)
    names = ["28d, cells with history", "28d, origin 2022-01-01", "28d, region north east", "28d, region south east"]
    headed = render.grouped(dataclasses.replace(part, name=name) for name in names)
    assert [heading.split(":")[0] for heading in headed] == ["By region", "By time", render.OTHER]
    assert [[part.name for part in parts] for parts in headed.values()] == [names[2:], names[1:2], names[:1]]
