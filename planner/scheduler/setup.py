"""The tables of a simulation before its first arrival, out of records."""

from __future__ import annotations

from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.requests.stream import RequestStream
from planner.scheduler import state as at
from planner.scheduler.costs import StepCosts
from planner.scheduler.rules import (
    LLAMA_CPP,
    LONGEST_PREFIX,
    RANDOM,
    ROUND_ROBIN,
    SGLANG,
    TENSORRT_LLM,
    SchedulerRules,
)
from planner.scheduler.state import State
from planner.throughput.pipelining import host_of_round
from planner.throughput.scheduling import Scheduling

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
ENGINES = {SGLANG: at.BY_TOKENS, TENSORRT_LLM: at.NO_EVICTION, LLAMA_CPP: at.BY_SLOTS}
ROUTERS = {ROUND_ROBIN: at.IN_TURN, RANDOM: at.DRAWN}


def new_state(
    stream: RequestStream,
    rules: SchedulerRules,
    costs: StepCosts,
    policy: Scheduling,
    *,
    ranks: int,
    replicas: int,
    router: str,
    seed: int,
    read_elsewhere: bool,
    room: int,
    narrow: bool = False,
) -> State:
    """Tables as arrays, for ``room`` passes. ``read_elsewhere``: prompts are read by other
    workers. ``narrow``: rows of requests in half the width where their numbers fit."""
    count, units = len(stream), ranks * replicas
    limits = _limits(stream, rules, costs, policy)
    limits[at.RANKS], limits[at.REPLICAS] = ranks, replicas
    limits[at.ROUTER] = ROUTERS.get(router, at.LEAST)
    lanes, most = int(limits[at.LANES]), int(limits[at.MOST])
    kind = np.dtype(np.int32 if narrow and _are_narrow(stream, rules) else np.int64)
    requests, ids, size = _requests(stream, rules, limits, read_elsewhere, kind)
    limits[at.SIZE] = size
    listed = size + count if limits[at.CACHING] and limits[at.ENGINE] != at.BY_SLOTS else 1
    slots = most if limits[at.ENGINE] == at.BY_SLOTS else 1
    unit_rows = np.zeros((units, at.UNIT_COLUMNS), dtype=np.int64)
    unit_rows[
        :,
        [
            at.HEAD,
            at.TAIL,
            at.OLDEST,
            at.NEWEST,
            at.PARTIAL,
            at.LEAVING,
            at.LEAVING_LAST,
            at.READ_LAST,
        ],
    ] = -1
    clocks = np.full((replicas, 1 + lanes), np.inf)
    clocks[:, at.FREE] = 0.0
    places = np.zeros(count, dtype=np.int64)
    if router == RANDOM:
        places = np.random.default_rng(seed).integers(units, size=count)
    host = policy if costs.stages == 1 else host_of_round(policy, lanes)
    tables: dict[str, Any] = {
        "requests": requests,
        "times": np.full((count, 3), np.nan),
        "arrivals": np.asarray(stream.arrival_seconds, dtype=np.float64),
        "places": places,
        "ids": ids,
        "units": unit_rows,
        "lanes": np.zeros((units * lanes, at.LANE_COLUMNS), dtype=np.int64),
        "clocks": clocks,
        "begun": np.zeros((replicas, 1 + lanes), dtype=np.int64),
        "marks": np.zeros(at.MARKS, dtype=np.int64),
        "limits": limits,
        "seconds": _seconds(rules, costs, host, lanes),
        "ratios": np.full(units, rules.reserve),
        "keys": np.zeros((units * lanes, 2 * most), dtype=np.int64),
        "codes": np.zeros((units * lanes, 2 * most), dtype=np.int64),
        "residues": np.zeros((units * lanes, int(limits[at.BLOCK])), dtype=np.int64),
        "ended": np.zeros((units * lanes, most), dtype=np.int64),
        "behind": np.zeros(units * lanes),
        "uses": np.full((units, max(size, 1)), -1, dtype=np.int64),
        "before": np.full((units, listed), -1, dtype=kind),
        "after": np.full((units, listed), -1, dtype=kind),
        "slots": np.full((units, slots, 3), [-1, -1, 0], dtype=np.int64),
        "idle": np.tile(np.arange(-1, -slots - 1, -1, dtype=np.int64), (units, 1)),
        "amounts": np.zeros((room, 3)),
        "counts": np.zeros((room, 3), dtype=np.int64),
    }
    return State(**tables, **_tables(costs, most))


def as_lists(state: State) -> State:
    """The tables as lists: single numbers of them are read in a third of an array's time."""
    tables: list[Any] = list(state)
    return State(*(table.tolist() for table in tables))


def _are_narrow(stream: RequestStream, rules: SchedulerRules) -> bool:
    """Whether no number of a request is beyond 32 bits: the largest are counts of a lane's tokens,
    each of which is one of some answer or drafted beyond its end, and what a request adds to them.
    """
    longest = int((stream.input_tokens + stream.output_tokens).max(initial=0))
    made = int(stream.output_tokens.sum())
    beyond = (2 + rules.draft) * len(stream) + len(stream.blocks)
    return made + longest + beyond < 1 << 31


