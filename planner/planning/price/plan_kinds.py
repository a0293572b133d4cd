"""The kind of a plan, for which rows of served deployments are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.placement.deployment_kinds import POOLED, concurrency_range, layout_class
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS
from planner.planning.plan.evidence import Evidence
from planner.planning.practice.recipes import FAMILIES, Recipe, of_releases
from planner.planning.price.evidence import NONE, PUBLISHED, RECIPE, evidence
from planner.planning.price.kinds import OFFLOAD, ServedKind, model_class
from planner.planning.price.price import Priced
from planner.planning.question.question import Question
from planner.planning.space.model import CostModel

COPIES, TENSOR, EIGHT = "replicas", "tp", "fp8"
"""Independent copies count as what is copied; how schemes of FP8 begin."""


def kind_of(
    model: CostModel, priced: Priced, *, pooled: bool = False, requests: float | None = None
) -> ServedKind:
    """What is served how, with the batch in flight or with ``requests``; ``pooled``: a worker of
    one of two pools."""
    question = model.question
    away = question.offload is not None
    return ServedKind(
        question.engine,
        question.device.architecture,
        question.device.id,
        model_class(question.spec),
        OFFLOAD if away else layout_class(priced.layout, pools=pooled),
        main_scheme(model, priced),
        main_cache(model, priced),
        concurrency_range(priced.requests if requests is None else requests),
    )


def evidence_here(question: Question, kind: ServedKind, metric: str) -> Evidence:
    """What served deployments say of ``metric`` of a ``kind``; where none was served, that others
    publish deployments of it for the question's model and device, if they do."""
    known = evidence(kind, metric)
    if known.level != NONE or not is_published(question, kind):
        return known
    return replace(known, level=RECIPE, kind=PUBLISHED)


def is_published(question: Question, kind: ServedKind) -> bool:
    """Whether somebody publishes a deployment of ``kind`` for the model and device of a question:
    engine, class of layout, format and cache, as far as the source states these."""
    return any(
        recipe.engine == kind.engine
        and recipe_class(recipe) == kind.layout
        and _alike(recipe.weights, kind.precision)
        and recipe.kv in ("", kind.cache)
        for recipe in recipes_here(question)
    )


def recipe_class(recipe: Recipe) -> str:
    """The class of a published deployment's layout; of two pools that of its decode workers."""
    if recipe.layout == COPIES:
        return TENSOR
    return POOLED[recipe.pp > 1] if recipe.layout in POOLED else recipe.layout


def _alike(stated: str, scheme: str) -> bool:
    """Whether a format that a guide states may be ``scheme``: of FP8 the kind is seldom stated."""
    eight = stated.startswith(EIGHT) and scheme.startswith(EIGHT)
    return stated in ("", scheme) or eight


def recipes_here(question: Question) -> tuple[Recipe, ...]:
    """Published deployments of the model, in any release, on the device or on whatever accelerator
    its maker sells."""
    device = question.device
    families = () if device.kind == "cpu" else FAMILIES
    names = {device.id, *(word for word in families if word in device.name.lower())}
    return tuple(r for r in of_releases(question.spec.id) if r.device in names)


def main_cache(model: CostModel, priced: Priced) -> str:
    """The layout of the caches that take most of a decode step; empty where there are none."""
    spent: dict[str, float] = {}
    for cost in priced.costs:
        if model.units[cost.segment.unit].role == "cache":
            name = model.choices[cost.segment.choice]
            spent[name] = spent.get(name, 0.0) + cost.decode_seconds
    return max(spent, key=lambda name: spent[name], default="")


def main_scheme(model: CostModel, priced: Priced) -> str:
    """The scheme that takes most of a decode step: of the experts where there are any, else of the
    dense linears; empty where none has a choice."""
    spent: dict[str, float] = {}
    for cost in priced.costs:
        unit = model.units[cost.segment.unit]
        grouped = unit.kind in EXPERT_KINDS
        if unit.role == "module" and grouped == bool(model.question.spec.experts):
            name = model.choices[cost.segment.choice]
            spent[name] = spent.get(name, 0.0) + cost.decode_seconds
    return max(spent, key=lambda name: spent[name], default="")


def kinds_of(
    model: CostModel,
    choice: Sequence[int],
    layouts: Sequence[Layout],
    requests: Sequence[float],
) -> list[ServedKind]:
    """What is served how by the only assignment, by layout and the requests in flight on it."""
    question = model.question
    names = {
        unit.role: model.choices[c]
        for unit, c in zip(model.units, choice, strict=True)
        if c >= 0 and unit.role in ("cache", "module")
    }
    return [
        ServedKind(
            question.engine,
            question.device.architecture,
            question.device.id,
            model_class(question.spec),
            OFFLOAD if question.offload is not None else layout_class(layout),
            names.get("module", ""),
            names.get("cache", ""),
            concurrency_range(many),
        )
        for layout, many in zip(layouts, requests, strict=True)
    ]
