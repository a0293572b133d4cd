"""Sequences that decode: a step is counted, not walked through.

All sequences of a lane make the same tokens in a step, so a lane's count of tokens says for each
what it has made: ends are a heap of counts, cached tokens a sum, and which sequences begin a new
block in a step follows from their lengths modulo a block. Only who preempts looks at all of them.
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.cache import allocate, blocks_of, free_blocks, release
from planner.scheduler.ends import heard_later, known_tokens, last_ended, preempt_ended
from planner.scheduler.state import State

RETRACTED_STEPS = 20
"""Decode steps that SGLang makes room for when it retracts (SGLANG_RETRACT_DECODE_STEPS)."""
DECAY_STEPS, LEAST_RATIO = 600, 0.14
"""Steps in which SGLang lowers the share of answers it counts on, and to which part of the first
(environ.py SGLANG_NEW_TOKEN_RATIO_DECAY_STEPS, SGLANG_MIN_NEW_TOKEN_RATIO_FACTOR)."""


def tokens_after(s: State, v: int) -> int:
    """The lane's count of tokens after its next step: fractions of what drafts yield add up."""
    return int(s.seconds[at.ACCEPTED] * (s.lanes[v][at.STEPS] + 1) + 1e-9)


def push(s: State, v: int, key: int, code: int) -> None:
    """Add what happens at a count of tokens to the heap of a lane."""
    keys, codes, lane = s.keys[v], s.codes[v], s.lanes[v]
    i = lane[at.EVENTS]
    lane[at.EVENTS] += 1
    while i > 0:
        parent = (i - 1) // 2
        if keys[parent] < key or (keys[parent] == key and codes[parent] <= code):
            break
        keys[i], codes[i] = keys[parent], codes[parent]
        i = parent
    keys[i], codes[i] = key, code


def pop(s: State, v: int) -> int:
    """Take the first off the heap; its code."""
    keys, codes, lane = s.keys[v], s.codes[v], s.lanes[v]
    first = codes[0]
    lane[at.EVENTS] -= 1
    count = lane[at.EVENTS]
    key, code = keys[count], codes[count]
    i = 0
    while 2 * i + 1 < count:
        child = 2 * i + 1
        if child + 1 < count and (
            keys[child + 1] < keys[child]
            or (keys[child + 1] == keys[child] and codes[child + 1] < codes[child])
        ):
            child += 1
        if key < keys[child] or (key == keys[child] and code <= codes[child]):
            break
        keys[i], codes[i] = keys[child], codes[child]
        i = child
    keys[i], codes[i] = key, code
    return int(first)


def join(s: State, u: int, v: int, r: int) -> None:
    """A request whose prompt is read, and whose next token is made, decodes in a lane."""
    request, lane = s.requests[r], s.lanes[v]
    count = lane[at.COUNT]
    request[at.PHASE] = at.DECODING
    request[at.OFFSET] = request[at.LENGTH] - count
    request[at.FINISH] = count + request[at.OUTPUT] - request[at.MADE]
    lane[at.BATCH] += 1
    lane[at.OFFSETS] += request[at.OFFSET]
    s.units[u][at.REMAINING] += request[at.FINISH]
    s.residues[v][request[at.OFFSET] % s.limits[at.BLOCK]] += 1
    push(s, v, request[at.FINISH], 2 * r + 1)
    if request[at.MADE] < s.limits[at.INTERVAL]:
        request[at.SEND] = count + s.limits[at.INTERVAL] - request[at.MADE]
        if request[at.SEND] < request[at.FINISH]:
            push(s, v, request[at.SEND], 2 * r)


def leave(s: State, u: int, v: int, r: int) -> None:
    """Take a request out of the sums of its lane; its events are the caller's."""
    request, lane = s.requests[r], s.lanes[v]
    held = blocks_of(s, request[at.OFFSET] + lane[at.COUNT] + s.limits[at.LOOKAHEAD])
    request[at.MADE] = request[at.OUTPUT] - max(request[at.FINISH] - lane[at.COUNT], 0)
    request[at.READ] = request[at.OFFSET] + lane[at.COUNT]
    request[at.OWN] = held - request[at.SHARED] * s.limits[at.WEIGHT]
    lane[at.BATCH] -= 1
    lane[at.OFFSETS] -= request[at.OFFSET]
    s.units[u][at.REMAINING] -= request[at.FINISH]
    s.residues[v][request[at.OFFSET] % s.limits[at.BLOCK]] -= 1


