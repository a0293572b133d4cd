"""Which other plans stand beside a recommendation, and what they are called."""

from __future__ import annotations

from collections.abc import Callable

from planner.messages.message import Text, message, with_name
from planner.planning.choose.rule import Thresholds
from planner.planning.plan.names import counted_formats, is_just, name_kind
from planner.planning.plan.recommendation import OtherPlan
from planner.planning.plan.record import Plan
from planner.planning.price.evidence import NONE
from planner.planning.question.given_values import recorded_values
from planner.quality.loss_units import NATS
from planner.quality.meaning import loss_words, word_of

MOST_OTHERS, PAGE_OTHERS = 6, 5
"""Other plans of a whole table, and of a page with its chart."""
SAME = "the same plan"
"""Why a plan under another name is not taken."""
EVEN = 0.5

MOST_SCHEMES = 3
"""Schemes that a plan's name lists."""


def shown_others(plan: Plan, most: int = MOST_OTHERS) -> list[OtherPlan]:
    """Those that say most, in their own order: the nearest rival, what is as released, what the
    engine makes where nobody chooses (in a whole table), then what is likeliest to be better, then
    what is fastest. What is the recommended plan under another name is left out, an optimum that
    stands there under its own name, of two of one name the slower, and what damages a model that
    the recommended plan does not damage."""
    said = plan.recommendation
    if said is None:
        return []
    kept = [
        other
        for other in said.alternatives
        if other.why_not != SAME and not (is_damaging(other.loss) and not is_damaged(plan))
    ]
    fastest = {
        plan_name(other): other
        for other in sorted(kept, key=lambda other: other.output_tokens_per_second)
    }
    others = [
        other
        for other in kept
        if fastest[plan_name(other)] is other
        and not (is_just(other.name, "optimum") and any(is_same_plan(other, x) for x in kept))
    ]
    nearest = nearest_rival(plan)
    ranked = sorted(
        range(len(others)),
        key=lambda i: (
            others[i] is not nearest,
            others[i].formats > 0 or any(others[j].formats == 0 for j in range(i)),
            most < MOST_OTHERS or name_kind(others[i].name) != "default",
            -(others[i].probability_better or 0.0),
            -others[i].output_tokens_per_second,
            i,
        ),
    )
    return [others[i] for i in sorted(ranked[:most])]


def is_damaged(plan: Plan) -> bool:
    """Whether the recommended plan's loss is one that damages the model, by the scale of words."""
    return plan.quality.unit == NATS and is_damaging(plan.quality.loss)


def is_damaging(loss_nats: float) -> bool:
    """Whether a loss is in the last step of the scale of words."""
    return word_of(loss_nats) == loss_words()[-1].word


def nearest_rival(plan: Plan) -> OtherPlan | None:
    """The other plan that comes nearest to displacing what is recommended, where one is as likely
    better as not."""
    said = plan.recommendation
    others = () if said is None else said.alternatives
    likely = [o for o in others if (o.probability_better or 0.0) >= EVEN and o.why_not != SAME]
    return max(likely, key=displacement(plan), default=None)


def displacement(plan: Plan) -> Callable[[OtherPlan], tuple[float, float, float]]:
    """How near another plan comes to displacing the recommended one: by how many widths of its
    interval its gain exceeds what it must be; of files without gains, by the chance that it is
    better."""
    values = recorded_values(plan)
    least = values.get("min_gain")
    rule = Thresholds.of(
        None if least is None else least / 100,
        values.get("new_weights") or "auto",
        values.get("allow_unmeasured", False),
    )
    said = plan.recommendation
    ready = said is not None and not said.needs_new_weights

    def beyond(other: OtherPlan) -> tuple[float, float, float]:
        over = 0.0
        if other.gain is not None:
            gain, _ = rule.required(
                new_weights=ready and other.needs_new_weights,
                unmeasured=other.evidence.level == NONE,
            )
            over = (other.gain.value - gain) / max(other.gain.high - other.gain.low, 1e-9)
        return over, other.probability_better or 0.0, other.output_tokens_per_second

    return beyond


def is_same_plan(optimum: OtherPlan, other: OtherPlan) -> bool:
    """Whether ``other`` is the ``optimum`` under its own name."""

    def terms(plan: OtherPlan) -> tuple[object, ...]:
        settings = (plan.engine, plan.layout, plan.schemes, plan.kv, plan.devices)
        return (*settings, plan.output_tokens_per_second, plan.loss)

    return other is not optimum and terms(other) == terms(optimum)


def plan_name(other: OtherPlan) -> Text:
    """The plan's name, with its schemes, of many the first, where it names no format."""
    if other.name != counted_formats(len(other.schemes)):
        return other.name
    some = other.schemes if len(other.schemes) <= MOST_SCHEMES else (*other.schemes[:2], "…")
    return with_name(other.name, message("structure.names", parts=some))


def is_beaten_with_more_loss(plan: Plan, optimum: OtherPlan) -> bool:
    """Whether the recommended ``plan`` or one beside it, on the engine of the ``optimum``, is
    faster than that at more loss: it keeps the limit on loss to the digit, they keep it within the
    band in which losses cannot be told apart."""
    said = plan.recommendation
    own = plan.performance.output_tokens_per_second_per_device.value
    plans = [(plan.engine.name, plan.quality.loss, own)]
    if said is not None:
        plans += [(other.engine, other.loss, _rate(other)) for other in said.alternatives]
    return any(
        engine == optimum.engine and loss > optimum.loss and rate > _rate(optimum)
        for engine, loss, rate in plans
    )


def _rate(other: OtherPlan) -> float:
    """Tokens/s a device."""
    return other.output_tokens_per_second / other.devices
