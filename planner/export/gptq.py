"""GPTQ: ``quantize_config.json`` of GPTQModel, also ``quantization_config`` of config.json.

``dynamic`` maps an expression to what its modules take: ``-:`` leaves them plain, ``+:`` overrides
bits and group size; the first that matches from the start of a name decides. GPTQModel goes by the
model's own names, vLLM and SGLang by those of the matrices that they fuse, so both are written.
Sources: GPTQModel's README (dynamic quantisation); vLLM layers/quantization/utils/gptq_utils.py and
SGLang layers/quantization/utils.py (``get_dynamic_override``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from planner.export.assignment import Linear, ModuleAssignment
from planner.export.patterns import expressions
from planner.export.targets import Exported, as_json, cache_notes, cannot, require_matrices

TARGET = "gptq"
SCHEMES = {"int4-w4a16": (4, 128), "int4-w4a16-g32": (4, 32), "int8-w8a16": (8, -1)}
"""Scheme → (bits, inputs of a group, -1 for whole rows)."""
_FUSED = {
    "q_proj": ("qkv_proj",),
    "k_proj": ("qkv_proj",),
    "v_proj": ("qkv_proj",),
    "gate_proj": ("gate_up_proj",),
    "up_proj": ("gate_up_proj",),
    "q_a_proj": ("fused_qkv_a_proj", "fused_qkv_a_proj_with_mqa"),
    "kv_a_proj_with_mqa": ("fused_qkv_a_proj", "fused_qkv_a_proj_with_mqa"),
    "in_proj_qkv": ("in_proj_qkvz",),
    "in_proj_z": ("in_proj_qkvz",),
    "in_proj_b": ("in_proj_ba",),
    "in_proj_a": ("in_proj_ba",),
}
_EXPERTS = ".{expert}"


def export(assignment: ModuleAssignment) -> Exported:
    """``quantize_config.json`` and the same block for config.json; the base is the scheme of most
    layers, the others are rules.

    Raises:
        UnsupportedError: a scheme that is no symmetric INT4 or INT8 of weights, or a module that
        GPTQ does not reach.
    """
    require_matrices(TARGET, assignment, ("head", "indexer"))
    sizes: dict[str, int] = {}
    for linear in assignment.quantised():
        if linear.scheme not in SCHEMES:
            raise cannot(TARGET, linear, "no such granularity of weights", ", ".join(SCHEMES))
        sizes[linear.scheme] = (
            sizes.get(linear.scheme, 0) + max(1, len(linear.layers)) * linear.experts
        )
    notes = _notes(assignment)
    if not sizes:
        return Exported({}, (TARGET,), notes, ())
    base = max((name for name in SCHEMES if name in sizes), key=lambda name: sizes[name])
    bits, group = SCHEMES[base]
    head = next((linear for linear in assignment.linears if linear.kind == "head"), None)
    config: dict[str, Any] = {
        "quant_method": TARGET,
        "checkpoint_format": TARGET,
        "bits": bits,
        "group_size": group,
        "sym": True,
        "desc_act": False,
        "lm_head": head is not None and head.scheme in SCHEMES,
        "dynamic": rules(assignment, base),
    }
    text = as_json(config)
    return Exported(
        {"quantize_config.json": text, "quantization_config.json": text}, (TARGET,), notes, _STEPS
    )


def rules(assignment: ModuleAssignment, base: str) -> dict[str, dict[str, Any]]:
    """``dynamic``: every linear layer that is not in the ``base`` scheme, by expression."""
    out: dict[str, dict[str, Any]] = {}
    for linear in assignment.linears:
        if linear.scheme == base or (linear.kind == "head" and linear.scheme not in SCHEMES):
            continue
        for named in _names(linear):
            for text in expressions(named):
                if linear.scheme in SCHEMES:
                    bits, group = SCHEMES[linear.scheme]
                    out["+:" + text] = {"bits": bits, "group_size": group}
                else:
                    out["-:" + text] = {}
    return out


def _names(linear: Linear) -> Iterator[Linear]:
    """The modules by their own name, then by those of the servers' fused matrices."""
    yield linear
    stem, _, last = linear.module.rpartition(".")
    if _EXPERTS in linear.module:
        yield replace(linear, module=linear.module.partition(_EXPERTS)[0], experts=1)
        return
    for name in _FUSED.get(last, ()):
        yield replace(linear, module=f"{stem}.{name}")


def _notes(assignment: ModuleAssignment) -> tuple[str, ...]:
    out = cache_notes(assignment, None)
    if any(linear.kind == "mtp" for linear in assignment.linears):
        out.append("the prediction layers (MTP) are not in the plan: they stay unquantised")
    if len({linear.scheme for linear in assignment.quantised()}) > 1 or assignment.plain():
        out.append(
            "transformers 5.24 does not keep `dynamic` (GPTQConfig): GPTQModel, vLLM and "
            "SGLang read it"
        )
    return tuple(out)


_STEPS = (
    "Make the weights with GPTQModel: `QuantizeConfig.from_pretrained` reads quantize_config.json, "
    "`GPTQModel.load(MODEL, config)` the model, then `quantize` on calibration text and `save`.",
    "quantization_config.json is the value of `quantization_config` in config.json; compare it "
    "with the one that GPTQModel writes.",
)
