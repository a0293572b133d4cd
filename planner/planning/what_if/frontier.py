"""The frontier of loss, throughput and memory: loss and memory budgets are moved, the best plan
under each is kept where no other is as good in all three."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.base.display import as_frame, as_table, as_text, with_former_methods
from planner.base.errors import InputError
from planner.placement.modules import EXPERT_KINDS, Module
from planner.planning.price.price import Priced, price
from planner.planning.search.requery import Optimum, best_in, loss_of, priced
from planner.planning.search.spaces import grid_space, with_question
from planner.planning.solver.problem import Array
from planner.planning.space.losses import saturated_loss
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel

if TYPE_CHECKING:
    import pandas as pd

    from planner.planning.what_if.regimes import PhaseMap

LEVELS = 5
"""Memory budgets: the whole one has half of the points, the others share the rest."""
MOST_POINTS = 1000
ROOM = 1e-9


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One plan of the frontier. Loss is in the question's unit; bytes are of the fullest device.

    ``schemes`` are shares of the parameters of decided modules by scheme, ``kv`` the cache
    layouts; ``knee`` marks the point furthest from the chord.
    """

    loss: float
    output_tokens_per_second_per_device: float
    total_bytes_per_device: int
    weights_bytes_per_device: int
    tpot_seconds: float
    ttft_seconds: float
    devices: int
    batch: int
    layout: tuple[int, int, int, int]
    schemes: tuple[tuple[str, float], ...]
    experts: str
    dense: str
    kv: str
    knee: bool = False


@with_former_methods
@dataclass(frozen=True)
class Frontier:
    """The points in order of loss; ``map`` where it was asked for, ``engine`` the one that serves
    them, with its version. ``gap`` is the relative
    distance to which each question was answered."""

    model: str
    device: str
    context: int
    loss_unit: str
    gap: float
    points: tuple[FrontierPoint, ...]
    map: PhaseMap | None
    engine: str = "any"

    @property
    def knee(self) -> FrontierPoint | None:
        """The point at the knee, None where the frontier has none."""
        return next((p for p in self.points if p.knee), None)

    def to_frame(self) -> pd.DataFrame:
        """One row a point; units of measure are in the column names."""
        frame = as_frame([asdict(point) for point in self.points])
        for name, column in zip(
            ("tp", "dp", "pp", "ep"), zip(*frame.pop("layout"), strict=True), strict=True
        ):
            frame[name] = column
        frame["schemes"] = [", ".join(f"{n} {v:.0%}" for n, v in p.schemes) for p in self.points]
        return frame

    __str__ = as_text

    def _repr_html_(self) -> str:
        shown = self.to_frame()[
            [
                "loss",
                "output_tokens_per_second_per_device",
                "total_bytes_per_device",
                "tpot_seconds",
                "batch",
                "dense",
                "experts",
                "kv",
            ]
        ]
        return as_table(shown)

    def to_dict(self) -> dict[str, Any]:
        """The frontier as JSON values."""
        data = asdict(self)
        for point in data["points"]:
            point["layout"] = dict(zip(("tp", "dp", "pp", "ep"), point["layout"], strict=True))
            point["schemes"] = [{"scheme": n, "share": v} for n, v in point["schemes"]]
        for cell in (data["map"] or {"cells": ()})["cells"]:
            cell["layout"] = dict(zip(("tp", "dp", "pp", "ep"), cell["layout"], strict=True))
        return data


