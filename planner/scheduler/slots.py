"""Which prompts a pass reads: llama.cpp's server.

A request gets an idle slot: the one whose last prompt begins most like its own, where that is more
than a tenth of it, else the one idle for longest, of those never used the last; it reads on behind
what they share. Requests that waited for a slot get those that one pass freed in reverse order, as
each free slot puts one of them at the head of the queue (server-queue.cpp pop_deferred_task). A
pass holds a token of every slot that generates, then prompts by number of slot up to ``n_batch``
tokens. In a unified cache idle slots keep their cells until another has no room; where that is not
enough, all that runs ends with an error (tools/server/server-context.cpp get_available_slot,
update_slots, try_clear_idle_slots).
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.cache import free_blocks
from planner.scheduler.decoding import dequeue, new_blocks
from planner.scheduler.passes import behind_seconds
from planner.scheduler.state import State

ALIKE = 0.1
"""Share of a prompt above which a slot is chosen for what it has (--slot-prompt-similarity)."""
NOW, LAST_ONE, CELLS = 0, 1, 2
"""Columns of ``slots``: the request, the one whose tokens its cells hold, and how many."""


def step_in_slots(s: State, u: int, v: int) -> None:
    """Take the cells of the next token of every slot that generates."""
    claim(s, u, v, new_blocks(s, v))


def claim(s: State, u: int, v: int, cells: int) -> bool:
    """Take cells, clearing idle slots for them; without room all that runs is dropped."""
    unit, slots = s.units[u], s.slots[u]
    for k in range(s.limits[at.MOST]):
        if cells <= free_blocks(s, u):
            break
        if slots[k][NOW] < 0:
            unit[at.HELD] -= slots[k][CELLS]
            slots[k][LAST_ONE], slots[k][CELLS] = -1, 0
    if cells > free_blocks(s, u):
        drop_all(s, u, v)
        return False
    unit[at.HELD] += cells
    return True


def read_in_slots(s: State, u: int, v: int, now: float) -> None:
    """Give waiting requests their slots, and read prompts up to the batch."""
    fill_slots(s, u, now)
    lane, slots = s.lanes[v], s.slots[u]
    budget = s.limits[at.BUDGET] - lane[at.BATCH] * (s.limits[at.LOOKAHEAD] + 1)
    for k in range(s.limits[at.MOST]):
        r = slots[k][NOW]
        if r < 0 or s.requests[r][at.PHASE] != at.READING:
            continue
        request = s.requests[r]
        request[at.FROM] = request[at.READ]
        tokens = min(request[at.LENGTH] - request[at.READ], budget)
        if tokens <= 0:
            continue
        more = s.limits[at.LOOKAHEAD] if request[at.READ] + tokens == request[at.LENGTH] else 0
        if not claim(s, u, v, tokens + more):
            return
        budget -= tokens
        s.behind[v] += behind_seconds(s, tokens, request[at.READ])
        request[at.READ] += tokens
        lane[at.TOKENS] += tokens
        if request[at.READ] == request[at.LENGTH]:
            s.ended[v][lane[at.ENDED]] = r
            lane[at.ENDED] += 1


def _now(s: State, u: int) -> int:
    """A clock of slots: those that one pass frees are free in order of their numbers."""
    return int(s.begun[u // s.limits[at.RANKS]][at.PASSES] * s.limits[at.MOST])


def turn_first(s: State, u: int) -> None:
    """Reverse the order of as many that waited for a slot as the last pass has freed."""
    unit, passes = s.units[u], s.begun[u // s.limits[at.RANKS]][at.PASSES]
    freed = 0
    for k in range(s.limits[at.MOST]):
        if s.slots[u][k][NOW] < 0 and s.idle[u][k] >= _now(s, u):
            freed += 1
    first, before, r = unit[at.HEAD], -1, unit[at.HEAD]
    while freed > 0 and r >= 0 and s.requests[r][at.ELIGIBLE] < passes:
        later = s.requests[r][at.NEXT]
        s.requests[r][at.NEXT] = before
        before, r = r, later
        freed -= 1
    if before >= 0:
        unit[at.HEAD] = before
        s.requests[first][at.NEXT] = r
        if r < 0:
            unit[at.TAIL] = first


def fill_slots(s: State, u: int, now: float) -> None:
    """Give idle slots to those that wait."""
    unit, passes = s.units[u], s.begun[u // s.limits[at.RANKS]][at.PASSES]
    turn_first(s, u)
    while unit[at.QUEUED] > 0 and unit[at.SERVED] < s.limits[at.MOST]:
        r = unit[at.HEAD]
        request = s.requests[r]
        if request[at.ELIGIBLE] > passes:
            return
        k = chosen_slot(s, u, r)
        slot = s.slots[u][k]
        hit = min(common_tokens(s, r, slot[LAST_ONE], slot[CELLS]), request[at.LENGTH] - 1)
        dequeue(s, u, r, -1)
        unit[at.UNREAD] += 1
        unit[at.SERVED] += 1
        unit[at.HELD] -= slot[CELLS] - hit
        known = min(request[at.KNOWN], request[at.LENGTH] - 1)
        if known > hit and known - hit <= free_blocks(s, u):
            unit[at.HELD] += known - hit
            hit = known
        slot[NOW], slot[LAST_ONE], slot[CELLS] = r, -1, 0
        request[at.SLOT], request[at.READ], request[at.PHASE] = k, hit, at.READING
        request[at.ADMITTED] = s.marks[at.ADMISSIONS]
        s.marks[at.ADMISSIONS] += 1
        s.times[r][at.SCHEDULED] = now
        request[at.HIT] = hit


def chosen_slot(s: State, u: int, r: int) -> int:
    """The idle slot that a request gets."""
    slots, idle = s.slots[u], s.idle[u]
    alike, longest, oldest = -1, 0, -1
    for k in range(s.limits[at.MOST]):
        if slots[k][NOW] >= 0:
            continue
        if oldest < 0 or idle[k] < idle[oldest]:
            oldest = k
        tokens = common_tokens(s, r, slots[k][LAST_ONE], slots[k][CELLS])
        if tokens > longest and tokens > ALIKE * s.requests[r][at.LENGTH]:
            alike, longest = k, tokens
    return int(alike if alike >= 0 else oldest)


def common_tokens(s: State, r: int, other: int, cells: int) -> int:
    """Tokens that a prompt begins with as the last one of a slot did."""
    if other < 0 or not s.limits[at.CACHING]:
        return 0
    mine, theirs = s.requests[r], s.requests[other]
    most, hits = min(mine[at.NODE_COUNT], theirs[at.NODE_COUNT]), 0
    while hits < most and s.ids[mine[at.NODES] + hits] == s.ids[theirs[at.NODES] + hits]:
        hits += 1
    return int(min(hits * s.limits[at.NODE_TOKENS], cells))


def leave_slot(s: State, u: int, r: int) -> None:
    """A request has ended: its slot is idle and keeps its cells."""
    request, unit = s.requests[r], s.units[u]
    slot = s.slots[u][request[at.SLOT]]
    held = request[at.READ] + s.limits[at.LOOKAHEAD]
    slot[NOW], slot[LAST_ONE], slot[CELLS] = -1, r, request[at.READ]
    unit[at.HELD] -= held - request[at.READ]
    if not s.limits[at.CACHING]:
        unit[at.HELD] -= slot[CELLS]
        slot[LAST_ONE], slot[CELLS] = -1, 0
    s.idle[u][request[at.SLOT]] = _now(s, u) + request[at.SLOT]


def drop_all(s: State, u: int, v: int) -> None:
    """The cache is full: whatever runs ends with an error, and its cells are free."""
    unit, lane = s.units[u], s.lanes[v]
    for k in range(s.limits[at.MOST]):
        slot = s.slots[u][k]
        r = slot[NOW]
        if r >= 0:
            request = s.requests[r]
            if request[at.PHASE] == at.READING:
                unit[at.UNREAD] -= 1
            request[at.PHASE], request[at.REJECTED] = at.DONE, 1
            s.marks[at.REFUSED] += 1
            s.idle[u][k] = _now(s, u) + k
        slot[NOW], slot[LAST_ONE], slot[CELLS] = -1, -1, 0
    for i in range(len(s.residues[v])):
        s.residues[v][i] = 0
    unit[at.HELD], unit[at.SERVED], unit[at.REMAINING] = 0, 0, 0
    lane[at.BATCH], lane[at.OFFSETS], lane[at.EVENTS], lane[at.ENDED], lane[at.TOKENS] = (
        0,
        0,
        0,
        0,
        0,
    )
    s.behind[v] = 0.0
