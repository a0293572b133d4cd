"""Requests, limits on TPOT and engines of a grid: each position is its command's answer."""

import shlex
from functools import cache
from itertools import product
from typing import Any

import pytest

import planner
from planner.base.errors import InfeasibleError, InputError, UnsupportedError
from planner.cli.commands import plan_command
from planner.planning.question.given_values import seconds_of
from planner.planning.what_if import grid_points
from planner.planning.what_if.grid import Grid, InfeasiblePoint, PlannedPoint
from planner.planning.what_if.grid_axes import (
    OWN,
    engine_axis,
    parse_grid,
    tpot_axis,
    workload_axis,
)

MODEL, DEVICE = "llama-3.2-1b", "l40s"
ASKED: dict[str, Any] = {"context": 4096, "devices": 1, "memory_bytes": 12 << 30}
GRID = (
    "workload=own,rag",
    "context=4096,16384",
    "tpot-ms=none,0.5",
    "devices=1",
    "max-loss=fp8-block",
    "engine=auto,vllm,llama.cpp",
    "schemes=auto",
    "kv=auto,fp8",
)


@cache
def base() -> planner.Plan:
    return planner.plan(MODEL, DEVICE, **ASKED)


@cache
def grid() -> Grid:
    return planner.what_if(MODEL, DEVICE, base=base(), grid=GRID, **ASKED)


@cache
def positions() -> dict[str, Any]:
    """Every position by its command."""
    found = grid()
    flags = product(*(axis.flags for axis in found.axes))
    return {
        " ".join(filter(None, (found.command, *own))): point
        for own, point in zip(flags, found.points, strict=True)
    }


def answered(command: str) -> planner.Plan:
    """The plan of a command."""
    with plan_command.make_context(
        "plan", shlex.split(command)[1:], help_option_names=["-h", "--help"]
    ) as context:
        from planner.cli.run import question_arguments

        given = {k: v for k, v in context.params.items() if k not in ("ignore_keys", "online")}
        arguments = question_arguments(given)
        return planner.plan(given["model"], given["device"], **arguments)


@pytest.mark.sample(4)
@pytest.mark.parametrize("at", range(0, 72, 3))
def test_a_position_is_what_its_command_answers(at: int) -> None:
    command, point = list(positions().items())[at]
    if isinstance(point, InfeasiblePoint):
        kind = {"context": InputError, "engine": UnsupportedError}.get(point.limit, InfeasibleError)
        with pytest.raises(kind) as caught:
            answered(command)
        if kind is InfeasibleError:
            assert point.limit.partition("+")[0] in caught.value.message
        return
    alone = answered(command)
    assert point.performance == alone.performance
    assert point.quality == alone.quality
    assert point.memory.total == alone.memory_per_device.total_bytes
    assert point.engine == f"{alone.engine.name} {alone.engine.version}".rstrip()
    assert point.devices == alone.device.count
    assert [(k, layers, s) for k, layers, s, _ in point.formats] == [
        (u.kind, u.layers, u.scheme) for u in alone.units
    ]


def test_the_grid_has_every_kind_of_position() -> None:
    assert len(positions()) == len(grid().points) == 72
    limits = {p.limit for p in grid().points if isinstance(p, InfeasiblePoint)}
    assert {"context", "engine"} <= limits
    assert any("tpot" in limit.split("+") for limit in limits)
    assert {p.engine.partition(" ")[0] for p in grid().points if isinstance(p, PlannedPoint)} >= {
        "vllm",
        "llama.cpp",
    }
    short = [p for p in grid().points if isinstance(p, InfeasiblePoint) and p.limit == "context"]
    assert {(p.need, p.have) for p in short} == {(9216, 4096)}


def test_the_best_of_all_engines_is_no_worse_than_any() -> None:
    """And a looser limit never has less; the plan itself, which is no optimum, apart."""
    found = grid()
    shape = [len(axis) for axis in found.axes]
    rates: dict[tuple[int, ...], float] = {}
    for at, point in zip(product(*map(range, shape)), found.points, strict=True):
        rates[at] = (
            point.performance.output_tokens_per_second_per_device.value
            if isinstance(point, PlannedPoint)
            else 0.0
        )
    names = [axis.name for axis in found.axes]
    engine, tpot = names.index("engine"), names.index("tpot-ms")
    plan = tuple(axis.base for axis in found.axes)
    for at, rate in rates.items():
        best = (*at[:engine], 0, *at[engine + 1 :])
        assert best == plan or rates[best] >= rate * (1 - 1e-6)
        if at[tpot]:
            looser = (*at[:tpot], at[tpot] - 1, *at[tpot + 1 :])
            assert looser == plan or rates[looser] >= rate * (1 - 1e-6)


def test_a_limit_that_an_answer_keeps_anyway_is_not_searched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches: list[float | None] = []
    search = grid_points.best_result
    monkeypatch.setattr(
        grid_points,
        "best_result",
        lambda questions: (searches.append(questions[0].tpot_seconds), search(questions))[1],
    )
    found = planner.what_if(
        MODEL,
        DEVICE,
        base=base(),
        **ASKED,
        grid=(
            "workload=own",
            "tpot-ms=none,100000,90000",
            "devices=1",
            "max-loss=fp8-block",
            "engine=vllm",
            "schemes=auto",
            "kv=auto",
        ),
        engine="vllm",
    )
    own = next(axis for axis in found.axes if axis.name == "tpot-ms")
    assert own.values == ("none", "100000", "90000", "50")
    assert None in searches
    assert not {90.0, 100.0} & set(searches)


def test_axes_of_requests() -> None:
    works = workload_axis(None, OWN, "--context 4096")
    assert works.values == ("own", "chat", "rag", "reasoning", "agent", "long")
    assert works.flags[:2] == ("--context 4096", "--workload chat")
    assert workload_axis(("rag", "own"), "chat", "").values == ("chat", "rag")
    limits = tpot_axis(("12.5", "none", "1e2"), "50")
    assert limits.values == ("none", "100", "50", "12.5")
    assert limits.base == 2
    assert limits.flags[3] == "--tpot-ms 12.5"
    engines = engine_axis(("vllm", "sglang"), "auto", default=True)
    assert (engines.values, engines.flags) == (
        ("auto", "vllm", "sglang"),
        ("", "--engine vllm", "--engine sglang"),
    )
    assert engine_axis(("auto", "vllm"), "vllm@0.19", default=False).flags == (
        "--engine vllm@0.19",
        "--engine auto",
        "--engine vllm",
    )


@pytest.mark.parametrize(
    "values",
    [
        "workload=chatt",
        "workload=",
        "tpot-ms=fast",
        "tpot-ms=0",
        "tpot-ms=-5",
        "tpot-ms=nan",
        "tpot-ms=inf",
        "engine=vlm",
        "engine=vllm@x",
        "engine=mlx",
    ],
)
def test_values_that_cannot_be_asked(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.planning.what_if.run._computed", None)
    with pytest.raises(InputError) as caught:
        planner.what_if(MODEL, DEVICE, base=base(), grid=[values], **ASKED)
    assert caught.value.hint


def test_seconds_of_an_axis_are_those_of_the_flag() -> None:
    assert parse_grid(["tpot_ms=none,50"]) == {"tpot-ms": ("none", "50")}
    assert seconds_of(float("50")) == 0.05
