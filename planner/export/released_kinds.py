"""What a plan says of heads, embeddings, routers, norms and indexers where it changes them.

They stay as released in most plans; then nothing is said here. A plan may give one another scheme:
that is for its matrices, of an embedding for its table of tokens, and of an indexer for those that
servers quantise (``weights_proj`` is not).
"""

from __future__ import annotations

from collections.abc import Mapping

from planner.base.errors import InputError
from planner.formats.schemes import SCHEMES
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.modules import AS_RELEASED_KINDS, modules
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import Plan, UnitPlan

OUTSIDE = -1
"""The layer of what is outside the stack."""


def changed(plan: Plan, spec: ModelSpec) -> dict[tuple[str, int], str]:
    """(kind, layer) → scheme, of what is in another scheme than its release.

    Raises:
        InputError: a module the model does not have there, a scheme that is not in the catalogue,
        a norm that is not plain, or a tied head apart from its embedding.
    """
    released = released_as(spec)
    out: dict[tuple[str, int], str] = {}
    for unit in plan.units:
        if unit.kind not in AS_RELEASED_KINDS or unit.kv_layout is not None:
            continue
        for layer in unit.layers or (OUTSIDE,):
            key = (unit.kind, layer)
            if key not in released:
                where = f" in layer {layer}" if unit.layers else ""
                raise InputError(
                    f"plan file: {spec.id} has no {unit.kind}{where}",
                    hint="use the plan with the model that it was made for",
                )
            if unit.scheme not in released[key]:
                _check(unit)
                out[key] = unit.scheme
    if spec.tied_embeddings:
        _check_tied(plan, out)
    return out


def released_as(spec: ModelSpec) -> Mapping[tuple[str, int], set[str]]:
    """(kind, layer) → what a unit says that keeps the release; norms and embeddings outside the
    stack may have several tensors, each in its own type."""
    out: dict[tuple[str, int], set[str]] = {}
    for module in modules(spec):
        if module.kind in AS_RELEASED_KINDS:
            for layer in module.layers or (OUTSIDE,):
                out.setdefault((module.kind, layer), set()).add(module.released_as)
    if spec.tied_embeddings and ("embedding", OUTSIDE) in out:
        out["head", OUTSIDE] = out["embedding", OUTSIDE]
    return out


def takes(row: TensorRow, scheme: str) -> bool:
    """Whether a row of a changed module is stored in its ``scheme``."""
    if row.part != "main" or not row.is_matrix:
        return False
    if scheme in PLAIN or row.kind in ("head", "router"):
        return True
    return row.fused == "embedding" if row.kind == "embedding" else row.quantisable


def _check(unit: UnitPlan) -> None:
    where = f"plan file: unit {unit.unit[:80]!r}"
    if unit.scheme not in SCHEMES:
        raise InputError(
            f"{where}: {unit.scheme[:80]!r} is not in the catalogue", hint="see `plan list formats`"
        )
    if unit.kind == "norm" and unit.scheme not in PLAIN:
        raise InputError(
            f"{where}: a norm in {unit.scheme}: it is a vector",
            hint="leave it as released, or in " + ", ".join(PLAIN),
        )


def _check_tied(plan: Plan, formats: dict[tuple[str, int], str]) -> None:
    """A tied head is its embedding's tensor: units of both must agree, and one speaks for both."""
    schemes = {u.scheme for u in plan.units if u.kind in ("embedding", "head")}
    if len(schemes) > 1:
        raise InputError(
            f"plan file: head and embedding are one tensor, in {' and '.join(sorted(schemes))}",
            hint="give both the same scheme",
        )
    formats.pop(("head", OUTSIDE), None)
