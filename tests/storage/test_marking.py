"""Who may have what is derived from rows: those who may have every one of them, held against that definition."""

from itertools import groupby

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params
from pipeline.ingest.linking.linkage import mark_of, may_share
from pipeline.ingest.mapping.sources import read_sources
from pipeline.sign import release
from pipeline.storage import paths
from pipeline.storage.marking import ALL, Marking, combined, most_restrictive
from pipeline.storage.schemas import TLP
from threat_scorer.marking import EVERYONE
from threat_scorer.marking import Marking as ContractMarking

OWNERS = ["a", "b", "c"]
PARTNERS = [*OWNERS, "x", "y", "z"]
COLUMNS = {"originator": pa.string(), "releasable_to": pa.list_(pa.string()), "tlp": pa.string()}

LISTS = st.lists(st.sampled_from([*OWNERS, "x", "y", ALL]), max_size=5)
"""Empty, with a partner twice, and with `ALL` beside names; never with ``z``, who is a stranger to all."""
SOURCE_ROWS = st.builds(
    lambda *fields: dict(zip(COLUMNS, fields, strict=True)), st.sampled_from(OWNERS), LISTS, st.sampled_from(TLP)
)
JOINED = st.sets(st.sampled_from(OWNERS), min_size=1).map(lambda names: "+".join(sorted(names)))
ROWS = st.builds(lambda row, originator: {**row, "originator": originator}, SOURCE_ROWS, JOINED)


def table(rows):
    return pa.Table.from_pylist(rows, schema=pa.schema(COLUMNS))


def may_have(partner, row):
    """Apply the definition: released to it, or to all, or its own and nobody else's."""
    return partner in row["releasable_to"] or ALL in row["releasable_to"] or partner == row["originator"]


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_a_partner_may_have_what_is_derived_if_and_only_if_it_may_have_every_row(rows):
    marking = most_restrictive(table(rows))
    for partner in PARTNERS:
        assert marking.allows(partner) == all(may_have(partner, row) for row in rows), partner
    named = [partner for partner in PARTNERS if marking.allows(partner)]
    everybody = all(ALL in row["releasable_to"] for row in rows)
    assert marking.releasable_to == ((ALL,) if everybody else tuple(named)), "the final list, originators included"
    assert marking.audience == set(marking.releasable_to)
    assert marking.tlp == max((row["tlp"] for row in rows), key=TLP.index)
    assert marking.originator.split("+") == sorted({name for row in rows for name in row["originator"].split("+")})


@st.composite
def derivations(draw):
    """Return source rows, each with the path of merges that it goes through before it reaches the result."""
    rows = draw(st.lists(SOURCE_ROWS, min_size=1, max_size=7))
    path = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))
    return [(draw(path), row) for row in rows]


@given(derivations())
def test_merging_merged_rows_in_any_nesting_gives_what_all_source_rows_give(derivation):
    level = [(path, Marking.of(row)) for path, row in sorted(derivation, key=lambda entry: entry[0])]
    for depth in (3, 2, 1, 0):
        level = [
            (path, combined(marking for _, marking in group))
            for path, group in groupby([(path[:depth], marking) for path, marking in level], key=lambda entry: entry[0])
        ]
    ((_, nested),) = level
    rows = [row for _, row in derivation]
    assert nested == most_restrictive(table(rows)) == most_restrictive(*(table([row]) for row in rows))
    assert {p for p in PARTNERS if nested.allows(p)} == {p for p in PARTNERS if all(may_have(p, row) for row in rows)}


@given(ROWS, ROWS)
def test_two_reports_meet_where_each_originator_may_have_the_other_report(left, right):
    crossed = [(right, left["originator"]), (left, right["originator"])]
    expected = all(may_have(owner, row) for row, names in crossed for owner in names.split("+"))
    assert may_share(mark_of(left), mark_of(right)) == expected


def test_an_empty_list_reaches_the_originator_alone_and_no_originator_where_there_are_two():
    assert Marking("a", (), "RED").audience == {"a"}
    assert Marking("a", (), "RED").written == "TLP:RED, releasable to a, from a"
    both = combined([Marking("a", (), "RED"), Marking("b", (), "RED")])
    assert both.audience == set()
    assert both.written == "TLP:RED, releasable to nobody, from a+b"


def test_an_originator_called_all_does_not_open_its_rows_to_everybody():
    assert Marking(ALL, ("x",), "RED").audience == {"x"}


def test_no_rows_have_no_owner_and_hold_nothing_back():
    assert most_restrictive(table([])) == most_restrictive() == Marking("", (ALL,), "CLEAR")


def test_device_and_headquarters_mean_everybody_by_the_same_word():
    assert ALL == EVERYONE


@pytest.mark.parametrize(
    ("tables", "originators"),
    [
        ({"incidents", "observations", "places"}, "COMMAND+MINE_ACTION+MONITOR+SURVEY"),
        ({"detections"}, "COMMAND"),
        ({"incidents", "observations", "places", "detections"}, "COMMAND+MINE_ACTION+MONITOR+SURVEY"),
    ],
)
def test_a_default_bundle_goes_to_command_and_mine_action_and_to_nobody_else(tables, originators):
    """Worked out from the mappings, by hand.

    COMMAND's three files are for COMMAND and MINE_ACTION. The tips are for COMMAND, MINE_ACTION and MONITOR. All other
    files are for everybody. COMMAND and MINE_ACTION are the two that may have every row; MONITOR and SURVEY own rows,
    but may not have COMMAND's.
    """
    declared = params.load()
    sources = declared.dataset("simulated").sources
    mappings = read_sources(sources, paths.SOURCES, measured=declared.measured("simulated")).values()
    by_table = [table([vars(mapping.marking)]) for mapping in mappings if mapping.table in tables]
    assert len({mapping.table for mapping in mappings} & tables) == len(tables)
    marking = most_restrictive(*by_table)
    assert marking == Marking(originators, ("COMMAND", "MINE_ACTION"), "AMBER")
    carried = ContractMarking(marking.originator, marking.releasable_to, marking.tlp)
    assert release.recipients(carried, None) == ("COMMAND", "MINE_ACTION")
