"""Every position of a grid is the answer of the single question that its flags ask."""

import shlex
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from support import what_if as small

import planner
from planner.base.errors import InfeasibleError, InputError, UnknownNameError, UnsupportedError
from planner.cli.commands import plan_command
from planner.planning.question.given_values import seconds_of
from planner.planning.what_if.grid import InfeasiblePoint, PlannedPoint
from planner.planning.what_if.grid_axes import (
    DEFAULT_POINTS,
    MAX_POINTS,
    NAMES,
    Axis,
    check_size,
    default_devices,
    fitted_axes,
    number_axis,
    parse_grid,
)
from tests.support import theory


def asked(command: str) -> dict[str, Any]:
    """Arguments of the API from a command of the page."""
    context = plan_command.make_context(
        "plan", shlex.split(command)[1:], help_option_names=["-h", "--help"]
    )  # click keeps them
    given = {
        name: context.params[name]
        for name in (
            "model",
            "device",
            "context",
            "devices",
            "batch",
            "max_loss",
            "isl",
            "osl",
            "workload",
        )
    }
    if context.params["kv"]:
        given["kv"] = context.params["kv"]
    if context.params["engine"]:
        given["engine"] = context.params["engine"]
    if context.params["tpot_ms"] is not None:
        given["tpot_seconds"] = seconds_of(context.params["tpot_ms"])
    return given


def positions() -> list[tuple[str, Any]]:
    grid = small.grid()
    flags = product(*(axis.flags for axis in grid.axes))
    return [
        (" ".join(filter(None, (grid.command, *f))), p)
        for f, p in zip(flags, grid.points, strict=True)
    ]


@pytest.mark.sample(1)
@pytest.mark.parametrize("n", [0, 3, 5, 12, 17, 22, 27, 31, 38, 47])
def test_a_position_is_the_plan_of_its_command(n: int) -> None:
    command, point = positions()[n]
    if isinstance(point, InfeasiblePoint):
        with pytest.raises(InfeasibleError, match=point.limit.partition("+")[0]):
            theory.plan(**asked(command))
        return
    alone = theory.plan(**asked(command))
    assert point.performance == alone.performance
    assert point.quality == alone.quality
    assert point.memory.total == alone.memory_per_device.total_bytes
    assert point.room == alone.capacity.max_concurrency_at_context
    assert point.batch == alone.workload.batch
    assert [(k, layers, s) for k, layers, s, _ in point.formats] == [
        (u.kind, u.layers, u.scheme) for u in alone.units
    ]
    assert sum(size for *_, size in point.formats) == sum(u.weight_bytes for u in alone.units)


def test_the_grid_has_plans_and_refusals_and_the_plan_itself() -> None:
    grid = small.grid()
    kinds = {type(p) for p in grid.points}
    assert kinds == {PlannedPoint, InfeasiblePoint}
    base = grid.points[grid.base]
    assert isinstance(base, PlannedPoint)
    assert base.performance == small.plan().performance
    assert grid.command == "plan qwen2.5-0.5b jetson-orin-nano-8gb --exact"
    assert [len(axis) for axis in grid.axes] == [1, 2, 3, 1, 2, 2, 1, 1, 2]
    assert [axis.name for axis in grid.axes] == list(NAMES)


def test_a_refusal_says_what_is_needed() -> None:
    refused = [p for p in small.grid().points if isinstance(p, InfeasiblePoint)]
    assert {p.limit for p in refused} == {"memory", "max-loss"}
    assert all((p.need > p.have > 0) == (p.limit == "memory") for p in refused)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (["context"], InputError),
        (["depth=3"], UnknownNameError),
        (["context="], InputError),
        (["context=4096,4096"], InputError),
        (["kv=fp8", "kv=bf16"], InputError),
    ],
)
def test_grids_that_are_none(text: list[str], error: type[InputError]) -> None:
    with pytest.raises(error) as caught:
        parse_grid(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "values",
    [
        "context=0",
        "context=1e4",
        "batch=-1",
        "devices=auto",
        "context=99999999999999999999",
        "context=1000000",
        "max-loss=fp9",
        "max-loss=0.5",
        "kv=fp9",
        "schemes=bf16+fp9",
        "kv=fp8-ds-mla",
    ],
)
def test_values_that_no_grid_can_have(values: str) -> None:
    with pytest.raises(InputError) as caught:
        planner.what_if(
            small.MODEL,
            small.DEVICE,
            base=small.plan(),
            context=small.CONTEXT,
            **theory.DEFAULTS,
            grid=[values, *(g for g in small.GRID if not g.startswith(values.partition("=")[0]))],
        )
    assert caught.value.hint
    assert not isinstance(caught.value, UnsupportedError) or "jetson" in caught.value.message


