"""Times of modules whose rule is dropped, under every scheme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.placement.layout import Layout
from planner.placement.modules import Module, attention_of
from planner.placement.shards import shard_byte_table
from planner.planning.space.unit_model import UnitModel
from planner.throughput.by_scheme import embedding_by_scheme, head_by_scheme, router_by_scheme
from planner.throughput.fixed import embedding_parts
from planner.throughput.indexer import indexer_parts
from planner.throughput.linear import dense_parts
from planner.throughput.mixed import by_part
from planner.throughput.points import Phase, Points
from planner.throughput.roofline import Parts
from planner.throughput.small import small_kernels


def parts_by_scheme(
    model: UnitModel, layouts: Sequence[Layout], pts: Points, phase: Phase, module: Module
) -> Parts:
    """One layer of a module whose rule is dropped, Parts [C, S]; norms [C, 1]."""
    question, machine = model.question, model.machine
    spec, device = question.spec, question.device
    if module.kind == "norm":
        return norm_parts(model, pts, phase, module)
    table = shard_byte_table([module], question.schemes, layouts)[pts.layout, 0]
    size = table.astype(np.float64)
    if module.kind == "embedding":
        return embedding_by_scheme(spec, device, pts, phase, size)
    if module.kind == "head":
        return head_by_scheme(module, spec, machine, device, pts, phase, size)
    if module.kind == "router":
        return router_by_scheme(module, machine, device, pts, phase, size - module.vector_bytes)
    attention = attention_of(spec, module.layers[0])
    return dense_parts(module, machine, pts, phase, size).plus(
        by_part(lambda at, p: indexer_parts(attention, device, at, p, machine.stacks), pts, phase)
    )


def norm_parts(model: UnitModel, pts: Points, phase: Phase, module: Module) -> Parts:
    """The norms of an average layer, or the last one, Parts [C, 1]: no format changes them."""
    spec, device = model.question.spec, model.question.device
    if not module.layers:
        return embedding_parts(spec, device, pts, phase)
    return small_kernels(spec, model.machine, device, pts, phase)
