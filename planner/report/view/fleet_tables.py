"""The tables of a fleet's answer: pools, stock, formats, requests, pairs that are not used."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_seconds, format_three
from planner.planning.plan.open_arrivals import LimitAtPercentile
from planner.report.phrases import Phrases
from planner.report.plan_terms import chance
from planner.report.view.record import Items, Section, Table
from planner.report.words import NAMES
from planner.sizing.fleet.fleet_record import (
    Fleet,
    FleetDevice,
    FleetModel,
    FleetPool,
    FleetRequests,
    MarginalValue,
)

NONE = "-"


def pools_table(t: Phrases, fleet: Fleet) -> Table:
    """Who serves what; a model's spare room stands beside its first pool."""
    heads = ("model", "device", "replicas", "devices", "rate", "spare")
    after = ("kept", "cost")
    models = {model.name: model for model in fleet.models}
    rows = tuple(_pool_cells(fleet, models[pool.name], pool) for pool in fleet.pools)
    return Table(
        (
            *(t(f"pools.{head}") for head in heads),
            "TTFT",
            "TPOT",
            *(t(f"pools.{head}") for head in after),
        ),
        rows,
        (0, 1, 2),
        (t("pools.note"),),
    )


def _pool_cells(fleet: Fleet, model: FleetModel, pool: FleetPool) -> tuple[str, ...]:
    first = fleet.of(pool.name)[0] is pool
    layout = "" if pool.devices == pool.replicas else f" × {pool.layout.upper()}"
    return (
        pool.name,
        pool.device,
        f"{pool.replicas:,}{layout}",
        f"{pool.devices:,}",
        f"{pool.requests_per_second:.3g}",
        f"{model.spare:+.0%}" if first else "",
        format_seconds(pool.ttft_seconds.value),
        format_seconds(pool.tpot_seconds.value),
        chance(pool.least_chance),
        NONE if pool.usd_per_hour is None else f"{pool.usd_per_hour:.2f}",
    )


def stock_section(t: Phrases, fleet: Fleet) -> Section:
    """What there is, what is used, and what one device or host more would change."""
    keys = ("device", "stock", "used", "spare", "price")
    worth = ("one_saves", "one_grows", "host_saves", "host_grows")
    heads = tuple(t(f"devices.{key}") for key in (*keys, *worth))
    rows = tuple(_stock_cells(device) for device in fleet.devices)
    notes = () if all_proved(fleet) else (t("devices.open"),)
    return Section(t("devices.title"), (Table(heads, rows, (0,), notes),))


def _stock_cells(device: FleetDevice) -> tuple[str, ...]:
    price = device.usd_per_device_hour
    return (
        device.device,
        f"{device.stock:,}",
        f"{device.used:,}",
        f"{device.spare:,}",
        NONE if price is None else f"{price:.2f}",
        _savings(device.one_more),
        _growth(device.one_more),
        _savings(device.host_more),
        _growth(device.host_more),
    )


def _savings(worth: MarginalValue | None) -> str:
    """USD an hour that more devices save."""
    if worth is None or worth.usd_per_hour_saved is None:
        return NONE
    return f"{worth.usd_per_hour_saved:.2f}" if worth.usd_per_hour_saved else "0"


def _growth(worth: MarginalValue | None) -> str:
    """What more devices add to the growth of all rates."""
    return NONE if worth is None else f"+{worth.growth_gained:.3g}" if worth.growth_gained else "0"


def all_proved(fleet: Fleet) -> bool:
    """Whether all that one device, or host, more is worth was proved to the end."""
    return all(
        worth is None or worth.proved
        for device in fleet.devices
        for worth in (device.one_more, device.host_more)
    )


def formats_section(t: Phrases, fleet: Fleet) -> Section:
    """Engine, formats and loss of each pool, with its replicas at either end of the interval."""
    lines = tuple(
        t(
            "pools.format",
            name=pool.name,
            device=pool.device,
            engine=_engine(pool.engine),
            schemes=" + ".join(pool.schemes),
            kv=pool.kv,
            loss=f"{pool.loss:.2g}",
            made=t("pools.made") if pool.needs_new_weights else "",
        )
        + t("list.join")
        + t("pools.range", range=_range(t, pool))
        for pool in fleet.pools
    )
    return Section(t("pools.formats"), (Items(lines),), detail=True)


def _engine(text: str) -> str:
    name, _, version = text.partition(" ")
    return f"{NAMES.get(name, name)} {version}".strip()


def _range(t: Phrases, pool: FleetPool) -> str:
    """Replicas at either end of the interval of the step times."""
    low = t("pools.none") if pool.replicas_low is None else f"{pool.replicas_low:,}"
    high = t("pools.none") if pool.replicas_high is None else f"{pool.replicas_high:,}"
    return low if low == high else f"{low}–{high}"


def requests_section(t: Phrases, fleet: Fleet) -> Section:
    """Requests, limits and price of each model."""
    keys = ("name", "model", "rate", "million", "requests")
    rows = tuple(
        (
            model.name,
            model.model,
            f"{model.requests_per_second:.4g}",
            NONE
            if model.usd_per_million_output_tokens is None
            else format_three(model.usd_per_million_output_tokens),
            t("list.join").join(
                (*(_request(t, kind) for kind in model.requests), _limits(t, model))
            ),
        )
        for model in fleet.models
    )
    heads = tuple(t(f"models.{key}") for key in keys)
    return Section(t("models.title"), (Table(heads, rows, (0, 1, 4)),), detail=True)


def _request(t: Phrases, kind: FleetRequests) -> str:
    hit = t("models.hit", rate=f"{kind.prefix_hit_rate:.0%}") if kind.prefix_hit_rate else ""
    return t(
        "models.named" if kind.name else "models.request",
        share=f"{kind.share:.0%}",
        name=kind.name,
        isl=f"{kind.isl:,}",
        osl=f"{kind.osl:,}",
        hit=hit,
    )


def _limits(t: Phrases, model: FleetModel) -> str:
    parts = [
        t("models.limit", what=_at(model, limit), time=format_seconds(limit.seconds))
        for limit in model.limits
    ]
    both = t("list.comma").join(parts)
    return t("models.both", limits=both, percentile=f"{model.percentile:g}")


def _at(model: FleetModel, limit: LimitAtPercentile) -> str:
    """The time that is limited, with its percentile where it is another than the model's."""
    alike = limit.percentile == model.percentile
    return limit.what if alike else f"p{limit.percentile:g} {limit.what}"


def refused_section(t: Phrases, fleet: Fleet) -> Iterator[Section]:
    """Pairs that cannot serve, each with its reason; nothing where all can."""
    lines = tuple(
        t("refused.pair", name=name, device=device, reason=t.original(reason))
        for name, device, reason in fleet.refused
    )
    if lines:
        yield Section(t("refused.title"), (Items(lines),), detail=True)
