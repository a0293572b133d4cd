"""Activations that a training step keeps for the backward pass, tensor by tensor.

Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models (arXiv
2205.05198), table 2, with every term as a tensor of the layer, so that gated MLPs, latent
attention and experts follow from the tensor rows: their GPT layer gives sbh(34 + 5as/h) exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from planner.errors import UnsupportedError
from planner.memory.training_setup import Recipe, Stored, TrainLayout, TrainSetup
from planner.memory.training_states import chunk_layers
from planner.models.spec import Attention, ModelSpec, TensorRow

Role = Literal["activation", "linear", "gate", "attention", "mask", "statistic"]
CHUNK = 64
"""Tokens of a chunk of the delta rule."""
_MASK, _STATISTIC = Stored(8), Stored(32)


@dataclass(frozen=True, slots=True)
class Saved:
    """One tensor kept by a layer: ``width``/``divisor`` elements a token on one rank.

    ``role`` decides how it is stored. ``group`` is the part of the layer that selective recompute
    may drop, "" for none. ``feeds`` is the module kind whose weight gradient alone needs it ("" if
    the backward pass needs it anyway).
    """

    name: str
    role: Role
    width: int
    divisor: int = 1
    group: str = ""
    feeds: str = ""

    def elements(self, tokens: int) -> int:
        """Elements for ``tokens`` tokens; whole under the rules of ``train_problem``."""
        return tokens * self.width // self.divisor

    def bytes_of(self, tokens: int, recipe: Recipe) -> int:
        """Bytes for ``tokens`` tokens [B]."""
        return _storage(self.role, recipe).bytes_of(self.elements(tokens))


def _storage(role: Role, recipe: Recipe) -> Stored:
    return {"activation": recipe.activation, "linear": recipe.linear_input,
            "gate": recipe.gate_input, "attention": recipe.attention_output, "mask": _MASK,
            "statistic": _STATISTIC}[role]


def rank_tokens(layout: TrainLayout, setup: TrainSetup) -> int:
    """Tokens of one micro-batch on one rank before sequence parallelism: s·b/cp."""
    return setup.seq * setup.micro_batch // layout.cp


def layer_tensors(spec: ModelSpec, layout: TrainLayout, setup: TrainSetup, layer: int,
                  ) -> tuple[Saved, ...]:
    """Everything layer ``layer`` would keep without recompute."""
    rows = [r for r in spec.rows if r.part == "main" and layer in r.layers]
    shared = layout.tp if setup.sequence_parallel else 1
    attention = next(a for a in spec.attention if layer in a.layers)
    found = [*_norms(spec, rows, attention, layout.tp, shared),
             *_attention(spec, rows, attention, setup, layout.tp, shared),
             *_feed_forward(spec, rows, layer, layout, shared)]
    if setup.dropout:
        found += [Saved("attention dropout mask", "mask", spec.hidden_size, shared),
                  Saved("MLP dropout mask", "mask", spec.hidden_size, shared)]
    if setup.mode == "lora":
        found = [t for t in found if not t.feeds or t.feeds in setup.lora_kinds]
        found += _adapters(rows, spec, layout, setup)
    return tuple(found)


def _norms(spec: ModelSpec, rows: list[TensorRow], attention: Attention, tp: int, shared: int,
           ) -> Iterator[Saved]:
    """The input of every norm."""
    for row in rows:
        if row.kind != "norm" or not row.name.endswith("weight"):
            continue
        name = row.name.split(".")[-2].replace("_", " ") + " input"
        if row.shape[0] == spec.hidden_size:
            yield Saved(name, "activation", spec.hidden_size, shared)
        elif attention.kind == "linear":
            yield Saved(name, "activation", attention.heads * attention.head_dim, tp)
        elif attention.kind == "mla":
            yield Saved(name, "activation", row.shape[0], shared)
        elif "q_norm" in row.name:
            yield Saved(name, "activation", attention.heads * attention.head_dim, tp)
        else:
            yield Saved(name, "activation", _kv_heads(attention, tp) * attention.head_dim)


def _kv_heads(attention: Attention, tp: int) -> int:
    """Key/value heads of one rank; copied where tp exceeds them."""
    return max(attention.kv_heads // tp, 1)


def _gated(rows: list[TensorRow], a: Attention) -> bool:
    """Whether the query projection makes a gate for the output too."""
    return any(r.kind == "attention-qkv" and r.is_matrix and not r.kv_outputs
               and r.shape[0] == 2 * a.heads * a.head_dim for r in rows)


def _delta(spec: ModelSpec, a: Attention, tp: int, shared: int) -> Iterator[Saved]:
    """A gated delta net: what its projections and its convolution make, and what the chunked rule
    keeps: queries and keys of every value head with their norms, values, decay, beta, and a matrix
    of each chunk (flash-linear-attention, fla/ops/gated_delta_rule/chunk.py, save_for_backward).
    The input of its norm is among the norms'."""
    keys, values = a.kv_heads * a.key_dim, a.heads * a.head_dim
    yield Saved("attention input", "linear", spec.hidden_size, shared, "norm-output",
                "linear-attention")
    yield Saved("convolution input", "activation", 2 * keys + values, tp)
    yield Saved("queries", "activation", a.heads * a.key_dim, tp)
    yield Saved("keys", "activation", a.heads * a.key_dim, tp)
    yield Saved("values", "activation", values, tp)
    yield Saved("decay, beta and norms", "statistic", 4 * a.heads, tp)
    yield Saved("matrices of chunks", "activation", a.heads * CHUNK, tp)
    yield Saved("output gate", "activation", values, tp)
    yield Saved("attention output", "attention", values, tp)


