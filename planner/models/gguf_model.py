"""A model from a GGUF file: its metadata gives the structure, its tensors their own types.

The encoder of a multimodal model is a file of its own beside the model's (``mmproj``): architecture
``clip``, blocks of an image encoder under ``v.blk.N``, of an audio encoder under ``a.blk.N``,
projections under ``mm`` (llama.cpp tools/mtmd/clip.cpp and its converters).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from planner.base.errors import DataError, UnsupportedError
from planner.base.strict_json import short_repr
from planner.models.families import builder_of
from planner.models.families.common import NO_PREDICTION
from planner.models.families.vision import NO_VISION
from planner.models.fields import Fields
from planner.models.gguf_configs import ARCHITECTURE_CONFIGS
from planner.models.gguf_header import GgufFile, GgufTensor, Metadata, read_gguf
from planner.models.gguf_names import GGUF_NAMES
from planner.models.gguf_types import element_of, scheme_of_stored
from planner.models.headers import file_size
from planner.models.links import require_inside
from planner.models.quantization.plan import largest_scheme
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec, StoredAs, TensorRow

_DAMAGED = "the file is damaged or incomplete: convert or download it again"

_FAMILIES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3moe": "qwen3_moe"}
_SEEING = ("qwen2vl", "qwen3vl", "qwen3vlmoe")
"""Architectures that have an encoder, which is in a file of its own."""
_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
_MAX_PARTS = 1000
_KEYS = {
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count",
    "max_position_embeddings": "context_length", "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv", "head_dim": "attention.key_length",
    "intermediate_size": "feed_forward_length", "vocab_size": "vocab_size",
}  # fmt: skip
_EXPERT_KEYS = {
    "num_experts": "expert_count", "num_local_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count", "moe_intermediate_size":
    "expert_feed_forward_length",
}  # fmt: skip
# Frequencies of rotary embeddings: data, not parameters.
_DATA = frozenset({"rope_freqs.weight"})
_LAYER = "model.layers.{layer}."


def spec_from_gguf(
    path: Path,
    *,
    model_id: str,
    public_name: str,
    size_of: Callable[[Path], int] = file_size,
) -> ModelSpec:
    """The ModelSpec of a GGUF file, or of all parts of one that was split, with the encoder of the
    projector (``mmproj``) that lies beside it.

    Every row has the type its tensors are stored in; ``ggml-…`` schemes name the block formats;
    ``size_of`` says the bytes of a file where ``path`` has the head alone.

    Raises:
        DataError: an invalid file, metadata that is missing, or tensors that differ from it.
        UnsupportedError: an architecture that is not mapped.
    """
    file = _with_all_parts(path, size_of)
    config, model_type = _config(file, path)
    build = builder_of(model_type, str(path), config, through=False)
    origin = Provenance(
        id=model_id, public_name=public_name, source=str(path), source_kind="file",
        config_sha256=hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
    )  # fmt: skip
    fields = Fields(config, f"{path}: metadata")
    fields.take("model_type")
    spec = build(fields, model_type, origin)
    rows = _rows(spec, file, path, model_type)
    plain = max(("fp32", "bf16", "fp16"), key=lambda name: sum(
        row.elements * row.copies for row in rows if row.dtype == name))  # fmt: skip
    encoder, why = encoder_rows(path)
    predicts = any(row.part == "mtp" for row in rows)
    counted = (NO_VISION,) * bool(encoder) + (NO_PREDICTION,) * predicts
    sees = file.metadata["general.architecture"] in _SEEING
    left_out = tuple(
        part_name
        for part_name in (*spec.not_counted, *((NO_VISION,) * sees))
        if part_name not in counted
    )
    return replace(
        spec,
        rows=(*rows, *encoder),
        quantization=largest_scheme(rows, plain),
        not_counted=(*left_out, *((why,) if why else ())),
        mtp_layers=max((len(row.layers) for row in rows if row.part == "mtp"), default=0),
    )


def _rows(spec: ModelSpec, file: GgufFile, path: Path, model_type: str) -> list[TensorRow]:
    """The rows of ``spec`` as the file stores them: renamed one by one where the architecture cuts
    nothing, else made of its tensors."""
    if str(file.metadata["general.architecture"]) not in _FAMILIES:
        from planner.models.gguf_rows import rows_of_file

        return list(rows_of_file(spec, file, path))
    gguf_tensors = {tensor.name: tensor for tensor in file.tensors}
    rows = [row for item in spec.rows for row in _stored_rows(item, gguf_tensors, path)]
    rows += [_data_row(gguf_tensors.pop(name)) for name in sorted(_DATA & set(gguf_tensors))]
    if gguf_tensors:
        names = ", ".join(short_repr(name) for name in sorted(gguf_tensors)[:4])
        raise DataError(
            f"{path}: {len(gguf_tensors)} tensors that {model_type} does not have: {names}",
            hint="plan the model's config.json instead, or convert it again with a "
            "current llama.cpp",
        )
    return rows


def _with_all_parts(path: Path, size_of: Callable[[Path], int]) -> GgufFile:
    """The file, with the tensors of its other parts."""
    file = read_gguf(path, size_of)
    parts = file.metadata.get("split.count", 1)
    if parts in (0, 1):
        return file
    named = _SPLIT.search(path.name)
    if named is None or parts != int(named[1]) or not 1 < int(named[1]) <= _MAX_PARTS:
        raise DataError(
            f"{path}: one of {short_repr(parts)} parts, which its name does not say",
            hint="name the parts as they were written: NAME-00001-of-00003.gguf",
        )
    stem = path.name[: named.start()]
    tensors: list[GgufTensor] = []
    for number in range(1, int(named[1]) + 1):
        other = path.with_name(f"{stem}-{number:05d}-of-{named[1]}.gguf")
        require_inside(other, path.parent)
        part = read_gguf(other, size_of)
        tensors += part.tensors
        if number == 1:
            file = part
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise DataError(
            f"{path}: a tensor is in two parts",
            hint="remove the part that does not belong to the others",
        )
    return replace(file, tensors=tuple(tensors))


def _config(file: GgufFile, path: Path) -> tuple[dict[str, object], str]:
    """The metadata in the keys of the family's configuration, and its ``model_type``."""
    name = file.metadata.get("general.architecture")
    if name in PROJECTORS:
        raise UnsupportedError(
            f"{path}: a multimodal projector (mmproj), not a language model",
            hint="name the model's own .gguf file; its encoder lies beside it",
        )
    if not isinstance(name, str) or name not in (*_FAMILIES, *ARCHITECTURE_CONFIGS):
        raise UnsupportedError(
            f"{path}: architecture {short_repr(name)} is not mapped to a family",
            hint="understood: " + ", ".join(sorted((*_FAMILIES, *ARCHITECTURE_CONFIGS))),
        )
    shapes = {tensor.name: tensor.shape for tensor in file.tensors}
    embedding = shapes.get("token_embd.weight", ())
    if len(embedding) != 2:
        raise DataError(f"{path}: token_embd.weight is missing or not a matrix", hint=_DAMAGED)
    if name in ARCHITECTURE_CONFIGS:
        architecture_config = ARCHITECTURE_CONFIGS[name](Metadata(file, name, path))
        return architecture_config, str(architecture_config["model_type"])
    experts = bool(file.metadata.get(f"{name}.expert_count"))
    model_type = "mixtral" if name == "llama" and experts else _FAMILIES[name]
    keys = _KEYS | (_EXPERT_KEYS if experts else {})
    skipped = {"num_experts", "moe_intermediate_size"} if model_type == "mixtral" else {
        "num_local_experts"}  # fmt: skip
    config: dict[str, object] = {
        key: file.metadata[f"{name}.{own}"]
        for key, own in keys.items()
        if f"{name}.{own}" in file.metadata and key not in skipped
    }
    config |= {"model_type": model_type, "torch_dtype": "bfloat16", "vocab_size": embedding[0],
               "tie_word_embeddings": "output.weight" not in shapes}  # fmt: skip
    if model_type == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in shapes
    return config, model_type


