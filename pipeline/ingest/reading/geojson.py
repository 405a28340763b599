"""A GeoJSON feature collection -> one flat record for each feature or vertex, streamed."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pipeline.ingest.mapping.fields import GEOMETRY
from pipeline.ingest.reading.chunk import SourceError
from pipeline.ingest.reading.counting import lists_in, lists_in_text
from pipeline.ingest.reading.files import MIB
from pipeline.ingest.reading.geometry import Pair, Points, any_unreadable, check_crs, positions

_MOST_LISTS = 16
"""Lists named "features" up to the collection's own."""

_LONGEST_REST = 16 * MIB
"""Characters of the file after the list of features."""


def features(stream: IO[bytes], path: Path, points: Points) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each record with the number of its feature from 1: the properties, and the point under `GEOMETRY`.

    A feature is a record; with ``vertices``, each of its vertices is one. A feature without a geometry is a record
    without a position. Where the geometry is no point, or cannot be read, `GEOMETRY` holds the reason (`unreadable`). A
    member that is no feature comes as its text.

    Parameters
    ----------
    stream
        The file as UTF-8.
    path
        Its name, for messages.
    points
        Whether a feature or a vertex is a record.

    Raises
    ------
    SourceError
        As `members`, or a feature has other vertices by a second count.
    """
    for number, (value, text) in enumerate(members(stream, path), start=1):
        record = _record(value)
        if record is None:
            yield number, _shown(value)
            continue
        pairs = positions(value, points)
        if points == "vertices":
            _count_vertices_twice(value, text, pairs, f"{path}: feature {number}")
        for longitude, latitude in pairs:
            yield number, {**record, GEOMETRY[0]: longitude, GEOMETRY[1]: latitude}


def _count_vertices_twice(feature: dict[str, Any], text: str, pairs: list[Pair], where: str) -> None:
    """Refuse a feature of which the decoder or `positions` passed over a vertex, as where a name is there twice.

    A position is a list that does not begin with a list. Two counts must agree: in the text and in the decoded feature.
    So must two more, where every position can be read: the pairs, and the positions in the coordinates.
    """
    decoded, counted = lists_in(feature), lists_in_text(text)
    if decoded != counted:
        raise SourceError(
            f"{where}: the reader gave {decoded:,} lists of numbers, a second count {counted:,}; expected the same "
            "number, so that no vertex is lost. Look for a name that is there twice"
        )
    if any_unreadable(pairs):  # the rules reject these records, with the reason
        return
    vertices = max(1, lists_in((feature.get("geometry") or {}).get("coordinates")))
    if len(pairs) != vertices:
        raise SourceError(
            f"{where}: the reader gave {len(pairs):,} vertices, a second count {vertices:,}; expected the same number, "
            "so that none is lost"
        )


def _record(feature: Any) -> dict[str, Any] | None:
    """Return a feature's properties and its id, without the objects inside; None where it is no feature."""
    if not isinstance(feature, dict) or feature.get("type", "Feature") != "Feature":
        return None
    properties = feature.get("properties")
    if not isinstance(properties, dict | None):
        return None
    try:
        json.dumps(feature, ensure_ascii=False).encode("utf-8")  # an escape may make half a character
        return {**flat(properties or {}), **({"id": feature["id"]} if "id" in feature else {})}
    except (UnicodeEncodeError, RecursionError):
        return None


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return "[nested too deep to be shown]"


def members(stream: IO[bytes], path: Path) -> Iterator[tuple[Any, str]]:
    """Yield each decoded member of ``"features": [...]`` and its text; the buffer holds a few MiB.

    Numbers come as text, as the partner wrote them.

    Raises
    ------
    SourceError
        The file has no such list, a member or the rest of the file is not JSON, or the file's `crs` is not WGS-84.
    """
    text = _Text(stream, path)
    check_crs(text.until_features(), str(path))
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
    while True:
        character = text.next_character()
        if character == ",":
            text.position += 1
        elif character == "]":
            check_crs(text.after_features(), str(path))
            return
        elif character == "":
            raise SourceError(f"{path}: the list of features ends too early; have it sent again")
        else:
            yield text.decode(decoder)


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return an object without nesting: a key inside another object becomes ``outer.inner``.

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
    """A window that moves over the file's text."""

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

    def until_features(self) -> dict[str, Any]:
        """Go to the first feature; return the members of the collection before the list."""
        self.more()
        for match in itertools.islice(re.finditer(r'"features"\s*:\s*\[', self.text), _MOST_LISTS):
            members = _object(self.text[: match.end()] + "]}")
            if members is not None and members.get("features") == []:  # the collection's own, not one inside a member
                self.position = match.end()
                return members
        raise SourceError(
            f'{self._path}: no "features" list in its first {MIB >> 20} MiB; expected a GeoJSON FeatureCollection'
        )

    def after_features(self) -> dict[str, Any]:
        """Read the file to its end; return the members of the collection after the list."""
        while len(self.text) - self.position <= _LONGEST_REST and self.more():
            pass
        members = _object('{"features": [' + self.text[self.position :])
        if members is None:
            raise SourceError(
                f"{self._path}: after the list of features: got {self.text[self.position + 1 :][:40]!r}; expected the "
                f"end of one FeatureCollection within {_LONGEST_REST // MIB} MiB"
            )
        return members

    def next_character(self) -> str:
        while True:
            while self.position < len(self.text) and self.text[self.position].isspace():
                self.position += 1
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.more():
                return ""

    def decode(self, decoder: json.JSONDecoder) -> tuple[Any, str]:
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.position)
                if end < len(self.text):  # a number cut by the window would decode too
                    begin, self.position = self.position, end
                    return value, self.text[begin:end]
            except (ValueError, RecursionError) as error:
                problem = " ".join(str(error).split())
            else:
                problem = "the file ends inside the list"
            if not self.more():
                raise SourceError(f"{self._path}: a feature is not JSON ({problem}); have it sent again")


def _object(text: str) -> dict[str, Any] | None:
    """Decode a JSON object; None where the text is none, or a name is there twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name is there twice")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
