"""What would make a question of memory fit: the formats and caches that are tried on its device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from planner.formats.elements import element
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES, scheme_ids
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile
from planner.hardware.segments import in_data_centre
from planner.memory.answer import MemoryProposal
from planner.memory.breakdown import Breakdown
from planner.memory.caches import KvOf
from planner.memory.engines.catalog import Engine
from planner.memory.resident import FormatOf
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units, stores
from planner.placement.layout import Layout
from planner.planning.engines.layouts import layout_refusal, layout_rules
from planner.planning.engines.published import published_counts
from planner.planning.infeasible.memory_relief import (
    MemoryQuestion,
    memory_proposals,
    memory_way_out,
)
from planner.planning.inspect.stored_formats import weight_formats
from planner.planning.plan.record import Plan
from planner.planning.question.caches import kv_refusal
from planner.throughput.ggml import runs_on_ggml
from planner.throughput.kernels import legal_schemes

LEAST_BITS = 4.0
"""Weights of fewer bits are no way out: what they lose nobody serves."""


def ways_out(
    memory: MemoryQuestion,
    split: Breakdown,
    plan: Plan | None,
    chosen: tuple[FormatOf, str | KvOf],
    engine: Engine | None,
) -> tuple[tuple[MemoryProposal, ...], str]:
    """(changes with which it fits, the first or what is missing in words): a plan keeps its
    formats, an engine its caches; else those of the device are tried, of each width the one that is
    published most."""
    if not memory.usable:
        return (), message("memory.more_memory_or_shorter")
    formats: dict[str, FormatOf] = {"plan": chosen[0]}
    caches: dict[str, str | KvOf] = {"plan": chosen[1]}
    if plan is None:
        formats = {
            name: weight_formats(memory.spec, name, None)[0]
            for name in _schemes(memory.spec, memory.device)
        }
        if engine is None:
            names = _caches(memory.spec, memory.device)
            caches = {name: name for name in names or ["bf16"]}
    allowed = partial(_takes, engine, memory.device)
    proposals = memory_proposals(memory, split, formats, caches, chosen, allowed)
    return proposals, memory_way_out(memory, split, formats, caches, proposals)


def _schemes(spec: ModelSpec, device: DeviceProfile | None) -> list[str]:
    """Schemes of weights that the device multiplies, widest first."""
    counts = published_counts()
    blocks = device is None or not in_data_centre(device)
    legal = scheme_ids() if device is None else legal_schemes(device, scheme_ids())[0]
    bits = {name: bits_per_element(SCHEMES[name].weight) for name in legal}
    kept = [
        name
        for name in legal
        if bits[name] >= LEAST_BITS and (blocks or not runs_on_ggml(SCHEMES[name]))
    ]
    return _one_a_width(
        kept,
        lambda name: int(bits[name]),
        lambda name: (counts.get((spec.id, name), 0), counts.get(("", name), 0)),
    )


def _caches(spec: ModelSpec, device: DeviceProfile | None) -> list[str]:
    """Cache layouts that the model has and the device serves, widest first; of fewer than 8 bits
    where llama.cpp is run, whose users take them."""
    units = cache_units(spec)
    least = 8 if device is not None and in_data_centre(device) else 4
    kept = [
        name
        for name, layout in KV_LAYOUTS.items()
        if (device is None or not kv_refusal(device, layout))
        and element(layout.element).bits >= least
        and any(stores(unit, name) for unit in units)
    ]
    return _one_a_width(
        kept,
        lambda name: element(KV_LAYOUTS[name].element).bits,
        lambda name: (-kept.index(name),),
    )


def _one_a_width(
    names: Sequence[str],
    width: Callable[[str], int],
    worth: Callable[[str], tuple[int, ...]],
) -> list[str]:
    """Of names of one width the first of the most worth; the widest first."""
    best: dict[int, str] = {}
    for name in names:
        bits = width(name)
        if bits not in best or worth(name) > worth(best[bits]):
            best[bits] = name
    return [best[bits] for bits in sorted(best, reverse=True)]


def _takes(engine: Engine | None, device: DeviceProfile | None, layout: Layout) -> bool:
    """Whether the engine takes a layout on the device, as far as both are known."""
    if engine is None or device is None:
        return True
    return layout_refusal(engine, layout_rules(engine, device), layout) is None
