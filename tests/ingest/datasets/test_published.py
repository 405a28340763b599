"""The mappings of published layouts, each on a few rows made here under the publisher's own columns."""

# ruff: noqa: E501 - the rows below are files as they come

import csv
import io
import json
from pathlib import Path

import pytest

from pipeline.ingest.commands import checking
from pipeline.ingest.commands.command_line import WORLD
from pipeline.ingest.mapping.mapping import read_mapping
from pipeline.ingest.rules.source import Source
from pipeline.ingest.staging import Staged, stage
from pipeline.storage import store

# the publishers' headers: all 49 and 31 columns of GED and ACLED, of GTD's 135 those of date, place, attack, weapon and harm
UCDP_COLUMNS = (
    "id,relid,year,active_year,code_status,type_of_violence,conflict_dset_id,conflict_new_id,conflict_name,dyad_dset_id,dyad_new_id,dyad_name,"
    "side_a_dset_id,side_a_new_id,side_a,side_b_dset_id,side_b_new_id,side_b,number_of_sources,source_article,source_office,source_date,"
    "source_headline,source_original,where_prec,where_coordinates,where_description,adm_1,adm_2,latitude,longitude,geom_wkt,priogrid_gid,country,"
    "country_id,region,event_clarity,date_prec,date_start,date_end,deaths_a,deaths_b,deaths_civilians,deaths_unknown,best,high,low,gwnoa,gwnob"
)
ACLED_COLUMNS = (
    "event_id_cnty,event_date,year,time_precision,disorder_type,event_type,sub_event_type,actor1,assoc_actor_1,inter1,actor2,assoc_actor_2,inter2,"
    "interaction,civilian_targeting,iso,region,country,admin1,admin2,admin3,location,latitude,longitude,geo_precision,source,source_scale,notes,"
    "fatalities,tags,timestamp"
)
GTD_COLUMNS = (
    "eventid,iyear,imonth,iday,approxdate,extended,resolution,country,country_txt,region,region_txt,provstate,city,latitude,longitude,specificity,"
    "vicinity,location,summary,crit1,crit2,crit3,doubtterr,alternative,alternative_txt,multiple,success,suicide,attacktype1,attacktype1_txt,"
    "gname,weaptype1,weaptype1_txt,weapsubtype1,weapsubtype1_txt,weapdetail,nkill,nkillus,nkillter,nwound,nwoundus,nwoundte,property,addnotes,"
    "scite1,scite2,scite3,dbsource,INT_LOG,INT_IDEO,INT_MISC,INT_ANY,related"
)


