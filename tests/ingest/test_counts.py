"""No record is lost without a word: stray quotes, marks, blank lines, and two counts of every text file."""

import csv
import io
import itertools
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ingest_case import GOOD, HEADER, INCIDENTS, Case, balance, changed, rejected, rows

from pipeline.ingest.reading import geojson, readers
from pipeline.ingest.reading.chunk import SourceError
from pipeline.ingest.reading.counting import FeatureCounter, LineCounter, lists_in, lists_in_text

COMMON = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FOLDED = settings(COMMON, suppress_health_check=[*HealthCheck])


def record(number):
    return GOOD.strip().replace("1,", f"{number},", 1)


def of(kind, **more):
    return changed(INCIDENTS, format={"kind": kind, **more})


def ingest(folder, mapping, content, block=readers.BLOCK):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK", block)
        return Case(folder, mapping).ingest(content)


def fate(staged):
    """Return the ids of the kept records, and the text of each refused one."""
    return [row["record_id"] for row in rows(staged)], [row["row"] for row in rejected(staged)]


def test_a_quote_that_never_closes_costs_its_own_line_and_no_other(tmp_path):
    lines = [record(number) for number in range(1000)]
    lines[10] = lines[10].replace(",blast", ',"blast')
    staged = ingest(tmp_path, INCIDENTS, HEADER + "\n".join(lines) + "\n")
    assert balance(staged) == (1000, 1000)
    assert staged.counts.kept == 999
    (row,) = rejected(staged)
    assert (row["raw_row"], row["rule"]) == (11, "unclosed_quote")
    assert "in.csv row 11: line 12: the quote that opens column 2 does not close" in row["message"]
    assert json.loads(row["row"]) == {"": lines[10]}


@FOLDED
@given(
    st.integers(1, 40),
    st.dictionaries(st.integers(0, 39), st.integers(0, 40), max_size=12),
    st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\n\n\n"]), min_size=40, max_size=40),
    st.booleans(),
    st.booleans(),
    st.integers(8, 300),
)
def test_a_stray_quote_in_any_place_of_any_lines_costs_no_other_record(
    tmp_path_factory, count, strays, ends, mark, ended, block
):
    lines = [record(number) for number in range(count)]
    planted = {line: at for line, at in strays.items() if line < count}
    for line, at in planted.items():
        lines[line] = lines[line][:at] + '"' + lines[line][at:]
    text = "".join(line + end for line, end in zip(lines, ends, strict=False))
    content = ("\ufeff" if mark else "") + HEADER + (text if ended else text.rstrip("\r\n"))
    staged = ingest(tmp_path_factory.mktemp("strays"), INCIDENTS, content, block)
    assert balance(staged) == (count, count)
    numbers = [row["raw_row"] for row in [*rows(staged), *rejected(staged)]]
    assert sorted(numbers) == list(range(1, count + 1))
    assert {row["raw_row"] - 1 for row in rejected(staged)} <= planted.keys()
    for row in rows(staged):
        assert row["record_id"].replace('"', "") == str(row["raw_row"] - 1)


CELLS = st.text(st.sampled_from('a",\n é'), max_size=5)


