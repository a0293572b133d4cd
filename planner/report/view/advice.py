"""What a report says of the choice: the verdict, the requests, other plans, the command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from planner.export.serve_line import serving_command
from planner.placement.modules import PLANNED_KINDS
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.recommendation import (
    GainRange,
    NextLossStep,
    OtherPlan,
    Recommendation,
)
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import requests_in_flight
from planner.quality.anchor import nearest_parts
from planner.report import words
from planner.report.phrases import Phrases
from planner.report.plan_terms import (
    LIMIT_DEFAULT,
    LIMIT_DROPPED,
    USERS_DEFAULT,
    assumption_of,
    chance,
    engine_name,
    gain_per_device,
    other_device_count,
    source_text,
)
from planner.report.view.pools import schemes_text, workers_text
from planner.report.view.shell_lines import server_lines
from planner.report.view.shown_plans import EVEN, SAME, displacement, shown_others

PLAN_LANGUAGE = "en"
"""The language of sentences in plan files."""
MOST_OTHERS = 12
MOST_COLUMNS = 88
"""Columns of the command as a page shows it."""


@dataclass(frozen=True, slots=True)
class OtherRow:
    """Another plan in words; ``schemes`` with the cache, ``better`` the chance that it beats what
    is recommended, ``gain`` over it with its interval."""

    name: str
    schemes: str
    rate: str
    tpot: str
    loss: str
    weights: str
    better: str
    gain: str
    reason: str


@dataclass(frozen=True, slots=True)
class Advice:
    """Sentences and rows; texts are empty where a plan does not say. ``published`` is the recipe
    with its source, ``requests`` are followed by the defaults that move the answer, ``command`` is
    folded."""

    verdict: str
    published: str
    requests: str
    others: list[OtherRow]
    lossier: str
    measure: list[tuple[str, str]]
    command: str
    served_by: str
    notes: list[str]


def advice(t: Phrases, plan: Plan, most: int = MOST_OTHERS) -> Advice:
    """What a report says beside the figures of ``plan``, with up to ``most`` other plans."""
    said = plan.recommendation
    line = serving_command(plan)
    copies = plan.layout.replicas
    engine = engine_name(plan)
    if plan.deployment is not None:
        by = (
            t("serve.decoders", engine=engine, n=copies)
            if copies > 1
            else t("serve.decoder", engine=engine)
        )
    else:
        by = (
            t("serve.replica", engine=engine, n=copies)
            if copies > 1
            else t("serve.lead", engine=engine)
        )
    return Advice(
        verdict=verdict(t, plan, said) if said is not None else "",
        published=_published(t, plan, said) if said is not None else "",
        requests=_joined(t, (requests(t, plan), *defaults(t, plan))),
        others=[_row(t, plan, other) for other in shown_others(plan, most)]
        if said is not None
        else [],
        lossier=_next_loss_step(t, plan, said) if said is not None else "",
        measure=_measures(t, said) if said is not None else [],
        command="\n".join(row.removeprefix("  ") for row in server_lines(line, MOST_COLUMNS))
        if line.words
        else "",
        served_by=by if line.words else "",
        notes=[t.original(note) for note in line.notes],
    )


def verdict(t: Phrases, plan: Plan, said: Recommendation) -> str:
    """The recommendation in one or two sentences: as the plan file has it in its own language, else
    made from its fields."""
    if t.lang == PLAN_LANGUAGE and said.text:
        return said.text
    if plan.deployment is not None:
        return _in_pools(t, plan, plan.deployment, said)
    return _joined(t, (_serve(t, plan, said), _gain(t, said), _best_other(t, plan, said)))


def _published(t: Phrases, plan: Plan, said: Recommendation) -> str:
    """The published recipe with its source and what keeps it out; empty where nobody published
    one."""
    recipe = said.recipe
    if recipe is None:
        return ""
    source = source_text(recipe)
    if said.verdict != "recipe":
        formats = t("answer.and").join(recipe.formats)
        setup = ", ".join(filter(None, (recipe.engine, recipe.layout, formats)))
        if recipe.gain is None and recipe.why_not:
            why = t.original(recipe.why_not)
            return t("advice.published_excluded", setup=setup, why=why, source=source)
        return t("advice.published", setup=setup, source=source)
    if recipe.speculation and plan.speculation is None:
        return t("advice.published_drafts", drafts=recipe.speculation, source=source)
    return t("advice.published_same", source=source)


def _in_pools(t: Phrases, plan: Plan, pools: DeploymentInfo, said: Recommendation) -> str:
    """The verdict of a deployment in pools, beside workers that do both."""
    pool, two = pools.prefill, pools.decode
    new = t("advice.new") if said.needs_new_weights else t("advice.none")
    serve = t(
        "pools.verdict",
        prefill=workers_text(t, pool),
        decode=workers_text(t, two),
        schemes=schemes_text(pool.schemes),
        others=schemes_text(two.schemes),
        kv=pools.kv,
        value=_value(t, plan),
        weights=new,
    )
    if pools.gain is None:
        return _joined(t, (serve, "" if pools.aggregated is not None else t("pools.alone")))
    return _joined(
        t,
        (
            serve,
            t(
                "pools.beside",
                gain=words.signed_percent(pools.gain.value),
                chance=chance(pools.probability),
            ),
        ),
    )


def _joined(t: Phrases, sentences: Iterable[str]) -> str:
    """Sentences in a row; Chinese has no space between them."""
    return ("" if t.lang == "zh" else " ").join(filter(None, sentences))


def _serve(t: Phrases, plan: Plan, said: Recommendation) -> str:
    sizes: dict[str, int] = {}
    caches: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is not None:
            caches[unit.kv_layout] = caches.get(unit.kv_layout, 0) + len(unit.layers)
        elif unit.kind in PLANNED_KINDS:
            sizes[unit.scheme] = sizes.get(unit.scheme, 0) + unit.weight_bytes
    names = t("answer.comma").join(sorted(sizes, key=lambda name: (-sizes[name], name)))
    cached = t("answer.comma").join(sorted(caches, key=lambda name: (-caches[name], name)))
    cache = t("advice.cache", kv=cached) if cached else ""
    value = _value(t, plan)
    if not said.formats:
        return t("advice.released", schemes=names, cache=cache, value=value)
    new = (
        t("advice.ready", checkpoint=said.checkpoint)
        if said.checkpoint
        else t("advice.new")
        if said.needs_new_weights
        else t("advice.none")
    )
    if len(sizes) == 1:
        return t("advice.uniform", schemes=names, cache=cache, value=value, weights=new)
    return t("advice.mix", schemes=names, cache=cache, value=value, weights=new)


def _value(t: Phrases, plan: Plan) -> str:
    """The objective's figure."""
    perf = plan.performance
    if plan.objective == "latency":
        return t("advice.time", tpot=words.span(perf.tpot_seconds.value))
    if plan.objective == "memory":
        return t("advice.bytes", gib=words.gib(plan.memory_per_device.total_bytes))
    if plan.objective == "quality":
        return t("advice.loss", loss=words.loss(plan.quality.loss))
    return t("advice.rate", rate=words.three_digits(perf.output_tokens_per_second.value))


