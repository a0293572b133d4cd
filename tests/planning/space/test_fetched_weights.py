"""Weights that a pass needs are fetched over the link: of experts those that tokens touch."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.planning.space import hosted
from planner.throughput.residency import Link

LINK = Link("pcie", 50e9, 1e-5, "some")


def test_of_experts_only_those_that_tokens_touch_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two and then all of eight experts in 4 GB, one pass; other weights are fetched whole."""
    monkeypatch.setattr(
        hosted,
        "experts_here",
        lambda *_: (SimpleNamespace(count=8), SimpleNamespace(touched=np.array([2.0, 8.0]))),
    )
    weight = np.full((2, 1), 4e9)
    offload: Any = SimpleNamespace(link=LINK)
    phase: Any = SimpleNamespace(passes=np.array([1.0, 1.0]))

    def seconds(kind: str) -> list[float]:
        module: Any = SimpleNamespace(kind=kind)
        nothing: Any = None
        found = hosted._fetch_seconds(nothing, offload, module, nothing, phase, weight)
        return [float(one) for one in found[:, 0]]

    assert seconds("experts-down") == pytest.approx([1e-5 + 1e9 / 50e9, 1e-5 + 4e9 / 50e9])
    assert seconds("mlp-down") == pytest.approx([1e-5 + 4e9 / 50e9] * 2)
