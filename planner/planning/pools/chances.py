"""What pools err by: draws of each pool's operators, the slower of which sets the rate.

Kernels draw from the classes of aggregated plans, so that what both run cancels. What composed
steps of pools are off by is an error of its own: it was measured on pools, is larger, and nothing
says that it is the same as that of an engine whose workers do both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.choose.chances import objective_draws
from planner.planning.choose.error_classes import ErrorClass, Errors
from planner.planning.choose.uncertainty import (
    CommonError,
    TimePart,
    UncertainObjective,
    alike_segments,
    kernel_errors,
    layout_and_batch,
    time_parts,
)
from planner.planning.pools.pools_loop import PoolsInLoop, pools_in_loop
from planner.planning.pools.search import Demand, TwoPools
from planner.planning.pools.stages import worker_price
from planner.planning.price.intervals import layout_code
from planner.planning.price.measured_errors import common_sigmas
from planner.planning.price.plan_kinds import kind_of
from planner.planning.price.price import Priced, price
from planner.planning.space.candidates import Space

Array = NDArray[np.float64]
IN_POOLS = " in pools"


@cached_record
class WeighedPools:
    """The prices of a deployment's two kinds of workers, and what each errs by: as if it alone set
    the rate. ``pools`` have the rate of their closed ``loop``, ``kept`` of what the search counted
    on."""

    pools: TwoPools
    loop: PoolsInLoop
    kept: float
    prefill_space: Space
    prefill: Priced
    decode: Priced
    sides: tuple[UncertainObjective, UncertainObjective]
    decode_osl: int


def weighed_pools(pools: TwoPools, planned: TwoPools, demand: Demand) -> WeighedPools:
    """Both pools as the draws see them; values are paid devices × seconds a token. ``planned`` has
    the batch at which the decode workers run, ``pools`` the largest that they may have: where steps
    are slower, batches grow before the rate falls."""
    osl = demand.osl
    loop = pools_in_loop(planned, demand)
    kept = loop.state.rate / planned.rate
    reader, decoder = pools.assigned
    prefill = price(reader.space, reader.candidate, reader.segments)
    decode = worker_price(decoder.space, decoder.candidate, decoder.segments)
    running = planned.assigned[1]
    shown = (
        decode
        if planned is pools
        else worker_price(running.space, running.candidate, running.segments)
    )
    paid = pools.rate / pools.value
    read = pools.prefill_workers * float(pools.planned_rate)
    decoded = pools.decode_workers * pools.decoding.rate(osl)
    question = decoder.space.model.question
    engine = f"{question.engine} {question.engine_version}{IN_POOLS}"
    requests = planned.decode_workers * decode.batch
    kind = kind_of(decoder.space.model, decode, pooled=True, requests=requests)
    common = CommonError(
        ErrorClass("composition", engine), common_sigmas(kind, question.spec.id).tpot
    )

    def wholes(priced: Priced, batch: int) -> tuple[CommonError, ...]:
        return (
            common,
            *(
                CommonError(ErrorClass(name, engine, where), weight)
                for name, where, weight in layout_and_batch(priced.layout, batch, question.spec.id)
            ),
        )

    sides = (
        UncertainObjective(
            paid / (read * kept * osl), _read_parts(reader.space, prefill), wholes(prefill, 1)
        ),
        UncertainObjective(
            paid / (decoded * kept * osl),
            time_parts(decoder.space, decode),
            wholes(decode, decode.batch),
        ),
    )
    in_loop = replace(planned, rate=loop.state.rate, value=planned.value * kept)
    return WeighedPools(in_loop, loop, kept, reader.space, prefill, shown, sides, osl)


def _read_parts(space: Space, priced: Priced) -> tuple[TimePart, ...]:
    """Seconds of a prefill worker's pass by error class."""
    seconds: dict[Errors, float] = {}
    code = layout_code(priced.layout)
    for cost, count in alike_segments(space.model, priced):
        for errors, time in kernel_errors(space.model, cost, code):
            if time > 0:
                seconds[errors] = seconds.get(errors, 0.0) + time * count
    scale = priced.tpot / (fsum(seconds.values()) or 1.0)
    return tuple(TimePart(errors, time * scale) for errors, time in seconds.items())


def draw_objectives(options: Sequence[WeighedPools]) -> Array:
    """Paid devices × seconds a token of deployments under common draws [A, draws]."""
    flat = objective_draws([side for option in options for side in option.sides])
    return np.asarray(flat.reshape(len(options), 2, -1).max(axis=1))
