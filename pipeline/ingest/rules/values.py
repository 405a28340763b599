"""Text columns of a chunk -> typed columns of a table, and the rows that each rule rejects."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.mapping.fields import ANY, BETWEEN, Field, Format
from pipeline.ingest.reading.chunk import Chunk, RejectedRow, row_json
from pipeline.ingest.reading.invalid_bytes import PATTERN as INVALID_BYTES
from pipeline.ingest.reading.unreadable import ERRORS, unreadable_in

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_LONGEST_VALUE = 1000
"""Characters of a rejected value that the quarantine repeats beside the whole row."""


@dataclass
class Rejections:
    """The rows of one chunk that some rule rejects; of several rules the first counts."""

    chunk: Chunk
    reason: np.ndarray = dataclasses.field(init=False)
    _rules: list["_Rejection"] = dataclasses.field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.reason = np.full(self.chunk.columns.num_rows, -1, np.int32)

    @property
    def accepted(self) -> np.ndarray:
        """True where no rule rejects the row, bool, shape (n,)."""
        return self.reason < 0

    def reject(
        self,
        rows: np.ndarray,
        *,
        column: str,
        rule: str,
        problem: str,
        values: pa.Array,
        hints: Sequence[str] | None = None,
    ) -> None:
        """Reject rows.

        Parameters
        ----------
        rows
            The rows to reject, bool, shape (n,).
        column
            The column of the file that is wrong.
        rule
            Name of the rule.
        problem
            The message, with ``{value}`` in place of the row's value.
        values
            The rows' values, text, shape (n,).
        hints
            Texts in place of ``{hint}`` in the message of each row, shape (n,).
        """
        rows = rows & self.accepted
        if rows.any():
            self.reason[rows] = len(self._rules)
            self._rules.append(_Rejection(column, rule, problem, values, hints))

    def rows(self) -> list[RejectedRow]:
        """Return the rejected records in the file's order, with those that the reader rejected."""
        indices = np.flatnonzero(~self.accepted)
        records = self.chunk.columns.take(pa.array(indices)).to_pylist()
        result = list(self.chunk.rejected)
        for index, record in zip(indices.tolist(), records, strict=True):
            rejection = self._rules[self.reason[index]]
            value = rejection.values[index].as_py()
            hint = "" if rejection.hints is None else rejection.hints[index]
            shown = "nothing" if value is None else repr(value if len(value) <= 80 else value[:77] + "...")
            result.append(
                RejectedRow(
                    int(self.chunk.numbers[index]),
                    rejection.column,
                    rejection.rule,
                    rejection.problem.replace("{hint}", hint).replace("{value}", shown),
                    None if value is None else value[:_LONGEST_VALUE],
                    row_json(record),
                )
            )
        return sorted(result, key=lambda row: row.number)


@dataclass(frozen=True)
class _Rejection:
    """One rule on some rows; see `Rejections.reject`."""

    column: str
    rule: str
    problem: str
    values: pa.Array
    hints: Sequence[str] | None