def _gguf_name(row: TensorRow, path: Path) -> str:
    """The template of ``row`` in llama.cpp's names."""
    stem, _, end = row.name.rpartition(".")
    prefix = "blk.{layer}." if stem.startswith(_LAYER) else ""
    name = GGUF_NAMES.get(stem.removeprefix(_LAYER))
    if name is None:
        raise UnsupportedError(
            f"{path}: {row.name} has no name in GGUF files that is understood",
            hint="plan the safetensors checkpoint or its config.json instead",
        )
    return f"{prefix}{name}.{end}"


def _stored_rows(row: TensorRow, tensors: dict[str, GgufTensor], path: Path) -> Iterator[TensorRow]:
    """``row`` once for each type its layers are stored in."""
    template = _gguf_name(row, path)
    shape = (row.experts, *row.shape) if row.experts > 1 else row.shape
    layers_of: dict[str, list[int]] = {}
    for layer in row.layers or (-1,):
        name = template.format(layer=layer)
        tensor = tensors.pop(name, None)
        if tensor is None:
            raise DataError(f"{path}: {name} is missing", hint=_DAMAGED)
        if tensor.shape != shape:
            raise DataError(f"{path}: {name} is {'x'.join(map(str, tensor.shape))}, not "
                            f"{'x'.join(map(str, shape))}", hint=_DAMAGED)  # fmt: skip
        layers_of.setdefault(tensor.type, []).append(layer)
    for kind, layers in layers_of.items():
        yield replace(
            row, name=template, layers=tuple(layers) if row.layers else (), dtype=element_of(kind),
            scheme=scheme_of_stored(kind),
            stored=StoredAs(template, kind, shape), stacked=row.experts > 1,
        )  # fmt: skip


