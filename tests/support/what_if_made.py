"""A what-if grid of every axis, made from one plan by factors: its page is tested without planning
hundreds of positions."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from math import prod

from planner.placement.layout import Layout
from planner.planning.plan.record import Estimate, Plan
from planner.planning.what_if.grid import Grid, InfeasiblePoint, PlannedPoint, Point
from planner.planning.what_if.grid_axes import Axis
from planner.planning.what_if.grid_points import point_of_plan
from planner.report.render.html import page
from planner.report.render.interactive import interactive
from tests.support import what_if as small

GIB = 1 << 30
VALUES: dict[str, tuple[str, ...]] = {
    "workload": ("own", "chat", "agent", "long"),
    "context": ("auto",),
    "batch": ("auto",),
    "tpot-ms": ("none", "50", "12.5"),
    "devices": ("1", "2", "4"),
    "max-loss": ("bf16", "int8-w8a8"),
    "engine": ("auto", "vllm", "llama.cpp"),
    "schemes": ("auto",),
    "kv": ("auto", "bf16"),
}
"""Values by axis: 432 positions; two axes are of one value."""
FLAGS = {"own": "--context 4096", "auto": ""}
BASE = {"max-loss": 1}


@cache
def axes(
    values: tuple[tuple[str, tuple[str, ...]], ...] = tuple(VALUES.items()),
) -> tuple[Axis, ...]:
    """The axes of ``values``, each with the flag that it is named after."""
    return tuple(
        Axis(
            name,
            named,
            tuple(FLAGS.get(value, f"--{name} {value}") for value in named),
            BASE.get(name, 0),
        )
        for name, named in values
    )


def _point(own: PlannedPoint, at: tuple[int, ...], named: dict[str, str]) -> Point:
    """The position ``at``: the plan's figures times a factor of it; some have no plan."""
    workload, tpot, devices, engine = (
        named[n] for n in ("workload", "tpot-ms", "devices", "engine")
    )
    if engine == "llama.cpp" and named["kv"] == "bf16":
        return InfeasiblePoint("engine")
    if workload == "long" and devices == "1":
        return InfeasiblePoint("memory", 9 * GIB, 5 * GIB)
    if workload == "agent" and engine == "llama.cpp":
        return InfeasiblePoint("context", 33_792, 32_768)
    if tpot == "12.5" and devices == "1":
        return InfeasiblePoint("max-loss+tpot" if named["max-loss"] == "bf16" else "tpot")
    if at == (0,) * len(at):
        return own
    factor = 1 + sum((n + 2) * step for n, step in enumerate(at)) / 7.3
    count, perf = int(devices), own.performance
    rate = _times(perf.output_tokens_per_second, factor * count)
    energy = Estimate(3.2 * factor, 1.7, 6.1 * factor, "prior")
    return replace(
        own,
        layout=Layout(count),
        batch=own.batch + sum(at),
        performance=replace(
            perf,
            output_tokens_per_second=rate,
            output_tokens_per_second_per_device=_times(rate, 1 / count),
            tpot_seconds=_times(perf.tpot_seconds, 1 / factor),
            ttft_seconds=_times(perf.ttft_seconds, factor),
            joules_per_output_token=energy,
        ),
        quality=replace(own.quality, loss=own.quality.loss / factor),
        room=own.room * count,
        engine="" if engine == "auto" else f"{engine} 1.0",
    )


def _times(estimate: Estimate, factor: float) -> Estimate:
    return replace(
        estimate,
        value=estimate.value * factor,
        low=estimate.low * factor,
        high=estimate.high * factor,
    )


def made(plan: Plan, among: tuple[Axis, ...]) -> Grid:
    """A grid around ``plan`` over the axes ``among``."""
    own = point_of_plan(plan)

    def points() -> Iterator[Point]:
        for at in product(*(range(len(axis)) for axis in among)):
            named = {axis.name: axis.values[n] for axis, n in zip(among, at, strict=True)}
            point = _point(
                own, tuple(abs(n - axis.base) for n, axis in zip(at, among, strict=True)), named
            )
            yield point

    found = tuple(points())
    assert len(found) == prod(len(axis) for axis in among)
    return Grid("plan qwen2.5-0.5b jetson-orin-nano-8gb --exact", among, found)


@cache
def grid() -> Grid:
    """432 positions, some without a plan for each of five reasons."""
    return made(small.plan(), axes())


@cache
def html(lang: str = "en") -> str:
    """The report with the what-if page of :func:`grid`."""
    return page(small.plan(), lang, around=interactive(grid(), small.plan(), lang))
