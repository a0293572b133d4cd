"""How sure times are: errors of operator classes in quadrature, and what kinds were off by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.messages.message import CLAUSES, Note, joined, message
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS, attention_of, linear_of
from planner.planning.plan.record import Estimate, PerformanceInfo
from planner.planning.price.kinds import ServedKind
from planner.planning.price.measured_errors import (
    assumed_sigma,
    common_sigmas,
    unmeasured_sigmas,
)
from planner.planning.price.measured_here import carried, left_here
from planner.planning.price.physical_limits import PhysicalLimits, least_work, limits_of_question
from planner.planning.price.plan_kinds import evidence_here, kind_of
from planner.planning.price.price import Priced, SegmentCost
from planner.planning.price.served_sigmas import (
    Shares,
    Sigmas,
    ends_of,
    factor_of,
    of_operators,
    shares_of,
)
from planner.planning.price.token_costs import energy_of, joules_estimate, usd_estimate
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import Question
from planner.planning.space.model import CostModel
from planner.planning.space.residuals import MEASURED_HERE, PROMPT, STEP, residual
from planner.throughput.attention import layout_certainty
from planner.throughput.calibration import PRIOR, Certainty
from planner.throughput.indexer import indexer_certainty
from planner.throughput.moe_choice import layout_codes, moe_rules
from planner.throughput.recurrent import recurrent_certainty
from planner.throughput.roofline import seconds

Array = NDArray[np.float64]
Number = TypeVar("Number", float, Array)
BASES = ("fitted", "transferred", "prior")


@record
class Spread:
    """The certainty of a sum: ``basis`` of the largest part, log-space ``sigma`` that operators
    explain; ``shares`` of the time by basis, in the order of BASES; ``origins`` of the parameters,
    largest share first."""

    basis: str
    sigma: float
    shares: tuple[float, ...]
    origins: tuple[str, ...]


@record
class Spreads:
    """Log-space ``sigma`` that operators explain of a sum, and ``basis``, an index into BASES
    [C]."""

    sigma: Array
    basis: NDArray[np.int8]


def performance(model: CostModel, priced: Priced, replicas: int) -> PerformanceInfo:
    """Times, rates and costs of a plan with their 80 % intervals, and what served deployments of
    their kind say of them."""
    step, prompt = step_spread(model, priced), prompt_spread(model, priced)
    sigmas = plan_sigmas(model, priced, step, prompt)
    rate = priced.tokens_per_second(replicas)
    limits, devices = limits_of(model, priced), replicas * priced.layout.ranks
    question, kind = model.question, kind_of(model, priced)
    first, each, rates = (
        evidence_here(question, kind, metric) for metric in ("ttft", "tpot", "throughput")
    )
    tpot, ttft, replica = ends_of(priced.tpot, priced.ttft, priced.rate, sigmas, limits)
    low, high = (replicas * end for end in replica)
    deployment_rate = Estimate(rate, low, high, step.basis, rates)
    usd = usd_estimate(question.price_per_hour, priced.layout.ranks, priced.rate, deployment_rate)
    return PerformanceInfo(
        Estimate(priced.ttft, *ttft, prompt.basis, first),
        Estimate(priced.tpot, *tpot, step.basis, each),
        deployment_rate,
        Estimate(rate / devices, low / devices, high / devices, step.basis, rates),
        usd,
        joules_estimate(energy_of(question, priced)),
        interruption_seconds=priced.interruption,
    )


def limits_of(model: CostModel, priced: Priced) -> PhysicalLimits:
    """What the devices of a plan cannot exceed."""
    work = least_work(model, [cost.segment for cost in priced.costs])
    return limits_of_question(work, model.question, priced.layout, priced.requests)


def time_basis(model: CostModel, priced: Priced) -> Note:
    """What the times rest on."""
    step = step_spread(model, priced)
    sigma = plan_sigmas(model, priced, step, prompt_spread(model, priced)).tpot
    shares = joined(
        [
            message(
                "structure.share",
                x=message(f"assumptions.{basis.replace(' ', '_')}"),
                p=f"{share:.0%}",
            )
            for basis, share in zip(BASES, step.shares, strict=True)
            if share >= 0.005
        ],
        CLAUSES,
    )
    parts = [
        message("assumptions.measured_kernels", origins=joined(step.origins))
        if step.origins
        else message("assumptions.no_measured_kernels")
    ]
    if step.shares[-1] > 0:
        parts.append(message("assumptions.achieved_fractions_per_kernel_class"))
    if (steps := residual(model.question, STEP)) is not None and steps.text:
        parts.append(message("assumptions.residual_of_steps", residual=steps.text))
    if (prompts := residual(model.question, PROMPT)) is not None and prompts.text:
        parts.append(message("assumptions.residual_of_prompts", residual=prompts.text))
    return Note(
        "time basis",
        message("assumptions.of_tpot_80_interval", shares=shares, factor=f"{factor_of(sigma):.2f}"),
        message("structure.semicolons", parts=tuple(parts)),
    )


def routing_assumption() -> Note:
    """How experts are chosen where no popularity is given."""
    law = moe_rules()["routing"]
    return Note(
        "expert routing",
        message("assumptions.independent_tokens_log_normal_popularity", x=law["spread"]),
        message("assumptions.no_popularity_given_fullest_rank", s=law["source"]),
    )


def step_spread(model: CostModel, priced: Priced) -> Spread:
    """Certainty of a decode step."""
    code = layout_code(priced.layout)
    return _corrected(
        model,
        priced,
        STEP,
        spread(
            item
            for cost in priced.costs
            for item in _items(model, cost, cost.decode, cost.segment.count, code=code, decode=True)
        ),
    )


def prompt_spread(model: CostModel, priced: Priced) -> Spread:
    """Certainty of reading a prompt beside the decoding batch."""
    code = layout_code(priced.layout)
    return _corrected(
        model,
        priced,
        PROMPT,
        spread(
            item
            for cost in priced.costs
            for item in _items(model, cost, cost.mixed, cost.segment.count, code=code, decode=False)
        ),
    )


def _corrected(
    model: CostModel, priced: Priced, operator: str, spread_of_operators: Spread
) -> Spread:
    """What operators make of it, or what is left where whole steps were measured here."""
    known = left_here(model.question, kind_of(model, priced), operator)
    return (
        spread_of_operators
        if known is None
        else replace(spread_of_operators, basis=MEASURED_HERE, sigma=known.sigma)
    )


def plan_sigmas(model: CostModel, priced: Priced, step: Spread, prompt: Spread) -> Sigmas:
    """Of a plan's TPOT, TTFT and throughput, from what operators make of a ``step`` and a
    ``prompt``."""
    shares = shares_of(priced, model.question.workload.osl)
    return served_sigmas(model, kind_of(model, priced), step.sigma, prompt.sigma, shares)


def served_sigmas(
    model: CostModel, kind: ServedKind, step: float, prompt: float, shares: Shares
) -> Sigmas:
    """Of TPOT, TTFT and throughput of what is served as ``kind``, where operators make ``step`` of
    a decode step and ``prompt`` of reading a prompt: with what composed times of such kinds are off
    beside them, with what figures of the device that were assumed add, or what is left where whole
    steps were measured here."""
    question = model.question
    sigmas = of_operators(step, prompt, shares)
    for other in (
        common_sigmas(kind, question.spec.id),
        unmeasured_sigmas(kind),
        _assumed(question),
    ):
        sigmas = sigmas.plus(other)
    sigmas = sigmas.plus(carried(question, kind))
    steps, prompts = (left_here(question, kind, operator) for operator in (STEP, PROMPT))
    if steps is not None:
        sigmas = Sigmas(steps.sigma, sigmas.ttft, steps.sigma)
    return sigmas if prompts is None else Sigmas(sigmas.tpot, prompts.sigma, sigmas.throughput)


def _assumed(question: Question) -> Sigmas:
    """What assumed figures of the device and of its host add."""
    tpot, ttft = (
        math.hypot(
            assumed_sigma(question.device, metric),
            0.0 if question.offload is None else assumed_sigma(question.offload.host, metric),
            0.0 if question.offload is None else question.offload.assumed_sigma,
        )
        for metric in ("tpot", "ttft")
    )
    return Sigmas(tpot, ttft, tpot)


def _items(
    model: CostModel,
    cost: SegmentCost,
    mechanisms: dict[str, float],
    count: int,
    *,
    code: int,
    decode: bool,
) -> list[tuple[str, Certainty, float]]:
    """(operator class, certainty, seconds) of a segment and of the collective behind it."""
    unit = model.units[cost.segment.unit]
    name, how = certainty(model, unit, cost.segment.choice, decode=decode, code=code)
    talk = mechanisms["communication"]
    return [
        (name, how, (seconds(mechanisms) - talk) * count),
        ("collective", model.machine.net.certainty, talk * count),
    ]


def layout_code(layout: Layout) -> int:
    """How engines see the experts of a layout: the ``code`` of :func:`certainty`."""
    return int(layout_codes(layout.tp, layout.dp, layout.ep))


def certainty(
    model: CostModel, unit: DecisionUnit, choice: int, *, decode: bool = True, code: int = 0
) -> tuple[str, Certainty]:
    """(operator class, certainty) of one unit under a choice, in a decode step or a prompt, on a
    layout. Operators of a class err together."""
    key = unit.role, unit.row, choice, decode, code
    if key not in model.certainties:
        model.certainties[key] = _certainty(model, unit, choice, decode=decode, code=code)
    return model.certainties[key]


def _certainty(
    model: CostModel, unit: DecisionUnit, choice: int, *, decode: bool, code: int
) -> tuple[str, Certainty]:
    """:func:`certainty`, computed."""
    machine = model.machine
    if unit.role == "cache":
        question, cache = model.question, model.caches[unit.row]
        layout = question.kv[choice - len(question.schemes)]
        own = machine.cpu_attention
        how = own.certainty(cache.attention, layout, decode=decode) if own is not None else None
        how = how or layout_certainty(
            cache.attention, cache.kind, layout, question.device, machine.stacks, decode=decode
        )
        return f"attention {how.origin}", how
    if unit.kind == "norm":
        return "elementwise", machine.host_certainty
    if unit.kind == "embedding":
        return "elementwise", PRIOR
    if unit.role == "module":
        grouped = unit.kind in EXPERT_KINDS
        if unit.place and (there := _of_host(model, choice, grouped=grouped, decode=decode)):
            return there
        kernels = machine.grouped if grouped else machine.dense
        assert kernels is not None
        how = kernels.sure(choice, code)
        if unit.kind == "linear-attention":
            core = linear_of(model.question.spec, unit.layers[0])
            how = weaker(
                how, recurrent_certainty(core, model.question.device, machine.stacks, decode=decode)
            )
        return f"{'moe' if grouped else 'gemm'} {how.origin}", how
    if unit.kind == "indexer":
        attention = attention_of(model.question.spec, unit.layers[0])
        how = indexer_certainty(attention, model.question.device, machine.stacks, decode=decode)
        return f"attention {how.origin}", how
    if unit.kind in ("head", "router") and machine.plain is not None:
        plain = machine.plain
        return f"gemm {plain.origin}", Certainty(plain.basis, plain.sigma, plain.origin)
    return "elementwise", PRIOR


def _of_host(
    model: CostModel,
    choice: int,
    *,
    grouped: bool,
    decode: bool,
) -> tuple[str, Certainty] | None:
    """(operator class, certainty) of what the CPU of the host computes; None where the device
    does."""
    offload, side = model.question.offload, model.host
    if offload is None or side is None or side.machine is None:
        return None
    if not decode and offload.way.fetched_from:
        return None
    kernels = side.machine.grouped if grouped else side.machine.dense
    assert kernels is not None
    how = kernels.sure(choice)
    return f"host {how.origin}", how


def weaker(first: Certainty, other: Certainty) -> Certainty:
    """What is known of a unit whose kernels were found in two ways: the less sure basis, the larger
    deviation."""
    low = max((first, other), key=lambda how: (BASES.index(how.basis), how.sigma))
    return replace(low, sigma=max(first.sigma, other.sigma))


def spread(items: Iterable[tuple[str, Certainty, float]]) -> Spread:
    """Of Σ t over classes c:  σ² = Σ_c (Σ_{i∈c} t_i·σ_i / T)²."""
    by_class, by_basis, by_origin, total = _sums(items)
    if total <= 0:
        return Spread(PRIOR.basis, PRIOR.sigma, (0.0, 0.0, 1.0), ())
    basis = max(BASES, key=lambda b: by_basis.get(b, 0.0))
    return Spread(
        basis,
        _sigma([s / total for s in by_class.values()]),
        tuple(by_basis.get(b, 0.0) / total for b in BASES),
        tuple(sorted(by_origin, key=lambda o: -by_origin[o])),
    )


def spreads(items: Iterable[tuple[str, Certainty, Array]]) -> Spreads:
    """:func:`spread` of many candidates, seconds [C] each; the times of all are above 0."""
    by_class, by_basis, _, total = _sums(items)
    shares = np.stack([s / total for s in by_class.values()])
    sigma = [_sigma(column) for column in shares.T.tolist()]
    none = np.zeros(shares.shape[1])
    most = np.argmax(np.stack([by_basis.get(b, none) for b in BASES]), axis=0)
    return Spreads(np.array(sigma), most.astype(np.int8))


def _sums(
    items: Iterable[tuple[str, Certainty, Number]],
) -> tuple[dict[str, Number], dict[str, Number], dict[str, Number], Number]:
    """(Σ t·σ by class, Σ t by basis, Σ t by origin of what is no prior, Σ t), in order."""
    by_class: dict[str, Any] = {}
    by_basis: dict[str, Any] = {}
    by_origin: dict[str, Any] = {}
    total: Any = 0.0
    for name, how, time in items:
        by_class[name] = by_class.get(name, 0.0) + time * how.sigma
        by_basis[how.basis] = by_basis.get(how.basis, 0.0) + time
        total = total + time
        if how.basis != PRIOR.basis:
            by_origin[how.origin] = by_origin.get(how.origin, 0.0) + time
    return by_class, by_basis, by_origin, total


def _sigma(shares: Sequence[float]) -> float:
    # sum adds floats in another way from Python 3.12 on.
    return math.sqrt(math.fsum(s**2 for s in shares))
