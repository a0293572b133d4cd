"""A fleet as one self-contained page: no script, no network, the same bytes for the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planner.planning.plan.record import Estimate
from planner.report.charts.fleet_svg import SHADES, devices_svg, limits_svg
from planner.report.compared_terms import rounded_loss
from planner.report.key_figures import KeyFigure
from planner.report.phrases import Phrases, phrases
from planner.report.render.embedded import CONTROL
from planner.report.render.html import _environment, _marked_up
from planner.report.terminal.fleet import all_proved, growth_percent, growth_text, savings_text
from planner.report.words import span
from planner.sizing.capacity_record import HOURS_A_MONTH
from planner.sizing.fleet.fleet_record import (
    Fleet,
    FleetDevice,
    FleetModel,
    FleetPool,
    FleetRequests,
)

LANGUAGE_FOLDER = Path(__file__).resolve().parents[1] / "lang_fleet"
NOTES = ("replicas", "mixes", "plans", "hosts", "assignment")


def fleet_page(fleet: Fleet, lang: str = "en") -> str:
    """The whole HTML document, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    say = phrases(lang, LANGUAGE_FOLDER)
    order = {model.name: n % SHADES for n, model in enumerate(fleet.models)}
    text = (
        _environment()
        .get_template("fleet.html.j2")
        .render(
            say=say,
            title=say.name(fleet.title),
            verdict=_verdict(say, fleet),
            figures=_figures(say, fleet),
            devices_figure=Markup(devices_svg(say, fleet)),
            limits_figure=Markup(limits_svg(say, fleet)),
            devices=[_device(fleet_device) for fleet_device in fleet.devices],
            proved=all_proved(fleet),
            pools=[{**_pool(say, pool), "shade": order[pool.name]} for pool in fleet.pools],
            models=[{**_model(say, model), "shade": order[model.name]} for model in fleet.models],
            refused=[
                (name, device, _marked_up(say.marked(reason)))
                for name, device, reason in fleet.refused
            ],
            notes=[_marked_up(text) for text in _notes(say, fleet)],
        )
    )
    return text.translate(CONTROL)


def _verdict(say: Phrases, fleet: Fleet) -> tuple[str, ...]:
    count = len(fleet.models)
    values = {
        "used": sum(device.used for device in fleet.devices),
        "stock": sum(device.stock for device in fleet.devices),
        "models": say(f"verdict.{'models' if count > 1 else 'model'}", n=count),
        "growth": f"{fleet.growth:.3g}",
        "usd": _money(fleet.usd_per_hour),
    }
    kind = (
        "free"
        if fleet.work.gap or (fleet.goal == "cost" and fleet.usd_per_hour is None)
        else fleet.goal
    )
    gap = "0" if not fleet.work.gap else f"{fleet.work.gap:.1e}"
    return (
        say(f"verdict.{kind}", **values),
        *([say("verdict.growth", **values)] if kind != "spare" else []),
        say(
            "verdict.open" if fleet.work.gap else "verdict.proof",
            ways=fleet.work.ways,
            pairs=fleet.work.pairs,
            gap=gap,
        ),
    )


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _figures(say: Phrases, fleet: Fleet) -> list[KeyFigure]:
    """Cost, devices, growth, the tightest model, and what the intervals would change."""
    used = sum(device.used for device in fleet.devices)
    stock = sum(device.stock for device in fleet.devices)
    tight = min(fleet.models, key=lambda device: device.spare)
    out = []
    if fleet.usd_per_hour is not None:
        monthly = f"{fleet.usd_per_hour * HOURS_A_MONTH:,.0f}"
        out.append(
            KeyFigure(
                say("figure.cost"),
                _money(fleet.usd_per_hour),
                say("figure.cost_unit"),
                "",
                say("figure.cost_note", usd=monthly),
            )
        )
    low, high = _ends(fleet)
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
            f"{fleet.growth:.3g}",
            say("figure.growth_unit"),
            "",
            say("figure.growth_note"),
        ),
        KeyFigure(
            say("figure.tight"),
            growth_percent(tight.spare),
            "",
            "",
            say("figure.tight_note", name=tight.name),
        ),
    ]
    return out


