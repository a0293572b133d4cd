"""Ratios of two plans: the value is that of two estimates, the interval that of common draws."""

from typing import Any

import pytest

import planner
from planner.base.errors import InfeasibleError
from planner.lab.article.ratios import time_ratio
from planner.planning.question.named import MIXES

ASKED: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "devices": 1,
    "isl": 1024,
    "osl": 256,
}


def test_a_ratio_is_that_of_two_estimates() -> None:
    """Of times a token, each format on its own best batch; what both err by in common cancels."""
    fp8, bf16 = (
        planner.estimate(
            **ASKED, scheme=s, engine="any", tpot_seconds="none"
        ).performance.output_tokens_per_second
        for s in ("fp8-tensor", "bf16")
    )
    ratio = time_ratio("", ("bf16", "bf16"), ("fp8-tensor", "bf16"), **ASKED)
    assert ratio.value == pytest.approx(fp8.value / bf16.value, rel=1e-12)
    assert ratio.low is not None
    assert ratio.high is not None
    alone = (fp8.high / fp8.low) * (bf16.high / bf16.low)
    assert 1 < ratio.high / ratio.low < alone
    other = time_ratio("", ("fp8-tensor", "bf16"), ("bf16", "bf16"), **ASKED)
    assert other.value == pytest.approx(1 / ratio.value)
    assert other.low == pytest.approx(1 / ratio.high, rel=1e-3)
    assert ratio.covers(ratio.value)
    assert not ratio.covers(ratio.high * 1.01)
    assert not ratio.covers(ratio.low * 0.99)


def test_a_mixture_is_compared_on_the_same_candidates() -> None:
    """Its rate is that of the baseline in a plan's answer."""
    plan = planner.plan(
        "deepseek-v2-lite", "a100-sxm", devices=1, engine="any", tpot_seconds="none"
    )
    rows = {row.name: row.output_tokens_per_second for row in plan.baselines}
    name = next(iter(MIXES))
    ratio = time_ratio(
        "",
        ("int8-w8a8", "bf16"),
        (name, "bf16"),
        model="deepseek-v2-lite",
        device="a100-sxm",
        devices=1,
    )
    assert ratio.value == pytest.approx(rows[name] / rows["int8-w8a8"], rel=1e-9)
    with pytest.raises(InfeasibleError):
        time_ratio(
            "",
            ("int8-w8a8", "bf16"),
            (name, "bf16"),
            model="deepseek-v3",
            device="a100-sxm",
            devices=1,
        )
