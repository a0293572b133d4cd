"""Verified tokens of a sequence: they read its cache together, unless each selects its own."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from planner.lookup import load_model
from planner.planning.space import operators


@pytest.mark.parametrize(("model", "together"), [("llama-3.1-8b", True), ("deepseek-v3.2", False)])
def test_they_are_heads_of_one_sequence_or_sequences(
    model: str, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(one: Any, **new: Any) -> Any:
        return (
            SimpleNamespace(**{**vars(one), **new})
            if isinstance(one, SimpleNamespace)
            else replace(one, **new)
        )

    monkeypatch.setattr(operators, "replace", changed)
    attention = load_model(model).attention[0]
    phase: Any = SimpleNamespace(name="decode", sequences=10.0, verified=4.0)
    own, passed = operators._verifying(attention, phase)
    assert own.heads == attention.heads * (4 if together else 1)
    assert passed.sequences == (10.0 if together else 40.0)
    for other in (
        SimpleNamespace(name="prefill", sequences=10.0, verified=1.0),
        SimpleNamespace(name="decode", sequences=10.0, verified=1.0),
    ):
        plain: Any = other
        assert operators._verifying(attention, plain) == (attention, plain)
