import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline import params
from pipeline.ingest import stage
from pipeline.ingest.__main__ import main
from pipeline.runtime import code_closure
from pipeline.runtime.errors import DeclarationError
from pipeline.storage import schemas, store
from pipeline.storage.paths import DatasetPaths

TOWNS = "code,name,lat,lon\nA,Alfa,10.5,20.5\nB,Bravo,10.6,20.6\n"
TOWNS_MAPPING = {
    "file": "p/towns.csv",
    "about": "made by a test",
    "table": "places",
    "format": {"kind": "csv"},
    "key": ["code"],
    "fields": {"kind": {"constant": "town"}, "name": {"column": "name"}},
    "available_at": {"at": {"constant": "1990-01-01"}},
    "position": {"latitude": "lat", "longitude": "lon", "precision_m": 100},
    "marking": {"originator": "P", "releasable_to": ["ALL"], "tlp": "GREEN"},
}
REPORTS = "no;wo;was;wann\n1;A;Sprengsatz;03.02.2021\n2;B;Mine;04.02.2021\n3;C;Mine;05.02.2021\n4;A;Fund;06.02.2021\n"
REPORTS_MAPPING = {
    "file": "q/meldungen.csv",
    "about": "made by a test",
    "table": "incidents",
    "format": {"kind": "csv", "delimiter": ";"},
    "key": ["no"],
    "fields": {
        "event_type": {"constant": "explosion"},
        "hazard": {"column": "was", "values": {"Sprengsatz": "ied", "Mine": "mine"}},
    },
    "occurred_at": {"column": "wann", "formats": ["%d.%m.%Y"], "zone": "Europe/Berlin"},
    "available_at": {"delay_days": 2},
    "position": {"place": {"column": "wo", "source": "a_towns"}, "precision_m": 3000},
    "marking": {"originator": "Q", "releasable_to": ["Q"], "tlp": "AMBER"},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project with a third dataset, of files whose layout no code knows."""
    root = Path.cwd()
    settings = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    third = {**settings["datasets"]["simulated"], "sources": ["reports", "a_towns"], "simulated": False}
    third["theatre"] = {
        **third["theatre"],
        "bounds": {"south_deg": 10, "north_deg": 11, "west_deg": 20, "east_deg": 21},
    }
    third["theatre"].pop("border")
    third |= {"linkage": None, "modalities": {}, "models": {}}
    settings["datasets"]["third"] = third
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    write(tmp_path, "p/towns.csv", TOWNS)
    write(tmp_path, "q/meldungen.csv", REPORTS)
    declare(tmp_path, "a_towns", TOWNS_MAPPING)
    declare(tmp_path, "reports", REPORTS_MAPPING)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root, name, text):
    path = root / "data/raw/third" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def declare(root, name, mapping):
    path = root / f"data/sources/{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(mapping), encoding="utf-8")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["ingest", *arguments])
    main()


def ingest(monkeypatch):
    run(monkeypatch, "--dataset", "third")


def written(root):
    """Return the bytes of everything that the stage writes."""
    folders = [root / "data/tables/third", root / "data/quarantine/third", root / "reports/third"]
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}


def test_files_nobody_wrote_code_for_become_tables(project, monkeypatch, capsys):
    ingest(monkeypatch)
    table = store.read_table(Path("data/tables/third/incidents.parquet")).to_pylist()
    made = [(row["incident_id"], row["hazard"], row["latitude_deg"], row["occurred_at"].isoformat()) for row in table]
    assert made == [
        ("reports:1", "ied", 10.5, "2021-02-02T23:00:00+00:00"),
        ("reports:2", "mine", 10.6, "2021-02-03T23:00:00+00:00"),
    ]
    rejected = store.read_table(Path("data/quarantine/third/quarantine.parquet")).to_pylist()
    assert [(row["rule"], row["tlp"], row["releasable_to"]) for row in rejected] == [
        ("unknown_place", "AMBER", ["Q"]),
        ("unmapped_value", "AMBER", ["Q"]),
    ]
    assert sorted(path.stem for path in Path("data/tables/third").iterdir()) == sorted([*schemas.tables(), "merges"])
    report = store.read_json(Path("reports/third/ingest.json"))
    assert report["total"] == {"rows_in": 6, "kept": 4, "merged": 0, "quarantined": 2}
    printed = capsys.readouterr().out
    assert "reports" in printed
    assert "unknown_place 1, unmapped_value 1" in printed


def test_the_same_input_gives_the_same_bytes_with_and_without_staged_files(project, monkeypatch):
    ingest(monkeypatch)
    first = written(project)
    ingest(monkeypatch)
    assert written(project) == first
    shutil.rmtree("data/staging")
    ingest(monkeypatch)
    assert written(project) == first


def test_a_new_file_is_read_and_the_others_are_not(project, monkeypatch):
    ingest(monkeypatch)
    read = []
    reading = stage.stage.__globals__["readers"].read
    monkeypatch.setattr(
        "pipeline.ingest.reading.readers.read",
        lambda path, *more, **options: read.append(path.name) or reading(path, *more, **options),
    )
    ingest(monkeypatch)
    assert read == []
    write(project, "q/meldungen.csv", REPORTS + "5;A;Mine;07.02.2021\n")
    ingest(monkeypatch)
    assert read == ["meldungen.csv"]
    write(project, "p/towns.csv", TOWNS + "C,Charlie,10.7,20.7\n")  # places are looked up in it
    ingest(monkeypatch)
    assert read == ["meldungen.csv", "towns.csv", "meldungen.csv"]
    assert store.read_json(Path("reports/third/ingest.json"))["sources"]["reports"]["rules"] == {"unmapped_value": 1}


def test_a_retry_after_mending_gives_the_tables_that_a_fresh_run_gives(project, monkeypatch, capsys):
    ingest(monkeypatch)
    mended = {**REPORTS_MAPPING, "fields": {**REPORTS_MAPPING["fields"]}}
    mended["fields"]["hazard"] = {"column": "was", "values": {"Sprengsatz": "ied", "Mine": "mine", "Fund": "unknown"}}
    declare(project, "reports", mended)
    capsys.readouterr()
    run(monkeypatch, "retry", "--dataset", "third")
    assert "reports: 1 of 2 rejected rows fit now" in capsys.readouterr().out
    retried = written(project)
    assert store.read_table(Path("data/tables/third/incidents.parquet")).num_rows == 3
    shutil.rmtree("data/staging")
    ingest(monkeypatch)
    assert written(project) == retried


def test_check_shows_the_result_for_a_file_and_writes_nothing(project, monkeypatch, capsys):
    ingest(monkeypatch)
    before = written(project)
    capsys.readouterr()
    run(monkeypatch, "check", "data/sources/reports.yaml", "data/raw/third/q/meldungen.csv")
    shown = capsys.readouterr().out
    assert "rows in 4 = would map 2 + withdrawals 0 + rejected 2" in shown
    assert "meldungen.csv row 3: 'C' is not a place of a_towns" in shown
    assert "reports:1 | reports:2" in shown
    assert written(project) == before


def test_check_names_unused_columns_and_idle_parts_of_the_mapping(project, monkeypatch, capsys):
    idle = {
        **TOWNS_MAPPING,
        "fields": {"kind": {"column": "name", "values": {"Alfa": "town", "Bravo": "town", "Zulu": "town"}}},
    }
    idle["available_at"] = {"at": {"column": "code", "formats": ["iso8601"]}}
    declare(project, "a_towns", idle)
    write(project, "p/towns.csv", TOWNS.replace("\n", ",x\n"))
    run(monkeypatch, "check", "data/sources/a_towns.yaml", "data/raw/third/p/towns.csv")
    shown = capsys.readouterr().out
    assert "columns not used: x" in shown
    assert "available_at.at.formats: iso8601" in shown
    assert "fields.kind.values: Zulu" in shown


def test_a_draft_is_a_mapping_but_for_values_that_only_a_person_knows(project, monkeypatch, capsys):
    run(monkeypatch, "draft", "data/raw/third/q/meldungen.csv")
    text = capsys.readouterr().out
    drafted = yaml.safe_load(text)
    assert drafted["format"] == {"kind": "csv", "delimiter": ";"}
    assert drafted["key"] == ["no"]
    assert drafted["occurred_at"]["column"] == "wann"
    assert drafted["occurred_at"]["formats"] == ["%d.%m.%Y"]
    Path("data/sources/drafted.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        run(monkeypatch, "check", "data/sources/drafted.yaml", "data/raw/third/q/meldungen.csv")
    message = str(caught.value)
    for key in ("about", "occurred_at.precision", "position.latitude", "marking.originator", "marking.releasable_to.0"):
        assert f"data/sources/drafted.yaml: {key}: got '?'; " in message


UNKNOWN = (
    "Ref\tDate of incident\tReceived\tlat\tlon\tType of incident\tDevice\tInjured\n"
    "R1\t07.05.2021\t09.05.2021 14:30\t12,5\t44,1\tExplosión\tIED\t2\n"
    "R2\t08.05.2021\t10.05.2021 09:05\t12,6\t44,2\tHallazgo\t\t\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_finished_draft_of_an_unknown_file_maps_all_of_its_rows(project, monkeypatch, capsys, encoding):
    path = project / "unknown.csv"
    path.write_bytes(UNKNOWN.encode(encoding))
    run(monkeypatch, "draft", str(path))
    text = capsys.readouterr().out
    drafted = yaml.safe_load(text)
    assert drafted["format"].get("encoding", "utf-8") == encoding
    assert drafted["available_at"]["at"]["column"] == "Received"
    assert drafted["fields"]["hazard"]["values"] == {"": "?", "IED": "?"}
    for blank, value in (
        ('about: "?"', "about: a test"),
        ('"Explosión": "?"', "Explosión: explosion"),
        ('"Hallazgo": "?"', "Hallazgo: found_cleared"),
        ('"": "?"', '"": unknown'),
        ('"IED": "?"', "IED: ied"),
        ('source_reliability: {constant: "?"}', "source_reliability: {constant: F}"),
        ('information_credibility: {constant: "?"}', "information_credibility: {constant: 2}"),
        ('zone: "?"', "zone: Asia/Aden"),
        ('precision: "?"', "precision: day"),
        ('precision_m: "?"', "precision_m: 200"),
        ('originator: "?", releasable_to: ["?"], tlp: "?"', "originator: P, releasable_to: [P], tlp: GREEN"),
    ):
        assert blank in text
        text = text.replace(blank, value)
    declare(project, "unknown", yaml.safe_load(text))
    run(monkeypatch, "check", "data/sources/unknown.yaml", str(path))
    shown = capsys.readouterr().out
    assert "rows in 2 = would map 2 + withdrawals 0 + rejected 0" in shown
    assert "ied | unknown" in shown


def test_a_gazetteer_must_be_a_source_of_the_dataset(project, monkeypatch):
    mapping = {**REPORTS_MAPPING, "position": {"place": {"column": "wo", "source": "a_town"}, "precision_m": 3000}}
    declare(project, "reports", mapping)
    with pytest.raises(DeclarationError, match="did you mean 'a_towns'"):
        ingest(monkeypatch)


def test_decisions_that_no_linkage_would_follow_are_refused(project, monkeypatch):
    declare(project, "links/third", {"never": [{"reports": ["reports:1", "reports:2"], "because": "two places"}]})
    with pytest.raises(DeclarationError, match=r"links/third.yaml: .*datasets.third has no linkage"):
        ingest(monkeypatch)


def test_a_broken_file_leaves_the_tables_as_they_were(project):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "pipeline.ingest", "--dataset", "third"]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    before = written(project)
    write(project, "q/meldungen.csv", REPORTS.replace("wann", "wan"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "data/raw/third/q/meldungen.csv: column 'wann' is not in the file; did you mean 'wan'? (has: no, wo, was, wan)"
    )
    assert written(project) == before


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of a fork: the child is killed in any case
def test_a_killed_ingest_leaves_the_old_tables_or_the_new_ones_whole(project, monkeypatch):
    """The same two inputs by turns; whatever moment the kill hits, the tables are those of one of them."""
    inputs = [REPORTS * 1, REPORTS + "".join(f"{n};A;Mine;07.02.2021\n" for n in range(10, 3000))]
    tables = []
    for text in inputs:
        write(project, "q/meldungen.csv", text)
        ingest(monkeypatch)
        tables.append({path.name: path.read_bytes() for path in Path("data/tables/third").iterdir()})
    where, settings = DatasetPaths("third"), params.load()
    shutil.rmtree(where.staging)
    started = time.monotonic()
    ingest(monkeypatch)
    takes_s = time.monotonic() - started
    moment = random.Random(7)
    for turn in range(50):
        write(project, "q/meldungen.csv", inputs[turn % 2])
        shutil.rmtree(where.staging, ignore_errors=True)
        child = os.fork()
        if child == 0:
            done = stage.ingest("third", settings, sources=Path("data/sources"), raw=where.raw, staging=where.staging)
            stage.write(done, where, measured={}, linking=None)
            os._exit(0)
        time.sleep(moment.uniform(0, 1.3 * takes_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left = {path.name: path.read_bytes() for path in Path("data/tables/third").iterdir()}
        assert left in tables
    ingest(monkeypatch)
    assert {path.name: path.read_bytes() for path in Path("data/tables/third").iterdir()} == tables[1]


def test_a_file_is_read_again_after_a_change_of_any_code_that_reads_or_maps_it_and_of_no_other() -> None:
    names = [name.removeprefix("pipeline.ingest.") for name in code_closure.closure("pipeline.ingest.staging")]
    wings = {name.split(".")[0] for name in names if not name.startswith(("pipeline", "threat_scorer"))}
    assert {"mapping", "reading", "rules", "versions", "staging", "staging_key"} == wings
    assert {"pipeline.storage.schemas", "pipeline.storage.store", "pipeline.runtime.portable_math"} <= set(names)
