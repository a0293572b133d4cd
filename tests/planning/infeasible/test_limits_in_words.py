"""How limits that exclude every plan are told."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.planning.infeasible import diagnose

QUESTION: Any = SimpleNamespace(spec=SimpleNamespace(id="m"), device=SimpleNamespace(id="d"))


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ((), "ttft and tpot together with memory exclude every plan for m on d"),
        ((("ttft",),), "ttft 1 s excludes every plan for m on d"),
        (
            (("ttft", "tpot"),),
            "ttft 1 s and tpot 2 ms contradict each other for m on d: without either a plan exists",
        ),
        ((("ttft",), ("tpot",)), "ttft 1 s excludes every plan for m on d, and so does tpot 2 ms"),
    ],
)
def test_each_set_of_limits_is_told_with_its_values(
    sets: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "build_model", lambda *_: None)
    monkeypatch.setattr(diagnose, "limits_of", lambda _: {"ttft": "1 s", "tpot": "2 ms"})
    assert diagnose._limits(QUESTION, sets) == words
