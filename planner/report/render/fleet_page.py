"""A fleet as one self-contained page: no script, no network, the same bytes for the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planner.planning.plan.record import Estimate
from planner.report.charts.fleet_svg import SHADES, devices_svg, limits_svg
from planner.report.phrases import Phrases, phrases
from planner.report.render.embedded import CONTROL
from planner.report.render.html import _environment, _told
from planner.report.terminal.compared import told_loss
from planner.report.terminal.fleet import all_proved, gained, percent, saved
from planner.report.words import KeyFigure, span
from planner.sizing.answer import HOURS_A_MONTH
from planner.sizing.fleet.answer import Fleet, FleetDevice, FleetModel, FleetPool, FleetRequests

LANGUAGE_FOLDER = Path(__file__).resolve().parents[1] / "lang_fleet"
NOTES = ("replicas", "mixes", "plans", "hosts", "assignment")


def fleet_page(found: Fleet, lang: str = "en") -> str:
    """The whole HTML document, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    say = phrases(lang, LANGUAGE_FOLDER)
    order = {one.name: n % SHADES for n, one in enumerate(found.models)}
    text = (
        _environment()
        .get_template("fleet.html.j2")
        .render(
            say=say,
            title=say.name(found.title),
            verdict=_verdict(say, found),
            figures=_figures(say, found),
            devices_figure=Markup(devices_svg(say, found)),
            limits_figure=Markup(limits_svg(say, found)),
            devices=[_device(one) for one in found.devices],
            proved=all_proved(found),
            pools=[{**_pool(say, one), "shade": order[one.name]} for one in found.pools],
            models=[{**_model(say, one), "shade": order[one.name]} for one in found.models],
            refused=[
                (name, device, _told(say.marked(reason))) for name, device, reason in found.refused
            ],
            notes=[_told(text) for text in _notes(say, found)],
        )
    )
    return text.translate(CONTROL)


def _verdict(say: Phrases, found: Fleet) -> tuple[str, ...]:
    count = len(found.models)
    values = {
        "used": sum(one.used for one in found.devices),
        "stock": sum(one.stock for one in found.devices),
        "models": say(f"verdict.{'models' if count > 1 else 'model'}", n=count),
        "growth": f"{found.growth:.3g}",
        "usd": _money(found.usd_per_hour),
    }
    kind = (
        "free"
        if found.work.gap or (found.goal == "cost" and found.usd_per_hour is None)
        else found.goal
    )
    gap = "0" if not found.work.gap else f"{found.work.gap:.1e}"
    return (
        say(f"verdict.{kind}", **values),
        *([say("verdict.growth", **values)] if kind != "spare" else []),
        say(
            "verdict.open" if found.work.gap else "verdict.proof",
            ways=found.work.ways,
            pairs=found.work.pairs,
            gap=gap,
        ),
    )


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _figures(say: Phrases, found: Fleet) -> list[KeyFigure]:
    """Cost, devices, growth, the tightest model, and what the intervals would change."""
    used = sum(one.used for one in found.devices)
    stock = sum(one.stock for one in found.devices)
    tight = min(found.models, key=lambda one: one.spare)
    out = []
    if found.usd_per_hour is not None:
        monthly = f"{found.usd_per_hour * HOURS_A_MONTH:,.0f}"
        out.append(
            KeyFigure(
                say("figure.cost"),
                _money(found.usd_per_hour),
                say("figure.cost_unit"),
                "",
                say("figure.cost_note", usd=monthly),
            )
        )
    low, high = _ends(found)
    out += [
        KeyFigure(
            say("figure.used"),
            f"{used:,}",
            say("figure.used_unit", stock=f"{stock:,}"),
            "",
            say("figure.used_note", left=f"{stock - used:,}"),
        ),
        KeyFigure(
            say("figure.ends"),
            str(low) if high is None else f"{low}–{high}",
            "",
            "",
            say("figure.no_end" if high is None else "figure.ends_note"),
        ),
        KeyFigure(
            say("figure.growth"),
            f"{found.growth:.3g}",
            say("figure.growth_unit"),
            "",
            say("figure.growth_note"),
        ),
        KeyFigure(
            say("figure.tight"),
            percent(tight.spare),
            "",
            "",
            say("figure.tight_note", name=tight.name),
        ),
    ]
    return out