@FOLDED
@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(8, 99)
)
def test_well_formed_csv_is_read_as_another_reader_reads_it(tmp_path_factory, notes, end, every, block):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL)
    writer.writerow(["id", "a", "b", "c", "d", "e"])
    for number, (left, right) in enumerate(notes):
        writer.writerow([number, left, "x", right, "y", left])
    path = tmp_path_factory.mktemp("formed") / "in.csv"
    path.write_bytes(text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK", block)
        form = readers.Format(kind="csv")
        chunks = list(readers.read(path, form, ["id"]))
    read = [list(row.values()) for chunk in chunks for row in chunk.columns.to_pylist()]
    assert read == list(csv.reader(io.StringIO(text.getvalue(), newline="")))[1:]
    assert [rejected_row for chunk in chunks for rejected_row in chunk.rejected] == []


def test_a_quoted_value_holds_as_many_line_ends_as_its_mapping_allows(tmp_path):
    mapping = of("csv", quoted_newlines=2)
    header = HEADER.strip() + ",note\n"
    for inside, kept in ((2, 1), (3, 0)):
        note = '"' + "line\n" * inside + '"'
        staged = ingest(tmp_path, mapping, header + record(1) + "," + note + "\n")
        assert staged.counts.kept == kept
        assert [row["raw_row"] for row in rejected(staged)] == ([] if kept else [1, 2, 3, 4])
        assert {row["rule"] for row in rejected(staged)} <= {"unclosed_quote", "column_count"}
        assert balance(staged)[0] == balance(staged)[1]
    strict = changed(of("csv", quoted_newlines=0))
    staged = ingest(tmp_path, strict, HEADER + record(1).replace("blast", '"bla\nst"') + "\n" + record(2) + "\n")
    assert fate(staged)[0] == ["2"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['1,blast,2,2020-01-31,4.5,"-74.1', '2,blast,2,2020-01-31,4.5,-74.1"'], "line 3 among them has the columns"),
        (['1,"blast,2,2020-01-31,4.5,-74.1', record(2), '3,blast",2,2020-01-31,4.5,-74.1'], "line 3 among them has"),
        (['1,"blast,2', '2,x",2,2020-01-31,4.5,-74.1,9'], "the record then has 7 columns; expected 6"),
        (['1,"blast" and more,2,2020-01-31,4.5,-74.1'], "the quote that opens column 2 does not close"),
    ],
)
def test_a_quote_that_takes_in_other_records_is_refused_by_line(tmp_path, lines, message):
    staged = ingest(tmp_path, INCIDENTS, HEADER + "\n".join([*lines, record(9)]) + "\n")
    assert balance(staged) == (len(lines) + 1, len(lines) + 1)
    first = rejected(staged)[0]
    assert (first["raw_row"], first["rule"]) == (1, "unclosed_quote")
    assert "line 2: " in first["message"]
    assert message in first["message"]
    assert "9" in fate(staged)[0]


def test_inches_and_other_quotes_inside_a_value_are_text(tmp_path):
    mapping = changed(INCIDENTS, key=["id", "note"])
    staged = ingest(
        tmp_path, mapping, HEADER.strip() + ",note\n" + record(1) + ',6" pipe, \n' + record(2) + ',6" pipe\n'
    )
    assert fate(staged)[0] == ['2|6" pipe']
    assert [row["rule"] for row in rejected(staged)] == ["column_count"]


def test_a_header_whose_quote_does_not_close_refuses_the_file(tmp_path):
    with pytest.raises(SourceError, match=re.escape("in.csv: the header, line 1: the quote that opens column 2")):
        ingest(tmp_path, INCIDENTS, HEADER.replace("type", '"type') + record(1))


JSON_RECORD = {"id": "1", "type": "blast", "victims": 2, "date": "2020-01-31", "lat": 4.5, "lon": -74.1}
JSON_LINE = st.sampled_from(["", " ", "\t", "\r", "{not json", "[1]", json.dumps({"id": "7"})]) | st.just(None)


@FOLDED
@given(st.lists(JSON_LINE, max_size=20), st.booleans(), st.booleans())
def test_marks_and_blank_lines_between_json_records_are_no_records(tmp_path_factory, lines, mark, ended):
    good = JSON_RECORD
    whole = [
        json.dumps(good),
        *(json.dumps({**good, "id": str(i)}) if x is None else x for i, x in enumerate(lines, 10)),
    ]
    content = ("\ufeff" if mark else "") + "\n".join(whole) + ("\n" if ended else "")
    staged = ingest(tmp_path_factory.mktemp("lines"), of("jsonl"), content)
    filled = [line for line in whole if line.strip()]
    assert balance(staged) == (len(filled), len(filled))
    assert staged.counts.kept == 1 + lines.count(None)


VALUE = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a"\\{}[],: \n'), max_size=6) | st.just("features"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["features", "a", '"}', "type"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@COMMON
@given(st.lists(VALUE, max_size=6), st.none() | st.integers(0, 2), st.lists(st.integers(1, 30), max_size=40))
def test_features_are_counted_by_brackets_as_a_parser_counts_them(members, indent, cuts):
    text = json.dumps({"type": "FeatureCollection", "bbox": [1, 2], "features": members, "x": ["y"]}, indent=indent)
    data, at = text.encode(), 0
    counter = FeatureCounter()
    for size in [*cuts, len(data)]:
        counter.feed(data[at : at + size])
        at += size
    assert counter.count == len(members)


@COMMON
@given(st.text(st.sampled_from("a \t\n\r"), max_size=40), st.lists(st.integers(1, 5), max_size=20))
def test_filled_lines_are_counted_however_a_file_is_cut(text, cuts):
    data, at = text.encode(), 0
    counter = LineCounter()
    for size in [*cuts, len(data) + 1]:
        counter.feed(data[at : at + size])
        at += size
    assert counter.count == sum(bool(line.strip()) for line in data.split(b"\n"))


