"""The ModelSpec of a configuration without a family of its own."""

from __future__ import annotations

from dataclasses import replace

from planner.messages.message import Note
from planner.models.families.common import Backbone, spec_of
from planner.models.fields import MAX_CONTEXT, Fields
from planner.models.rows import Provenance
from planner.models.spec import Attention, Experts, ModelSpec, Part, TensorRow
from planner.models.storage import Storage
from planner.models.through_transformers.built import Built, build_apart
from planner.models.through_transformers.caches import UnknownCacheError, attention_of
from planner.models.through_transformers.kinds import Sizes, cross
from planner.models.through_transformers.limits import check
from planner.models.through_transformers.tensors import rows_of

_TORCH = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_SELDOM = "float32"
"""What transformers takes where a configuration states no type."""
_NAMED = 4
_CONTEXT = (
    "max_position_embeddings",
    "n_positions",
    "max_target_positions",
    "max_seq_len",
    "seq_length",
)
_HEADLESS = ("Model", "ForSequenceClassification", "ForTokenClassification",
             "ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction",
             "ForImageClassification", "ForAudioClassification")  # fmt: skip
"""Ends of the names of classes that have no language head."""
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts",
           "moe_k", "num_selected_experts", "experts_per_token")  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of any configuration that the installed transformers can build.

    Where its caches are of no known kind, the counts stand and ``unplanned`` says why nothing else
    is answered.

    Raises:
        MissingPackageError: transformers is not installed.
        DataError, UnsupportedError: it cannot be built, or a tensor is of no known kind.
    """
    values = fields.everything()
    check(values, fields.place)
    plain = _plain(values)
    built = build_apart(values, plain, fields.place)
    return spec_from(built, _TORCH[plain], origin, model_type, fields.place)


def spec_from(
    built: Built,
    plain: str,
    origin: Provenance,
    model_type: str,
    place: str,
) -> ModelSpec:
    """The ModelSpec of what a process beside has built."""
    experts = _experts_count(built)
    hidden = built.size("hidden_size") or _width(built)
    sizes = Sizes(hidden, experts, bool(built.size("kv_lora_rank")))
    encoder = bool(built.sizes.get("is_encoder_decoder"))
    towers: Part = "main" if encoder or not built.nested else "vision"
    rows, others = rows_of(built, sizes, towers=towers, place=place)
    attention, unplanned = _attention(built, rows, encoder)
    size = Backbone(
        hidden=hidden,
        layers=built.layers,
        vocab=_vocab(built),
        tied=_is_tied(built),
        context=built.size(*_CONTEXT) or MAX_CONTEXT,
    )
    spec = spec_of(
        origin,
        model_type,
        size,
        Storage(plain),
        attention=attention,
        rows=_with_key_values(rows, attention),
        experts=_experts(built, rows, experts),
        dense_width=max(
            (
                row.shape[1]
                for row in rows
                if row.kind == "mlp-down" and row.is_matrix and row.part == "main"
            ),
            default=0,
        ),
    )
    structure = f"transformers {built.version}, {built.class_name}"
    return replace(
        spec,
        structure=structure,
        unplanned=unplanned,
        notes=_others(others),
        source=f"{origin.source}; structure: transformers {built.version}",
    )


def _others(names: tuple[str, ...]) -> tuple[Note, ...]:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (Note("other products", ", ".join(names[:_NAMED]) + more,
             "linear layers whose names say no purpose: counted as a product of every token"),
            ) if names else ()  # fmt: skip


def _plain(values: object) -> str:
    assert isinstance(values, dict)
    text = values.get("text_config")
    for place in (values, text if isinstance(text, dict) else {}):
        for key in ("dtype", "torch_dtype"):
            if place.get(key) in _TORCH:
                return str(place[key])
    return _SELDOM


def _attention(
    built: Built,
    rows: tuple[TensorRow, ...],
    encoder: bool,
) -> tuple[tuple[Attention, ...], str]:
    """(attention, why nothing but counts is answered, "" where everything is known)."""
    if encoder or any(
        cross(t.name, t.blocks) for t in built.tensors if t.region in ("stack", "decoder")
    ):
        return (), "it attends to an encoder's outputs, whose caches are not modelled"
    if not built.causal:
        return (), "its layers look both ways, so that nothing is kept from token to token"
    if built.shares:
        return (), "its layers share weights, and which work how often is not counted"
    if not built.layers:
        return (), "it has no stack of layers as long as its configuration says"
    try:
        found = attention_of(built, rows)
    except UnknownCacheError as error:
        return (), f"its caches are not known: {error}"
    return found, "" if found else "no layer keeps anything for a sequence"


def _experts_count(built: Built) -> int:
    """Experts of a layer: the numbered ones, else the outputs of stacked ones."""
    import re

    numbers = [int(found.group(1)) for tensor in built.tensors if tensor.region == "stack"
               and (found := re.search(r"experts?\.(\d+)\.", tensor.name))]  # fmt: skip
    if numbers:
        return max(numbers) + 1
    stacked = [
        t.shape[0]
        for t in built.tensors
        if t.region == "stack"
        and len(t.shape) == 3
        and re.search(r"expert|moe", t.name)
        and "conv" not in t.name
    ]
    return max(stacked, default=0)


def _width(built: Built) -> int:
    return next((t.shape[1] for t in built.tensors if t.region == "embedding"), 1)


def _vocab(built: Built) -> int:
    return next((t.shape[0] for t in built.tensors if t.region == "embedding"), 1)


def _is_tied(built: Built) -> bool:
    """Whether the embedding is the language head too: no head of its own, in a class that has
    one."""
    return not built.class_name.endswith(_HEADLESS) and all(
        tensor.region != "head" for tensor in built.tensors
    )


def _experts(built: Built, rows: tuple[TensorRow, ...], count: int) -> Experts | None:
    routed = [row for row in rows if row.kind == "experts-down" and row.is_matrix]
    if not routed or not count:
        return None
    layers = tuple(sorted({layer for row in routed for layer in row.layers}))
    shared = max(
        (row.shape[1] * row.experts for row in rows if row.kind == "shared-down" and row.is_matrix),
        default=0,
    )
    return Experts(
        layers=layers, count=count, per_token=min(built.size(*_CHOSEN) or count, count),
        width=routed[0].shape[1], shared=1 if shared else 0, shared_width=shared,
        groups=built.size("n_group") or 1, groups_per_token=built.size("topk_group") or 1,
    )  # fmt: skip


def _with_key_values(
    rows: tuple[TensorRow, ...],
    attention: tuple[Attention, ...],
) -> list[TensorRow]:
    """``rows`` with the outputs that are heads of keys and values."""
    of_layer = {layer: a for a in attention if a.kind == "gqa" for layer in a.layers}
    found = []
    for row in rows:
        a = of_layer.get(row.layers[0]) if row.layers and row.part == "main" else None
        if a is None or row.kind != "attention-qkv" or "norm" in row.name:
            found.append(row)
            continue
        keys, values = a.kv_heads * a.head_dim, a.kv_heads * (a.value_dim or a.head_dim)
        leaf = row.name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2].lower()
        outputs = row.shape[0]
        own = outputs if leaf[:1] in ("k", "v") and outputs in (keys, values) else 0
        both = a.heads * a.head_dim + keys + values
        found.append(replace(row, kv_outputs=own or (keys + values if outputs == both else 0)))
    return found
