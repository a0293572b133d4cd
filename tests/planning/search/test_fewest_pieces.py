"""Fewer pieces: within what is allowed, inside every limit, in no scheme that was not there."""

from __future__ import annotations

import numpy as np
import pytest

from planner.planning.question.input import QuestionInput
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.format_frontier import fewest_pieces
from planner.planning.search.format_subsets import formats_of
from planner.planning.search.question_search import branch_and_bound, spaces_of
from planner.planning.solver.problem import objective_of, violation


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("model", "device", "more"),
    [
        ("qwen3-30b-a3b", "l40s", {}),
        ("deepseek-v3", "h200-sxm", {"devices": 8}),
        ("llama-3.1-8b", "l40s", {"ttft_seconds": 0.8}),
    ],
)
def test_what_is_simpler_keeps_the_limits_and_what_is_allowed(
    model: str, device: str, more: dict[str, object]
) -> None:
    found = branch_and_bound(
        spaces_of(
            QuestionInput(
                model=model, device=device, engine="vllm", context=8192, tpot_seconds=0.05, **more
            ).questions()
        )
    )  # type: ignore[arg-type]
    assert found is not None
    one = candidate_problem(found.space, found.candidate)
    formats = formats_of(found.space.model)
    counts = found.solution.counts

    def spread(some: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int:
        model = found.space.model
        return len(
            {
                (model.units[decision.units[0]].kind, int(some[d].argmax()))
                for d, decision in enumerate(model.decided.decisions)
            }
        )

    same = fewest_pieces(one, formats, counts, found.value * (1 + 1e-12))
    assert objective_of(one.problem, same) == pytest.approx(found.value, rel=1e-9)
    before = spread(counts)
    for share in (0.001, 0.01, 0.1):
        fewer = fewest_pieces(one, formats, counts, found.value * (1 + share))
        assert objective_of(one.problem, fewer) <= found.value * (1 + share)
        assert violation(one.problem, fewer) is None
        assert set(formats.used(fewer)) <= set(formats.used(counts))
        assert (fewer.sum(axis=1) == 1).all()
        assert spread(fewer) <= before
    assert spread(fewest_pieces(one, formats, counts, found.value * 1.1)) < before
