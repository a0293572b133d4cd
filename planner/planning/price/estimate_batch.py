"""Many estimates to make: layouts, batches and workloads as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.placement.layout import Layout, layout_problem
from planner.planning.question.question import Question

Int = NDArray[np.int64]
Mask = NDArray[np.bool_]
Column = Sequence[int] | Int


@dataclass(frozen=True, slots=True)
class EstimateBatch:
    """N estimates, int64 [N] each: layout of one replica, replicas, sequences decoded together in
    a replica, and tokens (``context`` is the longest sequence a slot must hold)."""

    tp: Int
    dp: Int
    pp: Int
    ep: Int
    replicas: Int
    batch: Int
    context: Int
    isl: Int
    osl: Int

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, f.name)) for f in fields(self)}
        if len(lengths) != 1:
            raise InputError(
                f"columns of {sorted(lengths)} estimates",
                hint="every column has one value an estimate",
            )
        for f in fields(self):
            column = getattr(self, f.name)
            if len(column) and int(column.min()) < 1:
                raise InputError(
                    f"{f.name} = {int(column.min())} is out of range",
                    hint=f"{f.name} is at least 1",
                )

    def __len__(self) -> int:
        return len(self.tp)

    @staticmethod
    def of(
        *,
        tp: Column,
        dp: Column,
        pp: Column,
        ep: Column,
        batch: Column,
        isl: Column,
        osl: Column,
        context: Column | None = None,
        replicas: Column | None = None,
    ) -> EstimateBatch:
        """Estimates from columns of one length (or of length 1, which holds for all); ``context``
        is isl + osl and ``replicas`` 1 where absent."""
        given = [
            np.asarray(c, dtype=np.int64)
            for c in (tp, dp, pp, ep, [1] if replicas is None else replicas, batch, isl, osl)
        ]
        tps, dps, pps, eps, copies, many, prompt, answer = np.broadcast_arrays(*given)
        longest = prompt + answer if context is None else np.asarray(context, dtype=np.int64)
        return EstimateBatch(
            *np.broadcast_arrays(tps, dps, pps, eps, copies, many, longest, prompt, answer)
        )

    @staticmethod
    def grid(
        *, tp: Column, dp: Column, pp: Column, ep: Column, batch: Column, isl: Column, osl: Column
    ) -> EstimateBatch:
        """Every combination, the last axis fastest; context = isl + osl."""
        rows = np.array(list(product(tp, dp, pp, ep, batch, isl, osl)), dtype=np.int64)
        a, b, c, d, e, f, g = rows.reshape(-1, 7).T
        return EstimateBatch.of(tp=a, dp=b, pp=c, ep=d, batch=e, isl=f, osl=g)

    def take(self, where: Int) -> EstimateBatch:
        """The estimates at ``where``."""
        return EstimateBatch(*(getattr(self, f.name)[where] for f in fields(self)))


def distinct_layouts(question: Question, asks: EstimateBatch) -> tuple[list[Layout], Int, Mask]:
    """(distinct layouts that are allowed, place of each ask's layout in them, allowed [N])."""
    reach = question.net.reach()
    rows, place = np.unique(
        np.stack([asks.tp, asks.dp, asks.pp, asks.ep], axis=1), axis=0, return_inverse=True
    )
    every = [Layout(*(int(n) for n in row)) for row in rows]
    able = np.array(
        [la.ranks <= reach and not layout_problem(question.spec, la) for la in every], dtype=bool
    )
    number = np.cumsum(able) - 1
    place = place.reshape(-1)
    return [la for la, ok in zip(every, able, strict=True) if ok], number[place], able[place]
