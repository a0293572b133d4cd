"""Prefill interference is that of other requests, by one law in the search and in what is printed.

In the time in which one of C users decodes an answer, the C − 1 others are answered as often as the
loop turns, so that one user alone decodes without any prompt in between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.search_sums import search_sums

from planner import estimate, plan
from planner.planning.price.price import price
from planner.planning.price.step_prices import StepPrices, step_of_request, step_prices
from planner.planning.question.input import QuestionInput
from planner.planning.search.paces import of_extreme_loss
from planner.planning.search.spaces import grid_space
from planner.planning.space.assignment import tied_segments
from planner.planning.space.candidates import Space
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

DENSE: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "engine": "any",
    "devices": 1,
    "isl": 4096,
    "osl": 256,
}
HOME: dict[str, Any] = {
    "model": "qwen3-32b",
    "device": "rtx-4090",
    "engine": "llama.cpp",
    "devices": 1,
    "context": 32768,
}
CASES = [(DENSE, ["bf16"], "bf16"), (HOME, ["ggml-q3_k"], "q8_0")]


def space_of(asked: dict[str, Any], **more: Any) -> Space:
    question = QuestionInput(**asked, **more).questions()[0]
    space = grid_space(build_model(question, load_prior()))
    assert space is not None
    return space


def sums_of(space: Space, c: int = 0) -> StepPrices:
    """What the search adds up for the only assignment, before paces."""
    choice = of_extreme_loss(space.model, np.argmin)
    assert choice is not None
    at = np.array([c])
    segments = tied_segments(space.model, choice)
    return step_prices(space.model, space.times, space.pts.take(at), segments, space.rows[at])


@pytest.mark.parametrize(
    ("users", "asked", "schemes", "kv"),
    [
        (1, *CASES[0]),
        (8, *CASES[0]),
        (1, *CASES[1]),
        (8, {**HOME, "device": "apple-m4-max"}, ["ggml-q3_k"], "q8_0"),
    ],
)
def test_tpot_of_the_search_is_that_of_an_estimate(
    users: int, asked: dict[str, Any], schemes: list[str], kv: str
) -> None:
    """Of the only assignment that there is, as limits are held to it."""
    space = space_of(asked, batch=users, schemes=schemes, kv=kv)
    choice = of_extreme_loss(space.model, np.argmin)
    assert choice is not None
    searched = search_sums(space, 0, tied_segments(space.model, choice)).tpot
    priced = estimate(**asked, scheme=schemes[0], kv=kv, batch=users).performance
    assert searched == pytest.approx(priced.tpot_seconds.value, rel=1e-9)


@pytest.mark.parametrize(("asked", "schemes", "kv"), CASES)
def test_one_user_waits_for_no_prompts(asked: dict[str, Any], schemes: list[str], kv: str) -> None:
    """No pace makes up for it: the sums themselves are the step of the loop."""
    space = space_of(asked, batch=1, schemes=schemes, kv=kv)
    priced = estimate(**asked, scheme=schemes[0], kv=kv, batch=1).performance
    sums = sums_of(space)
    mine = step_of_request(sums, np.ones(1)).item()
    assert mine == pytest.approx(sums.tpot.item() - sums.interruption.item(), rel=1e-12)
    assert priced.interruption_seconds == 0.0
    assert mine == pytest.approx(priced.tpot_seconds.value, rel=2e-3)
    assert space.tpot_pace.tolist() == pytest.approx([1.0] * len(space), rel=2e-3)


@pytest.mark.parametrize("users", [2, 8, 32])
def test_prompts_of_the_others_are_those_of_the_loop(users: int) -> None:
    """The sums have all decode, the loop those of its users that do: as many prompts for each."""
    space = space_of(DENSE, batch=users, schemes=["bf16"], kv="bf16")
    choice = of_extreme_loss(space.model, np.argmin)
    assert choice is not None
    priced = price(space, 0, tied_segments(space.model, choice))
    sums = sums_of(space)
    alone = sums.tpot.item() - sums.interruption.item()
    others = step_of_request(sums, np.array([float(users)])).item() - alone
    each = others / users
    assert priced.interruption / priced.active == pytest.approx(each, rel=0.01)
    host = space.model.question.first_token(np.zeros(1)).item()
    prompt = sums.ttft.item() - host - sums.wait.item()
    added = prompt - alone
    assert others == pytest.approx((users - 1) / DENSE["osl"] * added, rel=1e-9)


def test_what_a_user_reads_itself_counts_for_the_rate() -> None:
    """Few long prompts: reading them is most of a request, so that a rate that forgot one's own
    would fall for a batch of 1 in many replicas."""
    asked: dict[str, Any] = {
        "model": "deepseek-v2",
        "device": "h200-sxm",
        "devices": 8,
        "context": 131072,
        "kv": "fp8",
        "tpot_seconds": "none",
    }
    found = estimate(**asked, scheme="fp8-block").performance
    others = [
        estimate(**asked, scheme="fp8-block", engine="vllm", batch=batch, tp=tp, dp=1, pp=1, ep=1)
        for batch, tp in ((1, 2), (1, 4), (4, 4))
    ]
    best = max(one.performance.output_tokens_per_second.value for one in others)
    assert found.output_tokens_per_second.value >= 0.99 * best


def test_a_plan_that_an_estimate_keeps_within_the_limit_is_not_left_out() -> None:
    """One user with 31,744 tokens: reading them takes half a minute, and delays none of the steps
    that follow."""
    kept = estimate(**HOME, scheme="Q3_K_M", kv="q8_0", batch=1)
    limit = 0.05
    assert kept.performance.tpot_seconds.value < limit
    found = plan(**{**HOME, "engine": "auto"}, tpot_seconds=limit)
    assert found.performance.tpot_seconds.value <= limit
    assert found.quality.loss <= kept.quality.loss * (1 + 1e-9)
