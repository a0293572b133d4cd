"""What a plan's figures do when one premise is a fifth less or more.

The same assignment on the same layout is priced again in full each time; nothing is chosen anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from planner.hardware.profile import DeviceProfile, Quantity
from planner.planning.inspect.reprice import Repriced
from planner.planning.price.price import Priced, price
from planner.planning.question.question import Question
from planner.planning.question.workload import Workload
from planner.planning.space.candidates import Space, retimed
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.tables import layout_tables
from planner.quality.prior import load_prior
from planner.throughput.moe import popularity_spread
from planner.throughput.points import points

STEP = 0.2
"""Relative change of a premise, down and up."""


@dataclass(frozen=True, slots=True)
class PerturbedPlan:
    """The plan with a premise at ``premise`` (in its own unit); bytes are of the fullest device,
    ``fits`` says whether they stay within what may be used."""

    premise: float
    tpot_seconds: float
    ttft_seconds: float
    output_tokens_per_second_per_device: float
    total_bytes_per_device: int
    fits: bool


@dataclass(frozen=True, slots=True)
class PremiseSwing:
    """One premise, ``bandwidth`` [B/s], ``compute`` [share of the rates], ``batch`` [sequences a
    replica], ``context`` [tokens] or ``popularity`` [spread of ln p], and both ends of it."""

    premise: str
    now: float
    low: PerturbedPlan
    high: PerturbedPlan


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The plan as it is, then every premise that applies to it."""

    now: PerturbedPlan
    swings: tuple[PremiseSwing, ...]


def sensitivity(it: Repriced) -> Sensitivity:
    """Every premise a fifth less and a fifth more, one at a time.

    Raises:
        UnsupportedError: the plan is in pools.
    """
    it.refuse_pools()
    base = it.question
    steps = (1 - STEP, 1 + STEP)
    ends: list[tuple[str, float, list[PerturbedPlan]]] = [
        (
            "bandwidth",
            base.device.bandwidth_bytes_per_s.value,
            [
                _with_device(
                    it, _bandwidth(base.device, f), base.device.bandwidth_bytes_per_s.value * f
                )
                for f in steps
            ],
        ),
        ("compute", 1.0, [_with_device(it, _compute(base.device, f), f) for f in steps]),
    ]
    batches = _batches(it)
    ends.append(("batch", float(it.priced.batch), batches[1:]))
    ends.append(
        (
            "context",
            float(base.workload.context),
            [_with_workload(it, _scaled(base, f)) for f in steps],
        )
    )
    if base.spec.experts is not None:
        spread = popularity_spread(base.spec)
        ends.append(("popularity", spread, [_with_spread(it, spread * f) for f in steps]))
    return Sensitivity(
        batches[0], tuple(PremiseSwing(name, now, low, high) for name, now, (low, high) in ends)
    )


def _end(it: Repriced, priced: Priced, premise: float) -> PerturbedPlan:
    replicas = it.plan.layout.replicas
    devices = replicas * priced.layout.ranks
    total = priced.fullest.total
    return PerturbedPlan(
        premise,
        priced.tpot,
        priced.ttft,
        priced.tokens_per_second(replicas) / devices,
        total,
        total <= it.plan.memory_per_device.usable_bytes,
    )


def _price(it: Repriced, space: Space, premise: float) -> PerturbedPlan:
    here = space.pts.take(np.array([it.result.candidate], dtype=np.int64))
    return _end(it, price(retimed(replace(space, pts=here)), 0, it.result.segments), premise)


def _model(it: Repriced, **changes: object) -> CostModel:
    question = replace(it.question, **changes)  # type: ignore[arg-type]
    return build_model(question, load_prior())


def _with_device(it: Repriced, device: DeviceProfile, premise: float) -> PerturbedPlan:
    return _price(it, replace(it.result.space, model=_model(it, device=device)), premise)


def _with_workload(it: Repriced, workload: Workload) -> PerturbedPlan:
    model = _model(it, workload=workload)
    tables = layout_tables(model, it.result.space.tables.layouts)
    return _price(it, replace(it.result.space, model=model, tables=tables), float(workload.context))


def _with_spread(it: Repriced, spread: float) -> PerturbedPlan:
    model = it.result.space.model
    model = replace(model, machine=replace(model.machine, spread=spread))
    return _price(it, replace(it.result.space, model=model), spread)


def _batches(it: Repriced) -> list[PerturbedPlan]:
    """The plan's batch, then a fifth less and more: whole sequences a rank, at least one away
    (one sequence cannot become less)."""
    space, layout = it.result.space, it.priced.layout
    slot = it.priced.slot
    step = max(1, round(slot * STEP))
    slots = [slot, max(1, slot - step), slot + step]
    pts = points([layout], [(0, s) for s in slots])
    space = retimed(replace(space, pts=pts))
    prices = [price(space, i, it.result.segments) for i in range(3)]
    return [_end(it, priced, float(priced.batch)) for priced in prices]


def _scaled(question: Question, factor: float) -> Workload:
    """Prompt, answer and slot times ``factor``, within the model's positions."""
    work, most = question.workload, question.spec.max_context
    isl, osl = (max(1, round(n * factor)) for n in (work.isl, work.osl))
    if isl + osl > most:
        isl, osl = (
            work.isl * most // (work.isl + work.osl),
            max(1, work.osl * most // (work.isl + work.osl)),
        )
    context = min(most, max(round(work.context * factor), isl + osl))
    return replace(work, context=context, isl=isl, osl=osl, assumed="")


def _bandwidth(device: DeviceProfile, factor: float) -> DeviceProfile:
    quantity = device.bandwidth_bytes_per_s
    return _named(
        replace(device, bandwidth_bytes_per_s=_times(quantity, factor)), f"bandwidth × {factor:g}"
    )


def _compute(device: DeviceProfile, factor: float) -> DeviceProfile:
    """Every rate of every unit, vectors and exponentials included."""
    vector, chip = device.vector_fp32_flop_per_s, device.silicon
    if chip is not None and chip.exp_per_s is not None:
        chip = replace(chip, exp_per_s=_times(chip.exp_per_s, factor))
    rates = {
        key: replace(rate, dense=_times(rate.dense, factor)) for key, rate in device.rates.items()
    }
    return _named(
        replace(
            device,
            rates=rates,
            conversion=_all(device.conversion, factor),
            silicon=chip,
            vector_fp32_flop_per_s=None if vector is None else _times(vector, factor),
        ),
        f"compute × {factor:g}",
    )


def _all(rates: Mapping[str, Quantity], factor: float) -> dict[str, Quantity]:
    return {name: _times(quantity, factor) for name, quantity in rates.items()}


def _times(quantity: Quantity, factor: float) -> Quantity:
    return replace(quantity, value=quantity.value * factor, low=None, high=None)


def _named(device: DeviceProfile, change: str) -> DeviceProfile:
    """Another id and digest: what is remembered of the device does not hold."""
    return replace(device, id=f"{device.id} ({change})", sha256=f"{device.sha256} ({change})")
