"""The frontier and the map of regimes, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.base.units import GIB, format_seconds
from planner.planning.what_if.regimes import PhaseMap
from planner.report.terminal.catalogue import _render, _table
from planner.throughput.calibration import ANY_ENGINE

THEORY = "theory: no engine's rules"

if TYPE_CHECKING:
    from planner.planning.what_if.frontier import FrontierPoint

LETTERS = {
    "weights": "W",
    "kv": "K",
    "compute": "C",
    "network": "N",
    "launch": "L",
    "convert": "V",
    "": "-",
}


def frontier_text(frontier: Any) -> str:
    """The points, the knee named; then the map where there is one."""
    table = _table(("loss",), ("tok/s/dev", "GiB", "TPOT", "batch"), ("dense", "experts", "kv", ""))
    for p in frontier.points:
        table.add_row(
            f"{p.loss:.3g}",
            f"{p.output_tokens_per_second_per_device:,.1f}",
            f"{p.total_bytes_per_device / GIB:.1f}",
            format_seconds(p.tpot_seconds),
            f"{p.batch:,}",
            p.dense or "-",
            p.experts or "-",
            p.kv or "-",
            "knee" if p.knee else "",
        )
    parts: list[Any] = [
        f"{frontier.model} on {frontier.device}, {_served(frontier.engine)}, "
        f"context {frontier.context:,}: {len(frontier.points)} plans that no other equals in "
        "loss, throughput and memory",
        "",
        table,
        "",
        _knee(frontier.knee),
        f"loss is {frontier.loss_unit}; GiB of the fullest device; + marks further schemes in "
        f"other layers; each plan is within {frontier.gap:.1%} of the best under its budgets",
    ]
    if frontier.map is not None:
        parts += ["", *_map(frontier.map)]
    return _render(*parts)


def _served(engine: str) -> str:
    return THEORY if engine == ANY_ENGINE else engine


def _knee(point: FrontierPoint | None) -> str:
    if point is None:
        return "no knee: fewer than three points, or a straight line"
    return (
        f"knee: loss {point.loss:.3g}, {point.output_tokens_per_second_per_device:,.1f} "
        f"tok/s/device; past it throughput gains less for each loss"
    )


def _map(phase_map: PhaseMap) -> list[Any]:
    cells = {(c.context, c.batch): c for c in phase_map.cells}
    table = _table(("context",), tuple(f"batch {b:,}" for b in phase_map.batches))
    for context in phase_map.contexts:
        row = [cells[context, b] for b in phase_map.batches]
        table.add_row(
            f"{context:,}", *(f"{LETTERS[c.regime]} {c.plan + 1}" if c.regime else "-" for c in row)
        )
    seen: dict[int, str] = {}
    for c in phase_map.cells:
        if c.plan >= 0:
            seen.setdefault(
                c.plan,
                f"  {c.plan + 1}: {', '.join(c.schemes)}"
                + (f"; KV {', '.join(c.kv)}" if c.kv else ""),
            )
    return [
        "what most of the decode step goes to, and the number of the best plan",
        "",
        table,
        "",
        "W weights read, K cache read, C compute, N network, L launch, V conversion; - does "
        "not fit",
        *seen.values(),
    ]
