"""A plan in a notebook cell: the headline and the modules, as a small HTML fragment."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from planner.planning.plan import ModulePlan, Plan
from planner.units import GIB, format_rate, format_seconds

_COLUMNS = (("module", False), ("layers", False), ("scheme", False), ("GiB", True),
            ("time, %", True), ("loss", True))


def fragment(plan: Plan) -> str:
    """One ``div`` without scripts, styles of the page, or outside references."""
    step = sum(module.decode_seconds for module in plan.modules)
    head = "".join(_cell("th", name, right) for name, right in _COLUMNS)
    body = "".join(_row(_cells(module, step)) for module in plan.modules)
    lines = "<br>".join(escape(line) for line in _headline(plan))
    return (f"<div><p><strong>{escape(plan.model.id)} on {plan.device.count} × "
            f"{escape(plan.device.id)}</strong><br>{lines}</p>"
            f'<table style="font-variant-numeric:tabular-nums"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def _headline(plan: Plan) -> Iterable[str]:
    perf, work, memory = plan.performance, plan.workload, plan.memory_per_device
    fit = plan.capacity.max_concurrency_at_context * plan.layout.replicas
    yield (f"{format_rate(perf.output_tokens_per_second.value)} tokens/s at batch "
           f"{work.batch:,} a replica, {format_seconds(perf.tpot_seconds.value)} a token "
           f"({format_seconds(perf.tpot_seconds.low)}–{format_seconds(perf.tpot_seconds.high)}, "
           f"{perf.tpot_seconds.basis})")
    yield (f"{fit:,} users fit at {work.context_tokens:,} tokens; "
           f"{memory.total_bytes / GIB:.1f} of {memory.usable_bytes / GIB:.1f} GiB usable a "
           f"device; loss {plan.quality.loss:.3g} ({plan.quality.unit})")
    yield plan.comparison.text


def _cells(module: ModulePlan, step: float) -> tuple[str, ...]:
    return (module.kind, module.layers, module.scheme,
            f"{module.weight_bytes / GIB:,.2f}" if module.weight_bytes else "–",
            f"{100 * module.decode_seconds / step:.1f}" if step else "–", f"{module.loss:.3f}")


def _row(cells: tuple[str, ...]) -> str:
    return "<tr>" + "".join(_cell("td", text, right) for text, (_, right)
                            in zip(cells, _COLUMNS, strict=True)) + "</tr>"


def _cell(tag: str, text: str, right: bool) -> str:
    side = "right" if right else "left"
    return f'<{tag} style="text-align:{side}">{escape(text)}</{tag}>'
