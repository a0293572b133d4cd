"""Sentences and figures of a report, from a plan's fields alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.base.units import GIB, format_three
from planner.messages.catalogue import ORIGINAL
from planner.messages.words import quoted
from planner.planning.answer.layouts import conventional_optimum
from planner.planning.answer.servability import SERVABLE, status_of
from planner.planning.plan.record import Plan, QualityInfo
from planner.quality.anchor import PARTS, short_alone
from planner.quality.loss_units import NATS, unit_text
from planner.report.phrases import Phrases
from planner.report.plan_terms import devices_name, request_capacity, users

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


def verdict(t: Phrases, plan: Plan) -> str:
    """Whether it fits, how fast, at what loss and on which engine, in one sentence."""
    rate, tpot = plan.performance.output_tokens_per_second, plan.performance.tpot_seconds
    able = [s.name for s in servers(plan) if s.status == "yes"]
    who = (
        t("answer.served", names=t("answer.comma").join(able))
        if able
        else t("answer.unserved")
        if servers(plan)
        else ""
    )
    return t(
        "answer.verdict",
        device=device(plan),
        rate=three_digits(rate.value),
        low=three_digits(rate.low),
        high=three_digits(rate.high),
        tpot=" ".join(seconds(tpot.value)),
        who=who,
        room=room_for_requests(t, plan),
        loss=_verdict_loss(t, plan),
    )


def comparison(t: Phrases, plan: Plan) -> str:
    """The plan against its best rival that is uniform or as released."""
    return t.pieced(plan.comparison.text)


def room_for_requests(t: Phrases, plan: Plan) -> str:
    """How many requests the deployment holds, or users at full context where a plan does not
    say."""
    if plan.capacity.max_concurrency_at_requests is None:
        return t(
            "answer.at_context",
            users=t.counted("user", users(plan)),
            context=count(plan.workload.context_tokens),
        )
    return t.counted("request", request_capacity(plan))


def _verdict_loss(t: Phrases, plan: Plan) -> str:
    quality = plan.quality
    if quality.high == 0:
        return t("answer.lossless")
    meant = meaning(t, quality)
    return t(
        "answer.lossy",
        loss=loss(quality.loss),
        low=loss(quality.low),
        high=loss(quality.high),
        unit=NATS if quality.unit == NATS else t.original(unit_text(quality.relative_to)),
        meaning=t("answer.join") + meant if meant else "",
    )


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


def meaning(t: Phrases, quality: QualityInfo) -> str:
    """What a loss means: its word, the most likely tokens that stay, the tail of KL; empty where a
    plan file does not say."""
    if quality.word is None:
        return ""
    word = t.original(quality.word)
    if quality.top1 is None or quality.p99 is None or quality.loss == 0:
        return word
    return t("answer.meaning", word=word, top1=f"{100 * quality.top1:.3g}", p99=loss(quality.p99))


def question(t: Phrases, plan: Plan) -> str:
    """What was asked, in one sentence."""
    work = plan.workload
    load = t(
        "question.load",
        context=count(work.context_tokens),
        isl=count(work.isl),
        osl=count(work.osl),
    )
    kind = "given" if plan.solver.status == "given" else "searched"
    aim = t.texts.get(f"aim.{plan.objective}", plan.objective)
    return t(f"question.{kind}", model=plan.model.id, device=device(plan), load=load, aim=aim)


def device(plan: Plan) -> str:
    """The deployment's devices, e.g. ``16 × h100-sxm``."""
    return devices_name(plan)


def costs(t: Phrases, plan: Plan) -> str:
    """What output tokens cost in money and energy, as far as the plan says."""
    money = plan.performance.usd_per_million_output_tokens
    energy = plan.performance.joules_per_output_token
    parts = [
        t(
            key,
            value=three_digits(estimate.value),
            low=three_digits(estimate.low),
            high=three_digits(estimate.high),
            basis=t.texts.get(f"basis.{estimate.basis}", estimate.basis),
        )
        for key, estimate in (("answer.money", money), ("answer.energy", energy))
        if estimate is not None
    ]
    return t("answer.costs", parts=t("answer.join").join(parts)) if parts else ""


def formats(t: Phrases, plan: Plan) -> str:
    """Shares of the weight bytes by scheme, and of the cached layers by layout."""
    sizes: dict[str, int] = {}
    caches: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is not None:
            caches[unit.kv_layout] = caches.get(unit.kv_layout, 0) + len(unit.layers)
        elif unit.weight_bytes:
            sizes[unit.scheme] = sizes.get(unit.scheme, 0) + unit.weight_bytes
    return named_formats(t, sizes, caches)


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
