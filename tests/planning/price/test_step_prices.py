"""Bytes and classes of layers of many candidates, against the price of each alone."""

from collections import Counter

import numpy as np
import pytest
from support.questions import found_of, model_of

from planner.planning.price.price import price
from planner.planning.price.rank_bytes import rank_bytes
from planner.planning.price.step_prices import AFTER, BEFORE, layer_classes, step_prices
from planner.planning.search.spaces import grid_space
from planner.planning.space.assignment import tied_segments
from planner.planning.space.kernel_times import step_times

ASKED = {"devices": 4, "batch": 16}


@pytest.mark.parametrize("option", [0, -1])
def test_the_fullest_stage_and_the_step_of_every_candidate(option: int) -> None:
    """Of the first choice of every unit, and of the last."""
    model = model_of(**ASKED)
    space = grid_space(model)
    assert space is not None
    work = model.question.workload
    choice = [
        int(np.flatnonzero(model.possible[i])[option]) if u.decision >= 0 else -1
        for i, u in enumerate(model.units)
    ]
    every = np.full(len(space), 1, dtype=np.int64)
    segments = tied_segments(model, choice)
    held = rank_bytes(
        model,
        space.tables,
        space.stages,
        space.pts,
        work.context * every,
        work.cached_tokens * every,
        work.isl * every,
        segments,
    )
    times = step_prices(model, step_times(model, space.tables, space.pts), space.pts, segments)
    assert {int(pp) for pp in space.pts.pp} >= {1, 2, 4}
    for c in range(len(space)):
        one = price(space, c, segments)
        full = one.fullest
        assert held[:, c].tolist() == [full.weights, full.cache, full.activation, full.runtime]
        assert times.tpot[c] == one.added
        alone = step_prices(
            model, space.times, space.pts.take(np.array([c])), segments, space.rows[[c]]
        )
        assert times.ttft[c] == alone.ttft.item()
        assert times.interruption[c] == alone.interruption.item()


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "deepseek-v2-lite", "gemma-3-1b"])
def test_every_layer_is_in_one_class_and_runs_all_its_units(name: str) -> None:
    model = model_of(name)
    found = layer_classes(model, tied_segments(model, [-1] * len(model.units)))
    assert Counter(found.layers) == Counter([*range(model.question.spec.layers), BEFORE, AFTER])
    assert sum(found.counts) == len(found.layers)
    ran = Counter(
        (i, layer)
        for layer, k in zip(found.layers, found.classes, strict=True)
        for kernel in found.kernels[k]
        for i in kernel
    )
    assert ran == Counter(
        (i, layer)
        for i, u in enumerate(model.units)
        for layer in (u.layers or (BEFORE if u.kind == "embedding" else AFTER,))
    )
    for kernels in found.kernels:
        for kernel in kernels:
            kinds = {model.units[i].kind for i in kernel}
            assert len(kernel) == 1 or kinds in (
                {"kv-k", "kv-v"},
                {"experts-gate-up", "experts-down"},
            )


def test_the_searched_plan_is_among_them() -> None:
    assert found_of(**ASKED).candidates >= 3
