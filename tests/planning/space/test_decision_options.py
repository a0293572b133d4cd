"""Decisions and their options: tuples of choices, and sums of kernels that are the whole step."""

import numpy as np
import pytest
from support.questions import model_of

from planner.planning.question.question import Question
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.spaces import grid_space
from planner.planning.space.decisions import LAST
from planner.planning.space.model import CostModel


def moe() -> CostModel:
    return model_of("olmoe-1b-7b", "h100-sxm")


def test_keys_and_values_may_take_any_pair_and_experts_one_scheme() -> None:
    decided = moe().decided
    pairs = [d for d in decided.decisions if d.paired]
    assert {tuple(moe().units[i].kind for i in d.units) for d in pairs} == {("kv-k", "kv-v")}
    for decision in pairs:
        able = [np.flatnonzero(moe().possible[i]).tolist() for i in decision.units]
        assert sorted(decision.options) == sorted((a, b) for a in able[0] for b in able[1])
    experts = [d for d in decided.decisions if moe().units[d.units[0]].kind == "experts-gate-up"]
    assert experts
    for decision in experts:
        assert len(decision.units) == 2
        assert all(len(set(option)) == 1 for option in decision.options)


def test_an_engine_with_one_cache_type_leaves_pairs_out() -> None:
    question: Question = model_of(kv=None).question
    fused = model_of().question.fused
    assert ("kv-k", "kv-v") not in fused
    assert question.kv


def test_fp32_goes_last_among_equals() -> None:
    model = model_of(schemes=("fp32", "bf16", "fp8-block"))
    for decision in model.decided.decisions:
        names = [model.choices[o[0]] for o in decision.options]
        if LAST in names:
            assert names[-1] == LAST


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "olmoe-1b-7b", "deepseek-v2-lite"])
def test_kernels_hold_every_unit_once_and_options_name_every_choice(name: str) -> None:
    model = model_of(name)
    decided = model.decided
    units = [i for k in decided.kernels for i in k.units]
    assert sorted(units) == list(range(len(model.units)))
    rng = np.random.default_rng(3)
    for _ in range(20):
        options = np.array([rng.integers(len(d.options)) for d in decided.decisions])
        choices = decided.unit_choices(options)
        for number, decision in enumerate(decided.decisions):
            picked = tuple(choices[i] for i in decision.units)
            assert decided.option(number, picked) == options[number]
        assert all((c < 0) == (u.decision < 0) for c, u in zip(choices, model.units, strict=True))


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "olmoe-1b-7b"])
def test_losses_by_option_are_sums_over_units(name: str) -> None:
    model = model_of(name)
    decided, rng = model.decided, np.random.default_rng(7)
    options = np.array([rng.integers(len(d.options)) for d in decided.decisions])
    total = decided.total(decided.loss, decided.layers)
    mine = sum(total[d, o] for d, o in enumerate(options))
    choices = decided.unit_choices(options)
    units = sum(
        model.layer_loss[i, c] * u.count
        for i, (u, c) in enumerate(zip(model.units, choices, strict=True))
        if c >= 0
    )
    assert mine == pytest.approx(units, rel=1e-12)


def test_an_option_is_allowed_where_all_of_its_choices_are() -> None:
    model = moe()
    space = grid_space(model)
    assert space is not None
    one = candidate_problem(space, 0)
    for number, decision in enumerate(model.decided.decisions):
        legal = one.problem.legal[number]
        assert not legal[len(decision.options) :].any()
        for option in np.flatnonzero(legal):
            for unit, choice in zip(decision.units, decision.options[option], strict=True):
                assert model.possible[unit, choice]
