"""How the axes of a what-if grid stand on its page: which control, in which order, in which
words."""

from __future__ import annotations

from typing import Any

from planner.planning.plan.record import Plan
from planner.planning.whatif.grid_axes import AUTO, Axis
from planner.report import words
from planner.report.phrases import Phrases
from planner.workloads import load_workload

OWN, NONE = "own", "none"
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


def shown(axes: tuple[Axis, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
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
    if value in (AUTO, NONE) or (name == "engine" and value == "any"):
        return w(f"value.{name}-{value}")
    if name == "tpot-ms":
        return w("value.tpot-ms", value=value, rate=f"{1e3 / float(value):.3g}")
    if name == "max-loss" and value[:1].isdigit():
        return w("value.max-loss-nats", value=value)
    return w(f"value.{name}", value=_written(value), device=plan.device.id)


def _tick(name: str, value: str, w: Phrases) -> str:
    """The shortest word for a value."""
    if (name == "workload" and value == OWN) or value in (AUTO, NONE):
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
