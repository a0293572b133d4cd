"""Rows of a model from the tensors of its GGUF file: exact in bytes, checked against its structure.

The family says which matrices there must be and how many elements a module has in each layer; the
file says how they are cut, named and typed. A tensor whose name is not known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from planner.base.errors import DataError, UnsupportedError
from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.models.fields import MAX_LAYERS
from planner.models.gguf_header import GgufFile, GgufTensor
from planner.models.gguf_names import gguf_alias, gguf_matrices
from planner.models.gguf_types import element_of, scheme_of_stored
from planner.models.spec import ModelSpec, Part, StoredAs, TensorRow

_BLOCK = re.compile(r"blk\.(\d{1,4})\.(.+)")
_DAMAGED = "the file is damaged or incomplete: convert or download it again"
# What stands in no list of matrices: vectors, by the first pattern that the stem has.
_VECTORS = (
    (r"rope_(freqs|factors_long|factors_short)", "norm"), (r"nextn\..*", "mtp"),
    (r".*norm(_\d)?", "norm"), (r"layer_output_scale", "norm"),
    (r"attn_(q|k|v|qkv|sinks|q_b|kv_b)", "attention-qkv"), (r"attn_output", "attention-out"),
    (r"ffn_gate_inp_shexp", "shared-gate-up"), (r"ffn_gate_inp|exp_probs_b", "router"),
    (r"ffn_down_exps", "experts-down"), (r"ffn_(gate|up|gate_up)_exps", "experts-gate-up"),
    (r"ffn_down", "mlp-down"), (r"ffn_(gate|up)", "mlp-gate-up"),
    (r"ssm_(conv1d|a|d|dt|norm)|shortconv\.conv", "linear-attention"), (r"output", "head"),
    (r"altup_(router|predict_coef|correct_coef)", "router"), (r"altup_correct_scale", "norm"),
    (r"altup_proj|laurel_l|per_layer_model_proj", "mlp-gate-up"),
    (r"altup_unembd_proj|laurel_r", "mlp-down"),
)  # fmt: skip
_WITH_LAYER = {"altup_proj": 0, "per_layer_model_proj": 0, "altup_unembd_proj": -1}
"""What stands outside the stack and is counted with the MLP of its first or last layer."""
_UNCOUNTED = re.compile(r"rope_(freqs|factors_long|factors_short)|layer_output_scale")
_CORRECTION, _PROBABILITIES = "correction_bias", "exp_probs_b"
_CONVOLUTION = ("ssm_conv1d", "shortconv.conv")
_FLAT = re.compile(r"(blk\.\{layer\}\.)?ssm_(a|d|norm)(\.weight)?")
_BORROWED = ("attn_k", "attn_v", "attn_k_norm")


@record
class _Class:
    """Tensors that differ in their layer only."""

    template: str
    kind: str
    type: str
    shape: tuple[int, ...]
    part: Part
    source: TensorRow | None


def rows_of_file(spec: ModelSpec, file: GgufFile, path: Path) -> tuple[TensorRow, ...]:
    """The rows of ``spec`` as the file stores them.

    Raises:
        DataError: a matrix is missing, or a module has more or fewer elements than the metadata
            gives.
        UnsupportedError: a tensor whose name is not known.
    """
    wanted = {gguf_matrix.name: gguf_matrix for gguf_matrix in gguf_matrices(spec)}
    alias = gguf_alias(spec)
    sources = {row.name: row for row in spec.rows}
    last = spec.layers + max(spec.mtp_layers, _predicting(file), 1)
    elements_by_place: dict[tuple[str, int], int] = {}
    covered: set[str] = set()
    classes: dict[_Class, list[int]] = {}
    for tensor in file.tensors:
        names = (tensor.name,) if tensor.name in wanted else alias.get(tensor.name, ())
        covered.update(names)
        matrix = wanted[names[0]] if names else None
        source = sources.get(matrix.rows[0]) if matrix is not None and matrix.rows else None
        tensor_class, layer = _class_of(
            tensor, matrix.kind if matrix else "", source, spec, last, path
        )
        classes.setdefault(tensor_class, []).append(layer)
        if names and tensor_class.part == "main":
            key = tensor_class.kind, layer
            elements_by_place[key] = elements_by_place.get(key, 0) + _product(tensor.shape)
    _check(spec, wanted, covered, elements_by_place, path)
    corrects = all(row.counted for row in spec.rows if _CORRECTION in row.name)
    return tuple(
        replace(row, counted=corrects) if _PROBABILITIES in row.name else row
        for row in (_row(row_class, layers) for row_class, layers in classes.items())
    )


def _class_of(
    tensor: GgufTensor, kind: str, source: TensorRow | None, spec: ModelSpec, last: int, path: Path
) -> tuple[_Class, int]:
    inside = _BLOCK.fullmatch(tensor.name)
    layer, rest = (int(inside[1]), inside[2]) if inside else (-1, tensor.name)
    if layer >= last:
        raise DataError(
            f"{path}: {short_repr(tensor.name)} is beyond the last of {spec.layers} layers",
            hint=_DAMAGED,
        )
    stem = re.sub(r"\.(weight|bias|scale)$", "", rest)
    part: Part = "mtp" if layer >= spec.layers or stem.startswith("nextn.") else "main"
    if stem in _BORROWED and any(a.borrows and layer in a.layers for a in spec.attention):
        part = "unused"
    if stem in _WITH_LAYER:
        layer = _WITH_LAYER[stem] % spec.layers
    kind = kind or next((own for pattern, own in _VECTORS if re.fullmatch(pattern, stem)), "")
    if not kind:
        raise UnsupportedError(
            f"{path}: tensor {short_repr(tensor.name)} is not known of {spec.model_type}",
            hint="plan the model's config.json instead, or convert it again "
            "with a current llama.cpp",
        )
    template = f"blk.{{layer}}.{rest}" if inside else tensor.name
    return _Class(
        template, "mtp" if part == "mtp" else kind, tensor.type, tensor.shape, part, source
    ), layer


def _predicting(file: GgufFile) -> int:
    """Prediction layers that the metadata names."""
    name = file.metadata.get("general.architecture")
    count = file.metadata.get(f"{name}.nextn_predict_layers", 0)
    return count if isinstance(count, int) and 0 <= count <= MAX_LAYERS else 0


def _row(tensor_class: _Class, layers: list[int]) -> TensorRow:
    experts = (
        tensor_class.shape[0]
        if "_exps" in tensor_class.template and len(tensor_class.shape) > 1
        else 1
    )
    shape = tensor_class.shape[1:] if experts > 1 else tensor_class.shape
    if len(shape) > 2 and tensor_class.kind != "linear-attention":
        shape = (_product(shape[:-1]), shape[-1])  # a matrix a head, one below the other
    if any(name in tensor_class.template for name in _CONVOLUTION) and len(shape) == 2:
        shape = (shape[0], 1, shape[1])
    if _FLAT.fullmatch(tensor_class.template):
        shape = (_product(shape),)
    row, stem = tensor_class.source, tensor_class.template.removeprefix("blk.{layer}.")
    return TensorRow(
        name=tensor_class.template, kind=tensor_class.kind, shape=shape,
        layers=() if layers[0] < 0 else tuple(sorted(layers)), experts=experts,
        fused=row.fused if row is not None else stem.replace("_", "-"),
        shard=row.shard if row is not None else "replicated", dtype=element_of(tensor_class.type),
        scale_name=None, scale_shape=None, scale_dtype=None, part=tensor_class.part,
        counted=tensor_class.part != "unused" and not _UNCOUNTED.match(stem),
        scheme=scheme_of_stored(tensor_class.type),
        quantisable=row is not None and row.quantisable, stacked=experts > 1,
        stored=StoredAs(tensor_class.template, tensor_class.type, tensor_class.shape),
        kv_outputs=_kv_outputs(row, shape),
    )  # fmt: skip


def _kv_outputs(row: TensorRow | None, shape: tuple[int, ...]) -> int:
    """Outputs that are keys and values, where the tensor is the row's whole matrix."""
    return row.kv_outputs if row is not None and row.shape == shape else 0


