"""Values from outside become declared dataclasses, or an error that names the field."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threat_scorer.parsing import strict_json, typed_fields
from threat_scorer.parsing.typed_fields import FieldError, limited, one_of, renamed


@dataclass(frozen=True)
class Point:
    x: float
    label: str | None


@dataclass(frozen=True)
class Line:
    points: tuple[Point, ...]
    weights: dict[str, int]
    closed: bool


@dataclass(frozen=True)
class FileOutput:
    path: Path
    kind: ClassVar[str] = "file"


@dataclass(frozen=True)
class TcpOutput:
    port: int = limited(1, 65535)
    kind: ClassVar[str] = "tcp"


@dataclass(frozen=True)
class Settings:
    name: str
    output: tuple[FileOutput | TcpOutput, ...] = one_of(FileOutput, TcpOutput)
    level: Literal["warning", "info"] = "info"
    limit_mib: float = limited(0, 10, 1.0)
    sensor_monitor: Point | None = renamed("degrade", None)
    rate: float = renamed("speed", limited(0, 1, 0.5))


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.builds(Point, FLOATS, st.none() | st.text())
LINES = st.builds(Line, st.lists(POINTS).map(tuple), st.dictionaries(st.text(), st.integers()), st.booleans())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["points", "weights", "closed", "x"]), inner),
)


@given(LINES)
def test_a_value_comes_back_as_it_was_written(line: Line) -> None:
    assert strict_json.read(Line, json.dumps(dataclasses.asdict(line)), "line") == line


@given(VALUES)
def test_whatever_comes_is_read_or_refused_by_a_field_error(value: Any) -> None:
    try:
        result = typed_fields.read(Line, value, "line")
    except FieldError as error:
        assert str(error).startswith("line")
    else:
        assert isinstance(result, Line)


def settings(**changed: Any) -> Settings:
    given = {"name": "mast", **changed}
    return typed_fields.read(
        Settings, {key: value for key, value in given.items() if value is not None}, "", folder=Path("/etc")
    )


def test_a_field_with_a_default_may_be_left_out() -> None:
    assert settings() == Settings("mast")


def test_an_array_of_tables_is_read_by_kind_and_its_paths_start_from_the_folder() -> None:
    tables = [{"kind": "file", "path": "a/b"}, {"kind": "tcp", "port": 9}]
    assert settings(output=tables).output == (FileOutput(Path("/etc/a/b")), TcpOutput(9))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": None}, "name: missing; expected text"),
        ({"name": ""}, "name: got ''; expected text"),
        ({"name": 3}, "name: got 3; expected text"),
        ({"nome": "x"}, "nome: unknown key; expected one of name, output"),
        ({"a b\n": "x"}, r"'a b\\n': unknown key"),
        ({"degrade": {}}, "degrade: renamed sensor_monitor; expected it under that name"),
        ({"speed": 0.1}, "speed: renamed rate"),
        ({"rate": 2}, "rate: got 2.0; expected 0 to 1"),
        ({"limit_mib": float("nan")}, "limit_mib: got nan; expected 0 to 10"),
        ({"limit_mib": True}, "limit_mib: got True; expected a number"),
        ({"level": "loud"}, "level: got 'loud'; expected one of warning, info"),
        ({"level": ["info"]}, r"level: got \['info'\]; expected one of warning, info"),
        ({"output": {"kind": "tcp"}}, r"output: got .*; expected \[\[output\]\] tables"),
        ({"output": [{"kind": "udp"}]}, r"output\[0\].kind: got 'udp'; expected one of file, tcp"),
        ({"output": [{"kind": "tcp", "port": 0}]}, r"output\[0\].port: got 0; expected 1 to 65535"),
        ({"output": [{"kind": "tcp"}]}, r"output\[0\].port: missing; expected an integer"),
        ({"output": [{"kind": "file", "path": "a\0b"}]}, r"output\[0\].path: got .*; expected a path"),
        ({"sensor_monitor": {"x": 1}}, "sensor_monitor.label: missing; expected text or null"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_field(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        settings(**changed)


@pytest.mark.parametrize(
    "text",
    ["", "[", '{"x": 1, "x": 2}', '{"x": NaN}', b"\xff", "[" * 100_000, "1" * 5000, '{"x": 1e999, "label": null}'],
)
def test_text_that_two_readers_could_read_differently_is_refused(text: str | bytes) -> None:
    with pytest.raises(FieldError, match="point"):
        strict_json.read(Point, text, "point")


@given(st.recursive(st.none() | st.booleans() | st.integers() | FLOATS | st.text(), st.lists))
def test_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    assert strict_json.parse(json.dumps(value)) == json.loads(json.dumps(value))
