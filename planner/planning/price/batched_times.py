"""TPOT and TTFT of one assignment on many candidates: the full step of ``evaluate``, in arrays.

Layers with the same units take the same time; they form a class, and a pipeline stage is a count of
layers of each class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import stage_of_layer
from planner.planning.price.batched_intervals import Spreads, spreads
from planner.planning.price.price import AFTER, BEFORE, FUSED
from planner.planning.question.question import PREFILL_CHUNK
from planner.planning.space.candidates import hops, queue
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
from planner.planning.space.times import Key, Lengths, Timed, timed_units
from planner.throughput.arrivals import prompts_each_step
from planner.throughput.points import Points, decode_phase, mixed_phase
from planner.throughput.roofline import Parts, joint_arrays

Array = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StepPrices:
    """Seconds of every candidate [C]; the first three as in :class:`planner.planning.price.price`.

    ``pipelined_tpot`` and ``bounded_ttft`` are what limits are compared with: units added up, and
    TTFT with an upper bound of its queue. The spreads are those of a decode step and of a prompt.
    """

    tpot: Array
    ttft: Array
    interruption: Array
    pipelined_tpot: Array
    bounded_ttft: Array
    step_spread: Spreads
    prompt_spread: Spreads


@dataclass(frozen=True, slots=True)
class LayerClass:
    """Layers (BEFORE or AFTER: outside the stack) in which the same ``groups`` of units run; the
    units of one group are one kernel."""

    layers: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def layer_classes(model: CostModel) -> tuple[LayerClass, ...]:
    """Every layer of the model in one class."""
    at: dict[int, dict[str, list[int]]] = {}
    for i, unit in enumerate(model.units):
        outside = BEFORE if unit.kind == "embedding" else AFTER
        for layer in unit.layers or (outside,):
            at.setdefault(layer, {}).setdefault(FUSED.get(unit.kind, f"{i}"), []).append(i)
    classes: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for layer, groups in sorted(at.items()):
        key = tuple(tuple(group) for group in groups.values())
        if layer in (BEFORE, AFTER):
            classes[(*key, (layer,))] = [layer]
        else:
            classes.setdefault(key, []).append(layer)
    return tuple(LayerClass(tuple(layers), key[:-1] if layers[0] < 0 else key)
                 for key, layers in classes.items())


def step_prices(model: CostModel, tables: LayoutTables, pts: Points, lengths: Lengths, osl: Int,
                choice: Sequence[int]) -> StepPrices:
    """Prices of the assignment ``choice`` (by unit, -1: as released) on ``pts``; ``osl`` [C]."""
    step = decode_phase(pts, lengths.decode)
    mixed = mixed_phase(pts, lengths.decode, lengths.isl, PREFILL_CHUNK)
    weight = prompts_each_step(pts.batch / osl, pts.dp) / pts.pp
    times = timed_units(model, tables, pts, lengths)
    hop, hop_mixed = hops(model, pts, step), hops(model, pts, mixed)

    def with_prompts(decode: Array, prompt: Array) -> Array:
        shape = (-1,) + (1,) * (decode.ndim - 1)
        passes = np.broadcast_to(mixed.passes, weight.shape).reshape(shape)
        return np.asarray(decode + weight.reshape(shape) * np.maximum(prompt - passes * decode,
                                                                      0.0))

    classes = layer_classes(model)
    decode, prompt = (np.stack(found, axis=1) for found in zip(
        *(_class_seconds(model, one, times, choice) for one in classes), strict=True))
    hop_step = with_prompts(hop, hop_mixed)
    tpot = _pipelined_seconds(model, pts, classes, with_prompts(decode, prompt), hop_step)
    interruption = tpot - _pipelined_seconds(model, pts, classes, decode, hop)
    whole = prompt @ np.array([len(c.layers) for c in classes], dtype=np.float64) + hop_mixed
    sequences = pts.slot * pts.pp
    wait = queue(interruption / tpot, whole / pts.pp, sequences)
    apart = _unit_classes(model)
    alone, beside = (_unit_seconds(model, times, choice, phase) for phase in ("decode", "mixed"))
    one, one_mixed = (np.stack([total for total, _ in units], axis=1)
                      for units in (alone, beside))
    counts = np.array([u.count for u in model.units], dtype=np.float64)
    average = with_prompts(one, one_mixed)
    added = one_mixed @ counts + hop_mixed
    late = sequences * np.maximum(added - mixed.passes * (one @ counts), 0.0) / pts.pp \
        / (osl * (average @ counts + hop_step))
    return StepPrices(
        tpot, whole + wait, interruption,
        pipelined_tpot=_pipelined_seconds(model, pts, apart, average, hop_step),
        bounded_ttft=added + queue(late, added / pts.pp, sequences),
        step_spread=spreads(model, choice, alone, decode=True),
        prompt_spread=spreads(model, choice, beside, decode=False))


def _class_seconds(model: CostModel, one: LayerClass, times: Mapping[Key, Timed],
                   choice: Sequence[int]) -> tuple[Array, Array]:
    """Seconds of a layer of a class [C]: of a decode step, of a mixed pass."""
    def columns(group: tuple[int, ...], phase: str) -> Array:
        parts = [_column(model, times, i, choice[i], phase) for i in group]
        whole = parts[0] if len(parts) == 1 else joint_arrays(parts)
        first = model.units[group[0]]
        return np.asarray(whole.total()[:, 0][times[first.role, first.row].at])

    decode, mixed = (sum(columns(group, phase) for group in one.groups)
                     for phase in ("decode", "mixed"))
    return np.asarray(decode), np.asarray(mixed)


def _column(model: CostModel, times: Mapping[Key, Timed], i: int, choice: int, phase: str) -> Parts:
    """Parts [D, 1] of one layer of unit ``i`` under its choice, on its rows."""
    unit = model.units[i]
    first = len(model.question.schemes) if unit.role == "cache" else 0
    parts: Parts = getattr(times[unit.role, unit.row], phase)
    return parts.column(max(choice - first, 0))


def _unit_seconds(model: CostModel, times: Mapping[Key, Timed], choice: Sequence[int],
                  phase: str) -> list[tuple[Array, Array]]:
    """(seconds, those of communication) of one layer of each unit, [C]."""
    known: dict[tuple[Key, int], tuple[Array, Array]] = {}
    out = []
    for i, (unit, c) in enumerate(zip(model.units, choice, strict=True)):
        key = ((unit.role, unit.row), c)
        if key not in known:
            parts, at = _column(model, times, i, c, phase), times[key[0]].at
            known[key] = parts.total()[:, 0][at], parts.communication[:, 0][at]
        out.append(known[key])
    return out


def _unit_classes(model: CostModel) -> tuple[LayerClass, ...]:
    """Every unit as a class of its own, in the order of the units."""
    return tuple(LayerClass(u.layers or (BEFORE if u.kind == "embedding" else AFTER,), ((i,),))
                 for i, u in enumerate(model.units))


def _pipelined_seconds(model: CostModel, pts: Points, classes: Sequence[LayerClass], seconds: Array,
                       hop: Array) -> Array:
    """Seconds of a step [C] from those of a layer of each class [C, K]: pp × the slowest stage,
    and the hops between stages."""
    out = np.empty(len(pts))
    for pp in set(pts.pp.astype(np.int64).tolist()):
        here = pts.pp == pp
        stages = stage_of_layer(model.question.spec.layers, pp)
        counts = np.zeros((len(classes), pp))
        for k, one in enumerate(classes):
            for layer in one.layers:
                counts[k, stages[layer] if layer >= 0 else 0 if layer == BEFORE else -1] += 1
        by_stage = seconds[here] @ counts
        out[here] = by_stage[:, 0] if pp == 1 else pp * by_stage.max(axis=1) + hop[here]
    return out
