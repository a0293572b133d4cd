"""Bytes that choices may fill: what states and activations of more sequences take is not there."""

import numpy as np
from support.questions import model_of

from planner.planning.search.formulate import stage_rooms
from planner.planning.search.spaces import whole_space
from planner.planning.space.memory import budget


def test_states_of_more_sequences_leave_less_room() -> None:
    """Linear attention keeps a state a sequence whose layout nobody chooses."""
    space = whole_space(model_of("qwen3-next-80b-a3b", "h200-sxm", devices=2, batch=None))
    assert space is not None
    layout = int(space.pts.layout[0])
    here = np.flatnonzero(space.pts.layout == layout)
    fewest, most = int(here[space.slots[here].argmin()]), int(here[space.slots[here].argmax()])
    assert space.slots[most] > space.slots[fewest]
    stage = space.stages[layout]
    states = [int(stage.caches(int(space.held[c]))[0]) for c in (fewest, most)]
    assert 0 < states[0] < states[1]
    rooms = [stage_rooms(space, c)[0] for c in (fewest, most)]
    assert rooms[0] - rooms[1] >= states[1] - states[0]
    assert rooms[0] < budget(space.model.question) - states[0] - int(space.extra[fewest])
