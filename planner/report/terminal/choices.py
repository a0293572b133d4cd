"""The recommendation and what stands beside it: a sentence, other plans, the next step of loss."""

from __future__ import annotations

from collections.abc import Sequence

from planner.planning.plan.recommendation import Lossier, MeasureNext, OtherPlan
from planner.planning.plan.record import Plan
from planner.report.terminal.columns import table_lines, width_of_output, wrapped
from planner.report.terminal.printable import columns, folded, padded
from planner.units import format_rate, format_seconds

MOST_OTHERS = 6
COLUMNS = ("instead", "tokens/s", "TPOT", "loss", "new", "faster", "why not")
"""``new``: needs new weights; ``faster``: the chance that it beats what is recommended."""
NARROWEST_REASON = 18


def verdict_lines(plan: Plan) -> list[str]:
    """What to serve in one sentence; of a plan without a recommendation, what it was compared
    with."""
    found = plan.recommendation
    if found is not None:
        return wrapped(found.text)
    versus = plan.comparison
    return wrapped(f"gain: {versus.text}" if versus.scheme else versus.text)


def other_lines(plan: Plan) -> list[str]:
    """Up to ``MOST_OTHERS`` other plans as a table; nothing where there is none."""
    found = plan.recommendation
    if found is None or not found.alternatives:
        return []
    rows = [COLUMNS, *(_cells(one) for one in shown_others(found.alternatives))]
    return _reasoned(rows)


def shown_others(others: Sequence[OtherPlan], most: int = MOST_OTHERS) -> list[OtherPlan]:
    """Those that say most, in their own order: what is as released, then what is likeliest to be
    better, then what is fastest."""
    ranked = sorted(range(len(others)), key=lambda i: (
        others[i].formats > 0 or any(others[j].formats == 0 for j in range(i)),
        -(others[i].probability_better or 0.0), -others[i].output_tokens_per_second, i))
    return [others[i] for i in sorted(ranked[:most])]


def chance(probability: float | None) -> str:
    """A probability in percent without false certainty; a dash where errors are not known."""
    if probability is None:
        return "-"
    return "<1 %" if probability < 0.01 else ">99 %" if probability > 0.99 \
        else f"{100 * probability:.0f} %"


def _cells(one: OtherPlan) -> tuple[str, ...]:
    return (one.name, format_rate(one.output_tokens_per_second), format_seconds(one.tpot_seconds),
            f"{one.loss:.3g}", "yes" if one.needs_new_weights else "no",
            chance(one.probability_better), one.why_not)


def _reasoned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The table with its last column folded into what the others leave; paragraphs where that is
    too narrow."""
    widths = [max(columns(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    left = sum(widths) + len(widths)
    space = width_of_output() - left
    if space < NARROWEST_REASON:
        return table_lines(rows, left=(0, len(widths)), width=0)
    lines = []
    for row in rows:
        fixed = " ".join(padded(cell, width, left=i == 0)
                         for i, (cell, width) in enumerate(zip(row[:-1], widths, strict=True)))
        first, *more = folded(row[-1], space) or [""]
        lines += [f"{fixed} {first}".rstrip(), *(" " * left + line for line in more)]
    return lines


def beside_lines(plan: Plan) -> list[str]:
    """The best plan one step of loss further down, and what to measure next."""
    found = plan.recommendation
    if found is None:
        return []
    lines = [] if found.lossier is None else wrapped(_lossier(plan, found.lossier), "  ")
    for number, item in enumerate(found.measure_next):
        lines += wrapped(_measure(item, first=number == 0), "  ")
    return lines


def _lossier(plan: Plan, found: Lossier) -> str:
    now = plan.performance.output_tokens_per_second.value
    rate = found.output_tokens_per_second
    more = f", {rate / now - 1:+.0%}".replace("-", "−") if now > 0 else ""
    anchor = f" ({found.measured_anchor.text})" if found.measured_anchor is not None else ""
    return (f"more loss: {found.name}: {format_rate(rate)} tokens/s{more}, "
            f"loss {found.loss:.3g}{anchor}")


def _measure(item: MeasureNext, *, first: bool) -> str:
    what = " ".join(filter(None, (item.operator, item.scheme, item.shape)))
    lead = "measure next: " if first else "or "
    return f"{lead}{what} (moves the odds by {item.swing:.0%}): {item.command}"
