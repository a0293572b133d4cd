"""Tables of steps are made once for all batches, and what is served of them."""

from __future__ import annotations

from functools import cache

import pytest

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.served import ROOM, loop_of, served_loop, serving_of, tabulate
from planner.planning.price.step import Assignment, step_times
from planner.quality.prior import load_prior


@cache
def plan() -> Assignment:
    return recipe_assignment(
        resolve_model("llama-3.1-8b"),
        resolve_device("h100-sxm"),
        Layout(),
        SchemeSet("bf16", "bf16", "bf16"),
        load_prior(),
        isl=1000,
        osl=200,
        engine="vllm",
    )


def test_one_table_stands_for_every_batch_up_to_its_largest() -> None:
    plan().model.known_steps.clear()
    question, work = plan().model.question, plan().model.question.workload

    def table(requests: float) -> object:
        return tabulate(plan(), [(0, serving_of(question, Layout(), requests, work))])[0]

    first = table(20.0)  # 32 sequences, and ROOM times as many
    assert table(3.0) is first
    assert table(32.0 * ROOM) is first
    assert table(32.0 * ROOM + 1) is not first
    assert len(plan().model.known_steps) == 1


@pytest.mark.parametrize("requests", [1.0, 7.0, 40.0])
def test_a_larger_table_serves_as_one_of_its_own(requests: float) -> None:
    plan().model.known_steps.clear()
    question, work = plan().model.question, plan().model.question.workload
    served_loop(plan(), 500.0)
    shared = served_loop(plan(), requests)
    times = step_times(plan(), serving_of(question, Layout(), requests, work))
    own = loop_of(question, Layout(), times, requests, work)
    assert shared.state.tpot == pytest.approx(own.state.tpot, rel=1e-9)
    assert shared.state.ttft == pytest.approx(own.state.ttft, rel=1e-9)
    assert shared.rate == pytest.approx(requests * 200 / (own.state.ttft + 200 * own.state.tpot))
