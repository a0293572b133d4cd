"""How sure steps are: shares of TPOT add up, batches in between are interpolated."""

from typing import Any

import numpy as np
import pytest

from planner.lookup import load_device, load_model
from planner.placement.layout import Layout
from planner.planning.price.kinds import ServedKind
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.served_sigmas import HOST_SIGMA, Shares
from planner.planning.price.step_intervals import (
    UNIT_SIGMA,
    StepSpread,
    step_spread,
)
from planner.quality.prior import load_prior

MODEL: Any = None
SPREAD = StepSpread(MODEL, np.array([1.0, 3.0]), np.array([0.1, 0.3]), 0.4, "fitted")


def test_parts_of_a_step_weigh_by_their_share() -> None:
    assert SPREAD.operators(2.0, Shares()).tpot == pytest.approx(0.2)
    found = SPREAD.operators(2.0, Shares(prompts=0.3, host=0.2, first=0.25))
    tpot = 0.5 * 0.2 + 0.3 * 0.4 + 0.2 * HOST_SIGMA
    assert found.tpot == pytest.approx(tpot)
    assert found.ttft == pytest.approx(0.4)
    assert found.throughput == pytest.approx(0.75 * tpot + 0.25 * 0.4)


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
    kind = ServedKind("any", "", device, "dense", "tp", "bf16", "bf16", "1-8")
    sigmas = found.sigmas(1.0, Shares(), kind)
    assert sigmas.tpot > found.operators(1.0, Shares()).tpot > 0
    assert (found.decode < 1.0).all()
    if device.startswith("xeon"):
        assert found.prompt > UNIT_SIGMA
    assert sigmas.ttft > found.prompt
