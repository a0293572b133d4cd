"""Labelled lines of what only some plans have: two pools, drafted tokens, cached prefixes, weights
in host memory."""

from __future__ import annotations

from planner.base.units import GIB, format_bytes, format_layers, format_rate, format_seconds
from planner.planning.plan.deployment import DecodePool, DeploymentInfo, PoolLayout, PrefillPool
from planner.planning.plan.offload import OffloadInfo
from planner.planning.plan.prefix_cache import OffloadedPrefixes, PrefixCache
from planner.planning.plan.record import Plan
from planner.planning.plan.speculation import MEMORY, SpeculationInfo
from planner.planning.question.question import RATES
from planner.report.phrases import Phrases
from planner.report.view.record import Fact

MOST_FORMATS = 3
"""Cache formats that are compared in a line."""


def mode_facts(t: Phrases, plan: Plan) -> list[Fact]:
    """Nothing of a plan of workers that do both, with all weights on devices."""
    facts: list[Fact] = []
    if plan.deployment is not None:
        facts.append(Fact(t("plan.pools_label"), _pools_in_brief(t, plan, plan.deployment)))
    if plan.speculation is not None:
        facts.append(Fact(t("plan.drafting"), _drafts(t, plan, plan.speculation)))
    if plan.prefix_cache is not None:
        facts.append(Fact(t("plan.prefix_cache"), _prefixes(t, plan.prefix_cache)))
    if plan.offload is not None:
        facts.append(Fact(t("plan.host_memory"), _offload(t, plan.offload)))
    return facts


def _pools_in_brief(t: Phrases, plan: Plan, pools: DeploymentInfo) -> str:
    """The workers of both pools, which of them sets the rate, and what goes between them."""
    pool, two, over = pools.prefill, pools.decode, pools.transfer
    sets = {name: t("plan.sets_rate") if name == pools.limit else "" for name in _PARTS}
    return t(
        "plan.pools_brief",
        prefill=_ranks(t, plan, pool) + sets["prefill"],
        decode=_ranks(t, plan, two) + sets["decode"],
        bytes=format_bytes(over.bytes),
        link=t.texts.get(f"pools.link_{over.link}", over.link) + sets["transfer"],
    )


def pool_facts(t: Phrases, plan: Plan, pools: DeploymentInfo) -> list[Fact]:
    """A line for each pool, and one for the cache that goes from one to the other."""
    pool, two, over = pools.prefill, pools.decode, pools.transfer
    sets = {name: t("plan.sets_rate") if name == pools.limit else "" for name in _PARTS}
    return [
        Fact(
            t("plan.prefill"),
            t(
                "plan.prefill_pool",
                workers=_workers(t, plan, pool),
                busy=f"{pool.utilisation:.0%}",
                sets=sets["prefill"],
                rate=format_rate(pool.prompt_tokens_per_second),
                wait=format_seconds(pool.queue_seconds),
                read=format_seconds(pool.read_seconds),
                cache=format_seconds(over.seconds),
            ),
        ),
        Fact(
            t("plan.decode"),
            t(
                "plan.decode_pool",
                workers=_workers(t, plan, two),
                busy=f"{two.utilisation:.0%}",
                sets=sets["decode"],
            ),
        ),
        Fact(
            t("plan.transfer"),
            t(
                "plan.cache_transfer",
                kv=pools.kv,
                bytes=format_bytes(over.bytes),
                link=t.texts.get(f"pools.link_{over.link}", over.link),
                rate=f"{over.bytes_per_second / 1e9:.3g}",
                sets=sets["transfer"],
            ),
        ),
    ]


_PARTS = ("prefill", "decode", "transfer")


def _ranks(t: Phrases, plan: Plan, pool: PrefillPool | DecodePool) -> str:
    """Workers with their layout, and on which devices where these are not the plan's."""
    where = "" if pool.device == plan.device.id else t("plan.of_device", device=pool.device)
    return f"{pool.workers} × {degrees(pool.layout) or t('plan.one_device')}{where}"


def _workers(t: Phrases, plan: Plan, pool: PrefillPool | DecodePool) -> str:
    return f"{_ranks(t, plan, pool)}, {' + '.join(pool.schemes)}"


def degrees(layout: PoolLayout) -> str:
    """Degrees above one as engineers write them: ``TP8 EP8``."""
    pairs = (("TP", layout.tp), ("DP", layout.dp), ("PP", layout.pp), ("EP", layout.ep))
    return " ".join(f"{name}{value}" for name, value in pairs if value > 1)


