"""Layouts of served rows as engines can run them, where a table writes ranks in another way."""

from __future__ import annotations

from dataclasses import replace

from planner.lab.validation.parallelism import Shape, Workers
from planner.models.spec import ModelSpec


def settled(workers: Workers, spec: ModelSpec) -> Workers:
    """``workers`` with every shape :func:`settled_shape`."""
    prefill = settled_shape(workers.prefill, spec) if workers.prefill is not None else None
    return replace(workers, decode=settled_shape(workers.decode, spec), prefill=prefill)


def settled_shape(shape: Shape, spec: ModelSpec) -> Shape:
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
