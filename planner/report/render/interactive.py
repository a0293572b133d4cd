"""The what-if page inside a report: its section, styles and script, in one language.

The script only looks up what was planned when the page was made. The page's policy allows this one
script, by its digest, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from planner.base.errors import InputError
from planner.base.units import GIB
from planner.planning.plan.deployment import PoolLayout
from planner.planning.plan.picture import format_colour, text_colour
from planner.planning.plan.record import Plan
from planner.planning.what_if.grid import Grid, PlannedPoint, PooledPoint
from planner.planning.what_if.grid_axes import AS_RELEASED, AUTO, OWN, Axis
from planner.planning.what_if.grid_points import point_of_plan
from planner.report import words
from planner.report.phrases import Phrases, phrases_on
from planner.report.plan_terms import layout_words
from planner.report.render.interactive_rows import (
    DIGITS,
    POWERS,
    PlannedTexts,
    packed_integers,
)
from planner.report.view.pools import schemes_text
from planner.workloads import load_workload

HERE = Path(__file__).resolve().parents[1]
LANGUAGE_FOLDER = HERE / "lang_what_if"
SCRIPTS = tuple(HERE / "templates" / f"interactive{part}.js" for part in ("_data", "_chart", ""))
FIGURES = ("rate", "each", "tpot", "ttft", "users", "loss", "used", "usd", "joules")
"""Rows of the table; the last only where the device states its power."""
MAX_BYTES = 2 << 20
"""The most that the data of a page may take."""


@dataclass(frozen=True, slots=True)
class Interactive:
    """What a template needs: the page's texts ``w``, its controls by group, the axes that the chart
    may go along, rows of the table, data as JSON values, the script and its digest for the page's
    policy."""

    w: Phrases
    points: str
    groups: tuple[tuple[str, tuple[dict[str, Any], ...]], ...]
    charted: tuple[tuple[int, dict[str, Any]], ...]
    figures: tuple[str, ...]
    loss: str
    data: dict[str, Any]
    script: str
    digest: str

    @property
    def first(self) -> int:
        """The axis that the chart goes along at first: the one of most positions."""
        return max(
            self.charted, key=lambda numbered_axis: len(numbered_axis[1]["values"]), default=(0, {})
        )[0]


def interactive(grid: Grid, plan: Plan, lang: str) -> Interactive:
    """The what-if page of a grid around ``plan``.

    Raises:
        UnknownNameError: no such language.
    """
    w = phrases_on(plan.device.id, lang, LANGUAGE_FOLDER)
    data = page_data(grid, plan, phrases_on(plan.device.id, lang), w)
    script, digest = _script()
    groups = grouped_axes(grid.axes)
    axes = data["axes"]
    unit = data["loss_unit"]
    powered = any(
        isinstance(p, PlannedPoint) and p.performance.joules_per_output_token is not None
        for p in grid.points
    )
    return Interactive(
        w,
        words.count(len(grid.points)),
        tuple((group, tuple(axes[place] for place in places)) for group, places in groups),
        tuple((place, axes[place]) for _, places in groups for place in places),
        FIGURES if powered else FIGURES[:-1],
        w("figure.relative", scheme=unit) if unit else w("figure.nats"),
        data,
        script,
        digest,
    )


def check_bytes(size: int) -> None:
    """Refuse data that is too large to embed. That is known with the plans alone: texts that are
    equal stand in a page once, and how many differ is what planning finds. The most points there
    may be take less than half of it (about 150 bytes each), unless every layer decides by itself.

    Raises:
        InputError: it is.
    """
    if size > MAX_BYTES:
        raise InputError(
            f"the grid takes {size / 2**20:.1f} MiB of the page; at most {MAX_BYTES >> 20} MiB are "
            "embedded",
            hint="name fewer values, e.g. --grid context=8192,32768, or leave out --untie",
        )


@cache
def _script() -> tuple[str, str]:
    """The script, its parts in one scope, and its digest."""
    parts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    text = f'(() => {{\n"use strict";\n{parts}}})();\n'
    digest = hashlib.sha256(f"\n{text}".encode()).digest()
    return text, base64.b64encode(digest).decode()


SECONDS_AN_HOUR = 3600
POOLS_BY = ("workload", "context", "devices", "max-loss")
"""The axes whose positions pools stand beside, in the order of ``Grid.pools``."""


def page_data(grid: Grid, plan: Plan, t: Phrases, w: Phrases) -> dict[str, Any]:
    """The page's data as JSON values; ``t`` has the report's texts, ``w`` the page's own."""
    made = PlannedTexts(t, plan)
    own = made.row(point_of_plan(plan))
    places = [
        made.row(p) if isinstance(p, PlannedPoint) else -1 - made.refusal(p) for p in grid.points
    ]
    rows, memory = len(made.rows), plan.memory_per_device
    index = [place if place >= 0 else rows - 1 - place for place in places]
    return {
        "digits": DIGITS,
        "power": POWERS,
        "axes": [axis_data(axis, plan, w) for axis in grid.axes],
        "shown": [[group, list(where)] for group, where in grouped_axes(grid.axes)],
        "command": grid.command,
        "index": packed_integers(index, rows + len(made.refusals)),
        "positions": len(index),
        **made.columns(),
        "refused": made.refusals.all,
        "strips": made.strips.all,
        "kinds": made.kinds.all,
        "schemes": [
            [name, format_colour(name), text_colour(format_colour(name))]
            for name in made.schemes.all
        ],
        "usable": f"{memory.usable_bytes / GIB:.1f}",
        "capacity": memory.capacity_bytes / GIB,
        "own": own,
        "price": hourly_price(plan),
        "pools": [_pools(point, w) for point in grid.pools],
        "pools_by": list(POOLS_BY),
        "loss_unit": _loss_unit(plan),
        "basis": {k.partition(".")[2]: v for k, v in t.texts.items() if k.startswith("basis.")},
        "memory": {
            name: t(f"memory.{name}")
            for name in ("weights", "cache", "activations", "runtime", "free")
        },
        "texts": dict(w.texts),
    }


