"""compressed-tensors: ``quantization_config`` of config.json for vLLM, SGLang and transformers.

Source: vllm-project/compressed-tensors 0.20, quant_config.py, quant_args.py and quant_scheme.py.
"""

from __future__ import annotations

from typing import Any

from planner.export import oneshot
from planner.export.assignment import Linear, ModuleAssignment, from_schemes
from planner.export.patterns import targets
from planner.export.targets import (
    Exported,
    as_json,
    cache_notes,
    cache_of,
    cannot,
    require_matrices,
)
from planner.models.stacked import with_linear_experts

TARGET = "compressed-tensors"


def _number(
    bits: int, kind: str, strategy: str, dynamic: bool | str = False, **more: Any
) -> dict[str, Any]:
    return {
        "num_bits": bits,
        "type": kind,
        "symmetric": True,
        "strategy": strategy,
        "dynamic": dynamic,
        **more,
    }


_E4M3 = {"scale_dtype": "torch.float8_e4m3fn", "zp_dtype": "torch.float8_e4m3fn"}
_NVFP4 = _number(4, "float", "tensor_group", group_size=16, **_E4M3)
_MXFP4 = _number(
    4, "float", "group", group_size=32, scale_dtype="torch.uint8", zp_dtype="torch.uint8"
)
_MXFP8 = _number(
    8, "float", "group", group_size=32, scale_dtype="torch.uint8", zp_dtype="torch.uint8"
)
_BLOCK = _number(8, "float", "block", block_structure=[128, 128])
_E8M0 = {"scale_dtype": "torch.float8_e8m0fnu"}
# Scheme → (format, weights, input activations).
SCHEMES: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "fp8-tensor": (
        "float-quantized",
        _number(8, "float", "tensor"),
        _number(8, "float", "tensor", True),
    ),
    "fp8-channel": (
        "float-quantized",
        _number(8, "float", "channel"),
        _number(8, "float", "token", True),
    ),
    "fp8-block": ("float-quantized", _BLOCK, _number(8, "float", "group", True, group_size=128)),
    "fp8-block-ue8m0": (
        "float-quantized",
        {**_BLOCK, **_E8M0},
        {**_number(8, "float", "group", True, group_size=128), **_E8M0},
    ),
    "fp8-w8a16": ("float-quantized", _BLOCK, None),
    "int8-w8a8": ("int-quantized", _number(8, "int", "channel"), _number(8, "int", "token", True)),
    "int8-w8a16": ("pack-quantized", _number(8, "int", "channel"), None),
    "int4-w4a16": ("pack-quantized", _number(4, "int", "group", group_size=128), None),
    "int4-w4a16-g32": ("pack-quantized", _number(4, "int", "group", group_size=32), None),
    "nvfp4": ("nvfp4-pack-quantized", _NVFP4, {**_NVFP4, "dynamic": "local"}),
    "nvfp4-w4a16": ("nvfp4-pack-quantized", _NVFP4, None),
    "mxfp4": ("mxfp4-pack-quantized", _MXFP4, {**_MXFP4, "dynamic": True}),
    "mxfp4-w4a16": ("mxfp4-pack-quantized", _MXFP4, None),
    "mxfp8": ("mxfp8-quantized", _MXFP8, {**_MXFP8, "dynamic": True}),
}
_CACHE = _number(8, "float", "tensor")


def export(assignment: ModuleAssignment, *, expand: bool = False) -> Exported:
    """``quantization_config.json`` and the llm-compressor recipe that makes such weights;
    ``expand`` names every module in full.

    Raises:
        UnsupportedError: a scheme that the format has no word for.
    """
    assignment = with_split_experts(assignment)
    require_matrices(TARGET, assignment)
    for one in assignment.quantised():
        if one.scheme not in SCHEMES:
            raise cannot(TARGET, one, "no such granularity of scales", ", ".join(SCHEMES))
    groups, ignore = config_groups(assignment, expand), ignored(assignment, expand)
    formats = list(dict.fromkeys(group["format"] for group in groups.values()))
    said = cache_of(assignment)
    config: dict[str, Any] = {
        "quant_method": TARGET,
        "format": formats[0] if len(formats) == 1 else "mixed-precision",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": ignore,
        "kv_cache_scheme": dict(_CACHE) if said == "fp8" else None,
    }
    modifier: dict[str, Any] = {"ignore": ignore, "config_groups": groups}
    if config["kv_cache_scheme"]:
        modifier["kv_cache_scheme"] = config["kv_cache_scheme"]
    recipe = {"quant_stage": {"quant_modifiers": {"QuantizationModifier": modifier}}}
    if not groups:
        return Exported({}, (TARGET,), tuple(_notes(assignment, said)), ())
    files = {
        "quantization_config.json": as_json(config),
        oneshot.RECIPE: as_json(recipe),
        oneshot.FILE: oneshot.script(config),
    }
    return Exported(files, (TARGET,), tuple(_notes(assignment, said)), oneshot.steps(config))


def with_split_experts(assignment: ModuleAssignment) -> ModuleAssignment:
    """``assignment`` with stacked experts under the names that llm-compressor gives them."""
    spec = assignment.spec
    split = with_linear_experts(spec)
    if split is spec:
        return assignment
    caches = {(one.kind, layer): one.layout for one in assignment.caches for layer in one.layers}
    decided = {key: name for key, name in assignment.decided().items() if key not in caches}
    return from_schemes(split, decided, caches, assignment.released_kinds())


def config_groups(assignment: ModuleAssignment, expand: bool = False) -> dict[str, Any]:
    """One group a scheme, in the order of the catalogue above."""
    by_scheme: dict[str, list[Linear]] = {}
    for one in assignment.quantised():
        by_scheme.setdefault(one.scheme, []).append(one)
    out: dict[str, Any] = {}
    for name, (layout, weights, inputs) in SCHEMES.items():
        if name in by_scheme:
            names = [text for one in by_scheme[name] for text in targets(one, expand=expand)]
            out[f"group_{len(out)}"] = {
                "format": layout,
                "targets": names,
                "weights": dict(weights),
                "input_activations": dict(inputs) if inputs is not None else None,
                "output_activations": None,
            }
    return out


def ignored(assignment: ModuleAssignment, expand: bool = False) -> list[str]:
    """Linear layers that stay as they are; a tied head is no row of the model and is named too."""
    return assignment.plain_head() + [
        text for one in assignment.plain() for text in targets(one, expand=expand)
    ]


def _notes(assignment: ModuleAssignment, said: str | None) -> list[str]:
    out = cache_notes(assignment, "fp8" if said == "fp8" else None)
    if any(one.scheme == "fp8-block-ue8m0" for one in assignment.quantised()):
        out.append(
            "power-of-two scales: the group's scale_dtype says them, and vLLM goes by its "
            "own default where DeepGEMM runs (VLLM_USE_DEEP_GEMM_E8M0); compressed-tensors "
            "rounds a scale to the nearest power, the scheme up, so keep released tensors"
        )
    if any(one.kind == "embedding" for one in assignment.quantised()):
        out.append(
            "the embedding is a target by name, which vLLM matches where the model hands "
            "its name on; where it does not, the class name Embedding is the target"
        )
    if any(one.kind == "mtp" for one in assignment.linears):
        out.append("the prediction layers (MTP) are not in the plan: they stay unquantised")
    return out
