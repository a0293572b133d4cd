"""The view of ``plan replay``: what came, what became of it, and how times go."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_rate, format_seconds
from planner.planning.replay.record import ReplayAnswer
from planner.report.phrases import Phrases, phrases_on
from planner.report.view.answer_facts import degrees_text, evidence_words, names_read
from planner.report.view.record import Block, Fact, Section, View
from planner.report.view.replay_pools import pool_facts, preempted
from planner.report.view.replay_tables import exact_times, over_time, stages, times
from planner.report.view.verb_words import capital, notes_view, shared_word, verb_phrases, word
from planner.report.words import NAMES
from planner.throughput.calibration import ANY_ENGINE

VERB = "replay"
LIMITS = (("ttft", "TTFT"), ("tpot", "TPOT"), ("e2e", "E2E"))


def replay_view(answer: ReplayAnswer, lang: str, *, hints: bool = True) -> View:
    """The whole answer; ``hints``: with the flags that show more."""
    t, own = phrases_on(answer.question.device, lang), verb_phrases(VERB, lang)
    facts = (
        Fact(own("fact.load"), _load(own, answer)),
        *_stopped(own, answer),
        Fact(own("fact.throughput"), _throughput(own, answer)),
        Fact(own("fact.goodput"), _goodput(own, answer)),
        Fact(own("fact.queue"), _queue(own, answer)),
        *(pool_facts(t, own, answer) if answer.replay.pools else _cache(own, answer)),
        Fact(t("plan.setup"), _setup(t, own, answer)),
        Fact(t("plan.assumed"), own("list.join").join(_assumed(t, own, answer))),
    )
    more: tuple[Block, ...] = (Fact(own("more.label"), own("more.flags")),) if hints else ()
    notes = notes_view(answer.assumptions, lang).sections
    return View(
        _title(own, answer),
        facts,
        (
            Section(own("table.title"), (times(own, answer.replay.percentiles), *more)),
            *stages(own, answer),
            exact_times(own, answer.replay.percentiles),
            over_time(own, answer.replay.over_time),
            *(Section(capital(note.title), note.blocks, detail=True) for note in notes),
        ),
    )


def arrivals_text(own: Phrases, law: str) -> str:
    """A law of arrivals in words; a trace by its name."""
    kind, _, cv = law.partition(":")
    text = own.texts.get(f"arrivals.{kind}")
    return law if text is None else own(f"arrivals.{kind}", cv=cv) if cv else text


def _title(own: Phrases, answer: ReplayAnswer) -> str:
    asked, load = answer.question, answer.load
    if answer.replay.stages:
        how = own(
            "head.stages",
            n=len(answer.replay.stages),
            arrivals=arrivals_text(own, load.arrivals),
        )
    elif load.seconds <= 0:
        how = own("head.burst")
    elif load.asked_rate is None:
        how = own("head.trace", name=load.arrivals)
    else:
        how = own(
            "head.rate",
            rate=f"{load.asked_rate:.4g}",
            arrivals=arrivals_text(own, load.arrivals),
        )
    return own(
        "head.title",
        model=asked.model,
        devices=f"{asked.devices:,}",
        device=asked.device,
        requests=f"{load.requests:,}",
        how=how,
    )


def _load(own: Phrases, answer: ReplayAnswer) -> str:
    load, result = answer.load, answer.replay
    hits = f"{load.prefix_hit_rate:.0%}"
    return own(
        "text.load" if load.seconds > 0 else "text.load_burst",
        rate=f"{load.rate:.3g}",
        time=format_seconds(load.seconds),
        isl=f"{load.mean_input_tokens:,.0f}",
        osl=f"{load.mean_output_tokens:,.0f}",
        hits=own("text.hits", share=hits) if load.prefix_hit_rate else "",
        rejected=own("text.rejected", n=f"{result.rejected:,}") if result.rejected else "",
    )


def _stopped(own: Phrases, answer: ReplayAnswer) -> Iterator[Fact]:
    if not answer.replay.complete:
        served = f"{answer.replay.requests:,}"
        yield Fact(
            own("fact.stopped"), own("text.stopped", n=served, all=f"{answer.load.requests:,}")
        )


def _throughput(own: Phrases, answer: ReplayAnswer) -> str:
    result = answer.replay
    rate = result.output_tokens_per_second
    return own(
        "text.throughput",
        rate=format_rate(rate.value),
        low=format_rate(rate.low),
        high=format_rate(rate.high),
        requests=f"{result.requests:,}",
        all=f"{answer.load.requests:,}",
        time=format_seconds(result.over_time.seconds[-1]),
    )


def _goodput(own: Phrases, answer: ReplayAnswer) -> str:
    result = answer.replay
    good = result.goodput
    if good is None:
        return own("text.no_goodput")
    served = result.requests / result.over_time.seconds[-1]
    limits = (
        own("text.limit", what=what, value=format_seconds(answer.question.limits[name]))
        for name, what in LIMITS
        if name in answer.question.limits
    )
    return own(
        "text.goodput",
        rate=f"{good.value:.3g}",
        low=f"{good.low:.3g}",
        high=f"{good.high:.3g}",
        share=f"{min(good.value / served, 1.0):.0%}" if served else "–",
        limits=own("list.comma").join(limits),
    )


def _queue(own: Phrases, answer: ReplayAnswer) -> str:
    beyond, waiting = answer.replay.saturation, answer.replay.over_time.waiting
    if beyond is None:
        return own(
            "text.holds",
            most=f"{max(waiting):,.0f}",
            mean=format_rate(sum(waiting) / len(waiting)),
        )
    holds = own("text.rate_holds", rate=f"{beyond.holds:.3g}")
    return own(
        "text.grows",
        offered=f"{beyond.offered:.3g}",
        served=f"{beyond.served:.3g}",
        growth=f"{beyond.growth:.3g}",
        holds=holds if beyond.holds > 0 else own("text.none_holds"),
    )


def _cache(own: Phrases, answer: ReplayAnswer) -> Iterator[Fact]:
    result, count = answer.replay, answer.replay.preemptions
    shares = result.over_time.cache_share
    text = own(
        "text.cache",
        tokens=f"{answer.question.cache_tokens:,}",
        mean=f"{sum(shares) / len(shares):.0%}",
        most=f"{max(shares):.0%}",
        hits=f"{result.prefix_hit_rate:.0%}",
        preempted=preempted(own, count),
    )
    yield Fact(own("fact.cache"), text)


def _setup(t: Phrases, own: Phrases, answer: ReplayAnswer) -> str:
    asked, result = answer.question, answer.replay
    name, _, version = asked.engine.partition(" ")
    engine = " ".join(filter(None, (NAMES.get(name, name), version)))
    first = own(
        "text.setup",
        engine=own("text.no_engine") if name == ANY_ENGINE else engine,
        layout=own("head.pools")
        if result.pools
        else degrees_text(t, asked.layout) or own("head.single"),
        scheme=word(own, "scheme", asked.scheme),
        kv=asked.kv,
        slots=f"{asked.max_sequences:,}",
        tokens=f"{asked.token_budget:,}",
    )
    each, prompt = (
        value.mean.evidence
        for value in (result.percentiles.tpot_seconds, result.percentiles.ttft_seconds)
    )
    return own("list.join").join(filter(None, (first, evidence_words(t, each, prompt))))


def _assumed(t: Phrases, own: Phrases, answer: ReplayAnswer) -> Iterator[str]:
    """What of the load was drawn, names as they were read, what the ranges are."""
    if answer.load.lengths:
        yield own("text.lengths", title=answer.load.lengths)
    if answer.load.asked_rate is not None or answer.replay.stages:
        yield own("text.seed", seed=answer.load.seed)
    yield from dict.fromkeys(names_read(t, answer.assumptions))
    basis = answer.replay.percentiles.tpot_seconds.mean.basis
    yield own("text.ranges", basis=shared_word(own, "basis", basis))
