"""The first answer of a plan: what to serve, whether it fits, how fast, what it costs, how good it
is, on which setup, what was assumed; the command; what was not chosen and why."""

from __future__ import annotations

from collections.abc import Mapping

from planner.base.units import GIB, format_rate, format_seconds, format_three
from planner.export.launch import START_REPLICAS
from planner.export.release import given_file
from planner.export.serve_line import ServeLine, serving_command
from planner.lookup import known_spec
from planner.messages.message import Message
from planner.placement.modules import PLANNED_KINDS
from planner.planning.answer.choice_notes import ONE_REQUEST_KEY, OWN_MIX_KEY
from planner.planning.answer.recommend_text import format_word
from planner.planning.plan.record import Estimate, OpenArrivals, Plan
from planner.planning.question.given_values import recorded_values, requests_in_flight
from planner.planning.question.time_limits import REQUEST_TIME
from planner.report.phrases import Phrases
from planner.report.plan_terms import (
    LIMIT_DEFAULT,
    LIMIT_DROPPED,
    assumption_of,
    devices_name,
    request_capacity,
    span,
    time_span,
)
from planner.report.view.alternatives import alternatives_table, not_chosen
from planner.report.view.answer_facts import (
    assumed_text,
    listed,
    quality_text,
    setup_text,
)
from planner.report.view.answer_modes import mode_facts
from planner.report.view.record import Block, Code, Fact, Items, Section, View
from planner.report.view.shell_lines import server_lines
from planner.report.view.shown_plans import is_damaged

MOST_OMITTED, NOTES_OMITTED, PRICE_OMITTED = 6, 4, 5
"""Steps by which an answer is shortened, and from which on notes on the command, and an unknown
price, are left out."""


def answer_head(t: Phrases, plan: Plan, shorter: int = 0) -> View:
    """The sentence and the labelled lines, of answers that have their own sections below."""
    facts = (
        *damage_facts(t, plan),
        Fact(t("plan.fits"), fits_text(t, plan)),
        Fact(t("plan.throughput"), throughput_text(t, plan)),
        Fact(t("plan.latency"), latency_text(t, plan)),
        *one_request_facts(t, plan),
        *_cost_facts(t, plan, shorter),
        Fact(t("plan.quality"), quality_text(t, plan, shorter)),
        *mode_facts(t, plan),
        Fact(t("plan.setup"), setup_text(t, plan)),
        Fact(t("plan.assumed"), assumed_text(t, plan, shorter)),
    )
    return View(title_text(t, plan, with_types=shorter < MOST_OMITTED), facts)


def answer_view(
    t: Phrases, plan: Plan, alternatives: int, *, width: int = 80, shorter: int = 0
) -> View:
    """The answer with up to so many ``alternatives``; commands in lines of ``width`` columns.
    ``shorter`` by up to ``MOST_OMITTED`` statements that matter least: that formats of eight bits
    are alike; what a name was read as and fewer bits that are no faster; all but the first plan
    that is not chosen; notes on the command, which ``-v`` has; that no benchmark, recipe or
    price is known of the plan; what a published file is made of, what else runs it, a mix of one's
    own."""
    head, no_notes = answer_head(t, plan, shorter), shorter >= NOTES_OMITTED
    command = run_sections(t, plan, width, notes=not no_notes, others=shorter < MOST_OMITTED)
    rest: tuple[Block, ...] = (
        *alternatives_table(t, plan, alternatives),
        *not_chosen(t, plan, shorter),
        Fact(t("plan.more"), t("plan.more_flags_notes" if no_notes else "plan.more_flags")),
    )
    return View(head.title, head.facts, (*command, Section("", rest)))


def damage_facts(t: Phrases, plan: Plan) -> tuple[Fact, ...]:
    """That a plan which was looked for damages the model, before anything else; nothing of one
    that does not, and of a plan that was given."""
    if plan.recommendation is None or not is_damaged(plan):
        return ()
    return (Fact(t("plan.damage"), t("plan.damage_text", loss=f"{plan.quality.loss:.2g}")),)


def title_text(t: Phrases, plan: Plan, *, with_types: bool = True) -> str:
    """What to serve in one sentence, of a published file with its types; of a given plan, what was
    priced."""
    cache = listed(t, cache_words(plan))
    return t(
        "plan.title",
        model=plan.model.id,
        devices=devices_name(plan),
        what=_served(t, plan, with_types),
        cache=t("plan.with_cache", kv=cache) if cache else "",
    )


def _served(t: Phrases, plan: Plan, with_types: bool) -> str:
    names = listed(t, scheme_words(plan))
    if plan.deployment is not None:
        pool, two = plan.deployment.prefill, plan.deployment.decode
        pools = t(
            "plan.pools",
            prefill=t.counted("prefill_worker", pool.workers),
            decode=t.counted("decoder", two.workers),
        )
        what = _weights(t, plan, names, with_types)
        return t("plan.serve_pools", what=what, pools=pools)
    return _weights(t, plan, names, with_types)


