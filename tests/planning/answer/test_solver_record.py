"""What a plan says of its proof can be written, whatever numbers the solver made it from."""

import json
from dataclasses import asdict, replace

import numpy as np

from planner.lookup import load_device, load_model
from planner.planning.answer.assemble import _solver
from planner.planning.question.asked import Asked
from planner.planning.question.resolve import build_question
from planner.planning.search.best_first import search
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior


def test_a_gap_from_numpy_is_written() -> None:
    """A bound that numpy summed leaves numpy's numbers where the proof has a gap."""
    question = build_question(load_model("llama-3.2-1b"), load_device("l40s"), Asked(devices=1),
                              None, uniform=None, given=None)
    found = search(build_model(question, load_prior()))
    assert found is not None
    for share, proved in ((1 - 1e-7, True), (0.99, False)):
        left = replace(found, bound=np.float64(found.value * share))
        solver = _solver(left, True)
        assert solver.proved is proved
        assert json.loads(json.dumps(asdict(solver)))["proved"] is proved
