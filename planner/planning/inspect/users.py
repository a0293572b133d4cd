"""How many sequences fit at every length of a context, with a plan's weights on its layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from operator import mul

from planner.planning.answer.capacity import most_sequences, sequence_bytes
from planner.planning.inspect.reprice import Repriced
from planner.planning.space.assignment import Segment

SHORTEST = 1024
WIDE = "bf16"


@dataclass(frozen=True, slots=True)
class UsersPoint:
    """Sequences of all replicas that fit at ``context`` tokens each: with the plan's caches, and
    with the same weights and every cache in BF16. ``sequence_bytes`` of one on its fullest
    device. ``own``: the plan's sequences hold as many."""

    context: int
    users: int
    wide_users: int
    sequence_bytes: int
    own: bool = False


def users_that_fit(it: Repriced) -> tuple[UsersPoint, ...]:
    """Powers of two from 1,024 tokens (or half the plan's context) to the model's positions, and
    the plan's own context and what its sequences hold."""
    spec, plan, cached_tokens = it.question.spec, it.plan, it.question.workload.cached_tokens
    context = plan.workload.context_tokens
    lengths, n = (
        {context, cached_tokens, spec.max_context},
        min(SHORTEST, max(1, cached_tokens // 2)),
    )
    while n < spec.max_context:
        lengths.add(n)
        n *= 2
    own, wide = _users(it, sorted(lengths), ""), _users(it, sorted(lengths), WIDE)
    return tuple(
        UsersPoint(at, users, others, size, at == cached_tokens)
        for at, (users, size), (others, _) in zip(sorted(lengths), own, wide, strict=True)
    )


def _users(it: Repriced, lengths: list[int], layout: str) -> list[tuple[int, int]]:
    """(sequences of all replicas, bytes of one on its fullest device) at each length; ``layout``
    replaces that of every cache, empty: the plan's."""
    result, priced, plan = it.result, it.priced, it.plan
    model = result.space.model
    question = replace(it.question, usable_bytes=plan.memory_per_device.usable_bytes)
    if layout:
        question = replace(question, kv=(*question.kv, layout))
        last = len(question.schemes) + len(question.kv) - 1
        result = replace(
            result,
            segments=tuple(
                Segment(s.unit, s.layers, last) if model.units[s.unit].role == "cache" else s
                for s in result.segments
            ),
        )
    model = replace(model, question=question)
    out = []
    sizes = [sequence_bytes(model, result, priced.layout, i) for i in range(len(priced.stages))]
    for length in lengths:
        each = [max(1, size_at(length)) for size_at in sizes]
        users = most_sequences(question, priced, [partial(mul, size) for size in each])
        out.append((users * plan.layout.replicas, max(each)))
    return out