def csv_of(columns, *rows):
    """Return a file with a publisher's columns, and its rows given as dictionaries."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns.split(","), restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def ged(number, **has):
    place = {"where_prec": 1, "latitude": 10.5, "longitude": 20.5, "country": "X", "year": 2019, "type_of_violence": 1}
    when = {"date_prec": 1, "date_start": "2019-03-04 00:00:00.000", "date_end": "2019-03-04 00:00:00.000"}
    return {"id": number, "event_clarity": 1, "best": 1, "high": 1, "low": 1, **place, **when, **has}


def event(number, **has):
    kind = {"event_type": "Explosions/Remote violence", "sub_event_type": "Remote explosive/landmine/IED"}
    place = {"latitude": 10.5, "longitude": 20.5, "geo_precision": 1, "country": "X"}
    when = {"event_date": "2019-03-04", "time_precision": 1, "timestamp": 1552000000}
    return {"event_id_cnty": f"COL{number}", "fatalities": 2, **kind, **place, **when, **has}


def attack(number, **has):
    place = {"latitude": 10.5, "longitude": 20.5, "specificity": 1, "country_txt": "X", "city": "Alfá"}
    weapon = {"weaptype1": 6, "weaptype1_txt": "Explosives", "weapsubtype1": 8, "weapsubtype1_txt": "Landmine"}
    when = {"iyear": 2019, "imonth": 3, "iday": 4}
    return {"eventid": number, "doubtterr": 0, "success": 1, "nkill": 2, "nwound": 1, **place, **weapon, **when, **has}


UCDP = csv_of(
    UCDP_COLUMNS,
    ged(1, best=3, high=4, low=2),
    ged(2, where_prec=2, event_clarity=2, date_prec=4, date_start="2019-03-01", date_end="2019-03-31", best=0),
    ged(3, where_prec=6),
    ged(4, where_prec=3, date_prec=2),
)
ACLED = csv_of(
    ACLED_COLUMNS,
    event(1, notes='said "boom", twice'),
    event(1, event_date="04 March 2019", fatalities=3, timestamp=1553000000),  # revised, and from an older export
    event(2, event_type="Protests", sub_event_type="Peaceful protest", time_precision=2),
    event(3, event_type="Battles", sub_event_type="Duel"),
    event(
        4, event_type="Strategic developments", sub_event_type="Disrupted weapons use", time_precision=3, fatalities=0
    ),
    event(5, event_type="Strategic developments", sub_event_type="Arrests"),
)
GTD = csv_of(
    GTD_COLUMNS,
    attack(201903040001),
    attack(
        201903000001,
        iday=0,
        specificity=2,
        doubtterr=-9,
        success=0,
        weapsubtype1=12,
        weapsubtype1_txt="Remote Trigger",
        nkill=0,
    ),
    attack(
        201900000001, imonth=0, iday=0, specificity=3, weapsubtype1=15, weapsubtype1_txt="Vehicle", nkill="", nwound=""
    ),
    attack(201903050001, weaptype1=5, weaptype1_txt="Firearms", weapsubtype1=5, weapsubtype1_txt="Unknown Gun Type"),
    attack(201903060001, weapsubtype1="", weapsubtype1_txt=""),
    attack(201903070001, weapsubtype1=7, weapsubtype1_txt="Grenade"),
)
IMSMA = [
    {
        "accident_id": f"ACC-{number}",
        "accident_type": "Mine/ERW accident",
        "device": {"category": "Improvised mine"},
        "victims": victims,
        "verified": True,
        "accident_date": "2019-03-04",
        "report_date": report,
        "location": {"mgrs": "34P CS 65 61"},
        "status": status,
    }
    for number, victims, report, status in [(1, 1, "2019-03-06", "New"), (1, 2, "2019-03-09", "Updated")]
] + [{"accident_id": "ACC-1", "report_date": "2019-03-12", "status": "Invalidated"}]

SQUARE_KM = pytest.approx(1000 / 2**0.5 / 0.9996)  # half the diagonal of a square of 1 km on the grid

CONTENTS = {
    "ucdp_ged": UCDP.encode(),
    "acled": ACLED.encode(),
    "gtd": GTD.encode("latin-1"),
    "imsma_accidents": "\n".join(map(json.dumps, IMSMA)).encode(),
}


def ingest(tmp_path, name):
    mapping = read_mapping(Path(f"data/sources/{name}.yaml"), measured=[])
    source = Source(name, mapping, WORLD, {}, {})
    path = tmp_path / mapping.file
    path.parent.mkdir()
    path.write_bytes(CONTENTS[name])
    staged = Staged(tmp_path / "staging")
    stage(source, staged, raw=tmp_path)
    checked = checking.check(source, path)
    assert checked.rows_in == staged.counts.rows_in
    table = store.read_table(staged.rows).to_pylist()
    columns = ("record_id", "event_type", "hazard", "occurred_precision", "location_precision_m", "victim_count")
    return [tuple(row[column] for column in columns) for row in table], staged.counts, table


@pytest.mark.parametrize(
    ("name", "made", "rules"),
    [
        (
            "ucdp_ged",
            [
                ("1", "attack_other", "unknown", "day", 1000, 3),
                ("2", "attack_other", "unknown", "month", 25000, 0),
                ("4", "attack_other", "unknown", "week", 50000, 1),
            ],
            {"excluded": 1},
        ),
        (
            "acled",
            [
                ("COL1", "explosion", "ied", "day", 5000, 2),
                ("COL1", "explosion", "ied", "day", 5000, 3),
                ("COL4", "found_cleared", "unknown", "month", 5000, 0),
            ],
            {"excluded": 2, "unmapped_value": 1},
        ),
        (
            "gtd",
            [
                ("201903040001", "explosion", "mine", "day", 5000, 2),
                ("201903000001", "found_cleared", "ied", "month", 25000, 0),
                ("201900000001", "explosion", "ied", "year", 50000, None),
                ("201903060001", "explosion", "unknown", "day", 5000, 2),
            ],
            {"excluded": 2},
        ),
        (
            "imsma_accidents",
            [("ACC-1", "explosion", "ied", "day", SQUARE_KM, 1), ("ACC-1", "explosion", "ied", "day", SQUARE_KM, 2)],
            {},
        ),
    ],
)
def test_a_published_layout_becomes_incidents(tmp_path, name, made, rules):
    rows, counts, table = ingest(tmp_path, name)
    assert rows == made
    assert counts.rules == rules
    assert counts.rows_in == counts.kept + counts.merged + counts.quarantined
    assert all(9.9 < row["latitude_deg"] < 11 and 19 < row["longitude_deg"] < 21 for row in table)


def test_a_revised_or_invalidated_record_is_closed_when_that_was_reported(tmp_path):
    table = ingest(tmp_path, "imsma_accidents")[2]
    spans = [(row["available_at"].date().isoformat(), row["superseded_at"].date().isoformat()) for row in table]
    assert spans == [("2019-03-06", "2019-03-09"), ("2019-03-09", "2019-03-12")]
