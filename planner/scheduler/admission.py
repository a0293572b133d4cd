"""Which prompts a pass reads: vLLM, SGLang and TensorRT-LLM.

All three go on with the prompt that is read in part, then take those that wait in order, as far as
tokens, sequences and cache go; the first that finds no room ends it. They differ in the room:

* vLLM (vllm/v1/core/sched/scheduler.py schedule, kv_cache_manager.py allocate_slots): blocks of the
  chunk, and free ones for all of the prompt (``scheduler_reserve_full_isl``); nothing for the
  answer. None is admitted in a pass that preempts.
* SGLang (sglang/srt/managers/schedule_policy.py PrefillAdder, scheduler.py get_new_batch_prefill):
  prompt and answer beside a share of what all others will still make; after it hits no room it
  does not look again before one has ended. Beyond 128 that wait its order is that of arrival.
* TensorRT-LLM (tensorrt_llm/_torch/pyexecutor/scheduler/scheduler.py GuaranteedNoEvictPolicy,
  MicroBatchScheduler): every block up to the end of the answer, beside those that all others are
  promised; chunks are whole blocks.
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.cache import (
    allocate,
    blocks_of,
    cached_nodes,
    cached_tokens,
    free_blocks,
    listed_blocks,
    publish,
    take_prefix,
)
from planner.scheduler.decoding import dequeue, join, stop_reading, tokens_after
from planner.scheduler.ends import heard_later
from planner.scheduler.passes import behind_seconds
from planner.scheduler.state import State

CLIPPED = 4096
"""Tokens of an answer that SGLang counts on at most (SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION)."""
MOST_SORTED = 128
"""Requests that wait up to which SGLang sorts them by their cached prefix."""


def take_prompts(s: State, u: int, v: int, now: float) -> int:
    """Put prompts into the next pass of a lane; their tokens."""
    unit, lane = s.units[u], s.lanes[v]
    budget = s.limits[at.BUDGET]
    if s.limits[at.MIXED]:
        budget -= lane[at.BATCH] * (s.limits[at.LOOKAHEAD] + 1)
    if unit[at.PARTIAL] >= 0 and (budget <= 0 or on_its_way(s, u, v)):
        return 0
    if unit[at.PARTIAL] >= 0:
        go_on(s, u, v, unit[at.PARTIAL], budget)
        budget -= lane[at.TOKENS]
        if unit[at.PARTIAL] >= 0 or lane[at.TOKENS] == 0:
            return int(lane[at.TOKENS])
    sharing = most_of_lane(s, u)
    while budget > 0 and lane[at.BATCH] + lane[at.ENDED] < sharing:
        taken = admit(s, u, v, budget, now)
        if taken < 0:
            break
        budget -= taken
        if unit[at.PARTIAL] >= 0:
            break
    return int(lane[at.TOKENS])


def on_its_way(s: State, u: int, v: int) -> bool:
    """Whether a prompt that is read in part has to come through the stages before it goes on."""
    lanes = s.limits[at.LANES]
    other = s.units[u][at.PARTIAL_LANE]
    if s.limits[at.SUCCESSIVE] or other == v:
        return False
    return bool(s.begun[u // s.limits[at.RANKS]][1 + other % lanes])


def most_of_lane(s: State, u: int) -> int:
    """Sequences of one lane: all, or its even share where an engine keeps micro-batches equal."""
    unit, lanes = s.units[u], s.limits[at.LANES]
    if lanes == 1 or not s.limits[at.BALANCED]:
        return int(s.limits[at.MOST])
    return int((unit[at.SERVED] + unit[at.QUEUED] + lanes - 1) // lanes)


def go_on(s: State, u: int, v: int, r: int, budget: int) -> None:
    """Read on in a prompt that is read in part; where there is no room for the chunk, vLLM preempts
    its request."""
    request = s.requests[r]
    tokens = chunk_tokens(s, request[at.LENGTH] - request[at.READ], budget)
    if tokens == 0:
        return
    need = needed(s, r, request[at.READ] + tokens)
    if need > free_blocks(s, u):
        stop_reading(s, u, r)
        return
    s.units[u][at.PARTIAL] = -1
    read(s, u, v, r, tokens, need)


def chunk_tokens(s: State, left: int, budget: int) -> int:
    """Tokens of a prompt with so many left that a pass reads."""
    if left <= budget:
        return left
    if s.limits[at.ENGINE] == at.BY_BLOCKS:
        return budget
    return budget // s.limits[at.BLOCK] * s.limits[at.BLOCK]


def needed(s: State, r: int, tokens: int) -> int:
    """Blocks that a request needs for so many tokens beside those it has."""
    request = s.requests[r]
    held = request[at.SHARED] * s.limits[at.WEIGHT] + request[at.OWN]
    return int(max(needed_of(s, r, tokens) - held, 0))


def needed_of(s: State, r: int, tokens: int) -> int:
    """Blocks of so many tokens of a request, of its first draft too once its prompt is read."""
    if tokens == s.requests[r][at.LENGTH]:
        tokens += s.limits[at.LOOKAHEAD]
    return blocks_of(s, tokens)


def read(s: State, u: int, v: int, r: int, tokens: int, need: int) -> None:
    """Read so many tokens of a prompt in the next pass of a lane."""
    request, unit, lane = s.requests[r], s.units[u], s.lanes[v]
    allocate(s, u, need)
    unit[at.PROMISED] -= min(need, unit[at.PROMISED])
    request[at.OWN] += need
    s.behind[v] += behind_seconds(s, tokens, request[at.READ])
    request[at.FROM] = request[at.READ]
    request[at.READ] += tokens
    request[at.PHASE] = at.READING
    lane[at.TOKENS] += tokens
    if s.limits[at.ENGINE] == at.BY_BLOCKS:
        publish(s, u, r, False)
    if request[at.READ] < request[at.LENGTH]:
        unit[at.PARTIAL], unit[at.PARTIAL_LANE] = r, v
    else:
        s.ended[v][lane[at.ENDED]] = r
        lane[at.ENDED] += 1


def admit(s: State, u: int, v: int, budget: int, now: float) -> int:
    """Admit the next that waits if there is room; the prompt tokens that it takes of the pass, or
    -1 where none was admitted."""
    unit = s.units[u]
    if unit[at.QUEUED] == 0 or unit[at.SERVED] >= s.limits[at.MOST] or unit[at.FULL]:
        return -1
    earlier = chosen_before(s, u)
    r = unit[at.HEAD] if earlier < 0 else s.requests[earlier][at.NEXT]
    request = s.requests[r]
    if not seen(s, u, v, r):
        return -1
    hits = cached_nodes(s, u, r)
    hit = hit_tokens(s, r, hits)
    tokens = chunk_tokens(s, request[at.LENGTH] - hit, budget)
    if tokens < request[at.LENGTH] - hit and (tokens == 0 or not s.limits[at.CHUNKED]):
        return -1
    if not fits(s, u, v, r, hits, hit + tokens):
        return -1
    take(s, u, r, earlier, hits, hit, now)
    if tokens > 0:
        read(s, u, v, r, tokens, needed(s, r, hit + tokens))
    else:
        begin_decoding(s, u, v, r)
    return int(tokens)


def hit_tokens(s: State, r: int, hits: int) -> int:
    """Tokens of a request that need not be computed: its cached prefix, at least what is known to
    be cached; all of a prompt that another worker read."""
    request = s.requests[r]
    hit = cached_tokens(s, r, hits)
    if request[at.KNOWN] >= request[at.INPUT]:
        return int(hit if request[at.PREEMPTED] else request[at.LENGTH])
    return int(max(hit, min(request[at.KNOWN], request[at.LENGTH] - 1)))


def take(s: State, u: int, r: int, earlier: int, hits: int, hit: int, now: float) -> None:
    """Let a request run, of which ``hit`` tokens are cached."""
    request, unit = s.requests[r], s.units[u]
    dequeue(s, u, r, earlier)
    unit[at.UNREAD] += 1
    unit[at.SERVED] += 1
    take_prefix(s, u, r, hits)
    request[at.READ] = hit
    request[at.ADMITTED] = s.marks[at.ADMISSIONS]
    s.marks[at.ADMISSIONS] += 1
    if s.limits[at.ENGINE] == at.NO_EVICTION:
        unit[at.PROMISED] += (
            to_the_end(s, r) - request[at.SHARED] * s.limits[at.WEIGHT] - request[at.OWN]
        )
    if not s.times[r][at.SCHEDULED] >= 0.0:
        s.times[r][at.SCHEDULED] = now
        request[at.HIT] = min(hit, request[at.INPUT])


def begin_decoding(s: State, u: int, v: int, r: int) -> None:
    """A request whose prompt another worker read decodes from this pass on."""
    request, lane = s.requests[r], s.lanes[v]
    first = tokens_after(s, v) - lane[at.COUNT]
    need = needed(s, r, request[at.LENGTH] + first + s.limits[at.LOOKAHEAD])
    allocate(s, u, need)
    s.units[u][at.PROMISED] -= min(need, s.units[u][at.PROMISED])
    request[at.OWN] += need
    s.units[u][at.UNREAD] -= 1
    join(s, u, v, r)


def chosen_before(s: State, u: int) -> int:
    """Who waits before the one that is next in turn, -1 where that is the first."""
    unit = s.units[u]
    if not s.limits[at.LPM] or unit[at.QUEUED] > MOST_SORTED:
        return -1
    earlier, before, longest = -1, -1, -1
    r = unit[at.HEAD]
    passes = s.begun[u // s.limits[at.RANKS]][at.PASSES]
    while r >= 0:
        if s.requests[r][at.ELIGIBLE] <= passes:
            tokens = cached_tokens(s, r, cached_nodes(s, u, r))
            if tokens > longest:
                longest, earlier = tokens, before
        before = r
        r = s.requests[r][at.NEXT]
    return earlier


def seen(s: State, u: int, v: int, r: int) -> bool:
    """Whether the scheduler sees a request yet, and does not hold it until others fill a pass."""
    passes = s.begun[u // s.limits[at.RANKS]][at.PASSES]
    since = passes - s.requests[r][at.ELIGIBLE]
    if since < 0:
        return False
    if s.limits[at.HOLD] == 0 or s.lanes[v][at.BATCH] == 0 or since >= s.limits[at.HOLD]:
        return True
    waiting = s.units[u][at.QUEUED_TOKENS] + s.lanes[v][at.TOKENS]
    return bool(waiting >= s.seconds[at.HOLD_SHARE] * s.limits[at.BUDGET])


def fits(s: State, u: int, v: int, r: int, hits: int, tokens: int) -> bool:
    """Whether there is room for a request of which the pass reads up to ``tokens``, cached ones
    counted."""
    request, unit = s.requests[r], s.units[u]
    free = free_blocks(s, u) - listed_blocks(s, u, r, hits)
    have = hits * s.limits[at.WEIGHT]
    if request[at.RUN] > 0 and hits == request[at.NODE_COUNT]:
        have += request[at.RUN]
    if s.limits[at.ENGINE] == at.BY_TOKENS:
        left = min(request[at.OUTPUT] - request[at.MADE], CLIPPED)
        need = blocks_of(s, request[at.LENGTH] + left) - have + 1
        if need + expected_tokens(s, u, v) / s.limits[at.BLOCK] < free or unit[at.SERVED] == 0:
            return True
        unit[at.FULL] = 1 if s.lanes[v][at.BATCH] > 0 else 0
        return False
    if s.limits[at.ENGINE] == at.NO_EVICTION:
        return bool(to_the_end(s, r) - have <= free - unit[at.PROMISED])
    if s.limits[at.FULL_PROMPT]:
        tokens = request[at.LENGTH]
    return bool(needed_of(s, r, tokens) - have <= free)


def to_the_end(s: State, r: int) -> int:
    """Blocks of a request at the end of its answer."""
    request = s.requests[r]
    return blocks_of(s, request[at.INPUT] + request[at.OUTPUT] + s.limits[at.LOOKAHEAD])


def expected_tokens(s: State, u: int, v: int) -> float:
    """Tokens that SGLang sets aside: its share of what those that decode may still make, and all
    of the answers that begin in this pass, with a block each. (It clips each answer; here their
    sum is.)"""
    unit, lanes = s.units[u], s.limits[at.LANES]
    left, batch = unit[at.REMAINING], 0
    for lane in range(u * lanes, u * lanes + lanes):
        left -= s.lanes[lane][at.BATCH] * s.lanes[lane][at.COUNT]
        batch += s.lanes[lane][at.BATCH]
    if heard_later(s):
        left += batch  # the tokens of the pass under way are not known yet
    expected = s.ratios[u] * min(left, CLIPPED * batch)
    for i in range(s.lanes[v][at.ENDED]):
        request = s.requests[s.ended[v][i]]
        expected += min(request[at.OUTPUT] - request[at.MADE], CLIPPED) + s.limits[at.BLOCK]
    return float(expected)
