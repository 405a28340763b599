"""Workbooks: every row with a value is mapped or refused by name, whatever the workbook states."""

import io
import re
import zipfile
from datetime import date, datetime

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from support.ingest_case import INCIDENTS, Case, balance, changed, rejected, rows

from pipeline.ingest.commands import checking
from pipeline.ingest.commands.draft import draft
from pipeline.ingest.commands.retry import retry
from pipeline.ingest.reading.chunk import SourceError

HEADER = ["id", "type", "victims", "date", "lat", "lon"]
EXCEL = changed(
    INCIDENTS,
    format={"kind": "excel"},
    occurred_at={"column": "date", "formats": ["iso8601", "%d/%m/%Y", "excel_serial"], "precision": "day"},
)


def report(number, **changes):
    row = {"id": number, "type": "blast", "victims": 1, "date": "2020-01-31", "lat": 4.5, "lon": -74.1, **changes}
    return [row[name] for name in HEADER]


def book(*records, header=HEADER, then=lambda workbook, sheet: None, edit=lambda xml: xml):
    """Return a workbook's bytes; `then` changes it before it is saved, `edit` the XML of its first sheet after."""
    workbook = openpyxl.Workbook()
    for record in [header, *records]:
        workbook.active.append(record)
    then(workbook, workbook.active)
    saved, changed_file = io.BytesIO(), io.BytesIO()
    workbook.save(saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(changed_file, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, edit(content.decode()).encode() if name.endswith("sheet1.xml") else content)
    return changed_file.getvalue()


def fates(staged):
    before, after = balance(staged)
    assert before == after
    return [row["record_id"] for row in rows(staged)], [(row["raw_row"], row["rule"]) for row in rejected(staged)]


@pytest.mark.parametrize("stated", ["A1", "A1:F2", "A1:C99", None])
def test_all_rows_are_read_whatever_size_the_sheet_states(tmp_path, stated):
    size = "" if stated is None else f'<dimension ref="{stated}"/>'
    content = book(*map(report, range(10)), edit=lambda xml: re.sub(r"<dimension [^>]*/>", size, xml))
    assert fates(Case(tmp_path, EXCEL).ingest(content)) == ([str(n) for n in range(10)], [])


def test_hidden_and_filtered_rows_and_hidden_columns_are_read(tmp_path):
    def hide(_, sheet):
        sheet.row_dimensions[3].hidden = sheet.column_dimensions["E"].hidden = True
        sheet.auto_filter.ref = "A1:F4"
        sheet.auto_filter.add_filter_column(0, ["1"])

    staged = Case(tmp_path, EXCEL).ingest(book(*map(report, range(3)), then=hide))
    assert fates(staged) == (["0", "1", "2"], [])


def test_a_formula_without_a_result_refuses_the_row_and_is_named_and_stays_refused(tmp_path):
    case = Case(tmp_path, EXCEL)
    staged = case.ingest(book(report(1, victims="=1+2"), report(2)))
    assert fates(staged) == (["2"], [(1, "formula")])
    assert "C2 holds =1+2 without a result" in rejected(staged)[0]["message"]
    assert retry(case.source(), staged).accepted == 0
    assert fates(staged) == (["2"], [(1, "formula")])


def test_a_formula_is_its_result_also_where_that_is_the_empty_text(tmp_path):
    content = book(
        report(1, victims="=1+2"),
        report(2, victims="=B9&B8"),
        edit=lambda xml: (
            xml.replace("<f>1+2</f><v></v>", "<f>1+2</f><v>3</v>")
            .replace("<f>1+2</f><v/>", "<f>1+2</f><v>3</v>")
            .replace('<c r="C3"><f>B9&amp;B8</f><v></v>', '<c r="C3" t="str"><f>B9&amp;B8</f><v></v>')
            .replace('<c r="C3"><f>B9&amp;B8</f><v/>', '<c r="C3" t="str"><f>B9&amp;B8</f><v></v>')
        ),
    )
    assert [row["victim_count"] for row in rows(Case(tmp_path, EXCEL).ingest(content))] == [3, None]


def test_a_formula_without_a_result_in_a_column_that_no_mapping_reads_does_no_harm(tmp_path):
    content = book([*report(1), "=A2"], header=[*HEADER, "note"])
    assert fates(Case(tmp_path, EXCEL).ingest(content)) == (["1"], [])


def test_merged_cells_below_the_header_refuse_their_rows_where_the_mapping_reads_them(tmp_path):
    def merge(_, sheet):
        sheet.merge_cells("C3:C4")
        sheet.merge_cells("G2:H5")
        sheet.merge_cells("A6:F6")

    staged = Case(tmp_path, EXCEL).ingest(book(*map(report, range(5)), then=merge))
    assert fates(staged) == (["0", "3"], [(2, "merged_cells"), (3, "merged_cells"), (5, "merged_cells")])
    assert "C4 is one of the merged cells C3:C4" in rejected(staged)[1]["message"]


def test_an_error_is_no_value_and_a_missing_one_where_the_mapping_says_so(tmp_path):
    records = [report("#N/A"), report("#REF!"), report(3, victims="#DIV/0!"), report(4)]
    staged = Case(tmp_path, EXCEL).ingest(book(*records))
    assert fates(staged) == (["4"], [(1, "cell_error"), (2, "cell_error"), (3, "cell_error")])
    mapping = changed(EXCEL, format={"kind": "excel", "missing": ["", "#DIV/0!"]})
    assert fates(Case(tmp_path, mapping).ingest(book(*records)))[0] == ["3", "4"]


@pytest.mark.parametrize("mac", [False, True])
def test_dates_texts_and_serials_in_one_column_are_the_same_day_in_both_date_systems(tmp_path, mac):
    def set_epoch(workbook, _):
        if mac:
            workbook.epoch = CALENDAR_MAC_1904

    serial = 43861 - 1462 * mac
    stated = [date(2020, 1, 31), datetime(2020, 1, 31, 7, 30), "2020-01-31", "31/01/2020", serial, "soon"]
    content = book(*(report(n, date=value) for n, value in enumerate(stated)), then=set_epoch)
    if mac:  # openpyxl writes dates by the epoch, which it reads at the time of saving
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert b'date1904="1"' in archive.read("xl/workbook.xml")
    staged = Case(tmp_path, EXCEL).ingest(content)
    assert {row["occurred_at"].date() for row in rows(staged)} == {date(2020, 1, 31)}
    assert fates(staged) == (["0", "1", "2", "3", "4"], [(6, "date")])


def test_text_that_looks_like_a_number_is_that_number_where_one_is_read_and_that_text_where_a_key_is(tmp_path):
    staged = Case(tmp_path, EXCEL).ingest(
        book(report("007", victims="3"), report(7, lat=" 4.5 "), report(8, victims="3,5"))
    )
    assert fates(staged) == (["007", "7"], [(3, "number")])
    assert [row["victim_count"] for row in rows(staged)] == [3, 1]


def test_a_value_right_of_the_header_stays_with_its_row(tmp_path):
    staged = Case(tmp_path, EXCEL).ingest(book(report(1), [*report(2, type="?"), "a note"]))
    assert fates(staged) == (["1"], [(2, "unmapped_value")])
    assert "a note" in rejected(staged)[0]["row"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('<row r="3"', '<row r="2"', "row 2 comes after 2"),
        ('<row r="3"', '<row r="9999999"', "row 9999999"),
        ('<row r="3"', '<row r="many"', "numbered 'many'"),
        ('r="B2"', 'r="A2"', "row 2: cell 1 comes after 1"),
        ('r="B2"', 'r="ZZZ2"', "row 2: cell 18278"),
        ('r="B2"', 'r="!"', "named '!'"),
        ("</sheetData>", "</sheetdata>", "XML is broken"),
        ("<worksheet", "<!DOCTYPE x><worksheet", "document type"),
        ("<worksheet", '<!DOCTYPE x [<!ENTITY a "b">]><worksheet', "not an .xlsx workbook that can be read"),
        ("<v>4.5</v>", "<v>four</v>", "not an .xlsx workbook that can be read"),
        ('<c r="A2" t="n">', '<c r="A2" t="s">', "can be read (IndexError"),
    ],
)
def test_a_sheet_of_which_rows_or_cells_would_be_lost_is_refused_by_name(tmp_path, old, new, message):
    content = book(report(70), report(71), edit=lambda xml: xml.replace(old, new, 1))
    with pytest.raises(SourceError, match=re.escape(message)) as raised:
        Case(tmp_path, EXCEL).ingest(content)
    assert "in.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_workbook_whose_rows_openpyxl_does_not_see_is_refused(tmp_path):
    namespace = "http://purl.oclc.org/ooxml/spreadsheetml/main"
    content = book(report(1), edit=lambda xml: re.sub('xmlns="[^"]*"', f'xmlns="{namespace}"', xml, count=1))
    with pytest.raises(SourceError, match="openpyxl reads 0 cells in 0 rows; the sheet holds 12 in 2"):
        Case(tmp_path, EXCEL).ingest(content)


