"""What a search adds up for an assignment on a candidate, and the limits that it holds it to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.planning.price.step_prices import step_of_request, step_prices
from planner.planning.search.formulate import score_scale
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space


@dataclass(frozen=True)
class SearchSums:
    """As a search has them: TPOT and TTFT as limits hold them, scaled to the loop of its layout,
    the ``step`` without prompts, the share of time that prompts take, and the objective where it is
    a time or a rate."""

    tpot: float
    step: float
    ttft: float
    utilisation: float
    score: float


def search_sums(space: Space, c: int, segments: Sequence[Segment]) -> SearchSums:
    """Of ``segments`` on candidate ``c`` of ``space``."""
    here = space.pts.take(np.array([c]))
    sums = step_prices(space.model, space.times, here, segments, space.rows[[c]])
    tpot = sums.tpot.item()
    requests = space.model.question.requests(space.layout(c), int(space.slots[c]))
    least = space.model.question.first_token(np.zeros(1)).item()
    return SearchSums(
        step_of_request(sums, np.array([requests])).item() * float(space.tpot_pace[c]),
        tpot - sums.interruption.item(),
        max(sums.ttft.item() * float(space.ttft_pace[c]), least),
        sums.utilisation.item(),
        tpot * float(score_scale(space)[c]),
    )