def new_blocks(s: State, v: int) -> int:
    """Blocks that the next step of a lane begins."""
    lane, block = s.lanes[v], s.limits[at.BLOCK]
    blocks = 0
    for count in range(lane[at.COUNT], tokens_after(s, v)):
        blocks += s.residues[v][-(count + s.limits[at.LOOKAHEAD]) % block]
    return int(blocks)


def make_room(s: State, u: int, v: int) -> int:
    """Take the blocks of a lane's next step, preempting where there are too few; the number of
    requests that were.

    vLLM preempts the last that was admitted until the rest has room (v1/core/sched/scheduler.py
    schedule); SGLang those with the fewest tokens made, of equal ones the longest prompt, until
    there is room for RETRACTED_STEPS steps (managers/schedule_batch.py retract_decode).
    """
    unit, lane = s.units[u], s.lanes[v]
    need, gone = new_blocks(s, v), 0
    by_tokens = s.limits[at.ENGINE] == at.BY_TOKENS
    if need > free_blocks(s, u):
        while lane[at.BATCH] > 0 and need > free_blocks(s, u):
            need = _preempt_one(s, u, v, by_tokens)
            gone += 1
        while by_tokens and lane[at.BATCH] > 1 and RETRACTED_STEPS * need > free_blocks(s, u):
            need = _preempt_one(s, u, v, by_tokens)
            gone += 1
        if by_tokens:
            _raise_ratio(s, u, v)
    elif lane[at.BATCH] > 0:
        lower_ratio(s, u)
    allocate(s, u, need)
    unit[at.PROMISED] -= min(need, unit[at.PROMISED])
    return gone


def lower_ratio(s: State, u: int) -> None:
    """After a step for which there was room SGLang counts on a little less of answers."""
    if s.limits[at.ENGINE] == at.BY_TOKENS:
        first = s.seconds[at.RESERVE]
        lower = s.ratios[u] - first * (1.0 - LEAST_RATIO) / DECAY_STEPS
        s.ratios[u] = max(lower, first * LEAST_RATIO)


def _preempt_one(s: State, u: int, v: int, by_tokens: bool) -> int:
    """Preempt the next in turn; blocks that the step then begins."""
    partial = s.units[u][at.PARTIAL]
    if partial >= 0 and not by_tokens:
        stop_reading(s, u, partial)
    else:
        r, ended = _victim(s, v, by_tokens), last_ended(s, u)
        if (
            ended >= 0
            and not by_tokens
            and (r < 0 or s.requests[ended][at.ADMITTED] > s.requests[r][at.ADMITTED])
        ):
            preempt_ended(s, u, ended)
        else:
            _preempt(s, u, v, r)
    return new_blocks(s, v)


