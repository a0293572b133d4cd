"""Times of several ways to serve from one computation.

Ways of one engine and checkpoint format differ in the choices that they may carry. Their kernels
are timed once, under every choice of any of them, and each way takes its columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.space.candidates import Space, build_space
from planner.planning.space.kernel_times import CandidateTimes, step_times
from planner.planning.space.memory import StageTable, tables_and_stages
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
from planner.planning.space.times import UnitTimes
from planner.throughput.points import points

Int = NDArray[np.int64]
Pairs = Sequence[tuple[int, int]]


@cached_record
class UntimedMode:
    """One way to serve before its kernels are timed: (layout, slot) ``pairs`` that fit."""

    model: CostModel
    tables: LayoutTables
    stages: StageTable
    pairs: Pairs


def timed_together(mixed: CostModel, ways: Sequence[UntimedMode]) -> list[Space]:
    """The space of every way; ``mixed`` has all choices of all of them, on the same layouts."""
    pairs = sorted({pair for way in ways for pair in way.pairs})
    place = {pair: i for i, pair in enumerate(pairs)}
    tables = tables_and_stages(mixed, ways[0].tables.layouts)[0]
    times = step_times(mixed, tables, points(tables.layouts, pairs))
    return [
        build_space(
            way.model,
            way.tables,
            way.stages,
            way.pairs,
            times=_of(
                mixed,
                times,
                way.model,
                np.array([place[pair] for pair in way.pairs], dtype=np.int64),
            ),
        )
        for way in ways
    ]


def _of(mixed: CostModel, times: CandidateTimes, model: CostModel, rows: Int) -> CandidateTimes:
    """What of the whole's times the choices of ``model`` take, at the candidates ``rows``."""
    own = {
        "module": [mixed.question.schemes.index(s) for s in model.question.schemes],
        "cache": [mixed.question.kv.index(name) for name in model.question.kv],
    }
    columns = {role: np.array(places, dtype=np.int64) for role, places in own.items()}
    return CandidateTimes(
        model,
        {key: _taken(unit, columns.get(key[0]), rows) for key, unit in times.units.items()},
        times.hop[rows],
        times.hop_mixed[rows],
        times.weight[rows],
        times.passes,
        times.in_loop,
    )


def _taken(times: UnitTimes, columns: Int | None, rows: Int) -> UnitTimes:
    at, prompt_at = times.at[rows], times.prompt_at[rows]
    if columns is None:
        return UnitTimes(times.decode, times.mixed, times.prompt, at, prompt_at)
    return UnitTimes(
        times.decode.columns(columns),
        times.mixed.columns(columns),
        times.prompt.columns(columns),
        at,
        prompt_at,
    )
