"""Free-text names of tables → devices, models, formats, engines, units; from
``data/names.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from planner.base.errors import PlannerError
from planner.base.units import GIB
from planner.base.versions import version_of
from planner.hardware.catalog import resolve_device
from planner.lab.validation.cells import parse_int
from planner.memory.engines.catalog import Engine, default_version, engine_at
from planner.models.catalog import bundled_model
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec

_DATA = Path(__file__).resolve().parent / "data"
_TOTAL = re.compile(r"(\d+(?:\.\d+)?) ?GiB")
MOST_GIB = 1e6
"""Beyond the memory of any device; float overflows on hundreds of digits."""
_FREE = re.compile(r"(\d+(?:\.\d+)?) ?GB free")
_VERSION = re.compile(r"(?<![\d.])v?(\d+(?:\.\d+)+)")
_GROUP = re.compile(r"(?i)(?:\bgroup[ _-]?size\W{0,3}|\bg)(16|32|64|128|256|512|1024)\b")
_GENERATION = re.compile(r"\bV([01])\b")


@dataclass(frozen=True, slots=True)
class DeviceName:
    """A device of a table. ``total_bytes`` is the printed total, else the profile's, else 0."""

    id: str
    total_bytes: int
    free_bytes: int
    printed: bool
    large: bool
    capability: int = 0


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model of a table: its specification, its own position limit, and what it lacks."""

    spec: ModelSpec
    positions: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FormatName:
    """Weights of a table. ``scheme``: a scheme id, ``released`` or ``gguf``; ``rows``: one scale a
    row instead of the scheme's groups; ``group``: inputs of a group where they are stated, else
    0."""

    scheme: str
    family: str
    zero_point: bool
    rows: bool
    keep: tuple[str, ...]
    group: int = 0


@dataclass(frozen=True, slots=True)
class EngineName:
    """An engine of a table at its version; ``fork`` is the fork with an ``mla`` switch."""

    engine: Engine
    fork: bool


def device_name(text: str) -> DeviceName:
    """The device that ``text`` names; its id is the text itself where nothing matches."""
    entry = _match("device", text)
    printed, free = _TOTAL.search(text), _FREE.search(text)
    total, name, small, capability = 0, text.strip().lower(), False, 0
    if entry is not None and (entry.get("id") or entry.get("name")):
        name = entry.get("id") or entry["name"]
        small = bool(entry.get("small"))
        total = int(float(entry.get("total_gib", 0)) * GIB)
        capability = int(entry.get("capability", 0))
        if entry.get("id"):
            profile = resolve_device(entry["id"])
            total = int(profile.capacity_bytes.value)
            capability = int((profile.compute_capability or "0").split(".")[0])
    if printed is not None:
        total = _bytes(printed[1])
    free_bytes = _bytes(free[1]) if free is not None else 0
    return DeviceName(
        name, total, free_bytes, printed is not None, total >= 70 * GIB and not small, capability
    )


def _bytes(gib: str) -> int:
    return int(min(float(gib), MOST_GIB) * GIB)


def model_name(text: str) -> ModelName | None:
    """The model that ``text`` names, or None; a space between its parts is as good as a hyphen.

    A bundled model's own name comes first, then the patterns of the table in their order. A model
    that is derived from one whose name is in it is never that one (``derived_names``).
    """
    plain = re.sub(r"[\s_]+", "-", text.strip())
    joined = re.sub(r"(?i)\b(qwen)-(?=\d)", r"\1", plain)
    exact = _bundled(text) or _bundled(text.strip().split("/")[-1])
    for entry in _matches("model", text, joined):
        spec = _spec(entry)
        if exact is not None and spec is not None and spec.id != exact.id:
            continue
        if spec is None and not entry.get("id") and not entry.get("config"):
            return None if exact is None else ModelName(exact, 0, ())
        missing = tuple(entry.get("missing", ()))
        if spec is not None and (
            exact is not None or is_of(plain, spec, entry["match"], partial=bool(missing))
        ):
            return ModelName(spec, int(entry.get("positions", 0)), missing)
    return None if exact is None else ModelName(exact, 0, ())


def _bundled(text: str) -> ModelSpec | None:
    try:
        return bundled_model(text)
    except PlannerError:
        return None


def format_name(text: str, notes: str = "") -> FormatName | None:
    """The weight format that ``text`` names, or None; ``notes`` may state the size of a group."""
    entry = _match("format", text)
    if entry is None or not entry["scheme"]:
        return None
    stated = _GROUP.search(text) or _GROUP.search(notes)
    return FormatName(
        entry["scheme"],
        entry.get("family", ""),
        bool(entry.get("zero_point")),
        bool(entry.get("rows")),
        tuple(entry.get("keep", ())),
        int(stated[1]) if stated else 0,
    )


def engine_name(text: str, version: str) -> EngineName | None:
    """The engine and version of two columns; the newest constants where no version is stated."""
    entry = _match("engine", text)
    if entry is None:
        return None
    number, worker = _VERSION.search(version), _GENERATION.search(version)
    name = entry["name"]
    stated = number is not None and name != "llama.cpp"
    text = (
        ".".join(str(parse_int(part)) for part in number[1].split("."))
        if stated and number is not None
        else ""
    )
    generation = f"v{worker[1]}" if worker is not None and name == "vllm" else ""
    return EngineName(_engine(name, text, generation), bool(entry.get("fork")))


def _engine(name: str, text: str, generation: str) -> Engine:
    """The engine at a stated version as it is, known or not; at its default for an empty one."""
    version = version_of(text) if text else default_version(name)
    return engine_at(name, version, generation=generation, stated=bool(text), text=text)


def unit_bytes(unit: str, engine: str) -> int | None:
    """Bytes of one ``unit`` as ``engine`` prints it (1 for counts), or None."""
    for entry in _names()["unit"]:
        if re.search(entry["match"], unit.strip(), re.IGNORECASE):
            engines = entry.get("engines")
            if engines is None or engine in engines:
                return int(entry["bytes"])
    return None


@cache
def _names() -> dict[str, Any]:
    return tomllib.loads((_DATA / "names.toml").read_text(encoding="utf-8"))


def _match(table: str, text: str) -> dict[str, Any] | None:
    return next(_matches(table, text), None)


def _matches(table: str, *texts: str) -> Iterator[dict[str, Any]]:
    """The entries whose pattern is in one of ``texts``, in the order of the table."""
    for entry in _names()[table]:
        if any(re.search(entry["match"], text.strip(), re.IGNORECASE) for text in texts):
            yield dict(entry)


def _spec(entry: dict[str, Any]) -> ModelSpec | None:
    if entry.get("id"):
        return _bundled(entry["id"])
    return _own(entry["config"]) if entry.get("config") else None


@cache
def _own(name: str) -> ModelSpec:
    path = _DATA / "models" / f"{name}.json"
    return spec_from_bytes(
        path.read_bytes(),
        path.name,
        model_id=name,
        public_name=name,
        source="public configuration",
        source_kind="reconstructed",
    )


_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d{1,4})x)?(\d{1,5}(?:\.\d{1,3})?)([bm])(?![a-z0-9])")
_UNIT = {"b": 10**9, "m": 10**6}
_WIDTH, _LOOSE = 1.15, 1.35
"""How far a stated size may be from the counted one; loosely where it is a product (8x7B of 46.7)
or states parts that are not counted."""
OWN_MODELS = frozenset({
    "air", "distill", "draft", "eagle", "eagle3", "flash", "lite", "mini", "mtp", "nano",
    "next", "omni", "pro", "small", "tiny", "vl",
})  # fmt: skip
"""Words of a name that tell another model: not of a family, size or fine-tune of the same one."""


def stated_sizes(text: str) -> tuple[tuple[float, bool], ...]:
    """The parameters that a name states, and whether as a product: 8B, 8x7B, 135M; A3B is no
    size."""
    return tuple(
        (float(size[2]) * int(size[1] or 1) * _UNIT[size[3]], size[1] is not None)
        for size in _SIZE.finditer(text.lower())
    )


def words(text: str) -> frozenset[str]:
    """The words of a name, in lower case."""
    return frozenset(re.split(r"[^a-z0-9]+", text.lower()))


def is_of(text: str, spec: ModelSpec, known: str, *, partial: bool = False) -> bool:
    """Whether ``text`` can mean ``spec``, which a pattern ``known`` found in it; a ``partial`` spec
    lacks parts of the model."""
    own = OWN_MODELS & words(text)
    if own - words(known) - words(spec.id):
        return False
    count = Inventory(spec)
    outside = sum(row.elements for row in spec.rows if row.kind in ("embedding", "head"))
    sizes = {
        float(count.parameters_total),
        float(count.parameters_total - outside),
        *map(float, count.parameters_active.values()),
    }

    def near(stated: float, width: float) -> bool:
        return any(size / width <= stated <= size * width for size in sizes)

    return all(
        near(stated, _LOOSE if product or partial else _WIDTH)
        for stated, product in stated_sizes(text)
    )
