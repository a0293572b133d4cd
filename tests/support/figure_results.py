"""One result for every figure, made by hand or read from the stored plan: nothing is planned."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import planner
from planner.lab.validation.records import Outcome, Validation
from planner.planning.inspect.derived_figures import DerivedFigures
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Assumption, Baseline, Estimate, LayoutInfo, Plan
from planner.planning.serving.deployment import ServedPoint, ServingAnswer
from planner.planning.what_if.frontier import Frontier, FrontierPoint
from planner.planning.what_if.regimes import MapCell, PhaseMap
from planner.quality.layer_error import Accumulation, LayerError, LayerNumerics, LayerShape
from planner.report.render.embedded import computed_from

HERE = Path(__file__).resolve().parents[1] / "golden" / "report"


def estimate(value: float) -> Estimate:
    """A value whose interval reaches further up than down."""
    return Estimate(value, value * 0.8, value * 1.5, "fitted")


@cache
def plan() -> Plan:
    """The stored plan with one more baseline, of round numbers."""
    found = planner.read_plan(HERE / "plan.json")
    line = Baseline("int4-w4a16", True, "", 1, 4, 2**30, 0.1, 0.02, 50.0, 50.0, 0.25)
    return replace(found, baselines=(*found.baselines, line))


@cache
def weighed() -> Plan:
    """The stored plan, whose other plans all gain 50 % (25 to 100 %)."""
    said, rate = plan().recommendation, plan().performance.output_tokens_per_second.value
    assert said is not None
    return replace(
        plan(),
        recommendation=replace(
            said,
            alternatives=tuple(
                replace(
                    one,
                    gain=GainRange(0.5, 0.25, 1.0),
                    output_tokens_per_second=1.5 * rate,
                    devices=plan().device.count,
                )
                for one in said.alternatives
            ),
        ),
    )


@cache
def late() -> Plan:
    """The same for latency."""
    return replace(plan(), objective="latency")


@cache
def computed() -> DerivedFigures:
    """What was counted of the stored plan."""
    return computed_from(json.loads((HERE / "computed.json").read_text(encoding="utf-8")))


def _served(at_once: float, each: float, user: float, *, pareto: bool = True) -> ServedPoint:
    return ServedPoint(
        at_once, 1 / user, 0.2, 1.0, 2 * each, each, user, at_once, 0.1, 0.0, 0.2, False, pareto
    )


def served() -> ServingAnswer:
    """Three points, the middle one asked."""
    points = (_served(4, 200.0, 80.0), _served(16, 600.0, 62.5), _served(64, 900.0, 20.0))
    return ServingAnswer(
        "qwen3-0.6b",
        "h100-sxm",
        2,
        "fp8-block",
        "bf16",
        "vllm",
        LayoutInfo(1, 1, 1, 1, 2),
        512,
        128,
        points[1],
        estimate(1 / 62.5),
        estimate(0.2),
        None,
        points,
        (),
        (Assumption("arrivals", "closed loop", "asked"),),
    )


def frontier() -> Frontier:
    """Three points with a knee, and a map of four cells."""

    def point(loss: float, rate: float, knee: bool = False) -> FrontierPoint:
        return FrontierPoint(
            loss,
            rate,
            2**34,
            2**33,
            0.01,
            0.1,
            1,
            8,
            (1, 1, 1, 1),
            (("bf16", 1.0),),
            "",
            "bf16",
            "bf16",
            knee,
        )

    cells = tuple(
        MapCell(context, batch, regime, 0.6, n, ("bf16",), ("bf16",), (1, 1, 1, 1), 900.0)
        for context, batch, regime, n in (
            (2048, 1, "weights", 0),
            (2048, 16, "kv", 1),
            (8192, 1, "compute", 0),
            (8192, 16, "", -1),
        )
    )
    return Frontier(
        "qwen3-0.6b",
        "h100-sxm",
        4096,
        "nats",
        0.0,
        (point(0.002, 900.0), point(0.01, 1400.0, True), point(0.2, 1800.0)),
        PhaseMap((2048, 8192), (1, 16), cells),
    )


def numerics() -> LayerNumerics:
    """One scheme on one unit."""
    unit = Accumulation("hopper-wgmma", None, 3e-4, "", 6e-5, 4, 4)
    return LayerNumerics(
        "qwen3-0.6b",
        LayerShape("mlp-down", 3072, 4, 4, 0),
        (LayerError("fp8-block", 0.021, 0.019, 0.0285, (unit,)),),
    )


def validation() -> Validation:
    """Four rows of two tables."""
    rows = tuple(
        Outcome(
            table,
            n,
            "latency",
            "h100-sxm",
            "x",
            "",
            "fp8",
            "held-out",
            measured=1e-6 * (n + 1),
            predicted=1.1e-6 * (n + 1),
            low=0.9e-6 * (n + 1),
            high=1.5e-6 * (n + 1),
            basis="fitted",
        )
        for table in ("op_gemm", "op_moe")
        for n in range(2)
    )
    return Validation((), (), rows)
