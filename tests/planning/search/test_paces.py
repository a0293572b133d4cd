"""Sums of a search are those of each layout's closed loop, at the assignment that scales them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.search_sums import search_sums

from planner.planning.price.price import price
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import LoopExcess
from planner.planning.search.formulate import score_scale
from planner.planning.search.paces import of_extreme_loss
from planner.planning.search.spaces import grid_space
from planner.planning.space.assignment import tied_segments
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

ASKED: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "devices": 4,
    "context": 4096,
    "kv": "bf16",
    "schemes": ["bf16"],
}


def model_with(engine: str) -> CostModel:
    question = QuestionInput(**ASKED, engine=engine, tpot_seconds=0.03).questions()[0]
    return build_model(question, load_prior())


@pytest.mark.parametrize("engine", ["vllm", "sglang", "any"])
def test_scaled_sums_order_layouts_as_their_loops_do(engine: str) -> None:
    model = model_with(engine)
    space = grid_space(model)
    assert space is not None
    assert space.tables.paces is not None
    choice = of_extreme_loss(model, np.argmin)
    assert choice is not None
    segments = tied_segments(model, choice)
    scale = score_scale(space)
    scaled, loops = [], []
    for layout in range(len(space.tables.layouts)):
        here = np.flatnonzero((space.pts.layout == layout) & (space.slots >= 8))
        if not len(here):
            continue
        c = int(here[0])
        priced = price(space, c, segments)
        scaled.append(priced.added * scale[c])
        loops.append(priced.layout.ranks / priced.rate)
    ratios = np.array(scaled) / np.array(loops)
    assert len(ratios) > 4
    assert np.all((ratios > 0.75) & (ratios < 1.33))


def test_pipelines_inside_a_node_are_not_told_to_be_faster_than_tensor_parallelism() -> None:
    """As published: vLLM pp2 ÷ tp2 0.70, SGLang pp4 ÷ tp4 0.29."""
    model = model_with("vllm")
    space = grid_space(model)
    assert space is not None
    choice = of_extreme_loss(model, np.argmin)
    assert choice is not None
    segments = tied_segments(model, choice)

    def rate(tp: int, pp: int) -> float:
        layout = next(
            i
            for i, la in enumerate(space.tables.layouts)
            if (la.tp, la.pp, la.dp, la.ep) == (tp, pp, 1, 1)
        )
        c = int(np.flatnonzero((space.pts.layout == layout) & (space.pts.batch == 32))[0])
        return price(space, c, segments).rate

    assert rate(2, 2) < rate(4, 1)
    assert rate(1, 4) < rate(2, 2)


def test_a_given_batch_is_scaled_to_its_own_loop_and_ttft_to_the_faster_of_two() -> None:
    """TPOT of the least lossy assignment is that of its loop; TTFT no more than that of the loop of
    the least and of the most lossy."""
    asked = {**ASKED, "schemes": ["bf16", "fp8-tensor"], "kv": "auto", "batch": 16}
    question = QuestionInput(**asked, engine="vllm", ttft_seconds=10.0).questions()[0]
    model = build_model(question, load_prior())
    space = grid_space(model)
    assert space is not None
    for c in range(len(space)):
        ratios = []
        for extreme in (np.argmin, np.argmax):
            choice = of_extreme_loss(model, extreme)
            assert choice is not None
            segments = tied_segments(model, choice)
            priced, sums = price(space, c, segments), search_sums(space, c, segments)
            ratios.append(priced.ttft / (sums.ttft / space.ttft_pace[c]))
            if extreme is np.argmin:
                assert sums.tpot == pytest.approx(priced.tpot, rel=1e-9)
                assert sums.score == pytest.approx(priced.layout.ranks / priced.rate, rel=1e-9)
        assert space.ttft_pace[c] == pytest.approx(min(ratios), rel=1e-9)


def test_what_a_loop_took_longer_is_in_the_next_search() -> None:
    question = QuestionInput(**ASKED, engine="vllm", batch=16, ttft_seconds=10.0).questions()[0]
    free = grid_space(build_model(question, load_prior()))
    assert free is not None
    layout = free.layout(0)
    slower = replace(question, loop_excess=(LoopExcess(layout, 1.25, 1.5),))
    space = grid_space(build_model(slower, load_prior()))
    assert space is not None
    here = space.pts.layout == space.pts.layout[0]
    assert space.tpot_pace[here] == pytest.approx(1.25 * free.tpot_pace[here])
    assert space.ttft_pace[here] == pytest.approx(1.5 * free.ttft_pace[here])
    assert space.tpot_pace[~here] == pytest.approx(free.tpot_pace[~here])
