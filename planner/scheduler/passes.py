"""How long a pass lasts: the tabulated law of a step, and what the host adds to it.

As a closed loop has it (:mod:`planner.throughput.serving`): a step of the batch with the host's
share, and what prompts add to it on the device, at least up to the floor of a pass that is launched
kernel by kernel; prompts alone, with the host's share of a pass (``reading_seconds`` and
``added_seconds`` of :mod:`planner.throughput.prompt_passes`).
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.state import State


def pass_seconds(s: State, replica: int, lane: int, decodes: bool) -> float:
    """Seconds of the next pass of a replica's ranks: those of the busiest."""
    ranks, longest, tokens = s.limits[at.RANKS], 0.0, 0
    first = replica * ranks * s.limits[at.LANES] + lane
    for k in range(ranks):
        tokens += s.lanes[first + k * s.limits[at.LANES]][at.TOKENS]
    for k in range(ranks):
        v = first + k * s.limits[at.LANES]
        own = s.lanes[v][at.TOKENS]
        share = 0.0
        if own > 0 and ranks > 1:
            share = min((tokens - own) / (own * (ranks - 1)), 1.0)
        longest = max(longest, rank_seconds(s, v, share, decodes))
    return longest


def rank_seconds(s: State, v: int, share: float, decodes: bool) -> float:
    """Seconds of a lane's pass where the other ranks read ``share`` of its prompt tokens each."""
    lane = s.lanes[v]
    batch = lane[at.BATCH] if decodes else 0
    tokens = lane[at.TOKENS]
    step = decode_seconds(s, v) if batch else 0.0
    if tokens == 0:
        return with_host(s, step, batch) if batch else 0.0
    added = s.seconds[at.FACTOR] * (prompt_seconds(s, tokens, batch, share) + s.behind[v])
    floor = 0.0 if tokens + batch <= s.seconds[at.CAPTURED] else s.seconds[at.FLOOR]
    if batch:
        return with_host(s, step, batch) + max(added, floor - step)
    return with_host(s, max(added, floor), 0)


def with_host(s: State, device: float, batch: int) -> float:
    """A pass with the host's share: ``Scheduling.step``."""
    host = s.seconds[at.HOST] + s.seconds[at.HOST_EACH] * batch
    if s.seconds[at.OVERLAPPED] == 0.0:
        return device + host
    return max(device + s.seconds[at.EXPOSED_EACH] * batch, host)


def decode_seconds(s: State, v: int) -> float:
    """Device seconds of a step of the lane's sequences at their mean cached length."""
    lane = s.lanes[v]
    batch = lane[at.BATCH]
    length = lane[at.OFFSETS] / batch + lane[at.COUNT]
    row = s.decode[min(batch, len(s.decode) - 1)]
    return line(s.lengths, row, length)


def prompt_seconds(s: State, tokens: int, batch: int, share: float) -> float:
    """Device seconds that prompt tokens add to a pass, without what is before them."""
    b = min(batch, len(s.mixed[0]) - 1)
    i = below(s.chunk, tokens)
    j = min(i + 1, len(s.chunk) - 1)
    part = 0.0
    if j > i:
        part = min((tokens - s.chunk[i]) / (s.chunk[j] - s.chunk[i]), 1.0)
    alone = s.mixed[i][b] + part * (s.mixed[j][b] - s.mixed[i][b])
    if share <= 0.0:
        return alone
    every = s.everywhere[i][b] + part * (s.everywhere[j][b] - s.everywhere[i][b])
    return alone + share * (every - alone)


def behind_seconds(s: State, tokens: int, computed: int) -> float:
    """Device seconds of attention of a chunk behind what is computed, over those of short ones."""
    i = below(s.chunk, tokens)
    j = min(i + 1, len(s.chunk) - 1)
    part = 0.0
    if j > i:
        part = min((tokens - s.chunk[i]) / (s.chunk[j] - s.chunk[i]), 1.0)
    low = line(s.computed, s.deeper[i], computed)
    return low + part * (line(s.computed, s.deeper[j], computed) - low)


def line(grid: list[float], values: list[float], at: float) -> float:
    """Values on a grid, linear between its points and beyond its end, the first before it."""
    last = len(grid) - 1
    if at <= grid[0] or last == 0:
        return values[0]
    i = min(below(grid, at), last - 1)
    return values[i] + (at - grid[i]) * ((values[i + 1] - values[i]) / (grid[i + 1] - grid[i]))


def below(grid: list[float], at: float) -> int:
    """The last point of a grid that is not above a place; the first where all are."""
    low, high = 0, len(grid)
    while high - low > 1:
        middle = (low + high) // 2
        if grid[middle] <= at:
            low = middle
        else:
            high = middle
    return low
