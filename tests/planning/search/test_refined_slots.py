"""Uniform plans are tried on slots beside their own while any are open."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.planning.search import uniform


def refined(
    opens: list[tuple[Any, ...]],
    batch: int | None,
    patch: pytest.MonkeyPatch,
) -> tuple[list[Any], list[Any]]:
    """(what was asked for finer slots, the slots left open): a try closes the first."""
    asked: list[Any] = []

    def more_slots(wanted: list[Any]) -> list[Any]:
        asked.append([pairs for _, pairs in wanted])
        return [space for space, _ in wanted]

    def on(space: Any, place: Any, draft: Any, columns: Any) -> Any:
        return SimpleNamespace(open=draft.open[1:], choice=draft.choice)

    patch.setattr(uniform, "finer_batch_grid", more_slots)
    patch.setattr(uniform, "_on", on)
    spaces: Any = [
        SimpleNamespace(
            model=SimpleNamespace(question=SimpleNamespace(is_batch_given=batch is not None))
        )
        for _ in opens
    ]
    drafts: Any = [[SimpleNamespace(open=one, choice=0)] for one in opens]
    found = uniform._refined(spaces, drafts)
    return asked, [mine[0].open for mine in found]


def test_rounds_go_on_while_slots_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    two, one, none = ((0, 4), (0, 9)), ((1, 3),), ()
    asked, left = refined([two, none, one], None, monkeypatch)
    assert asked == [[[(0, 4), (0, 9)], [(1, 3)]], [[(0, 9)]]]
    assert left == [(), (), ()]
    assert refined([none], None, monkeypatch) == ([], [()])
    assert refined([two], 16, monkeypatch) == ([], [two])
    assert uniform.ROUNDS == 2
