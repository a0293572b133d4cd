"""Sentences and figures of a report, from a plan's fields alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.base.units import GIB, format_three
from planner.messages.catalogue import ORIGINAL
from planner.messages.words import quoted
from planner.planning.answer.layouts import conventional_optimum
from planner.planning.answer.servability import SERVABLE, status_of
from planner.planning.plan.record import Plan
from planner.quality.anchor import PARTS, short_alone
from planner.report.phrases import Phrases
from planner.report.plan_terms import devices_name

if TYPE_CHECKING:
    from planner.planning.inspect.waterfall import Waterfall

TIMES = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
MOSTLY = 0.005
"""Schemes with less than this share of the weight bytes are not named in the answer."""


def count(value: int) -> str:
    """A whole number with grouped digits."""
    return f"{value:,}"


def gib(size: int) -> str:
    """Bytes in GiB with two decimals; a trace is shown as one, exact zero is bare."""
    value = size / GIB
    if size == 0:
        return "0"
    return "<0.01" if value < 0.005 else f"{value:,.2f}"


def mib(size: int) -> str:
    """Bytes in MiB."""
    return three_digits(size / 2**20)


def percent(share: float) -> str:
    """A share in percent, one decimal; a trace is shown as one."""
    return "<0.1" if 0 < share < 0.0005 else f"{share * 100:.1f}"


def signed_percent(share: float) -> str:
    """A relative change in percent, signed; a trace is shown as one."""
    if abs(share) < 0.0005:
        return "±0 %" if share == 0 else "<0.1 %"
    return f"{'+' if share > 0 else '−'}{abs(share) * 100:.1f} %"


def loss(value: float) -> str:
    """A loss with three significant digits; exact zero is bare."""
    return format_three(value)


def seconds(value: float) -> tuple[str, str]:
    """(number, unit) of a duration with three significant digits."""
    unit, size = next(((u, s) for u, s in TIMES if abs(value) >= s), ("s", 1.0))
    return three_digits(value / size), unit


def span(value: float) -> str:
    """A duration as one word, e.g. ``14.2 ms`` with a space that does not break."""
    return "\u00a0".join(seconds(value))


def three_digits(value: float) -> str:
    """Three significant digits below 1000, grouped digits above."""
    return format_three(value)


NAMES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "tensorrt-llm": "TensorRT-LLM",
    "pytorch": "PyTorch",
    "mlx": "MLX",
}


@dataclass(frozen=True, slots=True)
class Server:
    """Whether an engine can serve the plan: ``status`` yes, no or unknown; ``rest`` its version
    and, where it can, the checkpoint format."""

    name: str
    status: str
    rest: str
    reason: str


def servers(plan: Plan) -> list[Server]:
    """The engines that were asked, as the plan's assumptions have them."""
    listed_servers = []
    for item in plan.assumptions:
        if item.key.startswith(SERVABLE):
            status, _, rest = status_of(item.value)
            name = item.key.removeprefix(SERVABLE)
            listed_servers.append(Server(NAMES.get(name, name), status, rest, item.reason))
    return listed_servers


def comparison(t: Phrases, plan: Plan) -> str:
    """The plan against its best rival that is uniform or as released."""
    return t.pieced(plan.comparison.text)


def anchor(t: Phrases, plan: Plan, *, marked: bool = False) -> str:
    """What others measured with the plan's formats, and the whole source (a quotation where
    ``marked``); empty where a plan file does not say."""
    parts = [part for part in plan.quality.measured_anchor if part.text]
    if not parts:
        return ""
    text = t("answer.join").join(t.original(part.text) for part in parts)
    source = PARTS.join(part.source for part in parts if part.source)
    if not source:
        return text[0].upper() + text[1:] + t("answer.stop")
    cited = quoted(source) if marked and t.lang != ORIGINAL else source
    said = t("answer.anchor", text=text, source=cited)
    return said + (t("first.short_alone") if short_alone(parts) else "")


def device(plan: Plan) -> str:
    """The deployment's devices, e.g. ``16 × h100-sxm``."""
    return devices_name(plan)


def named_formats(t: Phrases, sizes: dict[str, int], caches: dict[str, int]) -> str:
    """Weight bytes by scheme and cached layers by layout, in words."""
    parts = [t("answer.weights", ranked=_ranked(t, sizes, "answer.bytes"))] if sizes else []
    parts += [t("answer.cache", ranked=_ranked(t, caches, "answer.entries"))] if caches else []
    text = t("answer.join").join(parts) or t("answer.none")
    return text[0].upper() + text[1:]


