import gzip
import io
import json
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ingest_case import GOOD, HEADER, INCIDENTS, Case, balance, changed, rejected, rows

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.reading import files, readers
from pipeline.ingest.reading.chunk import SourceError

RECORD = {"id": "1", "type": "blast", "victims": 2, "date": "2020-01-31", "lat": 4.5, "lon": -74.1}


def of(kind, **more):
    return changed(INCIDENTS, format={"kind": kind, **more})


def positions(staged):
    return [(row["record_id"], row["latitude_deg"], row["victim_count"]) for row in rows(staged)]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-8", (HEADER + GOOD).encode("utf-8-sig")),
        ("utf-8", (HEADER + GOOD).replace("\n", "\r\n").encode()),
        ("utf-8", (HEADER + "\n\n" + GOOD.strip()).encode()),
        ("latin-1", (HEADER + GOOD).encode("latin-1")),
        ("utf-16", (HEADER + GOOD).encode("utf-16")),
    ],
)
def test_a_csv_is_read_whatever_its_marks_and_line_ends(tmp_path, encoding, content):
    assert positions(Case(tmp_path, of("csv", encoding=encoding)).ingest(content)) == [("1", 4.5, 2.0)]


def test_the_same_record_in_every_format_becomes_the_same_row(tmp_path):
    workbook = openpyxl.Workbook()
    workbook.active.append(list(RECORD))
    workbook.active.append(list(RECORD.values()))
    sheet = io.BytesIO()
    workbook.save(sheet)
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([RECORD]), table)
    feature = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-74.1, 4.5]}, "properties": RECORD}
    contents = {
        "csv": (HEADER + GOOD).encode(),
        "jsonl": json.dumps(RECORD).encode(),
        "geojson": json.dumps({"type": "FeatureCollection", "features": [feature]}).encode(),
        "excel": sheet.getvalue(),
        "parquet": table.getvalue(),
    }
    made = {}
    for kind, content in contents.items():
        made[kind] = rows(Case(tmp_path, of(kind)).ingest(content))
    made["gzip"] = rows(Case(tmp_path, of("csv", compression="gzip")).ingest(gzip.compress(contents["csv"])))
    mapping = changed(of("geojson"), position={"geometry": "point", "precision_m": 1000})
    made["point"] = rows(Case(tmp_path, mapping).ingest(contents["geojson"]))
    for kind, row in made.items():
        assert row == made["csv"], kind


def test_quoted_newlines_and_long_cells_keep_the_record_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK", 1 << 16)
    bad = '2,"bla\nst",2,2020-01-31,4.5,-74.1\nshort,row\n'
    long = f"4,{'x' * 10_000_000},2,2020-01-31,4.5,-74.1\n"
    staged = Case(tmp_path, INCIDENTS).ingest(HEADER + GOOD + bad + long + GOOD.replace("1,", "5,", 1))
    assert [row["raw_row"] for row in rows(staged)] == [1, 5]
    assert [(row["raw_row"], row["rule"]) for row in rejected(staged)] == [
        (2, "unmapped_value"),
        (3, "column_count"),
        (4, "unmapped_value"),
    ]
    assert len(json.loads(rejected(staged)[2]["row"])["type"]) == 10_000_000


def test_nested_objects_missing_keys_and_broken_lines_of_json(tmp_path):
    mapping = changed(of("jsonl"), position={"latitude": "at.lat", "longitude": "at.lon", "precision_m": 5})
    nested = {**RECORD, "at": {"lat": "4.5", "lon": -74.1}}
    lines = [json.dumps(nested), "{not json", "[1]", json.dumps({"id": "2", "type": "blast"}), "", json.dumps(nested)]
    staged = Case(tmp_path, mapping).ingest("\n".join(lines))
    assert [(row["raw_row"], row["rule"]) for row in rejected(staged)] == [
        (2, "not_json"),
        (3, "not_json"),
        (4, "missing_value"),
    ]
    assert balance(staged) == (5, 5)


def test_each_vertex_of_a_line_is_a_record_where_the_mapping_states_it(tmp_path):
    mapping = {
        "file": "in.csv",
        "about": "made by a test",
        "table": "places",
        "format": {"kind": "geojson", "points": "vertices"},
        "fields": {"kind": {"constant": "river"}, "name": {"column": "n"}},
        "available_at": {"at": {"constant": "1990-01-01"}},
        "position": {"geometry": "point", "precision_m": 10},
        "marking": INCIDENTS["marking"],
    }
    lines = [[[-74, 4], [-74, 5]], [[-73, 6], [-73, 7]]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "MultiLineString", "coordinates": lines},
        "properties": {"n": "R"},
    }
    staged = Case(tmp_path, mapping).ingest(json.dumps({"features": [feature]}))
    assert [row["latitude_deg"] for row in rows(staged)] == [4, 5, 6, 7]
    mapping["format"] = {"kind": "geojson"}
    staged = Case(tmp_path, mapping).ingest(json.dumps({"features": [feature]}))
    assert [row["rule"] for row in rejected(staged)] == ["geometry"]


