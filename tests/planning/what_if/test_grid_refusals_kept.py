"""What a grid knows of its refusals: one answer a limit, and one for all where it is left out."""

from typing import Any

import pytest

from planner.planning.what_if import grid_refusals
from planner.planning.what_if.grid_refusals import Refusals

PACES, NONE = (0.01, 0.2), (None, None)


def test_an_answer_is_kept_for_its_own_limits_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, ...]] = []
    asked: Any = ["with a limit"]

    def without(questions: Any, gone: tuple[str, ...]) -> Any:
        tried.append(gone)
        return gone

    def planned(gone: Any) -> bool:
        return "tpot" in gone or pace > 0.1

    monkeypatch.setattr(grid_refusals, "all_without", without)
    monkeypatch.setattr(grid_refusals, "any_plan", planned)
    kept = Refusals((), PACES, (NONE,), lambda _: None)
    for pace in (*PACES, *PACES):
        assert kept._possible(asked, (), pace, NONE) == (pace > 0.1)
        assert kept._possible(asked, ("tpot",), pace, NONE)
    assert tried == [(), ("tpot",), ()]
