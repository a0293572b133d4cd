"""Blocks of 128×128 as DeepSeek's releases have them: ``fp8`` (E4M3), ``blockwise_int8`` (INT8).

``fp8`` is read by vLLM, SGLang, TensorRT-LLM and transformers (FineGrainedFP8Config);
``blockwise_int8`` by SGLang (layers/quantization/blockwise_int8.py). Neither says whether
activations are quantised: servers run weights alone where the device has no such unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.export.assignment import ModuleAssignment
from planner.export.patterns import targets
from planner.export.targets import Exported, as_json, cache_notes, cannot, require_matrices

_SCRIPT = Path(__file__).resolve().parent / "data" / "quantise_blocks.py.txt"
TARGET, INTEGERS = "fp8", "blockwise-int8"


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A format with one kind of block for all that is quantised.

    ``schemes`` maps a scheme to the one that the configuration reads back as; ``head`` begins the
    configuration; ``excluded`` is its key for what stays as it is.
    """

    target: str
    schemes: dict[str, str]
    head: dict[str, Any]
    excluded: str


_FP8 = _Blocks(
    TARGET,
    {"fp8-block": "fp8-block", "fp8-block-ue8m0": "fp8-block-ue8m0", "fp8-w8a16": "fp8-block"},
    {"quant_method": "fp8", "fmt": "e4m3"},
    "modules_to_not_convert",
)
_INT8 = _Blocks(
    INTEGERS, {"int8-block": "int8-block"}, {"quant_method": "blockwise_int8"}, "ignored_layers"
)


def export(assignment: ModuleAssignment) -> Exported:
    """``quantization_config.json`` of method ``fp8``.

    Raises:
        UnsupportedError: another scheme, or two of them together.
    """
    return _export(_FP8, assignment)


def export_integers(assignment: ModuleAssignment) -> Exported:
    """``quantization_config.json`` of method ``blockwise_int8``.

    Raises:
        UnsupportedError: another scheme than int8-block.
    """
    return _export(_INT8, assignment)


def _export(form: _Blocks, assignment: ModuleAssignment) -> Exported:
    require_matrices(form.target, assignment, ("indexer",))
    used = tuple(dict.fromkeys(linear.scheme for linear in assignment.quantised()))
    for linear in assignment.quantised():
        if linear.scheme not in form.schemes or len(used) > 1:
            raise cannot(
                form.target,
                linear,
                "one block format for all that is quantised",
                " or ".join(form.schemes),
            )
    notes = cache_notes(assignment, None)
    released = _released(assignment, {form.schemes.get(name, "") for name in used})
    if any(linear.kind == "mtp" for linear in assignment.linears):
        notes.append(
            "the prediction layers (MTP) are not in the plan: they "
            + ("keep the blocks of the release" if released else "stay unquantised")
        )
    if not used:
        return Exported({}, (form.target,), tuple(notes), ())
    if form.schemes[used[0]] != used[0]:
        notes.append(
            "activations stay wide: the format does not say so, the server's kernel for "
            "the device does"
        )
    names = dict.fromkeys(
        name.partition(".{expert}")[0].format(layer=layer)
        for linear in assignment.plain()
        if linear.kind != "mtp" or linear.module not in released
        for layer in linear.layers or (-1,)
        for name in (linear.module,)
    )
    config: dict[str, Any] = {
        **form.head,
        "activation_scheme": "dynamic",
        "weight_block_size": [128, 128],
        **({"scale_fmt": "ue8m0"} if "fp8-block-ue8m0" in used else {}),
        form.excluded: [*assignment.plain_head(), *names],
    }
    modules = [text for linear in assignment.quantised() for text in targets(linear)]
    files = {
        "quantization_config.json": as_json(config),
        "modules.json": as_json(modules),
        "quantise.py": _SCRIPT.read_text(encoding="utf-8"),
    }
    return Exported(files, (form.target,), tuple(notes), _STEPS[form.target], form.schemes)


def _released(assignment: ModuleAssignment, schemes: set[str]) -> set[str]:
    """Modules of prediction layers that the release stores in the format that is written: a
    checkpoint that keeps its tensors has them so."""
    return {
        row.name.removesuffix(".weight")
        for row in assignment.spec.rows
        if row.part == "mtp" and row.scheme in schemes
    }


_MADE = (
    "`python quantise.py MODEL OUT` (torch and safetensors) quantises the matrices that "
    "modules.json lists in blocks of 128×128, with FP32 scales in `weight_scale_inv`, and "
    "writes `quantization_config` into config.json. MODEL is in 16 bits."
)
_STEPS = {
    TARGET: (
        "A checkpoint that is released in this format keeps its tensors, with "
        "quantization_config.json as the value of `quantization_config` in config.json.",
        _MADE,
    ),
    INTEGERS: (_MADE,),
}
