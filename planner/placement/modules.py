"""Inventory × layout: the modules of a model as GEMMs, with their shards per rank.

A *module* is one kind in one set of layers that have the same tensors of it; no layer is in two
modules of a kind. Costs are computed once a module and multiplied by layer counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from planner.base.errors import InputError
from planner.base.records import record
from planner.models.inventory import row_bytes
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.placement.layout import Layout

PLANNED_KINDS = (
    "attention-qkv",
    "mla-q",
    "mla-kv",
    "attention-out",
    "linear-attention",
    "mlp-gate-up",
    "mlp-down",
    "experts-gate-up",
    "experts-down",
    "shared-gate-up",
    "shared-down",
)
_F32_BYTES = 4
AS_RELEASED_KINDS = ("embedding", "indexer", "compressor", "router", "norm", "head")
UNRULED = ("compressor",)
"""Kinds as released that no rule can be dropped for: what pools the past of compressed attention
is multiplied in BF16 by every engine that has it, into FP32 scores."""
EXPERT_KINDS = ("experts-gate-up", "experts-down")
DRAFT = "draft"
"""What drafts tokens ahead of the model (prediction layers, a head, a smaller model), as one module
outside the stack."""


@record
class Gemm:
    """One matrix multiplication of a layer: members are (outputs, inputs) of the fused matrices.

    ``key_value`` is how many outputs of each member are key and value heads. ``joined``: engines
    run it in the kernel of an earlier product of the same input.
    """

    members: tuple[tuple[int, int], ...]
    shard: str
    key_value: tuple[int, ...]
    joined: bool = False

    @property
    def inputs(self) -> int:
        return self.members[0][1]


@record
class Module:
    """One kind in one set of layers; ``gemms`` of one layer (of one expert, for experts).

    ``stored_bytes`` are the bytes of one layer as released, scales and vectors included (all
    experts). ``vector_bytes`` are the part that no scheme changes (biases, norms), of
    ``vector_elements``; ``cut`` are the vectors of one expert that ranks divide: (elements, of them
    of keys and values, bytes of one).
    ``scale_dtype`` is what the scales of ``scheme`` are stored in, "" where there are none.
    ``scheme`` is what most elements of its matrices were released in, None where that is plain
    elements of ``dtype``. ``kv_heads`` are the key/value heads of its layers, 0 where they have
    none. ``part``
    names one matrix of the kind where each is a module (:mod:`planner.placement.parts`). ``place``
    is empty on the device (:mod:`planner.placement.host_split`).
    """

    kind: str
    layers: tuple[int, ...]
    experts: int
    gemms: tuple[Gemm, ...]
    stored_bytes: int
    vector_bytes: int
    dtype: str
    scheme: str | None = None
    kv_heads: int = 0
    part: str = ""
    place: str = ""
    cut: tuple[tuple[int, int, int], ...] = ()
    scale_dtype: str = ""
    vector_elements: int = 0

    @property
    def released_as(self) -> str:
        """The scheme that the release stores its matrices in."""
        return self.scheme or self.dtype


def is_product(row: TensorRow) -> bool:
    """Whether ``row`` is multiplied: biases by position inside a group of tokens are added."""
    return row.is_matrix and not row.name.endswith("compressor.ape")


def _gemms(rows: Sequence[TensorRow]) -> tuple[Gemm, ...]:
    """The products of ``rows``."""
    groups: dict[str, list[TensorRow]] = {}
    for row in rows:
        if is_product(row):
            groups.setdefault(row.fused, []).append(row)
    return tuple(
        Gemm(
            members=tuple((r.shape[0], r.shape[1]) for r in group),
            shard=group[0].shard,
            key_value=tuple(r.kv_outputs for r in group),
        )
        for group in groups.values()
    )


@lru_cache(maxsize=64)
def modules(spec: ModelSpec) -> tuple[Module, ...]:
    """The modules of the main model in reading order, lookup tables with the router's."""
    kinds: dict[str, list[TensorRow]] = {}
    for row in spec.rows:
        if row.part in ("main", "lookup") and row.copy_of is None:
            kinds.setdefault(row.kind, []).append(row)
    return tuple(
        module_of(spec, kind, layers, rows)
        for kind in sorted(kinds, key=kind_order)
        for layers, rows in alike(kinds[kind])
    )


