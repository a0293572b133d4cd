"""What no kernel undercuts: products at the dense peak of their format, weights at peak bandwidth.

A device reads every dense weight of its shard once a step, and of experts at least those that one
token picks, but for what its last cache may keep from step to step; all devices of a replica share
the products of a prompt. Attention, caches, collectives, launches and the host are left out, so
that nothing that runs is faster than this; what an interval says below it is cut there
(:func:`planner.planning.price.served_sigmas.interval`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from planner.base.records import record
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import Quantity
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS, PLANNED_KINDS, Module
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import Question
from planner.planning.space.assignment import Segment
from planner.planning.space.model import CostModel

WIDE = ("bf16", "fp16", "fp32")
"""Formats that weights of any scheme may be widened to before they are multiplied."""


@record
class LeastWork:
    """Of one token through all layers, on one device at its peaks: seconds of products with dense
    modules and with the experts that it picks, seconds of reading their weights; ``cached`` seconds
    of reading what the last cache holds."""

    dense_products: float
    expert_products: float
    dense_weights: float
    expert_weights: float
    cached: float

    def prompt_seconds(self, layout: Layout, tokens: float) -> float:
        """Of the products of ``tokens`` of one prompt on a replica of ``layout``: stages of a
        pipeline may read parts of it at once, an attention rank reads it alone."""
        dense = self.dense_products / (layout.tp * layout.pp)
        return tokens * (dense + self.expert_products / layout.ranks)

    def step_seconds(self, layout: Layout) -> float:
        """Of reading the weights of a decode step: its stages run one after the other."""
        dense = self.dense_weights / layout.tp
        experts = self.expert_weights / (layout.tp * layout.dp)
        return max(dense + experts - layout.pp * self.cached, 0.0)


@record
class PhysicalLimits:
    """The least TTFT and TPOT [s] and the most output tokens/s of a replica."""

    ttft: float
    tpot: float
    rate: float


def limits_of_question(
    work: LeastWork,
    question: Question,
    layout: Layout,
    requests: float,
    isl: int | None = None,
    osl: int | None = None,
) -> PhysicalLimits:
    """:func:`physical_limits` under a question, with its own prompts and answers where ``isl`` and
    ``osl`` [tokens] are absent."""
    load = question.workload
    read = (load.isl if isl is None else isl) * (1.0 - load.prefix_hit_rate)
    made = load.osl if osl is None else osl
    return physical_limits(work, layout, requests, read, made, verified=question.verified)


def physical_limits(
    work: LeastWork,
    layout: Layout,
    requests: float,
    read: float,
    made: int,
    *,
    verified: float = 1.0,
) -> PhysicalLimits:
    """Of ``requests`` in flight on one replica of ``layout``, each of ``read`` tokens of a prompt
    and ``made`` of an answer: a request takes no less than its first token and its others, and
    devices multiply no more than at their peaks. All of the tokens that a step has ``verified`` may
    be accepted."""
    ttft = work.prompt_seconds(layout, read)
    tpot = work.step_seconds(layout) / verified
    busy = (read + made - 1) * (work.dense_products + work.expert_products) / layout.ranks
    slowest = max(busy, (ttft + made * tpot) / requests)
    return PhysicalLimits(ttft, tpot, made / slowest if slowest > 0 else inf)


def least_work(model: CostModel, segments: Sequence[Segment]) -> LeastWork:
    """What a token of ``segments`` takes at least; weights in a host's memory count nothing."""
    device, spec = model.question.device, model.question.spec
    bandwidth = _most(device.bandwidth_bytes_per_s)
    products, read = {False: 0.0, True: 0.0}, {False: 0.0, True: 0.0}
    for segment in segments:
        unit = model.units[segment.unit]
        module = _module(model, unit)
        if module is None:
            continue
        experts = module.kind in EXPERT_KINDS
        picked = spec.experts.per_token if experts and spec.experts is not None else 1
        elements = picked * segment.count * _elements(module)
        name = module.released_as if segment.choice < 0 else model.choices[segment.choice]
        if module.kind in PLANNED_KINDS:  # the head multiplies one row of a prompt
            peak = _peak(model.question, name, experts=experts)
            products[experts] += 2.0 * elements / peak if peak > 0 else 0.0
        read[experts] += elements * _bytes_per_element(module, name, segment) / bandwidth
    cache = 0.0 if device.silicon is None else _most(device.silicon.l2_bytes)
    return LeastWork(products[False], products[True], read[False], read[True], cache / bandwidth)


def _module(model: CostModel, unit: DecisionUnit) -> Module | None:
    """The matrices of a unit that every token is multiplied with on the device; None for others."""
    if unit.role == "cache":
        return None
    module = (model.planned if unit.role == "module" else model.released)[unit.row]
    multiplied = module.kind in PLANNED_KINDS or module.kind == "head"
    return module if multiplied and module.gemms and not module.place else None


def _elements(module: Module) -> int:
    """Elements of a layer, of one expert where there are several."""
    return sum(rows * columns for gemm in module.gemms for rows, columns in gemm.members)


def _bytes_per_element(module: Module, name: str, segment: Segment) -> float:
    if segment.choice >= 0 and name in SCHEMES:
        return bits_per_element(SCHEMES[name].weight) / 8.0
    stored = module.stored_bytes - module.vector_bytes
    return max(stored, 0) / (_elements(module) * max(module.experts, 1))


def _peak(question: Question, name: str, *, experts: bool) -> float:
    """The highest dense peak [FLOP/s] at which weights of a scheme may be multiplied: in its own
    format, in that of the kernel which its engine runs, or widened; 0 where none is published."""
    group = "experts" if experts else "dense"
    schemes = {name, question.runs_as.get((group, name), name)}
    formats = {SCHEMES[s].compute for s in schemes if s in SCHEMES}
    rates = (question.device.rate(one) for one in (*formats, *WIDE))
    return max((_most(rate.dense) for rate in rates if rate is not None), default=0.0)


def _most(quantity: Quantity) -> float:
    """The upper end of a figure that is a range."""
    return quantity.value if quantity.high is None else max(quantity.value, quantity.high)
