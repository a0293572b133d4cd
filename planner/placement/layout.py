"""Layouts: how the ranks of a replica divide a model, and which divisions are legal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from math import isqrt

from planner.base.records import record
from planner.messages.message import Text, message
from planner.models.spec import ModelSpec


@record
class Layout:
    """Ranks of one replica: ``tp`` × ``dp`` × ``pp``; ``ep`` divides ``tp``·``dp``.

    tp = attention tensor parallel, dp = attention data parallel, pp = pipeline stages,
    ep = expert parallel. MoE tensor parallel is tp·dp/ep.
    """

    tp: int = 1
    dp: int = 1
    pp: int = 1
    ep: int = 1
    replicas: int = 1

    @property
    def ranks(self) -> int:
        """Devices of one replica."""
        return self.tp * self.dp * self.pp

    @property
    def devices(self) -> int:
        """Devices of the whole deployment."""
        return self.ranks * self.replicas

    @property
    def moe_tp(self) -> int:
        """Tensor-parallel width of the experts."""
        return self.tp * self.dp // self.ep


def layout_problem(spec: ModelSpec, layout: Layout) -> Text:
    """Why ``layout`` cannot hold ``spec``; an empty string if it can.

    The rules are those of engines: heads divide over tp, key/value heads divide or are copied,
    experts divide over ep, expert and dense widths divide over their tensor-parallel width.
    """
    for name in ("tp", "dp", "pp", "ep", "replicas"):
        if getattr(layout, name) < 1:
            return message("refusals.axis_is_at_least_1", axis=name)
    return shape_problem(spec, layout.tp, layout.dp, layout.pp) or _experts_problem(spec, layout)


def shape_problem(spec: ModelSpec, tp: int, dp: int, pp: int) -> Text:
    """Why no layout of ``tp`` × ``dp`` × ``pp`` can hold ``spec``, whatever its ep; empty if one
    may."""
    return _depth_problem(spec, pp) or _width_problem(spec, tp) or _copies_problem(spec, dp)


def _depth_problem(spec: ModelSpec, pp: int) -> Text:
    if pp > 1 and any(attention.borrows for attention in spec.attention):
        return message("refusals.layers_of_read_caches_of", m=spec.id)
    return (
        message("refusals.pp_exceeds_layers_of", a=pp, layers=spec.layers, m=spec.id)
        if pp > spec.layers
        else ""
    )


def _width_problem(spec: ModelSpec, tp: int) -> Text:
    """What ``tp`` does not divide: heads, the vocabulary, widths of dense and shared MLPs."""
    for attention in spec.attention:
        if attention.heads % tp:
            return message("refusals.tp_does_not_divide_attention", a=tp, heads=attention.heads)
        if attention.kind == "gqa" and attention.kv_heads % tp and tp % attention.kv_heads:
            return message(
                "refusals.tp_neither_divides_key_value", a=tp, kv_heads=attention.kv_heads
            )
        if (
            attention.kind == "linear"
            and attention.kv_heads % tp
            and (attention.rule != "mamba2" or tp % attention.kv_heads)
        ):
            return message("refusals.tp_does_not_divide_linear", a=tp, kv_heads=attention.kv_heads)
    if spec.vocab_size % tp:
        return message("refusals.tp_does_not_divide_vocabulary", a=tp, vocab_size=spec.vocab_size)
    if spec.dense_width and spec.dense_width % tp:
        return message("refusals.tp_does_not_divide_mlp", a=tp, dense_width=spec.dense_width)
    experts = spec.experts
    if experts is not None and experts.shared and experts.shared_width % tp:
        return message(
            "refusals.tp_does_not_divide_shared", a=tp, shared_width=experts.shared_width
        )
    return ""


def _copies_problem(spec: ModelSpec, dp: int) -> Text:
    if dp > 1 and spec.experts is None:
        return message("refusals.model_without_experts_takes_dp")
    return ""


def _experts_problem(spec: ModelSpec, layout: Layout) -> Text:
    experts = spec.experts
    if experts is None:
        return message("refusals.model_without_experts_takes_ep") if layout.ep > 1 else ""
    if (layout.tp * layout.dp) % layout.ep:
        return message("refusals.ep_does_not_divide_tp", a=layout.ep, b=layout.tp * layout.dp)
    if experts.count % layout.ep:
        return message("refusals.ep_does_not_divide_experts", a=layout.ep, count=experts.count)
    if experts.width % layout.moe_tp:
        return message(
            "refusals.moe_tensor_parallel_does_not", moe_tp=layout.moe_tp, width=experts.width
        )
    return ""


@cache
def stage_of_layer(layers: int, pp: int) -> tuple[int, ...]:
    """The pipeline stage of each layer: contiguous, as even as possible, longer stages first."""
    base, extra = divmod(layers, pp)
    return tuple(stage for stage in range(pp) for _ in range(base + (stage < extra)))


def powers_of_two(limit: int) -> list[int]:
    """1, 2, 4 … up to ``limit``."""
    return [1 << i for i in range(max(limit, 1).bit_length()) if 1 << i <= limit]


def device_counts(limit: int) -> list[int]:
    """Numbers of devices that are tried where none is given: 1, 2, 3, 4, 6, 8, 12 … (2^k and 3·2^k)
    up to ``limit``."""
    return sorted(
        {p * factor for p in powers_of_two(limit) for factor in (1, 3) if p * factor <= limit}
    )


@cache
def divisors(number: int) -> tuple[int, ...]:
    """Every whole divisor, in order."""
    low = [i for i in range(1, isqrt(number) + 1) if number % i == 0]
    return (*low, *(number // i for i in reversed(low) if i * i != number))


Considered = tuple[Layout, Text]
"""A layout of one replica, and why it is not a candidate (empty: it is one)."""


def considered_layouts(
    spec: ModelSpec, *, counts: Sequence[int], node: int, fixed: Mapping[str, int | None]
) -> Iterator[Considered]:
    """Every layout of as many devices as one of ``counts``, each once, in a fixed order.

    tp, dp and pp are whole numbers whose product is a count, ep a divisor of tp·dp (1 for a model
    without experts); values in ``fixed`` (tp, dp, pp, ep) replace the search. A tp wider than a
    ``node`` is priced where it is given.
    """
    problem_of: dict[int, Text] = {}
    for tp, dp, pp in sorted({shape for count in counts for shape in _shapes(count, fixed)}):
        if tp not in problem_of:
            wide = fixed.get("tp") is None and tp > node
            problem_of[tp] = _width_problem(spec, tp) or (
                message("refusals.tp_is_wider_than_node", a=tp, node=node, c=tp) if wide else ""
            )
        shared = problem_of[tp] or _depth_problem(spec, pp) or _copies_problem(spec, dp)
        given = fixed.get("ep")
        every = divisors(tp * dp) if spec.experts else (1,)
        for ep in every if given is None else (given,):
            layout = Layout(tp, dp, pp, ep)
            yield layout, shared or _experts_problem(spec, layout)


def _shapes(count: int, fixed: Mapping[str, int | None]) -> Iterator[tuple[int, int, int]]:
    """(tp, dp, pp) whose product is ``count``, with the values of ``fixed``."""
    tp, dp, pp = (fixed.get(name) for name in ("tp", "dp", "pp"))
    for divisor in divisors(count) if tp is None else (tp,):
        rest, over = divmod(count, divisor)
        if over:
            continue
        for other in divisors(rest) if pp is None else (pp,):
            copies, over = divmod(rest, other)
            if not over and dp in (None, copies):
                yield divisor, copies, other
