"""Routed experts under every scheme at once: the measured fused kernel, else a grouped roofline.

Arrays are [C, S]: candidates × schemes. A weight is read once a pass, of the experts those that the
tokens touch on the fullest rank (:mod:`planner.throughput.expert_load`): the layer ends when the
last rank does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.models.spec import Experts
from planner.placement.modules import Module
from planner.throughput.expert_load import ExpertLoad, expected_load
from planner.throughput.ggml_times import GgmlArrays, ggml_parts, in_scheme_columns
from planner.throughput.launches import matrices_of
from planner.throughput.linear import BF16_BYTES, KernelArrays, Machine, shards
from planner.throughput.moe import MoeModel, compute_format, popularity_spread
from planner.throughput.moe_choice import layout_codes
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, operator, parts, select_parts, zero_parts

Array = NDArray[np.float64]
MATRICES = 3.0
"""Gate, up and down."""


def load_of(experts: Experts, machine: Machine, pts: Points, phase: Phase) -> ExpertLoad:
    """Expected work of the fullest rank in one pass, arrays [C]."""
    spread = popularity_spread() if machine.spread is None else machine.spread
    return expected_load(experts.count, experts.per_token, spread, phase.pooled, pts.ep)


def expert_parts(
    module: Module,
    experts: Experts,
    machine: Machine,
    pts: Points,
    phase: Phase,
    weight_bytes: Array,
    load: ExpertLoad | None = None,
) -> Parts:
    """One layer of routed experts on one rank; ``weight_bytes`` [C, S] of all its experts;
    ``load`` of its tokens, where ``experts`` are not all of the layer's.

    Gate-up and down are one fused kernel: each carries half of its floor and, of the rest, its
    share of the weights (two thirds and one third).
    """
    kern = machine.grouped
    assert kern is not None
    load = load_of(experts, machine, pts, phase) if load is None else load
    if not kern.calibrated.any():
        return _prior(module, experts, kern, machine, pts, phase, load, weight_bytes).scaled(
            column(phase.passes)
        )
    size = np.sum([size for _, _, size in shards(module, pts)], axis=0)
    operator_parts = zero_parts(weight_bytes.shape)
    hidden = _hidden(module, pts)
    for rows, models in kern.fused_on(layout_codes(pts.tp, pts.dp, pts.ep)):
        for alike in _kernels(models):
            model = models[alike[0]]
            assert model is not None
            fused = _fused(
                model,
                experts,
                hidden,
                _rank(pts, phase, load, size, rows),
                weight_bytes[rows][:, alike],
            )
            for array, part in zip(operator_parts.arrays(), fused.arrays(), strict=True):
                if isinstance(rows, slice):
                    array[:, alike] = part
                else:
                    array[np.ix_(rows, np.array(alike))] = part
    if kern.calibrated.all():
        return operator_parts.scaled(column(phase.passes))
    prior = _prior(module, experts, kern, machine, pts, phase, load, weight_bytes)
    return select_parts(kern.calibrated, operator_parts, prior).scaled(column(phase.passes))


def _kernels(models: Sequence[MoeModel | None]) -> list[list[int]]:
    """Places of schemes whose kernels differ in nothing but the bytes of a weight."""
    groups: dict[tuple[int, str, str, float], list[int]] = {}
    for j, model in enumerate(models):
        if model is not None:
            key = (
                id(model.parameters),
                model.variant,
                compute_format(model.scheme, model.chip),
                model.factor,
            )
            groups.setdefault(key, []).append(j)
    return list(groups.values())


@record
class _Rank:
    """What one rank does, arrays [R, 1] of some candidates: ``size`` elements of one of its experts
    in the module, ``tokens`` of all ranks."""

    load: ExpertLoad
    size: Array
    tokens: Array
    ep: Array
    group: Array


def _rank(
    pts: Points, phase: Phase, load: ExpertLoad, size: Array, rows: slice | NDArray[np.int64]
) -> _Rank:
    wide = ExpertLoad(
        load.pairs[rows][:, None],
        load.touched[rows][:, None],
        load.padded[rows][:, None, :],
        load.elsewhere[rows][:, None],
    )
    return _Rank(
        wide,
        size[rows][:, None],
        phase.pooled[rows][:, None],
        pts.ep[rows][:, None],
        pts.group[rows][:, None],
    )


def _hidden(module: Module, pts: Points) -> float:
    """Features that enter and leave the layer."""
    outputs, inputs, _ = shards(module, pts)[0]
    return float(inputs[0]) if module.kind == "experts-gate-up" else float(outputs[0])


def _fused(
    model: MoeModel, experts: Experts, hidden: float, rank: _Rank, weight_bytes: Array
) -> Parts:
    """The module's part of the fused layer [R, S] in the kernel of ``model``; ``weight_bytes``
    [R, S] of all experts of a rank."""
    width, local = experts.width * rank.ep / rank.group, experts.count / rank.ep
    operator_parts = model.parts(
        rank.load,
        tokens=rank.tokens,
        hidden=np.asarray(hidden),
        width=width,
        local=local,
        weight_bytes=weight_bytes / (local * rank.size),
        count=float(experts.count),
        ranks=rank.group,
    )
    share = rank.size / (MATRICES * hidden * width)
    return parts(
        compute=operator_parts.compute * share,
        memory=operator_parts.memory * share,
        launch=operator_parts.launch * 0.5,
        busy=operator_parts.busy * share,
    )


def _prior(
    module: Module,
    experts: Experts,
    kern: KernelArrays,
    machine: Machine,
    pts: Points,
    phase: Phase,
    load: ExpertLoad,
    weight_bytes: Array,
) -> Parts:
    """What was not measured: achieved fractions, and ggml's kernels by their own law."""
    operator_parts = _roofline(module, experts, kern, machine, pts, phase, load, weight_bytes)
    if kern.ggml is None:
        return operator_parts
    return in_scheme_columns(
        kern.ggml,
        _blocks(module, experts, kern.ggml, machine, pts, phase, load, weight_bytes),
        operator_parts,
        len(kern.schemes),
    )


