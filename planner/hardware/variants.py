"""Devices that differ by a few figures: one family file holds what they share and a row for each.

``hardware_profiles/families/NAME.toml`` has ``[common]``, parts of a profile that all have;
``[figures]``, where short figures are from, by key; ``[multiples]``, dense rates as multiples of
the FP32 rate; ``[visible]``, what an engine sees where no log says; ``[[usable]]``, shares of a
shared memory by size; and ``[[variants]]``, each a short profile, which may name the packaged
device that it starts from as ``base`` and ``scale`` its rates. A variant with ``sizes`` is one
device for each size of memory, its id the variant's with ``-24gb`` behind it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from planner.base.errors import DataError
from planner.base.files import data_folder
from planner.base.toml_text import parse_toml, read_toml_bytes
from planner.hardware.short import read_figure

FAMILIES = "families"
_HINT = "hardware_profiles/README.md describes families of devices"
_KEYS = {"common", "figures", "multiples", "visible", "usable", "variants", "sources"}
_OWN = ("sizes", "fp32", "scale", "base")
"""Keys of a variant that are no part of a profile."""
Table = dict[str, Any]


def family_path(name: str) -> Path:
    """The packaged family file ``name``."""
    return data_folder("hardware_profiles") / FAMILIES / f"{name}.toml"


def family_names() -> tuple[str, ...]:
    """Packaged families, by name."""
    return tuple(sorted(p.stem for p in family_path("any").parent.glob("*.toml")))


def variant_documents(name: str) -> Mapping[str, Table]:
    """The parsed profile of each device of the packaged family ``name``, by id, in its order.

    Raises:
        DataError: the file is no family.
    """
    path = family_path(name)
    return _documents(read_toml_bytes(path, hint=_HINT), path)


def family_bytes(name: str) -> bytes:
    """What the profiles of the packaged family ``name`` are made of: its file, and its bases."""
    path = family_path(name)
    data = read_toml_bytes(path, hint=_HINT)
    variants = parse_toml(data, path, hint=_HINT).get("variants", [])
    bases = sorted({variant["base"] for variant in variants if "base" in variant})
    return b"".join([data, *(_base_path(base).read_bytes() for base in bases)])


def _base_path(name: str) -> Path:
    return data_folder("hardware_profiles") / f"{name}.toml"


@lru_cache(maxsize=16)
def _documents(data: bytes, path: Path) -> Mapping[str, Table]:
    family = parse_toml(data, path, hint=_HINT)
    unknown = sorted(family.keys() - _KEYS)
    if unknown or not isinstance(family.get("variants"), list):
        raise DataError(
            f"{path}: {', '.join(unknown) or 'variants'}: not understood",
            hint=f"a family has {', '.join(sorted(_KEYS))}",
        )
    made: dict[str, Table] = {}
    for variant in family["variants"]:
        for one in _sized(variant):
            document = _document(family, one)
            if document["id"] in made:
                raise DataError(f"{path}: {document['id']} stands twice", hint="keep one")
            made[document["id"]] = document
    return made


def _sized(variant: Table) -> Iterator[Table]:
    """The variant, once for each of its sizes of memory."""
    sizes = variant.get("sizes")
    if sizes is None:
        yield variant
        return
    for size in sizes:
        aliases = [f"{alias}-{size}gb" for alias in variant.get("aliases", ())]
        memory = {**variant.get("memory", {}), "label": f"{size} GB"}
        yield {
            **variant,
            "id": f"{variant['id']}-{size}gb",
            "name": re.sub(r"( \(|$)", rf" {size} GB\1", variant["name"], count=1),
            "memory": memory,
            **({"aliases": aliases} if aliases else {}),
        }


def _document(family: Table, variant: Table) -> Table:
    """The full text of one device's profile, as a parsed file has it."""
    figures = family.get("figures", {})
    document: Table = {}
    if "base" in variant:
        path = _base_path(variant["base"])
        document = parse_toml(read_toml_bytes(path, hint=_HINT), path, hint=_HINT)
        document["aliases"] = []
        for key in ("capacity", "driver"):
            document["memory"].pop(key, None)
    _lay(document, family.get("common", {}))
    _lay(document, {key: value for key, value in variant.items() if key not in _OWN})
    document.setdefault("aliases", [])
    sources = {**document.get("sources", {}), **family.get("sources", {})}
    _state(document, figures)
    if "scale" in variant:
        _scale(document["rates"], variant["scale"], figures["scale"])
    if "fp32" in variant:
        unit, fp32 = (
            family["multiples"]["unit"],
            _stated(variant["fp32"], "FLOP/s", figures["fp32"]),
        )
        document.setdefault("rates", {}).setdefault(unit, {})["fp32"] = {"dense": fp32}
        _multiply(document["rates"], family["multiples"], fp32)
    _see(document["memory"], family, figures)
    used = _used(document)
    document["sources"] = {key: value for key, value in sources.items() if key in used}
    return document