def _weights(t: Phrases, plan: Plan, names: str, with_types: bool) -> str:
    """Which weights, and whether they exist."""
    said = plan.recommendation
    if said is None:
        return t("plan.priced", schemes=names)
    if not said.formats:
        return t("plan.serve_file" if given_file(plan) else "plan.serve_released", schemes=names)
    if said.checkpoint:
        if not with_types:
            return t("plan.serve_place", checkpoint=said.checkpoint)
        return t("plan.serve_checkpoint", checkpoint=said.checkpoint, schemes=names)
    return t(
        "plan.requantize" if said.needs_new_weights else "plan.quantize_loading", schemes=names
    )


def scheme_words(plan: Plan) -> list[str]:
    """Schemes of what formats are chosen for, most bytes first."""
    sizes: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is None and unit.kind in PLANNED_KINDS:
            sizes[unit.scheme] = sizes.get(unit.scheme, 0) + unit.weight_bytes
    return _called(sizes)


def cache_words(plan: Plan) -> list[str]:
    """Layouts of the cache, most layers first."""
    layers: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is not None:
            layers[unit.kv_layout] = layers.get(unit.kv_layout, 0) + len(unit.layers)
    return _called(layers)


def _called(sizes: Mapping[str, int]) -> list[str]:
    """Formats as people call them, most first; their ids where two have one name."""
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    called = [format_word(name) for name in names]
    return called if len(set(called)) == len(called) else names


def fits_text(t: Phrases, plan: Plan) -> str:
    """Bytes of the fullest device, and for what else there is room."""
    memory = plan.memory_per_device
    room = (
        t("plan.room_context", n=f"{plan.capacity.max_context_at_batch:,}")
        if requests_in_flight(plan) == 1
        else t("plan.room_requests", n=f"{request_capacity(plan):,}")
    )
    return t(
        "plan.fits_one" if plan.device.count == 1 else "plan.fits_each",
        used=f"{memory.total_bytes / GIB:.1f}",
        usable=f"{memory.usable_bytes / GIB:.1f}",
        room=room,
    )


def throughput_text(t: Phrases, plan: Plan) -> str:
    """Output tokens/s with their interval, and for how many requests at once; of a plan for a rate
    what comes, and how near it is to the most."""
    perf, arrivals = plan.performance, plan.open_arrivals
    rate = perf.output_tokens_per_second
    each = (
        t("plan.each", rate=format_rate(perf.output_tokens_per_second_per_device.value))
        if plan.device.count > 1
        else ""
    )
    if arrivals is not None:
        return t(
            "plan.at_rate",
            rate=format_rate(rate.value),
            requests=f"{arrivals.requests_per_second:.4g}",
            load=f"{100 * arrivals.load:.0f} %",
            flight=f"{arrivals.sequences:.3g}",
            each=each,
        )
    return t(
        "plan.rate",
        rate=format_rate(rate.value),
        span=span(rate),
        users=t.counted("concurrent", requests_in_flight(plan)),
        each=each,
    )


def latency_text(t: Phrases, plan: Plan) -> str:
    """TPOT and TTFT with their intervals and limits; a whole request where that was limited; of a
    plan for a rate at percentiles."""
    if plan.open_arrivals is not None:
        return _times_at_rate(t, plan.open_arrivals)
    perf, given = plan.performance, recorded_values(plan)
    request = assumption_of(plan, REQUEST_TIME)
    return t(
        "plan.times",
        tpot=_time(t, plan, perf.tpot_seconds, "tpot_seconds", given.get("tpot_seconds")),
        ttft=_time(t, plan, perf.ttft_seconds, "ttft_seconds", given.get("ttft_seconds")),
        request="" if request is None else t("plan.request", value=t.original(request.value)),
    )


def _times_at_rate(t: Phrases, arrivals: OpenArrivals) -> str:
    """Times at percentiles; that of its limit with its interval and the limit, of a whole request
    where that was limited."""

    def points(what: str) -> str:
        limit, name = arrivals.limit_of(what), f"{what.lower()}_seconds"
        said = "" if limit is None else t("plan.limit", value=format_seconds(limit.seconds))
        own = arrivals.percentile if limit is None else limit.percentile
        texts = []
        for point in arrivals.times:
            time: Estimate = getattr(point, name)
            value = format_seconds(time.value)
            if point.percentile == own:
                value = t("plan.time", value=value, span=time_span(time), limit=said)
            texts.append(t("plan.at_percentile", percentile=f"{point.percentile:g}", value=value))
        return t("answer.comma").join(texts)

    shown = ("TPOT", "TTFT", *(("E2E",) if arrivals.limit_of("E2E") else ()))
    return t("answer.join").join(f"{what} {points(what)}" for what in shown)


