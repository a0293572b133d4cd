"""The clock of a simulation: arrivals, passes that begin and end, one after the other.

Ranks of a replica step together; replicas are independent but for the router. Every pass is one of
a replica's lanes; another lane begins its own when the slowest pipeline stage is free.
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.admission import take_prompts, to_the_end
from planner.scheduler.cache import publish
from planner.scheduler.decoding import enqueue, join, leave, make_room, pop, tokens_after
from planner.scheduler.ends import ends_unheard, free_of, hear_of_ends, heard_later, read_unheard
from planner.scheduler.passes import pass_seconds
from planner.scheduler.slots import leave_slot, read_in_slots, step_in_slots
from planner.scheduler.state import State
from planner.scheduler.stretches import decode_on

NEVER = float("inf")


def play(s: State, room: int) -> bool:
    """Go on until ``room`` passes are recorded or all is served; whether all is."""
    total = len(s.arrivals)
    while s.marks[at.RECORDED] < room:
        replica, lane, when = next_pass(s)
        arrived = s.marks[at.ARRIVED]
        if arrived < total and s.arrivals[arrived] <= when:
            arrive(s, arrived, s.arrivals[arrived])
        elif when < NEVER:
            if s.begun[replica][1 + lane]:
                end_pass(s, replica, lane, when)
                when = decode_on(s, replica, when, room)
                s.clocks[replica][1 + lane] = max(when, s.clocks[replica][at.FREE])
            else:
                begin_pass(s, replica, lane, when)
        else:
            return True
    return False


def next_pass(s: State) -> tuple[int, int, float]:
    """Replica and lane of what happens next, and when: an end goes before a beginning."""
    replica, lane, when = 0, 0, NEVER
    for i in range(s.limits[at.REPLICAS]):
        for j in range(s.limits[at.LANES]):
            then = s.clocks[i][1 + j]
            if then < when or (
                then == when and s.begun[i][1 + j] and not s.begun[replica][1 + lane]
            ):
                replica, lane, when = i, j, then
    return replica, lane, when


def arrive(s: State, r: int, now: float) -> None:
    """Put a request where the router says, and wake an idle lane."""
    s.marks[at.ARRIVED] += 1
    if refused(s, r):
        s.requests[r][at.REJECTED] = 1
        s.requests[r][at.PHASE] = at.DONE
        s.marks[at.REFUSED] += 1
        return
    u = route(s, r)
    replica = u // s.limits[at.RANKS]
    begun = s.begun[replica]
    busy = 0
    for j in range(s.limits[at.LANES]):
        busy += begun[1 + j]
    s.requests[r][at.ELIGIBLE] = begun[at.PASSES] + (s.limits[at.AHEAD] if busy else 0)
    enqueue(s, u, r)
    wake(s, replica, now)


def wake(s: State, replica: int, now: float) -> None:
    """Let the first idle lane begin a pass as soon as the slowest stage is free."""
    clock = s.clocks[replica]
    for j in range(s.limits[at.LANES]):
        if not s.begun[replica][1 + j]:
            if clock[1 + j] == NEVER:
                clock[1 + j] = max(now, clock[at.FREE])
            return


def refused(s: State, r: int) -> bool:
    """Whether an engine refuses a request: beyond the context or the whole cache, or a prompt that
    no pass holds where prompts are not read in parts."""
    request, limits = s.requests[r], s.limits
    longest = request[at.INPUT] + request[at.OUTPUT]
    if limits[at.ENGINE] == at.BY_SLOTS:
        return bool(request[at.INPUT] >= limits[at.CONTEXT])
    blocks = (longest + limits[at.LOOKAHEAD] + limits[at.BLOCK] - 1) // limits[at.BLOCK]
    if longest > limits[at.CONTEXT] or blocks > limits[at.BLOCKS]:
        return True
    return bool(not limits[at.CHUNKED] and request[at.INPUT] > limits[at.BUDGET])


def route(s: State, r: int) -> int:
    """The unit that a request goes to. Neighbours in turn are ranks of different replicas."""
    replicas, ranks = s.limits[at.REPLICAS], s.limits[at.RANKS]
    places = replicas * ranks
    place = s.marks[at.TURN]
    if s.limits[at.ROUTER] == at.DRAWN:
        place = s.places[r]
    elif s.limits[at.ROUTER] != at.IN_TURN:
        turn, unread, served = place, -1, -1
        for i in range(places):
            other = (turn + i) % places
            unit = s.units[other % replicas * ranks + other // replicas]
            not_read, inside = unit[at.UNREAD], unit[at.SERVED] + unit[at.QUEUED]
            if unread < 0 or not_read < unread or (not_read == unread and inside < served):
                place, unread, served = other, not_read, inside
    s.marks[at.TURN] = (place + 1) % places
    return int(place % replicas * ranks + place // replicas)


def begin_pass(s: State, replica: int, lane: int, now: float) -> None:
    """Fill a lane's next pass on every rank and begin it, or let the lane idle."""
    clock, begun, lanes = s.clocks[replica], s.begun[replica], s.limits[at.LANES]
    first = replica * s.limits[at.RANKS]
    waiting, share = 0, 0.0
    for u in range(first, first + s.limits[at.RANKS]):
        waiting += s.units[u][at.QUEUED]
        share += s.units[u][at.HELD] / (s.limits[at.BLOCKS] * s.limits[at.RANKS])
    decodes = fill(s, first, lane, now)
    batch, tokens = 0, 0
    for u in range(first, first + s.limits[at.RANKS]):
        v = u * lanes + lane
        s.lanes[v][at.DECODES] = 1 if decodes and s.lanes[v][at.BATCH] > 0 else 0
        batch += s.lanes[v][at.BATCH] if decodes else 0
        tokens += s.lanes[v][at.TOKENS]
    if batch == 0 and tokens == 0:
        stand_still(s, replica, lane, now)
        return
    for u in range(first, first + s.limits[at.RANKS]):
        hear_of_ends(s, u)
    seconds = pass_seconds(s, replica, lane, decodes)
    clock[1 + lane] = now + seconds
    clock[at.FREE] = now + stage_seconds(s, seconds, batch)
    begun[1 + lane] = 1
    begun[at.PASSES] += 1
    s.marks[at.BEGAN] = replica * lanes + lane
    row = s.marks[at.RECORDED]
    amount, counted = s.amounts[row], s.counts[row]
    amount[at.BEGIN], amount[at.LASTED], amount[at.SHARE] = now, seconds, share
    counted[at.DECODED], counted[at.PROMPTED], counted[at.WAITED] = batch, tokens, waiting
    s.marks[at.RECORDED] += 1
    for u in range(first, first + s.limits[at.RANKS]):
        if s.units[u][at.QUEUED] > 0 or s.units[u][at.PARTIAL] >= 0:
            wake(s, replica, now)


