"""Classes of layouts and ranges of requests in flight."""

from __future__ import annotations

import pytest

from planner.placement.deployment_kinds import (
    CONCURRENCY_RANGES,
    LAYOUT_CLASSES,
    concurrency_range,
    layout_class,
)
from planner.placement.layout import Layout


@pytest.mark.parametrize(
    ("layout", "wanted"),
    [
        (Layout(), "tp"),
        (Layout(tp=8), "tp"),
        (Layout(tp=8, ep=8), "tp+ep"),
        (Layout(dp=8, ep=8), "attention dp"),
        (Layout(tp=2, dp=4), "attention dp"),
        (Layout(tp=4, pp=2), "pp"),
        (Layout(dp=2, pp=2, ep=2), "pp"),
        (Layout(tp=4, replicas=2), "tp"),
    ],
)
def test_the_class_of_a_layout(layout: Layout, wanted: str) -> None:
    assert layout_class(layout) == wanted
    assert layout_class(layout, pools=True) == ("pools+pp" if layout.pp > 1 else "pools")
    assert wanted in LAYOUT_CLASSES


@pytest.mark.parametrize(
    ("requests", "wanted"),
    [
        (0.5, "1-8"),
        (8, "1-8"),
        (8.5, "9-32"),
        (9, "9-32"),
        (32, "9-32"),
        (33, "33-128"),
        (128, "33-128"),
        (129, "129-256"),
        (256, "129-256"),
        (257, ">256"),
        (1e9, ">256"),
    ],
)
def test_the_range_of_requests_in_flight(requests: float, wanted: str) -> None:
    assert concurrency_range(requests) == wanted
    assert wanted in CONCURRENCY_RANGES
