"""Linked reports as versions of one event, worked by hand."""

from datetime import timedelta

import pytest
import yaml
from support.reports_to_link import RULE, T0, incident, pairs, table_of

from pipeline.ingest.linking import decisions
from pipeline.ingest.linking.decisions import Decision, Decisions
from pipeline.ingest.linking.linkage import mark_of
from pipeline.ingest.linking.merging import merge
from pipeline.runtime.errors import DeclarationError
from pipeline.storage.ingest_report import LinkageCounts

A, B, C = (incident(name, 1, north_m=100 * number) for number, name in enumerate("abc"))


def at(day):
    return T0 + timedelta(days=day)


def merged(*rows, never=(), always=()):
    decided = Decisions(
        never=[Decision(list(p), "seen") for p in never], always=[Decision(list(p), "seen") for p in always]
    )
    return merge(table_of(*rows), RULE, decided)


def known(result, day):
    """Return what is known on a day: event, its originator, victims."""
    return [
        (row["incident_id"], row["source_id"], row["victim_count"])
        for row in result.incidents.to_pylist()
        if row["available_at"] <= at(day) and (row["superseded_at"] is None or row["superseded_at"] > at(day))
    ]


def test_an_event_of_two_reports_is_counted_twice_until_both_are_known_and_then_once_by_the_better():
    early = {**A, "available_at": at(3), "location_precision_m": 500.0}
    late = {**B, "available_at": at(10), "location_precision_m": 100.0}
    result = merged(early, late)
    assert known(result, 5) == [("a:1", "a", None)]
    assert known(result, 10) == [("a:1", "b", None)]
    assert result.incidents.num_rows == 2
    (row,) = result.merges.to_pylist()
    assert (row["incident_id"], row["known_from"], row["originator"]) == ("a:1", at(10), "A+B")


def test_a_worse_report_that_comes_later_changes_nothing_that_is_known():
    result = merged({**A, "victim_count": 2.0}, {**B, "available_at": at(10), "location_precision_m": 900.0})
    assert known(result, 5) == known(result, 20) == [("a:1", "a", 2.0)]
    assert result.incidents["source_id"].to_pylist() == ["a", "b"]


def test_values_that_the_better_report_leaves_open_come_from_the_other_when_that_is_known():
    better = {**A, "hazard": "unknown", "tlp": "AMBER", "releasable_to": ["B", "D"]}
    worse = {**B, "available_at": at(10), "location_precision_m": 900.0, "victim_count": 3.0}
    result = merged(better, worse)
    assert known(result, 9) == [("a:1", "a", None)]
    assert known(result, 10) == [("a:1", "a", 3.0)]
    made = result.incidents.to_pylist()[-1]
    assert (made["hazard"], made["raw_file"]) == ("mine", "a")
    marking = made["originator"], made["releasable_to"], made["tlp"]
    assert marking == ("A+B", ["A", "B", "D"], "AMBER"), "everybody may have B's report, and A its own"
    assert result.counts.versions_completed == 1


def test_a_version_that_is_completed_twice_goes_to_those_who_may_have_all_three_reports():
    """A's list names B and C, B's names A, C and X, C's names A and B: X may not have A's."""
    lists = (["B", "C"], ["A", "C", "X"], ["A", "B"])
    open_ended = {**A, "hazard": "unknown", "location_precision_m": 100.0, "releasable_to": lists[0]}
    second = {**B, "available_at": at(10), "location_precision_m": 900.0, "releasable_to": lists[1]}
    third = {**C, "available_at": at(20), "location_precision_m": 950.0, "victim_count": 3.0}
    result = merged(open_ended, second, {**third, "releasable_to": lists[2]})
    once, twice = result.incidents.to_pylist()[-2:]
    assert (once["originator"], once["releasable_to"]) == ("A+B", ["A", "B", "C"])
    assert (twice["originator"], twice["releasable_to"]) == ("A+B+C", ["A", "B", "C"])


def test_earlier_versions_of_a_report_stay_as_they_were():
    first = {**A, "superseded_at": at(5), "event_type": "threat_report"}
    result = merged(first, {**A, "available_at": at(5)}, {**B, "available_at": at(8), "location_precision_m": 100.0})
    assert result.incidents["incident_id"].to_pylist() == ["a:1"] * 3
    assert [row["superseded_at"] for row in result.incidents.to_pylist()] == [at(5), at(8), None]


def test_three_reports_of_one_event_leave_one_that_stands():
    rows = [{**row, "available_at": at(3 + n), "location_precision_m": 300.0 - n} for n, row in enumerate((A, B, C))]
    result = merged(*rows)
    assert [known(result, day) for day in (3, 4, 5)] == [[("a:1", name, None)] for name in "abc"]
    assert result.counts == LinkageCounts(links=2, reports_joined=3, events=1, versions_completed=0)


def test_no_third_report_carries_an_event_across_a_marking():
    result = merged({**A, "releasable_to": ["B"]}, B, incident("c", 1, north_m=110))
    assert result.incidents["incident_id"].to_pylist() == ["a:1", "b:1", "b:1"]  # the better pair stands


def test_a_reviewer_separates_reports_that_the_score_joins_also_through_a_third():
    assert pairs(A, B) == [("a:1", "b:1")]
    assert merged(A, B, never=[("b:1", "a:1")]).merges.num_rows == 0
    ids = merged(A, B, C, never=[("b:1", "a:1")]).incidents["incident_id"].to_pylist()
    assert ids[0] != ids[1]


def test_a_reviewer_joins_reports_that_the_score_separates_also_of_one_source():
    far = incident("a", 2, north_m=9000)
    result = merged(A, far, always=[("a:1", "a:2")])
    assert result.incidents["incident_id"].to_pylist() == ["a:1", "a:1"]
    (row,) = result.merges.to_pylist()
    assert (row["decided_by"], row["reason"], row["probability"]) == ("reviewer", "seen", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"never": [{"reports": ["a:1", "b:11"], "because": "x"}]},
            "'b:11' is no open report in the tables; did you mean 'b:1'?",
        ),
        ({"always": [{"reports": ["a:1", "c:1"], "because": "x"}]}, "is not releasable to the other"),
        ({"always": [{"reports": ["a:1", "a:1"], "because": "x"}]}, "expected two reports"),
        ({"always": [{"reports": ["a:1"], "because": "x"}]}, "always.0.reports"),
        ({"nevr": []}, "did you mean 'never'?"),
        (
            {key: [{"reports": ["a:1", "b:1"], "because": "x"}] for key in ("never", "always")},
            "stand under always and under never",
        ),
    ],
)
def test_a_wrong_decision_is_refused_with_its_file_and_the_reason(tmp_path, content, message):
    path = decisions.path_of("third", tmp_path)
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(content))
    marks = {row["incident_id"]: mark_of(row) for row in ({**A, "releasable_to": ["B"]}, B, C)}
    with pytest.raises(DeclarationError) as caught:
        decisions.check(decisions.read_decisions(path), marks, path)
    assert message in str(caught.value)
    assert "third.yaml" in str(caught.value)
