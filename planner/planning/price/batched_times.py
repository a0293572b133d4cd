"""TPOT and TTFT of one assignment on many candidates: the full step of ``evaluate``, in arrays.

Layers with the same units take the same time; they form a class, and a pipeline stage is a count of
layers of each class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import stage_of_layer
from planner.planning.price.batched_intervals import Spreads, spreads
from planner.planning.price.price import AFTER, BEFORE
from planner.planning.question.decisions import FUSED
from planner.planning.space.kernel_times import hops, prompt_passes, prompts_read, with_prompts
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
from planner.planning.space.times import Key, Lengths, Timed, timed_units
from planner.throughput.energy import activity_arrays
from planner.throughput.moe_choice import layout_codes
from planner.throughput.points import Points, decode_phase, mixed_phase
from planner.throughput.queueing import closed_loop_wait
from planner.throughput.roofline import MECHANISMS, Parts, joint_arrays

Array = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StepPrices:
    """Seconds of every candidate [C], as in :class:`planner.planning.price.price`; the spreads are
    those of a decode step and of a prompt, ``activity`` as in :mod:`planner.throughput.energy`."""

    tpot: Array
    ttft: Array
    interruption: Array
    activity: Array
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
    return tuple(
        LayerClass(tuple(layers), key[:-1] if layers[0] < 0 else key)
        for key, layers in classes.items()
    )


def step_prices(
    model: CostModel,
    tables: LayoutTables,
    pts: Points,
    lengths: Lengths,
    osl: Int,
    choice: Sequence[int],
) -> StepPrices:
    """Prices of the assignment ``choice`` (by unit, -1: as released) on ``pts``; ``osl`` [C]."""
    verified, accepted = model.question.verified, model.question.accepted
    ended = pts.batch * accepted / osl
    arriving, reading = prompts_read(model.question, pts, ended)
    weight, reads = prompt_passes(arriving, lengths.isl - lengths.cached, lengths.chunk, accepted)
    lengths = replace(lengths, prompts=reads, reading=reading, verified=verified, accepted=accepted)
    step = decode_phase(pts, lengths.decode, verified)
    mixed = mixed_phase(
        pts, lengths.decode, lengths.isl, lengths.chunk, reads, reading, lengths.cached, verified
    )
    times = timed_units(model, tables, pts, lengths)
    hop, hop_mixed = hops(model, pts, step) / accepted, hops(model, pts, mixed)

    def average(decode: Array, prompt: Array) -> Array:
        return with_prompts(decode, prompt, weight, mixed.passes * accepted)

    classes = layer_classes(model)
    decode, prompt, both = (
        np.stack(found, axis=1)
        for found in zip(
            *(_class_seconds(model, one, times, choice, average) for one in classes), strict=True
        )
    )
    hop_step = average(hop, hop_mixed)
    tpot = _pipelined_seconds(model, pts, classes, both, hop_step)
    layers = np.array([len(c.layers) for c in classes], dtype=np.float64)
    whole, every = prompt @ layers + hop_mixed, both @ layers + hop_step
    busy = (every - decode @ layers - hop) / every
    codes = layout_codes(pts.tp, pts.dp, pts.ep)
    interruption = tpot - _pipelined_seconds(model, pts, classes, decode, hop)
    return StepPrices(
        tpot,
        model.question.first_token(
            whole + closed_loop_wait(busy, whole / pts.pp, pts.slot * pts.pp)
        ),
        interruption,
        _activity(model, times, choice, interruption / tpot),
        step_spread=spreads(
            model, choice, _unit_seconds(model, times, choice, "decode"), decode=True, codes=codes
        ),
        prompt_spread=spreads(
            model, choice, _unit_seconds(model, times, choice, "mixed"), decode=False, codes=codes
        ),
    )


def _class_seconds(
    model: CostModel,
    one: LayerClass,
    times: Mapping[Key, Timed],
    choice: Sequence[int],
    average: Callable[[Array, Array], Array],
) -> tuple[Array, Array, Array]:
    """Seconds of a layer of a class [C]: of a decode step, of a mixed pass, of a step with its
    prompts (``average`` of each kernel's two)."""

    def columns(group: tuple[int, ...], phase: str) -> Array:
        parts = [_column(model, times, i, choice[i], phase) for i in group]
        whole = parts[0] if len(parts) == 1 else joint_arrays(parts)
        first = model.units[group[0]]
        return np.asarray(whole.total()[:, 0][times[first.role, first.row].at])

    kernels = [(columns(group, "decode"), columns(group, "mixed")) for group in one.groups]
    return (
        np.asarray(sum(step for step, _ in kernels)),
        np.asarray(sum(beside for _, beside in kernels)),
        np.asarray(sum(average(step, beside) for step, beside in kernels)),
    )


def _column(model: CostModel, times: Mapping[Key, Timed], i: int, choice: int, phase: str) -> Parts:
    """Parts [D, 1] of one layer of unit ``i`` under its choice, on its rows."""
    unit = model.units[i]
    first = len(model.question.schemes) if unit.role == "cache" else 0
    parts: Parts = getattr(times[unit.role, unit.row], phase)
    return parts.column(max(choice - first, 0))


def _unit_seconds(
    model: CostModel, times: Mapping[Key, Timed], choice: Sequence[int], phase: str
) -> list[tuple[Array, Array]]:
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


def _activity(
    model: CostModel, times: Mapping[Key, Timed], choice: Sequence[int], share: Array
) -> Array:
    """How busy a device is over a token [C]; ``share`` [C] of it are prompts in between."""

    def of_phase(phase: str) -> Array:
        units = [
            (_column(model, times, i, c, phase), times[unit.role, unit.row].at)
            for i, (unit, c) in enumerate(zip(model.units, choice, strict=True))
        ]
        return activity_arrays(
            [
                ({name: getattr(parts, name)[:, 0][at] for name in MECHANISMS}, float(unit.count))
                for unit, (parts, at) in zip(model.units, units, strict=True)
            ]
        )

    return (1.0 - share) * of_phase("decode") + share * of_phase("mixed")


def _pipelined_seconds(
    model: CostModel, pts: Points, classes: Sequence[LayerClass], seconds: Array, hop: Array
) -> Array:
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
