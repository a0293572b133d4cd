"""Classes of devices: what a profile with ``inherits`` takes from one, and where that came from.

``hardware_profiles/classes/NAME.toml`` states how much of its rates and of its bandwidth a device
of the class reaches, as medians of bundled profiles; a class may inherit from another.
A profile's own figures count. Where it states how much of a matrix product's peak it reaches, the
fractions that it inherits are scaled by the same ratio. Rates, sizes, bandwidths, links, power and
prices are never inherited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from planner.base.errors import nearest_names
from planner.base.files import data_folder
from planner.base.toml_text import parse_toml, read_toml_bytes
from planner.hardware.rules import Problem

KEY = "inherits"
FOLDER = "classes"
DEFAULT = "gpu-hbm"
_HINT = "hardware_profiles/classes holds the classes; hardware_profiles/README.md describes them"
_FIELDS = ("compute_fraction", "bandwidth_fraction", "floor_seconds")
_RATES = {
    "fp8-tensor": ("fp8",),
    "fp8-block": ("fp8",),
    "moe-fp8": ("fp8", "mxfp8"),
    "int8": ("int8",),
    "moe-int8": ("int8",),
    "nvfp4": ("nvfp4",),
    "mxfp4": ("mxfp4",),
    "mxfp8": ("mxfp8",),
    "moe-nvfp4": ("nvfp4", "mxfp4"),
    "fp32": ("fp32",),
    "bf16": ("bf16",),
    "fp16": ("fp16",),
}
"""A class of kernels is inherited where one of these formats has a rate; the others always."""
_LIKE = {
    "fp8-block": "fp8-tensor",
    "mxfp8": "fp8-tensor",
    "moe-fp8": "fp8-tensor",
    "int8": "fp8-tensor",
    "moe-int8": "int8",
    "mxfp4": "nvfp4",
    "moe-nvfp4": "mxfp4",
}
"""Whose own fraction scales an inherited one, before that of 16-bit products does."""
Table = dict[str, Any]


def value_text(value: Any) -> str:
    """A value of a file as a message has it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def class_names() -> tuple[str, ...]:
    """Classes that come with the program."""
    return tuple(
        sorted(path.stem for path in (data_folder("hardware_profiles") / FOLDER).glob("*.toml"))
    )


def class_chain(document: Mapping[str, Any], path: Path) -> tuple[list[Table], list[Problem]]:
    """(the classes that a parsed profile inherits from, nearest first, what is wrong with them).

    A class that cannot be taken ends the chain, and DEFAULT stands in its place, so that the rest
    of the file can be looked at.
    """
    chain: list[Table] = []
    seen = [path.stem]
    here: Mapping[str, Any] = document
    bundled = ", ".join(class_names())
    while KEY in here:
        name = here[KEY]
        if not isinstance(name, str):
            problem = (KEY, f"{value_text(name)} is no text", f"name a class: {bundled}")
        elif name in seen:
            problem = (
                KEY,
                f"{' → '.join([*seen, name])} comes back to {name}",
                f"end with one of {bundled}",
            )
        elif (table := _class(name, path)) is None:
            problem = (KEY, f"unknown class {value_text(name)}", nearest_names(name, class_names()))
        elif name not in class_names() and (wrong := _malformed(table)):
            return [*chain, _read(_bundled(DEFAULT))], [
                (f"{KEY}: class {name}: {key}", reason, fix) for key, reason, fix in wrong
            ]
        else:
            here = table
            seen.append(name)
            # The name that it was found by: a file of one's own need not state an id.
            chain.append({**table, "id": name})
            continue
        return [*chain, _read(_bundled(DEFAULT))], [problem]
    return chain, []


def _class(name: str, path: Path) -> Table | None:
    """The class ``name``: a bundled one, else the file of that name beside ``path``.

    Raises:
        DataError: that file is no TOML.
    """
    beside = path.parent / f"{name}.toml"
    if name in class_names():
        return _read(_bundled(name))
    if "/" in name or "\\" in name or "\0" in name or len(name) > 100 or not beside.is_file():
        return None
    return parse_toml(read_toml_bytes(beside, hint=_HINT), beside, hint=_HINT)