def alike(rows: Sequence[TensorRow]) -> list[tuple[tuple[int, ...], list[TensorRow]]]:
    """(layers, rows) of one kind: layers with the same rows together; no layers: outside."""
    outside = [row for row in rows if not row.layers]
    of_layer: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        for layer in row.layers:
            of_layer.setdefault(layer, []).append(number)
    sets: dict[tuple[int, ...], list[int]] = {}
    for layer in sorted(of_layer):
        sets.setdefault(tuple(of_layer[layer]), []).append(layer)
    inside = [(tuple(layers), [rows[n] for n in numbers]) for numbers, layers in sets.items()]
    return inside + ([((), outside)] if outside else [])


def module_of(
    spec: ModelSpec,
    kind: str,
    layers: tuple[int, ...],
    rows: Sequence[TensorRow],
) -> Module:
    """The module that ``rows`` of one kind make in ``layers``."""
    matrices = [row for row in rows if row.is_matrix] or list(rows)
    sizes: dict[tuple[str, str | None], int] = {}
    for row in matrices:
        key = (row.dtype, row.scheme)
        sizes[key] = sizes.get(key, 0) + row.elements * row.experts
    dtype, scheme = max(sizes, key=lambda key: sizes[key])
    return Module(
        kind=kind,
        layers=layers,
        experts=max(row.experts for row in rows),
        gemms=_joined(spec, kind, layers, _gemms(rows)),
        stored_bytes=sum(row_bytes(row) for row in rows),
        vector_bytes=sum(row_bytes(row) for row in rows if not row.is_matrix),
        vector_elements=sum(row.elements * row.experts for row in rows if not row.is_matrix),
        dtype=dtype,
        scheme=scheme,
        kv_heads=kv_heads_of(spec, layers, kind),
        cut=tuple(
            (row.elements, row.kv_outputs, row_bytes(row) // (row.elements * row.experts))
            for row in rows
            if not row.is_matrix and row.shard != "replicated"
        ),
        scale_dtype=next(
            (row.scale_dtype for row in matrices if row.scheme == scheme and row.scale_dtype), ""
        ),
    )


def in_gguf(module: Module) -> Module:
    """``module`` as a GGUF file stores what its types do not: vectors in F32, and the matrix of a
    router (ggml-org/llama.cpp convert_hf_to_gguf.py)."""
    matrices = module.stored_bytes - module.vector_bytes
    if module.kind == "router":
        rows = sum(r * c for gemm in module.gemms for r, c in gemm.members)
        matrices = rows * module.experts * _F32_BYTES
    vectors = module.vector_elements * _F32_BYTES
    return replace(
        module,
        stored_bytes=matrices + vectors,
        vector_bytes=vectors,
        cut=tuple((elements, kv, _F32_BYTES) for elements, kv, _ in module.cut),
    )


def _joined(
    spec: ModelSpec, kind: str, layers: Sequence[int], gemms: tuple[Gemm, ...]
) -> tuple[Gemm, ...]:
    """``gemms`` with those marked that engines run beside an earlier one of the same input: the
    latent's beside that of compressed queries, a compressor's beside both, the weights of an
    indexer's heads beside its keys.
    """
    if kind not in ("mla-kv", "indexer", "compressor"):
        return gemms
    layer = layers[0] if layers and layers[0] < spec.layers else 0
    compressed = kind == "mla-kv" and attention_of(spec, layer).q_lora_rank is not None
    seen = {spec.hidden_size} if compressed or kind == "compressor" else set()
    joined_gemms = []
    for gemm in gemms:
        joined_gemms.append(
            replace(gemm, joined=gemm.inputs in seen and gemm.shard == "replicated")
        )
        seen.add(gemm.inputs)
    return tuple(joined_gemms)


def kv_heads_of(spec: ModelSpec, layers: Sequence[int], kind: str) -> int:
    """Key/value heads of the attention group that has the first of ``layers``, else 0; prediction
    layers are as the first group. Of a Mamba-2 module of ``kind`` linear-attention, its groups."""
    if not layers:
        return 0
    if layers[0] >= spec.layers:
        first = spec.attention[0]
        return first.kv_heads if first.kind == "gqa" else 0
    wanted = "linear" if kind == "linear-attention" else "gqa"
    for attention in spec.attention:
        if attention.kind == wanted and layers[0] in attention.layers:
            return attention.kv_heads if wanted == "gqa" or attention.rule == "mamba2" else 0
    return 0


_ORDER = {
    kind: i
    for i, kind in enumerate(
        (
            "embedding",
            "attention-qkv",
            "mla-q",
            "mla-kv",
            "attention-out",
            "indexer",
            "compressor",
            "linear-attention",
            "mlp-gate-up",
            "mlp-down",
            "router",
            "experts-gate-up",
            "experts-down",
            "shared-gate-up",
            "shared-down",
            "norm",
            "head",
            "kv-k",
            "kv-v",
            "kv-latent",
        )
    )
}


def kind_order(kind: str) -> int:
    """Position of a kind in reading order (through a layer, then the caches)."""
    return _ORDER.get(kind, len(_ORDER))


def shard_members(module: Module, gemm: Gemm, layout: Layout) -> list[tuple[int, int]]:
    """(outputs, inputs) of each member on one rank.

    Column-parallel matrices split outputs, row-parallel ones inputs; keys and values keep whole
    heads, copied where tp exceeds the head count. Experts split over MoE tp.
    """
    width = layout.moe_tp if module.kind in EXPERT_KINDS else layout.tp
    shards = []
    for (outputs, inputs), kv in zip(gemm.members, gemm.key_value, strict=True):
        if gemm.shard in ("column", "vocab"):
            own = kv // min(width, module.kv_heads or width)
            shards.append(((outputs - kv) // width + own, inputs))
        elif gemm.shard == "row":
            shards.append((outputs, inputs // width))
        else:
            shards.append((outputs, inputs))
    return shards


def local_experts(module: Module, layout: Layout) -> int:
    """Experts a rank holds (1 for modules without experts)."""
    return module.experts // layout.ep if module.kind in EXPERT_KINDS else 1


def attention_of(spec: ModelSpec, layer: int) -> Attention:
    """The attention of one layer of the main model.

    Raises:
        InputError: the model has no such layer.
    """
    for attention in spec.attention:
        if layer in attention.layers:
            return attention
    raise InputError(f"{spec.id} has no layer {layer}", hint=f"layers are 0 to {spec.layers - 1}")


def linear_of(spec: ModelSpec, layer: int) -> Attention:
    """The recurrent part of one layer of the main model.

    Raises:
        InputError: the layer has none.
    """
    for attention in spec.attention:
        if attention.kind == "linear" and layer in attention.layers:
            return attention
    raise InputError(
        f"{spec.id} has no recurrence in layer {layer}",
        hint="plan inventory lists the layers of every module",
    )


def attention_label(attention: Attention) -> str:
    """One word for a kind of attention: full, window, chunk, sparse, linear (or which recurrence),
    or its own name."""
    if attention.kind == "linear" and attention.rule != "delta":
        return attention.rule
    if attention.kind in ("gqa", "mla"):
        if attention.window:
            return "chunk" if attention.chunked else "window"
        return "sparse" if attention.indexer_topk else "full"
    return attention.kind
