import dataclasses
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from support.reports_to_link import RULE, T0, incident, pairs

from pipeline import params
from pipeline.ingest import stage
from pipeline.ingest.linking import linkage
from pipeline.ingest.linking.decisions import Decisions
from pipeline.ingest.linking.merging import merge
from pipeline.simulate.write import write_theatre
from pipeline.storage import paths, records, store
from pipeline.storage.ingest_report import IngestReport


def test_two_reports_of_one_place_and_day_are_one_event_and_the_better_dated_comes_first():
    assert pairs(incident("a", 1), incident("b", 1, precision="minute", north_m=300)) == [("b:1", "a:1")]


@pytest.mark.parametrize(
    "different",
    [
        incident("a", 2),  # of the same source: its own record of its own event
        incident("b", 1, north_m=5000),
        incident("b", 1, days=3),
        incident("b", 1, event_type="hoax_false"),
        incident("b", 1, hazard="uxo"),
        incident("b", 1, superseded_at=T0),
        incident("b", 1, releasable_to=["C"]),
        incident("b", 1, precision="year"),
    ],
)
def test_reports_that_differ_too_much_or_may_not_meet_are_not_linked(different):
    assert pairs(incident("a", 1), different) == []


def test_a_marking_is_valid_in_both_directions():
    ours = incident("a", 1, releasable_to=["B"])
    assert pairs(ours, incident("b", 1)) == [("a:1", "b:1")]
    assert pairs(ours, incident("c", 1)) == []
    assert pairs(incident("c", 1), ours) == []


def test_each_report_has_one_partner_and_the_nearest_is_taken():
    rows = [incident("a", 1), incident("b", 1, north_m=200), incident("b", 2, north_m=-450)]
    assert pairs(*rows) == [("a:1", "b:1")]


def test_a_coincidence_among_many_is_no_link():
    """The same pair, alone and where the other source reports as much every day."""
    pair = [incident("a", 1), incident("b", 1, north_m=700)]
    crowd = [
        incident(
            "b",
            100 + 40 * day + spot,
            days=day - 10,
            north_m=500 * (spot - 20),
            longitude_deg=-74.0 + 0.004 * (spot % 7),
        )
        for day in range(20)
        for spot in range(40)
    ]
    assert pairs(*pair) == [("a:1", "b:1")]
    assert ("a:1", "b:1") not in pairs(*pair, *crowd)