def _time(t: Phrases, plan: Plan, time: Estimate, name: str, given: object) -> str:
    default = assumption_of(plan, LIMIT_DEFAULT) if name == "tpot_seconds" else None
    dropped = assumption_of(plan, LIMIT_DROPPED) if name == "tpot_seconds" else None
    limit = ""
    if default is not None:
        limit = t("plan.limit", value=default.value)
    elif dropped is not None:
        limit = t("plan.dropped_limit")
    elif isinstance(given, float):
        limit = t("plan.limit", value=format_seconds(given))
    return t("plan.time", value=format_seconds(time.value), span=time_span(time), limit=limit)


def one_request_facts(t: Phrases, plan: Plan) -> tuple[Fact, ...]:
    """What one request alone sees, where people serve themselves."""
    said = assumption_of(plan, ONE_REQUEST_KEY)
    return () if said is None else (Fact(t("plan.one_request"), t.original(said.value)),)


def _cost_facts(t: Phrases, plan: Plan, shorter: int) -> tuple[Fact, ...]:
    """What it costs; at its shortest nothing where no price is known."""
    if shorter >= PRICE_OMITTED and plan.performance.usd_per_million_output_tokens is None:
        return ()
    return (Fact(t("plan.cost"), cost_text(t, plan)),)


def cost_text(t: Phrases, plan: Plan) -> str:
    """USD a million output tokens and the price behind them; energy where no price is known."""
    perf = plan.performance
    money, energy = perf.usd_per_million_output_tokens, perf.joules_per_output_token
    if money is None:
        joules = "" if energy is None else t("plan.energy", value=f"{energy.value:.3g}")
        return t("plan.no_price", energy=joules)
    hourly = money.value * 1e-6 * perf.output_tokens_per_second.value * 3600 / plan.device.count
    return t(
        "plan.money",
        value=format_three(money.value),
        low=format_three(money.low),
        high=format_three(money.high),
        price=format_three(hourly),
    )


def run_sections(
    t: Phrases, plan: Plan, width: int, *, notes: bool = True, others: bool = True
) -> list[Section]:
    """The command that serves the plan, with ``notes`` what it cannot say, with ``others`` what
    else would run; where none does, why."""
    command = serving_command(plan)
    notes_said = [n for n in command.notes if getattr(n, "id", "") != START_REPLICAS]
    said = t("answer.join").join(map(t.original, notes_said))
    below = (Items((said,)),) if said and (notes or not command.words) else ()
    if not command.words:
        return [Section("", below)]
    code = Code(tuple(server_lines(command, width)))
    most = 0 if not others else None if notes else 1
    more = (*other_programs(t, plan, most), *(own_mix(t, plan) if others else ()))
    return [Section(_run_title(t, plan, command), (code, *more, *below))]


def other_programs(t: Phrases, plan: Plan, most: int | None = None) -> tuple[Block, ...]:
    """The size of the published file that is served, and at ``most`` so many programs that run it
    too (None: all). Nothing without a file."""
    said = plan.recommendation
    if said is None or not said.checkpoint:
        return ()
    from planner.planning.files.catalogue import file_at

    file = file_at(said.checkpoint, known_spec(plan.model.id))
    if file is None:
        return ()
    gib = "" if file.bytes is None else f"{file.bytes / GIB:.2f}"
    size = t("plan.download", size=gib) if gib else ""
    words = [words for name, words in file.commands.items() if name != plan.engine.name][:most]
    if not words:
        return (Items((t("plan.file_alone", size=gib),)),) if gib else ()
    return (Items((t("plan.file", size=size, commands=t("plan.or").join(words)),)),)


def own_mix(t: Phrases, plan: Plan) -> tuple[Block, ...]:
    """What a mix of one's own would bring at the size of the file; nothing where it brings
    nothing."""
    mix = assumption_of(plan, OWN_MIX_KEY)
    if mix is None or not isinstance(mix.value, Message):
        return ()
    said = {name: str(value) for name, value in mix.value.values}
    return (Items((t("plan.own_mix", own=said["own"], less=said["less"], tpot=said["tpot"]),)),)


def _run_title(t: Phrases, plan: Plan, command: ServeLine) -> str:
    copies = plan.layout.replicas
    each = ""
    if plan.deployment is not None:
        each = t("plan.each_decoder" if copies > 1 else "plan.the_decoder", n=copies)
    elif copies > 1:
        each = t("plan.each_replica", n=copies)
    return t("plan.run", each=each, nodes=t("plan.nodes") if command.nodes else "")