def _check(
    spec: ModelSpec,
    wanted: Iterable[str],
    covered: set[str],
    seen: dict[tuple[str, int], int],
    path: Path,
) -> None:
    kinds = {kind for kind, _ in seen}
    matrices = {matrix.name: matrix for matrix in gguf_matrices(spec)}
    missing = [name for name in wanted if name not in covered and matrices[name].kind != "mtp"]
    if missing:
        raise DataError(
            f"{path}: {missing[0]} is missing"
            + (f", and {len(missing) - 1} more" if len(missing) > 1 else ""),
            hint=_DAMAGED,
        )
    for (kind, layer), expected in _expected(spec, matrices.values()):
        if kind in kinds and seen.get((kind, layer), 0) != expected:
            where = f"layer {layer}" if layer >= 0 else "the file"
            raise DataError(
                f"{path}: {kind} of {where} has {seen.get((kind, layer), 0):,} "
                f"elements, and {expected:,} by the metadata",
                hint=_DAMAGED,
            )


def _expected(
    spec: ModelSpec,
    matrices: Iterable[object],
) -> Iterator[tuple[tuple[str, int], int]]:
    """((kind, layer), elements of its matrices); layer −1 is outside the stack."""
    named = {row for matrix in matrices for row in getattr(matrix, "rows", ())}
    sums: dict[tuple[str, int], int] = {}
    for row in spec.rows:
        if row.name in named and row.part == "main":
            for layer in row.layers or (-1,):
                key = row.kind, layer
                sums[key] = sums.get(key, 0) + row.elements * row.experts
    yield from sums.items()


def _product(sizes: Iterable[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
