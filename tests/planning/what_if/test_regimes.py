"""What a decode step is bound by over context and batch, and where the plan changes."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.questions import model_of, question_of

from planner.base.errors import InputError
from planner.planning.space.assignment import Segment
from planner.planning.what_if.regimes import MOST_CELLS, contexts_of, phase_map, regime_of


def test_contexts_grow_by_four_up_to_the_models_own() -> None:
    question = question_of()
    assert contexts_of(question) == (2048, 8192, 32768)
    short = replace(question, spec=replace(question.spec, max_context=1000))
    assert contexts_of(short) == (1000,)
    odd = replace(question, spec=replace(question.spec, max_context=9000))
    assert contexts_of(odd) == (2048, 8192, 9000)


def test_the_regime_has_the_most_seconds() -> None:
    model = model_of()
    cache = next(i for i, u in enumerate(model.units) if u.role == "cache")
    linear = next(i for i, u in enumerate(model.units) if u.role == "module")

    def priced(*costs: tuple[int, str, float]) -> Any:
        return cast(
            "Any",
            SimpleNamespace(
                costs=tuple(
                    SimpleNamespace(
                        segment=Segment(unit, (), 0), bound=bound, decode_seconds=seconds
                    )
                    for unit, bound, seconds in costs
                )
            ),
        )

    both = priced(
        (cache, "memory", 3.0),
        (linear, "memory", 2.0),
        (linear, "compute", 2.5),
        (linear, "memory", 2.5),
    )
    assert regime_of(model, both) == ("weights", 0.45)
    assert regime_of(model, priced((cache, "memory", 3.0), (cache, "compute", 1.0))) == ("kv", 0.75)
    assert regime_of(model, priced((linear, "communication", 1.0))) == ("network", 1.0)


def test_cells_by_context_then_batch_with_caches_where_they_are_long() -> None:
    found = phase_map(question_of(batch=None), [2048, 32768], [1, 64, 1 << 14])
    assert [(c.context, c.batch) for c in found.cells] == [
        (2048, 1),
        (2048, 64),
        (2048, 1 << 14),
        (32768, 1),
        (32768, 64),
        (32768, 1 << 14),
    ]
    by = {(c.context, c.batch): c for c in found.cells}
    assert by[32768, 1 << 14].regime == ""  # nothing fits
    assert by[32768, 64].regime == "kv"
    assert (
        by[2048, 64].output_tokens_per_second_per_device
        > by[2048, 1].output_tokens_per_second_per_device
    )
    assert all(c.plan >= 0 for c in found.cells if c.regime)


def test_too_many_cells_are_refused() -> None:
    with pytest.raises(InputError, match="too many"):
        phase_map(question_of(), [2048], range(1, MOST_CELLS + 2))
