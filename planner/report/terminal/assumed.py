"""What was taken for granted, for stderr: the five that move the answer most, or all."""

from __future__ import annotations

from planner.planning.plan.record import Assumption, Plan
from planner.report.terminal.columns import printable, wrapped

MOST = 5
MOST_LINES = 2
HEAVIEST = (
    "structure",
    "head",
    "ignored keys",
    "not counted",
    "images",
    "FP8 here",
    "this machine",
    "memory bandwidth",
    "inherited",
    "measured while busy",
    "tpot-ms dropped",
    "tpot-ms default",
    "users default",
    "workload",
    "anchor",
    "policy dropped",
    "solver",
    "batches",
    "slots",
    "time basis",
    "approximated attention",
    "8-bit formats",
    "loss floor",
    "loss level",
    "loss basis",
    "quantiser",
    "max-loss default",
    "prefill interruption",
    "expert routing",
    "queueing",
    "host of a prompt",
    "loss of caches",
    "loss of activations",
    "power mode",
    "usable memory",
    "price",
    "tied layers",
    "accumulators",
    "units",
)
"""Keys by how far the answer may move with them: what the model is and what of it the answer leaves
out, what a default decided, then the widths of the times and of the loss, then parts of a step;
other keys follow in the plan's order."""


def assumptions_text(plan: Plan) -> str:
    """Every assumption with its whole reason; ends with a newline."""
    lines = ["assumptions:"]
    for item in plan.assumptions:
        lines += _assumption_lines(item)
    return "\n".join(lines) + "\n"


def heaviest_text(plan: Plan) -> str:
    """The ``MOST`` assumptions that move the answer most, of their reasons what fits, and how many
    there are beside them; ends with a newline."""
    shown = heaviest(plan)
    if not shown:
        return ""
    lines = ["assumptions:", *(part for item in shown for part in _brief(item))]
    more = len(plan.assumptions) - len(shown)
    if more:
        lines += wrapped(f"{more} more: --assumptions", "    ", first="  ")
    return "\n".join(lines) + "\n"


def heaviest(plan: Plan, most: int = MOST) -> list[Assumption]:
    """The assumptions that move the answer most, heaviest first."""
    order = {key: place for place, key in enumerate(HEAVIEST)}
    return sorted(
        plan.assumptions,
        key=lambda a: order.get("anchor" if a.key.startswith("anchor ") else a.key, len(order)),
    )[:most]


def _assumption_lines(item: Assumption, reason: str | None = None) -> list[str]:
    text = item.reason if reason is None else reason
    return wrapped(
        printable(f"  {item.key}: {item.value}" + (f" — {text}" if text else "")), "    "
    )


def _brief(item: Assumption) -> list[str]:
    """At most ``MOST_LINES`` lines, or what value and no reason need: clauses are left out."""
    clauses = item.reason.split("; ")
    for kept in range(len(clauses), -1, -1):
        if not _closed("; ".join(clauses[:kept])):
            continue
        lines = _assumption_lines(item, "; ".join(clauses[:kept]))
        if len(lines) <= MOST_LINES:
            break
    return lines


def _closed(text: str) -> bool:
    """Whether every bracket of ``text`` is closed."""
    return text.count("(") == text.count(")")
