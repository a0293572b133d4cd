"""A plan in a notebook cell: the headline, and the modules as a table with their layers drawn."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from planner.planning.plan.picture import Strip, fill, picture
from planner.planning.plan.record import Plan, UnitPlan
from planner.units import GIB, format_rate, format_seconds

_COLUMNS = (("module", "left"), ("formats by layer", "left"), ("formats", "left"),
            ("GiB", "right"), ("time, %", "right"), ("loss", "right"))
_LINE = "border-bottom:1px solid rgba(128,128,128,.3)"


def fragment(plan: Plan) -> str:
    """One ``div`` without scripts, styles of the page, or outside references; it takes the colours
    of the page around it."""
    drawn = picture(plan)
    strips = {strip.kind: strip for strip in drawn.strips}
    groups: dict[str, list[UnitPlan]] = {}
    for unit in plan.units:
        groups.setdefault(unit.kind, []).append(unit)
    step = sum(unit.decode_seconds for unit in plan.units)
    head = "".join(_cell("th", escape(name), side) for name, side in _COLUMNS)
    body = "".join(_row(kind, units, strips.get(kind), drawn.layers, step)
                   for kind, units in groups.items())
    lines = "<br>".join(escape(line) for line in _headline(plan))
    return (f'<div style="overflow-x:auto"><p><strong>{escape(plan.model.id)} on '
            f"{plan.device.count} × {escape(plan.device.id)}</strong><br>{lines}</p>"
            '<table style="font-variant-numeric:tabular-nums;border-collapse:collapse">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>")


def _headline(plan: Plan) -> Iterable[str]:
    perf, work, memory = plan.performance, plan.workload, plan.memory_per_device
    fit = plan.capacity.max_concurrency_at_context * plan.layout.replicas
    yield (f"{format_rate(perf.output_tokens_per_second.value)} tokens/s at batch "
           f"{work.batch:,} a replica, {format_seconds(perf.tpot_seconds.value)} a token "
           f"({format_seconds(perf.tpot_seconds.low)}–{format_seconds(perf.tpot_seconds.high)}, "
           f"{perf.tpot_seconds.basis})")
    yield (f"{fit:,} users fit at {work.context_tokens:,} tokens; "
           f"{memory.total_bytes / GIB:.1f} of {memory.usable_bytes / GIB:.1f} GiB usable a "
           f"device; loss {plan.quality.loss:.3g}, {plan.quality.unit}")
    yield plan.comparison.text
    anchor = plan.quality.measured_anchor
    if anchor is not None:
        yield f"measured elsewhere: {anchor.text}" if anchor.source else anchor.text


def _row(kind: str, units: list[UnitPlan], strip: Strip | None, layers: int, step: float) -> str:
    size = sum(unit.weight_bytes for unit in units)
    took, loss = sum(u.decode_seconds for u in units), sum(u.loss for u in units)
    cells = (escape(kind), _bar(strip, layers) if strip else "",
             ", ".join(_format(name) for name in dict.fromkeys(u.scheme for u in units)),
             _shown(size / GIB, 2) if size else "–", _shown(100 * took / step, 1) if step else "–",
             _shown(loss, 3))
    return "<tr>" + "".join(_cell("td", text, side) for text, (_, side)
                            in zip(cells, _COLUMNS, strict=True)) + "</tr>"


def _shown(value: float, digits: int) -> str:
    """A number with so many decimals; a trace is shown as one, exact zero is bare."""
    least = 10.0**-digits
    return "0" if value == 0 else f"&lt;{least:.{digits}f}" if value < least / 2 \
        else f"{value:,.{digits}f}"


def _bar(strip: Strip, layers: int) -> str:
    """The layers from left to right in the colours of their formats."""
    stops = []
    for run in strip.runs:
        colour = fill(run.scheme) if run.scheme else "transparent"
        ends = (100 * run.first / layers, 100 * (run.last + 1) / layers)
        stops += [f"{colour} {at:.2f}%" for at in ends]
    return ('<div style="width:13em;height:1em;box-shadow:inset 0 0 0 1px rgba(128,128,128,.3);'
            f'background:linear-gradient(to right,{",".join(stops)})"></div>')


def _format(name: str) -> str:
    return (f'<span style="display:inline-block;width:.8em;height:.8em;margin-right:.35em;'
            f'background:{fill(name)};box-shadow:inset 0 0 0 1px rgba(128,128,128,.5)"></span>'
            f"{escape(name)}")


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="text-align:{side};padding:.2em .7em;{_LINE}">{text}</{tag}>'