def _drafts(t: Phrases, plan: Plan, info: SpeculationInfo) -> str:
    """What drafts how many tokens, how many are accepted, what it brings, up to which batch."""
    rate = info.acceptance
    band = f"{rate.low:.2f}–{rate.high:.2f}" if rate.low < rate.high else f"{rate.value:.2f}"
    texts = [
        t(
            "plan.drafts",
            n=t.counted("token", info.draft_tokens),
            kind=t.texts.get(f"plan.drafts_{info.kind}", info.model),
            accepted=f"{info.accepted_tokens:.2f}",
            band=band,
        )
    ]
    if info.gain is not None:
        gain = info.gain
        texts.append(
            t(
                "plan.drafts_gain" if plan.objective in RATES else "plan.drafts_pace",
                value=f"{gain.value:+.0%}",
                low=f"{gain.low:+.0%}",
                high=f"{gain.high:+.0%}",
            )
        )
    users = info.pays_up_to_batch
    texts.append(
        t("plan.drafts_never")
        if not users
        else t(
            "plan.drafts_all" if info.pays_limit == MEMORY else "plan.drafts_to",
            users=t.counted("concurrent", users),
        )
    )
    return t("answer.join").join(texts)


def _prefixes(t: Phrases, prefixes: PrefixCache) -> str:
    """Which share of a prompt is found and why, what each cache format is worth, what is loaded
    from beyond the devices."""
    texts = [
        t(
            "plan.prefixes",
            hit=_percent(prefixes.hit_rate),
            workload=prefixes.reuse.workload,
            ideal=_percent(prefixes.reuse.ideal_hit_rate),
            room=f"{prefixes.capacity_tokens:,}",
            stays=format_seconds(prefixes.lifetime_seconds),
        )
    ]
    if len(prefixes.by_cache) > 1:
        rows = [
            t(
                "plan.prefix_format",
                kv=row.kv,
                hit=_percent(row.hit_rate),
                ttft=format_seconds(row.ttft_seconds),
                rate=format_rate(row.output_tokens_per_second),
            )
            for row in prefixes.by_cache[:MOST_FORMATS]
        ]
        texts.append(t("answer.join").join(rows))
    if prefixes.offload is not None:
        texts.append(_beyond(t, prefixes.offload))
    return t("answer.stop_between").join(texts)


def _beyond(t: Phrases, tier: OffloadedPrefixes) -> str:
    """What the tier beyond the devices adds, or why it does not."""
    name = t.texts.get(f"prefixes.tier_{tier.tier}", tier.tier)
    size = format_bytes(tier.bytes_per_device)
    if not tier.loads:
        return t("plan.tier_idle", tier=name, bytes=size, why=t.original(tier.why))
    return t(
        "plan.tier",
        tier=name,
        bytes=size,
        hit=_percent(tier.hit_rate),
        load=format_seconds(tier.load_seconds),
        link=tier.link,
        compute=format_seconds(tier.compute_seconds),
        busy=_percent(tier.link_busy),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _offload(t: Phrases, offload: OffloadInfo) -> str:
    """What is in host memory, and where a step spends its time."""
    step = offload.step_seconds
    fetched = offload.mode == "fetched"
    parts = {"device": step.device, "host": step.host, "link": step.link}
    times = [
        f"{t(f'offload.{name}')} {format_seconds(seconds)}"
        for name, seconds in parts.items()
        if not (fetched and name == "host")
    ]
    prompts = (
        ""
        if offload.prompt_mode == offload.mode
        else t("plan.prompts_in", mode=t(f"offload.mode_{offload.prompt_mode}"))
    )
    return t(
        "plan.offload",
        what=_in_host(t, offload),
        sockets=offload.sockets,
        host=offload.host,
        used=f"{offload.host_bytes / GIB:.1f}",
        room=f"{offload.memory_bytes / GIB:.1f}",
        mode=t(f"offload.mode_{offload.mode}"),
        prompts=prompts,
        times=t("answer.comma").join(times),
    )


def _in_host(t: Phrases, offload: OffloadInfo) -> str:
    if offload.places == "experts":
        layers = len(offload.layers)
        return t(
            "plan.experts_in_host",
            n=offload.experts_in_host // layers,
            layers=layers,
            device=offload.experts_on_device // layers,
            share=f"{offload.hit_rate:.0%}",
        )
    kinds = "experts" if offload.experts_in_host else "layers" if len(offload.kinds) > 2 else "mlp"
    return t(
        f"plan.{kinds}_of_layers",
        layers=format_layers(offload.layers),
        share=f"{offload.hit_rate:.0%}",
    )
