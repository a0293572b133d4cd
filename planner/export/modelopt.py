"""NVIDIA ModelOpt: ``hf_quant_config.json`` for TensorRT-LLM, vLLM and SGLang, and the same for
config.json.

Sources: ModelOpt 0.47 modelopt/torch/export/convert_hf_config.py; vLLM modelopt.py, where
MIXED_PRECISION dispatches FP8, NVFP4 and W4A16_NVFP4 and leaves anything else unquantised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from planner.export.assignment import Linear, ModuleAssignment
from planner.export.targets import (
    Exported,
    as_json,
    cache_notes,
    cache_of,
    cannot,
    require_matrices,
)

TARGET = "modelopt"
FILE = "hf_quant_config.json"
VERSION = "0.47.0"
MIXED = {"fp8-tensor": "FP8", "nvfp4": "NVFP4", "nvfp4-w4a16": "W4A16_NVFP4"}
_AWQ = "W4A16_AWQ"
UNIFORM = {
    **MIXED,
    "fp8-channel": "FP8_PER_CHANNEL_PER_TOKEN",
    "mxfp8": "MXFP8",
    "int4-w4a16": _AWQ,
}
_GROUPS = {"NVFP4": 16, "W4A16_NVFP4": 16, "MXFP8": 32, _AWQ: 128}
_CACHES = {"fp8": "FP8", "nvfp4": "NVFP4"}
_CACHE_SCHEMES = {
    "fp8": {"dynamic": False, "num_bits": 8, "type": "float"},
    "nvfp4": {"dynamic": False, "num_bits": 4, "type": "float"},
}
INSIDE = "quantization_config.json"


def export(assignment: ModuleAssignment) -> Exported:
    """``hf_quant_config.json``: one algorithm with ``exclude_modules`` where all quantised layers
    share a scheme, else MIXED_PRECISION with every layer by name.

    Raises:
        UnsupportedError: a scheme that the format has no word for, alone or in a mixture.
    """
    require_matrices(TARGET, assignment, ("head", "router", "indexer"))
    used = tuple(dict.fromkeys(linear.scheme for linear in assignment.quantised()))
    # One algorithm is for linear layers in general; a router is quantised only by its own name.
    listed = len(used) > 1 or any(linear.kind == "router" for linear in assignment.quantised())
    able = MIXED if listed else UNIFORM
    for linear in assignment.quantised():
        if linear.scheme not in able:
            raise cannot(
                TARGET,
                linear,
                "no algorithm for it"
                if linear.scheme not in UNIFORM
                else "MIXED_PRECISION leaves it unquantised in silence",
                ", ".join(able),
            )
    said = cache_of(assignment)
    body = _uniform(assignment, used[0]) if used and not listed else _mixed(assignment)
    quantization = {**body, "kv_cache_quant_algo": _CACHES[said] if said else None}
    producer = {"name": "modelopt", "version": VERSION}
    data = {"producer": producer, "quantization": quantization}
    notes = cache_notes(assignment, said)
    if any(UNIFORM[scheme] == _AWQ for scheme in used):
        notes.append(
            "W4A16_AWQ scales the inputs of each layer as well: rounding may be less than "
            "the plan's"
        )
    if any(linear.kind == "mtp" for linear in assignment.linears):
        notes.append("the prediction layers (MTP) are not in the plan: they stay unquantised")
    if not used:
        return Exported({}, _containers(used), tuple(notes), ())
    files = {FILE: as_json(data), INSIDE: as_json(_inside(body, said, producer))}
    return Exported(
        files, ("modelopt-mixed",) if listed else _containers(used), tuple(notes), _STEPS
    )


def _inside(body: dict[str, Any], cache: str | None, producer: dict[str, str]) -> dict[str, Any]:
    """The same for config.json, where vLLM takes every algorithm: from ``hf_quant_config.json``
    alone it refuses all but FP8 and NVFP4 (0.32, model_arch_config_convertor.py)."""
    rest = {key: value for key, value in body.items() if key != "exclude_modules"}
    return {
        "quant_method": "modelopt",
        **rest,
        "ignore": body["exclude_modules"],
        "kv_cache_scheme": _CACHE_SCHEMES[cache] if cache else None,
        "producer": producer,
    }


def rules_broken(files: Mapping[str, str]) -> list[str]:
    """What readers of a mixture would leave unquantised, or refuse, in the files of an export.

    vLLM and SGLang dispatch three algorithms; SGLang wants one group size for all
    (ModelOptQuantConfig.common_group_size).
    """
    text = files.get(FILE)
    layers = json.loads(text)["quantization"].get("quantized_layers", {}) if text else {}
    others = sorted({entry["quant_algo"] for entry in layers.values()} - set(MIXED.values()))
    sizes = sorted({entry["group_size"] for entry in layers.values() if "group_size" in entry})
    out = (
        [f"MIXED_PRECISION with {', '.join(others)}: left unquantised in silence"] if others else []
    )
    if len(sizes) > 1:
        out.append(f"group sizes {', '.join(map(str, sizes))}: readers take one")
    return out


def _containers(used: tuple[str, ...]) -> tuple[str, ...]:
    return ("modelopt", "modelopt-mixed") if len(used) < 2 else ("modelopt-mixed",)


def _uniform(assignment: ModuleAssignment, scheme: str) -> dict[str, Any]:
    algorithm = UNIFORM[scheme]
    group = {"group_size": _GROUPS[algorithm]} if algorithm in _GROUPS else {}
    scaled = {"has_zero_point": False, "pre_quant_scale": True} if algorithm == _AWQ else {}
    return {"quant_algo": algorithm, **group, **scaled, "exclude_modules": _excluded(assignment)}


def _mixed(assignment: ModuleAssignment) -> dict[str, Any]:
    layers: dict[str, Any] = {}
    for linear in assignment.quantised():
        algorithm = MIXED[linear.scheme]
        entry = {"quant_algo": algorithm}
        group = {"group_size": _GROUPS[algorithm]} if algorithm in _GROUPS else {}
        for name in linear.names():
            layers[name] = {**entry, **group}
    return {
        "quant_algo": "MIXED_PRECISION",
        "exclude_modules": _excluded(assignment),
        "quantized_layers": layers,
    }


def _excluded(assignment: ModuleAssignment) -> list[str]:
    return assignment.plain_head() + [
        name for linear in assignment.plain() for name in _units(linear)
    ]


def _units(linear: Linear) -> list[str]:
    """Names to exclude; the experts of a layer go as one pattern."""
    if "{expert}" not in linear.module:
        return list(linear.names())
    return [linear.module.replace("{expert}", "*").format(layer=layer) for layer in linear.layers]


_STEPS = (
    "Make the weights with ModelOpt (`mtq.quantize`, then `export_hf_checkpoint`), each layer "
    "with the algorithm that hf_quant_config.json names.",
    "hf_quant_config.json belongs beside config.json, and quantization_config.json into it, as "
    "the value of `quantization_config`: vLLM reads a mixture from there alone. Compare both with "
    "what ModelOpt writes.",
)