def _malformed(table: Table) -> list[Problem]:
    """What cannot be inherited of a class of one's own, as it is not in the form of a class."""
    problems: list[Problem] = []
    for key in ("links", "achieved", "conversion", "fp32", "sources"):
        if not isinstance(table.get(key, {}), dict):
            problems.append(
                (key, f"{value_text(table[key])} is no table", f"write it below [{key}]")
            )
    if problems:
        return problems
    for name, figures in table.get("achieved", {}).items():
        if not isinstance(figures, dict):
            problems.append(
                (
                    f"achieved.{name}",
                    f"{value_text(figures)} is no table",
                    f"write {', '.join(_FIELDS)} below [achieved.{name}]",
                )
            )
            continue
        problems += [
            (
                f"achieved.{name}.{field}",
                f"{value_text(figures[field])} is no figure of a class",
                '{ value = 0.6, unit = "1", source = "…", date = "…", kind = "…" }',
            )
            for field in _FIELDS
            if field in figures
            and not (isinstance(figures[field], dict) and _positive(figures[field].get("value")))
        ]
    for name, factor in table.get("conversion", {}).items():
        if not _positive(factor):
            problems.append(
                (
                    f"conversion.{name}",
                    f"{value_text(factor)} is no positive number",
                    "elements for each FLOP of FP32, for example 0.25",
                )
            )
    if "fp32" in table and not _positive(table["fp32"].get("share")):
        problems.append(
            (
                "fp32.share",
                f"{value_text(table['fp32'].get('share'))} is no positive number",
                "the FP32 rate as a share of the 16-bit rate, for example 0.25",
            )
        )
    return problems


def _bundled(name: str) -> Path:
    return data_folder("hardware_profiles") / FOLDER / f"{name}.toml"


