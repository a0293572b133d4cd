"""Decode steps in which nobody comes, ends or lacks room: one after the other, without looking for
what else might happen. The steps, and their passes, are those of :mod:`planner.scheduler.events`.
"""

from __future__ import annotations

from planner.scheduler import state as at
from planner.scheduler.cache import allocate, free_blocks
from planner.scheduler.decoding import lower_ratio, new_blocks, tokens_after
from planner.scheduler.passes import line, with_host
from planner.scheduler.state import State


def decode_on(s: State, replica: int, now: float, room: int) -> float:
    """Let the sequences of a replica of one rank decode from ``now`` on until something else
    happens or ``room`` passes are recorded; when that is."""
    if s.limits[at.RANKS] > 1 or s.limits[at.LANES] > 1 or not only_decodes(s, replica):
        return now
    u = v = replica
    unit, lane = s.units[u], s.lanes[v]
    batch, offsets = lane[at.BATCH], lane[at.OFFSETS]
    row = s.decode[min(batch, len(s.decode) - 1)]
    arrived = s.marks[at.ARRIVED]
    arrival = s.arrivals[arrived] if arrived < len(s.arrivals) else float("inf")
    recorded, first_end = s.marks[at.RECORDED], s.keys[v][0]
    lane[at.TOKENS], lane[at.ENDED], lane[at.DECODES] = 0, 0, 1
    s.marks[at.BEGAN] = replica
    while recorded < room:
        count = tokens_after(s, v)
        seconds = with_host(s, line(s.lengths, row, offsets / batch + lane[at.COUNT]), batch)
        need = new_blocks(s, v)
        if count >= first_end or arrival <= now + seconds or need > free_blocks(s, u):
            break
        amount, counted = s.amounts[recorded], s.counts[recorded]
        amount[at.BEGIN], amount[at.LASTED] = now, seconds
        amount[at.SHARE] = unit[at.HELD] / s.limits[at.BLOCKS]
        counted[at.DECODED], counted[at.PROMPTED], counted[at.WAITED] = batch, 0, 0
        recorded += 1
        if need > 0:
            allocate(s, u, need)
            unit[at.PROMISED] -= min(need, unit[at.PROMISED])
        lower_ratio(s, u)
        lane[at.COUNT] = count
        lane[at.STEPS] += 1
        now += seconds
    s.begun[replica][at.PASSES] += recorded - s.marks[at.RECORDED]
    s.marks[at.RECORDED] = recorded
    s.clocks[replica][at.FREE] = now
    return now


def only_decodes(s: State, replica: int) -> bool:
    """Whether a replica of one rank has sequences that decode and nothing else to do."""
    unit = s.units[replica]
    return bool(s.lanes[replica][at.BATCH] > 0 and unit[at.UNREAD] == 0 and unit[at.LEAVING] < 0)
