"""Records between stages: what is written is read again, and a key that does not fit is named with its file."""

import json
from dataclasses import field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass

from pipeline.runtime.errors import StageError
from pipeline.storage import records
from pipeline.storage.records import RECORD


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Inner:
    value: float


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Outer:
    rows: int
    inner: dict[str, Inner]
    names: list[str] = field(default_factory=list)
    rate: float | None = None


numbers = st.floats(allow_nan=False, allow_infinity=False)
outers = st.builds(
    Outer,
    rows=st.integers(-(2**53), 2**53),
    inner=st.dictionaries(st.text(), st.builds(Inner, value=numbers)),
    names=st.lists(st.text()),
    rate=st.none() | numbers,
)


@given(outers)
def test_a_record_that_was_written_is_read_again(record: Outer) -> None:
    data = json.loads(json.dumps(records.to_json(record)))
    assert records.of_json(data, Outer, where="a.json") == record


def test_what_is_as_it_would_be_without_it_is_not_written(tmp_path: Path) -> None:
    record = Outer(rows=1, inner={"a": Inner(value=0.5)})
    records.write(record, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"inner": {"a": {"value": 0.5}}, "rows": 1}
    assert records.read(tmp_path / "a.json", Outer) == record


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rows": 1, "inner": {"a": {"valeu": 1.0, "value": 1.0}}}, "a.json: part.inner.a.valeu: unknown key"),
        ({"inner": {}}, "a.json: part.rows: missing; expected a value"),
        (
            {"rows": 1, "inner": {"a": {"value": "1"}}},
            "a.json: part.inner.a.value: got '1'; input should be a valid num",
        ),
        ({"rows": 1.5, "inner": {}}, "a.json: part.rows: got 1.5; input should be a valid integer"),
        ({"rows": True, "inner": {}}, "a.json: part.rows: got True; input should be a valid integer"),
        ({"rows": 1, "inner": {}, "rate": None, "name": []}, "a.json: part.name: unknown key"),
    ],
)
def test_what_does_not_fit_is_named_with_file_and_key(data: dict, message: str) -> None:
    with pytest.raises(StageError) as error:
        records.of_json(data, Outer, where="a.json", key="part.")
    first, last = str(error.value).splitlines()
    assert first.startswith(message)
    assert last.startswith("a.json: expected what this version writes")
