"""compressed-tensors: ``quantization_config`` of config.json for vLLM, SGLang and transformers.

Source: vllm-project/compressed-tensors 0.20, quant_config.py, quant_args.py and quant_scheme.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    for linear in assignment.quantised():
        if linear.scheme not in SCHEMES:
            raise cannot(TARGET, linear, "no such granularity of scales", ", ".join(SCHEMES))
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
        RECIPE: as_json(recipe),
        FILE: script(config),
    }
    return Exported(files, (TARGET,), tuple(_notes(assignment, said)), steps(config))


def with_split_experts(assignment: ModuleAssignment) -> ModuleAssignment:
    """``assignment`` with stacked experts under the names that llm-compressor gives them."""
    spec = assignment.spec
    split = with_linear_experts(spec)
    if split is spec:
        return assignment
    caches = {
        (entry.kind, layer): entry.layout for entry in assignment.caches for layer in entry.layers
    }
    decided = {key: name for key, name in assignment.decided().items() if key not in caches}
    return from_schemes(split, decided, caches, assignment.released_kinds())


def config_groups(assignment: ModuleAssignment, expand: bool = False) -> dict[str, Any]:
    """One group a scheme, in the order of the catalogue above."""
    by_scheme: dict[str, list[Linear]] = {}
    for linear in assignment.quantised():
        by_scheme.setdefault(linear.scheme, []).append(linear)
    out: dict[str, Any] = {}
    for name, (layout, weights, inputs) in SCHEMES.items():
        if name in by_scheme:
            names = [text for linear in by_scheme[name] for text in targets(linear, expand=expand)]
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
        text for linear in assignment.plain() for text in targets(linear, expand=expand)
    ]


def _notes(assignment: ModuleAssignment, said: str | None) -> list[str]:
    out = cache_notes(assignment, "fp8" if said == "fp8" else None)
    if any(linear.scheme == "fp8-block-ue8m0" for linear in assignment.quantised()):
        out.append(
            "power-of-two scales: the group's scale_dtype says them, and vLLM goes by its "
            "own default where DeepGEMM runs (VLLM_USE_DEEP_GEMM_E8M0); compressed-tensors "
            "rounds a scale to the nearest power, the scheme up, so keep released tensors"
        )
    if any(linear.kind == "embedding" for linear in assignment.quantised()):
        out.append(
            "the embedding is a target by name, which vLLM matches where the model hands "
            "its name on; where it does not, the class name Embedding is the target"
        )
    if any(linear.kind == "mtp" for linear in assignment.linears):
        out.append("the prediction layers (MTP) are not in the plan: they stay unquantised")
    return out


FILE, RECIPE = "quantise.py", "recipe.yaml"
SAMPLES, TOKENS = 512, 2048
"""Calibration texts, and tokens of each, as llm-compressor's examples take them."""
_DATASET = "ultrachat_200k"


def activations_need_data(config: Mapping[str, Any]) -> bool:
    """Whether some activations have a scale that is stored (NVFP4's global one)."""
    return any(
        group["input_activations"] is not None and group["input_activations"]["dynamic"] is not True
        for group in config["config_groups"].values()
    )


def needs_data(config: Mapping[str, Any]) -> bool:
    """Whether a ``quantization_config`` needs calibration data."""
    return config["kv_cache_scheme"] is not None or activations_need_data(config)


def script(config: Mapping[str, Any]) -> str:
    """The program that makes the weights of a ``quantization_config``."""
    if not needs_data(config):
        return _PLAIN
    free = "" if activations_need_data(config) else " | data-free"
    return _CALIBRATED.format(
        usage=f"[TEXTS.json{free}]",
        samples=SAMPLES,
        tokens=TOKENS,
        dataset=_DATASET,
        free=_DATA_FREE if free else "",
    )


def steps(config: Mapping[str, Any]) -> tuple[str, ...]:
    """How the weights are made, and what is left out where no data calibrate them."""
    out = [
        "Install `llmcompressor` (0.14 was tried) and run `python quantise.py MODEL OUT`, MODEL "
        "in 16 bits (a quantised release must be widened first): it calls `oneshot` with "
        f"{RECIPE}, which is JSON, which is YAML."
    ]
    if needs_data(config):
        why = "NVFP4 activations" if activations_need_data(config) else "the FP8 cache"
        out.append(
            f"Scales of {why} are calibrated: on {SAMPLES} conversations of {_DATASET}, "
            'which are downloaded, or on `TEXTS.json`, lines of `{"text": …}`, given as '
            "the third word."
        )
        if not activations_need_data(config):
            out[-1] += (
                " `data-free` as the third word goes without data: the checkpoint then has "
                "no scales of the cache, and the engine takes 1."
            )
    out.append(
        "llm-compressor writes `quantization_config` into config.json itself; compare it "
        "with quantization_config.json, or copy that in where weights were made by another "
        "tool."
    )
    return tuple(out)


_PLAIN = '''"""Quantise a model as recipe.yaml says: python quantise.py MODEL OUT."""

import pathlib
import sys

from llmcompressor import oneshot

source, out = sys.argv[1:3]
recipe = str(pathlib.Path(__file__).parent / "recipe.yaml")
oneshot(model=source, recipe=recipe, output_dir=out)
'''
_CALIBRATED = '''"""Quantise a model as recipe.yaml says: python quantise.py MODEL OUT {usage}."""

import json
import pathlib
import sys

from datasets import load_dataset
from llmcompressor import oneshot

source, out = sys.argv[1:3]
texts = sys.argv[3] if len(sys.argv) > 3 else ""
recipe = json.loads((pathlib.Path(__file__).parent / "recipe.yaml").read_text(encoding="utf-8"))
{free}if texts:
    data = {{"dataset": load_dataset("json", data_files=texts, split="train")}}
else:
    data = {{"dataset": "{dataset}", "splits": "train_sft[:{samples}]"}}
oneshot(model=source, recipe=json.dumps(recipe), output_dir=out,
        num_calibration_samples={samples}, max_seq_length={tokens}, **data)
'''
_DATA_FREE = """if texts == "data-free":
    del recipe["quant_stage"]["quant_modifiers"]["QuantizationModifier"]["kv_cache_scheme"]
    oneshot(model=source, recipe=json.dumps(recipe), output_dir=out)
    sys.exit()
"""
