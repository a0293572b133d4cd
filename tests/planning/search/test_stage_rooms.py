"""Bytes that choices may fill: what states and activations of more sequences take is not there."""

import numpy as np
import pytest
from support.questions import model_of

from planner.planning.search.candidate_problem import untied_problem
from planner.planning.search.formulate import _memory_row, stage_rooms
from planner.planning.search.spaces import grid_space
from planner.planning.space.memory import budget


def test_states_of_more_sequences_leave_less_room() -> None:
    """Linear attention keeps a state a sequence whose layout nobody chooses."""
    space = grid_space(model_of("qwen3-next-80b-a3b", "h200-sxm", devices=2, batch=None))
    assert space is not None
    layout = int(space.pts.layout[0])
    here = np.flatnonzero(space.pts.layout == layout)
    fewest, most = int(here[space.slots[here].argmin()]), int(here[space.slots[here].argmax()])
    assert space.slots[most] > space.slots[fewest]
    stage = space.stages[layout]
    states = [int(stage.caches(int(space.resident[c]))[0]) for c in (fewest, most)]
    assert 0 < states[0] < states[1]
    rooms = [stage_rooms(space, c)[0] for c in (fewest, most)]
    assert rooms[0] - rooms[1] >= states[1] - states[0]
    assert rooms[0] < budget(space.model.question) - states[0] - int(space.extra[fewest])


@pytest.mark.parametrize("untie", [False, True])
def test_the_limit_of_a_bound_is_the_room_of_a_stage_or_of_all_where_layers_are_untied(
    untie: bool,
) -> None:
    space = grid_space(model_of("llama-3.1-8b", devices=2, pp=2, untie=untie, batch=None))
    assert space is not None
    _, limits = _memory_row(space)
    for c in range(len(space)):
        rooms = stage_rooms(space, c)
        assert len(rooms) == 2
        assert limits[c] in ([sum(rooms)] if untie else rooms)


def test_the_objective_memory_is_what_all_devices_hold() -> None:
    """Untied layers in two stages: states of linear attention are there whatever is chosen."""
    space = grid_space(
        model_of(
            "qwen3-next-80b-a3b",
            "h200-sxm",
            devices=4,
            tp=2,
            pp=2,
            untie=True,
            objective="memory",
            batch=8,
        )
    )
    assert space is not None
    c = 0
    problem, parts = untied_problem(space, c)
    stage, held = space.stages[int(space.pts.layout[c])], int(space.resident[c])
    unchosen = [
        int(fixed) + int(own) + int(space.extra[c])
        for fixed, own in zip(stage.fixed, stage.caches(held), strict=True)
    ]
    assert len(unchosen) == 2
    assert {part.stage for part in parts} == {0, 1}
    devices = space.layout(c).tp * space.layout(c).dp
    assert devices == 2
    assert problem.constant == sum(unchosen) * devices
