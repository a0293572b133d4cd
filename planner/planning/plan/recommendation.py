"""What a plan file says of the choice between plans: the recommendation and what is beside it."""

from __future__ import annotations

from typing import Literal

from planner.base.records import cached_record

Verdict = Literal["as-released", "uniform", "mix"]


@cached_record
class MeasuredAnchor:
    """The nearest published change of accuracy under the format that carries most of the loss, or
    in words that there is none; ``source`` of the rows, empty where there is none."""

    text: str
    source: str


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
    which what both share cancels; None in plans lifted from version 1, which did not tell it."""

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
    measured_anchor: MeasuredAnchor | None
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
    None where that does not run here. ``probability``: that the plan beats the best simpler one by
    more than nothing; None where there is none, or where errors are not known.
    """

    verdict: Verdict
    formats: int
    needs_new_weights: bool
    checkpoint: str
    text: str
    gain: GainRange | None
    probability: float | None
    alternatives: tuple[OtherPlan, ...]
    lossier: NextLossStep | None
    measure_next: tuple[MeasureNext, ...]
