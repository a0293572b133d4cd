"""The view of ``plan capacity``: the deployment that serves a rate, its labelled lines in the order
of a plan's answer, the command of a replica, and what was not taken."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import GIB, format_rate, format_seconds, format_three
from planner.export.serve_line import serving_command, weights_of
from planner.hardware.catalog import is_device, resolve_device
from planner.memory.engines.catalog import parse_engine
from planner.messages.words import spaced
from planner.planning.plan.checkpoint_units import in_checkpoint
from planner.planning.plan.record import Estimate, Plan
from planner.report.phrases import Phrases, phrases_on
from planner.report.plan_terms import chance, time_span
from planner.report.view.answer import cache_words, scheme_words
from planner.report.view.answer_details import published_benchmarks
from planner.report.view.answer_facts import (
    engine_text,
    evidence_text,
    layout_text,
    listed,
    loss_text,
    names_read,
    replayed_text,
    requests_text,
)
from planner.report.view.capacity_options import (
    MOST_ROWS,
    all_options,
    alternatives,
    cheaper_limits,
)
from planner.report.view.record import Block, Code, Fact, Items, Section, View
from planner.report.view.shell_lines import server_lines
from planner.report.view.verb_words import capital, notes_view, shared_word, verb_phrases, word
from planner.sizing.capacity_record import HOURS_A_MONTH, Capacity
from planner.throughput.calibration import ANY_ENGINE

VERB = "capacity"
LOSS_KEY = "max-loss default"


def capacity_view(
    capacity: Capacity, lang: str, rows: int = MOST_ROWS, *, width: int = 80, hints: bool = True
) -> View:
    """The whole answer with up to so many ``rows`` of alternatives; the command in lines of
    ``width`` columns; ``hints``: with the flags that show more."""
    t, own = phrases_on(capacity.device, lang), verb_phrases(VERB, lang)
    facts = (
        Fact(t("plan.fits"), _fits(own, capacity)),
        Fact(t("plan.throughput"), _throughput(own, capacity)),
        Fact(t("plan.latency"), _latency(own, capacity)),
        Fact(t("plan.cost"), _cost(own, capacity)),
        Fact(own("fact.devices"), _devices(own, capacity)),
        Fact(t("plan.quality"), loss_text(t, capacity.replica)),
        Fact(t("plan.setup"), _setup(t, own, capacity)),
        Fact(t("plan.assumed"), own("list.join").join(_assumed(t, own, capacity))),
        *_simulated(own, capacity),
    )
    more = (Fact(own("more.label"), own("more.flags")),) if hints else ()
    rest: tuple[Block, ...] = (*alternatives(own, t, capacity, rows), *more)
    notes = notes_view(capacity.assumptions, lang).sections
    return View(
        _title(t, own, capacity),
        facts,
        (
            *_run(t, capacity, width),
            Section("", rest),
            all_options(own, t, capacity),
            cheaper_limits(own, capacity),
            *published_benchmarks(t, capacity.replica),
            *(Section(capital(note.title), note.blocks, detail=True) for note in notes),
        ),
    )


def _title(t: Phrases, own: Phrases, capacity: Capacity) -> str:
    cache = listed(t, cache_words(capacity.replica))
    best = capacity.answer
    layout = layout_text(t, capacity.replica) or own("head.single")
    name = "head.replica" if best.replicas == 1 else "head.replicas"
    return own(
        "head.title",
        model=capacity.model,
        devices=f"{best.devices:,}",
        device=capacity.device,
        what=_served(t, capacity.replica),
        cache=t("plan.with_cache", kv=cache) if cache else "",
        copies=spaced(own(name, n=f"{best.replicas:,}", layout=layout)),
    )


def _served(t: Phrases, plan: Plan) -> str:
    """Where the weights come from."""
    names = listed(t, scheme_words(plan))
    if plan.engine.name == ANY_ENGINE:
        return t("plan.priced", schemes=names)
    stored = in_checkpoint(plan)
    engine = parse_engine(f"{plan.engine.name}@{plan.engine.version or ''}".rstrip("@"))
    device = resolve_device(plan.device.id) if is_device(plan.device.id) else None
    weights = weights_of(stored, engine, device)
    if weights.made == "ready":
        return t("plan.serve_checkpoint", checkpoint=weights.place, schemes=names)
    name = {
        "release": "serve_released",
        "given": "serve_file",
        "loading": "quantize_loading",
        "new": "requantize",
    }
    return t(f"plan.{name[weights.made]}", schemes=names)


def _fits(own: Phrases, capacity: Capacity) -> str:
    memory = capacity.replica.memory_per_device
    return own(
        "text.fits",
        used=f"{memory.total_bytes / GIB:.1f}",
        usable=f"{memory.usable_bytes / GIB:.1f}",
        n=f"{capacity.replica.workload.batch:,}",
    )


def _throughput(own: Phrases, capacity: Capacity) -> str:
    best = capacity.answer
    text = own(
        "text.throughput",
        rate=format_rate(capacity.output_tokens_per_second),
        requests=f"{capacity.requests_per_second:.4g}",
        load=f"{100 * best.load:.0f} %",
        flight=f"{capacity.sequences:.3g}",
    )
    if capacity.waits >= 0.005:
        text += own("text.waits", share=f"{capacity.waits:.0%}")
    return text


def _latency(own: Phrases, capacity: Capacity) -> str:
    """Times at the percentile with interval, limit and its chance, and their tails; a whole
    request's where it is limited."""
    times = [
        _time(own, capacity, "TPOT", capacity.tpot_seconds, capacity.tpot_kept),
        _time(own, capacity, "TTFT", capacity.ttft_seconds, capacity.ttft_kept),
    ]
    if capacity.e2e_seconds is not None and capacity.e2e_limit_seconds is not None:
        times.append(_time(own, capacity, "E2E", capacity.e2e_seconds, capacity.e2e_kept))
    return own("list.join").join(times)


