"""MiMo-7B: Qwen2 with prediction layers that join the token's and the last hidden state.

Source: vLLM 0.32, mimo_mtp; the rest is Qwen2.
"""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    read_backbone,
    read_grouped_query,
    refuse_windows,
    spec_of,
)
from planner.models.fields import MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("mimo",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a MiMo-7B configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: sliding-window attention.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=True)
    a = read_grouped_query(fields, size.hidden, biases=biases)
    width = fields.integer("intermediate_size")
    refuse_windows(fields, switch_default=False)
    mtp = fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    fields.finish({"use_mrope"})
    tensors = [
        *size.ends(storage),
        *_decoder(storage, size, a, width, size.all_layers),
        *(row for number in range(mtp) for row in _prediction(storage, size, a, width, number)),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   mtp_layers=mtp, attention=[a.attention(size.all_layers)])  # fmt: skip


def _decoder(
    storage: Storage, size: Backbone, a: GroupedQuery, width: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    return [
        *a.rows(storage, size.hidden, layers, out_bias=False),
        *rows.layer_norms(storage, size.hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=size.hidden, width=width),
    ]


def _prediction(
    storage: Storage, size: Backbone, a: GroupedQuery, width: int, number: int
) -> list[TensorRow]:
    layers = (size.layers + number,)
    tensors = [
        *(rows.norm(storage, LAYER + name, size.hidden, layers)
          for name in ("token_layernorm", "hidden_layernorm", "final_layernorm")),
        rows.plain(storage, LAYER + "input_proj.weight", "mtp", (size.hidden, 2 * size.hidden),
                   layers, fused="eh-proj"),
        *_decoder(storage, size, a, width, layers),
    ]  # fmt: skip
    return rows.part_of(rows.renamed(tensors, LAYER, f"model.mtp_layers.{number}."), "mtp")