def _blocks(
    module: Module,
    experts: Experts,
    kernels: GgmlArrays,
    machine: Machine,
    pts: Points,
    phase: Phase,
    load: ExpertLoad,
    weight_bytes: Array,
) -> Parts:
    """The touched experts, each with its share of the pairs; vector kernels by the tokens of the
    step on GPUs, which is what they are chosen by, by those of an expert on CPUs."""
    touched, pairs = load.touched[:, None], load.pairs[:, None]
    rows = pairs / np.maximum(touched, 1e-12)
    moved = weight_bytes[:, kernels.places] * touched / (experts.count / pts.ep)[:, None]
    gemms = shards(module, pts)
    elements = np.sum([size for _, _, size in gemms], axis=0)[:, None]
    total: Parts | None = None
    for gemm, (outputs, inputs, size) in zip(module.gemms, gemms, strict=True):
        operator_parts = ggml_parts(
            kernels,
            rows=rows,
            judged=phase.pooled[:, None] if kernels.by_step else rows,
            matrices=touched,
            outputs=outputs[:, None],
            inputs=inputs[:, None],
            kinds=matrices_of(
                module, gemm, phase.pooled[:, None], one_kernel_gate=machine.one_kernel_gate
            ),
            stored=moved * size[:, None] / elements,
        )
        total = operator_parts if total is None else total.plus(operator_parts)
    assert total is not None
    return total


def _roofline(
    module: Module,
    experts: Experts,
    kern: KernelArrays,
    machine: Machine,
    pts: Points,
    phase: Phase,
    load: ExpertLoad,
    weight_bytes: Array,
) -> Parts:
    """Achieved fractions of the kernel class over the touched experts."""
    touched, pairs = load.touched[:, None], load.pairs[:, None]
    rows, tiles = _tiled(machine, experts, phase, touched, pairs)
    flop = np.zeros((len(pts), 1))
    elements = np.zeros((len(pts), 1))
    moved = weight_bytes * touched / (experts.count / pts.ep)[:, None]
    for outputs, inputs, size in shards(module, pts):
        flop = flop + 2 * rows * size[:, None]
        elements = elements + tiles * size[:, None]
        moved = moved + pairs * (
            inputs[:, None] * kern.activation_bytes + BF16_BYTES * outputs[:, None]
        )
    return operator(
        flop=flop,
        moved_bytes=moved,
        converted=elements,
        launch=_launch(module, kern, machine, phase, touched),
        peak=kern.peak,
        compute_fraction=kern.compute_fraction,
        bandwidth=machine.bandwidth,
        bandwidth_fraction=kern.bandwidth_fraction,
        conversion_rate=kern.conversion,
    )


def _tiled(
    machine: Machine, experts: Experts, phase: Phase, touched: Array, pairs: Array
) -> tuple[Array, Array]:
    """(rows that are multiplied, times that an expert's weights are unpacked) of all experts: those
    of sorted rows whose tiles are whole, and computed for each expert in them."""
    how = machine.launches
    if how is None or not how.tile_rows:
        return pairs, touched
    together = (phase.pooled * experts.per_token >= how.least_pairs)[:, None]
    return (
        pairs + np.where(together, touched * how.tile_rows, 0.0),
        touched + np.where(together, pairs / how.tile_rows, 0.0),
    )


def _launch(
    module: Module, kern: KernelArrays, machine: Machine, phase: Phase, touched: Array
) -> Array:
    """Half of the floor of a fused kernel; where each matrix is a kernel of its own, its floor, or
    the host's way through the experts."""
    if machine.launches is None:
        return np.asarray(kern.floor * 0.5)
    matrices = sum(len(gemm.members) for gemm in module.gemms)
    looped = (phase.pooled > machine.launches.looped_beyond)[:, None] * kern.loop_seconds
    return np.asarray(matrices * np.maximum(kern.floor, touched * looped))
