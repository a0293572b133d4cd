"""The limit on a whole request, TTFT + (osl − 1) × TPOT: against enumeration, and on plans."""

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.questions import model_of
from support.search_sums import search_sums

import planner
from planner.base.errors import InfeasibleError
from planner.planning.plan.record import Plan
from planner.planning.search.candidate_problem import CandidateProblem, candidate_problem
from planner.planning.search.first_token import keeps_ttft, solve_relaxed_ttft, solve_with_ttft
from planner.planning.search.formulate import bounds
from planner.planning.search.served_batch import WORTH
from planner.planning.search.spaces import grid_space, with_question
from planner.planning.search.uniform import choice_scores, uniform_choice
from planner.planning.solver.problem import INFEASIBLE, Solution, objective_of, violation
from planner.planning.space.assignment import tied_segments
from planner.planning.space.candidates import Space
from planner.report.render.markdown import markdown
from planner.report.render.plan_text import plan_text


@cache
def space_of(batch: int, stages: int) -> Space:
    space = grid_space(
        model_of(
            "smollm2-135m",
            batch=batch,
            context=1024,
            schemes=("bf16", "int8-w8a8"),
            devices=stages,
            pp=stages,
        )
    )
    assert space is not None
    return space


def candidate(batch: int, stages: int, **limits: object) -> CandidateProblem:
    free = {"loss_scheme": None, "loss_limit": None, "tpot_seconds": None}
    return candidate_problem(with_question(space_of(batch, stages), **free, **limits), 0)


def request(one: CandidateProblem, counts: np.ndarray) -> float:
    """By the definition, of what the search adds up."""
    full = search_sums(one.space, one.c, one.segments(Solution("optimal", counts, 0.0, 0.0, 0.0)))
    return full.ttft + (one.space.model.question.workload.osl - 1) * full.tpot


def assignments(one: CandidateProblem, seed: int) -> list[np.ndarray]:
    """Some decisions free, the others as drawn."""
    rng = np.random.default_rng(seed)
    legal = one.problem.legal.copy()
    for d, row in enumerate(legal):
        able = np.flatnonzero(row)
        kept = rng.choice(able, size=min(len(able), 3 if d % 4 == 0 else 1), replace=False)
        legal[d] = np.isin(np.arange(len(row)), kept)
    return [
        (np.arange(legal.shape[1]) == np.array(options)[:, None]).astype(np.int64)
        for options in product(*(np.flatnonzero(row) for row in legal))
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1000), st.sampled_from([1, 2, 3]), st.integers(0, 2**32), st.floats(0, 1))
def test_the_optimum_under_a_limit_is_that_of_enumeration(
    batch: int, stages: int, seed: int, level: float
) -> None:
    batch *= stages
    free = candidate(batch, stages)
    every = [
        (objective_of(free.problem, counts), counts, request(free, counts))
        for counts in assignments(free, seed)
        if violation(free.problem, counts) is None
    ]
    times = sorted(seconds for _, _, seconds in every)
    limit = times[int(level * (len(times) - 1))] * (1 + 1e-7)
    one = candidate(batch, stages, e2e_seconds=limit)
    taken = np.logical_or.reduce([counts > 0 for _, counts, _ in every])
    one = replace(one, problem=replace(one.problem, legal=one.problem.legal & taken))
    found = solve_with_ttft(one)
    best = min(value for value, _, seconds in every if seconds <= limit)
    assert found.has_assignment
    assert found.value == pytest.approx(best, rel=1e-6)
    assert found.bound <= best * (1 + 1e-9)
    assert request(one, found.counts) <= limit * (1 + 1e-8)
    assert keeps_ttft(one, found.counts)
    assert solve_relaxed_ttft(one, cutoff=np.inf).value <= best * (1 + 1e-7)
    assert bounds(one.space)[0] <= best * (1 + 1e-7)
    for _, counts, seconds in every:
        kept = violation(one.problem, counts) is None and keeps_ttft(one, counts)
        assert kept == (seconds <= limit)


@pytest.mark.parametrize("stages", [1, 2])
def test_a_limit_below_every_assignment_is_infeasible(stages: int) -> None:
    assert solve_with_ttft(candidate(8, stages, e2e_seconds=1e-6)).status == INFEASIBLE


def test_a_uniform_assignment_keeps_a_limit_that_is_just_what_it_takes() -> None:
    space = grid_space(model_of(schemes=("bf16",), kv="bf16"))
    assert space is not None
    free = {"loss_scheme": None, "loss_limit": None, "ttft_seconds": None, "tpot_seconds": None}
    choice = uniform_choice(space.model, "bf16", "bf16")
    assert choice is not None
    best = int(choice_scores(with_question(space, **free), choice).argmin())
    full = search_sums(space, best, tied_segments(space.model, choice))
    takes = full.ttft + (space.model.question.workload.osl - 1) * full.tpot
    for share, kept in ((1.0, True), (1 + 1e-8, True), (1 - 1e-8, False)):
        bounded = with_question(space, **{**free, "e2e_seconds": takes * share})
        assert bool(np.isfinite(choice_scores(bounded, choice)[best])) == kept


