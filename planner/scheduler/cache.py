"""Blocks of a rank's cache: who holds them, and prefixes that are kept until their room is needed.

Nodes are stretches of prompts with a known identity, of one engine's block or of several. What
nobody uses any more stays in a list in order of its last use, the end of a request before its
beginning, so that the oldest and deepest goes first; blocks without a known identity lie in it too,
as one run a request, which its owner takes up again if it was preempted. That is the free queue of
vLLM (vllm/v1/core/block_pool.py, kv_cache_utils.py FreeKVCacheBlockQueue: freed in reverse order,
the head is evicted) and what eviction by age of leaves makes of SGLang's radix tree
(sglang/srt/mem_cache/radix_cache.py evict) and of TensorRT-LLM's block reuse.
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.state import State


def blocks_of(s: State, tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return (tokens + s.limits[at.BLOCK] - 1) // s.limits[at.BLOCK]


def free_blocks(s: State, u: int) -> int:
    """Blocks that nobody uses, cached or not."""
    return s.limits[at.BLOCKS] - s.units[u][at.HELD]


def allocate(s: State, u: int, blocks: int) -> None:
    """Take so many free blocks: those that hold nothing, then of the list from its old end."""
    unit = s.units[u]
    unit[at.HELD] += blocks
    while unit[at.HELD] + unit[at.LISTED] > s.limits[at.BLOCKS]:
        _evict(s, u, unit[at.HELD] + unit[at.LISTED] - s.limits[at.BLOCKS])


def _evict(s: State, u: int, blocks: int) -> None:
    """Forget the oldest of the list: a node as a whole, of a run its end."""
    unit = s.units[u]
    place = unit[at.OLDEST]
    nodes = s.limits[at.SIZE]
    if place < nodes:
        unlink(s, u, place)
        s.uses[u][place] = -1
        unit[at.LISTED] -= s.limits[at.WEIGHT]
        return
    owner = s.requests[place - nodes]
    taken = min(blocks, owner[at.RUN])
    owner[at.RUN] -= taken
    unit[at.LISTED] -= taken
    if owner[at.RUN] == 0:
        unlink(s, u, place)


def link(s: State, u: int, place: int) -> None:
    """Put a node, or a run (nodes + its request), at the young end of the list."""
    unit = s.units[u]
    last = unit[at.NEWEST]
    s.before[u][place] = last
    s.after[u][place] = -1
    if last < 0:
        unit[at.OLDEST] = place
    else:
        s.after[u][last] = place
    unit[at.NEWEST] = place


def unlink(s: State, u: int, place: int) -> None:
    """Take something out of the list."""
    unit = s.units[u]
    earlier, later = s.before[u][place], s.after[u][place]
    if earlier < 0:
        unit[at.OLDEST] = later
    else:
        s.after[u][earlier] = later
    if later < 0:
        unit[at.NEWEST] = earlier
    else:
        s.before[u][later] = earlier


def cached_nodes(s: State, u: int, r: int) -> int:
    """Leading nodes of a prompt that a unit has cached; the last token is always computed."""
    request = s.requests[r]
    block, tokens = s.limits[at.BLOCK], s.limits[at.NODE_TOKENS]
    if not s.limits[at.CACHING] or request[at.NODE_COUNT] == 0:
        return 0
    most = min(
        request[at.NODE_COUNT], ((request[at.LENGTH] - 1) // block * block + tokens - 1) // tokens
    )
    first, hits = request[at.NODES], 0
    while hits < most and s.uses[u][s.ids[first + hits]] >= 0:
        hits += 1
    return hits


def cached_tokens(s: State, r: int, hits: int) -> int:
    """Tokens of a request that need not be computed where ``hits`` leading nodes are cached, its
    own run behind them if it is still there."""
    request = s.requests[r]
    block = s.limits[at.BLOCK]
    tokens = hits * s.limits[at.NODE_TOKENS]
    if request[at.RUN] > 0 and hits == request[at.NODE_COUNT]:
        tokens += request[at.RUN] * block
    return min(tokens, (request[at.LENGTH] - 1) // block * block)


def listed_blocks(s: State, u: int, r: int, hits: int) -> int:
    """Blocks of the list that a request takes up again with its cached prefix."""
    request = s.requests[r]
    blocks, first = 0, request[at.NODES]
    for i in range(hits):
        if s.uses[u][s.ids[first + i]] == 0:
            blocks += s.limits[at.WEIGHT]
    if request[at.RUN] > 0 and hits == request[at.NODE_COUNT]:
        blocks += request[at.RUN]
    return blocks


def take_prefix(s: State, u: int, r: int, hits: int) -> None:
    """Use ``hits`` leading nodes, and the request's own run behind them."""
    unit, request = s.units[u], s.requests[r]
    first = request[at.NODES]
    for i in range(hits):
        _use(s, u, s.ids[first + i])
    request[at.SHARED] = hits
    request[at.OWN] = 0
    if request[at.RUN] > 0:
        unlink(s, u, s.limits[at.SIZE] + r)
        unit[at.LISTED] -= request[at.RUN]
        if hits == request[at.NODE_COUNT]:
            unit[at.HELD] += request[at.RUN]
            request[at.OWN] = request[at.RUN]
        request[at.RUN] = 0


def _use(s: State, u: int, node: int) -> None:
    if s.uses[u][node] == 0:
        unlink(s, u, node)
        s.units[u][at.LISTED] -= s.limits[at.WEIGHT]
        s.units[u][at.HELD] += s.limits[at.WEIGHT]
    s.uses[u][node] += 1


def publish(s: State, u: int, r: int, shares: bool) -> None:
    """Let others find the nodes that a request has computed in full. Of those that another one
    computed meanwhile it ``shares`` the blocks, or keeps its own."""
    if not s.limits[at.CACHING]:
        return
    unit, request = s.units[u], s.requests[r]
    weight, first = s.limits[at.WEIGHT], request[at.NODES]
    most = min(request[at.NODE_COUNT], request[at.READ] // s.limits[at.NODE_TOKENS])
    while request[at.SHARED] < most:
        node = s.ids[first + request[at.SHARED]]
        if s.uses[u][node] < 0:
            s.uses[u][node] = 1
        elif shares:
            unit[at.HELD] -= weight
            _use(s, u, node)
        else:
            return
        request[at.SHARED] += 1
        request[at.OWN] -= weight


def release(s: State, u: int, r: int, kept: int) -> None:
    """Give back what a request holds; ``kept`` of its own blocks go into the list, before the nodes
    that nobody else uses."""
    unit, request = s.units[u], s.requests[r]
    unit[at.HELD] -= request[at.OWN]
    if s.limits[at.CACHING]:
        run = min(kept, request[at.OWN])
        if run > 0:
            request[at.RUN] = run
            unit[at.LISTED] += run
            link(s, u, s.limits[at.SIZE] + r)
        first = request[at.NODES]
        for i in range(request[at.SHARED] - 1, -1, -1):
            node = s.ids[first + i]
            s.uses[u][node] -= 1
            if s.uses[u][node] == 0:
                unit[at.HELD] -= s.limits[at.WEIGHT]
                unit[at.LISTED] += s.limits[at.WEIGHT]
                link(s, u, node)
    request[at.OWN] = 0
    request[at.SHARED] = 0