@pytest.fixture(scope="module")
def theatre(tmp_path_factory):
    """Return the small simulated theatre, ingested by the stage: its incidents as they came, and its folder."""
    folder = tmp_path_factory.mktemp("theatre")
    settings = params.load()
    write_theatre(
        dataclasses.replace(settings.simulate, size="small"),
        settings.dataset("simulated"),
        raw=folder / "raw",
        truth=folder / "truth",
    )
    done = stage.ingest("simulated", settings, sources=paths.SOURCES, raw=folder / "raw", staging=folder / "staging")
    linking = stage.linking_of("simulated", settings, sources=paths.SOURCES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        measured = settings.measured("simulated")
        stage.write(done, paths.DatasetPaths("simulated"), measured=measured, linking=linking)
    parts = [store.read_table(staged.rows) for staged in done.values() if staged.counts.table == "incidents"]
    return pa.concat_tables(parts), folder, done


def skill(merged, separate, folder):
    """Return the precision and the recall of the pairs that share an incident.

    Recall is of the most pairs that any grouping gives in which all may be shown to each other's originators.
    """
    truth = store.read_table(folder / "truth/reports.parquet").to_pylist()
    # invented reports have no event: no two of them are of one
    event = {(row["raw_file"], row["record_id"]): row["event_id"] for row in truth if row["event_id"] is not None}
    marks, events, groups = {}, defaultdict(list), defaultdict(set)
    for row in separate.filter(pc.is_null(separate["superseded_at"])).to_pylist():
        report = (row["raw_file"], row["record_id"])
        marks[report] = linkage.mark_of(row)
        events[event.get(report, report)].append(report)
    for row in merged.to_pylist():
        if (row["raw_file"], row["record_id"]) in marks:
            groups[row["incident_id"]].add((row["raw_file"], row["record_id"]))
    linked = [pair for reports in groups.values() for pair in combinations(reports, 2)]
    right = [pair for pair in linked if pair[0] in event and event[pair[0]] == event.get(pair[1])]
    assert len(right) > 50
    return len(right) / len(linked), len(right) / sum(most_pairs(reports, marks) for reports in events.values())


def most_pairs(reports, marks):
    """Return the most pairs of reports, of different sources, that can be joined when no marking is crossed."""
    if len(reports) < 2:
        return 0
    first, *further = reports
    best = 0
    for size in range(len(further) + 1):
        for subset in combinations(further, size):
            group = [first, *subset]
            if all(a[0] != b[0] and linkage.may_share(marks[a], marks[b]) for a, b in combinations(group, 2)):
                left_over = [report for report in further if report not in subset]
                best = max(best, len(group) * size // 2 + most_pairs(left_over, marks))
    return best


def test_the_stage_links_precisely_and_completely_and_crosses_no_marking(theatre):
    separate, folder, _ = theatre
    merged = store.read_table(folder / "data/tables/simulated/incidents.parquet")
    precision, recall = skill(merged, separate, folder)
    assert precision >= 0.97
    assert recall >= 0.90
    sharing = defaultdict(dict)
    for row in merged.to_pylist():
        if "+" not in row["originator"]:  # a completed version carries the joint marking
            sharing[row["incident_id"]][row["source_id"]] = linkage.mark_of(row)
    assert all(linkage.may_share(*two) for marks in sharing.values() for two in combinations(marks.values(), 2))


def test_linkage_is_as_good_where_every_partner_releases_to_all(theatre):
    separate, folder, _ = theatre
    position, kind = separate.schema.get_field_index("releasable_to"), separate.schema.field("releasable_to")
    public = separate.set_column(position, kind, pa.array([["ALL"]] * separate.num_rows, kind.type))
    precision, recall = skill(merge(public, RULE, Decisions()).incidents, public, folder)
    assert precision >= 0.97
    assert recall >= 0.90


def test_linking_loses_no_record_and_its_table_gives_the_reason(theatre):
    separate, folder, done = theatre
    merged = store.read_table(folder / "data/tables/simulated/incidents.parquet")
    merges = store.read_table(folder / "data/tables/simulated/merges.parquet").to_pylist()
    counts = records.read(folder / "reports/simulated/ingest.json", IngestReport).linkage
    provenance = ["raw_file", "raw_row"]
    rows = [tuple(row.values()) for row in merged.select(provenance).to_pylist()]
    kept = [tuple(row.values()) for row in separate.select(provenance).to_pylist()]
    assert rows[: len(kept)] == kept
    assert len(rows) == len(kept) + counts.versions_completed
    assert len(kept) == sum(s.counts.kept for s in done.values() if s.counts.table == "incidents")
    assert len(merges) == counts.links
    ids = set(merged["incident_id"].to_pylist())
    for row in merges:
        assert row["incident_id"] in ids
        assert "apart" in row["reason"]
        assert row["simulated"]
        assert row["tlp"] in ("GREEN", "AMBER")
    standing = merged.filter(pc.is_null(merged["superseded_at"]))["incident_id"].to_pylist()
    assert len(standing) == len(set(standing))


def test_a_reviewer_undoes_a_link_by_a_file_and_both_reports_stand_again(theatre, tmp_path, monkeypatch):
    _, folder, done = theatre
    before = store.read_table(folder / "data/tables/simulated/merges.parquet").to_pylist()
    pair = [before[0]["report_id"], before[0]["other_id"]]
    (tmp_path / "links").mkdir()
    decided = {"never": [{"reports": pair, "because": "two devices on one road"}]}
    (tmp_path / "links/simulated.yaml").write_text(yaml.safe_dump(decided), encoding="utf-8")
    settings = params.load()
    linking = stage.linking_of("simulated", settings, sources=tmp_path)
    monkeypatch.chdir(tmp_path)
    where = paths.DatasetPaths("simulated")
    stage.write(done, where, measured=settings.measured("simulated"), linking=linking)
    after = store.read_table(where.tables / "merges.parquet").to_pylist()
    assert {(row["report_id"], row["other_id"]) for row in before} - {
        (row["report_id"], row["other_id"]) for row in after
    } == {tuple(pair)}
    standing = store.read_table(where.tables / "incidents.parquet")
    standing = standing.filter(pc.is_null(standing["superseded_at"]))["incident_id"].to_pylist()
    assert set(pair) <= set(standing)


def test_the_planted_faults_are_in_the_quarantine_and_nothing_else(theatre):
    _, folder, done = theatre
    suspect = store.read_table(Path(folder / "truth/faults.parquet")).to_pylist()
    files = {row["raw_file"] for row in suspect}  # the truth about detections lists no faults
    rejected = [row for staged in done.values() for row in store.read_table(staged.quarantine).to_pylist()]
    quarantined = {(row["raw_file"], row["raw_row"]) for row in rejected if row["raw_file"] in files}
    assert quarantined == {(row["raw_file"], row["raw_row"]) for row in suspect}
