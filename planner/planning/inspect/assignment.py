"""Price an assignment that somebody else chose: units of a plan file on one layout and batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.base.errors import InfeasibleError, InputError
from planner.base.units import format_bytes, format_seconds, milliseconds_up
from planner.messages.message import Text, message, with_name
from planner.placement.parts import parts_of
from planner.planning.plan.record import Plan
from planner.planning.price.price import Priced, fits, price
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.solver.problem import TOLERANCE, Solution
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import (
    Space,
    build_space,
    first_slot,
    possible_layouts,
)
from planner.planning.space.memory import budget, stage_table
from planner.planning.space.model import CostModel
from planner.planning.space.tables import layout_tables


def given_assignment(model: CostModel, plan: Plan) -> SearchResult:
    """``plan``'s units on the question's single layout and batch.

    Raises:
        InputError: the units do not cover the model, or a choice is not possible for its unit.
        InfeasibleError: the assignment does not fit.
    """
    _check_roles(model)
    layouts = possible_layouts(model.question)
    if not layouts:
        from planner.planning.infeasible.binding_limit import no_layout

        raise no_layout(model.question)
    tables = layout_tables(model, layouts[:1])
    slot = first_slot(model.question, layouts[0])
    if slot is None:
        from planner.planning.infeasible.binding_limit import no_slot

        raise no_slot(model.question, layouts[:1])
    space = build_space(model, tables, stage_table(model, tables), [(0, slot)])
    segments = plan_segments(model, plan)
    priced = price(space, 0, segments)
    if not fits(space, 0, priced):
        raise InfeasibleError(
            with_name(
                "memory",
                message(
                    "refusals.plan_needs_device_usable",
                    a=format_bytes(priced.fullest.total),
                    b=format_bytes(budget(model.question)),
                ),
            ),
            hint=_more_memory(model, space, segments, priced.fullest.total),
        )
    _within(model.question, priced)
    none = Solution("given", np.zeros((0, 0), dtype=np.int64), priced.tpot, priced.tpot, 0.0)
    return SearchResult(space, 0, none, segments, priced.tpot, 1, 0, space)


def _within(question: Question, priced: Priced) -> None:
    """Refuse a plan that breaks a given limit of time."""
    times = question.limited_times(priced.ttft, priced.tpot)
    for name, limit in question.time_limits.items():
        value = times[name]
        if value > limit * (1 + TOLERANCE):
            raise InfeasibleError(
                message(
                    f"refusals.{name}_plan_takes_allowed",
                    a=format_seconds(value),
                    b=format_seconds(limit),
                ),
                hint=f"raise --{name}-ms to {milliseconds_up(value):.6g}, or search another plan",
            )


def _more_memory(model: CostModel, space: Space, segments: Sequence[Segment], total: int) -> Text:
    """The limit that ``total`` bytes keep, where the device has them; else the largest batch with
    which the assignment fits on its layout, bisected; else what is missing with the smallest."""
    if total <= model.question.usable_bytes:
        return message("refusals.raise_memory_bytes_to", n=total, x=format_bytes(total))
    layout, first = space.tables.layouts[0], 0
    last = int(space.pts.slot[0])
    share, missing = layout.dp * layout.pp, 0
    while last - first > 1 or not first:
        slot = max((first + last) // 2, 1)
        trial = build_space(model, space.tables, space.stages, [(0, slot)])
        priced = price(trial, 0, segments)
        if fits(trial, 0, priced):
            first = slot
        else:
            last, missing = slot, priced.fullest.total - budget(model.question)
        if last == 1:
            users = "users" if share > 1 else "user"
            return message(f"refusals.missing_even_with_{users}", x=format_bytes(missing), n=share)
    question, most = model.question, first * share
    if question.concurrency is not None:
        most *= question.replicas(layout.ranks)
    name = "batch" if question.concurrency is None else "concurrency"
    return message("refusals.users_are_most_it_holds", n=most, flag=name, batch=most)


def plan_segments(model: CostModel, plan: Plan) -> tuple[Segment, ...]:
    """The plan file's units as segments of the model.

    Raises:
        InputError: they do not cover the model once, or a choice is not possible.
    """
    _check_roles(model)
    plan = _joined(model, plan)
    _check_layers(model, plan)
    out = []
    for i, unit in enumerate(model.units):
        if unit.decision < 0:
            out.append(Segment(i, unit.layers, -1))
            continue
        left = set(unit.layers)
        if not left:
            out.append(Segment(i, (), _outside(model, plan, i)))
            continue
        for row in plan.units:
            layers = (
                tuple(sorted(left & set(row.layers)))
                if row.kind == unit.kind
                and (row.part or "") in ("", unit.part)
                and (row.place or "") == unit.place
                else ()
            )
            if not layers:
                continue
            choice = _choice(model, i, row.kv_layout or row.scheme, row.unit)
            out.append(Segment(i, layers, choice))
            left -= set(layers)
        if left:
            raise InputError(
                f"plan file: {unit.matrix} of layer {min(left)} has no unit",
                hint=f"the plan must cover every layer of {model.question.spec.id}",
            )
    return tuple(out)


def _joined(model: CostModel, plan: Plan) -> Plan:
    """``plan`` with the matrices of a layer together (q, k and v), where the engine of ``model``
    reads as one what the plan's engine types apart.

    Raises:
        InputError: they do not have one scheme, or not all of them are there.
    """
    if any(unit.part for unit in model.units) or not any(row.part for row in plan.units):
        return plan
    spec, rows = model.question.spec, [row for row in plan.units if not row.part]
    layers_by_choice: dict[tuple[str, str | None, str, tuple[str, ...]], list[int]] = {}
    for (kind, layer), parts in parts_of(spec).items():
        mine = [row for row in plan.units if row.part and row.kind == kind and layer in row.layers]
        if not mine:
            continue
        if len({(row.scheme, row.place) for row in mine}) > 1:
            schemes = ", ".join(f"{row.part} {row.scheme}" for row in mine)
            raise InputError(
                f"plan file: {kind} of layer {layer} is typed apart ({schemes}), and "
                f"{model.question.engine or 'the engine'} reads it as one",
                hint=f"leave --engine out: the plan is one of {plan.engine.name}",
            )
        if sorted(row.part or "" for row in mine) != sorted(parts):
            raise InputError(
                f"plan file: {kind} of layer {layer} has not each of {', '.join(parts)} once",
                hint="use the plan file as it was written, with all its units",
            )
        key = kind, mine[0].place, mine[0].scheme, tuple(row.unit for row in mine)
        layers_by_choice.setdefault(key, []).append(layer)
    units = {row.unit: row for row in plan.units}
    rows += [
        replace(units[names[0]], layers=tuple(sorted(layers)), part=None)
        for (_, _, _, names), layers in layers_by_choice.items()
    ]
    return replace(plan, units=tuple(rows))


def _outside(model: CostModel, plan: Plan, index: int) -> int:
    """The choice of a module outside the stack; that of the last norm is the file's row without
    layers."""
    kind = model.units[index].kind
    rows = [row for row in plan.units if row.kind == kind and not row.layers]
    if len(rows) != 1:
        raise InputError(
            f"plan file: {kind} has {len(rows) or 'no'} unit{'s' * bool(rows)} outside the layers",
            hint="the plan must cover it once",
        )
    return _choice(model, index, rows[0].scheme, rows[0].unit)


def _check_roles(model: CostModel) -> None:
    """Refuse a plan without one unit of the caches, or of the weights, that its model has."""
    for role, chosen in (("cache", model.question.kv), ("module", model.question.schemes)):
        missing = next((u.kind for u in model.units if u.role == role and not chosen), None)
        if missing is not None:
            raise InputError(
                f"plan file: no unit is of the {missing} of {model.question.spec.id}",
                hint="use the plan file as it was written, with all its units",
            )


def _check_layers(model: CostModel, plan: Plan) -> None:
    """Refuse layers that the model does not have, and layers that two units of a kind decide."""
    known: dict[str, set[int]] = {}
    for unit in model.units:
        for name in {unit.kind, unit.matrix}:
            known.setdefault(name, set()).update(unit.layers)
    seen: set[tuple[str, int, str | None]] = set()
    for row in plan.units:
        for layer in row.layers:
            if layer not in known.get(row.matrix, set()):
                raise InputError(
                    f"plan file: unit {row.unit!r}: {model.question.spec.id} has no "
                    f"{row.matrix} in layer {layer}",
                    hint="use the plan with the model that it was made for",
                )
            if {(row.matrix, layer, row.place), (row.kind, layer, row.place)} & seen:
                raise InputError(
                    f"plan file: unit {row.unit!r}: {row.matrix} of layer {layer} is decided twice",
                    hint="leave one of the two units out",
                )
            seen.add((row.matrix, layer, row.place))


def _choice(model: CostModel, index: int, name: str, unit: str) -> int:
    schemes = len(model.question.schemes)
    pool = model.question.schemes if model.units[index].role == "module" else model.question.kv
    offset = 0 if model.units[index].role == "module" else schemes
    if name not in pool or not model.possible[index, offset + pool.index(name)]:
        raise InputError(
            f"plan file: unit {unit!r}: {name!r} is not possible here",
            hint="see `plan list formats` and `plan list devices`",
        )
    return offset + pool.index(name)
