"""Labelled lines of a plan's first answer that take more than one figure: quality, setup and what
was assumed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from planner.export.release import given_file
from planner.messages.message import Message, Note
from planner.planning.answer.choice_notes import UNLIMITED_KEY
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.evidence import Evidence
from planner.planning.plan.record import (
    Assumption,
    LayoutInfo,
    OpenArrivals,
    Plan,
    WorkloadInfo,
)
from planner.planning.question.given_values import (
    DROPPED_KEY,
    HOST_KEY,
    TPOT_KEY,
    USERS_KEY,
    replica_requests,
    requests_in_flight,
)
from planner.planning.question.prices import PROFILE_REASON
from planner.planning.space.loss_basis import ALIKE_KEY
from planner.quality.anchor import UNCHANGED, nearest_parts, short_alone
from planner.quality.cache_reasoning import FOUR_BIT_KEY
from planner.quality.loss_units import NATS
from planner.quality.neighbours import publisher
from planner.report.phrases import Phrases
from planner.report.plan_terms import assumption_of
from planner.report.words import NAMES
from planner.throughput.calibration import ANY_ENGINE

FAMILY = re.compile(r"T\d (family|relative)\((.+)\)")


def listed(t: Phrases, names: Sequence[str]) -> str:
    """Names as one reads them: ``a, b and c``; empty for none."""
    if not names:
        return ""
    most = t("answer.comma").join(names[:-1])
    return (most + t("answer.and") if most else "") + names[-1]


def quality_text(t: Phrases, plan: Plan, shorter: int = 0) -> str:
    """The loss with its range and basis, top-1 agreement, what they mean, what others measured,
    and what neither shows."""
    return t("answer.stop_between").join(_quality(t, plan, shorter))


def _unchanged(plan: Plan) -> str:
    """The name of what is said where nothing is lost: beside a file that is quantised itself, that
    counts from there."""
    if not given_file(plan):
        return "plan.unchanged"
    plain = plan.model.checkpoint_format in PLAIN
    return "plan.unchanged_plain_file" if plain else "plan.unchanged_file"


def loss_text(t: Phrases, plan: Plan) -> str:
    """The loss with its range and basis, top-1 agreement and what they mean."""
    quality = plan.quality
    if quality.high == 0:
        return t(_unchanged(plan))
    return t(
        "plan.loss",
        value=f"{quality.loss:.3g}",
        low=f"{quality.low:.2g}",
        high=f"{quality.high:.2g}",
        unit=t("plan.nats") if quality.unit == NATS else t("plan.times_uniform"),
        basis=loss_basis(t, plan),
        top1="" if quality.top1 is None else t("plan.top1", share=f"{100 * quality.top1:.3g}"),
        word="" if quality.word is None else t("plan.word", word=t.original(quality.word)),
    )


def _quality(t: Phrases, plan: Plan, shorter: int) -> Iterator[str]:
    yield loss_text(t, plan)
    if plan.quality.high != 0:
        if shorter < 1:
            yield from _alike(t, plan)
        yield from _published(t, plan, shorter)
    warning = assumption_of(plan, FOUR_BIT_KEY)
    if warning is not None:
        yield t("plan.four_bit_cache", reason=t.original(warning.reason.partition(" (")[0]))


def loss_basis(t: Phrases, plan: Plan) -> str:
    """From what a loss is known: measured models of the family, others, a profile."""
    tier = plan.quality.tier
    match = FAMILY.fullmatch(tier)
    if match:
        return t("plan.from_family", family=match[2])
    if tier == "T0 learned":
        return t("plan.from_models")
    return t("plan.from_tier", tier=t.tier(tier))


def _alike(t: Phrases, plan: Plan) -> Iterator[str]:
    """That formats of eight bits cannot be told apart, where the plan has one of them."""
    item = assumption_of(plan, ALIKE_KEY)
    if item is None or not plan.quality.floor:
        return
    names = item.value.partition(": ")[2].split(", ")
    if any(unit.scheme in names for unit in plan.units):
        yield t("plan.alike")


def _published(t: Phrases, plan: Plan, shorter: int) -> Iterator[str]:
    """The nearest published benchmark of the weights and of the cache, or that there is none; that
    short ones are all."""
    parts = [p for p in nearest_parts(plan.quality.measured_anchor) if p.text != UNCHANGED]
    published = [part for part in parts if part.source]
    for part in published:
        yield t("plan.published", text=t.original(part.text), by=publisher(part.source))
    if parts and not published and shorter < 5:
        text = t.original(parts[-1].text)
        yield text[:1].upper() + text[1:]
    if shorter < 5 and short_alone(plan.quality.measured_anchor):
        yield t("plan.no_long_benchmark" if shorter >= 1 else "plan.short_benchmarks")


def engine_text(t: Phrases, plan: Plan) -> str:
    """The engine with its version, and among how many it is the best."""
    if plan.engine.name == ANY_ENGINE:
        return t("plan.no_engine")
    name = NAMES.get(plan.engine.name, plan.engine.name)
    text = " ".join(filter(None, (name, plan.engine.version)))
    compared = len(plan.engine.chosen_from)
    return t("plan.best_engine", engine=text, n=compared) if compared > 1 else text


def setup_text(t: Phrases, plan: Plan) -> str:
    """Engine, layout, batch; the published recipe that it follows; its level of evidence."""
    each = "plan.batch_each" if plan.layout.replicas > 1 else "plan.batch"
    if plan.deployment is not None:
        each = "plan.batch_decoder"
    batch = t(each, n=f"{replica_requests(plan):,}")
    layout = "" if plan.deployment is not None else layout_text(t, plan)
    first = t("answer.comma").join(filter(None, (engine_text(t, plan), layout, batch)))
    parts = (first, _recipe(t, plan), evidence_text(t, plan))
    return t("answer.join").join(filter(None, parts))


def layout_text(t: Phrases, plan: Plan) -> str:
    """Degrees above one as engineers write them, and replicas: ``TP8 EP8, 2 replicas``."""
    return degrees_text(t, plan.layout, "replica" if plan.deployment is None else "decoder")


def degrees_text(t: Phrases, layout: LayoutInfo, each: str = "replica") -> str:
    """The degrees of a layout above one, and how many there are of ``each``."""
    la = layout
    degrees = (("TP", la.tp), ("DP", la.dp), ("PP", la.pp), ("EP", la.ep))
    shape = " ".join(f"{name}{value}" for name, value in degrees if value > 1)
    copies = t.counted(each, la.replicas) if la.replicas > 1 else ""
    return t("answer.comma").join(filter(None, (shape, copies)))


def _recipe(t: Phrases, plan: Plan) -> str:
    """That the setup is a published one, whose, and whether it drafts tokens there."""
    said = plan.recommendation
    if said is None or said.recipe is None or said.verdict != "recipe":
        return ""
    recipe = said.recipe
    owner = publisher(recipe.source).partition("@")[0].partition("/")[0]
    alone = recipe.speculation and plan.speculation is None
    drafts = t("plan.without_drafts", kind=recipe.speculation.upper()) if alone else ""
    return t("plan.as_recipe", source=owner, drafts=drafts)


def evidence_text(t: Phrases, plan: Plan) -> str:
    """How far predictions were off for measured deployments of this kind, or that nobody measured
    one; empty where the plan file does not say."""
    perf = plan.performance
    return evidence_words(t, perf.tpot_seconds.evidence, perf.ttft_seconds.evidence)


def evidence_words(t: Phrases, each: Evidence | None, first: Evidence | None) -> str:
    """What measured deployments say of ``each`` token and of the ``first``."""
    if each is None:
        return ""
    if each.median_ape is None:
        return t("plan.recipe_unmeasured" if each.level == "recipe" else "plan.unmeasured")
    error = t("plan.tpot_error", error=f"{each.median_ape:.0f}")
    if first is not None and first.median_ape is not None:
        error = t("plan.both_errors", tpot=f"{each.median_ape:.0f}", ttft=f"{first.median_ape:.0f}")
    if each.level == "measured":
        return t("plan.measured", n=each.n, error=error)
    kind = t("answer.comma").join(t.name(part) for part in each.kind.split(", "))
    return t("plan.related", n=each.n, kind=kind, error=error)


COMMONEST = "assumptions.commonest_variant_of"
NAMED = {
    COMMONEST: ("name", "plan.commonest"),
    "assumptions.another_checkpoint": ("name", "plan.read_as"),
    "assumptions.release_in_formats": ("release", "plan.read_as"),
}
"""Ids of what is said of a name that was read as another: its hole, and the text."""


def assumed_text(t: Phrases, plan: Plan, shorter: int = 0) -> str:
    """Requests, defaults that move the answer, names as they were read, what the ranges are."""
    return t("answer.join").join(_assumed(t, plan, shorter))


def _assumed(t: Phrases, plan: Plan, shorter: int) -> Iterator[str]:
    yield requests_text(t, plan.workload)
    if plan.open_arrivals is not None:
        yield from _arrivals(t, plan.device.count, plan.open_arrivals)
        yield from replayed_text(t, plan.assumptions)
    defaults = t("answer.comma").join(_defaults(t, plan))
    if defaults:
        yield t("plan.defaults", listed=defaults)
    yield from names_read(t, plan.assumptions, in_title=shorter >= 2)
    yield from _measured_here(t, plan)
    basis = plan.performance.tpot_seconds.basis
    yield t("plan.ranges", basis=t.texts.get(f"basis.{basis}", basis))


def requests_text(t: Phrases, work: WorkloadInfo) -> str:
    """Lengths of the requests, of what kind they are, and what of a prompt is cached."""
    hits = t("plan.hits", share=f"{100 * work.prefix_hit_rate:.3g}") if work.prefix_hit_rate else ""
    return t(
        "plan.requests",
        isl=f"{work.isl:,}",
        osl=f"{work.osl:,}",
        preset=t("plan.preset", name=work.preset) if work.preset else "",
        window=f"{work.context_tokens:,}",
        hits=hits,
    )


REPLAYED = {
    "capacity.replay_stands_in": "plan.replayed",
    "capacity.no_replay_keeps": "plan.no_replay_keeps",
}
"""What is said of a replay that decided something, and the text."""


def replayed_text(t: Phrases, assumptions: Sequence[Assumption]) -> Iterator[str]:
    """That times are those of a replay, and by how much formulas differ; or that no replay keeps
    the limits. Nothing where both agree."""
    for item in assumptions:
        if isinstance(item.value, Message) and item.value.id in REPLAYED:
            off = str(dict(item.value.values).get("off", "")).replace("%", " %").replace("-", "−")
            yield t(REPLAYED[item.value.id], off=off)


def _arrivals(t: Phrases, devices: int, arrivals: OpenArrivals) -> Iterator[str]:
    """How requests come, and how sure the number of devices is."""
    yield t(
        "plan.arrivals",
        router=t.texts[f"router.{arrivals.router}"],
        percentiles=_kept_at(t, arrivals),
    )
    low, high = (
        t("plan.no_devices") if end is None else f"{end:,}"
        for end in (arrivals.devices_low, arrivals.devices_high)
    )
    yield t("plan.devices_at_rate", devices=f"{devices:,}", low=low, high=high)


def _kept_at(t: Phrases, arrivals: OpenArrivals) -> str:
    """The percentile of the limits, or that of each where they differ."""
    if all(limit.percentile == arrivals.percentile for limit in arrivals.limits):
        return f"p{arrivals.percentile:g}"
    return t("answer.comma").join(
        f"p{limit.percentile:g} ({limit.what})" for limit in arrivals.limits
    )


def gap_text(plan: Plan) -> str:
    """How far the plan may be from the optimum."""
    gap = plan.solver.gap
    return f"{gap:.1%}" if gap >= 1e-3 else f"{gap:.2%}"


def _measured_here(t: Phrases, plan: Plan) -> Iterator[str]:
    """The user's own measurements beside what was predicted, and what the search left open."""
    for item in plan.assumptions:
        if item.key.startswith("anchor "):
            yield t("plan.anchor", name=t.name(item.key), value=t.original(item.value))
    solver = plan.solver
    if solver.status != "given" and not solver.proved:
        yield t("plan.open_gap", gap=gap_text(plan))


