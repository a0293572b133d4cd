"""How many requests, or how long ones, the memory of a replica holds: one rule for every verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planner.base.records import record
from planner.memory.overheads import Overheads
from planner.placement.layout import Layout


@record
class StageRoom:
    """What one rank of a pipeline stage has beside its weights and runtime.

    ``caches`` are the bytes of so many sequences, which grow with them; ``encoder`` is what a pass
    over images takes, ``outputs`` what is kept of it beside every other pass [B].
    """

    bytes: int
    caches: Callable[[int], int]
    encoder: int = 0
    outputs: int = 0


def replica_sequences(
    layout: Layout,
    stages: Sequence[StageRoom],
    counted: Overheads,
    *,
    chunk_tokens: int,
    step_tokens: int = 1,
) -> int:
    """The most sequences of one replica whose caches and activations fit every rank.

    Args:
        counted: what a rank holds beside them.
        chunk_tokens: tokens of a prompt that one pass reads.
        step_tokens: tokens of a sequence that a decode step passes.
    """

    def rank_sequences(stage: StageRoom) -> int:
        def used(sequences: int) -> int:
            slot = -(-sequences // layout.pp) * step_tokens
            passes = counted.activations(chunk_tokens=chunk_tokens, sequences=slot)
            return stage.caches(sequences) + max(passes + stage.outputs, stage.encoder)

        low, high = 0, 1
        while stage.caches(high) <= stage.bytes:
            high *= 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if used(middle) <= stage.bytes else (low, middle)
        return low

    return min(map(rank_sequences, stages)) * layout.dp


def largest_context(
    sequence_bytes: Callable[[int], int], free_bytes: int, sequences: int, *, page: int, limit: int
) -> int:
    """The longest context (whole pages, at most ``limit`` tokens) that fits.

    Args:
        sequence_bytes: bytes of one sequence of so many tokens on a rank, not decreasing [B].
        free_bytes: room on the rank [B].
        sequences: slots it holds.
        page: tokens of a cache page.
    """
    if sequences < 1:
        return 0
    low, high = 0, -(-limit // page) + 1
    while high - low > 1:
        middle = (low + high) // 2
        fits = sequences * sequence_bytes(middle * page) <= free_bytes
        low, high = (middle, high) if fits else (low, middle)
    return low * page