def _ends(found: Fleet) -> tuple[int, int | None]:
    """Devices that the same pools need at either end of the interval of their step times."""

    def devices(counts: list[tuple[FleetPool, int | None]]) -> int | None:
        if any(count is None for _, count in counts):
            return None
        return sum((count or 0) * pool.devices // pool.replicas for pool, count in counts)

    low = devices([(pool, pool.replicas_low or pool.replicas) for pool in found.pools]) or 0
    return low, devices([(pool, pool.replicas_high) for pool in found.pools])


def _device(one: FleetDevice) -> dict[str, Any]:
    return {
        "device": one.device,
        "stock": f"{one.stock:,}",
        "host": one.devices_per_node,
        "used": f"{one.used:,}",
        "spare": f"{one.spare:,}",
        "price": _money(one.usd_per_device_hour),
        "one_saves": saved(one.one_more),
        "one_grows": gained(one.one_more),
        "host_saves": saved(one.host_more),
        "host_grows": gained(one.host_more),
    }


def _pool(say: Phrases, one: FleetPool) -> dict[str, Any]:
    layout = one.layout if one.devices > one.replicas else say("pools.single")
    high = say("pools.none") if one.replicas_high is None else str(one.replicas_high)
    return {
        "name": one.name,
        "device": one.device,
        "replicas": f"{one.replicas} × {layout}",
        "ends": f"({one.replicas_low}–{high})",
        "devices": str(one.devices),
        "rate": f"{one.requests_per_second:.3g}",
        "room": f"{one.room_per_second:.3g}",
        "ttft": _time(one.ttft_seconds),
        "tpot": _time(one.tpot_seconds),
        "cost": _money(one.usd_per_hour),
        "loss": told_loss(one.loss),
        "formats": f"{one.engine}, {' + '.join(one.schemes)}, KV {one.kv}",
    }


def _time(value: Estimate) -> tuple[str, str]:
    return span(value.value), f"{span(value.low)} – {span(value.high)}"


def _model(say: Phrases, one: FleetModel) -> dict[str, Any]:
    limits = [
        say("models.limit", what=what, time=span(value))
        for what, value in (("TTFT", one.ttft_limit_seconds), ("TPOT", one.tpot_limit_seconds))
        if value is not None
    ]
    requests = [_request(say, kind) for kind in one.requests]
    million = one.usd_per_million_output_tokens
    return {
        "name": one.name,
        "model": one.model,
        "rate": f"{one.requests_per_second:.4g}",
        "requests": requests,
        "spare": percent(one.spare),
        "cost": _money(one.usd_per_hour),
        "million": "–" if million is None else f"{million:.3g}",
        "limits": say(
            "models.both", limits=say("notes.comma").join(limits), percentile=f"{one.percentile:g}"
        ),
    }


def _request(say: Phrases, one: FleetRequests) -> str:
    hit = say("models.hit", rate=f"{one.prefix_hit_rate:.0%}") if one.prefix_hit_rate else ""
    return say(
        "models.named" if one.name else "models.request",
        share=f"{one.share:.0%}",
        name=one.name,
        isl=f"{one.isl:,}",
        osl=f"{one.osl:,}",
        hit=hit,
    )


def _notes(say: Phrases, found: Fleet) -> list[str]:
    prices = say("notes.comma").join(
        say(
            "notes.price",
            device=one.device,
            usd=_money(one.usd_per_device_hour),
            source=say.name(one.price_source),
        )
        for one in found.devices
        if one.usd_per_device_hour is not None
    )
    return [
        say("notes.arrivals", router=say.name(found.router)),
        *(say(f"notes.{name}") for name in NOTES),
        *([say("notes.prices", prices=prices)] if prices else []),
    ]
