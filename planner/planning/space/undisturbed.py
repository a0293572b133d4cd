"""Steps of a worker that reads no prompts: what one pool of a deployment is priced by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.planning.question.question import Question
from planner.planning.space.candidates import Space


def decode_question(question: Question) -> Question:
    """The question of a pool's own problem: the shortest pass, without limits on TTFT."""
    return replace(question, objective="latency", ttft_seconds=None)


def decode_only(space: Space) -> Space:
    """``space`` without prompts between its steps."""
    model = space.model.with_question(decode_question(space.model.question))
    times = replace(space.times, weight=np.zeros(len(space.times.weight)))
    return replace(
        space, model=model, decode=space.alone, hop_step=space.hop, times=times, above=None
    )