def _attention(spec: ModelSpec, rows: list[TensorRow], a: Attention, setup: TrainSetup, tp: int,
               shared: int) -> Iterator[Saved]:
    if a.kind == "linear" and a.key_dim:
        yield from _delta(spec, a, tp, shared)
        return
    if a.kind not in ("gqa", "mla"):
        raise UnsupportedError(
            f"{spec.id}: activations of {a.kind} attention in training are not modelled",
            hint="train handles grouped-query and latent attention, and gated delta nets")
    if a.kind == "mla":
        yield from _latent(spec, a, tp, shared)
        values = a.value_dim
    else:
        values = a.value_dim or a.head_dim
        yield Saved("attention input", "linear", spec.hidden_size, shared, "norm-output",
                    "attention-qkv")
        yield Saved("queries", "activation", a.heads * a.head_dim, tp)
        yield Saved("keys", "activation", _kv_heads(a, tp) * a.head_dim)
        yield Saved("values", "activation", _kv_heads(a, tp) * values)
        if _gated(rows, a):
            yield Saved("output gate", "activation", a.heads * values, tp)
            yield Saved("attention output before its gate", "activation", a.heads * values, tp)
    if setup.kernel == "flash":
        yield Saved("softmax statistics", "statistic", a.heads, tp)
    else:
        scores = a.heads * (min(a.window, setup.seq) if a.window else setup.seq)
        yield Saved("softmax output", "activation", scores, tp, "scores")
        if setup.dropout:
            yield Saved("softmax dropout mask", "mask", scores, tp, "scores")
            yield Saved("softmax dropout output", "activation", scores, tp, "scores")
    yield Saved("attention output", "attention", a.heads * values, tp)


def _latent(spec: ModelSpec, a: Attention, tp: int, shared: int) -> Iterator[Saved]:
    """Latent attention: inputs of the down and up projections, and what the latter make."""
    yield Saved("attention input", "linear", spec.hidden_size, shared, "norm-output", "mla-kv")
    if a.q_lora_rank is not None:
        yield Saved("compressed query", "linear", a.q_lora_rank, shared, "norm-output", "mla-q")
    yield Saved("compressed key and value", "linear", a.kv_lora_rank, shared, "norm-output",
                "mla-kv")
    width = a.heads * (a.nope_dim + a.rope_dim)
    yield Saved("queries", "activation", width, tp, "mla-up")
    yield Saved("keys", "activation", width, tp, "mla-up")
    yield Saved("values", "activation", a.heads * a.value_dim, tp, "mla-up")
    if a.indexer_topk and a.indexer_heads:
        yield Saved("indexer queries and keys", "activation",
                    a.indexer_heads * (a.indexer_dim + 1) + a.indexer_dim)


def _widths(rows: list[TensorRow], up: str, down: str) -> tuple[int, int]:
    """(outputs of the first projections, inputs of the last): 2·I and I of a gated MLP."""
    first = sum(r.shape[0] for r in rows if r.kind == up and r.is_matrix)
    return first, sum(r.shape[1] for r in rows if r.kind == down and r.is_matrix)


def _feed_forward(spec: ModelSpec, rows: list[TensorRow], layer: int, layout: TrainLayout,
                  shared: int) -> Iterator[Saved]:
    """Dense MLP, or router, dispatched tokens and experts; routing is taken as balanced.

    Ranks of an expert group hold k·etp/tp copies of each token of theirs; the routing
    weights are applied before the last projection, so that its output is not kept.
    """
    for prefix, label in (("mlp", "MLP"), ("shared", "shared expert")):
        up, down = _widths(rows, prefix + "-gate-up", prefix + "-down")
        if up:
            if prefix == "mlp":
                yield Saved("MLP input", "linear", spec.hidden_size, shared, "norm-output",
                            "mlp-gate-up")
            yield Saved(f"{label} activation input", "gate", up, layout.tp)
            yield Saved(f"{label} activation output", "linear", down, layout.tp, "gate-output",
                        prefix + "-down")
    up, down = _widths(rows, "experts-gate-up", "experts-down")
    if spec.experts is None or not up:
        return
    k = spec.experts.per_token
    yield Saved("router and shared input", "activation", spec.hidden_size, shared, "norm-output",
                "shared-gate-up")
    yield Saved("router scores", "statistic", spec.experts.count + k, shared)
    yield Saved("dispatched tokens", "linear", k * layout.etp * spec.hidden_size, layout.tp, "",
                "experts-gate-up")
    yield Saved("experts activation input", "gate", k * up, layout.tp)
    yield Saved("experts activation output", "linear", k * down, layout.tp, "gate-output",
                "experts-down")


