"""Published quantised releases of a model as rivals: each in the very formats that it is stored in.

A release is named as schemes by kind of module (``bf16,experts-gate-up=nvfp4``), so that it is
placed like any named assignment. What an engine runs weight-only is taken as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.placement.modules import PLANNED_KINDS
from planner.planning.engines.mixes import engine_mixes
from planner.planning.engines.published import PublishedWeights, published_weights
from planner.planning.plan import names
from planner.planning.question.named import BY_KIND
from planner.planning.search.rivals import Rival, as_result, rival_of
from planner.planning.search.uniform import (
    PlacedUniform,
    UniformQuery,
    placed_uniforms,
    uniform_choice,
    uniform_loss,
)
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel
from planner.throughput.kernels import WEIGHT_ONLY_OF

PLAIN = "bf16"


def releases_of(model: CostModel) -> dict[str, PublishedWeights]:
    """The published releases of the model by what they are named as a plan's formats, the first of
    each; without files in mixtures of llama.cpp, which are named themselves."""
    out: dict[str, PublishedWeights] = {}
    for row in published_weights(model.question.spec.id):
        name = release_name(row, model)
        if name:
            out.setdefault(name, row)
    return out


def release_name(row: PublishedWeights, model: CostModel) -> str:
    """A release as schemes by kind; a scheme alone where all kinds have it, empty where the way to
    serve has not all of its schemes."""
    if {row.attention, row.dense, row.experts} & engine_mixes().keys():
        return ""
    able = model.question.schemes
    kinds = dict.fromkeys(m.kind for m in model.planned if m.kind in PLANNED_KINDS)
    named = {kind: _as_run(row.group(kind), able) for kind in kinds}
    if not all(scheme in able for scheme in named.values()):
        return ""
    schemes = set(named.values())
    if len(schemes) == 1:
        return schemes.pop()
    return ",".join([PLAIN, *(f"{kind}{BY_KIND}{scheme}" for kind, scheme in named.items())])


def _as_run(scheme: str, able: Sequence[str]) -> str:
    """The scheme that weights stored in ``scheme`` run as: weight-only where that is all there
    is."""
    return scheme if scheme in able else WEIGHT_ONLY_OF.get(scheme, scheme)


def release_rivals(spaces: Sequence[Space], allowed: float | None) -> tuple[Rival, ...]:
    """The releases of mixed formats with every cache, each on its best layout and batch, whose
    losses are ``allowed``; those of one format are rivals as uniform plans."""
    wanted = [
        (
            space,
            [
                UniformQuery(name, kv, limits=True)
                for name in releases_of(space.model)
                if BY_KIND in name
                for kv in _caches(space.model)
                if release_allowed(space.model, name, kv, allowed)
            ],
        )
        for space in spaces
    ]
    best: dict[tuple[str, str], PlacedUniform] = {}
    for placed in placed_uniforms([item for item in wanted if item[1]]):
        pair = placed.wanted.scheme, placed.wanted.kv
        if pair not in best or placed.score < best[pair].score * (1 - TOLERANCE):
            best[pair] = placed
    out = []
    for (name, kv), placed in best.items():
        row = releases_of(placed.space.model)[name]
        shown = row.repository if kv == PLAIN else names.with_cache(row.repository, kv)
        out.append(replace(rival_of(shown, "release", as_result(placed)), release=row))
    return tuple(out)


def _caches(model: CostModel) -> tuple[str, ...]:
    """The caches to try, those named by layer as one."""
    question = model.question
    return question.kv[:1] if question.kv_of_layer else question.kv


def release_allowed(model: CostModel, name: str, kv: str, allowed: float | None) -> bool:
    """Whether every unit can take a named assignment, and its loss is ``allowed``."""
    choice = uniform_choice(model, name, kv)
    if choice is None or allowed is None:
        return choice is not None
    return uniform_loss(model, choice) <= allowed * (1 + TOLERANCE) + 1e-12