def _limits(
    stream: RequestStream, rules: SchedulerRules, costs: StepCosts, policy: Scheduling
) -> Counts:
    engine = ENGINES.get(rules.engine, at.BY_BLOCKS)
    block = 1 if engine == at.BY_SLOTS else rules.block_tokens
    blocks = int(rules.cache_tokens) // block
    most = min(rules.max_sequences, rules.token_budget // (rules.draft + 1), len(stream), blocks)
    most = max(most, 1)
    out = np.zeros(at.LIMITS, dtype=np.int64)
    out[at.ENGINE], out[at.BLOCK], out[at.BLOCKS], out[at.MOST] = engine, block, blocks, most
    out[at.BUDGET], out[at.CONTEXT] = rules.token_budget, rules.context
    out[at.CHUNKED], out[at.CACHING] = rules.chunked, rules.prefix_cache
    out[at.MIXED] = rules.mixed or engine == at.BY_SLOTS
    out[at.FULL_PROMPT], out[at.LOOKAHEAD] = rules.full_prompt, rules.draft
    out[at.LPM] = rules.order == LONGEST_PREFIX and rules.prefix_cache
    out[at.LANES] = 1 if policy.pipelining.single else min(costs.stages, most)
    out[at.SUCCESSIVE], out[at.BALANCED] = policy.pipelining.successive, policy.pipelining.balanced
    out[at.AHEAD], out[at.INTERVAL] = policy.ahead, policy.stream_interval
    out[at.HOLD], out[at.BALANCE] = policy.hold_steps, policy.balance_steps
    return out


def _seconds(rules: SchedulerRules, costs: StepCosts, policy: Scheduling, lanes: int) -> Array:
    out = np.zeros(at.SECONDS)
    out[at.HOST], out[at.HOST_EACH] = policy.host_seconds, policy.host_seconds_per_sequence
    out[at.EXPOSED_EACH] = policy.exposed_seconds_per_sequence
    out[at.OVERLAPPED], out[at.FACTOR] = policy.overlapped, policy.reading_factor
    out[at.FLOOR], out[at.CAPTURED] = policy.prompt_floor_seconds, policy.captured_tokens
    out[at.HANDLING], out[at.HOLD_SHARE] = policy.handling_seconds, policy.hold_share
    out[at.ACCEPTED], out[at.RESERVE] = rules.accepted, rules.reserve
    out[at.SLOWEST] = costs.slowest_share if lanes > 1 else 1.0
    return out


def _requests(
    stream: RequestStream,
    rules: SchedulerRules,
    limits: Counts,
    read_elsewhere: bool,
    kind: np.dtype[Any],
) -> tuple[Counts, Counts, int]:
    """(rows of requests, nodes of all prompts, number of nodes). A node is the least number of
    whole blocks of the stream and of the engine: its id is that of its last block, as equal ids are
    equal prefixes."""
    count = len(stream)
    rows: Counts = np.zeros((count, at.REQUEST_COLUMNS), dtype=kind)
    rows[:, at.INPUT] = rows[:, at.LENGTH] = stream.input_tokens
    rows[:, at.OUTPUT], rows[:, at.KNOWN] = stream.output_tokens, stream.cached_tokens
    if limits[at.ENGINE] == at.BY_SLOTS:
        room = np.maximum(rules.context - stream.input_tokens, 1)
        rows[:, at.OUTPUT] = np.minimum(stream.output_tokens, room)
    if read_elsewhere:
        rows[:, at.KNOWN] = stream.input_tokens
    rows[:, [at.NEXT, at.SLOT]] = -1
    limits[at.NODE_TOKENS] = limits[at.WEIGHT] = 1
    if not limits[at.CACHING] or stream.block_tokens == 0 or not len(stream.blocks):
        return rows, np.zeros(1, dtype=np.int64), 0
    tokens = lcm(stream.block_tokens, int(limits[at.BLOCK]))
    each = tokens // stream.block_tokens
    limits[at.NODE_TOKENS], limits[at.WEIGHT] = tokens, tokens // limits[at.BLOCK]
    nodes = np.minimum(np.diff(stream.block_start) // each, stream.input_tokens // tokens)
    rows[:, at.NODE_COUNT] = nodes
    rows[:, at.NODES] = np.cumsum(nodes) - nodes
    owner = np.repeat(np.arange(count), nodes)
    place = np.arange(len(owner)) - rows[owner, at.NODES]
    ids = np.asarray(stream.blocks, dtype=np.int64)
    ids = ids[np.asarray(stream.block_start)[owner] + (place + 1) * each - 1]
    return rows, np.append(ids, 0), int(ids.max(initial=-1)) + 1


def _tables(costs: StepCosts, most: int) -> dict[str, Any]:
    """The costs at whole numbers of sequences."""
    batches = np.arange(min(most, int(costs.batch[-1])) + 1.0)

    def at_batches(rows: Array) -> Array:
        return np.array([np.interp(batches, costs.batch, row) for row in rows])

    return {
        "lengths": np.asarray(costs.length, dtype=np.float64),
        "decode": np.ascontiguousarray(at_batches(costs.decode.T).T),
        "chunk": np.asarray(costs.tokens, dtype=np.float64),
        "mixed": at_batches(costs.mixed),
        "everywhere": at_batches(costs.everywhere),
        "computed": np.asarray(costs.computed, dtype=np.float64),
        "deeper": np.asarray(costs.behind, dtype=np.float64),
    }