def class_digests(document: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """SHA-256 of the bundled classes that a parsed profile inherits from; of other classes a text
    that is no digest."""
    chain, problems = class_chain(document, path)
    names = [str(class_table.get("id", "")) for class_table in chain]
    return tuple(
        hashlib.sha256(_bundled(name).read_bytes()).hexdigest()
        if name in class_names() and not problems
        else ""
        for name in names
    )


@lru_cache(maxsize=16)
def _read(path: Path) -> Table:
    """A bundled class."""
    return parse_toml(path.read_bytes(), path, hint=_HINT)


def inherited(document: Table, chain: list[Table]) -> tuple[Table, tuple[str, ...]]:
    """(``document`` with what it lacks of ``chain``, dotted keys of what was taken)."""
    own, taken = dict(document), []
    for class_table in chain:
        own, more = _with(own, class_table)
        taken += more
    return own, tuple(dict.fromkeys(taken))


def _with(own: Table, base: Table) -> tuple[Table, list[str]]:
    taken: list[str] = []
    for key in ("kind", "architecture"):
        if key in base and key not in own:
            own[key] = base[key]
            taken.append(key)
    memory = _table(own, "memory")
    # A device that serves as a class may state its size alone, which nothing inherits.
    base_memory = base["memory"] if isinstance(base.get("memory"), dict) else {}
    for key in ("type", "unified", "usable_fraction"):
        if key in base_memory and key not in memory:
            memory[key] = base_memory[key]
            taken.append(f"memory.{key}")
    links = _table(own, "links")
    for key in ("scale_up", "scale_out"):
        floor = f"{key}_floor"
        if key in links and floor not in links and floor in base.get("links", {}):
            links[floor] = base["links"][floor]
            taken.append(f"links.{floor}")
    taken += _vector_rate(own, base)
    taken += _conversion(own, base)
    taken += _achieved(own, base)
    if taken:
        own["sources"] = {**base.get("sources", {}), **_table(own, "sources")}
    return own, taken


def _table(own: Table, key: str) -> Table:
    """The table ``key`` of a document, a copy that it then holds; none where it is no table."""
    value = own.get(key, {})
    if not isinstance(value, dict):
        return {}
    if value or key in own:
        own[key] = value = dict(value)
    else:
        own[key] = value
    return value


def _dense(own: Table, *names: str) -> Table | None:
    """The first dense rate of one of ``names``, on any unit."""
    rates = own.get("rates")
    for name in names:
        for unit in rates.values() if isinstance(rates, dict) else ():
            rate = unit.get(name) if isinstance(unit, dict) else None
            dense = rate.get("dense") if isinstance(rate, dict) else None
            if isinstance(dense, dict) and _positive(dense.get("value")):
                return dense
    return None


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e30


def _derived(like: Table, value: float, unit: str, note: str) -> Table:
    return {
        "value": value,
        "unit": unit,
        "source": like.get("source", ""),
        "date": like.get("date", ""),
        "kind": "derived",
        "note": note,
    }


def _vector_rate(own: Table, base: Table) -> list[str]:
    """The FP32 rate outside the matrix units, as a share of the 16-bit rate."""
    plain = _dense(own, "bf16", "fp16")
    if "fp32" not in base or plain is None or _dense(own, "fp32") is not None:
        return []
    share = float(base["fp32"]["share"])
    rates = dict(own["rates"])
    rates["vector-unit"] = {
        **rates.get("vector-unit", {}),
        "fp32": {
            "dense": _derived(
                plain,
                share * plain["value"],
                "FLOP/s",
                f"{share:g} of the 16-bit rate, as {base['fp32'].get('note', base['id'])}",
            )
        },
    }
    own["rates"] = rates
    return ["rates.vector-unit.fp32"]


def _conversion(own: Table, base: Table) -> list[str]:
    vector, problems = _dense(own, "fp32"), []
    conversion = _table(own, "conversion")
    for name, factor in base.get("conversion", {}).items():
        if vector is not None and name not in conversion:
            conversion[name] = _derived(
                vector,
                factor * vector["value"],
                "elements/s",
                f"{factor:g} an FP32 FLOP, as the class {base['id']}",
            )
            problems.append(f"conversion.{name}")
    if not conversion:
        own.pop("conversion", None)
    return problems


def _achieved(own: Table, base: Table) -> list[str]:
    given = own.get("achieved", {})
    if not isinstance(given, dict):
        return []
    stated = {name: dict(figure) for name, figure in given.items() if isinstance(figure, dict)}
    reached: Table = dict(given)
    problems: list[str] = []
    for name, figures in base.get("achieved", {}).items():
        if name in _RATES and _dense(own, *_RATES[name]) is None:
            continue
        mine = dict(stated.get(name, {}))
        for field in _FIELDS:
            if field not in mine and field in figures:
                mine[field] = _scaled(name, field, figures[field], stated, base)
                problems.append(f"achieved.{name}.{field}")
        reached[name] = mine
    if reached:
        own["achieved"] = reached
    return problems


def _scaled(
    name: str, field: str, figure: Table, stated: Mapping[str, Table], base: Table
) -> Table:
    """An inherited figure, times the ratio of the device's own fraction to the class's."""
    like = name
    while field != "floor_seconds" and name not in ("elementwise", "attention-decode", "fp32"):
        like = _LIKE.get(like, "bf16" if like != "bf16" else "")
        if not like:
            break
        mine, its = stated.get(like, {}).get(field), base["achieved"].get(like, {}).get(field)
        if isinstance(mine, dict) and its and _positive(mine.get("value")):
            ratio = float(mine["value"]) / its["value"]
            return {
                **figure,
                "kind": "derived",
                "note": f"class {base['id']} × {mine['value']:g} / {its['value']:g} ({like} of "
                f"both); " + figure.get("note", ""),
                **{
                    k: min(float(f"{figure[k] * ratio:.3g}"), 1.0)
                    for k in ("value", "low", "high")
                    if k in figure
                },
            }
    return {**figure, "note": f"class {base['id']}: " + figure.get("note", "")}
