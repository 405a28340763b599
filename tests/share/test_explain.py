"""Whether a partner may have a row, a cell, a model or a bundle: the answer of the marking rule, in words."""

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import fit_records

from pipeline.model import cells
from pipeline.model.fit_record import write_fit
from pipeline.runtime.errors import StageError
from pipeline.share import __main__ as share
from pipeline.share import bundle_file, explain
from pipeline.storage.marking import Marking
from threat_scorer.bundle import archive, signed
from threat_scorer.bundle.dsse import Envelope
from threat_scorer.bundle.manifest import PAYLOAD_TYPE, Manifest, Release, write_time
from threat_scorer.marking import Marking as ReleaseMarking

PARTNERS = ("COMMAND", "MONITOR", "SURVEY")
CELL = "8566e093fffffff"  # holds 4.6 N, 74.1 W


def rows(*markings: tuple[str, list[str]], identifiers: list[str] | None = None) -> pa.Table:
    """Return incidents in `CELL`, each with an originator and the partners that it is released to."""
    number = range(len(markings))
    ids = identifiers or [f"i{n}" for n in number]
    return pa.table(
        {
            "incident_id": pa.array(ids, pa.string()),
            "source_id": pa.array([f"reports_of_{owner.lower()}" for owner, _ in markings], pa.string()),
            "record_id": pa.array([f"r{n}" for n in number], pa.string()),
            "latitude_deg": pa.array([4.6 for _ in number], pa.float64()),
            "longitude_deg": pa.array([-74.1 for _ in number], pa.float64()),
            "originator": pa.array([owner for owner, _ in markings], pa.string()),
            "releasable_to": pa.array([to for _, to in markings], pa.list_(pa.string())),
            "tlp": pa.array(["AMBER" for _ in number], pa.string()),
        }
    )


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a dataset in the working folder: a row of COMMAND, two versions of one of MONITOR."""
    monkeypatch.chdir(tmp_path)
    Path("data/tables/d").mkdir(parents=True)
    table = rows(
        ("COMMAND", ["SURVEY"]), ("MONITOR", ["ALL"]), ("MONITOR", ["COMMAND"]), identifiers=["c1", "m1", "m1"]
    )
    pq.write_table(table, "data/tables/d/incidents.parquet")
    return "d"


def ask(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["share", "explain", *arguments])
    with pytest.raises(SystemExit) as ended:
        share.main()
    return int(ended.value.code or 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(PARTNERS), st.lists(st.sampled_from((*PARTNERS, "ALL")), unique=True)), max_size=6
    ),
    st.sampled_from((*PARTNERS, "NOBODY")),
)
def test_the_answer_is_the_definition_row_by_row(markings: list[tuple[str, list[str]]], partner: str) -> None:
    answer = explain.of_rows(rows(*markings), partner)
    allowed = [partner == owner or partner in to or "ALL" in to for owner, to in markings]
    assert answer.allowed == all(allowed)
    if not all(allowed):
        assert answer.reasons[0] == f"it may not have {allowed.count(False)} of the {len(allowed)} rows behind it:"


def test_an_empty_list_reaches_the_originator_alone() -> None:
    marking = Marking("COMMAND", (), "RED")
    assert [partner for partner in PARTNERS if explain.of_marking(marking, partner).allowed] == ["COMMAND"]


def test_every_version_of_a_row_counts(dataset: str) -> None:
    assert explain.of_row(dataset, "incidents", "m1", "COMMAND").allowed
    refused = explain.of_row(dataset, "incidents", "m1", "SURVEY")
    assert refused.lines("row m1") == [
        "SURVEY may not have row m1",
        "  it may not have 1 of the 2 rows behind it:",
        "  1 of reports_of_monitor are not released to it: TLP:AMBER, releasable to COMMAND, MONITOR, from MONITOR",
    ]
    assert explain.of_row(dataset, "incidents", "r0", "COMMAND").allowed, "a partner knows its own key of the record"


def test_a_cell_is_for_those_that_may_have_every_row_in_it(dataset: str) -> None:
    assert explain.of_cell(dataset, CELL, "COMMAND").allowed
    assert not explain.of_cell(dataset, CELL, "MONITOR").allowed
    (elsewhere,) = cells.names(cells.locate(*([[value]] for value in (10.0, 10.0)), resolution=5))
    assert explain.of_cell(dataset, elsewhere, "MONITOR").reasons == ("no row is behind it",)


def test_a_model_is_for_those_that_its_record_names(dataset: str) -> None:
    Path("models/d/sensor_threat").mkdir(parents=True)
    pq.write_table(
        rows(("COMMAND", [])).rename_columns(["detection_id", *rows().column_names[1:]]),
        "data/tables/d/detections.parquet",
    )
    record = fit_records.sensor_fit(marking=Marking("COMMAND", ("COMMAND",), "RED"))
    write_fit(record, Path("models/d/sensor_threat/fit.json"))
    assert explain.of_model(dataset, "sensor_threat", "COMMAND").allowed
    refused = explain.of_model(dataset, "sensor_threat", "SURVEY")
    assert not refused.allowed
    assert refused.reasons[-1].startswith("1 of reports_of_command are not released to it")


def test_a_bundle_is_for_those_that_the_signer_named(tmp_path: Path) -> None:
    release = Release(
        name="d",
        version="1.0.0",
        counter=1,
        dataset="d",
        simulated=True,
        not_before=write_time(datetime(2026, 1, 1, tzinfo=UTC)),
        expires=write_time(datetime(2027, 1, 1, tzinfo=UTC)),
        recipients=("SURVEY",),
        marking=ReleaseMarking("COMMAND", ("COMMAND", "SURVEY"), "AMBER"),
        prior=None,
    )
    manifest = Manifest(release, {"sensor_threat.onnx": "0" * 64})
    file = io.BytesIO()
    archive.write(file, {signed.MANIFEST: Envelope(PAYLOAD_TYPE, manifest.to_json(), ()).to_json()})
    (tmp_path / "d.bundle").write_bytes(file.getvalue())
    assert bundle_file.release_of(tmp_path / "d.bundle") == release
    assert explain.of_release(release, "SURVEY").allowed
    assert explain.of_release(release, "COMMAND").reasons == (
        "released to it: TLP:AMBER, releasable to COMMAND, SURVEY, from COMMAND",
        "the signer addressed it to SURVEY, until 2027-01-01T00:00:00Z",
    )
    assert not explain.of_release(release, "COMMAND").allowed
    for content in (b"", b"PK\x03\x04", b"x" * 2000):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(StageError, match="other: "):
            bundle_file.release_of(tmp_path / "other")


def test_the_command_answers_for_every_partner_and_its_status_says_whether_all_may(
    dataset: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(monkeypatch, "row", "incidents", "c1", "--dataset", dataset) == 1
    printed = capsys.readouterr().out.splitlines()
    heads = [line for line in printed if not line.startswith(" ")]
    assert heads == [
        "COMMAND may have row c1 of incidents",
        "MONITOR may not have row c1 of incidents",
        "SURVEY may have row c1 of incidents",
    ]
    assert ask(monkeypatch, "row", "incidents", "c1", "--dataset", dataset, "--for", "SURVEY") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["row", "incidents", "c1", "--for", "SURVY"], r"got 'SURVY'; did you mean 'SURVEY'\?; expected one that"),
        (["row", "incident", "c1", "--for", "SURVEY"], r"got 'incident'; did you mean 'incidents'"),
        (["row", "incidents", "c2", "--for", "SURVEY"], r"no row has incident_id or record_id 'c2'"),
        (["cell", "85", "--for", "SURVEY"], r"cell: got '85'; expected a cell as H3 writes it"),
        (["model", "area_risk_28d", "--for", "SURVEY"], r"fit\.json: no such file; run `make DATASET=d` first"),
        (["bundle", "nothing.bundle"], r"nothing\.bundle: cannot be read"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest_name(
    dataset: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["share", "explain", *arguments, "--dataset", dataset])
    with pytest.raises(StageError, match=message):
        share.main()
