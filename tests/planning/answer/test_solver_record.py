"""What a plan says of its proof can be written, whatever numbers the solver made it from."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from planner.lookup import load_device, load_model
from planner.planning.answer.assemble import _open_note, _solver
from planner.planning.plan.notes import written
from planner.planning.plan.record import SolverInfo
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.search.grid_search import shown_gap
from planner.planning.search.question_search import search
from planner.planning.solver.highs import MOST_NODES
from planner.planning.solver.problem import EQUAL, OPTIMAL, STOPPED
from planner.planning.solver.solve import LAYERS_NODES
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior


def test_a_gap_from_numpy_is_written() -> None:
    """A bound that numpy summed leaves numpy's numbers where the proof has a gap."""
    question = build_question(
        load_model("llama-3.2-1b"),
        load_device("l40s"),
        GivenValues(devices=1),
        None,
        uniform=None,
        given=None,
    )
    found = search(build_model(question, load_prior()))
    assert found is not None
    for share, proved in ((1 - 1e-7, True), (0.99, False)):
        left = replace(found, bound=np.float64(found.value * share))
        solver = _solver(left, True)
        assert solver.proved is proved
        assert json.loads(json.dumps(asdict(solver)))["proved"] is proved


def test_a_search_that_ended_at_its_limit_says_which() -> None:
    """Layers that decide by themselves end at far fewer nodes than other questions."""
    stopped = SolverInfo(STOPPED, 1e-3, 0.999, 2, False)
    layered, other = written(_open_note(stopped, True) + _open_note(stopped, False))
    assert layered.value == "stopped: the best met is within 0.001 of the bound"
    assert layered.reason == f"a limit of {LAYERS_NODES:,} nodes or 600 s was reached"
    assert other.reason == f"a limit of {MOST_NODES:,} nodes or 600 s was reached"
    assert _open_note(SolverInfo(OPTIMAL, 1e-9, 1.0, 2, True), True) == ()


def test_a_gap_is_shown_as_the_next_percent_or_below_one_as_the_next_power_of_ten() -> None:
    """An exact power stays itself, whatever the last digit of its logarithm."""
    for gap, shown in ((0.01, 0.01), (0.0101, 0.02), (0.102, 0.11), (0.3, 0.3), (1.0, 1.0)):
        assert shown_gap(gap) == pytest.approx(shown)
    for power in range(-7, -2):
        assert shown_gap(10.0**power) == pytest.approx(10.0**power)
        assert shown_gap(1.01 * 10.0**power) == pytest.approx(10.0 ** (power + 1))
        assert shown_gap(9.9 * 10.0**power) == pytest.approx(10.0 ** (power + 1))
    assert shown_gap(0.0) == shown_gap(EQUAL / 3) == EQUAL