def frontier_points(models: Sequence[CostModel], count: int) -> tuple[FrontierPoint, ...]:
    """About ``count`` questions over all ways to serve (``models``); the points that no other
    dominates, in order of loss. Empty where nothing fits.

    Raises:
        InputError: a count out of range.
    """
    if not 2 <= count <= MOST_POINTS:
        raise InputError(f"--points {count} is out of range", hint=f"2 to {MOST_POINTS} points")
    points: list[FrontierPoint] = []
    for model in models:
        answers = _answers(model, max(2, count // len(models)))
        points += [
            _point(model, answer, answer_price)
            for answer, answer_price in zip(answers, priced(answers), strict=True)
            if answer_price is not None
        ]
    kept = undominated(points)
    return with_knee(kept)


def _bytes_of(answer: Optimum) -> int:
    """Bytes of an answer on its fullest rank."""
    return price(answer.space, answer.candidate, answer.segments).fullest.total


def _answers(model: CostModel, count: int) -> list[Optimum]:
    """Distinct best assignments under the moved budgets."""
    space = grid_space(model)
    if space is None:
        return []
    free = with_question(space, objective="throughput", loss_scheme=None, loss_limit=None)
    # No loss and no bytes are less with more sequences.
    few = free.take(np.flatnonzero(np.append(True, np.diff(free.pts.layout) != 0)))
    (fastest, known), (finest, _) = best_in(free), best_in(with_question(few, objective="quality"))
    if fastest is None or finest is None:
        return []
    least, most = finest.value, loss_of(fastest)
    small, _ = best_in(with_question(few, objective="memory"))
    top = budget(model.question)
    floor = top if small is None else min(top, _bytes_of(small))
    out: dict[tuple[object, ...], Optimum] = {}
    proved = [(np.inf, top, known)]
    for limit, steps in _levels(floor, top, count):
        at = fastest.candidate
        for share in np.linspace(1.0, 0.0, steps):
            allowed = (least + (most - least) * float(share) ** 2) * (1 + ROOM) + ROOM
            answer, lower = best_in(
                with_question(free, loss_limit=allowed, memory_bytes=limit),
                _holding(proved, allowed, limit),
                at,
            )
            proved.append((allowed, limit, lower))
            if answer is None:
                break
            at = answer.candidate
            out.setdefault((answer.candidate, answer.segments), answer)
    return list(out.values())


def _holding(proved: Sequence[tuple[float, int, Array]], loss: float, memory: int) -> Array:
    """Bounds of every candidate [C] under limits on ``loss`` and ``memory`` [B]: those of questions
    (loss, memory, bounds) whose limits are no tighter hold here too."""
    proved_bounds = [lower for above, more, lower in proved if above >= loss and more >= memory]
    return np.asarray(np.max(proved_bounds, axis=0))


def _levels(floor: int, top: int, count: int) -> list[tuple[int, int]]:
    """(memory budget [B], loss budgets) from the whole memory down to the least that holds one."""
    half = max(2, count - count // 2)
    rest = (count - half) // (LEVELS - 1)
    levels = [(top, half if rest else count)]
    if rest:
        levels += [
            (math.ceil(top * (floor / top) ** (i / (LEVELS - 1))), rest) for i in range(1, LEVELS)
        ]
    return levels


def _point(model: CostModel, answer: Optimum, answer_price: Priced) -> FrontierPoint:
    la, question = answer_price.layout, model.question
    replicas = question.replicas(la.ranks)
    devices = replicas * la.ranks
    sizes: dict[str, float] = {}
    kinds: dict[str, dict[str, float]] = {"experts": {}, "dense": {}, "kv": {}}
    for segment in answer.segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            continue
        name = model.choices[segment.choice]
        group = (
            "kv" if unit.role == "cache" else "experts" if unit.kind in EXPERT_KINDS else "dense"
        )
        weight = float(segment.count)
        if group != "kv":
            weight *= _parameters(model.planned[unit.row])
            sizes[name] = sizes.get(name, 0.0) + weight
        kinds[group][name] = kinds[group].get(name, 0.0) + weight
    total = sum(sizes.values()) or 1.0
    shares = sorted(((n, v / total) for n, v in sizes.items()), key=lambda x: (-x[1], x[0]))
    return FrontierPoint(
        saturated_loss(model, answer_price.loss),
        answer_price.tokens_per_second(replicas) / devices,
        answer_price.fullest.total,
        answer_price.fullest.weights,
        answer_price.tpot,
        answer_price.ttft,
        devices,
        answer_price.batch,
        (la.tp, la.dp, la.pp, la.ep),
        tuple(shares),
        experts=_most(kinds["experts"]),
        dense=_most(kinds["dense"]),
        kv=_most(kinds["kv"]),
    )


def _parameters(module: Module) -> float:
    """Matrix parameters of one layer, all experts."""
    return float(module.experts * sum(n * k for g in module.gemms for n, k in g.members))


def _most(weights: dict[str, float]) -> str:
    """The name of most weight, ``+`` where there are others."""
    if not weights:
        return ""
    return max(weights, key=lambda n: (weights[n], n)) + ("+" if len(weights) > 1 else "")


def undominated(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """Points that no other equals or beats in loss, throughput and bytes; in order of loss."""
    ordered = sorted(
        points,
        key=lambda p: (p.loss, -p.output_tokens_per_second_per_device, p.total_bytes_per_device),
    )
    kept: list[FrontierPoint] = []
    for p in ordered:
        if not any(
            q.output_tokens_per_second_per_device
            >= p.output_tokens_per_second_per_device * (1 - ROOM)
            and q.total_bytes_per_device <= p.total_bytes_per_device
            for q in kept
        ):
            kept.append(p)
    return kept


def with_knee(points: Sequence[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    """Mark the knee of loss against throughput: of the points that are best in these two, the one
    furthest above the chord between the ends, both axes scaled to 1 (V. Satopää et al., Finding a
    'Kneedle' in a Haystack, ICDCS 2011)."""
    flat: list[FrontierPoint] = []
    for p in points:
        if (
            not flat
            or p.output_tokens_per_second_per_device > flat[-1].output_tokens_per_second_per_device
        ):
            flat.append(p)
    if len(flat) < 3:
        return tuple(points)
    x = np.array([p.loss for p in flat])
    y = np.array([p.output_tokens_per_second_per_device for p in flat])
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    knee = flat[int(np.argmax(above))]
    if float(above.max()) <= ROOM:
        return tuple(points)
    return tuple(replace(p, knee=True) if p is knee else p for p in points)
