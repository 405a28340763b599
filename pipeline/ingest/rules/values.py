"""Text columns of a chunk -> typed columns of a table, with a mask of the rows that each rule refuses."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.mapping.fields import ANY, BETWEEN, Field, Format
from pipeline.ingest.reading.chunk import Chunk, Refusal, row_json
from pipeline.ingest.reading.invalid_bytes import PATTERN as UNDECODABLE
from pipeline.ingest.reading.unreadable import ERRORS, unreadable_in

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_LONGEST_VALUE = 1000
"""Characters of a refused value that the quarantine repeats beside the whole row."""


@dataclass
class Refusals:
    """The rows of one chunk that some rule has refused; of several rules the first counts."""

    chunk: Chunk
    reason: np.ndarray = field(init=False)
    _rules: list[tuple[str, str, str, pa.Array, Sequence[str] | None]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.reason = np.full(self.chunk.columns.num_rows, -1, np.int32)

    @property
    def taken(self) -> np.ndarray:
        """True where no rule has refused the row, shape (n,)."""
        return self.reason < 0

    def refuse(
        self,
        rows: np.ndarray,
        *,
        column: str,
        rule: str,
        problem: str,
        values: pa.Array,
        hints: Sequence[str] | None = None,
    ) -> None:
        """Refuse rows.

        Parameters
        ----------
        rows
            bool, shape (n,).
        problem
            What was expected, with ``{value}`` where the value seen belongs.
        values
            What each row has there, text, shape (n,).
        hints
            What stands for ``{hint}`` in the problem of each row, shape (n,).
        """
        rows = rows & self.taken
        if rows.any():
            self.reason[rows] = len(self._rules)
            self._rules.append((column, rule, problem, values, hints))

    def listed(self) -> list[Refusal]:
        """Return the refused records one by one, in the file's order, with those that the reader refused."""
        indices = np.flatnonzero(~self.taken)
        records = self.chunk.columns.take(pa.array(indices)).to_pylist()
        result = list(self.chunk.refused)
        for index, record in zip(indices.tolist(), records, strict=True):
            column, rule, problem, values, hints = self._rules[self.reason[index]]
            value = values[index].as_py()
            problem = problem if hints is None else problem.replace("{hint}", hints[index])
            shown = "nothing" if value is None else repr(value if len(value) <= 80 else value[:77] + "...")
            result.append(
                Refusal(
                    int(self.chunk.numbers[index]),
                    column,
                    rule,
                    problem.replace("{value}", shown),
                    None if value is None else value[:_LONGEST_VALUE],
                    row_json(record),
                )
            )
        return sorted(result, key=lambda refusal: refusal.number)