FEATURE = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-74.1, 4.5]}}


def test_a_second_list_of_features_refuses_the_file_with_both_numbers(tmp_path):
    feature = {**FEATURE, "properties": {"id": "1", "type": "blast", "victims": 2, "date": "2020-01-31"}}
    mapping = changed(of("geojson"), position={"geometry": "point", "precision_m": 1000})
    collection = json.dumps({"type": "FeatureCollection", "features": [feature]})
    assert balance(ingest(tmp_path, mapping, collection)) == (1, 1)
    twice = {"type": "FeatureCollection", "features": [feature], "more": {"features": [feature]}}
    with pytest.raises(SourceError, match=r"in.csv: the reader gave 1 features, a second count 2; expected the same"):
        ingest(tmp_path, mapping, json.dumps(twice))
    with pytest.raises(SourceError, match="expected the end of one FeatureCollection"):
        ingest(tmp_path, mapping, collection + "\n" + collection)
    assert not (tmp_path / "staging" / "summary.json").exists()
    with pytest.raises(SourceError, match="after the list of features: got ''; expected the end"):
        ingest(tmp_path, mapping, collection[:-1])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_parser_that_loses_records_is_detected(tmp_path, monkeypatch, kind):
    losing = "_csv_chunk" if kind == "csv" else "_json_lines"
    reading = getattr(readers, losing)
    if kind == "csv":
        content = HEADER + "\n".join(record(number) for number in range(9))
        lose = lambda *given, **more: (lambda c: c.only(c.numbers != 3))(reading(*given, **more))  # noqa: E731
    else:
        content = "\n".join(json.dumps({**JSON_RECORD, "id": str(number)}) for number in range(9))
        lose = lambda stream: (line for line in reading(stream) if line.get("id") != "3")  # noqa: E731
    monkeypatch.setattr(readers, losing, lose)
    units = "records" if kind == "csv" else "lines"
    with pytest.raises(SourceError, match=f"the reader gave 8 {units}, a second count 9"):
        ingest(tmp_path, of(kind), content)


LINES = {"type": "MultiLineString", "coordinates": [[[-74.1, 4.5], [-74.2, 4.6]], [[-74.3, 4.7], [-74.4, 4.8, 2600]]]}
VERTICES = changed(of("geojson", points="vertices"), key=[], position={"geometry": "point", "precision_m": 1000})


def with_lines(text=None, **more):
    properties = {"type": "blast", "victims": 2, "date": "2020-01-31", **more}
    feature = {"type": "Feature", "geometry": LINES, "properties": properties}
    content = json.dumps({"type": "FeatureCollection", "features": [FEATURE, feature, FEATURE]})
    return content if text is None else content.replace(json.dumps(LINES), text)


@COMMON
@given(VALUE, st.none() | st.integers(0, 2), st.booleans())
def test_lists_are_counted_in_a_text_as_in_what_it_decodes_to(value, indent, ascii_only):
    assert lists_in_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == lists_in(value)


def test_vertices_are_counted_a_second_time_whatever_lists_the_properties_hold(tmp_path):
    content = with_lines(tags=["a", ["[1, 2]", '"[3'], []], more={"at": [[1, 2], [3]]})
    assert balance(ingest(tmp_path, VERTICES, content)) == (6, 6)


def test_a_vertex_that_the_decoder_passes_over_refuses_the_file(tmp_path):
    once = json.dumps(LINES)
    twice = once.replace('"coordinates"', '"coordinates": [[[-70.0, 1.0]]], "coordinates"')
    with pytest.raises(SourceError, match=r"in.csv: feature 2: the reader gave 4 lists of numbers, a second count 5"):
        ingest(tmp_path, VERTICES, with_lines(twice))


def test_a_vertex_that_the_reader_loses_refuses_the_file(tmp_path, monkeypatch):
    whole = geojson.positions
    monkeypatch.setattr(geojson, "positions", lambda *given: whole(*given)[:3])
    with pytest.raises(SourceError, match=r"in.csv: feature 2: the reader gave 3 vertices, a second count 4"):
        ingest(tmp_path, VERTICES, with_lines())


def test_a_feature_of_vertices_that_the_reader_loses_refuses_the_file(tmp_path, monkeypatch):
    whole = geojson.members
    monkeypatch.setattr(geojson, "members", lambda *given: itertools.islice(whole(*given), 2))
    with pytest.raises(SourceError, match=r"in.csv: the reader gave 2 features, a second count 3"):
        ingest(tmp_path, VERTICES, with_lines())
