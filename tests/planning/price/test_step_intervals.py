"""How sure steps are: shares of TPOT add up, batches in between are interpolated."""

from dataclasses import replace

import numpy as np
import pytest

from planner.lookup import load_device, load_model
from planner.placement.layout import Layout
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.served_sigmas import HOST_SIGMA
from planner.planning.price.step_intervals import (
    UNIT_SIGMA,
    StepSpread,
    step_spread,
)
from planner.quality.prior import load_prior
from planner.throughput.serving import SteadyState

SPREAD = StepSpread(np.array([1.0, 3.0]), np.array([0.1, 0.3]), 0.4, "fitted", 0.06, 0.5)


def served(**figures: float) -> SteadyState:
    blank = dict.fromkeys(SteadyState.__slots__, 0.0)
    return SteadyState(**{**blank, "tpot": 10.0, "active": 2.0, **figures})


def test_parts_of_a_step_weigh_by_their_share() -> None:
    assert SPREAD.at(2.0) == pytest.approx(np.hypot(0.2, 0.06))
    assert SPREAD.tpot(served()) == pytest.approx(np.hypot(0.2, 0.06))
    mixed = SPREAD.tpot(served(interruption=3.0, host=2.0))
    assert mixed == pytest.approx(np.hypot(0.5 * 0.2 + 0.3 * 0.4 + 0.2 * HOST_SIGMA, 0.06))
    assert SPREAD.ttft == pytest.approx(np.hypot(0.4, 0.5))


@pytest.mark.parametrize("device", ["h100-sxm", "xeon-6980p"])
def test_no_step_is_surer_than_the_machine(device: str) -> None:
    plan = recipe_assignment(
        load_model("qwen2.5-0.5b"),
        load_device(device),
        Layout(1, 1, 1, 1),
        SchemeSet("bf16", "bf16", "bf16"),
        load_prior(),
        isl=512,
        osl=64,
    )
    found = step_spread(plan, 64.0, 544.0, 512.0)
    assert found.batch[[0, -1]].tolist() == [1.0, 64.0]
    assert found.at(1.0) > found.tokens > 0
    assert (found.decode < 1.0).all()
    if device.startswith("xeon"):
        assert found.prompt > UNIT_SIGMA
    assert replace(found, prompt=0.0).ttft == pytest.approx(found.first)
