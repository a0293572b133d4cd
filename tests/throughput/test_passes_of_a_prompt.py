"""What is paid once a pass is paid as often as there are passes; prompts read together add up."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from planner.lookup import load_device, load_model
from planner.placement.layout import Layout
from planner.throughput.collectives import fabric
from planner.throughput.linear import Machine, collective_after
from planner.throughput.points import points, prefill_phase, prompts_phase

LAYOUTS = [
    Layout(tp=8),
    Layout(tp=1, dp=8, ep=8),
    Layout(tp=2, dp=4, ep=1),
    Layout(tp=2, dp=4, ep=8),
]
PTS = points(LAYOUTS, [(i, 4) for i in range(len(LAYOUTS))])


@pytest.mark.parametrize(
    "kind", ["attention-out", "shared-down", "experts-gate-up", "experts-down"]
)
def test_collectives_are_paid_each_pass(kind: str) -> None:
    spec = load_model("deepseek-v3")
    machine = cast(Machine, SimpleNamespace(net=fabric(load_device("h200-sxm"))))
    once = prefill_phase(PTS, 2048, 2048)
    assert once.passes == 1.0

    def seconds(passes: float) -> np.ndarray:
        return collective_after(
            kind,
            spec.hidden_size,
            spec.experts,
            machine,
            PTS,
            replace(once, passes=passes),
            np.ones(1),
        )

    one, three = seconds(1.0), seconds(3.0)
    assert one.max() > 0
    np.testing.assert_allclose(three, 3 * one)


def test_prompts_that_are_read_together_are_that_many_prompts() -> None:
    many = np.array([1.0, 2.0, 3.0, 0.5])
    one = prefill_phase(PTS, 3000, 1024, 100)
    all_of_them = prompts_phase(PTS, 3000, 1024, many, 100)
    for name in ("tokens", "sequences", "logit_rows"):
        np.testing.assert_allclose(getattr(all_of_them, name), many * getattr(one, name))
    np.testing.assert_allclose(all_of_them.pooled, many * one.tokens * PTS.dp)
    assert (all_of_them.passes, all_of_them.kv_len) == (one.passes, one.kv_len)
