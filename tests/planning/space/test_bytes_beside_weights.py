"""Activations by the tokens of a pass: of a prompt's chunk, or of more sequences than that."""

import numpy as np
import pytest
from support.questions import found_of

from planner.planning.space import memory


def test_the_larger_of_a_chunk_and_the_decoded_tokens_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seven bytes a token of the larger, two a decoded token, and eleven in any case."""
    space = found_of().space
    monkeypatch.setattr(
        memory,
        "overhead_rates",
        lambda model, tables, used: np.tile(np.array([[7, 2, 11, 0, 0]]), (len(used), 1)),
    )
    question = space.model.question
    chunk = min(question.chunk_tokens, question.workload.isl)
    assert chunk > 1
    slots = np.array([1, chunk, 3 * chunk], dtype=np.int64)
    found = memory.overheads(space.model, space.tables, np.zeros(3, dtype=np.int64), slots)
    assert found.tolist() == [7 * chunk + 2 + 11, 9 * chunk + 11, 27 * chunk + 11]
    least = 20 * chunk
    monkeypatch.setattr(
        memory,
        "overhead_rates",
        lambda model, tables, used: np.tile(np.array([[7, 2, 11, 5, least]]), (len(used), 1)),
    )
    found = memory.overheads(space.model, space.tables, np.zeros(3, dtype=np.int64), slots)
    assert found.tolist() == [least + 16, least + 16, 27 * chunk + 16]
