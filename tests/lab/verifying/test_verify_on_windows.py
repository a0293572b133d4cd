"""Engines are started on Linux and macOS: elsewhere that is said before anything is read."""

import pytest

import planner
from planner.base.errors import UnsupportedError
from planner.lab.verifying import verify as module


def test_it_is_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOWS", True)
    with pytest.raises(UnsupportedError, match="Linux and macOS") as caught:
        planner.verify("no-such-plan.json", "no-such-checkpoint")
    assert "Subsystem" in caught.value.hint
