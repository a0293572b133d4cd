"""``planner.layer_error``: the error of one layer under each scheme."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.errors import InputError, UnknownNameError
from planner.base.typed import typed
from planner.formats.recipes import recipes_of
from planner.formats.schemes import scheme, stores_exactly
from planner.lookup import load_model
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS, modules
from planner.quality.layer_error import LayerError, LayerNumerics, LayerShape, layer_errors

NUMERICS_SCHEMES = ("bf16", "fp8-tensor", "fp8-block", "int8-w8a8", "nvfp4", "int4-w4a16")
MOST_SAMPLED = 1 << 20
"""Most tokens and outputs of a layer that are sampled, and the largest seed."""


@typed
def layer_error(
    model: str | ModelSpec,
    *,
    module: str,
    schemes: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    tokens: int = 32,
    outputs: int = 64,
    seed: int = 1,
    rules: str | None = None,
    recipes: bool = False,
) -> LayerNumerics:
    """The error of one layer of a model under each scheme, split by cause.

    The layer is the widest GEMM (most inputs) of ``module``; ``outputs`` and ``tokens`` are
    sampled. Tensors are synthetic, with the statistics of the module kind. ``rules``: a preset
    (``modelopt``) whose casts and scales are taken in place of the schemes' own. ``recipes`` adds
    the recipes of the schemes (``nvfp4-4over6``) after each.

    Raises:
        InputError: ``outputs`` or ``tokens`` out of range.
        UnknownNameError: a module kind that the model does not have, a scheme, a unit, a preset.
    """
    for name, value, least in (("tokens", tokens, 1), ("outputs", outputs, 1), ("seed", seed, 0)):
        if not least <= value <= MOST_SAMPLED:
            raise InputError(
                f"{name} = {value} is out of range",
                hint=f"{name} is a whole number from {least} to {MOST_SAMPLED}",
            )
    spec = load_model(model)
    planned = [m for m in modules(spec) if m.kind in PLANNED_KINDS]
    gemms = {m.kind: m.gemms for m in planned}
    if module not in gemms:
        raise UnknownNameError(f"module of {spec.id}", module, gemms)
    widest = max(gemms[module], key=lambda g: g.inputs)
    shape = LayerShape(
        module, widest.inputs, min(outputs, sum(n for n, _ in widest.members)), tokens, seed
    )
    scheme_names = [
        scheme_name
        for name in schemes or NUMERICS_SCHEMES
        for scheme_name in (name, *(recipes_of(scheme(name).id) if recipes else ()))
    ]
    errors = layer_errors(shape, list(dict.fromkeys(scheme_names)), units, rules)
    stored = list(dict.fromkeys(m.released_as for m in planned if m.kind == module))
    return LayerNumerics(spec.id, shape, errors, _notes(spec.id, module, stored, errors))


def _notes(
    model: str, module: str, stored: Sequence[str], errors: Sequence[LayerError]
) -> tuple[str, ...]:
    """What the release stores exactly, which synthetic BF16 weights do not show."""
    notes = []
    for released in stored:
        exact = [
            e.scheme
            for e in errors
            if e.weight
            and scheme(released).weight.scale is not None
            and stores_exactly(released, scheme(e.scheme).weight)
        ]
        if exact:
            notes.append(
                message(
                    "verbs.synthetic_weights",
                    model=model,
                    module=module,
                    released=released,
                    schemes=", ".join(exact),
                )
            )
    return tuple(notes)