class Columns:
    """The columns of a chunk as text, each decoded once."""

    def __init__(self, chunk: Chunk, refusals: Refusals, form: Format) -> None:
        self._chunk, self._refusals, self._form = chunk, refusals, form
        self._missing = pa.array(sorted({"", *form.missing}), pa.string())
        self._texts: dict[str, pa.Array] = {}

    def __len__(self) -> int:
        return int(self._chunk.columns.num_rows)

    def text(self, name: str) -> pa.Array:
        """Return a column, null where it says nothing; rows whose bytes are not text, or hold a NUL, are refused."""
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
        if self._chunk.spoilt:
            encoding = f"{{value}} is not {self._form.encoding}; the mapping's format.encoding may be wrong"
            for rule, pattern, problem in (
                ("encoding", UNDECODABLE, encoding),
                ("nul_byte", "\\x00", "{value} holds a NUL byte"),
            ):
                bad = pc.match_substring_regex(text, pattern).fill_null(False)
                mask = bad.to_numpy(zero_copy_only=False)
                self._refusals.refuse(mask, column=name, rule=rule, problem=problem, values=text)
                text = pc.if_else(bad, pa.scalar(None, pa.string()), text)
        return text

    def _readable(self, name: str, text: pa.Array) -> pa.Array:
        """Refuse the rows whose cell the reader could not read, or is an error of the workbook."""
        nothing = pa.nulls(len(text), pa.string())
        for rule, rows, problems in unreadable_in(text):
            self._refusals.refuse(rows, column=name, rule=rule, problem="{hint}", values=nothing, hints=problems)
            text = pc.if_else(pa.array(rows), nothing, text)
        if self._form.kind == "excel":
            failed = pc.and_(text.is_valid(), pc.is_in(text, pa.array(ERRORS)))
            mask = failed.to_numpy(zero_copy_only=False)
            problem = "{value} is an error of the workbook; expected a value, or list it under format.missing"
            self._refusals.refuse(mask, column=name, rule="cell_error", problem=problem, values=text)
            text = pc.if_else(failed, nothing, text)
        return text

    def joined(self, names: list[str], between: str) -> pa.Array:
        """Return several columns as one text; null where any of them is."""
        if len(names) == 1:
            return self.text(names[0])
        return pc.binary_join_element_wise(*(self.text(name) for name in names), between)

    def words(self, entry: Field, *, target: str, allowed: tuple[str, ...] | None, required: bool) -> pa.Array:
        """Return a text column of the table as a field says."""
        if entry.constant is not None:
            return pa.repeat(pa.scalar(str(entry.constant)), len(self))
        if entry.values is None:
            words = self.text(entry.sources[0])
            if allowed is not None:
                unknown = pc.and_(words.is_valid(), pc.invert(pc.is_in(words, pa.array(allowed))))
                self._refuse(
                    unknown, entry, "vocabulary", f"{target} = {{value}}; expected {', '.join(allowed)}", words
                )
        else:
            words = self._mapped(entry, target)
        if required:
            self._require(words, entry, target)
        return words

    def numbers(self, entry: Field, *, target: str, required: bool) -> pa.Array:
        """Return a number column of the table as a field says, `double`, null where the file has no value."""
        if entry.constant is not None:
            return pa.repeat(pa.scalar(float(entry.constant)), len(self))
        text = self.text(entry.sources[0]) if entry.values is None else self._mapped(entry, target)
        numbers = self.parse_numbers(text, column=entry.sources[0], target=target)
        if required:
            self._require(text, entry, target)
        return numbers if entry.multiply_by is None else pc.multiply(numbers, entry.multiply_by)

    def parse_numbers(self, text: pa.Array, *, column: str, target: str) -> pa.Array:
        """Read text as finite decimal numbers, refusing rows that are not."""
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
            self._refusals.refuse(mask, column=column, rule="number", problem=problem, values=text)
            numbers = pc.if_else(bad, pa.scalar(None, pa.float64()), numbers)
        return numbers

    def keys_used(self, entry: Field) -> set[str]:
        """Return the keys of a field's value map under which some record falls."""
        values = entry.values or {}
        seen = self._keys(entry).drop_null().unique().to_pylist()
        return {key for key in (_matching_key(value, values) for value in seen) if key is not None}

    def _mapped(self, entry: Field, target: str) -> pa.Array:
        values = entry.values or {}
        coded = self._keys(entry).dictionary_encode()
        seen = coded.dictionary.to_pylist()
        ours = [_lookup(value, values) for value in seen]
        unknown = np.array([*(value is _UNMAPPED for value in ours), False])
        codes = coded.indices.fill_null(len(seen)).to_numpy(zero_copy_only=False)
        if unknown[codes].any():
            problem = f"{target}: no map for {{value}}; add it under fields.{target}.values"
            self._refuse(pa.array(unknown[codes]), entry, "unmapped_value", problem, coded.cast(pa.string()))
        words = pa.array([*(None if value is _UNMAPPED else value for value in ours), None], pa.string())
        return words.take(pa.array(codes))

    def _keys(self, entry: Field) -> pa.Array:
        """Return what is looked up in a field's value map; a missing value is null, or empty where the map has it."""
        names, blank = entry.sources, any("" in key.split(BETWEEN) for key in entry.values or {})
        if not blank:
            return self.joined(names, BETWEEN)
        texts = [self.text(name).fill_null("") for name in names]
        return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, BETWEEN)

    def _require(self, words: pa.Array, entry: Field, target: str) -> None:
        if words.null_count:
            self._refuse(words.is_null(), entry, "missing_value", f"{target} is missing; expected a value", words)

    def _refuse(self, rows: pa.Array, entry: Field, rule: str, problem: str, values: pa.Array) -> None:
        mask = rows.to_numpy(zero_copy_only=False)
        self._refusals.refuse(mask, column=BETWEEN.join(entry.sources), rule=rule, problem=problem, values=values)


_UNMAPPED = object()


def _lookup(value: str, values: dict[str, str | None]) -> object:
    key = _matching_key(value, values)
    return _UNMAPPED if key is None else values[key]


def _matching_key(value: str, values: dict[str, str | None]) -> str | None:
    """Return the key of a value map that a value falls under: itself, or the first whose `ANY` parts let it in."""
    if value in values:
        return value
    parts = value.split(BETWEEN)
    for key in values:
        pattern = key.split(BETWEEN)
        fits = len(pattern) == len(parts) and all(p in (ANY, q) for p, q in zip(pattern, parts, strict=True))
        if ANY in pattern and fits:
            return key
    return None
