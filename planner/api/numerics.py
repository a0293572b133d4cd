"""``planner.layer_error``: the error of one layer under each scheme."""

from __future__ import annotations

from collections.abc import Sequence

from planner.errors import InputError, UnknownNameError
from planner.lookup import load_model
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS, modules
from planner.quality.layer_error import LayerNumerics, LayerShape, layer_errors
from planner.typed import typed

NUMERICS_SCHEMES = ("bf16", "fp8-tensor", "fp8-block", "int8-w8a8", "nvfp4", "int4-w4a16")
MOST_SAMPLED = 1 << 20
"""Most tokens and outputs of a layer that are sampled, and the largest seed."""


@typed
def layer_error(model: str | ModelSpec, *, module: str, schemes: Sequence[str] | None = None,
                units: Sequence[str] | None = None, tokens: int = 32, outputs: int = 64,
                seed: int = 1) -> LayerNumerics:
    """The error of one layer of a model under each scheme, split by cause.

    The layer is the widest GEMM (most inputs) of ``module``; ``outputs`` and ``tokens`` are
    sampled. Tensors are synthetic, with the statistics of the module kind.

    Raises:
        UnknownNameError: a module kind that the model does not have, a scheme, a unit.
    """
    for name, value, least in (("tokens", tokens, 1), ("outputs", outputs, 1), ("seed", seed, 0)):
        if not least <= value <= MOST_SAMPLED:
            raise InputError(f"{name} = {value} is out of range",
                             hint=f"{name} is a whole number from {least} to {MOST_SAMPLED}")
    spec = load_model(model)
    gemms = {m.kind: m.gemms for m in modules(spec) if m.kind in PLANNED_KINDS}
    if module not in gemms:
        raise UnknownNameError(f"module of {spec.id}", module, gemms)
    widest = max(gemms[module], key=lambda g: g.inputs)
    shape = LayerShape(module, widest.inputs, min(outputs, sum(n for n, _ in widest.members)),
                       tokens, seed)
    return LayerNumerics(spec.id, shape,
                         layer_errors(shape, schemes or NUMERICS_SCHEMES, units))
