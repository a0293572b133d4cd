"""What composed times were measured to be off by, beside their operators' errors.

The common term of a kind is the log-space standard deviation that, in quadrature with what
operators explain, holds four of five of the residuals of served rows
(:mod:`planner.planning.price.evidence`). All rows of other models count: each pair of engine and
model weighs alike, and rows of a like kind ALIKE times as much for each thing that they share. Rows
of the scored model never do, but for its rows on other engines where no other model has any of its
class in as many pools.

Where no deployment of a kind was measured, what leaving such kinds out cost where they were
measured is added (``planning/data/left_out_kinds.csv``, which ``benchmarks/evidence.py`` writes).
Not knowing an engine costs its TTFT most, because of the queue; engines whose prompts were measured
with one user take what leaving out kinds of such rows cost (PROMPT).
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path

from planner.base.records import record
from planner.hardware.profile import DeviceProfile, Quantity
from planner.placement.deployment_kinds import POOLED
from planner.planning.price.evidence import (
    CLOSED_LOOPS,
    METRICS,
    NONE,
    Residuals,
    evidence,
    of_one_user,
    served_residuals,
)
from planner.planning.price.kinds import ONE_POOL, PLAIN_CACHES, ServedKind
from planner.planning.price.served_sigmas import Z80 as Z80
from planner.planning.price.served_sigmas import Sigmas
from planner.throughput.calibration import ANY_ENGINE

FILE = Path(__file__).resolve().parents[1] / "data" / "left_out_kinds.csv"
INSIDE = 0.80
LEAST = 0.02
"""What repeats of one configuration differ by."""
ALIKE = {"pools": 8.0, "latent attention": 3.0, "experts": 2.0, "requests": 2.0}
"""How much more a row counts that is in two pools as well, or in one; of a model with latent
attention, or with experts, as well, or without; in the same range of requests."""
LATENT = ("mla", "compressed")
PROMPT = "prompt"
"""In the file: TTFT of engines whose prompts were measured with one user."""
OTHER_BUILD = 0.15
"""What another build or driver of an engine of one user adds to its operators' errors: their served
rows are told with it, and kinds of theirs that nobody measured are at least as wide."""
WIDEST = "*"
"""The value of a key for all others."""
LEFT_OUT = ("engine", "architecture", "model", "layout", "cache")
ENOUGH = 40
"""Rows of a value by which it is known what knowing nothing of it costs; others take the widest of
their key."""

Features = tuple[bool, str, str]
"""In two pools, class of model, range of requests."""


@record
class ServedError:
    """A row as the widths see it: the common term that it ``needs`` to lie inside, the ``pair`` of
    engine and model that it is of, and its ``features``."""

    needs: float
    pair: tuple[str, str]
    features: Features


def common_sigmas(kind: ServedKind, model_id: str) -> Sigmas:
    """The common terms of ``model_id`` served as ``kind``."""
    return _common(_features(kind), kind.engine, model_id)


@lru_cache(maxsize=4096)
def _common(features: Features, engine: str, model_id: str) -> Sigmas:
    return Sigmas(
        *(
            weighted(_of_others(_rows(metric), features, engine, model_id), features)
            for metric in METRICS
        )
    )


def _of_others(
    rows: Sequence[ServedError], features: Features, engine: str, model_id: str
) -> Sequence[ServedError]:
    """The rows that may set the width of ``model_id`` on ``engine``."""
    others = [row for row in rows if row.pair[1] != model_id]
    if any(row.features[:2] == features[:2] for row in others):
        return others
    return [row for row in rows if row.pair[1] != model_id or row.pair[0] != engine]


def _features(kind: ServedKind) -> Features:
    return kind.layout in POOLED, kind.model, kind.requests


@cache
def _rows(metric: str) -> tuple[ServedError, ...]:
    """The rows of served deployments by what they need."""
    return ordered(
        r for r in served_residuals() if r.metric == metric and r.table.startswith(CLOSED_LOOPS)
    )


def ordered(lines: Iterable[Residuals]) -> tuple[ServedError, ...]:
    """The rows of ``lines``, those that need least first."""
    return tuple(
        sorted(
            (
                ServedError(needed(x, o), (r.kind.engine, r.model_id), _features(r.kind))
                for r in lines
                for x, o in zip(r.residuals, r.operators, strict=True)
            ),
            key=lambda row: row.needs,
        )
    )


def needed(residual: float, operators: float) -> float:
    """The least common term with which a row lies inside its interval."""
    return math.sqrt(max((residual / Z80) ** 2 - operators**2, LEAST**2))


def weighted(rows: Sequence[ServedError], features: Features) -> float:
    """The common term that holds INSIDE of ``rows``, ascending by what they need, weighed by
    likeness to ``features``; LEAST for none."""
    sizes = Counter(row.pair for row in rows)
    weights = [_likeness(row.features, features) / sizes[row.pair] for row in rows]
    left = INSIDE * math.fsum(weights)
    for row, weight in zip(rows, weights, strict=True):
        left -= weight
        if left <= 1e-12:
            return row.needs
    return LEAST


def _likeness(one: Features, other: Features) -> float:
    shared = (
        ("pools", one[0] == other[0]),
        ("latent attention", (one[1] in LATENT) == (other[1] in LATENT)),
        ("experts", (one[1] == "dense") == (other[1] == "dense")),
        ("requests", one[2] == other[2]),
    )
    return math.prod(ALIKE[name] for name, same in shared if same)


@lru_cache(maxsize=4096)
def unmeasured_sigmas(kind: ServedKind) -> Sigmas:
    """What is added for ``kind`` where no deployment of it was measured; 0 where one was."""
    return Sigmas(
        *(
            _left_out(kind, metric) if evidence(kind, metric).level == NONE else 0.0
            for metric in METRICS
        )
    )


def _left_out(kind: ServedKind, metric: str) -> float:
    """The largest cost of leaving out what too few rows of the engine have of ``kind``: the engine
    itself, the architecture, class of model, cache or class of layout; the widest of any where each
    is known by itself and their combination is not, and where leaving it out cost nothing that
    rows tell."""
    lines = [r for r in served_residuals() if r.metric == metric]
    mine = [r for r in lines if _shared(r.kind, kind, "engine")]
    known = {
        key: sum(len(r.residuals) for r in mine if _shared(r.kind, kind, key)) for key in LEFT_OUT
    }
    costs = _costs()
    name = PROMPT if metric == "ttft" and kind.engine in of_one_user() else metric
    few = [key for key, rows in known.items() if rows < ENOUGH]
    found = (costs.get((name, key, getattr(kind, key)), costs[name, key, WIDEST]) for key in few)
    widest = max(found, default=0.0) or costs[name, "cache", WIDEST]
    return max(widest, OTHER_BUILD) if name == PROMPT else widest


def _shared(one: ServedKind, other: ServedKind, key: str) -> bool:
    mine, its = getattr(one, key), getattr(other, key)
    alike = {"cache": PLAIN_CACHES, "layout": ONE_POOL}.get(key, ())
    if mine in alike and its in alike:
        return True
    return bool(mine == its) or (key == "engine" and its == ANY_ENGINE)


@cache
def _costs() -> dict[tuple[str, str, str], float]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return {
            (row["metric"], row["key"], row["value"]): float(row["sigma"])
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
            if row["value"] == WIDEST or int(row["rows"]) >= ENOUGH
        }


def forget() -> None:
    """Read the data again: they were written anew."""
    for known in (_common, _rows, _costs, unmeasured_sigmas):
        known.cache_clear()


def assumed_sigma(device: DeviceProfile, metric: str) -> float:
    """Log-space standard deviation of all times of ``metric`` (tpot or ttft) on a machine whose
    bandwidth nobody measured, or whose figures are from memory: that of its bandwidth for decode
    steps, of its rates for prompts; the ranges of both are taken to hold 80 %. 0 where they are
    known."""
    drawn = device.bandwidth_bytes_per_s
    if metric == "tpot":
        return _width(drawn) if drawn.kind in ("assumed", "recalled") else 0.0
    rates = [rate.dense for rate in device.rates.values()]
    unsure = [r for r in rates if drawn.kind == "assumed" or r.kind == "recalled"]
    return max(map(_width, unsure), default=0.0)


def _width(quantity: Quantity) -> float:
    if quantity.low is None or quantity.high is None:
        return 0.0
    return math.log(quantity.high / quantity.low) / (2 * Z80)