def _data_row(tensor: GgufTensor) -> TensorRow:
    return TensorRow(
        name=tensor.name, kind="norm", shape=tensor.shape, layers=(), experts=1,
        fused="rope-frequencies", shard="replicated", dtype=element_of(tensor.type),
        scale_name=None, scale_shape=None, scale_dtype=None, part="main", counted=False,
        stored=StoredAs(tensor.name, tensor.type, tensor.shape),
    )  # fmt: skip


PROJECTORS = ("clip", "mmproj")
_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,200}")
_BLOCK = re.compile(r"((?:[\w.\-]+\.)?blk\.)(\d{1,4})(\..+)")
_KINDS = (
    (r".*(norm|ln\d?|ln_\w+)(\.|$).*", "norm"),
    (r".*attn_(out|output).*", "attention-out"),
    (r".*attn_.*", "attention-qkv"),
    (r".*ffn_down.*", "mlp-down"),
    (r".*(ffn_|mm\.|fc|proj).*", "mlp-gate-up"),
)
_SHOWN = 3


def encoder_rows(model: Path) -> tuple[tuple[TensorRow, ...], str]:
    """The rows of the projector beside a model's file, and why it is not counted ("" if it is, or
    there is none).

    Raises:
        DataError: an invalid file, one that is no projector, or a link out of the folder.
    """
    paths = sorted(path for path in model.parent.glob("*mmproj*.gguf") if path.name != model.name)
    if not paths:
        return (), ""
    if len(paths) > 1:
        names = ", ".join(short_repr(path.name) for path in paths[:_SHOWN])
        return (), f"the encoder: {len(paths)} projectors lie beside the file ({names})"
    require_inside(paths[0], model.parent)
    file = read_gguf(paths[0])
    if file.metadata.get("general.architecture") not in PROJECTORS:
        raise DataError(
            f"{paths[0]}: architecture "
            f"{short_repr(file.metadata.get('general.architecture'))} is no projector",
            hint="rename the file if it is a model of its own",
        )
    classes: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
    for tensor in file.tensors:
        template, layer = _template(tensor, paths[0])
        classes.setdefault((template, tensor.type, tensor.shape), []).append(layer)
    return tuple(
        _row(template, kind, shape, layers) for (template, kind, shape), layers in classes.items()
    ), ""


def _template(tensor: GgufTensor, path: Path) -> tuple[str, int]:
    if not _NAME.fullmatch(tensor.name):
        raise DataError(
            f"{path}: tensor {short_repr(tensor.name)} is no name of a projector",
            hint="the file is damaged or incomplete: convert or download it again",
        )
    inside = _BLOCK.fullmatch(tensor.name)
    return (f"{inside[1]}{{layer}}{inside[3]}", int(inside[2])) if inside else (tensor.name, -1)


def _row(template: str, type_: str, shape: tuple[int, ...], layers: list[int]) -> TensorRow:
    kind = next((own for pattern, own in _KINDS if re.fullmatch(pattern, template)), "embedding")
    return TensorRow(
        name=template, kind=kind, shape=shape, layers=() if layers[0] < 0 else
        tuple(sorted(layers)), experts=1, fused="vision-" + template.replace(".", "-"),
        shard="replicated", dtype=element_of(type_), scale_name=None, scale_shape=None,
        scale_dtype=None, part="vision", scheme=scheme_of_stored(type_),
        stored=StoredAs(template, type_, shape),
    )  # fmt: skip
