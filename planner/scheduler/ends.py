"""Answers that are complete before the scheduler hears of it: vLLM forms a pass while the one
before it runs, and is told of that one's ends afterwards (vllm/v1/engine/core.py
step_with_batch_queue); SGLang's event_loop_overlap does the same (managers/scheduler.py).

Until then such a request keeps its place and its blocks; as one of those that run it may be the one
that is preempted, which costs nothing but frees both (v1/core/sched/scheduler.py schedule).
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.cache import publish, release
from planner.scheduler.state import State


def heard_later(s: State) -> bool:
    """Whether the scheduler hears of ends only after it has formed another pass."""
    limits = s.limits
    return bool(
        limits[at.ENGINE] <= at.BY_TOKENS and limits[at.AHEAD] > 0 and limits[at.LANES] == 1
    )


def ends_unheard(s: State, u: int, r: int) -> None:
    """Put a request whose answer is complete behind those that ended before it."""
    unit = s.units[u]
    s.requests[r][at.NEXT] = -1
    if unit[at.LEAVING] < 0:
        unit[at.LEAVING] = r
    else:
        s.requests[unit[at.LEAVING_LAST]][at.NEXT] = r
    unit[at.LEAVING_LAST] = r


def read_unheard(s: State, u: int, r: int) -> None:
    """Remember a request whose prompt was read: SGLang lets others find it when it hears of that;
    vLLM has done so when it formed the pass."""
    if s.limits[at.ENGINE] == at.BY_TOKENS:
        s.requests[r][at.LATER] = s.units[u][at.READ_LAST]
        s.units[u][at.READ_LAST] = r


def hear_of_ends(s: State, u: int) -> bool:
    """Let others find prompts that were read, and free what those hold that have ended; whether
    there were any of these."""
    unit = s.units[u]
    r = unit[at.READ_LAST]
    unit[at.READ_LAST] = -1
    while r >= 0:
        if s.requests[r][at.PHASE] == at.DECODING or s.requests[r][at.PHASE] == at.DONE:
            publish(s, u, r, True)
        r = s.requests[r][at.LATER]
    r = unit[at.LEAVING]
    found = bool(r >= 0)
    unit[at.LEAVING] = unit[at.LEAVING_LAST] = -1
    while r >= 0:
        later = s.requests[r][at.NEXT]
        free_of(s, u, r, s.requests[r][at.READ])
        r = later
    return found


def free_of(s: State, u: int, r: int, known: int) -> None:
    """Free the place and the blocks of a request, of which those full of ``known`` tokens stay
    cached."""
    request, unit = s.requests[r], s.units[u]
    full = known // s.limits[at.BLOCK]
    release(s, u, r, full - request[at.SHARED] * s.limits[at.WEIGHT])
    unit[at.SERVED] -= 1
    unit[at.FULL] = 0


def last_ended(s: State, u: int) -> int:
    """Of those that ended unheard the one that was admitted last, or -1."""
    chosen, r = -1, s.units[u][at.LEAVING]
    while r >= 0:
        if chosen < 0 or s.requests[r][at.ADMITTED] > s.requests[chosen][at.ADMITTED]:
            chosen = r
        r = s.requests[r][at.NEXT]
    return int(chosen)


def preempt_ended(s: State, u: int, r: int) -> None:
    """Preempt a request that has ended unheard: what it holds is free at once."""
    unit = s.units[u]
    earlier, at_place = -1, unit[at.LEAVING]
    while at_place != r:
        earlier, at_place = at_place, s.requests[at_place][at.NEXT]
    if earlier < 0:
        unit[at.LEAVING] = s.requests[r][at.NEXT]
    else:
        s.requests[earlier][at.NEXT] = s.requests[r][at.NEXT]
    if unit[at.LEAVING_LAST] == r:
        unit[at.LEAVING_LAST] = earlier
    s.requests[r][at.PREEMPTED] += 1
    free_of(s, u, r, known_tokens(s, r))


def known_tokens(s: State, r: int) -> int:
    """Tokens of a request that the scheduler knows to be computed: the one that the pass under way
    makes is not among them."""
    request = s.requests[r]
    if heard_later(s):
        return int(max(request[at.READ] - 1, request[at.LENGTH]))
    return int(request[at.READ])
