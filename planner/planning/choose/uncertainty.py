"""Plans as the draws see them: seconds of TPOT by error class, and errors of the whole step.

What composed steps are off by beside their kernels is one error of an engine and a model, which
cancels between plans of that engine; a part of it does not between layouts and batches
(``planning/data/differing_errors.toml``, which ``benchmarks/differing.py`` writes from served
models): how much log(measured ÷ predicted) differs between rows of one model, engine, device and
format at the same lengths, on another layout with as many sequences (``layout_sigma``, of each of
the two), and on one layout with twice as many (``octave_sigma``, of the difference, which grows
with the root of the number of doublings, as a random walk). An entry ``without`` a model serves
that model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from math import floor, fsum, log, log2, sqrt
from pathlib import Path
from typing import Any

from planner.base.records import cached_record, record
from planner.placement.layout import Layout
from planner.planning.choose.error_classes import (
    ErrorClass,
    Errors,
    collective_errors,
    unit_errors,
)
from planner.planning.price.intervals import layout_code
from planner.planning.price.measured_errors import Z80, common_sigmas, unmeasured_sigmas
from planner.planning.price.plan_kinds import kind_of
from planner.planning.price.price import Priced, SegmentCost, price
from planner.planning.question.question import RATES, TIMED, Question
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor
from planner.planning.space.model import CostModel
from planner.throughput.roofline import seconds

_DIFFERING = Path(__file__).resolve().parents[1] / "data" / "differing_errors.toml"


@record
class TimePart:
    """Seconds of TPOT and their independent ``errors``."""

    errors: Errors
    seconds: float


@record
class CommonError:
    """An error of the whole: ``weight`` × the draw of its class, in log space."""

    error: ErrorClass
    weight: float


@cached_record
class UncertainObjective:
    """A plan's objective, to be minimised, and what it errs by: ``parts`` add up to its TPOT,
    ``wholes`` multiply it. Without ``parts`` the value errs by ``wholes`` alone."""

    value: float
    parts: tuple[TimePart, ...]
    wholes: tuple[CommonError, ...]


def uncertain_objective(
    space: Space, priced: Priced, value: float, assignment: str = ""
) -> UncertainObjective:
    """The plan ``priced`` of ``space``, whose objective is ``value``. Bytes are exact; losses err
    by the band within which two of them cannot be told apart, each ``assignment`` by itself."""
    question = space.model.question
    if question.objective == "memory":
        return UncertainObjective(value, (), ())
    if question.objective not in TIMED:
        spread = log(band_factor(space.model)) / Z80 / sqrt(2)
        return UncertainObjective(
            value, (), (CommonError(ErrorClass("loss", "", assignment), spread),)
        )
    engine = f"{question.engine} {question.engine_version}"
    kind = kind_of(space.model, priced)
    common = CommonError(
        ErrorClass("composition", engine), common_sigmas(kind, question.spec.id).tpot
    )
    alone = CommonError(ErrorClass("unmeasured", engine, kind.layout), unmeasured_sigmas(kind).tpot)
    differing = tuple(
        CommonError(ErrorClass(name, engine, where), weight)
        for name, where, weight in layout_and_batch(priced.layout, priced.batch, question.spec.id)
    )
    return UncertainObjective(
        value, time_parts(space, priced), (common, *([alone] if alone.weight else []), *differing)
    )


def score(question: Question, priced: Priced) -> float:
    """The objective of a priced assignment, to be minimised: device-seconds of a token, seconds of
    TPOT, bytes over all devices, or loss."""
    if question.objective == "latency":
        return priced.tpot
    if question.objective == "memory":
        group = priced.layout.tp * priced.layout.dp * question.replicas(priced.layout.ranks)
        return float(sum(s.total for s in priced.stages) * group)
    if question.objective in RATES:
        return device_seconds(priced)
    return priced.loss


def served_score(space: Space, c: int, segments: Sequence[Segment]) -> float:
    """:func:`score` of ``segments`` on candidate ``c``, in the loop of its requests."""
    return score(space.model.question, price(space, c, segments))


def device_seconds(priced: Priced) -> float:
    """Device-seconds of one output token."""
    return priced.layout.ranks / priced.rate


def time_parts(space: Space, priced: Priced) -> tuple[TimePart, ...]:
    """Seconds of TPOT by class and error; decode steps and the prompts in between are each scaled
    to the plan's (a pipeline's slowest stage counts, which sums over units do not know)."""
    model, passes = space.model, float(space.times.passes)
    step: dict[Errors, float] = {}
    prompts: dict[Errors, float] = {}
    code = layout_code(priced.layout)
    for cost, count in alike_segments(model, priced):
        for spent, decode in ((step, True), (prompts, False)):
            for errors, time in _seconds(model, cost, passes, decode=decode, code=code):
                if time > 0:
                    spent[errors] = spent.get(errors, 0.0) + time * count
    added = fsum(prompts.values())
    interruption = priced.interruption if added > 0 else 0.0
    scaled = [
        (step, (priced.tpot - interruption) / fsum(step.values())),
        (prompts, interruption / added if added > 0 else 0.0),
    ]
    total: dict[Errors, float] = {}
    for some, scale in scaled:
        for errors, time in some.items():
            total[errors] = total.get(errors, 0.0) + time * scale
    return tuple(TimePart(errors, time) for errors, time in total.items())


def alike_segments(model: CostModel, priced: Priced) -> list[tuple[SegmentCost, int]]:
    """One segment of those with the same kernel and choice, and the layers of all of them."""
    groups: dict[tuple[str, int, int], tuple[SegmentCost, int]] = {}
    for cost in priced.costs:
        unit = model.units[cost.segment.unit]
        key = unit.role, unit.row, cost.segment.choice
        groups[key] = cost, cost.segment.count + (groups[key][1] if key in groups else 0)
    return list(groups.values())


def kernel_errors(model: CostModel, cost: SegmentCost, code: int) -> list[tuple[Errors, float]]:
    """(errors, seconds of one layer) of a pass that reads prompts alone."""
    own, talk = _split(cost.decode)
    unit = model.units[cost.segment.unit]
    return [
        (unit_errors(model, unit, cost.segment.choice, decode=False, code=code), own),
        (collective_errors(model), talk),
    ]


def _seconds(
    model: CostModel,
    cost: SegmentCost,
    passes: float,
    *,
    decode: bool,
    code: int,
) -> list[tuple[Errors, float]]:
    """(errors, seconds of one layer): of a step, or of what a prompt adds to it."""
    unit = model.units[cost.segment.unit]
    own, talk = _split(cost.decode)
    if not decode:
        own, talk = (
            mixed - passes * step
            for mixed, step in zip(_split(cost.mixed), (own, talk), strict=True)
        )
    return [
        (unit_errors(model, unit, cost.segment.choice, decode=decode, code=code), own),
        (collective_errors(model), talk),
    ]


def _split(mechanisms: dict[str, float]) -> tuple[float, float]:
    """(seconds of the kernels, of the communication behind them)."""
    talk = mechanisms["communication"]
    return seconds(mechanisms) - talk, talk


def layout_and_batch(layout: Layout, batch: int, model: str) -> list[tuple[str, str, float]]:
    """(kind of error, where, log-space σ that its draw is weighed by) of a plan of ``batch``
    sequences on ``layout``: plans share the octaves of the batch that both have."""
    entry = _entry(model)
    name = f"tp{layout.tp} dp{layout.dp} pp{layout.pp} ep{layout.ep}"
    octaves = log2(max(batch, 1))
    full_octaves = floor(octaves)
    steps = [(str(i), 1.0) for i in range(full_octaves)]
    if octaves > full_octaves:
        steps.append((str(full_octaves), octaves - full_octaves))
    return [
        ("layout", name, float(entry["layout_sigma"])),
        *(("batch", octave, share * float(entry["octave_sigma"])) for octave, share in steps),
    ]


@cache
def _entry(model: str) -> dict[str, Any]:
    entries = tomllib.loads(_DIFFERING.read_text(encoding="utf-8"))["entry"]
    return next(
        (e for e in entries if e["without"] == model), next(e for e in entries if not e["without"])
    )