def _victim(s: State, v: int, by_tokens: bool) -> int:
    """Who is preempted: the last admitted, or who has made the fewest tokens."""
    chosen, most, second = -1, 0, 0
    for i in range(s.lanes[v][at.EVENTS]):
        code = s.codes[v][i]
        if code % 2 == 1:
            request = s.requests[code // 2]
            first, then = request[at.ADMITTED], 0
            if by_tokens:
                first, then = request[at.FINISH] - request[at.OUTPUT], request[at.INPUT]
            if chosen < 0 or first > most or (first == most and then > second):
                chosen, most, second = code // 2, first, then
    return int(chosen)


def _preempt(s: State, u: int, v: int, r: int) -> None:
    """Stop a request that decodes; it will read its prompt and what it made again. vLLM keeps its
    full blocks findable until they are needed, SGLang the prompt's alone, and drops the token of a
    pass under way (batch_result_processor.py process_batch_result_decode)."""
    request = s.requests[r]
    leave(s, u, v, r)
    kept = known_tokens(s, r)
    if s.limits[at.ENGINE] == at.BY_TOKENS:
        kept = request[at.INPUT]
        if heard_later(s):
            request[at.MADE] -= 1  # the token of the pass under way is dropped
    _take_events(s, v, r)
    release(s, u, r, kept // s.limits[at.BLOCK] - request[at.SHARED] * s.limits[at.WEIGHT])
    _wait_again(s, u, r)


def stop_reading(s: State, u: int, r: int) -> None:
    """Preempt a request whose prompt is read in part."""
    request, unit = s.requests[r], s.units[u]
    unit[at.PARTIAL] = -1
    unit[at.UNREAD] -= 1
    kept = request[at.READ] // s.limits[at.BLOCK] - request[at.SHARED] * s.limits[at.WEIGHT]
    release(s, u, r, kept)
    _wait_again(s, u, r)


def _take_events(s: State, v: int, r: int) -> None:
    """Take a request's events out of the heap, which is built anew."""
    keys, codes, lane = s.keys[v], s.codes[v], s.lanes[v]
    count = lane[at.EVENTS]
    lane[at.EVENTS] = 0
    for i in range(count):
        if codes[i] // 2 != r:
            push(s, v, keys[i], codes[i])


def _wait_again(s: State, u: int, r: int) -> None:
    """Put a preempted request back: in vLLM before all that wait, in SGLang behind them."""
    request, unit = s.requests[r], s.units[u]
    replica = u // s.limits[at.RANKS]
    request[at.PREEMPTED] += 1
    request[at.READ] = 0
    request[at.LENGTH] = request[at.INPUT] + request[at.MADE]
    request[at.ELIGIBLE] = s.begun[replica][at.PASSES]
    unit[at.SERVED] -= 1
    if s.limits[at.ENGINE] == at.BY_TOKENS:
        enqueue(s, u, r)
    else:
        request[at.PHASE] = at.WAITING
        request[at.NEXT] = unit[at.HEAD]
        unit[at.HEAD] = r
        if unit[at.TAIL] < 0:
            unit[at.TAIL] = r
        _counted(s, u, r, 1)


def enqueue(s: State, u: int, r: int) -> None:
    """Put a request behind those that wait."""
    request, unit = s.requests[r], s.units[u]
    request[at.PHASE] = at.WAITING
    request[at.NEXT] = -1
    if unit[at.TAIL] < 0:
        unit[at.HEAD] = r
    else:
        s.requests[unit[at.TAIL]][at.NEXT] = r
    unit[at.TAIL] = r
    _counted(s, u, r, 1)


def dequeue(s: State, u: int, r: int, earlier: int) -> None:
    """Take a request out of those that wait; ``earlier`` is who waits before it, or -1."""
    request, unit = s.requests[r], s.units[u]
    if earlier < 0:
        unit[at.HEAD] = request[at.NEXT]
    else:
        s.requests[earlier][at.NEXT] = request[at.NEXT]
    if unit[at.TAIL] == r:
        unit[at.TAIL] = earlier
    _counted(s, u, r, -1)


def _counted(s: State, u: int, r: int, sign: int) -> None:
    unit = s.units[u]
    unit[at.QUEUED] += sign
    unit[at.QUEUED_TOKENS] += sign * s.requests[r][at.LENGTH]
    unit[at.UNREAD] += sign


def _raise_ratio(s: State, u: int, v: int) -> None:
    """The share of answers that SGLang counts on after it retracted: what the rest has made, and
    will in RETRACTED_STEPS, of what it may make."""
    made, most = 0, 1
    for i in range(s.lanes[v][at.EVENTS]):
        code = s.codes[v][i]
        if code % 2 == 1:
            request = s.requests[code // 2]
            made += (
                request[at.OUTPUT] - (request[at.FINISH] - s.lanes[v][at.COUNT]) + RETRACTED_STEPS
            )
            most += request[at.OUTPUT]
            if heard_later(s):
                made -= 1
    s.ratios[u] = min(made / most, 1.0)
    s.units[u][at.FULL] = 0
