"""Up to which batch drafting pays, at a plan's layout and formats: the step with it against the
step without, priced for every number of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import Layout
from planner.planning.price.batched_times import step_prices
from planner.planning.space.assignment import Segment
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.tables import layout_tables
from planner.planning.space.times import Lengths
from planner.throughput.points import points

Array = NDArray[np.float64]
Int = NDArray[np.int64]
POINTS = 48
"""Numbers of sequences that are priced at once."""


def pays_up_to(model: CostModel, layout: Layout, segments: Sequence[Segment], most: int) -> int:
    """The most sequences of a rank and micro-batch, of 1 to ``most``, up to which a token takes
    less with what drafts than without; 0 where one sequence is no faster."""
    plain = build_model(replace(model.question, speculation=None), model.prior)
    chosen = chosen_by_unit(model, segments)
    own = {unit.id: choice for unit, choice in zip(model.units, chosen, strict=True)}
    others = [own[unit.id] for unit in plain.units]

    def pays(slots: Int) -> NDArray[np.bool_]:
        return np.asarray(
            tpot_at(model, layout, chosen, slots) < tpot_at(plain, layout, others, slots)
        )

    low, high = 0, most + 1
    while high - low > 1:
        slots = _between(low, high)
        stops = np.flatnonzero(~pays(slots))
        if not len(stops):
            low = int(slots[-1])
            continue
        high = int(slots[stops[0]])
        low = int(slots[stops[0] - 1]) if stops[0] else low
    return low


def _between(low: int, high: int) -> Int:
    """Numbers above ``low`` and below ``high``: all where they are few, else spread by ratio."""
    if high - low - 1 <= POINTS:
        return np.arange(low + 1, high, dtype=np.int64)
    found = np.rint(np.geomspace(low + 1, high - 1, POINTS)).astype(np.int64)
    return np.unique(found)


def chosen_by_unit(model: CostModel, segments: Sequence[Segment]) -> list[int]:
    """One choice a unit, that of most of its layers."""
    layers: dict[int, dict[int, int]] = {}
    for segment in segments:
        mine = layers.setdefault(segment.unit, {})
        mine[segment.choice] = mine.get(segment.choice, 0) + segment.count
    return [max(layers[i], key=lambda choice: layers[i][choice]) for i in range(len(model.units))]


def tpot_at(model: CostModel, layout: Layout, choice: Sequence[int], slots: Int) -> Array:
    """TPOT [s] of one assignment with ``slots`` sequences a rank and micro-batch [C]."""
    work = model.question.workload
    tables = layout_tables(model, [layout])
    pts = points(tables.layouts, [(0, int(slot)) for slot in slots])
    lengths = Lengths(
        work.decode_length, work.isl, cached=work.cached, chunk=model.question.chunk_tokens
    )
    return step_prices(
        model, tables, pts, lengths, np.full(len(slots), work.osl, dtype=np.int64), choice
    ).tpot
