"""A uniform assignment keeps a limit that is just what it takes, and none that is a bit less."""

import numpy as np
import pytest
from support.questions import model_of
from support.search_sums import search_sums

from planner.planning.search.spaces import grid_space, with_question
from planner.planning.search.uniform import choice_scores, uniform_choice
from planner.planning.space.assignment import tied_segments


@pytest.mark.parametrize("limit", ["ttft", "tpot"])
def test_a_limit_that_is_just_met_is_kept(limit: str) -> None:
    space = grid_space(model_of(schemes=("bf16",), kv="bf16"))
    assert space is not None
    free = {"loss_scheme": None, "loss_limit": None, "ttft_seconds": None, "tpot_seconds": None}
    choice = uniform_choice(space.model, "bf16", "bf16")
    assert choice is not None
    scores = choice_scores(with_question(space, **free), choice)
    best = int(scores.argmin())
    taken = getattr(search_sums(space, best, tied_segments(space.model, choice)), limit)
    for share, kept in ((1.0, True), (1 + 1e-8, True), (1 - 1e-8, False)):
        bounded = with_question(space, **{**free, f"{limit}_seconds": taken * share})
        assert bool(np.isfinite(choice_scores(bounded, choice)[best])) == kept
