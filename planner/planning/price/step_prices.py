"""TPOT and TTFT of one assignment on many candidates, kernel by kernel: the only derivation.

What engines fuse is one kernel (keys with values, gate-up with down of the experts). Layers in
which the same kernels run take the same time and form a class. A pipeline takes the pace of its
slowest stage. A plan is priced as arrays of length 1 (:mod:`planner.planning.price.price`),
estimates as arrays of theirs (:mod:`planner.planning.price.estimates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import fsum

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.placement.layout import stage_of_layer
from planner.planning.question.decisions import FUSED
from planner.planning.space.assignment import Segment
from planner.planning.space.kernel_times import CandidateTimes, with_prompts
from planner.planning.space.model import CostModel
from planner.planning.space.times import UnitTimes
from planner.throughput.arrivals import share_of_others
from planner.throughput.points import Points
from planner.throughput.queueing import closed_loop_wait
from planner.throughput.roofline import Parts, fused_operators

Array = NDArray[np.float64]
Int = NDArray[np.int64]
BEFORE, AFTER = -1, -2
"""Keys of what runs before the first layer (embedding) and after the last (head)."""
CLASSES = 256
"""Divisions of layers into classes that are kept."""
SPLIT = 2.0**27 + 1
"""Cuts a float into halves of 26 bits, whose products with small whole numbers are exact."""


@record
class StepPrices:
    """Seconds of each of C candidates [C]. ``interruption`` is the part of TPOT that prompts take;
    ``wait`` the part of TTFT before a prompt is read, at ``utilisation`` of a rank by prompts."""

    tpot: Array
    ttft: Array
    interruption: Array
    wait: Array
    utilisation: Array


@record
class LayerClasses:
    """``layers`` in the order in which segments name them (BEFORE or AFTER: outside the stack),
    the class of each, and the kernels of each class: segments that one kernel computes."""

    layers: tuple[int, ...]
    classes: tuple[int, ...]
    kernels: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def counts(self) -> list[int]:
        """Layers of each class."""
        return [self.classes.count(k) for k in range(len(self.kernels))]


def layer_classes(model: CostModel, segments: Sequence[Segment]) -> LayerClasses:
    """Every layer of the model in one class."""
    units = model.units
    return _layer_classes(
        tuple((units[s.unit].kind, units[s.unit].place, s.layers) for s in segments)
    )


@lru_cache(maxsize=CLASSES)
def _layer_classes(places: tuple[tuple[str, str, tuple[int, ...]], ...]) -> LayerClasses:
    members: dict[tuple[str, int], tuple[int, ...]] = {}
    for i, (kind, place, layers) in enumerate(places):
        group = FUSED.get(kind, f"{i}") + place
        for layer in layers or (BEFORE if kind == "embedding" else AFTER,):
            members[group, layer] = (*members.get((group, layer), ()), i)
    at: dict[int, list[tuple[int, ...]]] = {}
    for (_, layer), kernel in members.items():
        at.setdefault(layer, []).append(kernel)
    numbers: dict[tuple[tuple[int, ...], ...], int] = {}
    classes = tuple(numbers.setdefault(tuple(kernels), len(numbers)) for kernels in at.values())
    return LayerClasses(tuple(at), classes, tuple(numbers))


def step_prices(
    model: CostModel,
    times: CandidateTimes,
    pts: Points,
    segments: Sequence[Segment],
    at: Int | None = None,
) -> StepPrices:
    """Prices [C] of the assignment ``segments`` on the candidates ``pts`` [C], whose ``times``
    stand at ``at`` int64 [C] (in order, where absent). Each kernel alone decides how much a prompt
    adds to it, so that all sums are over kernels."""
    at = np.arange(len(times.weight)) if at is None else at
    groups = layer_classes(model, segments)
    passes = times.passes if isinstance(times.passes, float) else times.passes[at]
    weight, hop, hop_mixed = times.weight[at], times.hop[at], times.hop_mixed[at]
    known: dict[tuple[int, ...], tuple[Array, Array, Array]] = {}
    rows: list[tuple[Array, Array, Array]] = []
    for kernels in groups.kernels:
        for kernel in kernels:
            if kernel not in known:
                step, mixed = (
                    _kernel_seconds(model, times, [segments[i] for i in kernel], phase, at)
                    for phase in ("decode", "mixed")
                )
                known[kernel] = step, mixed, with_prompts(step, mixed, weight, passes)
        parts = zip(*(known[kernel] for kernel in kernels), strict=True)
        step, mixed, both = (np.asarray(sum(part)) for part in parts)
        rows.append((step, mixed, both))
    steps, prompts, averages = zip(*rows, strict=True)
    hop_step = with_prompts(hop, hop_mixed, weight, passes)
    layers = model.question.spec.layers
    tpot = _pipelined_seconds(layers, pts, groups, averages, hop_step)
    prompt = exact_sum(prompts, groups.counts) + hop_mixed
    average = exact_sum(averages, groups.counts) + hop_step
    busy = (average - exact_sum(steps, groups.counts) - hop) / average
    wait = closed_loop_wait(busy, prompt / pts.pp, pts.slot * pts.pp)
    return StepPrices(
        tpot,
        model.question.first_token(prompt + wait),
        tpot - _pipelined_seconds(layers, pts, groups, steps, hop),
        wait,
        busy,
    )


def step_of_request(prices: StepPrices, requests: Array) -> Array:
    """Seconds of a step [C] as one of so many ``requests`` in flight has them: its own prompt is
    read before its first token and delays none of its steps."""
    others = np.array([share_of_others(count) for count in requests.tolist()])
    return prices.tpot - (1.0 - others) * prices.interruption


@record
class PassSums:
    """Seconds of ``step`` and of the ``mixed`` passes of prompts beside it through all layers, and
    through the slowest pipeline stage (``of_stage``, all layers where there is one), without hops
    [C] each."""

    step: Array
    mixed: Array
    step_of_stage: Array
    mixed_of_stage: Array


def pass_sums(
    model: CostModel,
    times: CandidateTimes,
    pts: Points,
    segments: Sequence[Segment],
    at: Int | None = None,
) -> PassSums:
    """What the assignment ``segments`` takes on the candidates ``pts`` [C], whose ``times`` stand
    at ``at`` int64 [C] (in order, where absent)."""
    at = np.arange(len(times.weight)) if at is None else at
    groups = layer_classes(model, segments)
    known: dict[tuple[object, ...], tuple[Array, Array]] = {}
    rows: list[list[Array]] = []
    for kernels in groups.kernels:
        parts = []
        for kernel in kernels:
            members = [segments[i] for i in kernel]
            name = tuple(
                (model.units[m.unit].role, model.units[m.unit].row, m.choice) for m in members
            )
            if name not in known:
                step, mixed = (
                    _kernel_seconds(model, times, members, phase, at)
                    for phase in ("decode", "mixed")
                )
                known[name] = step, mixed
            parts.append(known[name])
        rows.append([np.asarray(sum(part)) for part in zip(*parts, strict=True)])
    layers = model.question.spec.layers
    each = [list(column) for column in zip(*rows, strict=True)]
    return PassSums(
        *(exact_sum(column, groups.counts) for column in each),
        *(slowest_stages(layers, pts, groups, column) for column in each),
    )


def segment_parts(
    model: CostModel, times: CandidateTimes, segment: Segment, phase: str, at: Int
) -> tuple[Parts, Int | None]:
    """(mechanisms [D, 1] of one layer of a segment in ``phase``, the row of each candidate at
    ``at`` [C]; None: in order)."""
    unit = model.units[segment.unit]
    timed: UnitTimes = times.units[unit.role, unit.row]
    first = len(model.question.schemes) if unit.role == "cache" else 0
    parts: Parts = getattr(timed, phase)
    rows = timed.at[at]
    # Of many rows few are wanted; of few each stands for many candidates.
    few = len(rows) < len(parts.busy)
    return (parts.rows(rows) if few else parts).column(max(segment.choice - first, 0)), (
        None if few else rows
    )


def _kernel_seconds(
    model: CostModel, times: CandidateTimes, segments: Sequence[Segment], phase: str, at: Int
) -> Array:
    """Seconds [C] of one layer of segments that one kernel serves."""
    members = [segment_parts(model, times, segment, phase, at) for segment in segments]
    operator_parts = (
        members[0][0] if len(members) == 1 else fused_operators([parts for parts, _ in members])
    )
    total, rows = operator_parts.total()[:, 0], members[0][1]
    return np.asarray(np.broadcast_to(total, len(at)) if rows is None else total[rows])


def exact_sum(values: Sequence[Array], counts: Sequence[int]) -> Array:
    """Σ ``counts`` · ``values`` (seconds [C] each), rounded once [C]."""
    table, times = np.stack(values), np.array(counts, dtype=np.float64)[:, None]
    scaled = table * SPLIT
    high = scaled - (scaled - table)
    terms = np.concatenate([high * times, (table - high) * times])
    return np.array([fsum(column) for column in terms.T.tolist()])


def _pipelined_seconds(
    layers: int, pts: Points, groups: LayerClasses, seconds: Sequence[Array], hop: Array
) -> Array:
    """Seconds of a step [C] from those of a layer of each class [C]: pp × the slowest stage, and
    the hops between stages."""
    slowest = slowest_stages(layers, pts, groups, seconds)
    return np.where(pts.pp == 1, slowest, pts.pp * slowest + hop)


def slowest_stages(
    layers: int, pts: Points, groups: LayerClasses, seconds: Sequence[Array]
) -> Array:
    """Seconds of the slowest pipeline stage of each candidate [C]."""
    out = np.empty(len(pts))
    for pp in set(pts.pp.astype(np.int64).tolist()):
        here = np.flatnonzero(pts.pp == pp)
        out[here] = slowest_stage(layers, pp, groups, [values[here] for values in seconds])
    return out


def slowest_stage(layers: int, pp: int, groups: LayerClasses, seconds: Sequence[Array]) -> Array:
    """Seconds of the slowest of ``pp`` stages [N] from those of a layer of each class [N]."""
    stages = stage_of_layer(layers, pp)
    total = np.zeros((pp, len(seconds[0])))
    for layer, k in zip(groups.layers, groups.classes, strict=True):
        total[stages[layer] if layer >= 0 else 0 if layer == BEFORE else -1] += seconds[k]
    return np.asarray(total.max(axis=0))