def test_a_header_cell_without_a_name_is_left_out_of_a_draft(tmp_path):
    path = tmp_path / "reports.xlsx"
    path.write_bytes(book([0, *report(1)], header=[None, *HEADER], then=lambda _, sheet: sheet.merge_cells("E1:F1")))
    text = draft(path)
    assert '""' not in text
    assert 'column: "date"' in text
    (tmp_path / "index.csv").write_text(",id,date,\n0,R1,2020-01-31,x\n")
    assert '" (2)"' not in draft(tmp_path / "index.csv")


CELL = st.one_of(
    st.none(),
    st.sampled_from(["", "blast", "find", "=A1", "#N/A", "2020-01-31", "31/12/2020", "soon", "007", "4.5", " "]),
    st.integers(-5, 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.dates(min_value=date(1905, 1, 1)),
)
DAMAGE = st.lists(
    st.sampled_from(
        [
            (r'<dimension ref="[^"]*"/>', '<dimension ref="B2"/>'),
            (r' t="n"', ' t="e"'),
            (r' t="n"', ' t="s"'),
            (r'<row r="(\d+)"', r'<row r="1\1"'),
            (r'<row r="\d+"', "<row"),
            (r'<c r="[A-Z]+', '<c r="C'),
            (r'<c r="[A-Z]+\d+"', "<c"),
            (r"<v>[^<]*</v>", "<v></v>"),
            (r"<v>[^<]*</v>", "<f>1+1</f>"),
            ("</row>", ""),
            ("</sheetData>", '</sheetData><mergeCells><mergeCell ref="A2:B3"/></mergeCells>'),
            ("</sheetData>", '</sheetData><mergeCells><mergeCell ref="none"/></mergeCells>'),
        ]
    ),
    max_size=3,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(CELL, max_size=8), max_size=6), DAMAGE, st.integers(0, 12))
