"""A device in five numbers: figures written as ``"900 GB/s"``, in the place of full tables.

Only a profile that inherits from a class (:mod:`planner.hardware.classes`) may be short. ``memory``
and ``bandwidth`` may stand at the head, rates without the unit that multiplies them. A figure
without a source is the word of whoever wrote the file, and is kept as ``recalled``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from planner.hardware.rules import FORMATS, Problem

OWN = "this-file"
UNDATED = "undated"
"""Source and date of a figure that the file states without."""
_TEXT = re.compile(r"\s*(\S+?)\s*([A-Za-zµ%][A-Za-z/µ]*)?\s*")
_NUMBER = re.compile(r"[+-]?(\d[\d_,]*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_UNITS = {
    "b": ("B", 1.0),
    "kb": ("B", 1e3),
    "mb": ("B", 1e6),
    "gb": ("B", 1e9),
    "tb": ("B", 1e12),
    "mib": ("B", 2.0**20),
    "gib": ("B", 2.0**30),
    "tib": ("B", 2.0**40),
    "b/s": ("B/s", 1.0),
    "mb/s": ("B/s", 1e6),
    "gb/s": ("B/s", 1e9),
    "tb/s": ("B/s", 1e12),
    "gib/s": ("B/s", 2.0**30),
    "mib/s": ("B/s", 2.0**20),
    "tib/s": ("B/s", 2.0**40),
    "flop/s": ("FLOP/s", 1.0),
    "op/s": ("OP/s", 1.0),
    "w": ("W", 1.0),
    "kw": ("W", 1e3),
    "usd/h": ("USD/h", 1.0),
    "%": ("1", 0.01),
    "s": ("s", 1.0),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
    "µs": ("s", 1e-6),
    "ns": ("s", 1e-9),
    **{
        f"{prefix}{word}": (unit, size)
        for prefix, size in (("g", 1e9), ("t", 1e12), ("p", 1e15))
        for word, unit in (
            ("flops", "FLOP/s"),
            ("flop/s", "FLOP/s"),
            ("ops", "OP/s"),
            ("op/s", "OP/s"),
        )
    },
}
EXAMPLES = {
    "B": "24 GB",
    "B/s": "900 GB/s",
    "FLOP/s": "165 TFLOPS",
    "OP/s": "330 TOPS",
    "W": "450 W",
    "USD/h": "0.60 USD/h",
    "1": "85 %",
    "s": "10 us",
}
"""A figure of each unit as it may be written."""


def spelled_out(
    document: Mapping[str, Any],
    base: Mapping[str, Any],
    stem: str,
) -> tuple[dict[str, Any], list[Problem]]:
    """(``document`` with every short figure as a table, what cannot be read).

    ``base`` is the nearest class, ``stem`` the file's name: the id of a file that has none.
    """
    made, problems = dict(document), list[Problem]()
    made.setdefault("id", stem.lower().replace("_", "-").replace(" ", "-"))
    made.setdefault("architecture", f"own ({base.get('id', 'own')})")
    _head(made, problems)
    _rates(made, str(base.get("unit", "matrix")), problems)
    for parts, unit in _places(made):
        _figure(made, parts, unit, problems)
    _capacity(made)
    if any(True for _ in _own_figures(made)):
        made["sources"] = {
            OWN: {"title": "Stated in this file without a source", "date": UNDATED},
            **(made["sources"] if isinstance(made.get("sources"), dict) else {}),
        }
    return made, problems


def read_figure(text: str, unit: str) -> tuple[float, str] | str:
    """(value, unit) of a figure such as ``900 GB/s``, or what is wrong with it."""
    match = _TEXT.fullmatch(text)
    number, word = (match[1], match[2] or "") if match else (text, "")
    if not _NUMBER.fullmatch(number):
        return f"{text!r} is no number with a unit"
    value = float(number.replace("_", "").replace(",", ""))
    if not word:
        return (value, "1") if unit == "1" else f"{text!r} has no unit"
    known = _UNITS.get(word.lower())
    if known is None:
        return f"{text!r}: {word!r} is no unit that is known here"
    return value * known[1], known[0]


def _number(text: str) -> tuple[float, str]:
    """The figure of an example, which stands in for one that cannot be read."""
    read = read_figure(text, "")
    assert not isinstance(read, str)
    return read


def _head(made: dict[str, Any], problems: list[Problem]) -> None:
    """Move ``memory`` and ``bandwidth`` of the head to where they belong."""
    size = made.get("memory", {})
    if not isinstance(size, dict):
        made["memory"] = {"label": size}
    else:
        made["memory"] = dict(size)
        if "size" in size and "label" not in size:
            made["memory"]["label"] = made["memory"].pop("size")
    if "bandwidth" in made:
        if "bandwidth" in made["memory"]:
            problems.append(("bandwidth", "stands at the head and in [memory]", "keep one"))
        made["memory"].setdefault("bandwidth", made["bandwidth"])
        del made["bandwidth"]


def _rates(made: dict[str, Any], unit: str, problems: list[Problem]) -> None:
    """``rates.FORMAT`` → ``rates.UNIT.FORMAT.dense``."""
    rates = made.get("rates")
    if not isinstance(rates, dict):
        return
    out: dict[str, Any] = {}
    for name, value in rates.items():
        plain = name in FORMATS or not isinstance(value, dict)
        for fmt, stated in ({name: value} if plain else value).items():
            by_kind = isinstance(stated, dict) and "value" not in stated
            place = out.setdefault(unit if plain else name, {})
            if fmt in place:
                problems.append((f"rates.{fmt}", "is stated twice", "keep one"))
            place[fmt] = dict(stated) if by_kind else {"dense": stated}
    made["rates"] = out


def _places(made: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a file may have figures, with the unit that belongs there."""
    for key in ("label", "driver", "capacity"):
        yield ("memory", key), "B"
    yield ("memory", "usable_fraction"), "1"
    yield ("memory", "bandwidth"), "B/s"
    for key in ("scale_up", "scale_out"):
        yield ("links", key), "B/s"
        yield ("links", f"{key}_floor"), "s"
    yield ("links", "host"), "B/s"
    yield ("power",), "W"
    yield ("price",), "USD/h"
    rates, achieved = made.get("rates"), made.get("achieved")
    for unit, formats in (rates if isinstance(rates, dict) else {}).items():
        for name in formats if isinstance(formats, dict) else ():
            for kind in ("dense", "sparse"):
                yield ("rates", unit, name, kind), "OP/s" if name.startswith("int") else "FLOP/s"
    for name in achieved if isinstance(achieved, dict) else ():
        for key in ("compute_fraction", "bandwidth_fraction"):
            yield ("achieved", name, key), "1"
        yield ("achieved", name, "floor_seconds"), "s"


