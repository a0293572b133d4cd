"""What a report says of a plan's drafted tokens, its prefixes and its weights in host memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from planner.base.units import GIB, format_bytes, format_layers
from planner.planning.plan.offload import OffloadInfo
from planner.planning.plan.prefix_cache import OffloadedPrefixes, PrefixCache
from planner.planning.plan.record import Plan
from planner.planning.plan.speculation import MEMORY, SpeculationInfo
from planner.report import words
from planner.report.phrases import Phrases

KINDS = {"mtp", "eagle"}
FILLS = {"device": "var(--b-compute)", "host": "var(--b-memory)", "link": "var(--b-communication)"}
"""Colours of the parts of a step."""


@dataclass(frozen=True, slots=True)
class StepPart:
    """A part of a step: its name, ``share`` [1], its time and its colour."""

    name: str
    share: float
    text: str
    fill: str


@dataclass(frozen=True, slots=True)
class ModeSection:
    """A short section: a sentence, (figure, value) in rows, a table with its head (empty: none),
    parts of a bar (none: no bar), the source of its numbers."""

    id: str
    title: str
    lead: str
    rows: list[tuple[str, str]]
    head: list[str] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    parts: list[StepPart] = field(default_factory=list)
    source: str = ""


def sections(t: Phrases, plan: Plan) -> list[ModeSection]:
    """The sections of what the plan has beside its units."""
    return list(_sections(t, plan))


def _sections(t: Phrases, plan: Plan) -> Iterator[ModeSection]:
    if plan.speculation is not None:
        yield _drafts(t, plan.speculation)
    if plan.prefix_cache is not None:
        yield _prefixes(t, plan.prefix_cache)
    if plan.offload is not None:
        yield _offload(t, plan, plan.offload)


def _drafts(t: Phrases, info: SpeculationInfo) -> ModeSection:
    rate = info.acceptance
    what = t(f"drafts.kind_{info.kind}") if info.kind in KINDS else info.model
    rows = [
        (t("drafts.acceptance"), _band(rate.value, rate.low, rate.high)),
        (t("drafts.accepted"), f"{info.accepted_tokens:.2f}"),
        (
            t("drafts.weights"),
            t(
                "drafts.weights_value",
                bytes=format_bytes(info.bytes),
                scheme=info.scheme,
                device=format_bytes(info.bytes_per_device),
            ),
        ),
        (
            t("drafts.cache"),
            t(
                "drafts.cache_value",
                bytes=words.count(info.cache_bytes_per_token),
                layout=info.cache_layout,
            ),
        ),
        (
            t("drafts.time"),
            t(
                "drafts.time_value",
                draft=words.span(info.draft_seconds),
                step=words.span(info.step_seconds),
            ),
        ),
        (t("drafts.pays"), _pays(t, info)),
    ]
    if info.gain is not None:
        rows.append(
            (
                t("drafts.gain"),
                t(
                    "drafts.gain_value",
                    value=words.signed_percent(info.gain.value),
                    low=words.signed_percent(info.gain.low),
                    high=words.signed_percent(info.gain.high),
                ),
            )
        )
    lead = t(
        "drafts.lead",
        what=what,
        n=t.counted("token", info.draft_tokens),
        accepted=f"{info.accepted_tokens:.2f}",
        pays=_pays(t, info),
    )
    return ModeSection("drafts", t("drafts.title"), lead, rows, source=rate.source)


def _pays(t: Phrases, info: SpeculationInfo) -> str:
    users = info.pays_up_to_batch
    if not users:
        return t("drafts.pays_never")
    return t(
        "drafts.pays_all" if info.pays_limit == MEMORY else "drafts.pays_to", n=words.count(users)
    )


def _band(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} – {high:.2f})" if low < high else f"{value:.2f}"


def _prefixes(t: Phrases, prefixes: PrefixCache) -> ModeSection:
    rows = [
        (t("prefixes.found"), words.percent(prefixes.hit_rate) + "\u202f%"),
        (t("prefixes.ideal"), words.percent(prefixes.reuse.ideal_hit_rate) + "\u202f%"),
        (
            t("prefixes.room"),
            t(
                "prefixes.room_value",
                n=words.count(prefixes.capacity_tokens),
                stays=words.span(prefixes.lifetime_seconds),
            ),
        ),
        (t("prefixes.requests"), words.three_digits(prefixes.requests_per_second)),
    ]
    if prefixes.offload is not None:
        rows += _tier(t, prefixes.offload)
    table = [
        [
            row.kv,
            words.count(row.devices),
            words.count(row.batch),
            words.count(row.capacity_tokens),
            words.percent(row.hit_rate),
            words.span(row.ttft_seconds),
            words.span(row.tpot_seconds),
            words.three_digits(row.output_tokens_per_second),
        ]
        for row in prefixes.by_cache
    ]
    head = [
        t("prefixes.kv"),
        t("baselines.devices"),
        t("baselines.batch"),
        t("prefixes.tokens"),
        t("prefixes.hit"),
        "TTFT",
        "TPOT",
        t("baselines.rate"),
    ]
    lead = t(
        "prefixes.lead",
        hit=words.percent(prefixes.hit_rate),
        workload=prefixes.reuse.workload,
        n=words.count(prefixes.capacity_tokens),
    )
    return ModeSection(
        "prefixes",
        t("prefixes.title"),
        lead,
        rows,
        head if table else [],
        table,
        source=prefixes.reuse.source,
    )


def _tier(t: Phrases, tier: OffloadedPrefixes) -> list[tuple[str, str]]:
    """Prefixes beyond the devices."""
    name = t.texts.get(f"prefixes.tier_{tier.tier}", tier.tier)
    room = (
        name,
        t(
            "prefixes.tier_value",
            bytes=format_bytes(tier.bytes_per_device),
            n=words.count(tier.capacity_tokens),
        ),
    )
    if not tier.loads:
        return [room, (t("prefixes.loads"), t("prefixes.loads_not", why=tier.why))]
    return [
        room,
        (
            t("prefixes.loads"),
            t(
                "prefixes.loads_value",
                more=words.percent(tier.hit_rate),
                load=words.span(tier.load_seconds),
                compute=words.span(tier.compute_seconds),
                link=t.original(tier.link),
                busy=words.percent(tier.link_busy),
            ),
        ),
    ]


def _offload(t: Phrases, plan: Plan, offload: OffloadInfo) -> ModeSection:
    step = offload.step_seconds
    step_seconds = step.device + step.host + step.link or 1.0
    parts = [
        StepPart(t(f"offload.{name}"), seconds / step_seconds, words.span(seconds), FILLS[name])
        for name, seconds in (("device", step.device), ("host", step.host), ("link", step.link))
        if seconds > 0
    ]
    modes = {mode: t(f"offload.mode_{mode}") for mode in ("computed", "fetched")}
    rows = [
        (t("offload.kept"), _host_content(t, offload)),
        (t("offload.picks"), words.percent(offload.hit_rate) + "\u202f%"),
        (
            t("offload.on_device"),
            ", ".join(
                filter(
                    None,
                    (f"{offload.device_bytes / GIB:.1f} GiB", " + ".join(offload.scheme_device)),
                )
            ),
        ),
        (
            t("offload.on_host"),
            t(
                "offload.on_host_value",
                used=f"{offload.host_bytes / GIB:.1f}",
                room=f"{offload.memory_bytes / GIB:.1f}",
                schemes=" + ".join(offload.scheme_host),
            ),
        ),
        (t("offload.steps"), modes[offload.mode]),
        (t("offload.prompts"), modes[offload.prompt_mode]),
    ]
    if offload.flags:
        rows.append((t("offload.flags", engine=offload.engine), " ".join(offload.flags)))
    lead = t(
        "offload.lead",
        sockets=offload.sockets,
        host=offload.host,
        kept=_host_content(t, offload),
        used=f"{offload.host_bytes / GIB:.1f}",
        mode=modes[offload.mode],
        tpot=words.span(plan.performance.tpot_seconds.value),
    )
    return ModeSection(
        "offload",
        t("offload.title"),
        lead,
        rows,
        parts=parts,
        source=t.texts.get(f"basis.{offload.basis}", offload.basis),
    )


def _host_content(t: Phrases, offload: OffloadInfo) -> str:
    """What lies in host memory."""
    if offload.places == "experts":
        layers = max(len(offload.layers), 1)
        return t(
            "offload.experts",
            n=words.count(offload.experts_in_host // layers),
            device=words.count(offload.experts_on_device // layers),
            layers=layers,
        )
    return t(
        "offload.layers",
        kinds=t("answer.comma").join(offload.kinds),
        layers=format_layers(offload.layers).replace("-", "–"),
    )
