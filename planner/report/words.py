"""Sentences and figures of a report, from a plan's fields alone."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.plan import Estimate, Plan
from planner.report.text import users
from planner.units import GIB, format_rate

AIMS = {
    "throughput": "the most output tokens a second per device",
    "latency": "the least time per output token",
    "memory": "the fewest bytes",
    "quality": "the least loss",
    "cost": "the least cost per output token",
}
_TIMES = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
MOSTLY = 0.005
"""Schemes with less than this share of the weight bytes are not named in the answer."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure: value and interval share a unit; ``note`` says what it is based on."""

    label: str
    value: str
    unit: str
    interval: str
    note: str


def count(value: int) -> str:
    """A whole number with grouped digits."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """A count with its noun."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def gib(size: int) -> str:
    """Bytes in GiB with two decimals; a trace is shown as one, exact zero is bare."""
    value = size / GIB
    if size == 0:
        return "0"
    return "<0.01" if value < 0.005 else f"{value:,.2f}"


def percent(share: float) -> str:
    """A share in percent, one decimal; a trace is shown as one."""
    return "<0.1" if 0 < share < 0.0005 else f"{share * 100:.1f}"


def loss(value: float) -> str:
    """A loss with three decimals below ten; exact zero is bare."""
    if value == 0:
        return "0"
    if abs(value) < 0.0005:
        return "<0.001"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def seconds(value: float) -> tuple[str, str]:
    """(number, unit) of a duration with three significant digits."""
    unit, size = next(((u, s) for u, s in _TIMES if abs(value) >= s), ("s", 1.0))
    return _three(value / size), unit


def _three(value: float) -> str:
    if abs(value) >= 1000:
        return format_rate(value)
    digits = max(0, 3 - len(str(int(abs(value)))))
    return f"{value:.{digits}f}"


def duration(label: str, estimate: Estimate) -> Figure:
    """A time as a key figure; its interval is in the unit of the value."""
    value, unit = seconds(estimate.value)
    size = dict(_TIMES)[unit]
    ends = f"{_three(estimate.low / size)} – {_three(estimate.high / size)} {unit}"
    return Figure(label, value, unit, ends, basis(estimate))


def rate(label: str, estimate: Estimate, unit: str) -> Figure:
    """A throughput as a key figure."""
    ends = f"{_three(estimate.low)} – {_three(estimate.high)} {unit}"
    return Figure(label, _three(estimate.value), unit, ends, basis(estimate))


def basis(estimate: Estimate) -> str:
    """What an estimate rests on."""
    text, checked = f"80 % interval, basis {estimate.basis}", estimate.validated
    if checked is None:
        return text
    return (f"{text}; median error {checked.median_ape:.1f} % over {checked.n} measurements "
            f"({checked.table})")


def key_figures(plan: Plan) -> list[Figure]:
    """The numbers a reader looks for first."""
    perf, memory, quality = plan.performance, plan.memory_per_device, plan.quality
    return [
        rate("Output, whole deployment", perf.output_tokens_per_second, "tokens/s"),
        rate("Output, each device", perf.output_tokens_per_second_per_device, "tokens/s"),
        duration("Time per output token", perf.tpot_seconds),
        duration("Time to first token", perf.ttft_seconds),
        Figure("Users that fit at full context", count(users(plan)), "",
               f"batch {count(plan.workload.batch)} a replica",
               f"room for {count(plan.kv_cache.capacity_tokens)} tokens a replica"),
        Figure("Memory of the fullest device", f"{memory.total_bytes / GIB:.1f}", "GiB",
               f"of {memory.usable_bytes / GIB:.1f} GiB usable",
               f"{memory.capacity_bytes / GIB:.1f} GiB visible"),
        Figure("Quality loss", _three(quality.loss), "",
               f"{_three(quality.low)} – {_three(quality.high)}",
               f"{quality.unit}; {quality.tier}"),
    ]


def question(plan: Plan) -> str:
    """What was asked, in one sentence."""
    work, where = plan.workload, device(plan)
    load = (f"contexts of {count(work.context_tokens)} tokens (prompt {count(work.isl)}, answer "
            f"{count(work.osl)})")
    if plan.solver.status == "given":
        return f"What do the given formats of {plan.model.id} cost on {where}, at {load}?"
    aim = AIMS.get(plan.objective, plan.objective)
    return (f"Which number format should each layer of {plan.model.id} take on {where}, at {load}, "
            f"for {aim}?")


def device(plan: Plan) -> str:
    """The deployment's devices, e.g. ``16 × h100-sxm``."""
    return f"{count(plan.device.count)} × {plan.device.id}"


def answer(plan: Plan) -> str:
    """The answer: the formats, then what they give."""
    perf, memory, batch = plan.performance, plan.memory_per_device, plan.workload.batch
    value, unit = seconds(perf.tpot_seconds.value)
    together = plural(batch * plan.layout.replicas, "sequence")
    return (f"{formats(plan)}. Decoding {together} together gives "
            f"{_three(perf.output_tokens_per_second.value)} tokens/s and {value} {unit} a token; "
            f"{memory.total_bytes / GIB:.1f} of {memory.usable_bytes / GIB:.1f} GiB of a device "
            f"are in use, and {plural(users(plan), 'user')} would fit at "
            f"{count(plan.workload.context_tokens)} tokens.")


def formats(plan: Plan) -> str:
    """Shares of the weight bytes by scheme, and of the cached layers by layout."""
    sizes: dict[str, int] = {}
    caches: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is not None:
            caches[unit.kv_layout] = caches.get(unit.kv_layout, 0) + len(unit.layers)
        elif unit.weight_bytes:
            sizes[unit.scheme] = sizes.get(unit.scheme, 0) + unit.weight_bytes
    parts = [f"weights in {_ranked(sizes, 'of the bytes')}"] if sizes else []
    parts += [f"cache in {_ranked(caches, 'of the entries')}"] if caches else []
    text = "; ".join(parts) or "no weights"
    return text[0].upper() + text[1:]


def _ranked(sizes: dict[str, int], noun: str) -> str:
    """Names by falling share; one name stands alone, traces are named last without a share."""
    if len(sizes) == 1:
        return next(iter(sizes))
    whole = sum(sizes.values())
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{name} ({size / whole:.0%})" for name, size in ranked if size / whole >= MOSTLY]
    traces = [name for name, size in ranked if size / whole < MOSTLY]
    named[0] = f"{named[0][:-1]} {noun})"
    if traces:
        named.append(f"traces of {', '.join(traces)}")
    return ", ".join(named[:-1]) + f" and {named[-1]}" if len(named) > 1 else named[0]


def layout(plan: Plan) -> str:
    """The layout in words."""
    la = plan.layout
    return (f"Tensor parallel {la.tp}, data parallel {la.dp}, pipeline {la.pp}, expert parallel "
            f"{la.ep}, {plural(la.replicas, 'replica')}")


def proof(plan: Plan) -> str:
    """How the assignment was found."""
    solver = plan.solver
    tried = f"{count(solver.candidates)} layouts and batches"
    if solver.status == "given":
        return f"Priced, not chosen; {tried} considered."
    if solver.proved:
        return f"Proved optimal under this cost model over {tried}."
    return f"Within {solver.gap:.2%} of the bound over {tried}."
