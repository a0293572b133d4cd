"""Who is in a pass: what the kernel's tables say of the one that has just begun."""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.state import State

Members = list[tuple[int, int]]
"""(number of a request in order of arrival, its tokens in the pass), by number."""


def members(s: State) -> Members:
    """Requests of the last pass that was recorded, of all its ranks; a decode step is one token and
    the drafts that it verifies."""
    lanes, ranks = int(s.limits[at.LANES]), int(s.limits[at.RANKS])
    replica, lane = divmod(int(s.marks[at.BEGAN]), lanes)
    found: Members = []
    for u in range(replica * ranks, (replica + 1) * ranks):
        v = u * lanes + lane
        if s.lanes[v][at.DECODES]:
            events = s.codes[v][: s.lanes[v][at.EVENTS]]
            each = 1 + int(s.limits[at.LOOKAHEAD])
            found += [(int(code) // 2, each) for code in events if code % 2 == 1]
        found += _readers(s, u, v)
    return sorted(found)


def _readers(s: State, u: int, v: int) -> Members:
    """Prompts that end in the pass, and those of which it reads a part."""
    readers = [int(r) for r in s.ended[v][: s.lanes[v][at.ENDED]]]
    if s.limits[at.ENGINE] == at.BY_SLOTS:
        inside = [int(slot[0]) for slot in s.slots[u] if slot[0] >= 0]
        readers += [r for r in inside if s.requests[r][at.PHASE] == at.READING and r not in readers]
    elif s.units[u][at.PARTIAL] >= 0 and _tokens(s, readers) < s.lanes[v][at.TOKENS]:
        readers.append(int(s.units[u][at.PARTIAL]))
    return [(r, tokens) for r in readers if (tokens := _tokens(s, [r]))]


def _tokens(s: State, readers: list[int]) -> int:
    return sum(int(s.requests[r][at.READ] - s.requests[r][at.FROM]) for r in readers)
