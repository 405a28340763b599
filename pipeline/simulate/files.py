"""Reports, observations and ground -> the partners' files: three formats, two languages, each partner's own words.

Every record states that it is an exercise, in the partner's language.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.runtime import portable_math
from pipeline.simulate import formats
from pipeline.simulate.faults import Columns, add_faulty
from pipeline.simulate.ground import Ground
from pipeline.simulate.scenario import Scenario

_Form = Callable[[pd.DataFrame, Scenario], pd.DataFrame]
COMMAND_UTC_OFFSET = np.timedelta64(-1, "h")
"""The command writes local time: UTC-1 all year."""

_SPANISH = {
    "status": {"report": "informe", "correction": "corrección", "withdrawal": "anulación"},
    "event_type": {
        "explosion": "explosión",
        "found_cleared": "hallazgo",
        "seizure": "incautación",
        "attack_other": "otro ataque",
        "threat_report": "amenaza",
        "hoax_false": "falsa alarma",
    },
    "hazard": {"ied": "AEI", "mine": "mina", "uxo": "MUSE", "unknown": "sin información"},
    "kind": {"patrol": "patrulla", "activity": "tráfico", "uav_sighting": "avistamiento aéreo"},
}
_MINE_ACTION = {
    "status": {"report": "new", "correction": "amended", "withdrawal": "void"},
    "event_type": {"explosion": "accident", "found_cleared": "spot task"},
    "hazard": {"ied": "IED", "mine": "AP mine", "uxo": "ERW", "unknown": "not stated"},
}
_MONITOR = {
    "status": {"report": "published", "correction": "revised", "withdrawal": "retracted"},
    "event_type": {
        "explosion": "blast",
        "found_cleared": "device found",
        "attack_other": "armed attack",
        "threat_report": "threat",
    },
    "hazard": {"ied": "improvised", "mine": "mine", "uxo": "unexploded", "unknown": "unclear"},
}


def write_incidents(
    partner: str, reports: pd.DataFrame, scenario: Scenario, ground: Ground, raw: Path
) -> tuple[str, pd.DataFrame]:
    """Write one partner's reports; return the file's name under `raw` and its faulty rows.

    Parameters
    ----------
    partner, reports
        Name of the partner, and its reports from `partners.report`.
    scenario, ground, raw
        The theatre, and the folder of all partners' files.
    """
    form, write, name, columns = _INCIDENT_FILES[partner]
    random = scenario.random(f"faults {partner}")
    rows, faults = add_faulty(form(_with_degrees(reports, ground), scenario), columns, ground, random)
    formats.write(write, rows, raw / name)
    return name, faults


def write_observations(observations: pd.DataFrame, scenario: Scenario, ground: Ground, raw: Path) -> None:
    """Write what the partners report besides incidents: patrols, traffic and sightings, tips, clearance.

    Parameters
    ----------
    observations
        As in `Happenings.observations`.
    scenario, ground, raw
        As for `write_incidents`.
    """
    random = scenario.random("observation files")
    for kinds, (form, write, name, delay_days) in _OBSERVATION_FILES.items():
        rows = _with_degrees(observations[observations["kind"].isin(kinds)], ground)
        period = np.where(rows["precision"] == "week", 7.0, 0.0)
        rows["reported_day"] = rows["day"] + period + delay_days * portable_math.exp(random.normal(0, 0.5, len(rows)))
        rows = rows[rows["reported_day"] < scenario.size.days]
        formats.write(write, form(rows.sort_values(["reported_day", "kind", "x_m"]), scenario), raw / name)


def write_ground(scenario: Scenario, ground: Ground, raw: Path) -> None:
    """Write the gazetteer: towns, hamlets, roads, rivers, and population and elevation by cell.

    Parameters
    ----------
    scenario, ground, raw
        As for `write_incidents`.
    """
    random = scenario.random("gazetteer")
    on_land = ground.population > 0
    by_a_road = (ground.road_m > 0) | (random.random(len(ground.cells)) < 0.4)
    inhabited = np.flatnonzero(by_a_road & on_land)
    hamlets_m = ground.centre_m[inhabited] + random.uniform(-500, 500, (len(inhabited), 2))
    parts = [
        ("town", ground.towns_m, ground.town_population),
        ("settlement", hamlets_m, np.full(len(hamlets_m), np.nan)),
        ("road", ground.roads_m[::4], np.full(len(ground.roads_m[::4]), np.nan)),
        ("river", ground.rivers_m[::2], np.full(len(ground.rivers_m[::2]), np.nan)),
        ("population", ground.centre_m[on_land], ground.population[on_land]),
        ("elevation", ground.centre_m[on_land], np.round(ground.elevation_m[on_land])),
    ]
    units = {"town": "persons", "population": "persons", "elevation": "m"}
    frames = []
    for kind, points_m, value in parts:
        latitude, longitude = ground.projection.degrees(points_m)
        named = kind in ("town", "settlement")
        columns = {
            "id": [f"{kind}-{number:06d}" for number in range(len(points_m))],
            "kind": kind,
            "name": [f"{kind.title()} {number}" if named else "" for number in range(1, len(points_m) + 1)],
            "value": value,
            "unit": units.get(kind, "1"),
            "lat": np.round(latitude, 5),
            "lon": np.round(longitude, 5),
            "surveyed": "2015-01-01",
            "exercise": "EXERCISE",
        }
        frames.append(pd.DataFrame(columns))
    formats.write(formats.english_csv, pd.concat(frames, ignore_index=True), raw / "ground/places.csv")


def write_border(ground: Ground, raw: Path) -> None:
    """Write the border of the theatre: one polygon."""
    latitude, longitude = (np.round(axis, 5).tolist() for axis in ground.projection.degrees(ground.border_m))
    ring = list(zip(longitude, latitude, strict=True))
    properties = {"name": "edge of the waters", "exercise": "EXERCISE"}
    polygon = {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    formats.feature_collection([polygon], raw / "ground/border.geojson")


def _with_degrees(rows: pd.DataFrame, ground: Ground) -> pd.DataFrame:
    latitude, longitude = ground.projection.degrees(rows[["x_m", "y_m"]].to_numpy())
    return rows.assign(latitude=np.round(latitude, 5), longitude=np.round(longitude, 5))


def _command(rows: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "expediente": rows["record_id"],
            "estado": rows["status"].map(_SPANISH["status"]),
            "fecha_hora": _local(rows["day"], scenario),
            "informado": _local(rows["reported_day"], scenario),
            "latitud": rows["latitude"],
            "longitud": rows["longitude"],
            "radio_m": rows["location_precision_m"],
            "suceso": rows["event_type"].map(_SPANISH["event_type"]),
            "artefacto": rows["hazard"].map(_SPANISH["hazard"]),
            "victimas": rows["victim_count"].astype(int),
            "fiabilidad": rows["source_reliability"],
            "credibilidad": rows["information_credibility"],
            "ejercicio": "EJERCICIO",
        }
    )


def _command_observations(rows: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "registro": _numbered("O", len(rows)),
            "tipo": rows["kind"].map(_SPANISH["kind"]).to_numpy(),
            "fecha": _local(rows["day"], scenario, "%d/%m/%Y"),
            "duracion": rows["precision"].map({"week": "semana", "day": "día"}).to_numpy(),
            "informado": _local(rows["reported_day"], scenario),
            "latitud": rows["latitude"].to_numpy(),
            "longitud": rows["longitude"].to_numpy(),
            "valor": rows["value"].to_numpy(),
            "ejercicio": "EJERCICIO",
        }
    )


def _mine_action(rows: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": rows["record_id"],
            "status": rows["status"].map(_MINE_ACTION["status"]),
            "date": _date(rows["day"], scenario),
            "reported_at": _iso(rows["reported_day"], scenario),
            "lat": rows["latitude"],
            "lon": rows["longitude"],
            "radius_m": rows["location_precision_m"],
            "event": rows["event_type"].map(_MINE_ACTION["event_type"]),
            "device": rows["hazard"].map(_MINE_ACTION["hazard"]),
            "casualties": rows["victim_count"].astype(int),
            "reliability": rows["source_reliability"],
            "credibility": rows["information_credibility"],
            "exercise": "EXERCISE",
        }
    )


def _clearance(rows: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": _numbered("K", len(rows)),
            "completed": _date(rows["day"], scenario),
            "reported_at": _iso(rows["reported_day"], scenario),
            "lat": rows["latitude"].to_numpy(),
            "lon": rows["longitude"].to_numpy(),
            "area_m2": rows["value"].to_numpy(),
            "exercise": "EXERCISE",
        }
    )


def _monitor(rows: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ref": rows["record_id"],
            "action": rows["status"].map(_MONITOR["status"]),
            "date": _date(rows["day"], scenario),
            "date_precision": rows["precision"],
            "published": _iso(rows["reported_day"], scenario),
            "kind": rows["event_type"].map(_MONITOR["event_type"]),
            "weapon": rows["hazard"].map(_MONITOR["hazard"]),
            "killed_or_injured": rows["victim_count"].astype(int),
            "accuracy_m": rows["location_precision_m"],
            "grade": rows["source_reliability"],
            "credence": rows["information_credibility"],
            "lat": rows["latitude"],
            "lon": rows["longitude"],
            "exercise": "EXERCISE",
        }
    )


def _tips(rows: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ref": _numbered("T", len(rows)),
            "heard": _date(rows["day"], scenario),
            "logged": _iso(rows["reported_day"], scenario),
            "lat": rows["latitude"].to_numpy(),
            "lon": rows["longitude"].to_numpy(),
            "exercise": "EXERCISE",
        }
    )


def _local(days: pd.Series, scenario: Scenario, form: str = "%d/%m/%Y %H:%M") -> NDArray[np.str_]:
    return _text(scenario.instants(days.to_numpy()) + COMMAND_UTC_OFFSET, form)


def _date(days: pd.Series, scenario: Scenario) -> NDArray[np.str_]:
    return _text(scenario.instants(days.to_numpy()), "%Y-%m-%d")


def _iso(days: pd.Series, scenario: Scenario) -> NDArray[np.str_]:
    return _text(scenario.instants(days.to_numpy()), "%Y-%m-%dT%H:%M:%SZ")


def _text(instants: NDArray[np.datetime64], form: str) -> NDArray[np.str_]:
    return np.asarray(pd.DatetimeIndex(instants).strftime(form), dtype=np.str_)


def _numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{number:06d}" for number in range(1, count + 1)]


_INCIDENT_FILES: dict[str, tuple[_Form, formats.Writer, str, Columns]] = {
    "command": (
        _command,
        formats.spanish_csv,
        "command/incidentes.csv",
        Columns("expediente", "latitud", "longitud", "fecha_hora", "31/02/2021 10:00", "suceso"),
    ),
    "mine_action": (
        _mine_action,
        formats.json_lines,
        "mine_action/accidents.jsonl",
        Columns("id", "lat", "lon", "date", "2021-02-30", "event"),
    ),
    "monitor": (
        _monitor,
        formats.geojson,
        "monitor/events.geojson",
        Columns("ref", "lat", "lon", "date", "2021-02-30", "kind"),
    ),
}
_OBSERVATION_FILES: dict[tuple[str, ...], tuple[_Form, formats.Writer, str, float]] = {
    # kinds -> form, format, file, median days from the end of the period to the report
    ("patrol", "activity", "uav_sighting"): (
        _command_observations,
        formats.spanish_csv,
        "command/observaciones.csv",
        0.7,
    ),
    ("tip",): (_tips, formats.english_csv, "monitor/tips.csv", 0.5),
    ("clearance",): (_clearance, formats.json_lines, "mine_action/clearance.jsonl", 20.0),
}