def test_every_row_of_any_damaged_sheet_is_kept_merged_or_refused_or_the_file_is(tmp_path_factory, records, damage, at):
    def edit(xml):
        for pattern, new in damage:
            places = list(re.finditer(pattern, xml))
            if places:
                place = places[min(at, len(places) - 1)]
                xml = xml[: place.start()] + place.expand(new) + xml[place.end() :]
        written.append(xml)
        return xml

    written: list[str] = []
    content = book(*records, report(9), edit=edit)
    case = Case(tmp_path_factory.mktemp("sheets"), EXCEL)
    try:
        staged = case.ingest(content)
    except SourceError as error:
        assert "in.csv" in str(error)
        assert damage
        return
    holding = [row for row in re.findall(r"<row.*?</row>", written[0]) if re.search(r"<v>[^<]+</v>|<is>|<f>", row)]
    assert balance(staged) == (len(holding) - 1, len(holding) - 1)


def several_sheets(workbook, _):
    workbook.create_sheet("empty")
    workbook.create_sheet("old", index=1).append(["id"])
    latest = workbook.create_sheet("2019")
    for record in (HEADER, report(7), report(8)):
        latest.append(record)


def test_rows_on_further_sheets_refuse_the_file_unless_the_mapping_names_the_one_to_be_read(tmp_path):
    content = book(report(1), then=several_sheets)
    with pytest.raises(
        SourceError, match="besides the first sheet, 'Sheet', rows stand on 'old', '2019'; expected form"
    ):
        Case(tmp_path, EXCEL).ingest(content)
    for sheet, ids in (("Sheet", ["1"]), ("2019", ["7", "8"])):
        named = changed(EXCEL, format={"kind": "excel", "sheet": sheet})
        assert fates(Case(tmp_path, named).ingest(content)) == (ids, [])
    blank = book(report(1), then=lambda workbook, _: workbook.create_sheet("empty"))
    assert fates(Case(tmp_path, EXCEL).ingest(blank)) == (["1"], [])


def test_check_names_the_sheets_that_are_not_read_and_draft_the_one_that_is(tmp_path):
    (tmp_path / "in.xlsx").write_bytes(book(report(1), then=several_sheets))
    source = Case(tmp_path, changed(EXCEL, format={"kind": "excel", "sheet": "2019"})).source()
    text = checking.as_text(checking.check(source, tmp_path / "in.xlsx"))
    assert "sheets not read: 'Sheet' (2 rows), 'old' (1 rows)" in text
    assert 'format: {kind: excel, sheet: "Sheet"}' in draft(tmp_path / "in.xlsx")
