"""Whether a plan keeps the weights of its model's release, and where that release is."""

from __future__ import annotations

from planner.memory.engines.catalog import Engine
from planner.messages.message import Text, message
from planner.models.catalog import bundled_model, catalog
from planner.models.spec import OWN_CODE, ModelSpec
from planner.placement.modules import modules
from planner.planning.engines.remote_code import (
    FLAGS,
    is_trusted,
    remote_code,
    trusted_flags,
)
from planner.planning.engines.routes import same_weights
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import Plan
from planner.throughput.kernels import WEIGHT_ONLY_OF

_OUTSIDE = -1


def is_as_released(plan: Plan, spec: ModelSpec | None = None) -> bool:
    """Whether every weight stays as it is released; caches may be in any layout, and a weight-only
    scheme of the very values that are released counts. Without ``spec``, for a model that is not
    bundled, the plan's recommendation decides, or that a plain release is kept in its own type."""
    said = plan.recommendation
    if said is not None and plan.deployment is None and not said.formats:
        return True
    known = spec or bundled_release(plan)
    if known is None:
        own = plan.model.checkpoint_format
        schemes = [u.scheme for u in plan.units if u.kv_layout is None and u.kind != "router"]
        if given_file(plan) and own not in PLAIN:  # what else it holds lost nothing either
            return own in schemes and plan.quality.high == 0
        return own in PLAIN and all(scheme == own for scheme in schemes)
    released: dict[tuple[str, int], set[str]] = {}
    for module in modules(known):
        for layer in module.layers or (_OUTSIDE,):
            released.setdefault((module.kind, layer), set()).add(module.released_as)
    return all(
        _keeps(unit.scheme, released.get((unit.kind, layer), set()))
        for unit in plan.units
        if unit.kv_layout is None
        for layer in unit.layers or (_OUTSIDE,)
    )


_WIDENED = ("fp8-tensor", "fp8-channel")
"""Releases that engines widen with the scales that they have, whatever those of the twin are."""


def _keeps(scheme: str, released: set[str]) -> bool:
    """Whether ``scheme`` holds the values of one of ``released``, or is what an engine widens it
    to; a tied head has none of its own."""
    return not released or any(
        scheme == name
        or (WEIGHT_ONLY_OF.get(name) == scheme and (same_weights(name) or name in _WIDENED))
        for name in released
    )


def hub_release(plan: Plan) -> str:
    """What engines call the model of ``plan`` that was read from the hub (``org/name``, of a GGUF
    file ``org/name:QUANT``); empty for a model of another place."""
    if ":" not in plan.model.source:
        return ""
    from planner.models.hub.names import name_of_source

    return name_of_source(plan.model.source)


def given_file(plan: Plan) -> str:
    """The GGUF file that ``plan`` was made for, as its question or its engine names it; empty for a
    model of another kind."""
    source = plan.model.source
    if hub_release(plan):
        return hub_release(plan) if source.endswith(".gguf") else ""
    if not source.lower().endswith(".gguf"):
        return ""
    return f"./{source}" if source.startswith("-") else source


def bundled_release(plan: Plan) -> ModelSpec | None:
    """The bundled model of a plan, which its public name stands for; None where it is another
    configuration's."""
    if plan.model.id not in catalog():
        return None
    spec = bundled_model(plan.model.id)
    return spec if spec.config_sha256 == plan.model.config_sha256 else None


def code_of_release(plan: Plan, engine: Engine) -> tuple[list[str], list[Text]]:
    """(the flag that lets ``engine`` run the code that a release carries, where the user gave it;
    whether it needs the flag, where that is not so)."""
    spec = bundled_release(plan)
    own = next((str(a.value) for a in plan.assumptions if a.key == OWN_CODE), "")
    if spec is not None and spec.own_code:
        own = spec.model_type
    flags = trusted_flags(engine.name)
    if engine.name not in FLAGS:
        left = message("reasons.engine_runs_no_code_of_release", engine=engine.name)
        return [], [left] if is_trusted() else []
    known = remote_code(engine, own) if own else None
    if not own or (known is not None and known.runs == "nothing"):
        return flags, [message("reasons.no_code_of_release_is_run")] if flags else []
    if flags:
        return flags, []
    if known is None:
        return [], [message("reasons.release_code_is_not_known", engine=engine.name)]
    part = message(f"reasons.release_code_{known.runs}")
    return [], [message("reasons.release_code_is_run", part=part, flag=FLAGS[engine.name])]
