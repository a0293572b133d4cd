"""The view of ``plan fleet``: first which limit may be missed and with what chance, then what it
costs, who serves what, and what more devices would be worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.base.units import format_seconds
from planner.report.phrases import Phrases
from planner.report.plan_terms import chance, time_span
from planner.report.view.fleet_tables import (
    formats_section,
    pools_table,
    refused_section,
    requests_section,
    stock_section,
)
from planner.report.view.record import Block, Fact, Section, View
from planner.report.view.verb_words import capital, notes_view, verb_phrases, word
from planner.sizing.capacity_record import HOURS_A_MONTH
from planner.sizing.fleet.figures import LimitShare, devices_at_ends, limit_shares
from planner.sizing.fleet.fleet_record import Fleet, FleetPool

VERB = "fleet"
SURE = 0.9
"""Chances below this are told as a risk."""
MOST_RISKS = 3
"""Risks in the first line; the table has all."""
SETTLED = 1e-3
"""Losses below this share of a nat are told as none."""


def fleet_view(fleet: Fleet, lang: str, *, hints: bool = True) -> View:
    """The whole answer; ``hints``: with the flags that show more."""
    t = verb_phrases(VERB, lang)
    first: tuple[Block, ...] = (pools_table(t, fleet),)
    stock = stock_section(t, fleet)
    more = (Fact(t("more.label"), t("more.flags")),) if hints else ()
    notes = notes_view(fleet.assumptions, lang).sections
    return View(
        _title(t, fleet),
        tuple(_facts(t, fleet)),
        (
            Section(t("pools.title"), first),
            Section(stock.title, (*stock.blocks, *more)),
            formats_section(t, fleet),
            requests_section(t, fleet),
            *refused_section(t, fleet),
            *(Section(capital(note.title), note.blocks, detail=True) for note in notes),
        ),
    )


def _title(t: Phrases, fleet: Fleet) -> str:
    count = len(fleet.models)
    kind = "free" if fleet.goal == "cost" and fleet.usd_per_hour is None else fleet.goal
    return t(
        f"head.{kind}",
        title=t.name(fleet.title),
        used=f"{sum(device.used for device in fleet.devices):,}",
        stock=f"{sum(device.stock for device in fleet.devices):,}",
        models=t("head.model" if count == 1 else "head.models", n=count),
        usd=_money(fleet.usd_per_hour),
        growth=f"{fleet.growth:.3g}",
    )


def _facts(t: Phrases, fleet: Fleet) -> Iterator[Fact]:
    yield Fact(t("fact.risk"), t("list.join").join(_risks(t, fleet)))
    yield Fact(t("fact.fits"), _fits(t, fleet))
    yield Fact(t("fact.throughput"), _throughput(t, fleet))
    yield Fact(t("fact.cost"), t("list.join").join(_cost(t, fleet)))
    yield Fact(t("fact.quality"), t("list.join").join(_quality(t, fleet)))
    yield Fact(t("fact.assumed"), t("list.join").join(_assumed(t, fleet)))


def _risks(t: Phrases, fleet: Fleet) -> Iterator[str]:
    """Limits that a replay misses on as many replicas as formulas count, then those that are not
    kept for sure, the least sure first."""
    missed = [pool for pool in fleet.pools if pool.replay is not None and not pool.replay.kept]
    if missed:
        yield t("risk.replayed", names=_named(t, missed))
    risks = sorted(limit_shares(fleet), key=lambda share: share.kept)
    shown = [share for share in risks if share.kept < SURE]
    least = f"{100 * SURE:.0f} %"
    if not shown:
        yield t("risk.none", least=least)
        return
    for share in shown[:MOST_RISKS]:
        yield _risk(t, fleet, share)
    if len(shown) > MOST_RISKS:
        yield t("risk.more", n=len(shown) - MOST_RISKS, least=least)
    elif len(shown) < len(risks):
        yield t("risk.rest", least=least)
    endless = [pool for pool in fleet.pools if pool.replicas_high is None]
    if endless:
        yield t("risk.worst", names=_named(t, endless))


def _risk(t: Phrases, fleet: Fleet, share: LimitShare) -> str:
    """A limit with the chance that it is missed, and how many devices keep it at the long end."""
    text = t(
        "risk.crosses",
        name=share.name,
        device=share.device,
        what=share.what,
        limit=format_seconds(share.limit),
        value=format_seconds(share.time.value),
        span=time_span(share.time),
        percentile=f"{share.percentile:g}",
        chance=chance(1 - share.kept),
    )
    pool = next(pool for pool in fleet.of(share.name) if pool.device == share.device)
    if pool.replicas_high is None or pool.replicas_high <= pool.replicas:
        return text
    needed = pool.replicas_high * pool.devices // pool.replicas
    return text + t("risk.raised", needed=f"{needed:,}", devices=f"{pool.devices:,}")


def _named(t: Phrases, pools: Sequence[FleetPool]) -> str:
    return t("list.comma").join(dict.fromkeys(pool.name for pool in pools))


def _fits(t: Phrases, fleet: Fleet) -> str:
    """What is left, and how many devices either end of the interval would take."""
    low, high = devices_at_ends(fleet)
    left = f"{sum(device.spare for device in fleet.devices):,}"
    if low == high:
        return t("text.fits_alike", left=left)
    if high is None:
        return t("text.fits_open", left=left, low=f"{low:,}")
    stock = sum(device.stock for device in fleet.devices)
    over = t("text.over_stock", stock=f"{stock:,}") if high > stock else ""
    return t("text.fits", left=left, low=f"{low:,}", high=f"{high:,}") + over


def _throughput(t: Phrases, fleet: Fleet) -> str:
    tight = min(fleet.models, key=lambda model: model.spare)
    return t(
        "text.throughput",
        rate=f"{sum(model.requests_per_second for model in fleet.models):.4g}",
        name=tight.name,
        spare=f"{tight.spare:+.0%}",
        growth=f"{fleet.growth:.3g}",
    )


def _cost(t: Phrases, fleet: Fleet) -> Iterator[str]:
    usd = fleet.usd_per_hour
    if usd is None:
        yield t("text.no_price")
    else:
        yield t("text.cost", usd=_money(usd), month=f"{usd * HOURS_A_MONTH:,.0f}")
    best = "text.most_room" if fleet.goal == "spare" else "text.cheapest"
    if fleet.goal == "spare" or usd is not None:
        yield t("list.comma").join((t(best), _search(t, fleet)))
    else:
        yield _search(t, fleet)


def _quality(t: Phrases, fleet: Fleet) -> Iterator[str]:
    """The largest loss, and what needs new weights."""
    worst = max(fleet.pools, key=lambda pool: pool.loss)
    if worst.loss < SETTLED / 10:
        yield t("text.unchanged")
    else:
        yield t("text.quality", loss=f"{worst.loss:.2g}", name=worst.name, device=worst.device)
    made = [pool for pool in fleet.pools if pool.needs_new_weights]
    if not made:
        return
    yield t("text.new_weights", names=_named(t, made))
    existing = fleet.usd_per_hour_existing
    if existing is not None:
        yield t("text.existing", usd=_money(existing))
    elif fleet.usd_per_hour is not None:
        yield t("text.no_existing")


def _search(t: Phrases, fleet: Fleet) -> str:
    """Whether it is proved, and over how many ways."""
    work = fleet.work
    if work.gap:
        return t("text.open", ways=f"{work.ways:,}", gap=f"{work.gap:.1%}")
    return t("text.proved", ways=f"{work.ways:,}")


def _assumed(t: Phrases, fleet: Fleet) -> Iterator[str]:
    yield t("text.arrivals", router=word(t, "router", fleet.router))
    replayed = sum(pool.replay is not None and pool.replay.replaced for pool in fleet.pools)
    if replayed:
        yield t("text.replayed", n=replayed, all=len(fleet.pools))
    yield t("text.interval")


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"
