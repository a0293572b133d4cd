"""As which pass a unit sees one that reads prompts."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.placement.layout import Layout
from planner.planning.price.step import _seen_by
from planner.throughput.points import decode_phase, points


@pytest.mark.parametrize(
    ("kind", "prompts", "name"),
    [
        ("experts-down", [1.0], "prefill"),
        ("experts-down", [0.0, 2.0], "prefill"),
        ("experts-down", [0.0], "decode"),
        ("mlp-down", [1.0], "decode"),
        ("mlp-down", [0.0], "decode"),
    ],
)
def test_experts_alone_exchange_prompts_as_prompts(
    kind: str, prompts: list[float], name: str
) -> None:
    dense = decode_phase(points([Layout()], [(0, 4)]), 100)
    unit: Any = SimpleNamespace(kind=kind)
    work: Any = SimpleNamespace(prompts=np.array(prompts))
    seen = _seen_by(unit, work, dense)
    assert seen.name == name
    assert seen.tokens is dense.tokens