def bomb() -> bytes:
    return gzip.compress((HEADER + GOOD * 200_000).encode())


def excel_bomb() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("xl/worksheets/sheet1.xml", b"0" * 5_000_000)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("mapping", "content", "message"),
    [
        (of("csv"), b"", "the file is empty"),
        (of("csv"), b"\n\n", "there is no header"),
        (
            of("csv"),
            HEADER.replace("lat", "latt").encode() + b"1,2,3,4,5,6\n",
            "'lat' is not in the file; did you mean 'latt'?",
        ),
        (of("csv"), HEADER.replace("lon", "lat").encode() + b"1,2,3,4,5,6\n", "'lat' is in the header 2 times"),
        (of("csv"), ",".join(f"c{i}" for i in range(1_000_000)).encode() + b"\n1\n", "columns; expected at most 4096"),
        (of("csv", compression="gzip"), bomb()[:-2000], "ends too early"),
        (of("csv", compression="gzip"), b"no gzip", "not a sound gzip file"),
        (of("csv", compression="gzip", limit_mib=1), bomb(), "more than 1 MiB when unpacked"),
        (of("excel", limit_mib=1), excel_bomb(), "MiB when unpacked"),
        (of("excel"), b"no workbook", "not an .xlsx workbook"),
        (of("parquet"), b"no parquet", "not a Parquet file"),
        (of("jsonl"), b'{"id": "1"}', "is not in the file"),
        (of("geojson"), b'{"type": "Feature"}', 'no "features" list'),
        (of("geojson"), b'{"features": [{"properties": {', "a feature is not JSON"),
        (of("geojson"), b'{"features": [{"properties": {}}', "ends inside the list"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_nothing_is_written(
    tmp_path, mapping, content, message
):
    case = Case(tmp_path, mapping)
    with pytest.raises(SourceError) as caught:
        case.ingest(content)
    assert "in.csv: " in str(caught.value)
    assert message in str(caught.value)
    assert list((tmp_path / "staging").glob("*")) == []


def test_a_packed_file_is_bounded_by_size_without_a_word_in_its_mapping(tmp_path, monkeypatch):
    assert [Format(kind=kind).largest_mib for kind in ("csv", "excel", "parquet")] == [65536, 4096, 4096]
    assert Format(kind="csv", compression="gzip").largest_mib == 4096
    monkeypatch.setattr(files, "MIB", 1 << 10)  # 4096 of these are 4 MiB
    with pytest.raises(SourceError, match="more than 4096 MiB when unpacked"):
        Case(tmp_path, of("csv", compression="gzip")).ingest(bomb())


def test_a_header_without_rows_is_a_file_without_records(tmp_path):
    for content in (HEADER, HEADER.strip()):
        assert balance(Case(tmp_path, INCIDENTS).ingest(content)) == (0, 0)


CELL = st.one_of(
    st.sampled_from(
        ["", "blast", "find", "2", "2,5", "1e999", "nan", "2020-01-31", "2020-02-30", "31/12/2020", "24:00", "43831"],
    ),
    st.sampled_from(
        [
            "4.5",
            "-74.1",
            "0",
            "91",
            "=1+1",
            "@x",
            '"',
            '""',
            '"a\nb"',
            "\0",
            "\r",
            "\ufeff",
            "é",
            "5.0",
            " 4.5 ",
            '"x',
            'x"',
        ]
    ),
    st.text(max_size=6),
)
LINE = st.one_of(
    st.just(GOOD.strip()),
    st.lists(CELL, min_size=6, max_size=6).map(",".join),
    st.lists(CELL, max_size=9).map(",".join),
)

END = st.sampled_from(["\n", "\r\n", "\r"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(LINE, END), max_size=12),
    END,
    st.binary(max_size=12),
    st.integers(0, 200),
    st.integers(8, 400),
)
def test_every_record_of_any_garbage_is_kept_merged_or_quarantined(tmp_path_factory, lines, end, noise, at, block):
    text = HEADER.strip() + end + "".join(line + ending for line, ending in lines)
    content = text.encode("utf-8", "surrogatepass")
    content = content[: len(HEADER) + at] + noise + content[len(HEADER) + at :]
    case = Case(tmp_path_factory.mktemp("garbage"), INCIDENTS)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(readers, "BLOCK", block)
            staged = case.ingest(content)
    except SourceError as error:
        assert "in.csv" in str(error)
        assert "a second count" not in str(error)  # whatever comes, the two ways of counting agree
        return
    rows_in, accounted_for = balance(staged)
    assert rows_in == accounted_for
    numbers = [row["raw_row"] for row in [*rows(staged), *rejected(staged)]]
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) + staged.counts.repeats == rows_in
    for row in rejected(staged):
        assert json.loads(row["row"])
