"""Bytes of weights that one rank holds once loaded, by kind: shards, copies, tables. Exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from planner.base.errors import InputError
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import tensor_bytes
from planner.formats.spec import TensorFormat
from planner.models.inventory import patterns_of
from planner.models.plain import plain_type
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.models.storage import stored_bytes, stored_type
from planner.placement.layout import Layout, stage_of_layer
from planner.placement.modules import PLANNED_KINDS, kv_heads_of
from planner.placement.parts import part_of
from planner.placement.shards import MX_BLOCK, dealt_in_blocks, loaded_format

FormatOf = Callable[[str, int], TensorFormat | None]
"""(module kind, layer) → the format of its matrices; None = as released. Layer -1: no layer."""


@dataclass(frozen=True, slots=True)
class PartFormats:
    """A FormatOf that tells the matrices of a kind apart: by kind, or (``attention-qkv.v``) part,
    and layer."""

    table: Mapping[tuple[str, int], TensorFormat]

    def __call__(self, kind: str, layer: int) -> TensorFormat | None:
        """The format of all of a kind."""
        return self.table.get((kind, layer))

    def of(self, kind: str, part: str, layer: int) -> TensorFormat | None:
        """The format of one matrix of it."""
        return self.table.get((f"{kind}.{part}", layer)) or self.table.get((kind, layer))


ENGINE_MADE = ("rope-tables", "mla-absorbed")
"""Lines of weights that are not tensors of the release."""
# rope_local_base_freq, rope_parameters by layer type, swa_rope_theta
_JOINED = ("attention-qkv", "mlp-gate-up", "shared-gate-up", "experts-gate-up", "experts-down")
"""Kinds whose matrices of a layer, and of all experts, are one parameter in vLLM and SGLang."""
_LEAST_SEGMENT, _SEGMENT, _SPLIT = 10 << 20, 2 << 20, 1 << 20
# c10/cuda/CUDACachingAllocator.cpp: kMinLargeAlloc, kRoundLarge, kSmallSize
_WINDOWS_WITH_THEIR_BASE = frozenset({"gemma3", "gemma3_text", "gemma4", "mimo_v2",
                                        "mimo_v2_flash"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One named part of a rank's memory [B], and how the figure came about."""

    name: str
    bytes: int
    basis: str


