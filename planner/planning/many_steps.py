"""TPOT and TTFT of one assignment on many candidates: the full step of ``evaluate``, in arrays.

Layers with the same units take the same time; they form a class, and a pipeline stage is a count of
layers of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import stage_of_layer
from planner.planning.candidates import hops, prompt_weight, queue
from planner.planning.costs import LayoutTables, Model, unit_parts
from planner.planning.evaluate import AFTER, BEFORE, FUSED
from planner.planning.many_spread import Spreads, spreads
from planner.planning.question import PREFILL_CHUNK
from planner.throughput.points import Phase, Points, decode_phase, mixed_phase
from planner.throughput.roofline import Parts, joint_arrays

Array = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StepPrices:
    """Seconds of every candidate [C]; the first three as in :class:`planner.planning.evaluate`.

    ``paced_tpot`` and ``bounded_ttft`` are what limits are compared with: units added up, and TTFT
    with an upper bound of its queue. The spreads are those of a decode step and of a prompt.
    """

    tpot: Array
    ttft: Array
    interruption: Array
    paced_tpot: Array
    bounded_ttft: Array
    step_spread: Spreads
    prompt_spread: Spreads


@dataclass(frozen=True, slots=True)
class LayerClass:
    """Layers (BEFORE or AFTER: outside the stack) in which the same ``groups`` of units run; the
    units of one group are one kernel."""

    layers: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def layer_classes(model: Model) -> tuple[LayerClass, ...]:
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


def step_prices(model: Model, tables: LayoutTables, pts: Points,
                choice: Sequence[int]) -> StepPrices:
    """Prices of the assignment ``choice`` (by unit, -1: as released) on ``pts``."""
    work = model.question.workload
    step = decode_phase(pts, work.decode_length)
    mixed = mixed_phase(pts, step.kv_len, work.isl, PREFILL_CHUNK)
    weight = prompt_weight(model.question, pts)
    alone, beside = (_columns(model, tables, pts, phase, choice) for phase in (step, mixed))
    hop, hop_mixed = hops(model, pts, step), hops(model, pts, mixed)

    def with_prompts(decode: Array, prompt: Array) -> Array:
        return np.asarray(decode + weight_of(decode) * np.maximum(prompt - mixed.passes * decode,
                                                                  0.0))

    def weight_of(values: Array) -> Array:
        return weight if values.ndim == 1 else weight[:, None]

    classes = layer_classes(model)
    decode, prompt = (np.stack([_class_seconds(c, parts) for c in classes], axis=1)
                      for parts in (alone, beside))
    hop_step = with_prompts(hop, hop_mixed)
    tpot = _paced(model, pts, classes, with_prompts(decode, prompt), hop_step)
    interruption = tpot - _paced(model, pts, classes, decode, hop)
    layers = np.array([len(c.layers) for c in classes], dtype=np.float64)
    whole = prompt @ layers + hop_mixed
    sequences = pts.slot * pts.pp
    wait = queue(interruption / tpot, whole / pts.pp, sequences)
    one, one_mixed = (np.stack([p.total()[:, 0] for p in parts], axis=1)
                      for parts in (alone, beside))
    apart = _unit_classes(model)
    counts = np.array([u.count for u in model.units], dtype=np.float64)
    average = with_prompts(one, one_mixed)
    added = one_mixed @ counts + hop_mixed
    late = sequences * np.maximum(added - mixed.passes * (one @ counts), 0.0) / pts.pp \
        / (work.osl * (average @ counts + hop_step))
    return StepPrices(
        tpot, whole + wait, interruption,
        paced_tpot=_paced(model, pts, apart, average, hop_step),
        bounded_ttft=added + queue(late, added / pts.pp, sequences),
        step_spread=spreads(model, choice, alone, decode=True),
        prompt_spread=spreads(model, choice, beside, decode=False))


def _columns(model: Model, tables: LayoutTables, pts: Points, phase: Phase,
             choice: Sequence[int]) -> list[Parts]:
    """Parts [C, 1] of the chosen column of every unit."""
    known: dict[tuple[str, int], Parts] = {}
    out = []
    schemes = len(model.question.schemes)
    for unit, c in zip(model.units, choice, strict=True):
        key = (unit.role, unit.row)
        if key not in known:
            known[key] = unit_parts(model, tables, pts, phase, unit)
        out.append(known[key].column(max(c - (schemes if unit.role == "cache" else 0), 0)))
    return out


def _class_seconds(one: LayerClass, parts: Sequence[Parts]) -> Array:
    """Seconds of a layer of a class [C]."""
    return np.asarray(sum(
        (parts[g[0]] if len(g) == 1 else joint_arrays([parts[i] for i in g])).total()[:, 0]
        for g in one.groups))


def _unit_classes(model: Model) -> tuple[LayerClass, ...]:
    """Every unit as a class of its own, in the order of the units."""
    return tuple(LayerClass(u.layers or (BEFORE if u.kind == "embedding" else AFTER,), ((i,),))
                 for i, u in enumerate(model.units))


def _paced(model: Model, pts: Points, classes: Sequence[LayerClass], seconds: Array,
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
