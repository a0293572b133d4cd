"""What a plan file says of the choice between plans: the recommendation and what is beside it."""

from __future__ import annotations

from typing import Literal

from planner.base.records import cached_record
from planner.messages.message import Text
from planner.planning.plan.evidence import Evidence
from planner.quality.neighbours import BenchmarkKind

Verdict = Literal["recipe", "released", "uniform", "mix", "pools"]
"""What is recommended: a published deployment, the given checkpoint as it is in another setting,
one format, several, or pools of prefill and decode workers."""


@cached_record
class MeasuredAnchor:
    """A published change of accuracy under a format of this plan, or a sentence that there is none.
    ``source`` is that of the row, or empty; ``kind`` of the benchmark: short questions, long
    reasoning, code, tools or long contexts, None where there is no row (or in older files)."""

    text: Text
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
    """An alternative on its own best layout and batch, on ``devices`` in all. ``schemes`` are those
    of its linear layers, most bytes first, then of a quantized embedding or head; ``formats``
    counts those that are not the published one. ``probability_better`` is P(faster) against the
    recommendation, None where errors are not known; ``why_not`` says why it was rejected. ``gain``
    is over the recommendation, by draws in which errors that both share cancel; None in plans of
    version 1. ``engine``, its version and ``layout`` (``tp8 ep8``) are its own, empty in plans of
    version 2; ``evidence`` is what was measured of its kind."""

    name: Text
    schemes: tuple[str, ...]
    formats: int
    kv: str
    needs_new_weights: bool
    output_tokens_per_second: float
    tpot_seconds: float
    loss: float
    probability_better: float | None
    why_not: Text
    devices: int
    gain: GainRange | None
    engine: str
    engine_version: str | None
    layout: str
    evidence: Evidence


@cached_record
class PublishedPlan:
    """The published deployment of the model on the device, with its ``source`` and ``date``, or the
    unchanged checkpoint (``source`` is empty). ``probability_better`` is P(faster) against the
    recommendation and ``gain`` its gain over it, both None where it is the recommendation;
    ``why_not`` is empty then. A published deployment that breaks a limit has neither; figures are
    None where it does not fit or nothing here runs it."""

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
    why_not: Text
    evidence: Evidence


@cached_record
class NextLossStep:
    """The best uniform plan with the next step of loss (4-bit where the device runs it), and the
    best ``mix`` that loses no more, None where none is faster."""

    name: Text
    schemes: tuple[str, ...]
    kv: str
    loss: float
    output_tokens_per_second: float
    devices: int
    measured_anchor: tuple[MeasuredAnchor, ...]
    mix: NextLossStep | None


@cached_record
class MeasureNext:
    """An operator (or the loss of a unit) whose error could change the choice between the
    recommendation and its best alternative: ``swing`` is how far P(faster) moves when it is
    measured."""

    operator: Text
    scheme: str
    shape: Text
    swing: float
    command: str


@cached_record
class Recommendation:
    """What to serve, given how sure the predictions are. ``formats`` counts distinct schemes beside
    the published one. ``checkpoint`` names a public release of the plan, empty where none is known.
    ``gain`` is over the published checkpoint, None where that does not run here. ``recipe`` is the
    published deployment of the model on the device, None where there is none; ``released`` the
    unchanged checkpoint, None where it does not run within the limits. ``probability``: that the
    plan beats the best simpler one; None where there is none, or where errors are not known."""

    verdict: Verdict
    formats: int
    needs_new_weights: bool
    checkpoint: str
    text: Text
    gain: GainRange | None
    probability: float | None
    alternatives: tuple[OtherPlan, ...]
    recipe: PublishedPlan | None
    released: PublishedPlan | None
    lossier: NextLossStep | None
    measure_next: tuple[MeasureNext, ...]
