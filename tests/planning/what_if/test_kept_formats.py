"""Positions that keep formats: the plan at its own place, limits kept, no more for stricter."""

from functools import cache
from itertools import product

import pytest

import planner
from planner.planning.what_if.grid import Grid, InfeasiblePoint, PlannedPoint
from planner.planning.what_if.grid_axes import AS_RELEASED, OWN, other_widths

MODEL, DEVICE, ASKED = "llama-3.2-1b", "l40s", {"context": 4096, "devices": 1}
TPOTS = (None, 0.05, 0.01, 0.004, 0.0001)
GRID = (
    "workload=own,chat",
    "tpot-ms=none,50,10,4,0.1",
    "devices=1,2",
    "schemes=own,released,int4-w4a16,nvfp4",
    "kv=own,fp8",
    "max-loss=fp8-block,bf16",
)


@cache
def plan() -> planner.Plan:
    return planner.plan(MODEL, DEVICE, **ASKED)


@cache
def grid() -> Grid:
    return planner.what_if(MODEL, DEVICE, base=plan(), grid=GRID, **ASKED)


def positions() -> dict[tuple[str, ...], PlannedPoint | InfeasiblePoint]:
    found = grid()
    named = [axis for axis in found.axes if len(axis) > 1]
    assert [axis.name for axis in named] == [
        *("workload", "tpot-ms", "devices", "max-loss", "schemes", "kv")
    ]
    places = product(*(axis.values for axis in named))
    return dict(zip(places, found.points, strict=True))


def rate(point: PlannedPoint | InfeasiblePoint) -> float:
    planned = isinstance(point, PlannedPoint)
    return point.performance.output_tokens_per_second.value if planned else 0.0


def test_it_opens_on_the_plan_exactly() -> None:
    base = grid().points[grid().base]
    assert isinstance(base, PlannedPoint)
    assert base.performance == plan().performance
    assert base.quality == plan().quality
    assert base.memory.total == plan().memory_per_device.total_bytes
    assert (base.batch, base.devices) == (plan().workload.batch, plan().device.count)


def test_what_is_priced_at_the_plans_place_is_the_plan() -> None:
    """Under another limit on loss, which its formats keep as well, the place is priced."""
    same = planner.what_if(
        MODEL, DEVICE, base=plan(), grid=(*GRID[:3], "schemes=own", "max-loss=int4-w4a16"), **ASKED
    )
    (loss,) = (axis for axis in same.axes if axis.name == "max-loss")
    step = 1 if loss.base == 0 else -1
    stride = 1
    for axis in reversed(same.axes):
        if axis.name == "max-loss":
            break
        stride *= len(axis)
    priced = same.points[same.base + step * stride]
    assert isinstance(priced, PlannedPoint)
    assert rate(priced) == pytest.approx(
        plan().performance.output_tokens_per_second.value, rel=0.01
    )


def test_every_position_keeps_its_limit_on_tpot_and_its_formats() -> None:
    for (_, tpot, _, _, schemes, kv), point in positions().items():
        if not isinstance(point, PlannedPoint):
            continue
        if tpot != "none":
            assert point.performance.tpot_seconds.value <= float(tpot) / 1e3 * (1 + 1e-6)
        taken = {name for kind, _, name, _ in point.formats if not kind.startswith("kv-")}
        if schemes == "int4-w4a16":
            assert "int4-w4a16" in taken
        if kv == "fp8":
            assert {n for kind, _, n, _ in point.formats if kind.startswith("kv-")} == {"fp8"}
        if schemes == OWN and kv == OWN:
            assert taken == {u.scheme for u in plan().units if u.kv_layout is None}


def test_a_stricter_limit_never_has_more() -> None:
    found = positions()
    order = ("none", "50", "10", "4", "0.1")
    compared = 0
    for at, point in found.items():
        n = order.index(at[1])
        if n and rate(point) > 0:
            looser = found[(at[0], order[n - 1], *at[2:])]
            assert rate(looser) >= rate(point) * (1 - 1e-6), at
            compared += 1
    assert compared > 10


def test_twice_the_devices_never_have_less() -> None:
    found = positions()
    for at, point in found.items():
        if at[2] == "1" and rate(point) > 0:
            assert rate(found[(*at[:2], "2", *at[3:])]) >= rate(point) * (1 - 1e-6), at


def test_refusals_name_what_excludes() -> None:
    found = positions()
    assert found["own", "0.1", "1", "fp8-block", OWN, OWN] == InfeasiblePoint("tpot")
    assert found["own", "none", "1", "fp8-block", "nvfp4", OWN] == InfeasiblePoint("schemes")
    lossy = found["own", "none", "1", "bf16", "int4-w4a16", OWN]
    assert lossy == InfeasiblePoint("max-loss")
    named = found["own", "none", "1", "fp8-block", "int4-w4a16", OWN]
    assert isinstance(named, PlannedPoint), "a default limit excludes nothing that is named"
    assert isinstance(found["own", "none", "1", "bf16", AS_RELEASED, OWN], PlannedPoint)


def test_one_scheme_of_each_other_width() -> None:
    able = {"bf16", "fp8-block", "fp8-channel", "int8-w8a8", "int4-w4a16"}
    assert other_widths("fp8-tensor", able) == ["bf16", "int4-w4a16"]
    assert other_widths("bf16", able) == ["fp8-block", "int4-w4a16"]
    assert other_widths("nvfp4", able - {"fp8-block"}) == ["bf16", "fp8-channel"]
