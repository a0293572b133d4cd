"""The kind of a plan, for which rows of served deployments are looked up."""

from __future__ import annotations

from collections.abc import Sequence

from planner.placement.deployment_kinds import concurrency_range, layout_class
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.kinds import OFFLOAD, ServedKind, model_class
from planner.planning.price.price import Priced
from planner.planning.space.model import CostModel


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
        concurrency_range(priced.batch if requests is None else requests),
    )


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
