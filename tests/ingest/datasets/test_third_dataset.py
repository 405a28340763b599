"""A theatre that no code knows: a mapping, a gazetteer, a mirror and an entry in params.yaml run the whole chain."""

import hashlib
import json
import re
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.project import Project, copy_of_the_project

FIRST, DAYS, VILLAGES = date(2018, 1, 1), 1400, 40
ENTRY = {
    "simulated": False,
    "sources": ["hamlets", "harbour_watch"],
    "theatre": {
        "bounds": {"south_deg": 10.0, "north_deg": 11.0, "west_deg": 20.0, "east_deg": 21.0},
        "h3_resolution": 6,
        "within_km": 8,
        "zone": "UTC",
    },
    "linkage": None,
    "modalities": {},
    "models": {
        "area_risk_28d": {
            "label": {"event_types": ["explosion"], "hazards": ["ied", "mine"], "sources": []},
            "horizon_days": 28,
            "cutoff_every_days": 28,
            "retrain_every_days": 112,
            "history_from": "2018-01-01",
            "train_from": "2018-07-01",
            "test_from": "2020-07-01",
            "test_until": "2021-10-01",
        },
    },
}
MARKING = {"originator": "HARBOUR", "releasable_to": ["HARBOUR", "NORTH"], "tlp": "AMBER"}
HAMLETS = {
    "file": "harbour/hamlets.jsonl",
    "about": "made by a test",
    "table": "places",
    "format": {"kind": "jsonl"},
    "key": ["pin"],
    "fields": {"kind": {"constant": "settlement"}, "name": {"column": "called"}},
    "available_at": {"at": {"constant": "2000-01-01"}},
    "position": {"latitude": "at.n", "longitude": "at.e", "precision_m": 200},
    "marking": MARKING,
}
WATCH = {
    "file": "harbour/watch.txt",
    "about": "made by a test",
    "table": "incidents",
    "format": {"kind": "csv", "delimiter": "|", "encoding": "utf-16"},
    "key": ["entry"],
    "fields": {
        "event_type": {"column": "what", "values": {"bang": "explosion", "seen": "found_cleared"}},
        "hazard": {"column": "of", "values": {"pot": "ied", "plate": "mine", "?": None}},
        "victim_count": {"column": "hurt"},
    },
    "occurred_at": {"columns": ["yr", "doy"], "formats": ["%Y %j"], "zone": "Africa/Bangui", "precision": "day"},
    "available_at": {"delay_days": 4},
    "position": {"place": {"column": "pin", "source": "hamlets"}, "precision_m": 1500},
    "marking": MARKING,
}


def files() -> dict[str, bytes]:
    """Return the partner's two files: an island of hamlets, some of which are struck again and again."""
    chance = np.random.default_rng(3)
    at = chance.uniform([10.1, 20.1], [10.9, 20.9], (VILLAGES, 2)).round(4).tolist()
    hamlets = [{"pin": f"P{i}", "called": f"Hamlet {i}", "at": {"n": n, "e": e}} for i, (n, e) in enumerate(at)]
    per_day = 0.02 * (np.arange(VILLAGES) % 8 == 0) + 0.0008
    rows = ["entry|yr|doy|pin|what|of|hurt"]
    for day, village in np.argwhere(chance.random((DAYS, VILLAGES)) < per_day).tolist():
        when = FIRST + timedelta(days=day)
        what, of = ("seen", "plate") if chance.random() < 0.2 else ("bang", "pot")
        rows.append(f"{len(rows)}|{when.year}|{when.timetuple().tm_yday}|P{village}|{what}|{of}|{day % 4}")
    rows.append(f"{len(rows)}|2019|366|P1|bang|pot|1")  # 2019 has no such day
    return {
        HAMLETS["file"]: "\n".join(map(json.dumps, hamlets)).encode(),
        WATCH["file"]: "\r\n".join(rows).encode("utf-16"),
    }


@pytest.fixture
def project(tmp_path: Path, empty_mlflow: Path) -> Project:
    project = copy_of_the_project(tmp_path / "project")
    shutil.copy(empty_mlflow, project.root)
    for name, mapping in (("hamlets", HAMLETS), ("harbour_watch", WATCH)):
        (project.root / f"data/sources/{name}.yaml").write_text(yaml.safe_dump(mapping))
    entry = yaml.safe_dump({"harbour": ENTRY}, default_flow_style=False)
    indented = "".join(f"  {line}\n" for line in entry.splitlines())
    project.edit("params.yaml", "\ndatasets:\n", f"\ndatasets:\n{indented}")
    settings = project.root / "params.yaml"
    settings.write_text(re.sub(r"\b(random|adversarial)_rows: \d+", r"\1_rows: 500", settings.read_text()))
    lines = []
    for name, content in files().items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (tmp_path / "mirror/SHA256SUMS").write_text("".join(sorted(lines)))
    return project


def test_a_theatre_nobody_wrote_code_for_runs_from_its_files_to_the_report(project: Project, tmp_path: Path) -> None:
    mirror = str(tmp_path / "mirror")
    project.succeed(sys.executable, "-m", "pipeline.select_dataset", "harbour", DATA_MIRROR=mirror)
    project.succeed("dvc", "repro", DATA_MIRROR=mirror)
    reports = project.root / "reports/harbour"
    ingested = json.loads((reports / "ingest.json").read_text())["total"]
    assert ingested["rows_in"] == ingested["kept"] + ingested["quarantined"]
    assert ingested["quarantined"] == 1
    metrics = json.loads((reports / "metrics.json").read_text())
    assert "sensor_threat" not in metrics
    skill = metrics["area_risk_28d"]["theatre"]["models"]["lightgbm"]
    assert skill["roc_auc"] > 0.7  # eight hamlets are struck most often
    fit = json.loads((project.root / "models/harbour/area_risk_28d/fit.json").read_text())
    assert fit["marking"]["releasable_to"] == ["HARBOUR", "NORTH"]
    assert (project.root / "models/harbour/bundle/area_risk_28d.onnx").exists()
