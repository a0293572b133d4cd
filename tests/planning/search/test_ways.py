"""All ways in which an engine serves a model in one search: the best of all, and few are solved."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from planner.base.errors import InfeasibleError
from planner.planning.choose.uncertainty import score
from planner.planning.plan.record import Plan
from planner.planning.price.price import price
from planner.planning.question.input import THROUGHPUT
from planner.planning.question.question import Question
from planner.planning.search import grid_search as searching
from planner.planning.search import question_search
from planner.planning.search.engine_search import solve_objective
from planner.planning.search.formulate import loss_limit
from planner.planning.search.question_search import spaces_of
from planner.planning.search.uniform import (
    UniformQuery,
    best_uniforms,
    uniform_choice,
    uniform_loss,
)
from planner.planning.space.candidates import Space
from tests.support import theory

NEVER_SECONDS = 3600
"""After which a search of a few seconds counts as one without an end, on the slowest machine."""
SIXTEEN = ("deepseek-v3", "b200-sxm", "sglang")


def ways(model: str, device: str, engine: str, **asked: Any) -> tuple[Question, ...]:
    return theory.ask(model, device, engine=engine, **asked).questions()


def rate(found: Plan) -> float:
    return found.performance.output_tokens_per_second_per_device.value


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("model", "device", "engine", "asked"),
    [
        ("deepseek-v2-lite", "l40s", "sglang", {"devices": 2}),
        ("llama-3.1-70b", "h100-sxm", "tensorrt-llm", {"devices": 8}),
        ("qwen3-30b-a3b", "b200-sxm", "sglang", {"devices": 4, "objective": "latency"}),
        ("deepseek-v2-lite", "h100-sxm", "sglang", {"devices": 1, "objective": "memory"}),
    ],
)
def test_the_answer_is_the_best_of_the_ways_alone(
    model: str, device: str, engine: str, asked: dict[str, Any]
) -> None:
    questions = ways(model, device, engine, **asked)
    assert len(questions) > 2
    spaces = spaces_of(questions)
    together = question_search.branch_and_bound(spaces)
    alone = [question_search.branch_and_bound([space]) for space in spaces]
    values = [one.value for one in alone if one is not None]
    assert together is not None
    assert together.value == pytest.approx(min(values), rel=1e-9)
    assert together.bound <= min(values) * (1 + 1e-9)
    assert together.value == pytest.approx(together.bound, rel=1e-6)
    assert together.candidates >= sum(map(len, spaces))


@pytest.mark.exhaustive
def test_ways_that_cannot_win_are_never_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 8 devices 1,200 candidates were solved by sixteen searches; one needs a handful."""
    solved: list[int] = []
    solve = searching.Incumbent.relaxed

    def counted(*arguments: Any, **named: Any) -> Any:
        solved.append(1)
        return solve(*arguments, **named)

    monkeypatch.setattr(searching.Incumbent, "relaxed", counted)
    questions = ways(*SIXTEEN, devices=8)
    found, others = solve_objective(questions)
    assert found is not None
    assert len(questions) >= 16
    assert len(others) >= 12
    assert 1 <= len(solved) <= 40
    assert found.candidates > 2000
    assert found.value <= found.bound * (1 + 1e-6)


def uniform_within(space: Space, allowed: float) -> list[UniformQuery]:
    """The uniform assignments of a space that lose no more than ``allowed``."""
    model = space.model
    choices = {
        (scheme, kv): uniform_choice(model, scheme, kv)
        for scheme in model.question.schemes
        for kv in model.question.kv
    }
    return [
        UniformQuery(*pair, limits=True)
        for pair, choice in choices.items()
        if choice is not None and uniform_loss(model, choice) <= allowed * (1 + 1e-9) + 1e-12
    ]


