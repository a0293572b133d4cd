"""A what-if page around a plan in pools: the best pools stand beside positions of one pool."""

import json
import re
from functools import cache

import pytest
from support import small_pools

import planner
from planner.api.what_if import what_if
from planner.planning.what_if.around_file import around_file
from planner.planning.what_if.grid import Grid
from planner.planning.what_if.grid_axes import Axis
from planner.report.render.html import page
from planner.report.render.interactive import interactive

GRID = (
    "workload=own",
    "context=8192",
    "batch=64",
    "tpot-ms=none",
    "devices=4,8",
    "max-loss=bf16,fp8-block",
    "engine=vllm",
    "schemes=auto",
    "kv=auto",
)


def axis(name: str) -> Axis:
    return next(one for one in grid().axes if one.name == name)


@cache
def grid() -> Grid:
    plan = small_pools.plan()
    return what_if(base=plan, grid=GRID, **around_file(plan))


def test_every_device_count_and_limit_has_its_pools() -> None:
    found = grid()
    losses = len(axis("max-loss"))
    assert len(found.pools) == len(axis("context")) * len(axis("devices")) * losses
    for n, devices in enumerate(int(value) for value in axis("devices").values):
        for loss in range(losses):
            point = found.pools[n * losses + loss]
            if point is None:
                continue
            used = sum(count * layout.ranks for count, layout, _ in (point.prefill, point.decode))
            assert used <= devices


def test_a_point_is_what_the_single_question_answers() -> None:
    found = grid()
    point = found.pools[axis("devices").base * len(axis("max-loss")) + axis("max-loss").base]
    assert point is not None
    plan = planner.plan(
        small_pools.MODEL,
        small_pools.DEVICE,
        devices=small_pools.DEVICES,
        engine="vllm",
        mode="disaggregated",
        exact=True,
    )
    perf = plan.performance
    assert point.output_tokens_per_second == pytest.approx(
        perf.output_tokens_per_second.value, rel=1e-3
    )
    assert point.tpot_seconds == pytest.approx(perf.tpot_seconds.value, rel=0.02)
    assert point.ttft_seconds == pytest.approx(perf.ttft_seconds.value, rel=0.02)


def test_the_command_of_a_position_is_of_workers_that_do_both() -> None:
    assert "--mode aggregated" in grid().command


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_embeds_a_sentence_for_every_pool(lang: str) -> None:
    plan = small_pools.plan()
    made = interactive(grid(), plan, lang)
    text = page(plan, lang, around=made)
    (block,) = re.findall(
        r'<script type="application/json" id="what-if-data">(.*?)</script>', text, re.DOTALL
    )
    data = json.loads(block)
    assert len(data["pools"]) == len(grid().pools)
    assert all(isinstance(said, str) and said for said, _ in data["pools"])
    assert made.w("note.pools") in text
    assert 'id="wi-pools"' in text


def test_a_plan_of_one_pool_has_none_beside() -> None:
    plan = planner.plan(
        "qwen2.5-0.5b", "h100-sxm", devices=1, context=2048, batch=8, engine="any", kv="bf16"
    )
    found = what_if(
        base=plan,
        grid=(
            "workload=own",
            "batch=8",
            "devices=1",
            "max-loss=fp8-block",
            "engine=any",
            "tpot-ms=none",
            "kv=bf16",
        ),
        **around_file(plan),
    )
    assert found.pools == ()
    assert interactive(found, plan, "en").data["pools"] == []