def _adapters(rows: list[TensorRow], spec: ModelSpec, layout: TrainLayout, setup: TrainSetup,
              ) -> Iterator[Saved]:
    """The rank-wide tensor between the factors of every adapter."""
    dense = sum(1 for r in rows if r.is_matrix and r.kind in setup.lora_kinds and r.experts == 1)
    routed = sum(1 for r in rows if r.is_matrix and r.kind in setup.lora_kinds and r.experts > 1)
    if dense:
        yield Saved("adapters", "activation", setup.lora_rank * dense)
    if routed and spec.experts is not None:
        yield Saved("expert adapters", "activation", setup.lora_rank * routed * layout.etp
                    * spec.experts.per_token, layout.tp)


def kept(tensors: tuple[Saved, ...], spec: ModelSpec, layout: TrainLayout, setup: TrainSetup,
         ) -> tuple[Saved, ...]:
    """What is left of ``tensors`` under the recompute setting; full keeps the layer's input."""
    if setup.recompute == "full":
        shared = layout.tp if setup.sequence_parallel else 1
        return (Saved("layer input", "activation", spec.hidden_size, shared),)
    if setup.recompute == "selective":
        return tuple(t for t in tensors if t.group not in setup.recipe.selective)
    return tensors


def in_flight(layout: TrainLayout, setup: TrainSetup, stage: int) -> tuple[int, ...]:
    """Micro-batches whose activations each chunk of rank ``stage`` keeps at the peak.

    One-forward-one-backward: min(m, pp − stage). Interleaved over v chunks: v·pp + pp − 1 − 2·stage
    chunk passes, handed out pp at a time (Narayanan et al., arXiv 2104.04473; the first rank's is
    the factor 1 + (p − 1)/(p·v) of Korthikanti, section 4.2.3).
    """
    m = setup.micro_batches
    if layout.chunks == 1:
        depth = layout.pp - stage
        return (depth if m is None else min(m, depth),)
    total = layout.chunks * layout.pp + layout.pp - 1 - 2 * stage
    total = total if m is None else min(total, m * layout.chunks)
    counts = [0] * layout.chunks
    for done in range(total):
        counts[done // layout.pp % layout.chunks] += 1
    return tuple(counts)


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes of one rank: kept to the backward pass, and made again for the layer at work [B]."""

    kept: int
    recomputed: int


def rank_activations(spec: ModelSpec, layout: TrainLayout, setup: TrainSetup, stage: int,
                     ) -> Activations:
    """Activations of a rank of pipeline stage ``stage`` at its peak."""
    tokens, recipe = rank_tokens(layout, setup), setup.recipe
    total, again = 0, 0
    sizes: dict[tuple[Saved, ...], tuple[int, int]] = {}
    flights = in_flight(layout, setup, stage)
    for layers, passes in zip(chunk_layers(spec, layout, stage), flights, strict=True):
        for layer in layers:
            every = layer_tensors(spec, layout, setup, layer)
            if every not in sizes:
                left = kept(every, spec, layout, setup)
                size = sum(t.bytes_of(tokens, recipe) for t in left)
                full = sum(t.bytes_of(tokens, recipe) for t in every)
                dropped = full if setup.recompute == "full" else full - size
                sizes[every] = size, dropped
            total += sizes[every][0] * passes
            again = max(again, sizes[every][1])
    for item, passes in _ends(spec, layout, setup, stage, flights):
        total += item.bytes_of(tokens, recipe) * passes
    return Activations(total, again)


def _ends(spec: ModelSpec, layout: TrainLayout, setup: TrainSetup, stage: int,
          flights: tuple[int, ...]) -> Iterator[tuple[Saved, int]]:
    """Embedding dropout on the first stage; final norm, head input and FP32 logits on the last."""
    shared = layout.tp if setup.sequence_parallel else 1
    if stage == 0 and setup.dropout:
        yield Saved("embedding dropout mask", "mask", spec.hidden_size, shared), flights[0]
    if stage == layout.pp - 1:
        yield Saved("final norm input", "activation", spec.hidden_size, shared), 1
        if setup.mode == "full":
            yield Saved("head input", "activation", spec.hidden_size, shared), 1
        yield Saved("logits", "statistic", spec.vocab_size, layout.tp), 1
