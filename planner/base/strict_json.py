"""JSON from outside: bounded in size and depth, no repeated keys, no NaN, infinity on demand."""

from __future__ import annotations

import json
import math
from pathlib import Path

from planner.base.errors import DataError
from planner.base.files import check_regular, decode_text, read_bounded

_TOO_LARGE = "name the configuration or plan file itself: none is that large"

MAX_CONFIG_BYTES = 16 * 2**20
MAX_DEPTH = 32
MAX_VALUES = 2 * 10**6
"""Values in one file: an object takes some 100 B in memory, however short its text is."""
_SHOWN = 60


def short_repr(value: object) -> str:
    """``value`` as one short printable line for an error message."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = ascii(value[: _SHOWN + 1]) if isinstance(value, str) else ascii(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def read_config_bytes(path: Path, *, limit: int = MAX_CONFIG_BYTES) -> bytes:
    """The bytes of a JSON file of at most ``limit`` bytes.

    Raises:
        DataError: the file cannot be read, is not a regular file, or is larger.
    """
    try:
        check_regular(path, hint="name a JSON file", there=True)
        too_large = f"{path}: larger than {limit} bytes, so not a configuration"
        return read_bounded(path, limit, DataError(too_large, hint=_TOO_LARGE))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None


def parse_object(
    text: bytes, place: str, *, made_by: str = "", infinite: bool = False
) -> dict[str, object]:
    """The JSON object in ``text``; ``place`` names it in errors, ``made_by`` says what is read.

    ``infinite``: Infinity and -Infinity are numbers, as Python writes them into configurations.

    Raises:
        DataError: not UTF-8, not JSON, not an object, a repeated key, NaN or infinity, nesting
            deeper than 32, or more than two million values.
    """
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise DataError(f"{place}: more than {MAX_VALUES:,} values", hint=_TOO_LARGE)
    try:
        value: object = json.loads(
            decode_text(text),
            object_pairs_hook=_without_repeats,
            parse_constant=_infinity if infinite else _refuse_constant,
            parse_float=_finite,
        )
    except DataError as error:
        raise DataError(f"{place}: {error.message}", hint=error.hint) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place}: not UTF-8 at byte {error.start}", hint="save the file as UTF-8"
        ) from None
    except RecursionError:
        raise DataError(f"{place}: nested deeper than {MAX_DEPTH}", hint=_TOO_LARGE) from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place}: not JSON: {error.msg} at line {error.lineno}",
            hint="mend the file there" + (made_by and f": {made_by}"),
        ) from None
    except ValueError:
        raise DataError(
            f"{place}: a number has too many digits", hint="write the number with fewer digits"
        ) from None
    if not isinstance(value, dict):
        raise DataError(
            f"{place}: {short_repr(value)} where an object is needed",
            hint="the file holds one object: {…}",
        )
    _check_depth(value, place)
    return value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DataError(f"key {short_repr(key)} is given twice", hint="keep one of the two")
            seen.add(key)
    return values


def _refuse_constant(name: str) -> object:
    raise DataError(f"{name} is not a number of JSON", hint="write a number, or leave the key out")


def _infinity(name: str) -> object:
    return float(name) if name != "NaN" else _refuse_constant(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DataError(
            f"{short_repr(text)} is beyond the range of a double", hint="write a number below 1e308"
        )
    return value


def _check_depth(value: dict[str, object], place: str) -> None:
    level: list[dict[str, object] | list[object]] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise DataError(f"{place}: nested deeper than {MAX_DEPTH}", hint=_TOO_LARGE)