def hourly_price(plan: Plan) -> str:
    """USD per device-hour that the report's plan is priced at; empty where none is known."""
    money = plan.performance.usd_per_million_output_tokens
    if money is None:
        return ""
    each = plan.performance.output_tokens_per_second_per_device.value
    return f"{money.value * each * SECONDS_AN_HOUR / 1e6:.6g}"


def _pools(point: PooledPoint | None, w: Phrases) -> list[Any]:
    """[sentence, tokens/s] of the pools beside positions; tokens/s 0 where none keep the limits."""
    if point is None:
        return [w("pools.none"), 0]
    rate = point.output_tokens_per_second
    said = [
        f"{count} × {w.original(layout_words(PoolLayout(la.tp, la.dp, la.pp, la.ep)))}, "
        f"{schemes_text(schemes)}"
        for count, la, schemes in (point.prefill, point.decode)
    ]
    return [
        w(
            "pools.told",
            prefill=said[0],
            decode=said[1],
            kv=point.kv,
            rate=words.three_digits(rate),
            tpot=words.span(point.tpot_seconds),
            ttft=words.span(point.ttft_seconds),
        ),
        rate,
    ]


def _loss_unit(plan: Plan) -> str:
    """The scheme that a relative loss of 1 stands for; empty where losses are nats."""
    return plan.quality.relative_to or ""


NONE = "none"
NAMED = (OWN, AS_RELEASED, AUTO, NONE)
"""Values that have words of their own."""
GROUPS = (
    ("question", ("workload", "tpot-ms", "devices")),
    ("formats", ("max-loss", "engine", "kv", "schemes", "context", "batch")),
)
"""Controls from the top: what is asked first; names that are on no list stand last."""
ORDERED = frozenset({"tpot-ms", "devices", "max-loss", "context", "batch"})
"""Axes whose values have an order: sliders. The others are choices."""


def axis_data(axis: Axis, plan: Plan, w: Phrases) -> dict[str, Any]:
    """One axis: values as in a link, their labels, their short labels, flags, and its control."""
    return {
        "name": axis.name,
        "label": w(f"axis.{axis.name}"),
        "values": list(axis.values),
        "labels": [value_label(axis.name, v, plan, w) for v in axis.values],
        "ticks": [_tick(axis.name, v, w) for v in axis.values],
        "notes": [_note(axis.name, v, plan, w) for v in axis.values],
        "flags": list(axis.flags),
        "base": axis.base,
        "slider": axis.name in ORDERED,
    }


def grouped_axes(axes: tuple[Axis, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """(group, places of its axes) in the order of the page; an axis of one value is not shown."""
    many = {axis.name: place for place, axis in enumerate(axes) if len(axis) > 1}
    named = {name for _, names in GROUPS for name in names}
    rest = tuple(name for name in many if name not in named)
    last = GROUPS[-1][0]
    return tuple(
        (
            group,
            tuple(
                many[name] for name in (*names, *(rest if group == last else ())) if name in many
            ),
        )
        for group, names in GROUPS
    )


def value_label(name: str, value: str, plan: Plan, w: Phrases) -> str:
    """A value of an axis in words."""
    if name == "workload":
        note = _note(name, value, plan, w)
        return w("value.workload", name=_tick(name, value, w), requests=note)
    if value in NAMED or (name == "engine" and value == "any"):
        return w(f"value.{name}-{value}")
    if name == "tpot-ms":
        return w("value.tpot-ms", value=value, rate=f"{1e3 / float(value):.3g}")
    if name == "max-loss" and value[:1].isdigit():
        return w("value.max-loss-nats", value=value)
    return w(f"value.{name}", value=_written(value), device=plan.device.id)


def _tick(name: str, value: str, w: Phrases) -> str:
    """The shortest word for a value."""
    if value in NAMED:
        return w(f"value.{name}-{value}")
    if name == "engine" and value == "any":
        return w("value.engine-any")
    return f"{value} ms" if name == "tpot-ms" else _written(value)


def _note(name: str, value: str, plan: Plan, w: Phrases) -> str:
    """The tokens of a workload's requests; empty on other axes."""
    if name != "workload":
        return ""
    if value == OWN:
        work = plan.workload
        isl, osl, hits = work.isl, work.osl, work.prefix_hit_rate
    else:
        named = load_workload(value)
        if named.isl is None or named.osl is None:
            return w("requests.fills")
        isl, osl, hits = named.isl, named.osl, named.prefix_hit_rate
    tokens = w("requests.tokens", isl=words.count(isl), osl=words.count(osl))
    return w("requests.cached", tokens=tokens, share=f"{hits:.0%}") if hits else tokens


def _written(value: str) -> str:
    return words.count(int(value)) if value.isdigit() else value.replace("+", ", ")
