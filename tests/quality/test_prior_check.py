"""The prior's ranks against published rows."""

from planner.quality.neighbours import Measured
from planner.quality.prior import load_prior
from planner.quality.prior_check import agreements


def test_the_prior_orders_formats_as_published_measurements_do() -> None:
    found = agreements(load_prior())
    assert len(found) >= 10
    assert sum(a.rho for a in found) / len(found) > 0.7
    assert sum(a.pairs_right for a in found) >= 0.8 * sum(a.pairs for a in found)


def test_an_order_against_the_prior_is_seen() -> None:
    rows = [
        Measured("m", s, "bf16", "MMLU", "%", "bf16", "", "", d, "", "x")
        for s, d in (("nvfp4", -0.1), ("fp8-block", -5.0), ("mxfp4", 0.0))
    ]
    [found] = agreements(load_prior(), rows)
    assert found.rho < 0
    assert found.schemes == ("fp8-block", "nvfp4", "mxfp4")
