"""What is wrong with a device profile, all of it at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from planner.base.errors import DataError, nearest_names
from planner.base.records import record
from planner.hardware.classes import KEY, class_chain, class_names, inherited, value_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from planner.hardware.rules import Problem

_QUANTITY_HINT = 'write { value = …, unit = "…", source = "…", date = "YYYY-MM-DD", kind = "…" }'
_FORMAT_HINT = "hardware_profiles/README.md describes the format"
_SHORT_HINT = f'; or say {KEY} = "…" ({{}}), and a figure may be short: "900 GB/s"'
_LOOKS = 6
_MISSING = {
    "rates": 'add a dense rate, for example rates.bf16 = "165 TFLOPS"',
    "name": 'add name = "…"',
    "memory.label": "add the size of the memory",
}
_STAND_IN = "stand-in"
_PARTS = ("value", "unit", "source", "date", "kind", "low", "high", "note")
MOST_SHOWN = 20
"""Problems of one file that are printed; the rest are counted."""


def _stand_in(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "source": _STAND_IN, "date": "2026", "kind": "assumed"}


_RATE = {"dense": _stand_in(1e12, "FLOP/s")}
_REACHED = {
    "compute_fraction": _stand_in(0.5, "1"),
    "bandwidth_fraction": _stand_in(0.5, "1"),
    "floor_seconds": _stand_in(1e-6, "s"),
}
_STAND_INS: Mapping[str, Any] = {
    "id": "stand-in",
    "name": "?",
    "kind": "gpu",
    "architecture": "?",
    "type": "?",
    "title": "?",
    "date": "2026",
    "label": _stand_in(1e9, "B"),
    "capacity": _stand_in(1e9, "B"),
    "usable_fraction": _stand_in(0.9, "1"),
    "bandwidth": _stand_in(1e9, "B/s"),
    "dense": _stand_in(1e12, "FLOP/s"),
    **_REACHED,
    "achieved": {"bf16": _REACHED},
    "rates": {"any": {"bf16": _RATE}},
    "sources": {_STAND_IN: {"title": "?", "date": "2026"}},
    "memory": {
        "type": "?",
        "label": _stand_in(1e9, "B"),
        "capacity": _stand_in(1e9, "B"),
        "usable_fraction": _stand_in(0.9, "1"),
        "bandwidth": _stand_in(1e9, "B/s"),
    },
}
"""What stands in the place of a key that is missing, so that the rest can be looked at."""


@record
class FullDocument:
    """A document with every figure spelled out, and what it has from which classes."""

    table: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


def full_document(document: dict[str, Any], *, path: Path) -> FullDocument:
    """``document`` with what it inherits; as it is where it inherits nothing.

    Raises:
        DataError: a class does not exist, or a short figure cannot be read.
    """
    whole, mistakes = _spelled(document, path)
    if mistakes:
        raise problems_error(path, mistakes)
    return whole


def check_document(document: dict[str, Any], *, path: Path) -> FullDocument:
    """The whole of a parsed profile.

    Raises:
        DataError: it breaks the schema or a rule; the message has everything that is wrong.
    """
    full, mistakes = _spelled(document, path)
    mistakes += _against_schema(full.table, path, mistakes)
    if mistakes:
        raise problems_error(path, mistakes, short=KEY not in document)
    return full


def problems_error(path: Path, problems: Iterable[Problem], *, short: bool = False) -> DataError:
    """One error of all that was found: a line each, the fix behind; one alone has its fix as
    hint."""
    every = list(dict.fromkeys(problems))
    if len(every) == 1:
        key, reason, fix = every[0]
        more = (
            _SHORT_HINT.format(", ".join(class_names())) if short and fix == _QUANTITY_HINT else ""
        )
        return DataError(f"{path}: {key}: {reason}", hint=fix + more)
    lines = [f"{key}: {reason}: {fix}" for key, reason, fix in every[:MOST_SHOWN]]
    if len(every) > MOST_SHOWN:
        lines.append(f"and {len(every) - MOST_SHOWN} more")
    return DataError(
        f"{path}: {len(every)} problems",
        details=lines,
        hint=_FORMAT_HINT
        + (
            "; `plan list devices rtx-4090 --template` writes a file of five numbers"
            if short
            else ""
        ),
    )


def _spelled(document: dict[str, Any], path: Path) -> tuple[FullDocument, list[Problem]]:
    if KEY not in document:
        return FullDocument(document), []
    from planner.hardware.short import spelled_out

    chain, mistakes = class_chain(document, path)
    made, more = spelled_out(document, chain[0], path.stem)
    table, taken = inherited(made, chain)
    return FullDocument(
        table, tuple(str(inherited_class.get("id", "")) for inherited_class in chain), taken
    ), [
        *mistakes,
        *more,
    ]


def _against_schema(
    document: Mapping[str, Any],
    path: Path,
    known: list[Problem],
) -> list[Problem]:
    """What the schema and the rules say; where the schema refuses parts, the rules see the rest.

    ``known`` are problems of short figures, in whose places stand-ins are.
    """
    from pydantic import ValidationError

    from planner.hardware.rules import problems
    from planner.hardware.schema import ProfileText

    mistakes: list[Problem] = []
    here: Any = document
    for look in range(_LOOKS):
        try:
            text = ProfileText.model_validate(here)
        except ValidationError as error:
            details = error.errors(include_url=False)
            if not look:
                mistakes += [
                    _translated(detail)
                    for detail in details
                    if not (known and detail["type"] == "missing" and len(detail["loc"]) > 1)
                ]
            here = _mended(here, details)
        else:
            seen = {_figure_of(key) for key, _, _ in (*mistakes, *known)}
            return [
                *mistakes,
                *(
                    problem
                    for problem in problems(text, stem=path.stem)
                    if _STAND_IN not in problem[1]
                    and not any(_within(problem[0], key) for key in seen)
                ),
            ]
    return mistakes


def _figure_of(key: str) -> str:
    """The figure that a key is a part of; the key where it is of none."""
    head, _, last = key.rpartition(".")
    return head if last in _PARTS and head else key


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith(other + ".") or other.startswith(key + ".")


def _mended(document: Any, details: list[ErrorDetails]) -> Any:
    """A copy without the values that the schema refuses, and with stand-ins for those that it
    misses."""
    out = copy.deepcopy(dict(document))
    for detail in details:
        loc = list(detail["loc"])
        inside = _sibling_keys(tuple(map(str, loc)))[:2] == ("value", "unit")
        if inside and detail["type"] != "extra_forbidden":
            loc = loc[:-1]
        here: Any = out
        for part in loc[:-1]:
            there: Any = here
            here = there[part] if isinstance(here, list | dict) and _holds(here, part) else {}
        if loc and isinstance(here, dict):
            here.pop(loc[-1], None)
            if detail["type"] == "missing" and not inside:
                here[loc[-1]] = copy.deepcopy(_STAND_INS.get(str(loc[-1]), _STAND_INS["label"]))
    return out


def _holds(table: Any, part: Any) -> bool:
    return part in table if isinstance(table, dict) else isinstance(part, int) and part < len(table)


def _translated(first: ErrorDetails) -> Problem:
    location = tuple(str(part) for part in first["loc"])
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        return key, "unknown key", nearest_names(location[-1], _sibling_keys(location))
    if first["type"] == "missing":
        quantity = _sibling_keys(location)[:2] == ("value", "unit")
        return (
            key,
            "missing",
            _QUANTITY_HINT if quantity else _MISSING.get(key, f"add {location[-1]}"),
        )
    if first["type"] in ("model_type", "model_attributes_type"):
        return (
            key,
            f"{value_text(first['input'])} is no table",
            _QUANTITY_HINT if "value" in _sibling_keys((*location, "")) else "write a table",
        )
    reason = str(first["msg"])
    return key, f"{reason[:1].lower()}{reason[1:]}, got {value_text(first['input'])}", _FORMAT_HINT


def _sibling_keys(location: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that are valid in the table that holds the last part of ``location``."""
    from planner.hardware.schema import ProfileText

    here: Any = ProfileText
    for part in location[:-1]:
        if _is_model(here):
            if part not in here.model_fields:
                return ()
            here = here.model_fields[part].annotation
            if get_origin(here) in (Union, UnionType):
                here = next((a for a in get_args(here) if _is_model(a)), None)
        else:
            here = (get_args(here) or (None,))[-1]
    return tuple(here.model_fields) if _is_model(here) else ()


def _is_model(annotation: Any) -> bool:
    from pydantic import BaseModel

    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
