"""The ``fp8`` method of DeepSeek's releases: E4M3 in 128×128 blocks, and what stays as it is.

Read by vLLM, SGLang, TensorRT-LLM and transformers (FineGrainedFP8Config).
"""

from __future__ import annotations

from typing import Any

from planner.export.assignment import Assignment
from planner.export.targets import Exported, as_json, cache_notes, cannot, require_matrices

TARGET = "fp8"
_SCHEMES = ("fp8-block", "fp8-block-ue8m0")


def export(assignment: Assignment) -> Exported:
    """``quantization_config.json`` with one granularity for all that is quantised.

    Raises:
        UnsupportedError: another scheme, or both roundings of scales together.
    """
    require_matrices(TARGET, assignment)
    used = dict.fromkeys(one.scheme for one in assignment.quantised())
    for one in assignment.quantised():
        if one.scheme not in _SCHEMES or len(used) > 1:
            raise cannot(TARGET, one, "one block format for all that is quantised",
                         " or ".join(_SCHEMES))
    notes = cache_notes(assignment, None)
    if any(one.kind == "mtp" for one in assignment.linears):
        notes.append("the prediction layers (MTP) are not in the plan: they stay unquantised")
    if not used:
        return Exported({}, (TARGET,), tuple(notes), ())
    tied = [] if any(one.kind == "head" for one in assignment.linears) else ["lm_head"]
    names = dict.fromkeys(
        name.partition(".{expert}")[0].format(layer=layer)
        for one in assignment.plain() for layer in one.layers or (-1,) for name in (one.module,))
    config: dict[str, Any] = {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
        "weight_block_size": [128, 128],
        **({"scale_fmt": "ue8m0"} if _SCHEMES[1] in used else {}),
        "modules_to_not_convert": [*tied, *names]}
    return Exported({"quantization_config.json": as_json(config)}, (TARGET,), tuple(notes),
                    _STEPS)


_STEPS = (
    "A checkpoint that is released in this format keeps its tensors; others are quantised in "
    "128×128 blocks, scales in `weight_scale_inv` (transformers `FineGrainedFP8Config` does it).",
    "quantization_config.json is the value of `quantization_config` in config.json.",
)
