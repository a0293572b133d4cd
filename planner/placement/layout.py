"""Layouts: how the ranks of a replica divide a model, and which divisions are legal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from planner.models.spec import ModelSpec
from planner.records import record


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


def layout_problem(spec: ModelSpec, layout: Layout) -> str:
    """Why ``layout`` cannot hold ``spec``; an empty string if it can.

    The rules are those of engines: heads divide over tp, key/value heads divide or are copied,
    experts divide over ep, expert and dense widths divide over their tensor-parallel width.
    """
    for name in ("tp", "dp", "pp", "ep", "replicas"):
        if getattr(layout, name) < 1:
            return f"{name} must be at least 1"
    if layout.pp > spec.layers:
        return f"pp {layout.pp} exceeds the {spec.layers} layers of {spec.id}"
    return _attention_problem(spec, layout) or _mlp_problem(spec, layout)


def _attention_problem(spec: ModelSpec, layout: Layout) -> str:
    for attention in spec.attention:
        if attention.heads % layout.tp:
            return f"tp {layout.tp} does not divide the {attention.heads} attention heads"
        if attention.kind == "gqa" and attention.kv_heads % layout.tp \
                and layout.tp % attention.kv_heads:
            return (f"tp {layout.tp} neither divides the {attention.kv_heads} key/value heads "
                    "nor is a multiple of them")
        if attention.kind == "linear" and attention.kv_heads % layout.tp:
            return f"tp {layout.tp} does not divide the {attention.kv_heads} linear key heads"
    if spec.vocab_size % layout.tp:
        return f"tp {layout.tp} does not divide the vocabulary of {spec.vocab_size}"
    return ""


def _mlp_problem(spec: ModelSpec, layout: Layout) -> str:
    experts = spec.experts
    if spec.dense_width and spec.dense_width % layout.tp:
        return f"tp {layout.tp} does not divide the MLP width {spec.dense_width}"
    if experts is None:
        if layout.dp > 1:
            return "a model without experts takes dp = 1 (use replicas)"
        if layout.ep > 1:
            return "a model without experts takes ep = 1"
        return ""
    if (layout.tp * layout.dp) % layout.ep:
        return f"ep {layout.ep} does not divide tp·dp = {layout.tp * layout.dp}"
    if experts.count % layout.ep:
        return f"ep {layout.ep} does not divide the {experts.count} experts"
    if experts.width % layout.moe_tp:
        return f"MoE tensor parallel {layout.moe_tp} does not divide the expert width " \
               f"{experts.width}"
    if experts.shared and experts.shared_width % layout.tp:
        return f"tp {layout.tp} does not divide the shared-expert width {experts.shared_width}"
    return ""


@cache
def stage_of_layer(layers: int, pp: int) -> tuple[int, ...]:
    """The pipeline stage of each layer: contiguous, as even as possible, longer stages first."""
    base, extra = divmod(layers, pp)
    return tuple(stage for stage in range(pp) for _ in range(base + (stage < extra)))


def powers_of_two(limit: int) -> list[int]:
    """1, 2, 4 … up to ``limit``."""
    return [1 << i for i in range(max(limit, 1).bit_length()) if 1 << i <= limit]


def replica_layouts(spec: ModelSpec, *, max_ranks: int, node: int,
                    fixed: dict[str, int | None]) -> Iterator[Layout]:
    """Every legal single-replica layout with at most ``max_ranks`` devices, in a fixed order.

    Searched: tp a power of two within a node (``node`` devices), dp and pp powers of two, ep = 1
    or tp·dp; values in ``fixed`` (tp, dp, pp, ep) replace the search.
    """
    def values(name: str, limit: int) -> list[int]:
        given = fixed.get(name)
        return [given] if given is not None else powers_of_two(limit)

    for tp in values("tp", min(node, max_ranks)):
        for dp in values("dp", max_ranks if spec.experts else 1):
            for pp in values("pp", max(1, max_ranks // (tp * dp))):
                if tp * dp * pp > max_ranks:
                    continue
                given = fixed.get("ep")
                wide = tp * dp if spec.experts else 1
                for ep in ([given] if given is not None else sorted({1, wide})):
                    layout = Layout(tp, dp, pp, ep)
                    if not layout_problem(spec, layout):
                        yield layout