def _defaults(t: Phrases, plan: Plan) -> Iterator[str]:
    """Defaults that decided something."""
    limit, free = assumption_of(plan, TPOT_KEY), assumption_of(plan, UNLIMITED_KEY)
    if assumption_of(plan, "devices") is not None and plan.open_arrivals is None:
        yield t.counted("device", plan.device.count)
    host = assumption_of(plan, HOST_KEY)
    if host is not None:
        yield t("plan.default_host", value=t.original(host.value))
    if assumption_of(plan, USERS_KEY) is not None:
        yield t.counted("concurrent", requests_in_flight(plan))
    if limit is not None:
        rate = "" if free is None else t("plan.without_limit", rate=t.original(free.value))
        yield t("plan.default_tpot", value=limit.value, rate=rate)
    if assumption_of(plan, DROPPED_KEY) is not None:
        yield t("plan.default_tpot_dropped")
    floor = assumption_of(plan, "max-loss default")
    if floor is not None:
        if assumption_of(plan, "above max-loss") is None:
            yield t("plan.default_loss", scheme=floor.value)
        else:
            yield t("plan.default_loss_before", scheme=floor.value)
    if assumption_of(plan, "max-loss dropped") is not None:
        yield t("plan.default_loss_dropped")
    price = assumption_of(plan, "price")
    if price is not None and price.reason == PROFILE_REASON:
        yield t("plan.default_price")


def names_read(
    t: Phrases, assumptions: Sequence[Assumption | Note], *, in_title: bool = False
) -> Iterator[str]:
    """Names that stand for their commonest variant, and checkpoints of the same structure;
    ``in_title``: without the variants, which the title names."""
    for item in assumptions:
        if in_title and isinstance(item.reason, Message) and item.reason.id == COMMONEST:
            continue
        if isinstance(item.reason, Message) and item.reason.id in NAMED:
            hole, said = NAMED[item.reason.id]
            yield t(said, name=dict(item.reason.values)[hole], variant=item.value)