def _gain(t: Phrases, said: Recommendation) -> str:
    """The gain over as released, where the verdict is another."""
    if said.gain is None or not said.formats:
        return ""
    return t(
        "advice.gain",
        value=words.signed_percent(said.gain.value),
        low=words.signed_percent(said.gain.low),
        high=words.signed_percent(said.gain.high),
    )


def _best_other(t: Phrases, plan: Plan, said: Recommendation) -> str:
    """The alternative that comes nearest to displacing what is recommended, where one is as likely
    better as not."""
    likely = [
        o for o in said.alternatives if (o.probability_better or 0.0) >= EVEN and o.why_not != SAME
    ]
    if not likely:
        return ""
    best = max(likely, key=displacement(plan))
    arguments = {
        "name": t.pieced(best.name),
        "chance": chance(best.probability_better),
        "weights": t("advice.new") if best.needs_new_weights else t("advice.none"),
    }
    if best.gain is None:  # of files without gains; whole rates, whatever the devices
        return t("advice.best", rate=words.three_digits(best.output_tokens_per_second), **arguments)
    return t(
        "advice.best_gain",
        value=words.signed_percent(best.gain.value),
        low=words.signed_percent(best.gain.low),
        high=words.signed_percent(best.gain.high),
        **arguments,
    )


