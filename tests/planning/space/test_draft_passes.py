"""Passes of a draft: layers by their share, the projection in front of the first alone; experts on
a device beside those in host memory."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.planning.space import operators
from planner.throughput.roofline import Parts, parts


@pytest.mark.parametrize(
    ("joined", "share", "seconds"),
    [
        (True, 1.0, 2 * 3.0 + 5.0 + 7.0),
        (False, 1.0, 2 * 3.0 + 7.0),
        (True, 0.5, 3.0 + 5.0 + 7.0),
        (False, 0.5, 3.0 + 7.0),
    ],
)
def test_the_projection_runs_once_and_released_ends_every_time(
    joined: bool, share: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two layers of 3 s, a projection outside the layers of 5 s, a head as released of 7 s."""
    took = {0: 3.0, 1: 5.0, 2: 7.0}

    def unit_parts(draft: Any, tables: Any, pts: Any, phase: Any, unit: Any) -> Parts:
        each = np.full((1, 1), took[unit.row])
        return parts(compute=each, memory=each * 0, launch=np.asarray(0.0), busy=each)

    monkeypatch.setattr(operators, "unit_parts", unit_parts)
    monkeypatch.setattr(operators, "draft_column", lambda *_: 0)
    units = [
        SimpleNamespace(role="module", row=0, layers=(0, 1), count=2),
        SimpleNamespace(role="module", row=1, layers=(), count=1),
        SimpleNamespace(role="released", row=2, layers=(), count=1),
    ]
    draft, tables, phase = (SimpleNamespace(units=units), None, None)
    pts: Any = [0]
    whole: Any = operators._full_pass(
        draft,
        tables,
        pts,
        phase,  # type: ignore[arg-type]
        share,
        joined=joined,
    )
    assert whole.busy.item() == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("load", "place", "waits"), [(None, "", False), (object(), "", True), (object(), "host", False)]
)
def test_experts_of_the_device_wait_for_those_in_host_memory(
    load: object, place: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where some of the layer are there; those of the host itself wait for none."""
    alone, beside = object(), object()
    for name, found in (
        ("experts_here", (None, load)),
        ("expert_parts", alone),
        ("with_host_time", beside),
        ("_least_of_host", None),
        ("collective_after", 0.0),
        ("all_reduces", 1),
    ):
        monkeypatch.setattr(operators, name, lambda *_, found=found: found)
    monkeypatch.setattr(operators, "with_communication", lambda parts_, _: parts_)
    module = SimpleNamespace(kind="experts-down", place=place)
    grouped = SimpleNamespace(activation_bytes=2)
    model: Any = SimpleNamespace(
        planned=[module],
        machine=SimpleNamespace(grouped=grouped),
        question=SimpleNamespace(spec=SimpleNamespace(experts=object(), hidden_size=8)),
    )
    nothing: Any = None
    got: object = operators._on_device(model, nothing, nothing, nothing, 0, nothing)
    assert got is (beside if waits else alone)
