"""TOML from outside: bounded in size, in depth and in what its parser would take for ever over."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from planner.base.errors import DataError
from planner.base.files import check_regular, decode_text, read_bounded

MOST_BYTES = 1 << 20
MOST_PARTS = 64
MOST_DEPTH = 32
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_DOTTED = re.compile(r"[\w-]+(?:[ \t]*\.[ \t]*[\w-]+)*")


def read_toml_bytes(path: Path, *, hint: str) -> bytes:
    """The bytes of a TOML file of at most ``MOST_BYTES``.

    Raises:
        DataError: not a regular file (a pipe would be waited for), too large, or unreadable.
    """
    try:
        check_regular(path, hint=hint)
        return read_bounded(
            path, MOST_BYTES, DataError(f"{path}: larger than {MOST_BYTES:,} bytes", hint=hint)
        )
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", hint=hint) from None


def parse_toml(data: bytes | str, place: object, *, hint: str) -> dict[str, Any]:
    """The tables of a TOML text; ``place`` names it in errors.

    Raises:
        DataError: not UTF-8, not TOML, nested deeper than 32, a key of more than 64 parts (the
            parser's time grows with their square), or a whole number that is not of 64 bits.
    """
    try:
        text = decode_text(data) if isinstance(data, bytes) else data
        if any(
            match[0].count(".") >= MOST_PARTS for match in _DOTTED.finditer(_QUOTED.sub("q", text))
        ):
            raise DataError(f"{place}: a key of more than {MOST_PARTS} parts", hint=hint)
        table = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{place}: not valid TOML: {error}", hint=hint) from None
    except RecursionError:
        raise DataError(f"{place}: nested deeper than {MOST_DEPTH}", hint=hint) from None
    except ValueError:
        raise DataError(f"{place}: a number has too many digits", hint=hint) from None
    _check(table, place, hint)
    return table


def _check(table: dict[str, Any], place: object, hint: str) -> None:
    level: list[Any] = [table]
    for _ in range(MOST_DEPTH):
        inner = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        for child in inner:
            if isinstance(child, int) and not -(1 << 63) <= child < 1 << 63:
                raise DataError(
                    f"{place}: a whole number of {child.bit_length()} bits; TOML's have 64",
                    hint=hint,
                )
        level = [child for child in inner if isinstance(child, dict | list)]
        if not level:
            return
    raise DataError(f"{place}: nested deeper than {MOST_DEPTH}", hint=hint)
