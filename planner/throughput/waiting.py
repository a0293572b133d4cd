"""How long a prompt waits in a closed loop, and how long it is read. Times in seconds.

Prompts come as answers end: k of them in a step, Poisson with mean n a rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

from planner.throughput.arrivals import prompts_a_step

FULL = 0.999
"""A queue is not followed beyond this share of its capacity."""


@dataclass(frozen=True, slots=True)
class Arriving:
    """What an arriving prompt meets.

    ``step`` of the decoding batch alone; ``mean`` step with its prompts; ``cost`` that a prompt
    adds to a step; ``alone``: seconds of the passes of one prompt; ``others``: prompts of other
    requests that come in a step [a rank]; ``ranks`` that step together; ``together``: prompts that
    the token budget of a pass holds.
    """

    step: float
    mean: float
    cost: float
    alone: float
    others: float
    ranks: int
    together: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """``late``: the rest of the step under way; ``queue``: the wait for a pass with room;
    ``reading``: the prompt's own passes; ``busy``: share of time in passes that read prompts;
    ``least``: seconds a prompt and rank where every pass reads all it can."""

    late: float
    queue: float
    reading: float
    busy: float
    least: float


def mixed_wait(here: Arriving) -> Waiting:
    """Prompts beside decoding: a pass reads all that wait, up to the token budget.

    With c the cost of a prompt a step lasts S = T + k·c, so an arrival falls into one of
    E[S²]/E[S] = E[S] + c²·n/E[S], half of it over; the prompts that come in it share the pass.
    What the budget q leaves waits as in M/D/q (Sakasegawa), infinitely long from n = q on.
    """
    n, q = here.others, here.together
    busiest = prompts_a_step(n * here.ranks, here.ranks)
    seen_in = here.mean + here.cost**2 * busiest / here.mean
    beside = prompts_a_step(n * seen_in / here.mean * here.ranks, here.ranks)
    beside = min(beside, max(q - 1, 0.0))
    servers, load = max(q, 1.0), n / q
    service = here.step * max(1.0, 1 / q) + here.cost * servers
    queue = float("inf")
    if load < 1:
        queue = service / 2 * load ** (sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load))
    passes = busiest * max(1.0, 1 / q)
    share = ((1 - exp(-passes)) * here.step + busiest * here.cost) / here.mean
    return Waiting(
        seen_in / 2, queue, here.alone + beside * here.cost, min(share, 1.0), service / servers
    )


def exclusive_wait(here: Arriving) -> Waiting:
    """Prompts run alone, one after the other: M/D/1 with a prompt's pass as the service."""
    busy = min(here.others / here.mean * here.alone, FULL)
    return Waiting(
        here.step / 2, busy / (2 * (1 - busy)) * here.alone, here.alone, busy, here.alone
    )
