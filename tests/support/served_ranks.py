"""Ranks with steps by hand: a floor, a slope a sequence, prompts of one cost."""

from __future__ import annotations

import numpy as np

from planner.sizing.rank import ServedRank
from planner.throughput.scheduling import Scheduling, StepTimes


def served_rank(
    *,
    base: float = 10e-3,
    slope: float = 5e-5,
    prompt: float = 40e-3,
    once: float = 8e-3,
    together: float = 4.0,
    osl: int = 256,
    slots: int = 256,
    ranks: int = 1,
    policy: Scheduling | None = None,
) -> ServedRank:
    """A rank whose step takes ``base`` + ``slope``·B; a prompt beside it adds ``prompt``, alone it
    takes ``once`` more; ``together`` prompts fill a pass."""
    batch = np.unique(np.concatenate([[0.0, 1.0], np.geomspace(1.0, max(slots, 2), 12)]))
    decode = np.where(batch > 0, base + slope * batch, 0.0)
    mixed = np.where(batch > 0, decode, once) + prompt
    chunks = max(1, int(np.ceil(1 / together)))
    everywhere = mixed + 0.1 * prompt if ranks > 1 else None
    times = StepTimes(batch, decode, mixed, mixed[:1], chunks, together, everywhere)
    return ServedRank(times, Scheduling() if policy is None else policy, osl, ranks, slots)
