"""The mappings of published layouts, each on a few rows made here with the public columns."""

# ruff: noqa: E501 - the rows below are files as they come

import json
from pathlib import Path

import pytest

from pipeline import store
from pipeline.ingest import checking
from pipeline.ingest.commands import WORLD
from pipeline.ingest.mapping import read_mapping
from pipeline.ingest.sources import Source
from pipeline.ingest.staging import Staged, stage

UCDP = """\
id,relid,year,type_of_violence,conflict_name,where_prec,where_coordinates,adm_1,latitude,longitude,country,event_clarity,date_prec,date_start,date_end,best,high,low
1,A-1,2019,1,X: Government,1,Alfa town,North,10.5,20.5,X,1,1,2019-03-04 00:00:00.000,2019-03-04 00:00:00.000,3,4,2
2,A-2,2019,1,X: Government,2,Alfa town,North,10.6,20.6,X,2,4,2019-03-01,2019-03-31,0,4,0
3,A-3,2019,1,X: Government,6,X,,10.7,20.7,X,1,1,2019-03-05,2019-03-05,1,1,1
"""
ACLED = """\
event_id_cnty,event_date,year,time_precision,disorder_type,event_type,sub_event_type,actor1,iso,region,country,latitude,longitude,geo_precision,source,notes,fatalities,timestamp
XXX1,04 March 2019,2019,1,Political violence,Explosions/Remote violence,Remote explosive/landmine/IED,A,1,R,X,10.5,20.5,1,S,"said ""boom"", twice",2,1552000000
XXX1,04 March 2019,2019,1,Political violence,Explosions/Remote violence,Remote explosive/landmine/IED,A,1,R,X,10.5,20.5,1,S,revised,3,1553000000
XXX2,2019-03-05,2019,2,Demonstrations,Protests,Peaceful protest,A,1,R,X,10.5,20.5,1,S,,0,1552000000
XXX3,2019-03-06,2019,1,Political violence,Battles,Duel,A,1,R,X,10.5,20.5,1,S,,0,1552000000
"""
GTD = """\
eventid,iyear,imonth,iday,country_txt,city,latitude,longitude,specificity,doubtterr,success,weaptype1,weaptype1_txt,weapsubtype1_txt,nkill,nwound
201903040001,2019,3,4,X,Alfá,10.5,20.5,1,0,1,6,Explosives,Landmine,2,1
201903000001,2019,3,0,X,Alfa,10.5,20.5,2,-9,0,6,Explosives,Remote Trigger,0,0
201900000001,2019,0,0,X,Alfa,10.5,20.5,3,1,1,6,Explosives,Vehicle,,
201903050001,2019,3,5,X,Alfa,10.5,20.5,1,0,1,5,Firearms,,1,0
"""
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
    assert checked.rows_in == staged.counts["rows_in"]
    table = store.read_table(staged.rows).to_pylist()
    columns = ("record_id", "event_type", "hazard", "occurred_precision", "location_precision_m", "victim_count")
    return [tuple(row[column] for column in columns) for row in table], staged.counts, table


@pytest.mark.parametrize(
    ("name", "made", "rules"),
    [
        (
            "ucdp_ged",
            [("1", "attack_other", "unknown", "day", 1000, 3), ("2", "attack_other", "unknown", "month", 25000, 0)],
            {"excluded": 1},
        ),
        (
            "acled",
            [("XXX1", "explosion", "ied", "day", 5000, 2), ("XXX1", "explosion", "ied", "day", 5000, 3)],
            {"excluded": 1, "unmapped_value": 1},
        ),
        (
            "gtd",
            [
                ("201903040001", "explosion", "mine", "day", 5000, 2),
                ("201903000001", "found_cleared", "ied", "month", 25000, 0),
                ("201900000001", "explosion", "ied", "year", 50000, None),
            ],
            {"excluded": 1},
        ),
        (
            "imsma_accidents",
            [("ACC-1", "explosion", "ied", "day", 100, 1), ("ACC-1", "explosion", "ied", "day", 100, 2)],
            {},
        ),
    ],
)
def test_a_published_layout_becomes_incidents(tmp_path, name, made, rules):
    rows, counts, table = ingest(tmp_path, name)
    assert rows == made
    assert counts["rules"] == rules
    assert counts["rows_in"] == counts["kept"] + counts["merged"] + counts["quarantined"]
    assert all(9.9 < row["latitude_deg"] < 11 and 19 < row["longitude_deg"] < 21 for row in table)


def test_a_revised_or_invalidated_record_is_closed_when_that_was_reported(tmp_path):
    table = ingest(tmp_path, "imsma_accidents")[2]
    spans = [(row["available_at"].date().isoformat(), row["superseded_at"].date().isoformat()) for row in table]
    assert spans == [("2019-03-06", "2019-03-09"), ("2019-03-09", "2019-03-12")]
