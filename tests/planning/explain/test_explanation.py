"""The explanation of a plan's choice against independent solves: units, limits, tipping points."""

import json
from dataclasses import replace
from typing import Any

import pytest

import planner
from planner.base.errors import DataError, InputError
from planner.planning.explain.limit_prices import tidy_step
from planner.planning.explain.next_best import unit_choices
from planner.planning.explain.records import ChoiceExplanation
from planner.planning.plan.record import Assumption
from planner.planning.question.given_values import recorded_values
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.engine_search import best_result
from planner.planning.search.grid_search import SearchResult
from planner.planning.solver.solve import solve
from planner.report.render.results import text_of
from tests.support import theory

ASK = ("qwen2.5-0.5b", "jetson-orin-nano-8gb")
LIMITS: dict[str, Any] = {"devices": 1, "tpot_seconds": 0.0603, "exact": True}


@pytest.fixture(scope="module")
def found() -> ChoiceExplanation:
    return theory.explain(*ASK, **LIMITS, solves=16)


@pytest.fixture(scope="module")
def answer() -> SearchResult:
    questions = theory.ask(*ASK, **LIMITS).questions()
    best = best_result(questions)
    assert best is not None
    return best


@pytest.mark.exhaustive
def test_every_unit_of_the_plan_is_explained_once(found: ChoiceExplanation) -> None:
    named = [name for unit in found.units for name in unit.units] + list(found.released)
    assert sorted(named) == sorted(u.unit for u in found.plan.units)
    by_name = {u.unit: u for u in found.plan.units}
    for unit in found.units:
        assert unit.scheme == by_name[unit.units[0]].scheme
        assert unit.reason == by_name[unit.units[0]].reason
        assert unit.options > 1


def test_the_next_best_is_the_best_with_any_other_choice(answer: SearchResult) -> None:
    """Fixing the decision to each of its other choices in turn, and taking the least."""
    problem = candidate_problem(answer.space, answer.candidate).problem
    model = answer.space.model
    for choice in unit_choices(answer, again=True)[0][::4]:
        if choice.next_best is None or choice.next_best.where:
            continue
        unit = next(u for u in model.units if u.id == choice.units[0])
        start = len(model.question.schemes) if unit.role == "cache" else 0
        taken = model.choices.index(choice.scheme, start)
        values = {}
        decision = model.decided.decisions[unit.decision]
        place = decision.units.index(model.units.index(unit))
        for other in sorted({option[place] for option in decision.options}):
            legal = problem.legal.copy()
            legal[unit.decision] &= [
                i < len(decision.options) and decision.options[i][place] == other
                for i in range(legal.shape[1])
            ]
            if legal[unit.decision].any():
                values[other] = solve(replace(problem, legal=legal)).value
        rest = sorted(v for k, v in values.items() if k != taken)
        expected = [v / answer.value - 1 for v in rest]
        assert min(abs(choice.next_best.objective - e) for e in expected) < 2e-6
        # Only what equals the choice may be better than the next best.
        assert all(e <= 1e-9 for e in expected if e < choice.next_best.objective - 2e-6)
        assert choice.next_best.objective >= 0


def rate(plan: planner.Plan) -> float:
    return plan.performance.output_tokens_per_second.value


def test_a_relaxed_limit_is_worth_what_a_new_plan_says(found: ChoiceExplanation) -> None:
    prices = {p.name: p for p in found.limits}
    tpot = prices["tpot"]
    assert tpot.step == pytest.approx(0.001)
    wider = theory.plan(*ASK, **{**LIMITS, "tpot_seconds": 0.0613})
    gain = rate(wider) / rate(found.plan) - 1
    assert tpot.gain == pytest.approx(gain, rel=1e-4)
    assert tpot.gain > 0
    free = theory.plan(*ASK, devices=1, exact=True)
    assert tpot.without == pytest.approx(rate(free) / rate(found.plan) - 1, rel=1e-4)
    assert tpot.without >= tpot.gain
    loss = prices["max-loss"]
    assert loss.loss == pytest.approx(loss.step)
    assert tpot.loss == pytest.approx(tpot.gain / loss.gain * loss.step)
    assert prices["memory"].gain == 0
    assert "tpot" in found.binding
    assert "memory" not in found.binding


@pytest.mark.exhaustive
def test_multipliers_bound_what_formats_alone_can_gain(found: ChoiceExplanation) -> None:
    """Weak duality: at the plan's layout and batch no more than the multipliers say can be won,
    but for the gap of the relaxation."""
    tpot = next(p for p in found.limits if p.name == "tpot")
    la = found.plan.layout
    pinned = {
        "tp": la.tp,
        "dp": la.dp,
        "pp": la.pp,
        "ep": la.ep,
        "batch": found.plan.workload.batch,
        "devices": 1,
    }
    now, wider = (
        theory.plan(*ASK, exact=True, **pinned, tpot_seconds=t).solver.bound
        for t in (0.0603, 0.0613)
    )
    assert tpot.at_layout is not None
    assert now / wider - 1 <= tpot.at_layout + 2e-3