@dataclass(frozen=True, slots=True)
class ExpertPad:
    """Multiples that an expert's intermediate size on a rank and the hidden size are rounded up to,
    and the outputs of its scales, and the type of biases ("" as released). ``kept_scales``: the
    released scales stay in memory beside those that the kernels read."""

    intermediate: int = 1
    hidden: int = 1
    bias: str = ""
    scale_outputs: int = 1
    kept_scales: bool = False

    @staticmethod
    def up(size: int, multiple: int) -> int:
        """``size`` in whole multiples."""
        return -(-size // multiple) * multiple


@dataclass(frozen=True, slots=True)
class Loading:
    """What an engine does with weights as it loads them.

    ``plain`` replaces the 16-bit type of tensors that no scheme quantises ("" = as released);
    ``fp32_kinds`` are kept in FP32 instead, ``copied_kinds`` whole on every rank. ``rope_tables``:
    bytes of an element of the sine and cosine of every position, 0 for no tables. ``absorbed``:
    16-bit products or copies of latent projections beside them: "kv" the up-projection of keys
    and values, "query" the query up-projection multiplied by that of the keys. ``vocab_pad``:
    embedding and head rows are padded to a multiple. ``parts``: main, mtp, vision, lookup.
    ``tail_first``: odd layers go to the stages before the last, as vLLM does, else to the first
    stages. ``lookup_on_host``: the table of tokens is in the host's memory, and a copy of it on
    the last stage where it is the head. ``fp32_vectors``: what is no matrix is kept in FP32.
    ``pad``: what experts are padded to. ``segments``: a parameter takes what PyTorch's allocator
    gives it (:func:`segment_bytes`).
    """

    plain: str = ""
    fp32_kinds: tuple[str, ...] = ()
    copied_kinds: tuple[str, ...] = ()
    rope_tables: int = 0
    absorbed: Literal["", "kv", "query"] = ""
    vocab_pad: int = 1
    parts: tuple[str, ...] = ("main", "lookup")
    tail_first: bool = False
    lookup_on_host: bool = False
    fp32_vectors: bool = False
    max_positions: int = 0
    pad: ExpertPad = ExpertPad()
    segments: bool = False


def gguf_loading(parts: tuple[str, ...], *, own_memory: bool, plain: str = "") -> Loading:
    """What llama.cpp does: vectors and routers are F32 in its files (convert_hf_to_gguf.py), and a
    device of its own memory leaves the table of tokens to its host."""
    return Loading(plain, ("router",), parts=parts, lookup_on_host=own_memory, fp32_vectors=True)


def stage_sizes(layers: int, pp: int, *, tail_first: bool) -> tuple[int, ...]:
    """Layers of each pipeline stage.

    vLLM and SGLang give odd layers to the stages before the last, from the back
    (get_pp_indices); otherwise the first stages take them.
    """
    if not tail_first:
        stages = stage_of_layer(layers, pp)
        return tuple(stages.count(stage) for stage in range(pp))
    sizes = [layers // pp] * pp
    for i in range(2, layers % pp + 2):
        sizes[-i] += 1
    return tuple(sizes)


def stage_ranges(layers: int, pp: int, *, tail_first: bool) -> tuple[range, ...]:
    """The layers of each pipeline stage."""
    ranges, start = [], 0
    for size in stage_sizes(layers, pp, tail_first=tail_first):
        ranges.append(range(start, start + size))
        start += size
    return tuple(ranges)


def segment_bytes(size: int) -> int:
    """Bytes that PyTorch counts as taken by a tensor of ``size`` bytes of its own [B].

    From 10 MiB on a segment of whole 2 MiB is reserved, and a rest of up to 1 MiB is not split off
    (c10/cuda/CUDACachingAllocator.cpp, get_allocation_size and should_split).
    """
    if size < _LEAST_SEGMENT:
        return size
    rest = -size % _SEGMENT
    return size + (rest if rest <= _SPLIT else 0)


def as_released(kind: str, layer: int) -> TensorFormat | None:
    """The stored formats of the release, whatever the kind."""
    return None


def rank_weights(
    spec: ModelSpec, layout: Layout, loading: Loading, format_of: FormatOf, stage: int
) -> list[Line]:
    """Weights of one rank of pipeline stage ``stage``, by module kind, scales apart.

    Raises:
        InputError: the stage does not exist.
    """
    if not 0 <= stage < layout.pp:
        raise InputError(
            f"pipeline stage {stage} of {layout.pp} does not exist",
            hint="stages are counted from 0 to pp - 1",
        )
    stage_layers = stage_ranges(spec.layers, layout.pp, tail_first=loading.tail_first)[stage]
    sums: dict[str, int] = {}
    parameters: dict[tuple[str, str, TensorFormat | None, int], int] = {}
    width = spec.experts.width if spec.experts is not None else 0
    for row in spec.rows:
        if row.part not in loading.parts or row.copy_of is not None:
            continue
        layers = _layers_here(row, stage_layers, stage, layout.pp, spec)
        if loading.lookup_on_host and row.kind == "embedding":
            layers = [-1] if spec.tied_embeddings and stage == layout.pp - 1 else []
        if not layers:
            continue
        experts = row.experts // layout.ep if row.experts > 1 else 1
        typed, heads = _typed(row, loading), kv_heads_of(spec, row.layers, row.kind)
        for fmt, count in _formats(row, layers, format_of):
            weight, scales = _shard(typed, fmt, layout, heads, loading, width)
            sums[row.kind] = sums.get(row.kind, 0) + weight * experts * count
            if loading.segments and row.is_matrix:
                own = "" if row.kind in _JOINED else row.name
                key = (row.kind, own, fmt, count)
                parameters[key] = parameters.get(key, 0) + weight * experts
            if scales:
                sums["scales"] = sums.get("scales", 0) + scales * experts * count
    for (kind, _, _, count), size in parameters.items():
        sums[kind] += (segment_bytes(size) - size) * count
    lines = [
        Line(kind, size, "tensor shapes, shards and copies of the layout")
        for kind, size in sums.items()
    ]
    return lines + _tables(spec, layout, loading, stage_layers)


def _typed(row: TensorRow, loading: Loading) -> TensorRow:
    """``row`` in the type and on the ranks that the engine gives it; stored forms stay."""
    if row.kind in loading.copied_kinds:
        row = replace(row, shard="replicated")
    wide = row.kind in loading.fp32_kinds or (loading.fp32_vectors and not row.is_matrix)
    plain = "fp32" if wide else loading.plain
    if loading.pad.bias and row.experts > 1 and not row.is_matrix:
        plain = loading.pad.bias
    if plain and row.dtype in ("bf16", "fp16") and row.stored is None:
        return replace(row, dtype=plain)
    return row


def _layers_here(
    row: TensorRow, layers_here: range, stage: int, pp: int, spec: ModelSpec
) -> list[int]:
    """Layers of ``row`` on a stage; [-1] for a tensor outside the stack that lives there.

    The embedding is on the first stage, on the last too where it is the head; head and final norm
    are on the last, and so are prediction layers.
    """
    if row.part == "mtp":
        return list(row.layers) or [-1] if stage == pp - 1 else []
    if row.part in ("vision", "audio"):  # its layers are the encoder's own
        return list(row.layers) or [-1] if stage == 0 else []
    if row.layers:
        return [layer for layer in row.layers if layer in layers_here]
    first = row.kind == "embedding" or row.part == "lookup"
    here = stage == 0 if first else stage == pp - 1
    if row.kind == "embedding" and spec.tied_embeddings:
        here = here or stage == pp - 1
    return [-1] if here else []


def _formats(
    row: TensorRow, layers: Sequence[int], format_of: FormatOf
) -> list[tuple[TensorFormat | None, int]]:
    """(format, number of layers) of a row; only quantisable kinds of the text model are asked."""
    if not row.is_matrix or row.kind not in PLANNED_KINDS or row.part in ("vision", "audio"):
        return [(None, len(layers))]
    counts: dict[TensorFormat | None, int] = {}
    for layer in layers:
        fmt = (
            format_of.of(row.kind, part_of(row), layer)
            if isinstance(format_of, PartFormats)
            else format_of(row.kind, layer)
        )
        counts[fmt] = counts.get(fmt, 0) + 1
    return list(counts.items())


def _shard(
    row: TensorRow,
    fmt: TensorFormat | None,
    layout: Layout,
    kv_heads: int,
    loading: Loading,
    width: int,
) -> tuple[int, int]:
    """(element bytes, scale bytes) of one tensor of ``row`` on one rank."""
    if row.shard == "replicated":
        shape = row.shape
    else:
        parts = layout.moe_tp if row.experts > 1 else layout.tp
        axis = 1 if row.shard == "row" and row.is_matrix else 0
        kv = row.kv_outputs if axis == 0 and kv_heads else 0
        extent = row.shape[axis]
        if row.shard == "vocab":
            extent = ExpertPad.up(extent, loading.vocab_pad)
        kept = -(-(extent - kv) // parts) + -(-kv // min(parts, kv_heads or 1))
        if row.experts > 1 and row.is_matrix and parts > 1 and _dealt(row, fmt):
            joined = row.kind == "experts-gate-up" and row.shape[0] > width
            kept = ExpertPad.up(kept, MX_BLOCK * (2 if joined else 1))
        shape = tuple(kept if i == axis else size for i, size in enumerate(row.shape))
    if row.experts > 1 and fmt is None:
        kept = _released(row, shape)[1] if loading.pad.kept_scales else 0
        shape = _padded(row, shape, loading.pad, width)
        if row.is_matrix:
            weight, _ = _released(row, shape)
            outputs = loading.pad.up(shape[0], loading.pad.scale_outputs)
            return weight, _released(row, (outputs, shape[1]))[1] + kept
    if fmt is not None and len(shape) == 2:
        fmt = loaded_format(fmt, row.scheme, row.scale_dtype)
        full_bytes = tensor_bytes(fmt, shape[0], shape[1])
        plain = (
            tensor_bytes(replace(fmt, scale=None), shape[0], shape[1])
            if fmt.block_bytes is None
            else full_bytes
        )
        return plain, full_bytes - plain
    return _released(row, shape)


def _dealt(row: TensorRow, fmt: TensorFormat | None) -> bool:
    """Whether ranks take whole blocks of an expert's width (:mod:`planner.placement.shards`)."""
    if fmt is None:
        scheme = SCHEMES.get(row.scheme or "")
        fmt = None if scheme is None else scheme.weight
    return fmt is not None and dealt_in_blocks(fmt)


def _padded(row: TensorRow, shape: tuple[int, ...], pad: ExpertPad, width: int) -> tuple[int, ...]:
    """The shape of an expert's tensor on a rank, padded: gate and up may be one matrix."""
    hidden = tuple(pad.up(size, pad.hidden) for size in shape)
    if row.kind == "experts-gate-up":
        halves = max(1, row.shape[0] // width)
        return (pad.up(-(-shape[0] // halves), pad.intermediate) * halves, *hidden[1:])
    if row.kind == "experts-down":
        return (hidden[0], *(pad.up(size, pad.intermediate) for size in shape[1:]))
    return shape


def _released(row: TensorRow, shape: tuple[int, ...]) -> tuple[int, int]:
    """Stored bytes of a shard: elements by type; packed forms and scales in proportion, scale
    blocks whole."""
    weight, *others = patterns_of(row)
    copies = row.experts if row.stacked else 1
    share, row_elements = prod(shape), row.elements
    if row.stored is None:
        elements = stored_bytes(stored_type(row.dtype).name, share)
    else:
        elements = -(
            -stored_bytes(weight.dtype, prod(weight.shape)) * share // (row_elements * copies)
        )
    scales = 0
    for other in others:
        size = stored_bytes(other.dtype, prod(other.shape)) // copies
        count = prod(other.shape) // copies
        if count <= 1 or share == row_elements:
            scales += size
            continue
        per = size // count
        scales += -(-count * share // row_elements) * per
    return elements, scales


def _tables(spec: ModelSpec, layout: Layout, loading: Loading, layers_here: range) -> list[Line]:
    """Tables and copies that an engine makes while it loads the layers ``layers_here``."""
    lines = []
    if loading.rope_tables:
        size = rope_table_bytes(spec, loading.max_positions, loading.rope_tables)
        lines.append(Line("rope-tables", size, "cosine and sine of every position"))
    if loading.absorbed:
        plain = {"fp32": 4}.get(loading.plain or plain_type(spec), 2)
        size = sum(
            _absorbed(attention, loading.absorbed, spec.hidden_size)
            * sum(1 for layer in attention.layers if layer in layers_here)
            for attention in spec.attention
            if attention.kind == "mla"
        )
        lines.append(
            Line(
                "mla-absorbed",
                size // layout.tp * plain,
                "16-bit copies or products of the latent projections",
            )
        )
    return [line for line in lines if line.bytes]


def rope_table_bytes(spec: ModelSpec, positions: int, width: int) -> int:
    """Cosine and sine of every position in ``width`` bytes an element; ``positions`` 0 is the
    model's own limit [B]. Layers of one rotary width and base share a table (vLLM and SGLang,
    get_rope); Llama 4's full layers, without positions, would use the same."""
    own = spec.model_type in _WINDOWS_WITH_THEIR_BASE
    widths = {
        (a.rope_dim or a.head_dim, a.window if own else 0)
        for a in spec.attention
        if a.kind != "linear"
    }
    return (positions or spec.max_context) * width * sum(w for w, _ in widths)


def _absorbed(attention: Attention, kind: str, hidden: int) -> int:
    """Elements of the copies of one layer, all heads."""
    latent = attention.kv_lora_rank
    if kind == "kv":
        return attention.heads * latent * (attention.nope_dim + attention.value_dim)
    return attention.heads * (latent + attention.rope_dim) * (attention.q_lora_rank or hidden)


def total(lines: Sequence[Line]) -> int:
    """Sum of the lines [B]."""
    return sum(line.bytes for line in lines)
