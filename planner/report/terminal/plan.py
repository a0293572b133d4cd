"""The plan on a terminal: 80 columns, the answer in the first three lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.planning.plan.record import Estimate, ModulePlan, Plan
from planner.report.terminal.anchor import anchor_lines
from planner.report.terminal.columns import styled, table_lines, width_of_output, wrapped
from planner.units import GIB, format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    from io import StringIO

    from rich.console import Console

COLUMNS = ("module", "layers", "scheme", "GiB", "time", "loss", "limit; bound")
TEXT_COLUMNS = (0, 1, 2, 6)
BOUND_WORDS = {"communication": "network", "conversion": "convert"}


def console(stream: StringIO) -> Console:
    """A rich console that writes to ``stream``; colour only where stdout is a terminal."""
    from rich.console import Console

    terminal = styled()
    return Console(file=stream, width=width_of_output(), force_terminal=terminal,
                   no_color=not terminal, highlight=False, soft_wrap=False)


def users(plan: Plan) -> int:
    """Sequences at full context that the whole deployment holds."""
    return plan.capacity.max_concurrency_at_context * plan.layout.replicas


def headline(plan: Plan) -> list[str]:
    """Three lines: devices and layout; users and speed; memory and loss."""
    la, work, perf = plan.layout, plan.workload, plan.performance
    shape = " ".join(f"{name}{value}" for name, value in
                     (("tp", la.tp), ("dp", la.dp), ("pp", la.pp), ("ep", la.ep)) if value > 1)
    copies = f"{la.replicas} replicas" if la.replicas > 1 else ""
    memory = plan.memory_per_device
    return [
        f"{plan.model.id} on {plan.device.count} × {plan.device.id}"
        + (f" ({', '.join(filter(None, (shape, copies)))})" if shape or copies else "")
        + f", batch {work.batch}{' a replica' if la.replicas > 1 else ''}",
        f"{work.batch * la.replicas} users at {work.context_tokens} tokens (room for "
        f"{users(plan)}); {format_rate(perf.output_tokens_per_second.value)} tokens/s "
        f"({_span(perf.output_tokens_per_second, format_rate)}, {_basis(plan)})",
        f"{memory.total_bytes / GIB:.1f} of {memory.usable_bytes / GIB:.1f} GiB a device; loss "
        f"{_loss(plan)} ({_band(plan)}{plan.quality.tier}){_flips(plan)}",
    ]


def _loss(plan: Plan) -> str:
    """Nats, or a multiple of the uniform scheme that the unit names."""
    quality = plan.quality
    if quality.unit.startswith("nats"):
        return f"{quality.loss:.3g} nats"
    return f"{quality.loss:.2f} × {quality.unit.partition('= ')[2].partition(' on ')[0]}"


def _share(loss: float, whole: float) -> str:
    """A module's share of the summed loss; what is not nothing never shows as 0.0%."""
    if loss == 0 or whole == 0:
        return "0"
    return f"{loss / whole:.1%}" if loss >= 0.0005 * whole else "<.1%"


def _band(plan: Plan) -> str:
    """The band as a factor, from the plan's own interval; none where the loss is zero."""
    quality = plan.quality
    return f"÷/× {quality.high / quality.loss:.2g}, " if quality.loss > 0 else ""


def _flips(plan: Plan) -> str:
    share = plan.quality.flips
    return "" if share is None else f", {share:.1%} of top-1 tokens change"


def _basis(plan: Plan) -> str:
    return plan.performance.tpot_seconds.basis


def _span(estimate: Estimate, show: object) -> str:
    assert callable(show)
    return f"{show(estimate.low)}–{show(estimate.high)}"


def plan_text(plan: Plan) -> str:
    """The whole answer; ends with a newline. Plain strings: this is the command that must start
    fast, and its columns are ids and numbers."""
    step = sum(m.decode_seconds for m in plan.modules)
    lost = sum(m.loss for m in plan.modules)
    rows = [COLUMNS, *(_row(plan, module, step, lost) for module in plan.modules)]
    lines = [_bold(part) for line in headline(plan) for part in wrapped(line)]
    lines += [*anchor_lines(plan), "", *table_lines(rows, left=TEXT_COLUMNS), ""]
    lines += [part for line in footer(plan) for part in wrapped(line)]
    return "\n".join(lines) + "\n"


def _bold(line: str) -> str:
    return f"\x1b[1m{line}\x1b[0m" if styled() else line


def _row(plan: Plan, module: ModulePlan, step: float, lost: float) -> tuple[str, ...]:
    units = [u for u in plan.units if u.kind == module.kind and u.scheme == module.scheme]
    heaviest = max(units, key=lambda u: u.decode_seconds)
    size = f"{module.weight_bytes / GIB:.2f}" if module.weight_bytes else "-"
    return (module.kind, _short_layers(module.layers), module.scheme, size,
            f"{module.decode_seconds / step:.1%}" if step else "-",
            _share(module.loss, lost), _why(heaviest.reason, heaviest.bound))


def _short_layers(text: str) -> str:
    spans = text.split(", ")
    return text if len(spans) <= 3 else ", ".join(spans[:2]) + ", …"


def _why(reason: str, bound: str) -> str:
    """The limit that decided (or "best"), and what the time is spent on."""
    tag, _, rest = reason.partition(":")
    if not rest:
        tag = {"kept as released": "released"}.get(tag, tag)
    return f"{tag}; {BOUND_WORDS.get(bound, bound)}"


def footer(plan: Plan) -> list[str]:
    """Comparison, latency, cache and proof lines under the table."""
    perf, cache = plan.performance, plan.kv_cache
    comparison = plan.comparison.text
    return [
        f"gain: {comparison}" if plan.comparison.scheme else comparison,
        f"TPOT {format_seconds(perf.tpot_seconds.value)} "
        f"({_span(perf.tpot_seconds, format_seconds)}), "
        f"TTFT {format_seconds(perf.ttft_seconds.value)} "
        f"({_span(perf.ttft_seconds, format_seconds)})",
        *_checked(plan),
        f"cache {cache.bytes_per_token} B a token, {cache.capacity_tokens} tokens a replica; "
        f"weights {format_bytes(plan.memory_per_device.weights_bytes)} a device",
        _proof(plan),
    ]


def _checked(plan: Plan) -> list[str]:
    """How far predictions were off where such models were measured; nothing where none was."""
    told = [f"{found.median_ape:.1f} % {name} over {found.n} rows of {found.table}"
            for name, found in (("TPOT", plan.performance.tpot_seconds.validated),
                                ("TTFT", plan.performance.ttft_seconds.validated))
            if found is not None]
    return [f"median error on served models of this device and format: {', '.join(told)}"] \
        if told else []


def _proof(plan: Plan) -> str:
    solver = plan.solver
    if solver.status == "given":
        return f"priced, not chosen ({solver.candidates} layouts and batches considered)"
    gap = f"{solver.gap:.1%}" if solver.gap >= 1e-3 else f"{solver.gap:.2%}"
    how = "proved optimal" if solver.proved else f"within {gap} of the bound"
    return f"{how} over {solver.candidates} layouts and batches"


def assumptions_text(plan: Plan) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for item in plan.assumptions:
        lines += wrapped(f"  {item.key}: {item.value} — {item.reason}", "    ")
    return "\n".join(lines) + "\n"
