"""A GeoJSON feature collection -> one flat record a feature, or a vertex, without holding the file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

from pipeline.ingest.chunk import SourceError
from pipeline.ingest.entries import GEOMETRY
from pipeline.ingest.files import MIB


def features(stream: IO[bytes], path: Path, points: Literal["features", "vertices"]) -> Iterator[dict[str, Any] | str]:
    """Give the properties of each feature, with its point under `GEOMETRY`.

    A feature whose geometry is no point has no position; with ``vertices`` each vertex of its lines is a record.
    A feature that is not an object is given back as its text.
    """
    for value in members(stream, path):
        properties = value.get("properties") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(properties, dict | None) or not _is_text(value):
            yield json.dumps(value)
            continue
        record = {**flat(properties or {}), **({"id": value["id"]} if "id" in value else {})}
        vertices = list(_vertices((value.get("geometry") or {}).get("coordinates")))
        for longitude, latitude in (
            vertices if points == "vertices" else vertices[:1] if len(vertices) == 1 else [(None, None)]
        ):
            yield {**record, GEOMETRY[0]: longitude, GEOMETRY[1]: latitude}


def _is_text(value: dict[str, Any]) -> bool:
    """Tell whether no escape makes half a character, which no table could hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _vertices(coordinates: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(coordinates, list):
        return
    if len(coordinates) >= 2 and not isinstance(coordinates[0], list):
        yield coordinates[0], coordinates[1]
        return
    for part in coordinates:
        yield from _vertices(part)


def members(stream: IO[bytes], path: Path) -> Iterator[Any]:
    """Decode the members of ``"features": [...]`` one at a time; the rest of the file is a buffer of a few MiB.

    Numbers come as text, as the partner wrote them.

    Raises
    ------
    SourceError
        There is no such list, or a member of it is not JSON.
    """
    text = _Text(stream, path)
    head = text.until_features()
    if head is None:
        raise SourceError(
            f'{path}: no "features" list in its first {MIB >> 20} MiB; expected a GeoJSON FeatureCollection'
        )
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
    while True:
        character = text.next_character()
        if character == ",":
            text.position += 1
        elif character == "]":
            return
        elif character == "":
            raise SourceError(f"{path}: the list of features ends too early; have it sent again")
        else:
            yield text.decode(decoder)


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return an object with the objects inside it drawn up.

    Examples
    --------
    >>> flat({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    result: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, dict):
            result.update(flat(entry, f"{prefix}{key}."))
        else:
            result[prefix + key] = entry
    return result


class _Text:
    """A growing window on the file's text."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._bytes = b""
        self.text = ""
        self.position = 0

    def more(self) -> bool:
        piece = self._stream.read(MIB)
        self._bytes += piece
        try:
            text, self._bytes = self._bytes.decode("utf-8"), b""
        except UnicodeDecodeError as error:
            if error.end < len(self._bytes) or not piece:
                raise SourceError(f"{self._path}: not UTF-8 ({error.reason}); state format.encoding") from None
            text, self._bytes = self._bytes[: error.start].decode("utf-8"), self._bytes[error.start :]
        self.text = self.text[self.position :] + text
        self.position = 0
        return bool(piece)

    def until_features(self) -> str | None:
        self.more()
        found = self.text.find('"features"')
        start = self.text.find("[", found) if found >= 0 else -1
        if start < 0:
            return None
        self.position = start + 1
        return self.text[:start]

    def next_character(self) -> str:
        while True:
            while self.position < len(self.text) and self.text[self.position].isspace():
                self.position += 1
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.more():
                return ""

    def decode(self, decoder: json.JSONDecoder) -> Any:
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.position)
                if end < len(self.text):  # a number cut by the window would decode too
                    self.position = end
                    return value
            except (ValueError, RecursionError) as error:
                problem = " ".join(str(error).split())
            else:
                problem = "the file ends inside the list"
            if not self.more():
                raise SourceError(f"{self._path}: a feature is not JSON ({problem}); have it sent again")
