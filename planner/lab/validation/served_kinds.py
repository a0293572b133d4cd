"""Errors of served models by kind of deployment: class of layout, requests in flight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.lab.validation.grouping import SERVED, summarise
from planner.lab.validation.published_case import LISTED
from planner.lab.validation.records import KindErrors, Outcome
from planner.lab.validation.served import Deployed, device_of, layout_of, spec_of
from planner.placement.deployment_kinds import (
    CONCURRENCY_RANGES,
    LAYOUT_CLASSES,
    concurrency_range,
    layout_class,
)
from planner.planning.price.kinds import ServedKind, model_class

METRICS = ("tpot", "ttft", "throughput")
KINDS = {
    "layout_class": LAYOUT_CLASSES,
    "concurrency_range": CONCURRENCY_RANGES,
    "published": LAYOUT_CLASSES,
}
"""What rows are grouped by, and its values in order: columns of closed loops, and the class of
layout of rows of published tables, which state a rate more often than times."""
_PUBLISHED = {"output_tokens_per_second": "throughput", "tpot": "tpot", "ttft": "ttft"}


def by_kind(outcomes: Iterable[Outcome]) -> tuple[KindErrors, ...]:
    """Errors by each of KINDS and metric; kinds without rows are left out."""
    members: dict[tuple[str, str, str], list[Outcome]] = {}
    for o in outcomes:
        if o.predicted is None:
            continue
        if o.regime in SERVED and o.metric in METRICS:
            members.setdefault(("layout_class", o.layout_class, o.metric), []).append(o)
            members.setdefault(("concurrency_range", o.concurrency_range, o.metric), []).append(o)
        elif o.regime == LISTED and o.metric in _PUBLISHED:
            key = ("published", o.layout_class, _PUBLISHED[o.metric])
            members.setdefault(key, []).append(o)
    return tuple(
        kind_errors(by, value, metric, members[by, value, metric])
        for by, values in KINDS.items()
        for value in values
        for metric in METRICS
        if (by, value, metric) in members
    )


def kind_errors(by: str, value: str, metric: str, rows: Sequence[Outcome]) -> KindErrors:
    """Errors of ``rows``, of which there is at least one."""
    errors = summarise([o.error_percent for o in rows])
    inside = 100.0 * sum(o.inside for o in rows) / len(rows)
    return KindErrors(
        by, value, metric, errors.n, errors.median_ape, errors.mape, errors.bias, inside
    )


def served_kind(case: Deployed, requests: float, *, pooled: bool = False) -> ServedKind:
    """What ``case`` is for those who look for rows of a kind, with ``requests`` in flight.

    Raises:
        NotCoveredError: no such model, device or layout.
    """
    spec, device = spec_of(case.model), device_of(case.device)
    recipe = case.recipe
    return ServedKind(
        case.engine,
        device.architecture,
        device.id,
        model_class(spec),
        layout_class(layout_of(spec, case.engine, case.shape, recipe.experts), pools=pooled),
        recipe.dense if spec.experts is None else recipe.experts,
        recipe.kv,
        concurrency_range(requests),
    )
