"""Activations that a training step keeps for the backward pass, tensor by tensor.

Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models (arXiv
2205.05198), table 2, with every term as a tensor of the layer, so that gated MLPs, latent
attention and experts follow from the tensor rows: their GPT layer gives sbh(34 + 5as/h) exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from planner.base.errors import UnsupportedError
from planner.memory.training_setup import Stored, TrainingRecipe, TrainLayout, TrainSetup
from planner.models.spec import Attention, ModelSpec, TensorRow

Role = Literal["activation", "linear", "gate", "attention", "mask", "statistic"]
CHUNK = 64
"""Tokens of a chunk of the delta rule."""
MAMBA_CHUNK = 256
"""Tokens of a chunk of Mamba-2 (mamba_ssm's default)."""
COMPRESSED = ("csa", "hca", "swa")
_RECURRENT = ("delta", "kda", "mamba2")
_NAMES = {"mamba1": "Mamba-1", "conv": "short convolutions"}
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

    def bytes_of(self, tokens: int, recipe: TrainingRecipe) -> int:
        """Bytes for ``tokens`` tokens [B]."""
        return _storage(self.role, recipe).bytes_of(self.elements(tokens))


def _storage(role: Role, recipe: TrainingRecipe) -> Stored:
    return {
        "activation": recipe.activation,
        "linear": recipe.linear_input,
        "gate": recipe.gate_input,
        "attention": recipe.attention_output,
        "mask": _MASK,
        "statistic": _STATISTIC,
    }[role]


def rank_tokens(layout: TrainLayout, setup: TrainSetup) -> int:
    """Tokens of one micro-batch on one rank before sequence parallelism: s·b/cp."""
    return setup.seq * setup.micro_batch // layout.cp


def layer_tensors(
    spec: ModelSpec,
    layout: TrainLayout,
    setup: TrainSetup,
    layer: int,
) -> tuple[Saved, ...]:
    """Everything layer ``layer`` would keep without recompute."""
    rows = [r for r in spec.rows if r.part == "main" and layer in r.layers]
    shared = layout.tp if setup.sequence_parallel else 1
    here = [a for a in spec.attention if layer in a.layers]
    saved_tensors = [
        *_norms(spec, rows, here, layout.tp, shared),
        *(saved for a in here for saved in _attention(spec, rows, a, setup, layout.tp, shared)),
        *_feed_forward(spec, rows, layout, shared),
    ]
    if residual_width(spec) > spec.hidden_size:
        saved_tensors.append(
            Saved("residual streams", "activation", 2 * residual_width(spec), shared)
        )
    if setup.dropout:
        saved_tensors += [
            Saved("attention dropout mask", "mask", spec.hidden_size, shared),
            Saved("MLP dropout mask", "mask", spec.hidden_size, shared),
        ]
    if setup.mode == "lora":
        saved_tensors = [t for t in saved_tensors if not t.feeds or t.feeds in setup.lora_kinds]
        saved_tensors += _adapters(rows, spec, layout, setup)
    return tuple(saved_tensors)


def residual_width(spec: ModelSpec) -> int:
    """Features of a token between two layers: those of all residual streams, where a matrix mixes
    several before each half of a layer."""
    return max(
        [
            spec.hidden_size,
            *(row.shape[1] for row in spec.rows if row.fused.startswith("hc-") and row.is_matrix),
        ]
    )


def _norms(
    spec: ModelSpec,
    rows: list[TensorRow],
    here: list[Attention],
    tp: int,
    shared: int,
) -> Iterator[Saved]:
    """The input of every norm; a layer of an MLP alone has those of its hidden width."""
    attention = here[0] if here else spec.attention[0]
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
        elif attention.kind in COMPRESSED:
            pooled = attention.ratio if "compressor" in row.name else 1
            yield Saved(name, "activation", row.shape[0] // pooled, shared)
        elif "q_norm" in row.name:
            yield Saved(name, "activation", attention.heads * attention.head_dim, tp)
        else:
            yield Saved(name, "activation", _kv_heads(attention, tp) * attention.head_dim)


def _kv_heads(attention: Attention, tp: int) -> int:
    """Key/value heads of one rank; copied where tp exceeds them."""
    return max(attention.kv_heads // tp, 1)


def _gated(rows: list[TensorRow], a: Attention) -> bool:
    """Whether the query projection makes a gate for the output too."""
    return any(
        r.kind == "attention-qkv"
        and r.is_matrix
        and not r.kv_outputs
        and r.shape[0] == 2 * a.heads * a.head_dim
        for r in rows
    )


def _delta(spec: ModelSpec, a: Attention, tp: int, shared: int) -> Iterator[Saved]:
    """A gated delta net: what its projections and its convolution make, and what the chunked rule
    keeps: queries and keys of every value head with their norms, values, decay, beta, and a matrix
    of each chunk (flash-linear-attention, fla/ops/gated_delta_rule/chunk.py, save_for_backward).
    Kimi delta attention has a decay for every key element. The input of its norm is among the
    norms'."""
    keys, values = a.kv_heads * a.key_dim, a.heads * a.head_dim
    yield Saved(
        "attention input", "linear", spec.hidden_size, shared, "norm-output", "linear-attention"
    )
    yield Saved("convolution input", "activation", 2 * keys + values, tp)
    yield Saved("queries", "activation", a.heads * a.key_dim, tp)
    yield Saved("keys", "activation", a.heads * a.key_dim, tp)
    yield Saved("values", "activation", values, tp)
    yield Saved(
        "decay, beta and norms",
        "statistic",
        a.heads * (a.key_dim + 3 if a.rule == "kda" else 4),
        tp,
    )
    yield Saved("matrices of chunks", "activation", a.heads * CHUNK, tp)
    yield Saved("output gate", "activation", values, tp)
    yield Saved("attention output", "attention", values, tp)


def _mamba(spec: ModelSpec, a: Attention, tp: int, shared: int) -> Iterator[Saved]:
    """Mamba-2: what its projection and its convolution make, steps and decays in FP32, and a state
    of each chunk (state-spaces/mamba, mamba_ssm/ops/triton/ssd_combined.py, save_for_backward with
    the states made again). The input of its norm is among the norms'."""
    values, shared_parts = a.heads * a.head_dim, 2 * a.kv_heads * a.key_dim
    yield Saved(
        "attention input", "linear", spec.hidden_size, shared, "norm-output", "linear-attention"
    )
    yield Saved("convolution input", "activation", values + shared_parts, tp)
    yield Saved("convolution output", "activation", values + shared_parts, tp)
    yield Saved("steps and decays", "statistic", 2 * a.heads, tp)
    yield Saved(
        "states of chunks", "statistic", a.heads * a.head_dim * a.key_dim // MAMBA_CHUNK, tp
    )
    yield Saved("output gate", "activation", values, tp)
    yield Saved("attention output", "attention", values, tp)


def _compressed(
    spec: ModelSpec,
    rows: list[TensorRow],
    a: Attention,
    tp: int,
    shared: int,
) -> Iterator[Saved]:
    """DeepSeek-V4: inputs and outputs of its projections, keys and gates that are pooled (FP32),
    one entry for ``ratio`` tokens, the indexer's queries and keys. What its kernels keep beside is
    not known."""
    yield Saved("attention input", "linear", spec.hidden_size, shared, "norm-output", "mla-kv")
    yield Saved("compressed query", "linear", a.q_lora_rank or 0, shared, "norm-output", "mla-q")
    yield Saved("queries", "activation", a.heads * a.head_dim, tp, "mla-up")
    yield Saved("key and value", "activation", a.head_dim, shared)
    pooled = sum(r.shape[0] for r in rows if r.is_matrix and "compressor.w" in r.name)
    if pooled:
        yield Saved("keys and gates to pool", "statistic", pooled, shared)
        yield Saved("compressed entries", "activation", a.head_dim // a.ratio, shared)
    if a.indexer_heads:
        yield Saved(
            "indexer queries and keys",
            "activation",
            a.indexer_heads * (a.indexer_dim + 1) + a.indexer_dim // a.ratio,
        )
    low = sum(r.shape[0] for r in rows if r.kind == "attention-out" and r.shard == "column")
    yield Saved("outputs of head groups", "linear", low, tp, "", "attention-out")


def _attention(
    spec: ModelSpec, rows: list[TensorRow], a: Attention, setup: TrainSetup, tp: int, shared: int
) -> Iterator[Saved]:
    if a.kind == "linear":
        if a.rule not in _RECURRENT:
            raise UnsupportedError(
                f"{spec.id}: activations of {_NAMES[a.rule]} in training are not modelled",
                hint="train handles grouped-query, latent and compressed attention, delta nets "
                "and Mamba-2",
            )
        yield from (_mamba if a.rule == "mamba2" else _delta)(spec, a, tp, shared)
        return
    if a.kind == "mla":
        yield from _latent(spec, a, tp, shared)
        values = a.value_dim
    elif a.kind in COMPRESSED:
        yield from _compressed(spec, rows, a, tp, shared)
        values = a.value_dim
    else:
        values = a.value_dim or a.head_dim
        yield Saved(
            "attention input", "linear", spec.hidden_size, shared, "norm-output", "attention-qkv"
        )
        yield Saved("queries", "activation", a.heads * a.head_dim, tp)
        yield Saved("keys", "activation", _kv_heads(a, tp) * a.head_dim)
        yield Saved("values", "activation", _kv_heads(a, tp) * values)
        if _gated(rows, a):
            yield Saved("output gate", "activation", a.heads * values, tp)
            yield Saved("attention output before its gate", "activation", a.heads * values, tp)
    if setup.kernel == "flash":
        yield Saved("softmax statistics", "statistic", a.heads, tp)
    else:
        scores = a.heads * _attended(a, setup.seq)
        yield Saved("softmax output", "activation", scores, tp, "scores")
        if setup.dropout:
            yield Saved("softmax dropout mask", "mask", scores, tp, "scores")
            yield Saved("softmax dropout output", "activation", scores, tp, "scores")
    yield Saved("attention output", "attention", a.heads * values, tp)


def _attended(a: Attention, seq: int) -> int:
    """Entries that a query of ``seq`` tokens scores: its window's, and those of the compressed past
    that it may choose."""
    near = min(a.window, seq) if a.window else seq
    if a.kind not in ("csa", "hca"):
        return near
    return near + min(seq // a.ratio, a.indexer_topk or seq)


def _latent(spec: ModelSpec, a: Attention, tp: int, shared: int) -> Iterator[Saved]:
    """Latent attention: inputs of the down and up projections, and what the latter make."""
    yield Saved("attention input", "linear", spec.hidden_size, shared, "norm-output", "mla-kv")
    if a.q_lora_rank is not None:
        yield Saved("compressed query", "linear", a.q_lora_rank, shared, "norm-output", "mla-q")
    yield Saved(
        "compressed key and value", "linear", a.kv_lora_rank, shared, "norm-output", "mla-kv"
    )
    width = a.heads * (a.nope_dim + a.rope_dim)
    yield Saved("queries", "activation", width, tp, "mla-up")
    yield Saved("keys", "activation", width, tp, "mla-up")
    yield Saved("values", "activation", a.heads * a.value_dim, tp, "mla-up")
    if a.indexer_topk and a.indexer_heads:
        yield Saved(
            "indexer queries and keys",
            "activation",
            a.indexer_heads * (a.indexer_dim + 1) + a.indexer_dim,
        )


def _widths(rows: list[TensorRow], up: str, down: str) -> tuple[int, int]:
    """(outputs of the first projections, inputs of the last): 2·I and I of a gated MLP."""
    first = sum(r.shape[0] for r in rows if r.kind == up and r.is_matrix)
    return first, sum(r.shape[1] for r in rows if r.kind == down and r.is_matrix)


def _feed_forward(
    spec: ModelSpec, rows: list[TensorRow], layout: TrainLayout, shared: int
) -> Iterator[Saved]:
    """Dense MLP, or router, dispatched tokens and experts; routing is taken as balanced.

    Ranks of an expert group hold k·etp/tp copies of each token of theirs; the routing
    weights are applied before the last projection, so that its output is not kept.
    """
    for prefix, label in (("mlp", "MLP"), ("shared", "shared expert")):
        up, down = _widths(rows, prefix + "-gate-up", prefix + "-down")
        if up:
            if prefix == "mlp":
                yield Saved(
                    "MLP input", "linear", spec.hidden_size, shared, "norm-output", "mlp-gate-up"
                )
            yield Saved(f"{label} activation input", "gate", up, layout.tp)
            yield Saved(
                f"{label} activation output",
                "linear",
                down,
                layout.tp,
                "gate-output",
                prefix + "-down",
            )
    up, down = _widths(rows, "experts-gate-up", "experts-down")
    if spec.experts is None or not up:
        return
    k = spec.experts.per_token
    yield Saved(
        "router and shared input",
        "activation",
        spec.hidden_size,
        shared,
        "norm-output",
        "shared-gate-up",
    )
    yield Saved("router scores", "statistic", spec.experts.count + k, shared)
    yield Saved(
        "dispatched tokens",
        "linear",
        k * layout.etp * spec.hidden_size,
        layout.tp,
        "",
        "experts-gate-up",
    )
    yield Saved("experts activation input", "gate", k * up, layout.tp)
    yield Saved(
        "experts activation output", "linear", k * down, layout.tp, "gate-output", "experts-down"
    )


def _adapters(
    rows: list[TensorRow],
    spec: ModelSpec,
    layout: TrainLayout,
    setup: TrainSetup,
) -> Iterator[Saved]:
    """The rank-wide tensor between the factors of every adapter."""
    dense = sum(1 for r in rows if r.is_matrix and r.kind in setup.lora_kinds and r.experts == 1)
    routed = sum(1 for r in rows if r.is_matrix and r.kind in setup.lora_kinds and r.experts > 1)
    if dense:
        yield Saved("adapters", "activation", setup.lora_rank * dense)
    if routed and spec.experts is not None:
        yield Saved(
            "expert adapters",
            "activation",
            setup.lora_rank * routed * layout.etp * spec.experts.per_token,
            layout.tp,
        )


def after_recompute(
    tensors: tuple[Saved, ...],
    spec: ModelSpec,
    layout: TrainLayout,
    setup: TrainSetup,
) -> tuple[Saved, ...]:
    """What is left of ``tensors`` under the recompute setting; full keeps the layer's input."""
    if setup.recompute == "full":
        shared = layout.tp if setup.sequence_parallel else 1
        return (Saved("layer input", "activation", residual_width(spec), shared),)
    if setup.recompute == "selective":
        return tuple(t for t in tensors if t.group not in setup.recipe.selective)
    return tensors