def _time(own: Phrases, capacity: Capacity, what: str, value: Estimate, kept: float | None) -> str:
    limit = next((one.seconds for one in capacity.limits if one.what == what), None)
    points = []
    for point in capacity.tails:
        seconds = getattr(point, f"{what.lower()}_seconds")
        is_own = point.percentile == capacity.percentile_of(what)
        told = {"percentile": f"{point.percentile:g}", "value": format_seconds(seconds)}
        points.append(
            own("text.own_point", span=time_span(value), **told)
            if is_own
            else own("text.point", **told)
        )
    said = ""
    if limit is not None:
        said = own("text.limit", value=format_seconds(limit), chance=chance(kept))
    return f"{what} " + own("text.time", points=own("list.comma").join(points), limit=said)


def _cost(own: Phrases, capacity: Capacity) -> str:
    money, month = capacity.usd_per_million_output_tokens, capacity.answer.usd_per_month
    if money is None or month is None:
        return own("text.no_price")
    return own(
        "text.money",
        value=format_three(money.value),
        low=format_three(money.low),
        high=format_three(money.high),
        month=f"{month:,.0f}",
    )


def _devices(own: Phrases, capacity: Capacity) -> str:
    low, high = capacity.devices_low, capacity.devices_high
    energy = capacity.kwh_per_month
    power = ""
    if energy is not None:
        kw = [format_three(x / HOURS_A_MONTH) for x in (energy.value, energy.low, energy.high)]
        power = own("text.power", kw=kw[0], low=kw[1], high=kw[2])
    ends = [own("text.no_end") if end is None else f"{end:,}" for end in (low, high)]
    name = "text.devices_alike" if low == high is not None else "text.devices"
    return own(name, n=f"{capacity.devices:,}", low=ends[0], high=ends[1], power=power)


def _setup(t: Phrases, own: Phrases, capacity: Capacity) -> str:
    plan = capacity.replica
    first = own(
        "text.setup",
        engine=engine_text(t, plan),
        layout=layout_text(t, plan) or own("head.single"),
        slots=f"{plan.workload.batch:,}",
    )
    return own("list.join").join(filter(None, (first, evidence_text(t, plan))))


def _assumed(t: Phrases, own: Phrases, capacity: Capacity) -> Iterator[str]:
    """Requests, arrivals, prices, defaults that move the answer, names as they were read."""
    yield requests_text(t, capacity.replica.workload)
    yield own("text.arrivals", router=word(t, "router", capacity.router))
    yield from replayed_text(t, capacity.assumptions)
    every = (capacity, *(other.capacity for other in capacity.others))
    prices = [text for one in every for text in _price(own, one)]
    if prices:
        yield own("text.prices", listed=own("list.comma").join(prices))
    for item in capacity.assumptions:
        if item.key == LOSS_KEY:
            yield own("text.default_loss", scheme=item.value)
    yield from dict.fromkeys(text for one in every for text in names_read(t, one.assumptions))
    yield own("text.ranges", basis=shared_word(own, "basis", capacity.tpot_seconds.basis))


def _price(own: Phrases, capacity: Capacity) -> Iterator[str]:
    for item in capacity.assumptions:
        if item.key == "price":
            yield own(
                "text.price",
                device=capacity.device,
                value=item.value.partition(" ")[0],
            )


def _simulated(own: Phrases, capacity: Capacity) -> Iterator[Fact]:
    played = capacity.simulated
    if played is not None:
        text = own(
            "text.simulated",
            n=f"{played.requests:,}",
            percentile=f"{capacity.percentile:g}",
            ttft=format_seconds(played.ttft_seconds),
            tpot=format_seconds(played.tpot_seconds),
        )
        yield Fact(own("fact.simulated"), text)


def _run(t: Phrases, capacity: Capacity, width: int) -> Iterator[Section]:
    """The command of one replica, and what it cannot say; where none serves it, why."""
    command = serving_command(capacity.replica)
    said = t("answer.join").join(t.original(note) for note in command.notes)
    notes = (Items((said,)),) if said else ()
    if not command.words:
        yield Section("", notes)
        return
    copies = capacity.replicas
    title = t(
        "plan.run",
        each=t("plan.each_replica", n=f"{copies:,}") if copies > 1 else "",
        nodes=t("plan.nodes") if command.nodes else "",
    )
    yield Section(title, (Code(tuple(server_lines(command, width))), *notes))
