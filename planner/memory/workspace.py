"""Temporary tensors of a forward pass and of sampling on one rank: which are alive together.

Formulas are sums of tensor sizes. A step holds the residual stream, the tensors of the widest
module, and at its end the logits; sampling starts when the layers' own tensors are freed, so a
peak is the larger of the two, not their sum. Buffers that an engine keeps (expert workspaces,
communication) are in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.base.units import MIB
from planner.memory.resident import Line
from planner.models.spec import Attention, ModelSpec
from planner.placement.layout import Layout

SPLIT_TOKENS = 256
"""Tokens of one part of a long sequence in split decode attention (FlashDecoding's block)."""
MAX_SPLITS = 32
"""Most parts a sequence is cut into."""
SPLIT_SLOTS = 132
"""Parts in flight: larger batches fill the multiprocessors (an H100's 132) unsplit."""


@dataclass(frozen=True, slots=True)
class PassShape:
    """One forward pass on a rank: ``tokens`` in the widest step, ``sequences`` that are sampled.

    ``width`` is the bytes of an activation element, ``context`` the longest sequence. ``sampler``
    is what sampling holds beside the logits [B per sequence and vocabulary entry].
    ``gathered``: every rank holds the logits of the whole vocabulary.
    """

    tokens: int
    sequences: int
    context: int
    width: int = 2
    sampler: int = 4
    gathered: bool = False


def attention_bytes(attention: Attention, layout: Layout, run: PassShape) -> int:
    """Query, keys, values and output of one attention layer on a rank [B]."""
    heads = attention.heads // layout.tp
    if attention.kind == "mla":
        key = attention.nope_dim + attention.rope_dim
        width = (
            heads * (2 * key + 2 * attention.value_dim)
            + (attention.q_lora_rank or 0)
            + attention.kv_lora_rank
            + attention.rope_dim
        )
    elif attention.kind == "linear":
        keys = max(attention.kv_heads // layout.tp, 1) * attention.key_dim
        width = 2 * keys + 3 * heads * attention.head_dim
    else:
        shared = 1 if attention.kind != "gqa" else max(attention.kv_heads // layout.tp, 1)
        width = 2 * heads * attention.head_dim + 2 * shared * attention.head_dim
    return run.tokens * width * run.width


def dense_bytes(spec: ModelSpec, layout: Layout, run: PassShape) -> int:
    """Gate, up and their product in the widest dense or shared MLP [B]."""
    width = spec.dense_width
    if spec.experts is not None:
        width = max(width, spec.experts.shared_width)
    return run.tokens * 3 * (width // layout.tp) * run.width


def dispatch_bytes(spec: ModelSpec, layout: Layout, run: PassShape) -> int:
    """Expert workspace [B]: gate and up, their product, and the output of each token–expert pair.

    Pairs are those that fall on one rank when they spread evenly; ranks under attention data
    parallel receive the tokens of all.
    """
    experts = spec.experts
    if experts is None:
        return 0
    pairs = -(-run.tokens * layout.dp * experts.per_token // layout.ep)
    width = experts.matrices * experts.width // layout.moe_tp + (experts.latent or spec.hidden_size)
    return pairs * width * run.width


def split_attention_bytes(spec: ModelSpec, layout: Layout, run: PassShape) -> int:
    """FP32 partial outputs and maxima of split decode attention [B], one layer at a time."""
    parts = min(MAX_SPLITS, -(-run.context // SPLIT_TOKENS))
    sizes = []
    for attention in (a for a in spec.attention if a.rule == "delta"):
        value = attention.kv_lora_rank or attention.value_dim or attention.head_dim
        sizes.append(attention.heads // layout.tp * (value + 2) * 4)
    return min(run.sequences * parts, SPLIT_SLOTS) * max(sizes, default=0)


def logits_bytes(spec: ModelSpec, layout: Layout, run: PassShape) -> int:
    """Logits of the sampled sequences and what sampling holds beside them [B]."""
    vocab = spec.vocab_size if run.gathered else spec.vocab_size // layout.tp
    return run.sequences * vocab * (run.width + run.sampler)


def collective_bytes(spec: ModelSpec, layout: Layout, run: PassShape) -> int:
    """Buffers for messages [B]: two of the residual stream where ranks share a layer, at least
    8 MiB each (custom all-reduce); dispatched and combined expert inputs under ep."""
    size = 0
    if layout.tp > 1:
        size += 2 * max(8 * MIB, run.tokens * spec.hidden_size * run.width)
    if spec.experts is not None and layout.ep > 1:
        pairs = -(-run.tokens * spec.experts.per_token // layout.ep)
        size += 2 * pairs * (spec.experts.latent or spec.hidden_size) * run.width
    return size


def peak_lines(
    spec: ModelSpec,
    layout: Layout,
    run: PassShape,
    *,
    kept_experts: bool = True,
    samples: bool = True,
) -> list[Line]:
    """The parts of the peak on one rank, whose sum is the peak.

    ``kept_experts``: the expert workspace is not freed before sampling. ``samples`` is False on
    pipeline stages before the last.
    """
    residual = 2 * run.tokens * spec.hidden_size * run.width
    experts = dispatch_bytes(spec, layout, run)
    widest = max(
        dense_bytes(spec, layout, run), *(attention_bytes(a, layout, run) for a in spec.attention)
    )
    logits = logits_bytes(spec, layout, run) if samples else 0
    lines = [Line("residual-stream", residual, "hidden state and residual of every token")]
    if experts:
        lines.append(
            Line(
                "moe-dispatch", experts, "gate and up, product and output of each token–expert pair"
            )
        )
    if not kept_experts:
        experts, widest = 0, max(widest, experts)
        lines = lines[:1]
    if logits >= widest:
        lines.append(Line("logits", logits, "logits and sampling of every sequence"))
    else:
        lines.append(Line("layer", widest, "the widest module's inputs and outputs"))
    return lines


def working_lines(
    spec: ModelSpec, layout: Layout, run: PassShape, *, samples: bool = True
) -> list[Line]:
    """The parts of a rank's peak with attention workspace and message buffers."""
    lines = peak_lines(spec, layout, run, samples=samples)
    lines.append(
        Line(
            "attention-workspace",
            split_attention_bytes(spec, layout, run),
            "FP32 partial results of split decode attention",
        )
    )
    messages = collective_bytes(spec, layout, run)
    if messages:
        lines.append(Line("message-buffers", messages, "all-reduce and expert exchange"))
    return lines
