"""What decides between equal candidates: the device-seconds of a token at the best speed."""

import numpy as np
import pytest
from support.questions import model_of

from planner.planning.search.grid_search import tie_break_values
from planner.planning.search.spaces import grid_space
from planner.planning.space.candidates import fastest_sum


def test_it_is_the_time_of_all_devices_a_token() -> None:
    space = grid_space(model_of("llama-3.1-8b", devices=4, batch=None))
    assert space is not None
    quickest = fastest_sum(space, space.decode) + space.hop_step
    layouts = [space.layout(c) for c in range(len(space))]
    assert {layout.pp for layout in layouts} == {1, 2, 4}
    replicas = [space.model.question.replicas(layout.ranks) for layout in layouts]
    batches = space.slots * [layout.pp * layout.dp for layout in layouts]
    whole = [
        seconds * layout.ranks * count / (batch * count)
        for seconds, layout, count, batch in zip(quickest, layouts, replicas, batches, strict=True)
    ]
    np.testing.assert_allclose(
        tie_break_values(space) / tie_break_values(space)[0], np.array(whole) / whole[0]
    )
    assert tie_break_values(space) == pytest.approx(whole)
