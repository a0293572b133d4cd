"""Gemma 3n: four streams beside the residual (AltUp), a low-rank path beside attention (LAuReL), an
embedding a layer, and layers that borrow the caches of earlier ones."""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import record
from planner.models import rows
from planner.models.families.common import (
    NO_AUDIO,
    Backbone,
    GroupedQuery,
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    spec_of,
    text_of,
)
from planner.models.families.gemma3 import sandwich_norms
from planner.models.families.per_layer import (
    groups_of,
    input_rows,
    read_shared,
    shared_attention,
)
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("gemma3n", "gemma3n_text")
_EVERY = 5
_UNSEEN = "the vision encoder (MobileNet-V5) and its embedder"
_UNHEARD = "the audio encoder and its embedder"


@record
class Streams:
    """``streams`` copies of the residual, and the rank of the low-rank path."""

    streams: int
    rank: int


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Gemma 3n configuration: its text model.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    if model_type == "gemma3n_text":
        return _text(fields, model_type, origin)
    fields.take("audio_soft_tokens_per_image")
    text, seeing = text_of(fields, ("gemma3n_text",), hears=True)
    spec = _text(text, model_type, origin)
    left = (
        () if seeing is None else (_UNSEEN,),
        (NO_AUDIO if fields.take("audio_config") is None else _UNHEARD,),
    )
    return replace(
        spec,
        not_counted=(*left[0], *left[1]),
        rows=tuple(rows.renamed(spec.rows, "model.", "model.language_model.")),
    )


def _text(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    a = read_grouped_query(fields, size.hidden, biases=biases)
    full = full_layers(fields, size.layers, other="sliding_attention", every=_EVERY)
    window = fields.integer("sliding_window", high=MAX_CONTEXT)
    borrowing = read_shared(fields, size, full)
    widths = _widths(fields, size.layers)
    extra = Streams(fields.integer("altup_num_inputs", low=2, high=MAX_EXPERTS),
                    fields.integer("laurel_rank"))  # fmt: skip
    per_layer = fields.integer("hidden_size_per_layer_input")
    vocab = fields.integer("vocab_size_per_layer_input")
    fields.finish()
    own = others(size.all_layers, borrowing)
    hidden = size.hidden
    tensors = [
        *size.ends(storage),
        *input_rows(storage, size, per_layer, vocab),
        *_attention(storage, a, hidden, own),
        *shared_attention(storage, a, hidden, borrowing),
        *sandwich_norms(storage, hidden, size.all_layers),
        *(row for width in sorted(set(widths)) for row in rows.gated_mlp(
            storage, rows.DENSE_MLP, tuple(n for n in size.all_layers if widths[n] == width),
            hidden=hidden, width=width)),
        *_streams(storage, size, extra),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=max(widths),
                   attention=groups_of(a, a, full, borrowing, size, window))  # fmt: skip


def _widths(fields: Fields, layers: int) -> tuple[int, ...]:
    """The MLP's width in every layer: one number, or a list."""
    if isinstance(fields.take_default("intermediate_size"), list):
        widths = fields.integers("intermediate_size", low=1, high=2**24)
    else:
        widths = (fields.integer("intermediate_size"),) * layers
    if len(widths) != layers:
        raise fields.error("intermediate_size", f"has {len(widths)} entries for {layers} layers")
    return widths


def _attention(
    storage: Storage, a: GroupedQuery, hidden: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    return [*a.rows(storage, hidden, layers),
            *(rows.norm(storage, f"{LAYER}self_attn.{name}_norm", a.head_dim, layers)
              for name in ("q", "k"))]  # fmt: skip


def _streams(storage: Storage, size: Backbone, e: Streams) -> list[TensorRow]:
    """AltUp's maps between the streams, and LAuReL, which llama.cpp never narrows; those outside
    the stack are counted with the MLPs of its first and last layer."""
    hidden, layers, n = size.hidden, size.all_layers, e.streams
    mixing = (("modality_router", (n, hidden)), ("prediction_coefs", (n * n, n)),
              ("correction_coefs", (n, n)))  # fmt: skip
    return [
        *(rows.plain(storage, f"model.altup_projections.{i}.weight", "mlp-gate-up",
                     (hidden, hidden), (0,), fused="altup", shard="column")
          for i in range(n - 1)),
        *(rows.plain(storage, f"model.altup_unembed_projections.{i}.weight", "mlp-down",
                     (hidden, hidden), layers[-1:], fused=f"altup-{i}", shard="column")
          for i in range(n - 1)),
        *(rows.plain(storage, f"{LAYER}altup.{name}.weight", "router", shape, layers,
                     fused="altup-" + name.replace("_", "-")) for name, shape in mixing),
        rows.plain(storage, LAYER + "altup.correct_output_scale", "norm", (hidden,), layers,
                   fused="altup-scale"),
        rows.norm(storage, LAYER + "altup.router_norm", hidden, layers),
        rows.plain(storage, LAYER + "laurel.linear_left.weight", "mlp-gate-up", (e.rank, hidden),
                   layers, fused="laurel-left", shard="column"),
        rows.plain(storage, LAYER + "laurel.linear_right.weight", "mlp-down", (hidden, e.rank),
                   layers, fused="laurel-right", shard="row"),
        rows.norm(storage, LAYER + "laurel.post_laurel_norm", hidden, layers),
    ]  # fmt: skip