def test_a_grid_too_large_to_embed_is_refused_before_it_is_planned() -> None:
    big = "batch=" + ",".join(map(str, range(1, 6001)))
    with pytest.raises(InputError, match="points; at most 5,000 are embedded") as caught:
        planner.what_if(
            small.MODEL,
            small.DEVICE,
            base=small.plan(),
            context=small.CONTEXT,
            **theory.DEFAULTS,
            grid=[big],
        )
    assert "not named" in caught.value.hint
    axes = [Axis("batch", ("1",) * n, ("",) * n, 0) for n in (100, 50)]
    assert check_size(axes) == MAX_POINTS


def test_schemes_of_a_scenario_are_not_left_by_auto() -> None:
    with pytest.raises(InputError, match="names schemes"):
        planner.what_if(
            base=theory.plan(scenario="h100-fp8-throughput", batch=8),
            scenario="h100-fp8-throughput",
            batch=8,
            grid=["schemes=auto"],
        )


def test_ladders() -> None:
    assert default_devices(16, 64) == [16, 32, 8]
    assert default_devices(64, 64) == [64, 32]
    assert default_devices(1, 64) == [1, 2]
    batch = number_axis("batch", None, (1, 16), 10, most=1 << 20, auto=True)
    assert batch.values == ("auto", "1", "10", "16")
    assert batch.base == 2
    assert batch.flags[0] == ""


def test_axes_that_are_not_named_take_what_fits() -> None:
    letters = tuple("abcdefgh")
    axes = [
        Axis("batch", letters, letters, 0),
        Axis("workload", letters, letters, 3),
        Axis("tpot-ms", letters, letters, 0),
        Axis("kv", letters[:2], letters[:2], 0),
    ]
    ladders = {"workload": ("c", "a", "d", "b"), "tpot-ms": letters, "kv": letters[:2]}
    found = fitted_axes(axes, ladders)
    assert [len(axis) for axis in found] == [8, 4, 7, 2]
    assert found[1].values == ("a", "b", "c", "d")
    assert found[1].values[found[1].base] == "d"
    large = [
        replace(
            axes[0],
            values=tuple(map(str, range(DEFAULT_POINTS // 3))),
            flags=("",) * (DEFAULT_POINTS // 3),
        ),
        *axes[1:],
    ]
    assert [len(axis) for axis in fitted_axes(large, ladders)[1:]] == [1, 3, 1]


@pytest.mark.exhaustive
def test_answer_lengths_are_kept() -> None:
    plan = theory.plan(small.MODEL, small.DEVICE, isl=1000, osl=200)
    grid = planner.what_if(
        small.MODEL,
        small.DEVICE,
        base=plan,
        isl=1000,
        osl=200,
        grid=[
            "workload=own",
            "context=2048",
            "batch=8",
            "devices=1",
            "kv=bf16",
            "schemes=auto",
            "max-loss=int8-w8a8",
        ],
    )
    assert grid.axes[0].flags == ("--isl 1000 --osl 200",)
    assert grid.axes[1].flags == ("--context 1200", "--context 2048")
    base = grid.points[grid.base]
    assert isinstance(base, PlannedPoint)
    assert base.performance == plan.performance


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("model", "device", "batch"),
    [("qwen2.5-0.5b", "jetson-orin-nano-8gb", 1), ("llama-3.2-1b", "l40s", None)],
)
def test_the_page_begins_at_the_plan(model: str, device: str, batch: int | None) -> None:
    """At its limit on TPOT, its batch where a default set it, and the best of all engines."""
    made = planner.plan(model, device, context=2048, devices=1, exact=True)
    grid = planner.what_if(
        model,
        device,
        base=made,
        context=2048,
        devices=1,
        grid=(
            "workload=own",
            "devices=1",
            "max-loss=int8-w8a8",
            "schemes=auto",
            "kv=auto",
            "engine=auto",
            "tpot-ms=none",
        ),
    )
    assert grid.command == f"plan {model} {device} --mode aggregated --exact"
    batches = next(axis for axis in grid.axes if axis.name == "batch")
    assert batches.values == ("auto" if batch is None else str(batch),)
    limits = next(axis for axis in grid.axes if axis.name == "tpot-ms")
    assert limits.values == (("none",) if batch else ("none", "50"))
    base = grid.points[grid.base]
    assert isinstance(base, PlannedPoint)
    assert base.performance == made.performance
    assert base.engine == f"{made.engine.name} {made.engine.version or ''}".rstrip()