class ChunkColumns:
    """The columns of a chunk as text, each decoded once."""

    def __init__(self, chunk: Chunk, rejections: Rejections, form: Format) -> None:
        self._chunk, self._rejections, self._form = chunk, rejections, form
        self._missing = pa.array(sorted({"", *form.missing}), pa.string())
        self._texts: dict[str, pa.Array] = {}

    def __len__(self) -> int:
        return int(self._chunk.columns.num_rows)

    def text(self, name: str) -> pa.Array:
        """Return a column, null where it has no value; reject rows with invalid bytes or a NUL byte."""
        if name not in self._texts:
            self._texts[name] = self._decode(name)
        return self._texts[name]

    def _decode(self, name: str) -> pa.Array:
        text = self._chunk.columns.column(name)
        absent = pc.is_in(text, self._missing) if len(self._missing) > 1 else pc.equal(pc.binary_length(text), 0)
        if pc.any(absent).as_py():
            text = pc.if_else(absent, pa.scalar(None, pa.string()), text)
        if self._form.kind in ("excel", "geojson"):
            text = self._readable(name, text)
        if self._chunk.suspect:
            encoding = f"{{value}} is not {self._form.encoding}; the mapping's format.encoding may be wrong"
            for rule, pattern, problem in (
                ("encoding", INVALID_BYTES, encoding),
                ("nul_byte", "\\x00", "{value} holds a NUL byte"),
            ):
                bad = pc.match_substring_regex(text, pattern).fill_null(False)
                mask = bad.to_numpy(zero_copy_only=False)
                self._rejections.reject(mask, column=name, rule=rule, problem=problem, values=text)
                text = pc.if_else(bad, pa.scalar(None, pa.string()), text)
        return text

    def _readable(self, name: str, text: pa.Array) -> pa.Array:
        """Reject the rows with a cell that the reader could not read, or that is an error of the workbook."""
        nothing = pa.nulls(len(text), pa.string())
        for rule, rows, problems in unreadable_in(text):
            self._rejections.reject(rows, column=name, rule=rule, problem="{hint}", values=nothing, hints=problems)
            text = pc.if_else(pa.array(rows), nothing, text)
        if self._form.kind == "excel":
            failed = pc.and_(text.is_valid(), pc.is_in(text, pa.array(ERRORS)))
            mask = failed.to_numpy(zero_copy_only=False)
            problem = "{value} is an error of the workbook; expected a value, or list it under format.missing"
            self._rejections.reject(mask, column=name, rule="cell_error", problem=problem, values=text)
            text = pc.if_else(failed, nothing, text)
        return text

    def joined(self, names: list[str], between: str) -> pa.Array:
        """Return several columns as one text; null where any of them is."""
        if len(names) == 1:
            return self.text(names[0])
        return pc.binary_join_element_wise(*(self.text(name) for name in names), between)

    def mapped_text(self, field: Field, *, target: str, allowed: tuple[str, ...] | None, required: bool) -> pa.Array:
        """Return a text column of the table.

        Parameters
        ----------
        field
            The mapping field of the column.
        target
            Name of the column, for messages.
        allowed
            The column's vocabulary; None where any text may stand.
        required
            Whether a row without a value is rejected.
        """
        if field.constant is not None:
            return pa.repeat(pa.scalar(str(field.constant)), len(self))
        if field.values is None:
            text = self.text(field.sources[0])
            if allowed is not None:
                unknown = pc.and_(text.is_valid(), pc.invert(pc.is_in(text, pa.array(allowed))))
                self._reject(unknown, field, "vocabulary", f"{target} = {{value}}; expected {', '.join(allowed)}", text)
        else:
            text = self._mapped(field, target)
        if required:
            self._require(text, field, target)
        return text

    def mapped_numbers(self, field: Field, *, target: str, required: bool) -> pa.Array:
        """Return a number column of the table, `double`, null where the file has no value.

        Parameters
        ----------
        field
            The mapping field of the column.
        target
            Name of the column, for messages.
        required
            Whether a row without a value is rejected.
        """
        if field.constant is not None:
            return pa.repeat(pa.scalar(float(field.constant)), len(self))
        text = self.text(field.sources[0]) if field.values is None else self._mapped(field, target)
        numbers = self.parse_numbers(text, column=field.sources[0], target=target)
        if required:
            self._require(text, field, target)
        return numbers if field.multiply_by is None else pc.multiply(numbers, field.multiply_by)

    def parse_numbers(self, text: pa.Array, *, column: str, target: str) -> pa.Array:
        """Read text as finite decimal numbers; reject the rows with another text.

        Parameters
        ----------
        text
            `string`, shape (n,).
        column
            Name of the column of the file, for messages.
        target
            Name of the column of the table, for messages.
        """
        comma = self._form.decimal == ","
        plain = pc.replace_substring(text, ",", ".") if comma else text
        try:
            numbers = pc.cast(plain, pa.float64())
            good = None
        except pa.ArrowInvalid:
            trimmed = pc.utf8_trim_whitespace(plain)
            good = pc.match_substring_regex(trimmed, _NUMBER)
            numbers = pc.cast(pc.if_else(good, trimmed, pa.scalar(None, pa.string())), pa.float64())
        bad = pc.and_kleene(pc.is_valid(numbers), pc.invert(pc.is_finite(numbers).fill_null(True)))
        if good is not None:
            bad = pc.or_(bad, pc.invert(good.fill_null(True)))
        if comma:
            bad = pc.or_(bad, pc.match_substring(text, ".").fill_null(False))
        mask = bad.to_numpy(zero_copy_only=False)
        if mask.any():
            problem = f"{target} = {{value}}; expected a number with decimal {self._form.decimal!r}"
            self._rejections.reject(mask, column=column, rule="number", problem=problem, values=text)
            numbers = pc.if_else(bad, pa.scalar(None, pa.float64()), numbers)
        return numbers

    def keys_used(self, field: Field) -> set[str]:
        """Return the keys of a field's value map that some record has."""
        values = field.values or {}
        distinct = self._keys(field).drop_null().unique().to_pylist()
        return {key for key in (_matching_key(value, values) for value in distinct) if key is not None}

    def _mapped(self, field: Field, target: str) -> pa.Array:
        values = field.values or {}
        coded = self._keys(field).dictionary_encode()
        distinct = coded.dictionary.to_pylist()
        ours = [_lookup(value, values) for value in distinct]
        unknown = np.array([*(value is _UNMAPPED for value in ours), False])
        codes = coded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)
        if unknown[codes].any():
            problem = f"{target}: no map for {{value}}; add it under fields.{target}.values"
            self._reject(pa.array(unknown[codes]), field, "unmapped_value", problem, coded.cast(pa.string()))
        texts = pa.array([*(None if value is _UNMAPPED else value for value in ours), None], pa.string())
        return texts.take(pa.array(codes))

    def _keys(self, field: Field) -> pa.Array:
        """Return the texts to look up in a value map; a missing one is null, or "" if the map has ""."""
        names, blank = field.sources, any("" in key.split(BETWEEN) for key in field.values or {})
        if not blank:
            return self.joined(names, BETWEEN)
        texts = [self.text(name).fill_null("") for name in names]
        return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, BETWEEN)

    def _require(self, text: pa.Array, field: Field, target: str) -> None:
        if text.null_count:
            self._reject(text.is_null(), field, "missing_value", f"{target} is missing; expected a value", text)

    def _reject(self, rows: pa.Array, field: Field, rule: str, problem: str, values: pa.Array) -> None:
        mask = rows.to_numpy(zero_copy_only=False)
        self._rejections.reject(mask, column=BETWEEN.join(field.sources), rule=rule, problem=problem, values=values)


_UNMAPPED = object()


def _lookup(value: str, values: dict[str, str | None]) -> object:
    key = _matching_key(value, values)
    return _UNMAPPED if key is None else values[key]


def _matching_key(value: str, values: dict[str, str | None]) -> str | None:
    """Return the key of a value map that fits a value: itself, or the first key that fits with `ANY`."""
    if value in values:
        return value
    parts = value.split(BETWEEN)
    for key in values:
        pattern = key.split(BETWEEN)
        fits = len(pattern) == len(parts) and all(p in (ANY, q) for p, q in zip(pattern, parts, strict=True))
        if ANY in pattern and fits:
            return key
    return None
