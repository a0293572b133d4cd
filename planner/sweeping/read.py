"""Sweep files: a TOML of grids and single questions, expanded in the order of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from planner.base.errors import DataError, InputError, nearest_names
from planner.base.files import check_regular, read_bounded
from planner.base.toml_text import parse_toml
from planner.planning.question.parameters import MILLISECONDS
from planner.planning.question.prices import Price, checked_price
from planner.sweeping.record import (
    KEYS,
    VERBS,
    SweepQuestion,
    ask,
    checked,
    require_pair,
    unknown_key,
)

MOST_QUESTIONS = 1_000_000
MAX_BYTES = 16 << 20
TABLES = ("title", "price", "common", "grid", "question")
SERVICE_KEYS = (
    "name",
    "workload",
    "prefix_hit_rate",
    "slots",
    "context",
    "isl",
    "osl",
    "batch",
    "concurrency",
    *MILLISECONDS,
    "memory_bytes",
    "max_loss",
    "objective",
)
"""What a service level may set."""
SETS = {"schemes": ("bf16", "fp8-block"), "drop_policies": ("head", "embedding")}
"""Keys whose value is a set of names, with examples."""
Axis = tuple[str, tuple[dict[str, Any], ...]]
"""A key and the values that it goes through, each as what it sets."""


@dataclass(frozen=True, slots=True)
class SweepFile:
    """What a sweep file says; ``price`` as
    :func:`planner.planning.question.prices.checked_price` gives it."""

    asks: tuple[SweepQuestion, ...]
    title: str = ""
    price: Price = None


def read_sweep(path: Path) -> SweepFile:
    """The questions of a sweep file, its title and prices.

    Raises:
        DataError: no such file, or not valid. InputError: an unknown key or value, or more than
            MOST_QUESTIONS questions.
    """
    check_regular(path, hint="docs/guide/scale.md has one")
    if not path.is_file():
        raise DataError(
            f"sweep file {str(path)!r} does not exist", hint="docs/guide/scale.md has one"
        )
    too_large = DataError(f"{path}: larger than {MAX_BYTES} bytes", hint="write lists as grids")
    return parse_sweep(read_bounded(path, MAX_BYTES, too_large), path.name)


def parse_sweep(content: bytes, place: str) -> SweepFile:
    """What a sweep file's text says.

    Raises:
        DataError: no questions, or a value that is not understood.
    """
    data = parse_toml(content, place, hint="see docs/guide/scale.md")
    _check_tables(place, data)
    common = data.get("common", {})
    grids = [
        (f"{place}: grid {n}", {**common, **table})
        for n, table in enumerate(data.get("grid", ()), start=1)
    ]
    singles = [
        (f"{place}: question {n}", {**common, **table})
        for n, table in enumerate(data.get("question", ()), start=1)
    ]
    axes = [(where, _axes(where, table)) for where, table in grids]
    _check_count(place, [axis for _, axis in axes], len(singles))
    asks = [made for where, grid_axes in axes for made in _product(where, grid_axes)]
    asks += [ask(where, _plain(where, table)) for where, table in singles]
    if not asks:
        raise DataError(f"{place}: no questions", hint="add a [[grid]] or a [[question]]")
    return SweepFile(
        tuple(asks), data.get("title", ""), checked_price(data.get("price"), f"{place}: price")
    )


def asks_of(questions: Sequence[Mapping[str, Any]]) -> tuple[SweepQuestion, ...]:
    """Questions given in Python: mappings of the arguments of ``plan`` and ``estimate``, and
    ``verb``.

    Raises:
        InputError: a question that is no mapping.
    """
    if len(questions) > MOST_QUESTIONS:
        raise _too_many(f"{len(questions):,} questions", "")
    for n, given in enumerate(questions, start=1):
        if not isinstance(given, Mapping):
            raise InputError(
                f"question {n} is no mapping",
                hint='such as {"model": "llama-3.1-8b", "device": "h100-sxm"}',
            )
    known: dict[Any, Any] = {}
    return tuple(ask(f"question {n}", given, known) for n, given in enumerate(questions, start=1))


def _check_tables(place: str, data: Mapping[str, Any]) -> None:
    if isinstance(data.get("question"), str):
        raise DataError(
            f"{place}: a scenario, not a sweep",
            hint='plan --scenario reads it; in a sweep: scenario = "FILE.toml" in a [[question]]',
        )
    for key in data:
        if key not in TABLES:
            raise DataError(f"{place}: {key}: unknown key", hint=nearest_names(key, TABLES))
    for key, wanted in (("title", str), ("common", dict), ("grid", list), ("question", list)):
        value = data.get(key, wanted())
        if not isinstance(value, wanted) or (
            wanted is list and not all(isinstance(t, dict) for t in value)
        ):
            shape = {"title": 'title = "…"', "common": "[common]"}.get(key, f"[[{key}]]")
            raise DataError(f"{place}: {key}: not of the right shape", hint=f"write {shape}")


def _check_count(place: str, grids: Sequence[Sequence[Axis]], singles: int) -> None:
    """Refuse a sweep that nobody can wait for, before it is expanded."""
    sizes = [prod(len(values) for _, values in axes) for axes in grids]
    if sum(sizes) + singles <= MOST_QUESTIONS:
        return
    largest = max(range(len(sizes)), key=lambda n: sizes[n], default=-1)
    shape = (
        " × ".join(f"{len(values):,} {key}" for key, values in grids[largest] if len(values) > 1)
        if largest >= 0
        else ""
    )
    raise _too_many(
        f"{place}: {sum(sizes) + singles:,} questions",
        f"grid {largest + 1} is {shape}; " if shape else "",
    )


def _too_many(count_text: str, shape: str) -> InputError:
    return InputError(
        f"{count_text}, at most {MOST_QUESTIONS:,} in one sweep",
        hint=f"{shape}take values out, or split the file",
    )


def _axes(place: str, table: Mapping[str, Any]) -> list[Axis]:
    """Every key of a grid with its values, checked one by one; lists are axes."""
    verb = table.get("verb", "plan")
    if not isinstance(verb, str) or verb not in VERBS:
        raise InputError(
            f"{place}: verb = {verb!r}", hint='verb = "plan" or "estimate", one a grid'
        )
    axes: list[Axis] = [("verb", ({"verb": verb},))]
    for key, value in table.items():
        if key == "verb":
            continue
        if key == "service":
            axes.append(("service", _services(place, value, verb)))
            continue
        values = value if isinstance(value, list) else [value]
        if key in SETS:
            values = _sets(place, key, value)
        if not values:
            raise InputError(f"{place}: {key}: an empty list", hint="give a value, or leave it out")
        axes.append((key, tuple(_setting(place, key, axis_value, verb) for axis_value in values)))
    return axes


def _setting(place: str, key: str, value: Any, verb: str) -> dict[str, Any]:
    """One value, as what it sets; the check of types is that of a single question."""
    known = (*KEYS[verb], "model", "device")
    if key not in known and key not in MILLISECONDS:
        raise unknown_key(place, key, verb)
    if key in MILLISECONDS.values():
        raise InputError(
            f"{place}: {key}: unknown key",
            hint=f"write {key.replace('_seconds', '_ms')}, in milliseconds",
        )
    return _checked(place, {key: value})


def _checked(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: checked(place, k, v) for k, v in _plain(place, settings).items()}


def _sets(place: str, key: str, value: Any) -> list[Any]:
    """``schemes`` or ``drop_policies`` of a grid: one comma-separated text, or a list of sets."""
    if isinstance(value, str):
        return [value]
    if (
        isinstance(value, list)
        and value
        and all(isinstance(item, list) or (isinstance(item, str) and "," in item) for item in value)
    ):
        return value
    first_key, other = SETS[key]
    raise InputError(
        f"{place}: {key}: one set, or a list of sets?",
        hint=f'one: {key} = "{first_key},{other}"; several: '
        f'{key} = [["{first_key}", "{other}"], ["{first_key}"]]',
    )


def _services(place: str, value: Any, verb: str) -> tuple[dict[str, Any], ...]:
    """Service levels: tables with a name and what they set."""
    levels = value if isinstance(value, list) else [value]
    out = []
    for level in levels:
        if not isinstance(level, dict) or not isinstance(level.get("name"), str):
            raise InputError(
                f"{place}: service: a table with a name is required",
                hint='service = [{ name = "chat", ttft_ms = 500, tpot_ms = 30 }]',
            )
        for key in level:
            if key not in SERVICE_KEYS:
                raise InputError(
                    f"{place}: service.{key}: unknown key", hint=nearest_names(key, SERVICE_KEYS)
                )
            if key == "max_loss" and verb != "plan":
                raise unknown_key(place, key, verb)
        settings = {k: v for k, v in level.items() if k != "name"}
        out.append(
            {"service": checked(place, "service", level["name"]), **_checked(place, settings)}
        )
    names = [level["service"] for level in out]
    if not out or len(set(names)) < len(names):
        raise InputError(
            f"{place}: service: no level, or two of one name",
            hint="give each level a name of its own",
        )
    return tuple(out)


def _plain(place: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """A table by the names of the Python API: milliseconds become seconds."""
    out: dict[str, Any] = {}
    for key, value in table.items():
        if key in MILLISECONDS:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InputError(
                    f"{place}: {key} = {value!r}: a number is required", hint=f"{key} = 50"
                )
            out[MILLISECONDS[key]] = value * 1e-3
        elif key in MILLISECONDS.values():
            raise InputError(
                f"{place}: {key}: unknown key",
                hint=f"write {key.replace('_seconds', '_ms')}, in milliseconds",
            )
        else:
            out[key] = value
    return out


def _product(place: str, axes: Sequence[Axis]) -> Iterator[SweepQuestion]:
    """Every combination, the last key of the table fastest; a value that a service level sets is
    the level's, and may not be an axis too."""
    set_by_levels = {k for key, values in axes if key == "service" for v in values for k in v}
    for key, values in axes:
        named = {k for v in values for k in v}
        if key != "service" and named & set_by_levels:
            raise InputError(f"{place}: {key} is set by service too", hint="leave one out")
    names = {k for _, values in axes for v in values for k in v}
    verb = axes[0][1][0]["verb"]
    if "scenario" not in names:
        require_pair(place, names)
    order = [key for key in KEYS[verb] if key in names]
    for combination in product(*(values for _, values in axes)):
        given: dict[str, Any] = {}
        for part in combination:
            given |= part
        yield SweepQuestion(
            verb,
            given.get("model"),
            given.get("device"),
            given.get("service", ""),
            tuple([(key, given[key]) for key in order if key in given]),
        )
