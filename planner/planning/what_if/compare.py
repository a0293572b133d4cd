"""The Python side of ``plan compare``: schemes × devices × models as one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from planner.base.errors import InfeasibleError, InputError, PlannerError, UnsupportedError
from planner.base.units import format_seconds
from planner.formats.schemes import in_catalogue_order
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device, load_model
from planner.messages.message import Message, message
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS, modules
from planner.planning.answer.recommend import recipe_of
from planner.planning.choose.selection import Selection
from planner.planning.modes.deploy import decided_plan, plan_deployment, prefixes_of
from planner.planning.plan.bounds import escape_control_characters
from planner.planning.question.input import AUTO, QuestionInput
from planner.planning.question.named import assignment_named
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.question.prices import price_source
from planner.planning.question.question import Question
from planner.planning.question.verbs import CompareInput
from planner.planning.search.engine_search import without_default_tpot, without_floor
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan, LeftOut
from planner.planning.what_if.compared_roles import with_roles
from planner.planning.what_if.compared_rows import (
    RECOMMENDED,
    option_row,
    plan_row,
    refused_row,
)
from planner.planning.what_if.row_reasons import loss_limit, said_of
from planner.planning.what_if.side_by_side import uniform_rows

PUBLISHED = "published recipe"
"""The name of its row."""
MOST_PAIRS = 64
"""Pairs of model and device in one table; a sweep asks for more."""


def compare_plans(given: CompareInput) -> Compared:
    """The table of the models and devices that are named.

    Raises:
        InputError: an unknown name, a number out of range, or no pair of model and device that can
            be asked at all.
    """
    own = ("model", "device", "price")
    asked = {name: value for name, value in vars(given).items() if name not in own}
    several = (
        _several("model", given.model, ModelSpec),
        _several("device", given.device, DeviceProfile),
    )
    _check_size(*several)
    models = [load_model(one) for one in several[0]]
    machines = [load_device(one, hardware_dir=given.hardware_dir) for one in several[1]]
    _check_once(models, machines)
    usd = _prices(machines, given.price)
    pairs: list[ComparedPair] = []
    rows: list[ComparedPlan] = []
    wrong: list[InputError] = []
    for spec, profile in product(models, machines):
        try:
            priced = {**asked, "price": usd.get(profile.id)}
            mine, question, choice = _pair(spec, profile, priced)
            pair = _words(question)
            pairs.append(replace(pair, loss_limit=None if choice is None else loss_limit(choice)))
        except InputError as error:
            wrong += [] if isinstance(error, UnsupportedError) else [error]
            mine = (_none(spec, profile, error),)
            pairs.append(ComparedPair(spec.id, profile.id, _released(spec), "", "", None, ""))
        rows += with_roles(mine, str(given.objective), _scheme_names(given.schemes))
    if len(wrong) == len(pairs):
        raise wrong[0]
    left_out = tuple(
        LeftOut(row.device, row.name, row.reason)
        for row in rows
        if row.name in _scheme_names(asked["schemes"]) and not row.feasible
    )
    return Compared(str(given.objective), tuple(pairs), tuple(rows), tuple(dict.fromkeys(left_out)))


def _pair(
    spec: ModelSpec,
    device: DeviceProfile,
    given: Mapping[str, Any],
) -> tuple[tuple[ComparedPlan, ...], Question, Selection | None]:
    """All rows of one model on one device, the question that they answer, and what the recommended
    one was chosen from."""
    best, choice = _recommended(spec, device, given)
    named = _scheme_names(given["schemes"])
    if named:  # the checkpoint as released stands beside them
        given = {**given, "schemes": [*given["schemes"], *_released(spec)]}
    questions = QuestionInput(model=spec, device=device, **given).questions()
    kv_named = given["kv"] != AUTO
    uniform = uniform_rows(questions, named=named, kv_named=kv_named, choice=choice)
    if (
        questions[0].tpot_default
        and not any(row.within_limits for row in uniform)
        and best.feasible
    ):
        lossier = without_floor(questions)
        free = without_default_tpot(questions) or without_default_tpot(lossier)
        questions = free[0] if free else lossier
        uniform = uniform_rows(questions, named=named, kv_named=kv_named, choice=choice)
    recipe = () if choice is None else _published(spec, device, choice)
    return (best, *recipe, *uniform), questions[0], choice


def _recommended(
    spec: ModelSpec, device: DeviceProfile, given: Mapping[str, Any]
) -> tuple[ComparedPlan, Selection | None]:
    """The row of the plan that :func:`planner.plan` answers, with the choice that it came of; or
    that of the reason why there is none."""
    inputs = QuestionInput(model=spec, device=device, **given)
    try:
        if prefixes_of(inputs) is None:
            plan, choice = decided_plan(inputs, PoolFlags())
        else:
            plan, choice = plan_deployment(inputs, PoolFlags()), None
    except InfeasibleError as error:
        return _none(spec, device, error), None
    return plan_row(escape_control_characters(plan), spec, device), choice


def _published(
    spec: ModelSpec, device: DeviceProfile, choice: Selection
) -> tuple[ComparedPlan, ...]:
    """The row of the published deployment; of none where nobody published one."""
    place = recipe_of(choice)
    if place is not None:
        row = option_row(choice.options[place], PUBLISHED, "recipe")
        return (replace(row, **said_of(choice, place)),)
    if choice.excluded is None:
        return ()
    reason = choice.excluded.reason
    return (refused_row(spec.id, device.id, PUBLISHED, "recipe", reason),)


def _scheme_names(names: Sequence[str] | None) -> list[str]:
    """The ids of the schemes and mixtures that were named, however they were spelt."""
    return [assignment_named(name) for name in names or ()]


def _none(spec: ModelSpec, device: DeviceProfile, error: PlannerError) -> ComparedPlan:
    return refused_row(spec.id, device.id, RECOMMENDED, RECOMMENDED, error.text)


def _several(argument: str, value: Any, single: type) -> list[Any]:
    """What was named, each once; one name is a list of one."""
    values = [value] if isinstance(value, (str, single)) else list(value)
    if not values:
        raise InputError(f"no {argument} is named", hint=f"name a {argument}, or several")
    return list(dict.fromkeys(values)) if all(isinstance(v, str) for v in values) else values


def _prices(
    devices: list[DeviceProfile],
    price: float | Mapping[str, float] | None,
) -> dict[str, float]:
    """The prices that are given, by device [USD a device-hour].

    Raises:
        InputError: a price of a device that is not compared, or none above 0.
    """
    if price is None:
        return {}
    by_id = (
        {d.id: price for d in devices}
        if isinstance(price, (int, float))
        else {
            load_device(name).id if name not in {d.id for d in devices} else name: value
            for name, value in price.items()
        }
    )
    for name, value in by_id.items():
        if not 0 < value < float("inf"):
            raise InputError(
                f"price {value} of {name} is out of range", hint="USD a device-hour, above 0"
            )
        if name not in {d.id for d in devices}:
            raise InputError(
                f"price of {name}, which is not compared",
                hint="compared are " + ", ".join(d.id for d in devices),
            )
    return {name: float(value) for name, value in by_id.items()}


def _check_size(models: Sequence[Any], devices: Sequence[Any]) -> None:
    """Refuse more pairs than a table takes, before any of them is read."""
    if len(models) * len(devices) > MOST_PAIRS:
        raise InputError(
            f"{len(models)} models on {len(devices)} devices are too many for a table",
            hint=f"at most {MOST_PAIRS} pairs; `plan sweep` asks for more",
        )


def _check_once(models: Sequence[ModelSpec], devices: Sequence[DeviceProfile]) -> None:
    for what, names in (("model", [m.id for m in models]), ("device", [d.id for d in devices])):
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError(f"{what} {twice[0]} is named twice", hint="name each once")


def _words(question: Question) -> ComparedPair:
    """What was asked, in words."""
    work = question.workload
    requests = message("comparison.in_out", i=f"{work.isl:,}", o=f"{work.osl:,}")
    if work.prefix_hit_rate:
        hit = message("comparison.prefix_hit", p=f"{work.prefix_hit_rate:.0%}")
        requests = message("structure.clauses", parts=(requests, hit))
    if work.preset:
        requests = message("structure.remark", text=requests, remark=work.preset)
    limits = tuple(_limits(question)) or (message("comparison.no_limit_on_time"),)
    return ComparedPair(
        question.spec.id,
        question.device.id,
        _released(question.spec),
        requests,
        message("structure.clauses", parts=limits),
        question.price_per_hour,
        price_source(question.device),
    )


def _limits(question: Question) -> Iterator[Message]:
    """The batch and the limits on time that a question has."""
    if question.batch is not None:
        several = question.batch > 1
        name = "comparison.users_replica" if several else "comparison.user_replica"
        yield message(name, n=question.batch)
    if question.concurrency is not None:
        yield message("comparison.requests_in_flight", n=question.concurrency)
    if question.tpot_seconds is not None:
        tpot = message("comparison.tpot_within", x=format_seconds(question.tpot_seconds))
        yield (
            message("structure.remark", text=tpot, remark=message("assumptions.default"))
            if question.tpot_default
            else tpot
        )
    if question.ttft_seconds is not None:
        yield message("comparison.ttft_within", x=format_seconds(question.ttft_seconds))
    if question.e2e_seconds is not None:
        yield message("comparison.request_within", x=format_seconds(question.e2e_seconds))


def _released(spec: ModelSpec) -> tuple[str, ...]:
    """What the linears are stored in, in catalogue order."""
    stored = {m.released_as for m in modules(spec) if m.kind in PLANNED_KINDS}
    return tuple(in_catalogue_order(stored))