def stage_seconds(s: State, seconds: float, batch: int) -> float:
    """How long a pass keeps the slowest stage busy, its host's share of every stage included."""
    lanes = s.limits[at.LANES]
    host = 0.0
    if lanes > 1 and s.seconds[at.OVERLAPPED] == 0.0:
        host = min(s.seconds[at.HOST] + s.seconds[at.HOST_EACH] * batch, seconds)
    return (seconds - host) * s.seconds[at.SLOWEST] + host / lanes


def fill(s: State, first: int, lane: int, now: float) -> bool:
    """Choose what a pass of the ranks from ``first`` on holds; whether sequences decode in it."""
    ranks, lanes = s.limits[at.RANKS], s.limits[at.LANES]
    held = s.limits[at.BALANCE] > 0 and not all_have_prompts(s, first, lane)
    reading = 0
    for u in range(first, first + ranks):
        v = u * lanes + lane
        s.lanes[v][at.TOKENS] = 0
        s.lanes[v][at.ENDED] = 0
        s.behind[v] = 0.0
        if s.limits[at.ENGINE] == at.BY_SLOTS:
            step_in_slots(s, u, v)
            read_in_slots(s, u, v, now)
        elif s.limits[at.MIXED]:
            gone = make_room(s, u, v)
            if not held and (gone == 0 or s.limits[at.ENGINE] != at.BY_BLOCKS):
                take_prompts(s, u, v, now)
        elif not held:
            reading += take_prompts(s, u, v, now)
    if s.limits[at.MIXED]:
        return True
    if reading:
        return False
    for u in range(first, first + ranks):
        make_room(s, u, u * lanes + lane)
    return True


