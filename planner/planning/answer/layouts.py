"""Which layouts a plan's search considered, and why the others were left out."""

from __future__ import annotations

from collections.abc import Sequence

from planner.messages.message import Message, Text, message
from planner.placement.layout import Layout
from planner.planning.plan.deployment import AGGREGATED
from planner.planning.plan.record import LayoutsInfo, Plan, SkippedLayouts
from planner.planning.question.question import Question
from planner.planning.space.candidates import Space, first_slot
from planner.planning.space.layouts import UNCOMMON, considered

NO_ROOM = message("refusals.does_not_fit_in_memory")
UNCOMMON_WORDS = "no guide recommends"
"""How files of schema 2 say it."""


def layouts_info(question: Question, grids: Sequence[Space]) -> LayoutsInfo:
    """Every layout that the question's device counts allow, searched or with its reason.

    ``grids``: the candidates of every way to serve; a layout without one in any has no room.
    """
    fitting = {grid.tables.layouts[i] for grid in grids for i in set(grid.pts.layout.tolist())}
    total, searched = 0, 0
    skipped: dict[Text, list[str]] = {}
    for layout, why in considered(question):
        total += 1
        if not why and layout not in fitting:
            why = NO_ROOM if first_slot(question, layout) is not None else _no_slot(question)
        if why:
            skipped.setdefault(why, []).append(_name(layout))
        else:
            searched += 1
    return LayoutsInfo(
        total,
        searched,
        tuple(SkippedLayouts(reason, tuple(names)) for reason, names in skipped.items()),
    )


def conventional_optimum(plan: Plan) -> bool:
    """Whether the optimum of a plan is that of conventional layouts: others, which its engine runs
    too, were left out. Pools are searched over all."""
    pools = plan.deployment
    return (
        plan.layouts is not None
        and (pools is None or pools.mode == AGGREGATED)
        and any(_is_uncommon(left_out.reason) for left_out in plan.layouts.skipped)
    )


def _no_slot(question: Question) -> Text:
    """Why a layout has no place for the batch, or more of them than there are requests."""
    if question.batch is None:
        return message("refusals.requests_in_flight_leave_idle", n=question.concurrency or 0)
    return message("refusals.batch_is_not_multiple_of", batch=question.batch)


def _is_uncommon(reason: Text) -> bool:
    return reason.id in UNCOMMON if isinstance(reason, Message) else UNCOMMON_WORDS in reason


def _name(layout: Layout) -> str:
    return f"tp{layout.tp} dp{layout.dp} pp{layout.pp} ep{layout.ep}"
