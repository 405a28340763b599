"""Files are whole or not there, and the same rows give the same bytes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage import store

SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.float32())])


def test_the_order_in_which_rows_came_does_not_change_a_byte(tmp_path: Path) -> None:
    rows = pa.table({"value": [1.0, 2.0, None], "key": ["b", "a", "c"], "not in the schema": [0, 0, 0]})
    store.write_table(rows, tmp_path / "one", schema=SCHEMA, sort_by=("key",))
    store.write_table(rows.take([2, 0, 1]), tmp_path / "other", schema=SCHEMA, sort_by=("key",))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert store.read_table(tmp_path / "one").to_pydict() == {"key": ["a", "b", "c"], "value": [2.0, 1.0, None]}


def test_the_footer_contains_nothing_of_pandas(tmp_path: Path) -> None:
    store.write_table(pa.table({"key": ["a"], "value": [1.0]}), tmp_path / "t", schema=SCHEMA, sort_by=("key",))
    assert not pq.read_metadata(tmp_path / "t").metadata


def test_a_null_where_none_may_be_is_refused(tmp_path: Path) -> None:
    rows = pa.table({"key": pa.array(["a", None]), "value": [1.0, 2.0]})
    with pytest.raises(ValueError, match="column key has 1 nulls; expected none"):
        store.write_table(rows, tmp_path / "t", schema=SCHEMA, sort_by=("key",))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"columns \['value'\] are missing"):
        store.write_table(pa.table({"key": ["a"]}), tmp_path / "t", schema=SCHEMA, sort_by=("key",))


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    store.write_json({"brier": 0.1}, file)
    with pytest.raises(ValueError, match="nan"):
        store.write_json({"brier": float("nan")}, file)
    with pytest.raises(RuntimeError, match="killed"), store.replacing(file) as new:
        new.write_text("half of")
        raise RuntimeError("killed")
    assert store.read_json(file) == {"brier": 0.1}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ab")
    (tmp_path / "b").write_bytes(b"c")
    # sha256("abc"), FIPS 180-2 appendix B.1
    abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert store.digest(tmp_path / "a", tmp_path / "b") == abc
