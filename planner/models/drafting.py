"""What drafts tokens for a model, as a model of its own: its prediction layers, or a known head.

Their rows carry the kinds of the decoder layers that they are, so that bytes and products follow as
those of any model. Embedding and head are in them where a draft runs through them, be they its own
or the model's.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import message
from planner.models import rows
from planner.models.fields import MAX_EXPERTS, Fields
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.models.storage import Storage

_DATA = Path(__file__).resolve().parent / "data"
_IN_LAYER = re.compile(r"^.*?layers\.(?:\{layer\}|\d+)\.")
_NUMBER = re.compile(r"\.\d+(?=\.)")
"""The half of a layer that runs two of everything; a prediction layer has one."""
_DOWN = "mlp.down_proj.weight"
_JOINS = "mlp-gate-up"
"""The kind of a projection that joins the model's hidden states to a token's embedding: a dense
product without a collective behind it."""
NO_NAME = "EAGLE3-HEAD"
"""Stands for the repository of a head of which only the shape is known."""
PLAIN = Storage("bf16")


@record
class EagleHead:
    """A published EAGLE-3 head: one decoder layer on ``joined`` hidden states of the model and the
    embedding, with a vocabulary of its own. Widths in elements; stored in BF16."""

    models: tuple[str, ...]
    name: str
    hidden: int
    joined: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    vocab: int
    source: str


@lru_cache(maxsize=1)
def eagle_heads() -> tuple[EagleHead, ...]:
    """All known heads, in the order of ``data/eagle_heads.csv``."""
    with (_DATA / "eagle_heads.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            EagleHead(
                tuple(row["models"].split()),
                row["name"],
                int(row["hidden"]),
                int(row["joined"]),
                int(row["heads"]),
                int(row["kv_heads"]),
                int(row["head_dim"]),
                int(row["width"]),
                int(row["vocab"]),
                f"{row['source']}, {row['date']}",
            )
            for row in csv.DictReader(file)
        )


def head_of(spec: ModelSpec) -> EagleHead | None:
    """The known head of a model, None where there is none."""
    return next((head for head in eagle_heads() if spec.id in head.models), None)


def head_of_config(values: Mapping[str, object], place: str) -> EagleHead | None:
    """The EAGLE-3 head of a checkpoint's configuration (``architectures`` …Eagle3); None where the
    configuration is of something else.

    Raises:
        DataError: a size that is missing or out of range, or a head of several layers.
    """
    named = values.get("architectures")
    if not isinstance(named, list) or not any(
        "eagle3" in str(architecture).lower() for architecture in named
    ):
        return None
    fields = Fields(values, place)
    hidden = fields.integer("hidden_size")
    if fields.integer("num_hidden_layers", default=1) != 1:
        raise fields.error("num_hidden_layers", "is not 1; heads of one layer are understood")
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    target = fields.integer("target_hidden_size", default=hidden)
    if target != hidden:
        raise fields.error("target_hidden_size", f"is {target}, beside a hidden_size of {hidden}")
    return EagleHead(
        (),
        place.removesuffix("/config.json"),
        hidden,
        3,
        heads,
        fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads),
        fields.integer("head_dim", default=max(1, hidden // heads)),
        fields.integer("intermediate_size"),
        fields.integer("draft_vocab_size", default=fields.integer("vocab_size")),
        place,
    )


@lru_cache(maxsize=16)
def prediction_spec(spec: ModelSpec) -> ModelSpec:
    """The prediction layers of a model, with the embedding and the head that they share with it.

    Raises:
        InputError: it has none.
    """
    if not spec.mtp_layers:
        raise InputError(
            message("refusals.has_no_prediction_layers_mtp", m=spec.id),
            hint="--speculation none, or the name of a smaller model",
        )
    layers = tuple(range(spec.mtp_layers))
    main = [row for row in spec.rows if row.part == "main" and row.layers]
    kinds = {_NUMBER.sub("", _place(row)): row.kind for row in main} | {
        _place(row): row.kind for row in main
    }
    own = [
        _moved(row, spec, layers, kinds)
        for row in spec.rows
        if row.part == "mtp" and row.copy_of is None
    ]
    attention = replace(_attention(spec), layers=layers)
    experts = spec.experts if any(row.experts > 1 for row in own) else None
    return replace(
        spec,
        id=f"{spec.id}-mtp",
        layers=len(layers),
        attention=(attention,),
        mtp_layers=0,
        experts=None if experts is None else replace(experts, layers=layers, hash_layers=()),
        dense_width=spec.dense_width if experts is None else 0,
        rows=(*_ends(spec), *own),
        not_counted=(),
    )


@lru_cache(maxsize=16)
def eagle_spec(spec: ModelSpec, head: EagleHead) -> ModelSpec:
    """An EAGLE-3 head on ``spec``: the projection of its hidden states, a decoder layer that reads
    them beside the embedding, and a head over the draft's vocabulary.

    Raises:
        InputError: the head is for hidden states of another width.
    """
    hidden = spec.hidden_size
    if head.hidden != hidden:
        raise InputError(
            f"{head.name} reads hidden states of {head.hidden}, {spec.id} has {hidden}",
            hint="--speculation none",
        )
    layer = (0,)
    both = rows.gqa(
        PLAIN,
        layer,
        hidden=2 * hidden,
        heads=head.heads,
        kv_heads=head.kv_heads,
        head_dim=head.head_dim,
        biases=False,
    )
    tensors = [
        *(row for row in _ends(spec) if row.kind == "embedding"),
        rows.norm(PLAIN, "model.norm", hidden, ()),
        rows.plain(
            PLAIN, "lm_head.weight", "head", (head.vocab, hidden), (), fused="head", shard="vocab"
        ),
        rows.linear(
            PLAIN,
            "model.fc",
            _JOINS,
            (hidden, head.joined * hidden),
            (),
            fused="fc",
            shard="replicated",
        ),
        *(row for row in both if row.kind == "attention-qkv"),
        *(
            replace(row, shape=(hidden, row.shape[1]))
            for row in both
            if row.kind == "attention-out"
        ),
        *rows.layer_norms(PLAIN, hidden, layer),
        rows.norm(PLAIN, rows.LAYER + "hidden_norm", hidden, layer),
        *rows.gated_mlp(PLAIN, rows.DENSE_MLP, layer, hidden=hidden, width=head.width),
    ]
    attention = Attention("gqa", layer, head.heads, head.kv_heads, head.head_dim)
    return replace(
        spec,
        id=f"{spec.id}-eagle3",
        public_name=head.name,
        layers=1,
        vocab_size=head.vocab,
        tied_embeddings=False,
        attention=(attention,),
        experts=None,
        dense_width=head.width,
        mtp_layers=0,
        quantization="bf16",
        source=head.source,
        rows=tuple(tensors),
        kv_scheme="",
        not_counted=(),
    )


def _ends(spec: ModelSpec) -> list[TensorRow]:
    """What of the model lies outside its layers: embedding, last norm, head."""
    return [
        row
        for row in spec.rows
        if row.part == "main" and not row.layers and row.kind in ("embedding", "head")
    ]


def _attention(spec: ModelSpec) -> Attention:
    """The attention of prediction layers: that of full layers, with own keys to select by."""
    full = spec.attention[0]
    indexed = next((a for a in spec.attention if a.indexer_heads), full)
    return indexed if full.indexer_topk else full


def _place(row: TensorRow) -> str:
    """The name of a row inside its layer."""
    return _IN_LAYER.sub("", row.name)


def _moved(
    row: TensorRow, spec: ModelSpec, layers: tuple[int, ...], kinds: dict[str, str]
) -> TensorRow:
    """A row of a prediction layer as one of a decoder; what stands before all of them is in the
    first."""
    kind = kinds.get(_place(row)) if row.layers else None
    if kind is None:
        down = "mlp-down" if _place(row).endswith(_DOWN) else _JOINS
        kind = down if row.is_matrix else "norm"
    at = tuple(layer - spec.layers for layer in row.layers) or layers[:1]
    return replace(row, part="main", kind=kind, layers=at)