def _figure(
    made: dict[str, Any], parts: tuple[str, ...], unit: str, problems: list[Problem]
) -> None:
    """Put a table in the place of the short figure at ``parts``, if one stands there."""
    here: Any = made
    for part in parts[:-1]:
        here = here.get(part) if isinstance(here, dict) else None
    if not isinstance(here, dict) or parts[-1] not in here:
        return
    value, key = here[parts[-1]], ".".join(parts)
    if isinstance(value, dict):
        here[parts[-1]] = _with_source(value)
        return
    if isinstance(value, str):
        read = read_figure(value, unit)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        read = (float(value), "1") if unit == "1" else f"{value!r} has no unit"
    else:
        read = f"{value!r} is no figure"
    if isinstance(read, str):
        problems.append((key, read, f'write it as "{EXAMPLES[unit]}"'))
        read = _number(EXAMPLES[unit])
    here[parts[-1]] = _with_source({"value": read[0], "unit": read[1]})


def _with_source(figure: Mapping[str, Any]) -> dict[str, Any]:
    if "source" in figure or "kind" in figure or "date" in figure:
        return dict(figure)
    return {
        "source": OWN,
        "date": UNDATED,
        "kind": "recalled",
        "note": "stated in the file without a source",
        **figure,
    }


def _capacity(made: dict[str, Any]) -> None:
    """What an engine sees, where only a size is stated: that size, in whole bytes."""
    memory = made.get("memory")
    label = memory.get("label") if isinstance(memory, dict) else None
    if (
        isinstance(memory, dict)
        and isinstance(label, dict)
        and isinstance(value := label.get("value"), int | float)
        and value == value
        and abs(value) < 1e300
    ):
        label["value"] = int(value)
        memory.setdefault(
            "capacity",
            {
                **label,
                "kind": "derived",
                "value": int(value),
                "note": "the stated size; an engine prints what it sees",
            },
        )


def _own_figures(made: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    level: list[Any] = [made]
    while level:
        table = level.pop()
        if isinstance(table, dict):
            if table.get("source") == OWN:
                yield table
            level += table.values()