def _lay(document: Table, over: Mapping[str, Any]) -> None:
    """Put the tables of ``over`` on those of ``document``; figures and lists replace."""
    for key, value in over.items():
        here = document.get(key)
        if isinstance(value, dict) and isinstance(here, dict) and "value" not in value:
            _lay(here, value)
        else:
            document[key] = copy.deepcopy(value)


def _stated(text: str | Table, unit: str, origin: Table) -> Table:
    """A short figure as a table, with the source of its part."""
    if isinstance(text, dict):
        return text
    read = read_figure(text, unit)
    if isinstance(read, str):
        raise DataError(f"family of devices: {read}", hint=_HINT)
    value, found = read
    return {"value": int(value) if found == "B" else value, "unit": found, **origin}


def _state(document: Table, figures: Mapping[str, Table]) -> None:
    """Spell out short figures of memory, power and silicon."""
    memory = document["memory"]
    for key, unit in (("label", "B"), ("driver", "B"), ("capacity", "B"), ("bandwidth", "B/s")):
        if isinstance(memory.get(key), str):
            memory[key] = _stated(memory[key], unit, figures[key])
    if isinstance(document.get("power"), str):
        document["power"] = _stated(document["power"], "W", figures["power"])
    silicon = document.get("silicon", {})
    for key, unit in (("multiprocessors", "count"), ("l2", "B")):
        if isinstance(silicon.get(key), int):
            silicon[key] = {"value": silicon[key], "unit": unit, **figures["silicon"]}


def _scale(rates: Table, factor: float, origin: Table) -> None:
    """Every rate times ``factor``: a chip of the same kind with fewer units or a lower clock."""
    for formats in rates.values():
        for rate in formats.values():
            for figure in rate.values():
                value = float(f"{figure['value'] * factor:.4g}")
                figure.update(value=value, **origin)
                for bound in ("low", "high"):
                    figure.pop(bound, None)


def _multiply(rates: Table, multiples: Table, fp32: Table) -> None:
    """Dense rates as multiples of the FP32 rate, which chips of one architecture share."""
    for unit, formats in multiples.items():
        if not isinstance(formats, dict):
            continue
        for name, factor in formats.items():
            rates.setdefault(unit, {})[name] = {
                "dense": {
                    **fp32,
                    "value": float(f"{fp32['value'] * factor:.4g}"),
                    "unit": "OP/s" if name.startswith("int") else "FLOP/s",
                    "kind": "derived",
                    "note": f"{factor:g} × FP32, {multiples['like']}",
                }
            }


def _see(memory: Table, family: Table, figures: Mapping[str, Table]) -> None:
    """What an engine sees, where no log says; the share of a shared memory that it may use."""
    size = memory["label"]["value"] // 10**9 * 2**30
    if "capacity" not in memory:
        visible = family["visible"]
        memory["capacity"] = {
            "value": int(size * visible["share"]),
            "unit": "B",
            **{key: value for key, value in visible.items() if key != "share"},
        }
    for usable in family.get("usable", ()):
        if size <= usable["up_to_gib"] * 2**30:
            memory["usable_fraction"] = {
                "unit": "1",
                **{key: value for key, value in usable.items() if key != "up_to_gib"},
            }
            return


def _used(table: Any) -> set[str]:
    """Keys of sources that the figures of ``table`` name."""
    if not isinstance(table, dict):
        return set()
    own = {table["source"]} if isinstance(table.get("source"), str) else set()
    return own.union(*(_used(value) for value in table.values()))