def requests(t: Phrases, plan: Plan) -> str:
    """The tokens of a request, what of them is cached, and how many are answered together."""
    work = plan.workload
    hits = (
        t("advice.hits", share=f"{100 * work.prefix_hit_rate:.3g} %")
        if work.prefix_hit_rate
        else ""
    )
    preset = t("advice.preset", name=work.preset) if work.preset else ""
    by_default = t("advice.by_default") if assumption_of(plan, USERS_DEFAULT) is not None else ""
    return t(
        "advice.requests",
        isl=words.count(work.isl),
        osl=words.count(work.osl),
        hits=hits,
        preset=preset,
        users=t.counted("user", requests_in_flight(plan)),
        default=by_default,
    )


def defaults(t: Phrases, plan: Plan) -> list[str]:
    """Defaults that move the answer, a sentence each."""
    texts: list[str] = []
    if not engine_name(plan):
        texts.append(t("advice.theory"))
    elif len(plan.engine.chosen_from) > 1:
        texts.append(
            t(
                "advice.chosen",
                engine=engine_name(plan),
                names=t("answer.comma").join(plan.engine.chosen_from),
            )
        )
    limit, dropped = assumption_of(plan, LIMIT_DEFAULT), assumption_of(plan, LIMIT_DROPPED)
    texts += [t("advice.limit", value=limit.value)] if limit is not None else []
    texts += [t("advice.dropped", value=t.original(dropped.value))] if dropped is not None else []
    return texts


def _on(t: Phrases, plan: Plan, devices: int) -> str:
    """On how many devices another plan is, where that is not the plan's."""
    other_count = other_device_count(plan, devices)
    if other_count == 1:
        return t("advice.device", n=1)
    return t("advice.devices", n=words.count(other_count)) if other_count else ""


def _row(t: Phrases, plan: Plan, other: OtherPlan) -> OtherRow:
    formats = t("answer.comma").join((*other.schemes, *((f"KV {other.kv}",) if other.kv else ())))
    return OtherRow(
        t.pieced(other.name) + _on(t, plan, other.devices),
        formats,
        words.three_digits(other.output_tokens_per_second),
        words.span(other.tpot_seconds),
        words.loss(other.loss),
        t("advice.yes") if other.needs_new_weights else t("advice.no"),
        chance(other.probability_better).replace("-", ""),
        _range(other.gain),
        t.pieced(other.why_not),
    )


def _range(gain: GainRange | None) -> str:
    """A gain with its interval; empty in older files."""
    if gain is None:
        return ""
    low = words.signed_percent(gain.low).removesuffix("%").rstrip()
    return (
        f"{words.signed_percent(gain.value)} ({low}\u00a0–\u00a0{words.signed_percent(gain.high)})"
    )


def _next_loss_step(t: Phrases, plan: Plan, said: Recommendation) -> str:
    """The uniform plan one step of loss further down, and the mix that loses no more."""
    step = said.lossier
    if step is None:
        return ""
    text = t("advice.lossier", **_step(t, plan, step))
    return (
        text
        if step.mix is None
        else _joined(t, (text, t("advice.lossier_mix", **_step(t, plan, step.mix))))
    )


def _step(t: Phrases, plan: Plan, step: NextLossStep) -> dict[str, str]:
    anchors, rate = step.measured_anchor, step.output_tokens_per_second
    text = (
        ""
        if not anchors
        else t(
            "advice.anchored",
            text=t("answer.join").join(t.original(a.text) for a in nearest_parts(anchors)),
        )
    )
    return {
        "name": t.pieced(step.name) + _on(t, plan, step.devices),
        "loss": words.loss(step.loss),
        "rate": words.three_digits(rate),
        "anchor": text,
        "change": words.signed_percent(gain_per_device(plan, rate, step.devices)),
    }


def _measures(t: Phrases, said: Recommendation) -> list[tuple[str, str]]:
    """(what to measure and what it decides, the command)."""
    measurements = [
        (t.pieced(" ".join(filter(None, (m.operator, m.scheme, m.shape)))), m)
        for m in said.measure_next
    ]
    return [
        (t("advice.measure", what=what, swing=f"{m.swing:.0%}"), m.command)
        for what, m in measurements
    ]
