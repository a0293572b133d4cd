"""What engines do with caches beside storing them: formats that may stand together, and rotation.

Rows of the axis ``caches`` of ``data/engine_matrix.csv`` say how the caches of one server may
differ: their names are a mode (:data:`MODES`) and the quantised layouts that it holds for (none:
all), their kinds a word for the model's caches (:func:`mixing_word`). The first row that fits a
layout decides; where none does a server has one layout.

``cache_rotations.csv``: a Hadamard rotation of queries and keys leaves their products as they are
and spreads the channels that hold most of a key, so that a block's scale is made for none of them
alone; values are rotated and the output is rotated back (ggml-org/llama.cpp#21038, QuaRot: arXiv
2404.00456). Heads whose width is no ``multiple`` stay as they are. Latents are left out: they have
no such channels, and what was published of rotated ones is no better (ml-explore/mlx-lm#1555).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from functools import cache

from planner.base.records import record
from planner.formats.kv import GGML_CACHES
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Text, message, with_name
from planner.models.spec import Attention, ModelSpec
from planner.placement.cache_entries import CacheUnit, cache_units
from planner.planning.engines.rules import (
    DATA,
    PLAIN,
    RuleSource,
    SupportCell,
    cache_group,
    rules_here,
    sources,
)

ROTATED_KINDS = ("kv-k", "kv-v")
_BUILD = re.compile(r"b?(\d+)")
AXIS = "caches"
ONE, SKIP, WINDOWS, KEYS_VALUES, LAYERS = "one", "skip", "windows", "keys-values", "layers"
MODES: Mapping[str, str] = {
    ONE: "one layout in a server",
    SKIP: "one quantised layout, and any layers beside it in the model's own type",
    WINDOWS: "one quantised layout, and windowed layers beside it in the model's own type",
    KEYS_VALUES: "one layout of keys and one of values, in all layers",
    LAYERS: "a layout for each layer",
}
WHOLE_PAST = "whole-past"
"""Word for caches of layers without a window."""
WINDOWED, STATES = "windowed", "states"
"""Words for models that have windowed layers beside others, and recurrent ones beside them."""


@record
class CacheRotation:
    """Rotated by ``engine`` from build ``since_build``: heads of a ``multiple`` of channels."""

    engine: str
    since_build: int
    multiple: int
    source: RuleSource


def mixing_word(spec: ModelSpec) -> str:
    """The word of the axis ``caches`` for a model: states where recurrent layers stand beside
    attention, windowed where windows stand beside whole pasts, else the group of its caches (heads,
    latent-dense, latent-sparse or compressed)."""
    units = cache_units(spec)
    groups = {cache_group(unit) for unit in units}
    if any(group.kind == "linear" for group in spec.attention):
        return STATES
    for group in ("compressed", "latent-sparse", "latent-dense"):
        if group in groups:
            return group
    windows = {unit.attention.window > 0 for unit in units}
    return WINDOWED if len(windows) > 1 else "heads"


def cache_words(unit: CacheUnit) -> tuple[str, ...]:
    """The words under which choices of a cache are barred."""
    group = cache_group(unit)
    return (group,) if unit.attention.window else (group, WHOLE_PAST)


def mixing_mode(engine: Engine, device: DeviceProfile, spec: ModelSpec, layout: str) -> str:
    """How ``layout`` may stand beside other layouts in one server of ``engine``."""
    for names, cell in _rows(engine, device, spec):
        mode, *layouts = names
        if cell.status == "supported" and (not layouts or layout in layouts):
            return mode
    return ONE


def mixing_refusal(
    engine: Engine,
    device: DeviceProfile,
    spec: ModelSpec,
    caches: Sequence[tuple[str, int, str]],
) -> Text:
    """Why no server of ``engine`` keeps ``caches``, (kind of entry, layer, layout) of each; empty
    where one does."""
    used = sorted({layout for _, _, layout in caches})
    packed = [layout for layout in used if layout not in PLAIN]
    if len(used) < 2 or any(
        _in_mode(mixing_mode(engine, device, spec, layout), caches, packed, spec)
        for layout in packed or used
    ):
        return ""
    several = message(
        "engines.caches_in_one_type_server", used=message("structure.linked", parts=tuple(used))
    )
    said = next(
        (cell.reason for _, cell in _rows(engine, device, spec) if cell.status == "refused"), None
    )
    return several if said is None else with_name(several, said)


def windowed_layers(spec: ModelSpec) -> frozenset[int]:
    """The layers that keep keys and values of a window."""
    return frozenset(
        layer for unit in cache_units(spec) if _has_window(unit) for layer in unit.layers
    )


def _has_window(unit: CacheUnit) -> bool:
    return unit.kind in ROTATED_KINDS and unit.attention.window > 0


def _in_mode(
    mode: str, caches: Sequence[tuple[str, int, str]], packed: Sequence[str], spec: ModelSpec
) -> bool:
    """Whether ``caches`` are what a server keeps in ``mode``, where ``packed`` are quantised."""
    if mode == KEYS_VALUES:
        return all(
            len({layout for kind, _, layout in caches if kind == one}) == 1
            for one in {kind for kind, _, _ in caches}
        )
    types = {layout for _, _, layout in caches if layout in PLAIN}
    if mode not in (SKIP, WINDOWS, LAYERS):
        return False
    if mode != LAYERS and (len(packed) != 1 or len(types) > 1):
        return False
    by_layer: dict[int, set[str]] = {}
    for _, layer, layout in caches:
        by_layer.setdefault(layer, set()).add(layout)
    if any(len(layouts) > 1 for layouts in by_layer.values()):
        return False
    plain = {layer for layer, layouts in by_layer.items() if layouts <= set(PLAIN)}
    return mode != WINDOWS or plain <= windowed_layers(spec)


def _rows(
    engine: Engine, device: DeviceProfile, spec: ModelSpec
) -> list[tuple[tuple[str, ...], SupportCell]]:
    """(names, what the row says) of the rows about the caches of ``spec``, in order."""
    word = mixing_word(spec)
    return [
        (rule.names, rule.cell)
        for rule in rules_here(engine, device, AXIS)
        if rule.is_about(word, "")
    ]


def rotates(engine: str, version: str, layout: str, attention: Attention, kind: str) -> bool:
    """Whether ``engine`` rotates the entries of ``kind`` that it keeps in ``layout``. A ``version``
    that is no build number is the newest one."""
    if layout not in GGML_CACHES or kind not in ROTATED_KINDS:
        return False
    width = attention.head_dim if kind == "kv-k" else attention.value_dim or attention.head_dim
    build = _BUILD.fullmatch(version)
    return any(
        row.engine == engine
        and width % row.multiple == 0
        and (build is None or int(build[1]) >= row.since_build)
        for row in cache_rotations()
    )


@cache
def cache_rotations() -> tuple[CacheRotation, ...]:
    """The rows of the table (read once a process)."""
    known = sources()
    with (DATA / "cache_rotations.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            CacheRotation(
                row["engine"],
                int(row["since_build"]),
                int(row["multiple"]),
                known[row["source"]],
            )
            for row in csv.DictReader(file)
        )