def _ranked(t: Phrases, sizes: dict[str, int], first: str) -> str:
    """Names by falling share; one name stands alone, traces are named last without a share."""
    if len(sizes) == 1:
        return next(iter(sizes))
    total = sum(sizes.values())
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    shown = [(name, size) for name, size in ranked if size / total >= MOSTLY]
    named = [
        t("answer.share" if i else first, name=name, share=f"{size / total:.0%}")
        for i, (name, size) in enumerate(shown)
    ]
    traces = [name for name, size in ranked if size / total < MOSTLY]
    if traces:
        named.append(t("answer.traces", names=t("answer.comma").join(traces)))
    if len(named) == 1:
        return named[0]
    return t("answer.comma").join(named[:-1]) + t("answer.and") + named[-1]


def layout(t: Phrases, plan: Plan) -> str:
    """The layout in words."""
    la = plan.layout
    each = "replica" if plan.deployment is None else "decoder"
    return t(
        "memory.layout",
        tp=la.tp,
        dp=la.dp,
        pp=la.pp,
        ep=la.ep,
        replicas=t.counted(each, la.replicas),
    )


def proof(t: Phrases, plan: Plan) -> str:
    """How the assignment was found."""
    solver, n = plan.solver, count(plan.solver.candidates)
    if solver.status == "given":
        return t("assumptions.given", n=n)
    scope = "_conventional" if conventional_optimum(plan) else ""
    kind = ("proved" if solver.proved else "gap") + scope
    return t(f"assumptions.{kind}", n=n, gap=f"{solver.gap:.2%}", engine=plan.engine.name)


def waterfall_line(t: Phrases, plan: Plan, shown: Waterfall) -> str:
    """What the bars of a phase add up to."""
    prompts = plan.performance.interruption_seconds
    between = (
        ""
        if prompts is None or plan.deployment is not None
        else t("waterfall.between", seconds=span(prompts))
    )
    return t(
        f"waterfall.{shown.phase}",
        batch=t.counted("sequence", plan.workload.batch),
        between=between,
        isl=count(plan.workload.isl),
        sum=span(shown.sum_seconds),
        end=span(shown.end_seconds),
    )


def left_out(t: Phrases, plan: Plan) -> list[str]:
    """What the numbers leave out."""
    out = list(t.lists["missing.always"])
    if plan.quality.tier.startswith("T0"):
        out.insert(0, t("missing.prior"))
    if any(unit.kind.startswith("experts-") for unit in plan.units):
        out.append(t("missing.experts"))
    if plan.deployment is not None:
        out.append(t("missing.pools"))
    return out


def reproduce(plan: Plan) -> str:
    """The command that prices the plan file ``plan.json`` again, on the same layout and batch."""
    from shlex import quote

    if plan.deployment is not None:
        return "plan estimate --plan plan.json"  # which brings both pools
    la, work = plan.layout, plan.workload
    engine = plan.engine.name + (f"@{plan.engine.version}" if plan.engine.version else "")
    flags = {
        "devices": plan.device.count,
        "tp": la.tp,
        "dp": la.dp,
        "pp": la.pp,
        "ep": la.ep,
        "context": work.context_tokens,
        "isl": work.isl,
        "osl": work.osl,
        "batch": work.batch,
        "engine": engine,
    }
    if work.prefix_hit_rate:
        flags["prefix-hit"] = f"{work.prefix_hit_rate:g}"
    names = " ".join(quote(name) for name in (plan.model.id, plan.device.id))
    return f"plan estimate {names} --plan plan.json " + " ".join(
        f"--{flag} {quote(str(value))}" for flag, value in flags.items()
    )


def frontier_command(plan: Plan) -> str:
    """The command that looks over every layout."""
    from shlex import quote

    work = plan.workload
    return (
        f"plan frontier {quote(plan.model.id)} {quote(plan.device.id)} "
        f"--devices {plan.device.count} --context {work.context_tokens} --isl {work.isl} "
        f"--osl {work.osl}"
        + (f" --prefix-hit {work.prefix_hit_rate:g}" if work.prefix_hit_rate else "")
    )


def with_prefix(value: float, unit: str) -> str:
    """A figure of a device with its unit and a prefix."""
    if unit == "1":
        return f"{value:.3g}"
    if unit == "B":
        return f"{value / GIB:,.1f} GiB"
    if unit == "s":
        return span(value)
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:,.4g} {prefix}{unit}"
    return f"{value:,.4g} {unit}"


def digests(t: Phrases, plan: Plan) -> str:
    """Which model and device, by their digests."""
    return t(
        "reproduce.identity",
        model=plan.model.id,
        parameters=count(plan.model.parameters_total),
        checkpoint=plan.model.checkpoint_format,
        config=plan.model.config_sha256,
        device=plan.device.id,
        profile=plan.device.profile_sha256,
    )
