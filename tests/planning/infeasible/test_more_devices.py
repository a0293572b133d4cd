"""Counts of devices that a refusal tries: above what was given, no more than may be asked."""

import pytest
from support.questions import question_of

from planner.planning.infeasible.case import Unserved
from planner.planning.infeasible.nearest_changes import MoreDevices
from planner.planning.question.machine import MAX_DEVICES


@pytest.mark.parametrize("devices", [1, 8, MAX_DEVICES - 1, MAX_DEVICES])
def test_counts_lie_between_what_is_given_and_the_most(devices: int) -> None:
    question = question_of("llama-3.1-8b", devices=devices)
    case = Unserved((question,), lambda flags: (question,), {}, {})
    counts = list(MoreDevices(case)._counts({}))
    assert all(devices < count <= MAX_DEVICES for count in counts)
    assert counts == sorted(set(counts))
    assert bool(counts) == (devices < MAX_DEVICES)
    assert not counts or devices * 2 > MAX_DEVICES or devices * 2 in counts
