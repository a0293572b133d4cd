"""The axes of a what-if grid around a question, and the places that they make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import product
from shlex import quote

from planner.base.errors import InputError
from planner.formats.kv import kv_layout
from planner.placement.modules import PLANNED_KINDS
from planner.planning.plan.record import Plan
from planner.planning.question.caches import BY_LAYER, PART
from planner.planning.question.input import AUTO, engine_named
from planner.planning.question.machine import MAX_DEVICES
from planner.planning.question.resolve import MAX_COUNT
from planner.planning.question.workload import workload
from planner.planning.space.model import build_model
from planner.planning.what_if.around import Around, GridPlace
from planner.planning.what_if.grid import Loss
from planner.planning.what_if.grid_axes import (
    AS_RELEASED,
    DEFAULT_POINTS,
    KV_LADDER,
    NAMES,
    OWN,
    SEARCHED_POINTS,
    TPOTS,
    WORKLOADS,
    Axis,
    Values,
    check_size,
    default_devices,
    engine_axis,
    fitted_axes,
    kv_axis,
    loss_axis,
    number_axis,
    other_widths,
    parse_grid,
    scheme_axis,
    tpot_axis,
    workload_axis,
)
from planner.planning.what_if.kept_formats import KeptFormats
from planner.quality.prior import load_prior
from planner.workloads import load_workload

TYPED = {
    "workload": "workload",
    "context": "context",
    "isl": "isl",
    "osl": "osl",
    "prefix_hit_rate": "prefix-hit",
}
"""Flags of what a request is, by parameter."""


def checked_axes(around: Around, plan: Plan, values: Sequence[str]) -> tuple[Axis, ...]:
    """The axes of a grid, whose every value can be asked; ``values`` are those that are named.

    Raises:
        InputError: a value that cannot be asked, or more points than a page can hold.
    """
    named = parse_grid(values)
    _check_scenario(around, named)
    axes, ladders = _axes(around, plan, named)
    own = next(axis.values[axis.base] for axis in axes if axis.name == "schemes")
    axes = fitted_axes(
        axes,
        {name: values for name, values in ladders.items() if name not in named},
        DEFAULT_POINTS if own == OWN else SEARCHED_POINTS,
    )
    check_size(axes)
    _check_values(around, axes)
    return axes


def _check_scenario(around: Around, named: Values) -> None:
    loaded = around.inputs.loaded_scenario
    if loaded is None:
        return
    for name in ("schemes", "batch"):
        if name in loaded.values and AUTO in named.get(name, ()):
            raise InputError(
                f"--grid {name}: scenario {loaded.id!r} names {name}, so auto has no "
                "meaning of its own",
                hint="name sets joined by +, e.g. bf16+fp8-block"
                if name == "schemes"
                else "name numbers, e.g. --grid batch=16,64",
            )


def _axes(around: Around, plan: Plan, named: Values) -> tuple[tuple[Axis, ...], Values]:
    """The axes with all their values, and what unnamed ones take first."""
    given_values, count = around.filled, plan.device.count
    inputs = around.inputs.on_engine_of(plan)
    question = inputs.question(given_values, engine=engine_named(inputs.requested_engine))
    most = question.spec.max_context
    place = GridPlace(
        around.own_workload,
        AUTO,
        AUTO if given_values.batch is None else str(given_values.batch),
        str(count),
        OWN,
        OWN,
    )
    serving = around.plan_ways(place, around.own_engine, plan)
    searched = AUTO in named.get("schemes", ())
    if searched or not KeptFormats(plan, OWN, OWN).narrowed(serving, exact=True):
        own = "+".join(given_values.schemes or (AUTO,))
        place = place._replace(schemes=own, kv=_layout_id(given_values.kv))
    contexts = (
        Axis("context", (AUTO,), ("",), 0)
        if "context" not in named
        else number_axis("context", named["context"], (), question.workload.context, most=most)
    )
    loss = loss_axis(
        named.get("max-loss"),
        build_model(question, load_prior()),
        question.loss_scheme or f"{question.loss_limit:g}",
        given_values.max_loss is not None,
    )
    schemes = {name for question in serving for name in question.schemes}
    cached = {unit.kv_layout for unit in plan.units}
    caches = [
        name
        for name in KV_LADDER
        if name not in cached and KeptFormats(plan, OWN, name).narrowed(serving, exact=True)
    ][:1]
    works = named.get("workload", [name for name in WORKLOADS if _fits(most, name)])
    devices = default_devices(count, MAX_DEVICES)
    axes = {
        "workload": workload_axis(works, place.workload, _own_flags(around, "context" in named)),
        "context": contexts,
        "batch": number_axis(
            "batch", named.get("batch", ()), (), given_values.batch, most=MAX_COUNT, auto=True
        ),
        "tpot-ms": tpot_axis(named.get("tpot-ms"), around.tpot),
        "devices": number_axis("devices", named.get("devices"), devices, count, most=MAX_COUNT),
        "max-loss": loss,
        "engine": engine_axis(
            named.get("engine", ()),
            around.own_engine,
            default=around.inputs.loaded_scenario is None and around.own_engine == AUTO,
        ),
        "schemes": scheme_axis(
            named.get("schemes"),
            place.schemes,
            given_values.schemes,
            () if place.schemes != OWN else _other_formats(plan, schemes),
        ),
        "kv": kv_axis(
            named.get("kv"), place.kv, given_values.kv, () if place.kv != OWN else caches
        ),
    }
    ladders: Values = {
        "workload": axes["workload"].values,
        "tpot-ms": TPOTS,
        "devices": tuple(map(str, devices)),
        "max-loss": (),
        "schemes": axes["schemes"].values,
        "kv": axes["kv"].values,
    }
    return tuple(axes[name] for name in NAMES), ladders


def _layout_id(named: str | None) -> str:
    """A cache as it was named, by its own name; AUTO where none was."""
    if named is None or named == AUTO:
        return AUTO
    several = "/" in named or PART in named or named == BY_LAYER
    return named if several else kv_layout(named).id


def _other_formats(plan: Plan, able: Collection[str]) -> list[str]:
    """Formats to show beside those of a plan: as released where it is not, and one of each other
    width."""
    changed = plan.recommendation is not None and plan.recommendation.formats > 0
    sizes: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is None and unit.kind in PLANNED_KINDS:
            sizes[unit.scheme] = sizes.get(unit.scheme, 0) + unit.weight_bytes
    most = max(sizes, key=lambda name: sizes[name], default="")
    return [*([AS_RELEASED] if changed else ()), *(other_widths(most, able) if most else ())]


def _fits(most: int, name: str) -> bool:
    """Whether a model of ``most`` positions takes a bundled workload."""
    try:
        workload(most, context=None, isl=None, osl=None, named=load_workload(name))
    except InputError:
        return False
    return True


def _own_flags(around: Around, at_contexts: bool) -> str:
    """The flags of the plan's own requests."""
    given = around.own_lengths(at_contexts=at_contexts)
    return " ".join(
        f"--{flag} {quote(str(getattr(value, 'id', value)))}"
        for name, flag in TYPED.items()
        if (value := given[name]) is not None
    )


def _check_values(around: Around, axes: Sequence[Axis]) -> None:
    """Ask for every value once, the others as in the plan's own position."""
    by_name = {axis.name: axis for axis in axes}
    own = GridPlace(*(by_name[name].values[by_name[name].base] for name in _PLACED))
    for name in _PLACED:
        for value in by_name[name].values:
            place = own._replace(**{name: value})
            if around.too_long(place) is None:
                around.ways(place, around.own_engine)
    for engine in by_name["engine"].values:
        around.ways(own, engine)


_PLACED = GridPlace._fields


def places_of(axes: Iterable[Axis]) -> list[GridPlace]:
    """Every place of a grid, in row-major order of its axes."""
    by_name = {axis.name: axis for axis in axes}
    return [GridPlace(*values) for values in product(*(by_name[name].values for name in _PLACED))]


def loss_of(name: str) -> Loss:
    """A value of the axis of limits on loss."""
    try:
        return None, float(name)
    except ValueError:
        return name, None