def _ends(fleet: Fleet) -> tuple[int, int | None]:
    """Devices that the same pools need at either end of the interval of their step times."""

    def devices(counts: list[tuple[FleetPool, int | None]]) -> int | None:
        if any(count is None for _, count in counts):
            return None
        return sum((count or 0) * pool.devices // pool.replicas for pool, count in counts)

    low = devices([(pool, pool.replicas_low or pool.replicas) for pool in fleet.pools]) or 0
    return low, devices([(pool, pool.replicas_high) for pool in fleet.pools])


def _device(device: FleetDevice) -> dict[str, Any]:
    return {
        "device": device.device,
        "stock": f"{device.stock:,}",
        "host": device.devices_per_node,
        "used": f"{device.used:,}",
        "spare": f"{device.spare:,}",
        "price": _money(device.usd_per_device_hour),
        "one_saves": savings_text(device.one_more),
        "one_grows": growth_text(device.one_more),
        "host_saves": savings_text(device.host_more),
        "host_grows": growth_text(device.host_more),
    }


def _pool(say: Phrases, pool: FleetPool) -> dict[str, Any]:
    layout = pool.layout if pool.devices > pool.replicas else say("pools.single")
    high = say("pools.none") if pool.replicas_high is None else str(pool.replicas_high)
    return {
        "name": pool.name,
        "device": pool.device,
        "replicas": f"{pool.replicas} × {layout}",
        "ends": f"({pool.replicas_low}–{high})",
        "devices": str(pool.devices),
        "rate": f"{pool.requests_per_second:.3g}",
        "room": f"{pool.room_per_second:.3g}",
        "ttft": _time(pool.ttft_seconds),
        "tpot": _time(pool.tpot_seconds),
        "cost": _money(pool.usd_per_hour),
        "loss": rounded_loss(pool.loss),
        "formats": f"{pool.engine}, {' + '.join(pool.schemes)}, KV {pool.kv}",
    }


def _time(value: Estimate) -> tuple[str, str]:
    return span(value.value), f"{span(value.low)} – {span(value.high)}"


def _model(say: Phrases, model: FleetModel) -> dict[str, Any]:
    limits = [
        say("models.limit", what=what, time=span(value))
        for what, value in (("TTFT", model.ttft_limit_seconds), ("TPOT", model.tpot_limit_seconds))
        if value is not None
    ]
    requests = [_request(say, kind) for kind in model.requests]
    million = model.usd_per_million_output_tokens
    return {
        "name": model.name,
        "model": model.model,
        "rate": f"{model.requests_per_second:.4g}",
        "requests": requests,
        "spare": growth_percent(model.spare),
        "cost": _money(model.usd_per_hour),
        "million": "–" if million is None else f"{million:.3g}",
        "limits": say(
            "models.both",
            limits=say("notes.comma").join(limits),
            percentile=f"{model.percentile:g}",
        ),
    }


def _request(say: Phrases, requests: FleetRequests) -> str:
    hit = (
        say("models.hit", rate=f"{requests.prefix_hit_rate:.0%}")
        if requests.prefix_hit_rate
        else ""
    )
    return say(
        "models.named" if requests.name else "models.request",
        share=f"{requests.share:.0%}",
        name=requests.name,
        isl=f"{requests.isl:,}",
        osl=f"{requests.osl:,}",
        hit=hit,
    )


def _notes(say: Phrases, fleet: Fleet) -> list[str]:
    prices = say("notes.comma").join(
        say(
            "notes.price",
            device=device.device,
            usd=_money(device.usd_per_device_hour),
            source=say.name(device.price_source),
        )
        for device in fleet.devices
        if device.usd_per_device_hour is not None
    )
    return [
        say("notes.arrivals", router=say.name(fleet.router)),
        *(say(f"notes.{name}") for name in NOTES),
        *([say("notes.prices", prices=prices)] if prices else []),
    ]
