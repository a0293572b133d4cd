"""What the what-if page looks up: every position's texts, written once and numbered.

A row holds the texts of one plan, as the report would write them. Positions share rows, and rows
share texts by number. The page plans nothing: it shows rows, tells in percent how they differ
from the report's plan, and multiplies a price.
"""

from __future__ import annotations

from typing import Any

from planner.planning.plan.deployment import PoolLayout
from planner.planning.plan.picture import fill, ink
from planner.planning.plan.record import Plan
from planner.planning.whatif.grid import Grid, Planned, PooledPoint
from planner.report import words
from planner.report.page.interactive_axes import axis_data, shown
from planner.report.page.interactive_columns import DIGITS, POWERS, packed
from planner.report.page.interactive_rows import PlannedTexts, planned_of
from planner.report.page.pools import schemes_told
from planner.report.phrases import Phrases
from planner.report.terminal.pool_lines import layout_words
from planner.units import GIB

SECONDS_AN_HOUR = 3600
POOLS_BY = ("workload", "context", "devices", "max-loss")
"""The axes whose positions pools stand beside, in the order of ``Grid.pools``."""


def page_data(grid: Grid, plan: Plan, t: Phrases, w: Phrases) -> dict[str, Any]:
    """The page's data as JSON values; ``t`` has the report's texts, ``w`` the page's own."""
    made = PlannedTexts(t, plan)
    own = made.row(planned_of(plan))
    places = [made.row(p) if isinstance(p, Planned) else -1 - made.refusal(p) for p in grid.points]
    rows, memory = len(made.rows), plan.memory_per_device
    index = [place if place >= 0 else rows - 1 - place for place in places]
    return {
        "digits": DIGITS,
        "power": POWERS,
        "axes": [axis_data(axis, plan, w) for axis in grid.axes],
        "shown": [[group, list(where)] for group, where in shown(grid.axes)],
        "command": grid.command,
        "index": packed(index, rows + len(made.refusals)),
        "positions": len(index),
        **made.columns(),
        "refused": made.refusals.all,
        "strips": made.strips.all,
        "kinds": made.kinds.all,
        "schemes": [[name, fill(name), ink(fill(name))] for name in made.schemes.all],
        "usable": f"{memory.usable_bytes / GIB:.1f}",
        "capacity": memory.capacity_bytes / GIB,
        "own": own,
        "price": price(plan),
        "matches": matches(grid, plan),
        "pools": [_pools(point, t, w) for point in grid.pools],
        "pools_by": list(POOLS_BY),
        "loss_unit": _loss_unit(plan),
        "basis": {k.partition(".")[2]: v for k, v in t.texts.items() if k.startswith("basis.")},
        "memory": {
            name: t(f"memory.{name}")
            for name in ("weights", "cache", "activations", "runtime", "free")
        },
        "texts": dict(w.texts),
    }


def price(plan: Plan) -> str:
    """USD per device-hour that the report's plan is priced at; empty where none is known."""
    money = plan.performance.usd_per_million_output_tokens
    if money is None:
        return ""
    each = plan.performance.output_tokens_per_second_per_device.value
    return f"{money.value * each * SECONDS_AN_HOUR / 1e6:.6g}"


def matches(grid: Grid, plan: Plan) -> bool:
    """Whether the base position is the report's plan."""
    point, memory = grid.points[grid.base], plan.memory_per_device
    return (
        isinstance(point, Planned)
        and point.performance == plan.performance
        and point.memory.total == memory.total_bytes
    )


def _pools(point: PooledPoint | None, t: Phrases, w: Phrases) -> list[Any]:
    """[sentence, tokens/s] of the pools beside positions; tokens/s 0 where none keep the limits."""
    if point is None:
        return [w("pools.none"), 0]
    rate = point.output_tokens_per_second
    said = [
        f"{count} × {w.original(layout_words(PoolLayout(la.tp, la.dp, la.pp, la.ep)))}, "
        f"{schemes_told(schemes)}"
        for count, la, schemes in (point.prefill, point.decode)
    ]
    return [
        w(
            "pools.told",
            prefill=said[0],
            decode=said[1],
            kv=point.kv,
            rate=words.three(rate),
            tpot=words.span(point.tpot_seconds),
            ttft=words.span(point.ttft_seconds),
        ),
        rate,
    ]


def _loss_unit(plan: Plan) -> str:
    """The scheme that a relative loss of 1 stands for; empty where losses are nats."""
    return plan.quality.relative_to or ""
