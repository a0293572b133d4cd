"""What Gemma 3n and the E models of Gemma 4 share: an embedding a layer, and caches of the last
layers that are those of earlier ones."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import Backbone, GroupedQuery, others
from planner.models.fields import MAX_LAYERS, Fields
from planner.models.rows import LAYER
from planner.models.spec import Attention, StoredAs, TensorRow
from planner.models.storage import Storage, stored_type


def read_shared(fields: Fields, size: Backbone, full: tuple[int, ...]) -> tuple[int, ...]:
    """The last ``num_kv_shared_layers`` layers, which attend to the keys and values of the last
    layer of their kind before them.

    Raises:
        DataError: a kind of attention has no layer of its own to borrow from.
    """
    count = fields.integer("num_kv_shared_layers", low=0, high=MAX_LAYERS, default=0)
    if not count:
        return ()
    own = range(size.layers - count)
    if {layer in full for layer in own} != {layer in full for layer in size.all_layers}:
        raise fields.error("num_kv_shared_layers", f"is {count}: a kind of attention in the last "
                           "layers has no layer before them to share with")  # fmt: skip
    return size.all_layers[size.layers - count :]


def groups_of(
    wide: GroupedQuery, local: GroupedQuery, full: tuple[int, ...], borrowing: tuple[int, ...],
    size: Backbone, window: int,
) -> list[Attention]:  # fmt: skip
    """Full and windowed layers, those that keep a cache first."""
    own = others(size.all_layers, borrowing)
    return [
        replace(a.attention(tuple(n for n in group_layers if (n in full) == is_full),
                            window=0 if is_full else window), borrows=group_layers is borrowing)
        for group_layers in (own, borrowing) for a, is_full in ((wide, True), (local, False))
    ]  # fmt: skip


def shared_attention(
    storage: Storage, a: GroupedQuery, hidden: int, layers: tuple[int, ...], *, values: bool = True
) -> list[TensorRow]:
    """Queries and outputs of layers that borrow keys and values. Releases store projections and a
    norm of keys there too (no ``values`` where keys serve as such), which no engine loads."""
    if not layers:
        return []
    every = a.rows(storage, hidden, layers)
    left = {f"{LAYER}self_attn.{name}_proj." for name in ("k", "v")}
    norms = [rows.norm(storage, f"{LAYER}self_attn.{name}_norm", a.head_dim, layers)
             for name in ("q", "k")]  # fmt: skip
    idle = [row for row in every if any(row.name.startswith(name) for name in left)
            and (values or ".v_proj." not in row.name)]  # fmt: skip
    used = [row for row in every if not any(row.name.startswith(name) for name in left)]
    return [*used, norms[0], *(unused(row) for row in (*idle, norms[1]))]


def unused(row: TensorRow) -> TensorRow:
    """``row`` as a tensor that a release may have and that nothing reads."""
    stored = StoredAs(row.name, stored_type(row.dtype).name, row.shape, optional=True)
    return replace(row, part="unused", counted=False, quantisable=False, stored=stored)


def input_rows(storage: Storage, size: Backbone, width: int, vocab: int) -> list[TensorRow]:
    """The embedding of every layer in one table, the projection that adds to it, and what each
    layer does with its part. The projection is counted with layer 0's MLP and, as llama.cpp has
    it, never narrowed."""
    hidden, layers = size.hidden, size.all_layers
    return [
        rows.plain(storage, "model.embed_tokens_per_layer.weight", "embedding",
                   (vocab, size.layers * width), (), fused="embedding-per-layer", shard="vocab"),
        rows.plain(storage, "model.per_layer_model_projection.weight", "mlp-gate-up",
                   (size.layers * width, hidden), (0,), fused="per-layer-model", shard="column"),
        rows.norm(storage, "model.per_layer_projection_norm", width, ()),
        rows.linear(storage, LAYER + "per_layer_input_gate", "mlp-gate-up", (width, hidden), layers,
                    fused="per-layer-gate", shard="replicated"),
        rows.linear(storage, LAYER + "per_layer_projection", "mlp-down", (hidden, width), layers,
                    fused="per-layer-projection", shard="replicated"),
        rows.norm(storage, LAYER + "post_per_layer_input_norm", hidden, layers),
    ]  # fmt: skip
