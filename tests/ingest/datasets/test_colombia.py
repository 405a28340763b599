"""The real files: run where a mirror is given (DATA_MIRROR), skipped elsewhere."""

import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import params
from pipeline.ingest import stage
from pipeline.storage import paths, store

MIRROR = os.environ.get("DATA_MIRROR")
pytestmark = pytest.mark.skipif(not MIRROR, reason="DATA_MIRROR names no mirror of the Colombian files")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    staging = tmp_path_factory.mktemp("staging")
    return stage.ingest("colombia", params.load(), sources=paths.SOURCES, raw=Path(str(MIRROR)), staging=staging)


def test_every_record_of_every_source_is_accounted_for(done):
    rows_in = {name: staged.counts.rows_in for name, staged in done.items()}
    assert rows_in["cnmh_incidents"] == 9820
    assert rows_in["aicma_accidents"] == 6879
    assert rows_in["aicma_events"] == 36527
    assert rows_in["aicma_demining"] == 3129
    assert rows_in["landmine_magnetometer"] == 338
    for name, staged in done.items():
        counts = staged.counts
        assert counts.rows_in == counts.kept + counts.merged + counts.quarantined, name


def test_the_label_is_attack_by_map_or_aie(done):
    table = store.read_table(done["cnmh_incidents"].rows)
    label = pc.and_(pc.equal(table["event_type"], "explosion"), pc.is_in(table["hazard"], pa.array(["mine", "ied"])))
    assert pc.sum(label).as_py() == 5808
    assert Counter(store.read_table(done["cnmh_incidents"].quarantine)["rule"].to_pylist()) == {
        "excluded": 47,
        "missing_value": 37,
        "date": 1,
    }


def test_the_longitude_with_the_wrong_sign_is_refused_with_a_hint(done):
    (row,) = store.read_table(done["aicma_events"].quarantine).to_pylist()
    assert row["rule"] == "outside_theatre"
    assert "sign of the longitude looks flipped" in row["message"]
    assert "74.23416667" in row["row"]
