"""Rows of columns -> a file in one of the formats that partners send."""

import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import pandas as pd

Writer = Callable[[pd.DataFrame, Path], None]


def write(form: Writer, rows: pd.DataFrame, path: Path) -> None:
    """Write a file, and make its folder where it is missing.

    Parameters
    ----------
    form
        Writer of the format.
    rows
        A column for each field of the file.
    path
        Of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    form(rows, path)


def spanish_csv(rows: pd.DataFrame, path: Path) -> None:
    """Write semicolons, decimal commas, Latin-1 and DOS line ends."""
    rows.infer_objects().to_csv(path, sep=";", decimal=",", encoding="latin-1", index=False, lineterminator="\r\n")


def english_csv(rows: pd.DataFrame, path: Path) -> None:
    """Write commas, decimal points and UTF-8."""
    rows.to_csv(path, index=False, lineterminator="\n")


def json_lines(rows: pd.DataFrame, path: Path) -> None:
    """Write an object a line."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{_json(record)}\n" for record in _records(rows))


def geojson(rows: pd.DataFrame, path: Path) -> None:
    """Write a point feature a line; its position is in the columns `lat` and `lon`."""
    features = []
    for properties in _records(rows):
        point = [properties.pop("lon"), properties.pop("lat")]
        geometry = {"type": "Point", "coordinates": point}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    feature_collection(features, path)


def feature_collection(features: list[dict[str, Any]], path: Path) -> None:
    """Write GeoJSON features, one a line."""
    body = ",\n".join(map(_json, features))
    path.write_text(f'{{"type": "FeatureCollection", "features": [\n{body}\n]}}\n', encoding="utf-8", newline="\n")


def _records(rows: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Return rows as dictionaries, with None where there is no value."""
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