def test_the_plan_changes_where_it_is_said_to(found: ChoiceExplanation) -> None:
    tip = next(t for t in found.tipping if t.figure == "context" and t.other is not None)
    assert tip.status == "changes"
    assert tip.changes
    work = found.plan.workload
    for value, same in ((tip.same, True), (tip.other, False)):
        assert value is not None
        context = int(value)
        there = theory.plan(
            *ASK,
            **LIMITS,
            context=context,
            isl=max(1, context * work.isl // work.context_tokens),
            osl=max(1, context * work.osl // work.context_tokens),
        )
        schemes = [(u.kind, u.layers, u.scheme) for u in there.units]
        assert (schemes == [(u.kind, u.layers, u.scheme) for u in found.plan.units]) == same


def test_solves_are_bounded_and_counted(found: ChoiceExplanation) -> None:
    assert sum(t.solves for t in found.tipping) <= 16
    assert found.solves == sum(t.solves for t in found.tipping) + 2 * len(found.limits)
    assert any(t.status == "not tried" for t in found.tipping)
    assert any("at most 16 solves" in text for text in found.basis)


def test_the_explanation_is_plain_data_with_the_plan_file_inside(found: ChoiceExplanation) -> None:
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert planner.read_plan(data["plan"]) == found.plan
    assert {"units", "limits", "tipping", "binding", "basis"} <= set(data)


def test_the_text_fits_80_columns_and_names_the_parts(found: ChoiceExplanation) -> None:
    text = text_of(found)
    assert max(len(line) for line in text.splitlines()) <= 80
    for words in (
        "Next best scheme of each module",
        "What each limit costs",
        "binding: ",
        "What would change the answer",
        "1 ms more is worth +",
        " nats",
    ):
        assert words in text


def test_long_names_do_not_widen_the_text(found: ChoiceExplanation) -> None:
    long = replace(
        found,
        units=tuple(
            replace(u, units=(f"{u.units[0]}.of.a.window.of.layers",)) for u in found.units
        ),
    )
    text = text_of(long)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert f"{long.units[0].units[0]}\n  scheme {long.units[0].scheme}" in text


@pytest.mark.exhaustive
def test_a_plan_file_is_explained_with_what_it_was_asked(found: ChoiceExplanation) -> None:
    assert recorded_values(found.plan) == {
        "devices": 1,
        "tpot_seconds": pytest.approx(0.06),
        "exact": True,
    }
    again = theory.explain(plan=planner.read_plan(found.plan.to_dict()), solves=0)
    assert again.best
    assert (again.units, again.limits) == (found.units, found.limits)
    assert {t.status for t in again.tipping} == {"not tried"}


@pytest.mark.exhaustive
def test_a_plan_that_is_not_the_best_says_by_how_much() -> None:
    uniform = theory.estimate(*ASK, devices=1, scheme="int8-w8a8")
    told = theory.explain(plan=uniform, solves=0)
    best = theory.plan(*ASK, exact=True)
    assert not told.best
    assert told.plan is uniform
    rate = "output_tokens_per_second_per_device"
    ratio = getattr(best.performance, rate).value / getattr(uniform.performance, rate).value
    assert told.better_by == pytest.approx(ratio - 1, rel=0.02)
    assert any("batch" in d for d in told.differs)
    assert all(u.next_best is None for u in told.units)
    assert "another plan answers the question" in text_of(told)


@pytest.mark.exhaustive
def test_a_plan_that_breaks_its_limit_says_so() -> None:
    rough = theory.estimate(*ASK, devices=1, scheme="int4-w4a16")
    told = theory.explain(plan=rough, solves=0)
    assert told.breaks == "max-loss"
    assert not told.best


def test_files_of_something_else_are_refused(found: ChoiceExplanation) -> None:
    plan = found.plan
    other = replace(plan, model=replace(plan.model, config_sha256="0" * 64))
    with pytest.raises(DataError, match="another configuration"):
        theory.explain(plan=other)
    other = replace(plan, device=replace(plan.device, profile_sha256="0" * 64))
    with pytest.raises(DataError, match="another profile"):
        theory.explain(plan=other)
    other = replace(plan, quality=replace(plan.quality, tier="T1 weights"))
    with pytest.raises(InputError, match="quality profile"):
        theory.explain(plan=other)
    for batch in (0, 10**15):
        other = replace(plan, workload=replace(plan.workload, batch=batch))
        with pytest.raises(InputError, match="batch"):
            theory.explain(plan=other)
    with pytest.raises(InputError, match="the plan is for"):
        theory.explain("llama-3.1-8b", plan=plan)


@pytest.mark.parametrize("value", ["devices", "devices=x", "rm=1", "schemes=", "untie=1", "=", ""])
def test_a_hostile_line_of_what_was_asked_is_refused(found: ChoiceExplanation, value: str) -> None:
    plan = replace(found.plan, assumptions=(Assumption("asked", value, ""),))
    with pytest.raises(DataError, match="asked"):
        recorded_values(plan)


@pytest.mark.parametrize(
    ("value", "step"),
    [(0.05, 0.001), (0.999999999999, 0.1), (1.0, 0.1), (0.2, 0.01), (1.32, 0.1), (24.0, 1.0)],
)
def test_steps_are_round(value: float, step: float) -> None:
    assert tidy_step(value) == pytest.approx(step)


@pytest.mark.parametrize(
    "arguments",
    [
        {"module": "mlp-down", "tpot_seconds": 0.1},
        {"module": "mlp-down", "untie": True},
        {"module": "mlp-down", "objective": "latency"},
        {"scheme": "bf16"},
        {"solves": -1},
    ],
)
def test_arguments_that_exclude_each_other(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        theory.explain(*ASK, **arguments)