@pytest.mark.sample(1)
@pytest.mark.parametrize("objective", ["throughput", "latency"])
@pytest.mark.parametrize(
    ("model", "device", "engine"),
    [
        ("deepseek-v2-lite", "jetson-agx-orin-64gb", "any"),
        ("deepseek-v2-lite", "jetson-agx-orin-64gb", "vllm"),
        ("deepseek-v2-lite", "jetson-agx-orin-64gb", "llama.cpp"),
        ("qwen3-30b-a3b", "l40s", "vllm@0.25"),
        ("llama-3.1-70b", "a100-sxm", "vllm@0.25"),
        ("llama-3.1-8b", "h100-sxm", "any"),
        ("deepseek-v2-lite", "xeon-6980p", "sglang"),
        ("deepseek-v3", "h200-sxm", "tensorrt-llm"),
    ],
)
def test_no_uniform_plan_of_the_same_choices_is_better(
    model: str, device: str, engine: str, objective: str
) -> None:
    """Each on its own best layout and batch, within the limit on loss, in every way to serve: by
    full prices nothing is better."""
    questions = ways(model, device, engine, objective=objective)
    spaces = spaces_of(questions)
    found = question_search.branch_and_bound(spaces)
    assert found is not None
    mine = price(found.space, found.candidate, found.segments)
    full = score(found.space.model.question, mine)
    rivals = 0
    for space in spaces:
        limit = loss_limit(space.model)
        for one in best_uniforms(space, uniform_within(space, np.inf if limit is None else limit)):
            if one.priced is not None:
                assert full <= score(space.model.question, one.priced) * (1 + 1e-7), one.name
                rivals += 1
    assert rivals


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "device", "fewer", "more"),
    [
        ("deepseek-v3", "b200-sxm", {"engine": "vllm@0.21"}, {"engine": "vllm@0.25"}),
        ("deepseek-v3", "b200-sxm", {"engine": "vllm@0.25", "kv": "fp8"}, {"engine": "vllm@0.25"}),
        (
            "deepseek-v3",
            "h200-sxm",
            {"schemes": ["fp8-block", "bf16"]},
            {"schemes": ["fp8-block", "bf16", "int8-w8a8"]},
        ),
        ("qwen3-235b-a22b", "h200-sxm", {"kv": "bf16"}, {}),
        (
            "llama-3.1-70b",
            "h100-sxm",
            {"max_loss": "bf16", "schemes": ["bf16", "fp8-block"]},
            {"max_loss": "fp8-block", "schemes": ["bf16", "fp8-block"]},
        ),
        ("deepseek-v2-lite", "h200-sxm", {"batch": 64}, {"batch": 64, "untie": True}),
        pytest.param("deepseek-v3", "h200-sxm", {}, {"untie": True}, marks=pytest.mark.exhaustive),
    ],
)
def test_another_choice_never_worsens_a_plan(
    model: str, device: str, fewer: dict[str, Any], more: dict[str, Any]
) -> None:
    """By what is priced in full, pipelines included."""
    less, richer = (theory.plan(model, device, devices=8, **asked) for asked in (fewer, more))
    assert rate(richer) >= rate(less) * (1 - 1e-6)
    assert richer.solver.proved
    assert less.solver.proved


@pytest.mark.exhaustive
@pytest.mark.parametrize("devices", [1, pytest.param(4, marks=pytest.mark.exhaustive)])
def test_a_plan_takes_the_best_batch_beside_its_own(devices: int) -> None:
    found = theory.plan("qwen3-30b-a3b", "h200-sxm", devices=devices)
    layout = found.layout
    step = layout.dp * layout.pp * layout.replicas
    for batch in (found.workload.batch - step, found.workload.batch + step):
        try:
            near = theory.plan(
                "qwen3-30b-a3b",
                "h200-sxm",
                devices=devices,
                batch=batch,
                tp=layout.tp,
                dp=layout.dp,
                pp=layout.pp,
                ep=layout.ep,
                objective=THROUGHPUT,
            )
        except InfeasibleError:
            continue
        assert rate(near) <= rate(found) * (1 + 1e-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "asked",
    [
        {"model": "qwen3-30b-a3b", "device": "rtx-pro-6000", "engine": "vllm@0.25"},
        pytest.param(
            {"model": "deepseek-v3", "device": "h200-sxm", "devices": 8, "untie": True},
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_the_solver_comes_to_an_end(asked: dict[str, Any]) -> None:
    """Two questions in which HiGHS did not: in presolve, and in a problem inside a heuristic."""
    code = f"import planner; print(planner.plan(**{asked!r}).solver.status)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            timeout=NEVER_SECONDS,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"the solver ran for {NEVER_SECONDS} s: a plan takes seconds, so it hangs")
    assert done.stdout.strip() == "optimal"
