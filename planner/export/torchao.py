"""torchao: ``FqnToConfig``, a configuration by module name, as JSON and as a script that uses it.

Source: torchao 0.18, quantization/quant_api.py and core/config.py (``config_from_dict``).
"""

from __future__ import annotations

from typing import Any

from planner.export.assignment import ModuleAssignment
from planner.export.patterns import targets
from planner.export.targets import Exported, as_json, cannot, require_matrices

TARGET = "torchao"


def _record(name: str, version: int, **data: Any) -> dict[str, Any]:
    return {"_type": name, "_version": version, "_data": data}


_ROW = _record("PerRow", 1, dim=-1)
_TENSOR = _record("PerTensor", 1)
SCHEMES: dict[str, dict[str, Any]] = {
    "fp8-tensor": _record(
        "Float8DynamicActivationFloat8WeightConfig", 2, granularity=[_TENSOR, _TENSOR]
    ),
    "fp8-channel": _record(
        "Float8DynamicActivationFloat8WeightConfig", 2, granularity=[_ROW, _ROW]
    ),
    "int8-w8a8": _record("Int8DynamicActivationInt8WeightConfig", 2, granularity=_ROW),
    "int8-w8a16": _record("Int8WeightOnlyConfig", 2, granularity=_ROW),
    "int4-w4a16": _record("Int4WeightOnlyConfig", 2, group_size=128),
    "int4-w4a16-g32": _record("Int4WeightOnlyConfig", 2, group_size=32),
    "nvfp4": _record(
        "NVFP4DynamicActivationNVFP4WeightConfig", 1, use_dynamic_per_tensor_scale=True
    ),
    "nvfp4-w4a16": _record("NVFP4WeightOnlyConfig", 1, use_dynamic_per_tensor_scale=True),
    "mxfp8": _record(
        "MXDynamicActivationMXWeightConfig",
        1,
        block_size=32,
        activation_dtype={"_type": "torch.dtype", "_data": "float8_e4m3fn"},
        weight_dtype={"_type": "torch.dtype", "_data": "float8_e4m3fn"},
    ),
    "mxfp4": _record(
        "MXDynamicActivationMXWeightConfig",
        1,
        block_size=32,
        activation_dtype={"_type": "torch.dtype", "_data": "float4_e2m1fn_x2"},
        weight_dtype={"_type": "torch.dtype", "_data": "float4_e2m1fn_x2"},
    ),
}


# Int4WeightOnlyConfig and Int8WeightOnlyConfig are for matrix products; lookups take these.
TABLES = {
    name: _record(
        "IntxWeightOnlyConfig",
        2,
        weight_dtype={"_type": "torch.dtype", "_data": f"int{bits}"},
        granularity=granularity,
        mapping_type={"_type": "MappingType", "_data": "SYMMETRIC"},
    )
    for name, bits, granularity in (
        ("int8-w8a16", 8, _record("PerAxis", 1, axis=0)),
        ("int4-w4a16", 4, _record("PerGroup", 1, group_size=128)),
        ("int4-w4a16-g32", 4, _record("PerGroup", 1, group_size=32)),
    )
}


def export(assignment: ModuleAssignment, *, expand: bool = False) -> Exported:
    """``fqn_to_config.json`` and ``quantise.py``; ``expand`` names every module in full.

    Raises:
        UnsupportedError: a scheme that torchao has no configuration for.
    """
    require_matrices(TARGET, assignment)
    table: dict[str, Any] = {}
    for linear in assignment.quantised():
        able = TABLES if linear.kind == "embedding" else SCHEMES
        if linear.scheme not in able:
            raise cannot(TARGET, linear, "no such configuration", ", ".join(able))
        table |= dict.fromkeys(targets(linear, expand=expand), able[linear.scheme])
    if not table:
        return Exported({}, (TARGET,), (), ())
    for linear in assignment.plain():
        table |= dict.fromkeys(targets(linear, expand=expand))
    data = _record("FqnToConfig", 1, fqn_to_config=table)
    return Exported(
        {"fqn_to_config.json": as_json(data), "quantise.py": _SCRIPT},
        (TARGET,),
        tuple(_notes(assignment)),
        _STEPS,
    )


def _notes(assignment: ModuleAssignment) -> list[str]:
    out = ["caches: a configuration of weights does not name them"]
    if any(linear.scheme.startswith("int4") for linear in assignment.quantised()):
        out.append(
            "INT4 weights: torchao 0.18 packs them with mslk 1.0.0 or later, which is a "
            "package of its own"
        )
    if any(linear.kind == "router" for linear in assignment.quantised()):
        out.append(
            "a router that the loaded model keeps as a parameter is no such module: it "
            "would stay unquantised"
        )
    if any("{expert}" in linear.module for linear in assignment.quantised()):
        out.append(
            "experts that the loaded model keeps as one parameter have no such modules: "
            "they would stay unquantised"
        )
    return out


_SCRIPT = '''"""Quantise a model as fqn_to_config.json says: python quantise.py MODEL OUT."""

import json
import pathlib
import sys

from torchao.core.config import config_from_dict
from transformers import AutoModelForCausalLM, TorchAoConfig

source, out = sys.argv[1:3]
text = (pathlib.Path(__file__).parent / "fqn_to_config.json").read_text(encoding="utf-8")
config = TorchAoConfig(quant_type=config_from_dict(json.loads(text)), modules_to_not_convert=[])
model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", device_map="auto",
                                             quantization_config=config)
model.save_pretrained(out)
'''
_STEPS = ("Run quantise.py, which loads the model, quantises it module by module and saves it.",)
