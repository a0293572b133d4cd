"""Every wait of the planner, in seconds: for a prompt's pass, for a slot, for a link.

The formulas come first: one server, several, slots that are shared. Below them is what a prompt
meets in a closed loop of requests, where prompts come as answers end: k of them in a step, Poisson
with mean n a rank.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.throughput.arrivals import prompts_a_step

Array = NDArray[np.float64]
MOST_BUSY = 0.99
"""Share of time that prompts take up to which a wait is told apart."""


def one_server(busy: Array | float) -> Array:
    """Mean wait in M/D/1 over the time of a service; ``busy`` is its share of time, below 1."""
    return np.asarray(busy / (2 * (1 - busy)))


def several_servers(service: Array | float, busy: Array | float, servers: Array | float) -> Array:
    """Mean wait [s] in M/D/c, c = ``servers`` of ``service`` seconds each (Sakasegawa, An
    approximation formula L_q ≃ αρ^β/(1 − ρ), 1977); ``busy`` is their share of time."""
    return np.asarray(
        service / 2 * busy ** (np.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - busy))
    )


def shared_slots(hold: float, slots: float, busy: float, variation: float) -> float:
    """Mean wait [s] of those that find all ``slots`` taken, each held for ``hold`` seconds (Allen
    and Cunneen); ``variation`` is the squared coefficient of arrivals' gaps."""
    return hold / slots / (1.0 - busy) * variation / 2.0


def closed_loop_wait(busy: Array, service: Array, sequences: Array) -> Array:
    """Mean wait before a prompt is read [s]: M/D/1, within what a closed loop can queue.

    ``busy`` is the share of time that prompts take, ``service`` a prompt's time in one stage [s];
    at most the other sequences of the rank wait before it.
    """
    share = np.minimum(busy, MOST_BUSY)
    return np.asarray(np.minimum(one_server(share), np.maximum(sequences - 1, 0) / 2) * service)


def ttft_factor(busy: Array, sequences: Array, stages: Array) -> Array:
    """TTFT as a multiple of a prompt's way through, at least 1: :func:`closed_loop_wait` of a
    pipeline of ``stages``."""
    return np.asarray(1.0 + closed_loop_wait(busy, 1.0 / stages, sequences))


@record
class PromptArrival:
    """What an arriving prompt meets.

    ``step`` of the decoding batch alone; ``mean`` step with its prompts; ``cost`` that a prompt
    adds to a step on average, and ``beside`` what one more adds to a pass that reads one;
    ``alone``: seconds of the passes of one prompt; ``others``: prompts of other requests that come
    in a step [a rank]; ``ranks`` that step together; ``together``: prompts that the token budget of
    a pass holds, ``full`` the seconds of such a pass.
    """

    step: float
    mean: float
    cost: float
    beside: float
    alone: float
    others: float
    ranks: int
    together: float
    full: float


@record
class PromptWait:
    """``late``: the rest of the step under way; ``queue``: the wait for a pass with room;
    ``reading``: the prompt's own passes; ``least``: seconds a prompt and rank where every pass
    reads all it can."""

    late: float
    queue: float
    reading: float
    least: float


def mixed_wait(here: PromptArrival) -> PromptWait:
    """Prompts beside decoding: a pass reads all that wait, up to the token budget.

    With c the cost of a prompt a step lasts S = T + k·c, so an arrival falls into one of
    E[S²]/E[S] = E[S] + c²·n/E[S], half of it over; the prompts that come in it share the pass.
    What the budget q leaves waits as in M/D/q (Sakasegawa), infinitely long from n = q on.
    """
    n, q = here.others, here.together
    busiest = prompts_a_step(n * here.ranks, here.ranks)
    seen_in = here.mean + here.cost**2 * busiest / here.mean
    with_it = prompts_a_step(n * seen_in / here.mean * here.ranks, here.ranks)
    with_it = min(with_it, max(q - 1, 0.0))
    servers, load = max(q, 1.0), n / q
    queue = float(several_servers(here.full, load, servers)) if load < 1 else float("inf")
    return PromptWait(
        seen_in / 2,
        queue,
        here.alone + with_it * here.beside,
        here.full / servers,
    )


def exclusive_wait(here: PromptArrival) -> PromptWait:
    """Prompts run alone: those that come in a step are read together before the next, as far as
    the budget q of a pass goes; the rest waits for half of the passes that hold them. Nobody ends,
    and so no prompt comes, while others are read."""
    n, q = here.others, max(here.together, 1.0)
    busiest = prompts_a_step(n * here.ranks, here.ranks)
    with_it = min(busiest, q - 1.0)
    queue = max(busiest / q - 1.0, 0.0) / 2 * here.full
    return PromptWait(here.step / 2, queue, here.alone + with_it * here.beside, here.full / q)