def taken(plan: Plan) -> float:
    """Seconds of a whole request of a plan."""
    times = plan.performance
    return times.ttft_seconds.value + (plan.workload.osl - 1) * times.tpot_seconds.value


ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("qwen3-8b", "l40s", {"devices": 4, "isl": 2000, "osl": 300}),
    ("llama-3.1-8b", "h100-sxm", {"isl": 4000, "osl": 200}),
    ("qwen3-30b-a3b", "h100-sxm", {"devices": 2, "pp": 2}),
    ("llama-3.2-1b", "rtx-4090", {"isl": 500, "osl": 500, "untie": True}),
    ("llama-3.1-8b", "a100-sxm", {"isl": 8000, "osl": 1, "context": 8192}),
    ("llama-3.1-70b", "h100-sxm", {"devices": 8, "mode": "disaggregated"}),
]


@pytest.mark.parametrize(("model", "device", "more"), ASKED, ids=[f"{m}-{d}" for m, d, _ in ASKED])
def test_a_plan_keeps_the_limit_and_is_no_worse_than_one_under_its_parts(
    model: str, device: str, more: dict[str, Any]
) -> None:
    free = planner.plan(model, device, exact=True, tpot_seconds="none", **more)
    limit = 0.8 * taken(free)
    held = planner.plan(model, device, exact=True, e2e_seconds=limit, **more)
    assert taken(held) <= limit * (1 + 1e-9)
    note = next(a for a in held.assumptions if a.key == "request time")
    assert "limit" in note.value
    times = held.performance
    parts = planner.plan(
        model,
        device,
        exact=True,
        ttft_seconds=times.ttft_seconds.value * (1 + 1e-9),
        tpot_seconds=times.tpot_seconds.value * (1 + 1e-9),
        **more,
    )
    rate = parts.performance.output_tokens_per_second.value
    assert times.output_tokens_per_second.value >= rate * (1 - WORTH)


def test_an_answer_of_one_token_is_limited_as_its_first() -> None:
    asked: dict[str, Any] = {"isl": 2000, "osl": 1, "tpot_seconds": "none"}
    free = planner.plan("llama-3.1-8b", "h100-sxm", **asked).performance.ttft_seconds.value
    one = planner.plan("llama-3.1-8b", "h100-sxm", e2e_seconds=0.9 * free, **asked)
    two = planner.plan("llama-3.1-8b", "h100-sxm", ttft_seconds=0.9 * free, **asked)
    assert (one.layout, one.workload.batch, one.units) == (
        two.layout,
        two.workload.batch,
        two.units,
    )


def test_the_default_limit_on_tpot_gives_way() -> None:
    held = planner.plan("llama-3.1-8b", "h100-sxm", e2e_seconds=1000.0)
    assert not [a for a in held.assumptions if a.key == "tpot-ms default"]


def test_an_estimate_keeps_it_or_says_what_it_takes() -> None:
    asked: dict[str, Any] = {
        "scheme": "bf16",
        "batch": 32,
        "isl": 1000,
        "osl": 100,
        "devices": 1,
        "engine": "vllm",
    }
    free = planner.estimate("llama-3.1-8b", "h100-sxm", **asked)
    again = planner.estimate("llama-3.1-8b", "h100-sxm", e2e_seconds=taken(free) * 1.0001, **asked)
    assert again.performance.tpot_seconds == free.performance.tpot_seconds
    with pytest.raises(InfeasibleError, match="e2e"):
        planner.estimate("llama-3.1-8b", "h100-sxm", e2e_seconds=taken(free) * 0.999, **asked)


def test_the_hint_of_a_refusal_is_the_least_that_works() -> None:
    asked: dict[str, Any] = {"isl": 2000, "osl": 300, "batch": 4}
    with pytest.raises(InfeasibleError, match="e2e 1 s excludes every plan") as caught:
        planner.plan("qwen3-8b", "l40s", e2e_seconds=1.0, **asked)
    least = float(str(caught.value.hint).split("--e2e-ms to ")[1].split()[0].rstrip(";")) * 1e-3
    assert taken(planner.plan("qwen3-8b", "l40s", e2e_seconds=least, **asked)) <= least * (1 + 1e-9)
    with pytest.raises(InfeasibleError):
        planner.plan("qwen3-8b", "l40s", e2e_seconds=least / 1.02, **asked)


@pytest.mark.parametrize(("lang", "words"), [("en", "whole request"), ("zh", "整个请求")])
def test_page_and_first_lines_tell_it_beside_its_limit(lang: str, words: str) -> None:
    held = planner.plan("llama-3.1-8b", "h100-sxm", isl=1000, osl=100, e2e_seconds=2.0)
    note = next(a.value for a in held.assumptions if a.key == "request time")
    assert note.endswith("(limit 2 s)")
    assert f"whole request {note}" in " ".join(plan_text(held).split())
    page = markdown(held, lang)
    assert words in page.split("\n## ")[0]
