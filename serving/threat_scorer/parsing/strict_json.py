"""JSON from outside -> plain values or declared dataclasses, read strictly: a text that others guess at is refused."""

import json
from typing import Any

from threat_scorer.parsing import typed_fields
from threat_scorer.parsing.typed_fields import Declared, FieldError


class JSONError(ValueError):
    """Text that is not JSON, or JSON that two readers could understand differently."""


def parse(text: bytes | str) -> Any:
    """Parse one JSON value.

    Raises
    ------
    JSONError
        Not UTF-8, not JSON, a key given twice, ``NaN`` or ``Infinity``, a number of thousands of digits, or
        nesting too deep for the interpreter.

    Examples
    --------
    >>> parse(b'{"voltage": 0.4}')
    {'voltage': 0.4}
    >>> parse('{"voltage": NaN}')
    Traceback (most recent call last):
        ...
    threat_scorer.parsing.strict_json.JSONError: got NaN, which is not JSON; expected a finite number or null
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return _DECODER.decode(decoded)
    except JSONError:
        raise
    except UnicodeDecodeError as error:
        raise JSONError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise JSONError(f"not JSON: {error.msg} at column {error.colno}") from None
    except ValueError:
        raise JSONError("a number has too many digits") from None
    except RecursionError:
        raise JSONError("nested too deeply") from None


def read(kind: type[Declared], text: bytes | str, where: str) -> Declared:
    """Parse one JSON value, and read it as the dataclass `kind`.

    Parameters
    ----------
    kind
        As for `typed_fields.read`.
    text
        JSON, in UTF-8 where it is bytes.
    where
        Names the text in messages.

    Raises
    ------
    FieldError
        The text is not strict JSON, as `parse` reads it, or does not fit `kind`.
    """
    try:
        value = parse(text)
    except JSONError as error:
        raise FieldError(f"{where}: {error}") from None
    return typed_fields.read(kind, value, where)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JSONError(f"key {key[:80]!r} is given twice")
            seen.add(key)
    return value


def _constant(name: str) -> Any:
    raise JSONError(f"got {name}, which is not JSON; expected a finite number or null")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
