"""The encoder of a multimodal GGUF model: a file of its own beside the model's (``mmproj``).

Source: ggml-org/llama.cpp tools/mtmd/clip.cpp and its converters: architecture ``clip``, blocks of
an image encoder under ``v.blk.N``, of an audio encoder under ``a.blk.N``, projections under ``mm``.
"""

from __future__ import annotations

import re
from pathlib import Path

from planner.errors import DataError
from planner.models.gguf_header import GgufTensor, read_gguf
from planner.models.gguf_types import element_of, scheme_of_stored
from planner.models.links import require_inside
from planner.models.spec import StoredAs, TensorRow
from planner.models.strict_json import shown

ARCHITECTURES = ("clip", "mmproj")
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
    found = sorted(one for one in model.parent.glob("*mmproj*.gguf") if one.name != model.name)
    if not found:
        return (), ""
    if len(found) > 1:
        names = ", ".join(shown(one.name) for one in found[:_SHOWN])
        return (), f"the encoder: {len(found)} projectors lie beside the file ({names})"
    require_inside(found[0], model.parent)
    file = read_gguf(found[0])
    if file.metadata.get("general.architecture") not in ARCHITECTURES:
        raise DataError(
            f"{found[0]}: architecture "
            f"{shown(file.metadata.get('general.architecture'))} is no projector",
            hint="rename the file if it is a model of its own",
        )
    classes: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
    for tensor in file.tensors:
        template, layer = _template(tensor, found[0])
        classes.setdefault((template, tensor.type, tensor.shape), []).append(layer)
    return tuple(
        _row(template, kind, shape, layers) for (template, kind, shape), layers in classes.items()
    ), ""


def _template(tensor: GgufTensor, path: Path) -> tuple[str, int]:
    if not _NAME.fullmatch(tensor.name):
        raise DataError(
            f"{path}: tensor {shown(tensor.name)} is no name of a projector",
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
