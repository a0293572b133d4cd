"""What a plan file says of the choice between plans: the recommendation and what is beside it."""

from __future__ import annotations

from typing import Literal

from planner.base.records import cached_record
from planner.planning.plan.evidence import Evidence
from planner.quality.neighbours import BenchmarkKind

Verdict = Literal["recipe", "released", "uniform", "mix", "pools"]
"""What is recommended: a published deployment, the given checkpoint as it is in another setting,
one format, several, or pools of prefill and decode workers."""


@cached_record
class MeasuredAnchor:
    """A published change of accuracy under a format that carries much of the loss, or in words that
    there is none. ``source`` of the row, empty where there is none; ``kind`` of what was asked:
    short questions, long reasoning, code, tools or long contexts, None where there is no row (or a
    file that was written before did not tell)."""

    text: str
    source: str
    kind: BenchmarkKind | None


@cached_record
class GainRange:
    """A relative gain (ratio − 1) with its 80 % interval."""

    value: float
    low: float
    high: float


@cached_record
class OtherPlan:
    """Another plan on its own best layout and batch, on ``devices`` in all. ``schemes`` are those
    of its linears, most bytes first, then of an embedding or a head that is not as released;
    ``formats`` how many of all are not what is released.
    ``probability_better``: that it beats the recommended plan, None where errors are not known.
    ``why_not`` in words. ``gain`` over the recommended plan by the objective, from common draws, in
    which what both share cancels; None in plans lifted from version 1, which did not tell it.
    ``engine``, its version and ``layout`` (``tp8 ep8``) are its own, empty in plans lifted from
    version 2; ``evidence`` is what measured deployments say of its kind."""

    name: str
    schemes: tuple[str, ...]
    formats: int
    kv: str
    needs_new_weights: bool
    output_tokens_per_second: float
    tpot_seconds: float
    loss: float
    probability_better: float | None
    why_not: str
    devices: int
    gain: GainRange | None
    engine: str
    engine_version: str | None
    layout: str
    evidence: Evidence


@cached_record
class PublishedPlan:
    """A plan that practice names: the published deployment of the model on the device, with its
    ``source`` and ``date``, or the given checkpoint as it is (``source`` empty). ``probability_
    better`` that it beats the recommended plan and its ``gain`` over it, both null where it is the
    recommended plan; ``why_not`` is empty then. A published deployment that breaks a limit has
    neither; figures are null where the devices do not hold it or nothing here runs it."""

    engine: str
    version: str
    layout: str
    formats: tuple[str, ...]
    kv: str
    speculation: str
    output_tokens_per_second: float | None
    tpot_seconds: float | None
    loss: float | None
    probability_better: float | None
    gain: GainRange | None
    source: str
    date: str
    why_not: str
    evidence: Evidence


@cached_record
class NextLossStep:
    """The best uniform plan one step of loss further down (4-bit where the device runs it), and the
    best ``mix`` that loses no more, None where none is faster."""

    name: str
    schemes: tuple[str, ...]
    kv: str
    loss: float
    output_tokens_per_second: float
    devices: int
    measured_anchor: tuple[MeasuredAnchor, ...]
    mix: NextLossStep | None


@cached_record
class MeasureNext:
    """An operator (or the loss of a unit) whose uncertainty decides between the recommendation and
    its best alternative: ``swing`` is how far the probability moves when it is known."""

    operator: str
    scheme: str
    shape: str
    swing: float
    command: str


@cached_record
class Recommendation:
    """What to serve, in view of how sure the numbers are.

    ``formats`` counts distinct schemes beside what stays as released. ``checkpoint``
    names a public release of the plan, empty where none is known. ``gain`` is over as released,
    None where that does not run here. ``recipe`` is the published deployment, None where nobody
    published one for the model and device, ``released`` the given checkpoint as it is, None where
    it does not run here within the limits. ``probability``: that the plan beats the best simpler
    one by more than nothing; None where there is none, or where errors are not known.
    """

    verdict: Verdict
    formats: int
    needs_new_weights: bool
    checkpoint: str
    text: str
    gain: GainRange | None
    probability: float | None
    alternatives: tuple[OtherPlan, ...]
    recipe: PublishedPlan | None
    released: PublishedPlan | None
    lossier: NextLossStep | None
    measure_next: tuple[MeasureNext, ...]
