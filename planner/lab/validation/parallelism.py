"""The ``parallelism`` column of served rows: pools of workers and the shape of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from planner.models.spec import ModelSpec

_SHAPE = re.compile(r"TP(\d+|-)(?:/PP(\d+|-))?(?:/ADP(\d+|-))?(?:/mTP(\d+|-))?(?:/mEP(\d+|-))?")
MOST_RANKS = 10**8
_POOL = re.compile(r"([PD])(\d+|-)x\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Shape:
    """Ranks of one worker: attention tensor parallel, stages, attention data parallel, experts'
    tensor and expert parallel. 0 is not stated."""

    tp: int
    pp: int
    dp: int
    moe_tp: int
    moe_ep: int

    @property
    def ranks(self) -> int:
        return self.tp * self.pp * self.dp


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers of a row. ``prefill`` is None in aggregated serving; a count of 0 is not recorded."""

    decode: Shape
    decode_workers: int
    prefill: Shape | None = None
    prefill_workers: int = 0


def deployment(text: str) -> Workers | None:
    """The workers that ``text`` names, or None where it is not understood."""
    text = text.strip()
    pools = {kind: (count, shape) for kind, count, shape in _POOL.findall(text)}
    if pools.keys() == {"P", "D"}:
        shapes = {kind: _shape(shape) for kind, (_, shape) in pools.items()}
        if shapes["P"] is None or shapes["D"] is None:
            return None
        return Workers(shapes["D"], _count(pools["D"][0]), shapes["P"], _count(pools["P"][0]))
    shape = _shape(text.removeprefix("agg:"))
    return Workers(shape, 1) if shape is not None else None


def _shape(text: str) -> Shape | None:
    match = _SHAPE.match(text.strip())
    if match is None:
        return None
    tp, pp, dp, moe_tp, moe_ep = (_count(part or "-") for part in match.groups())
    if tp == 0:
        return None
    return Shape(tp, pp or 1, dp or 1, moe_tp, moe_ep)


def _count(text: str) -> int:
    """A number of ranks; anything beyond MOST_RANKS is that many, which no model divides over."""
    if text == "-":
        return 0
    return int(text) if len(text) <= 8 else MOST_RANKS


def runnable_workers(workers: Workers, spec: ModelSpec) -> Workers:
    """``workers`` with every shape :func:`settled_shape`."""
    prefill = runnable_shape(workers.prefill, spec) if workers.prefill is not None else None
    return replace(workers, decode=runnable_shape(workers.decode, spec), prefill=prefill)


def runnable_shape(shape: Shape, spec: ModelSpec) -> Shape:
    """``shape`` with TP stored as TP·EP read as TP (the experts' ranks are those of attention), and
    attention that no tensor parallelism can split (TP12 of 128 heads) read as data parallel.

    A shape that is neither stays as it is.
    """
    if spec.experts is None:
        return shape
    stated = shape.moe_tp * shape.moe_ep
    if stated > 1 and shape.tp * shape.dp == stated * shape.moe_ep and shape.tp % shape.moe_ep == 0:
        shape = replace(shape, tp=shape.tp // shape.moe_ep)
    indivisible = any(a.heads % shape.tp for a in spec.attention)
    if indivisible and shape.dp == 1 and shape.moe_ep in (0, shape.tp):
        return replace(shape, tp=1, dp=shape.tp)
    return shape