def all_have_prompts(s: State, first: int, lane: int) -> bool:
    """Whether every rank has a prompt to read, or one has been held for long enough, or nobody
    decodes meanwhile."""
    waiting, batch = 0, 0
    passes = s.begun[first // s.limits[at.RANKS]][at.PASSES]
    for u in range(first, first + s.limits[at.RANKS]):
        unit = s.units[u]
        batch += s.lanes[u * s.limits[at.LANES] + lane][at.BATCH]
        if unit[at.PARTIAL] >= 0:
            return True
        if unit[at.QUEUED] > 0:
            waiting += 1
            if passes - s.requests[unit[at.HEAD]][at.ELIGIBLE] >= s.limits[at.BALANCE]:
                return True
    return bool(waiting == s.limits[at.RANKS] or batch == 0)


def stand_still(s: State, replica: int, lane: int, now: float) -> None:
    """Nothing to do for a lane. Passes that were launched ahead end with the batch: what waits for
    them is seen at once where nothing is in flight."""
    s.clocks[replica][1 + lane] = NEVER
    for j in range(s.limits[at.LANES]):
        if s.begun[replica][1 + j]:
            return
    first = replica * s.limits[at.RANKS]
    heard = False
    for u in range(first, first + s.limits[at.RANKS]):
        heard = hear_of_ends(s, u) or heard
    if heard:
        s.begun[replica][at.PASSES] += 1
        s.clocks[replica][1 + lane] = now
        return
    for u in range(first, first + s.limits[at.RANKS]):
        head = s.units[u][at.HEAD]
        if head >= 0 and s.requests[head][at.ELIGIBLE] > s.begun[replica][at.PASSES]:
            s.begun[replica][at.PASSES] += 1
            s.clocks[replica][1 + lane] = now
            return
        if head >= 0 and s.limits[at.ENGINE] == at.BY_SLOTS and s.units[u][at.SERVED] == 0:
            s.clocks[replica][1 + lane] = now  # all that ran was dropped
            return
    for u in range(first, first + s.limits[at.RANKS]):
        s.ratios[u] = s.seconds[at.RESERVE]  # SGLang begins anew when it has nothing to do


def end_pass(s: State, replica: int, lane: int, now: float) -> None:
    """What a pass has made: tokens, answers that are complete, first tokens."""
    s.begun[replica][1 + lane] = 0
    first = replica * s.limits[at.RANKS]
    for u in range(first, first + s.limits[at.RANKS]):
        v = u * s.limits[at.LANES] + lane
        row = s.lanes[v]
        if row[at.DECODES]:
            row[at.COUNT] = tokens_after(s, v)
            row[at.STEPS] += 1
            while row[at.EVENTS] > 0 and s.keys[v][0] <= row[at.COUNT]:
                happen(s, u, v, pop(s, v), now)
        for i in range(row[at.ENDED]):
            end_of_prompt(s, u, v, s.ended[v][i], now)
        row[at.ENDED] = 0
        if s.limits[at.ENGINE] == at.BY_TOKENS and s.units[u][at.PARTIAL] >= 0:
            publish(s, u, s.units[u][at.PARTIAL], True)


def happen(s: State, u: int, v: int, code: int, now: float) -> None:
    """What the heap said: the first tokens of a request are sent, or its answer is complete."""
    r = code // 2
    if code % 2 == 0:
        send_first(s, r, now)
    else:
        leave(s, u, v, r)
        finish(s, u, r, now)


def end_of_prompt(s: State, u: int, v: int, r: int, now: float) -> None:
    """The pass that read the last of a prompt makes the next token."""
    request = s.requests[r]
    request[at.MADE] += 1
    s.units[u][at.UNREAD] -= 1
    if heard_later(s):
        read_unheard(s, u, r)
    elif s.limits[at.ENGINE] == at.BY_TOKENS or s.limits[at.ENGINE] == at.NO_EVICTION:
        publish(s, u, r, True)
    if request[at.MADE] >= s.limits[at.INTERVAL]:
        send_first(s, r, now)
    if request[at.MADE] >= request[at.OUTPUT]:
        finish(s, u, r, now)
    else:
        join(s, u, v, r)


def send_first(s: State, r: int, now: float) -> None:
    if not s.times[r][at.FIRST] >= 0.0:
        s.times[r][at.FIRST] = now + s.seconds[at.HANDLING]


def finish(s: State, u: int, r: int, now: float) -> None:
    """The answer of a request is complete."""
    request, unit = s.requests[r], s.units[u]
    send_first(s, r, now)
    s.times[r][at.LAST] = now + s.seconds[at.HANDLING]
    request[at.PHASE] = at.DONE
    if s.limits[at.ENGINE] == at.BY_SLOTS:
        leave_slot(s, u, r)
        unit[at.SERVED] -= 1
    elif heard_later(s):
        ends_unheard(s, u, r)
    else:
        if s.limits[at.ENGINE] == at.NO_EVICTION:
            left = to_the_end(s, r) - request[at.SHARED] * s.limits[at.WEIGHT] - request[at.OWN]
            unit[at.PROMISED] -= max(min(left, unit[at.PROMISED]), 0)
        free_of(s, u, r, request[at.READ])
    s.marks[at.SERVED_ALL] += 1
