"""Two plans compared, for a terminal and as data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from planner.base.units import format_bytes, format_seconds
from planner.planning.plan.diff import Change, Difference
from planner.report.terminal.columns import width_of_output, wrapped

MOST_UNITS = 40


def diff_dict(difference: Difference) -> dict[str, Any]:
    """The comparison as JSON values."""
    return {
        "model": difference.model,
        "metrics": [asdict(c) for c in difference.changes],
        "settings": [{"name": n, "old": a, "new": b} for n, a, b in difference.settings],
        "units": [asdict(u) for u in difference.units],
        "gates": [{**asdict(g), "tripped": g in difference.tripped} for g in difference.gates],
        "failed": bool(difference.tripped),
    }


def diff_text(difference: Difference) -> str:
    """Figures, then settings and units that differ, then the gates."""
    lines = [f"{difference.model}: first plan → second plan", ""]
    lines += [_line(c) for c in difference.changes]
    if difference.settings:
        lines.append("")
    for name, old, new in difference.settings:
        lines += wrapped(f"{name}: {old or '-'} → {new or '-'}", "  ")
    lines += ["", *_units(difference)]
    if difference.gates:
        lines += [
            "",
            *(
                f"{'FAIL' if g in difference.tripped else 'ok  '} {g.text}"
                for g in difference.gates
            ),
        ]
    return "\n".join(lines) + "\n"


def _line(change: Change) -> str:
    relative = "      -" if change.relative is None else f"{change.relative:+7.1%}"
    loss = change.metric == "loss"
    words = {
        None: "",
        True: "  beyond the band" if loss else "  beyond the 80 % bands",
        False: "  indistinguishable" if loss else "  bands overlap",
    }
    text = words[change.apart] if change.old != change.new else ""
    line = (
        f"{change.metric:<11}{_shown(change, change.old):>14} → "
        f"{_shown(change, change.new):>14}  {relative}"
    )
    if len(line + text) <= width_of_output():
        return line + text
    return "\n".join(wrapped(" ".join((line + text).split()), "  "))


def _shown(change: Change, value: float) -> str:
    if change.unit == "s":
        return format_seconds(value)
    if change.unit.startswith("B"):
        return format_bytes(int(value))
    return f"{value:,.1f}" if change.metric == "throughput" else f"{value:.4g}"


def _units(difference: Difference) -> list[str]:
    if not difference.units:
        return ["every unit has the same scheme"]
    shown = [
        "\n".join(wrapped(f"{u.unit}: {u.old or 'absent'} → {u.new or 'absent'}", "  "))
        for u in difference.units[:MOST_UNITS]
    ]
    more = len(difference.units) - len(shown)
    return [*shown, f"… and {more} more (--json has all)"] if more else shown
