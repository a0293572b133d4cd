"""The recommendation and what stands beside it: a sentence, other plans, the next step of loss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from planner.base.units import format_rate
from planner.planning.plan.recommendation import (
    MeasureNext,
    NextLossStep,
    OtherPlan,
    PublishedPlan,
    Recommendation,
)
from planner.planning.plan.record import Plan
from planner.report.terminal.columns import (
    columns,
    folded,
    padded,
    paragraphs,
    width_of_output,
    wrapped,
)
from planner.report.terminal.shown_plans import (
    MOST_OTHERS,
    OPTIMUM,
    is_beaten_with_more_loss,
    is_same_plan,
    plan_name,
    shown_others,
)

COLUMNS = ("instead", "tok/s", "ms", "loss", "new", "odds", "why not")
"""``ms``: TPOT; ``new``: needs new weights; ``odds``: that it beats what is recommended."""
PUBLISHED = "published recipe"
RELEASED = "as released"
ALIKE = 0.01
"""Gains below this are told as none."""
LONGEST_NAME = 28
NARROWEST_REASON = 18
_COMMIT = re.compile(r"@([0-9a-f]{8})[0-9a-f]{32}\b")
_SHORTER = (
    (r" \((?:nearly sure|less than 1 in 10|\d+ in 10)\)", ""),
    (r"( (?:slower|dearer|larger|more lossy)), .*", r"\1"),
    (r"^needs new weights(?: and|,) ", ""),
    (r"\bhas (\d+ formats?) and is ", r"\1, "),
    (r"^is ", ""),
    (r"^stores part of a quantised release in", "release partly in"),
)
"""What a reason says of the chance and of new weights has columns of its own, and what is worse
needs no further reason."""


def verdict_lines(plan: Plan) -> list[str]:
    """What to serve in one sentence; of a plan without a recommendation, what it was compared
    with."""
    recommendation = plan.recommendation
    if recommendation is not None:
        return [*wrapped(recommendation.text), *_published(plan, recommendation)]
    versus = plan.comparison
    return wrapped(f"gain: {versus.text}" if versus.scheme else versus.text)


def _published(plan: Plan, recommendation: Recommendation) -> list[str]:
    """The published recipe with its source, that it drafts where ``plan`` does not, and which limit
    it breaks; nothing where nobody published one."""
    recipe = recommendation.recipe
    if recipe is None:
        return []
    where = source_text(recipe)
    if recommendation.verdict == "recipe":
        drafts = recipe.speculation and plan.speculation is None
        but = f", without its speculation ({recipe.speculation})" if drafts else ""
        return wrapped(f"as in the published recipe{but}: {where}")
    setup = ", ".join(filter(None, (recipe.engine, recipe.layout, " and ".join(recipe.formats))))
    broken = f", but {recipe.why_not}" if recipe.gain is None and recipe.why_not else ""
    return wrapped(f"published recipe: {setup}{broken} ({where})")


def source_text(recipe: PublishedPlan) -> str:
    """Who published a deployment, and when; commits by their first digits."""
    source = _COMMIT.sub(r"@\1", recipe.source)
    return f"{source}, {recipe.date}" if recipe.date else source


def other_lines(plan: Plan, most: int = MOST_OTHERS) -> list[str]:
    """Up to ``most`` other plans as a table; nothing where there is none."""
    shown = shown_others(plan, most)
    return _reasoned([COLUMNS, *(_cells(plan, other) for other in shown)]) if shown else []


def chance(probability: float | None) -> str:
    """A probability in percent without false certainty; a dash where errors are not known."""
    if probability is None:
        return "-"
    return (
        "<1 %"
        if probability < 0.01
        else ">99 %"
        if probability > 0.99
        else f"{100 * probability:.0f} %"
    )


def other_device_count(plan: Plan, devices: int) -> int:
    """``devices`` of another plan where ``plan`` has another number, else 0."""
    return devices if devices != plan.device.count else 0


def gain_per_device(plan: Plan, rate: float, devices: int) -> float:
    """The relative gain in tokens/s a device of ``rate`` on ``devices`` over ``plan``."""
    own = plan.performance.output_tokens_per_second_per_device.value
    return rate / devices / own - 1 if own > 0 else 0.0


def _on(plan: Plan, devices: int) -> str:
    other_count = other_device_count(plan, devices)
    return f" on {other_count} device{'s' if other_count > 1 else ''}" if other_count else ""


def _cells(plan: Plan, other: OtherPlan) -> tuple[str, ...]:
    return (
        _distinct_name(plan, other) + _made_as(plan, other) + _on(plan, other.devices),
        format_rate(other.output_tokens_per_second),
        f"{1e3 * other.tpot_seconds:.3g}",
        f"{other.loss:.3g}",
        "yes" if other.needs_new_weights else "no",
        chance(other.probability_better),
        _short(other.why_not),
    )


def _distinct_name(plan: Plan, other: OtherPlan) -> str:
    """The plan's name; with its layout where it is one of several recipes, with its cache where it
    is the recommended weights under another one, an optimum with its loss where a plan that loses
    more, but not surely more than the limit, is faster."""
    recommendation = plan.recommendation
    if other.name.startswith(PUBLISHED):
        return f"{other.name}, {other.layout}"
    if other.name == OPTIMUM and is_beaten_with_more_loss(plan, other):
        return f"{OPTIMUM} at loss ≤ {other.loss:.3g}"
    if other.name != RELEASED or recommendation is None or recommendation.formats:
        return plan_name(other)
    mine = {unit.kv_layout for unit in plan.units if unit.kv_layout is not None}
    return other.name if set(other.kv.split(", ")) == mine else f"{other.name}, KV {other.kv}"


def _short(reason: str) -> str:
    for pattern, text in _SHORTER:
        reason = re.sub(pattern, text, reason)
    return reason


def _made_as(plan: Plan, other_plan: OtherPlan) -> str:
    """The mixture that an engine makes by default, by its own name, or that a plan is the optimum
    of the search, where no plan of more loss is faster."""
    if plan.recommendation is None:
        return ""
    if any(
        other.name == OPTIMUM
        and is_same_plan(other, other_plan)
        and not is_beaten_with_more_loss(plan, other)
        for other in plan.recommendation.alternatives
    ):
        return f" ({OPTIMUM})"
    if not other_plan.name.endswith(" default"):
        return ""
    same = (other_plan.schemes, other_plan.kv, other_plan.loss)
    names = [
        other.name.partition(",")[0]
        for other in plan.recommendation.alternatives
        if other is not other_plan
        and (other.schemes, other.kv, other.loss) == same
        and len(other.schemes) > 1
    ]
    return f" ({names[0]})" if names else ""


def _reasoned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The table with its first column folded and its last folded into what the others leave;
    paragraphs where that is too narrow."""
    widths = [max(columns(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    widths[0] = min(widths[0], LONGEST_NAME)
    space = width_of_output() - sum(widths) - len(widths)
    if space < NARROWEST_REASON:
        return paragraphs(rows, width_of_output())
    return [line for row in rows for line in _folded_row(row, widths, space)]


def _folded_row(row: Sequence[str], widths: Sequence[int], space: int) -> list[str]:
    names, reasons = folded(row[0], widths[0], indent="  "), folded(row[-1], space)
    empty = [""] * (len(widths) - 1)
    lines = []
    for i in range(max(len(names), len(reasons), 1)):
        cells = [names[i] if i < len(names) else "", *(row[1:-1] if i == 0 else empty)]
        fixed = " ".join(
            padded(cell, width, left=n == 0)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append(f"{fixed} {reasons[i] if i < len(reasons) else ''}".rstrip())
    return lines


def next_step_lines(plan: Plan, *, brief: bool = False) -> list[str]:
    """The best plan one step of loss further down, and the measurement that decides most;
    ``brief``: without the mix and the shape."""
    recommendation = plan.recommendation
    if recommendation is None:
        return []
    step = recommendation.lossier
    if brief and step is not None:
        step = replace(step, mix=None)
    lines = [] if step is None else wrapped(_next_step_text(plan, step), "  ")
    for item in recommendation.measure_next[:1]:
        lines += _measure(replace(item, shape="") if brief else item)
    return lines


def _next_step_text(plan: Plan, step: NextLossStep) -> str:
    rate = step.output_tokens_per_second
    gain = gain_per_device(plan, rate, step.devices)
    mixed = step.mix
    best = gain
    if mixed is not None:
        best = max(gain, gain_per_device(plan, mixed.output_tokens_per_second, mixed.devices))
    lead = _step_heading(best)
    more = f"{gain:+.0%}".replace("-", "−")
    anchor = step.measured_anchor[0].text if step.measured_anchor else ""
    _, measured, figure = anchor.rpartition(": ")
    text = f" (measured elsewhere: {figure})" if measured else f" ({anchor})" if anchor else ""
    mix = (
        ""
        if step.mix is None
        else f"; a mix with it {format_rate(step.mix.output_tokens_per_second)} tokens/s, "
        f"loss {step.mix.loss:.3g}"
    )
    return (
        f"{lead}: {step.name}{_on(plan, step.devices)}: {format_rate(rate)} tokens/s, "
        f"{more} a device, loss {step.loss:.3g}{text}{mix}"
    )


def _step_heading(gain: float) -> str:
    """What a step of loss brings: only 4-bit weights were looked for, so nothing is said of other
    losses."""
    if gain >= ALIKE:
        return "more loss"
    return "4-bit weights are about as fast" if gain > -ALIKE else "4-bit weights are no faster"


def _measure(item: MeasureNext) -> list[str]:
    """What to measure, and the command in one piece where it fits, to be copied."""
    what = " ".join(filter(None, (item.operator, item.scheme, item.shape)))
    lead = f"measure next: {what} (moves the odds by {item.swing:.0%}):"
    lines, room = wrapped(lead, "  "), width_of_output()
    if len(item.command) + 2 > room or columns(lines[-1]) + 1 + len(item.command) <= room:
        return wrapped(f"{lead} {item.command}", "  ")
    return [*lines, f"  {item.command}"]
