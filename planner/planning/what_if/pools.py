"""The best two pools beside the positions of a what-if page, which are of workers that do both.

Under the limits of the plan's own question; batches, formats and the cache are free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from planner.lookup import load_device
from planner.placement.layout import divisors, powers_of_two
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.record import Plan
from planner.planning.pools.cases import PoolSpaces, loss_limit_of, pool_spaces
from planner.planning.pools.find_pools import demand_of
from planner.planning.pools.options import pool_option
from planner.planning.pools.search import DeviceBudget, PoolSearch, WorkerCandidates
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_link import link_between
from planner.planning.question.question import Question
from planner.planning.search.rivals import shown_schemes
from planner.planning.search.spaces import with_question as asked_anew
from planner.planning.what_if.grid import Loss, PooledPoint

GIVEN_LINK = "given"


def pooled_points(
    inputs: QuestionInput,
    given_values: GivenValues,
    devices: Sequence[int],
    losses: Sequence[Loss],
    plan: Plan,
) -> Iterator[PooledPoint | None]:
    """The pools of every device count and limit on loss, in this order, for the requests and
    formats of ``asked``, under the limits of the question ``ask`` as the plan's engine serves
    them."""
    pools = plan.deployment
    assert pools is not None
    given_values = replace(given_values, batch=inputs.batch, tpot_seconds=inputs.tpot_seconds)
    spaces, prefill, decode = _spaces(
        replace(inputs, workload=None), given_values, max(devices), pools
    )
    for count in devices:
        given = pools.transfer.bytes_per_second if pools.transfer.link == GIVEN_LINK else None
        link = link_between(prefill[0], replace(decode[0], sizes=(count,)), given)
        here = [replace(space, handover=replace(space.handover, link=link)) for space in spaces]
        for loss in losses:
            yield _best(here, count, loss, decode[0])


def _spaces(
    inputs: QuestionInput,
    given_values: GivenValues,
    most: int,
    pools: DeploymentInfo,
) -> tuple[list[PoolSpaces], Sequence[Question], Sequence[Question]]:
    """The spaces of up to ``most`` devices; the ways to serve each pool."""
    mine = replace(given_values, devices=most)
    decode: Sequence[Question] = inputs.questions(mine)
    prefill = decode
    if pools.prefill.device != decode[0].device.id:
        device = load_device(pools.prefill.device, hardware_dir=inputs.hardware_dir)
        limit = loss_limit_of(decode)
        prefill = [
            replace(q, loss_scheme=None, loss_limit=limit)
            for q in replace(inputs, device=device).questions(mine)
        ]
    given = pools.transfer.bytes_per_second if pools.transfer.link == GIVEN_LINK else None
    spaces, _ = pool_spaces(prefill, decode, link_between(prefill[0], decode[0], given))
    return spaces, prefill, decode


def _best(
    spaces: Sequence[PoolSpaces],
    devices: int,
    loss: Loss,
    question: Question,
) -> PooledPoint | None:
    """The best pools of so many devices, whose workers have divisors of them or powers of two."""
    sizes = {*divisors(devices), *powers_of_two(devices)}
    demand = demand_of(question)
    pools = PoolSearch(
        [_sized(_with_loss(space, loss).shared(), sizes) for space in spaces],
        DeviceBudget(devices, True),
        demand,
    ).run()
    if pools is None:
        return None
    option = pool_option("optimum", pools, demand)
    running = option.weighed.loop.state
    reader, decoder = pools.assigned
    rival, two = option.sides
    return PooledPoint(
        (pools.prefill_workers, reader.space.layout(reader.candidate), shown_schemes(rival)),
        (pools.decode_workers, decoder.space.layout(decoder.candidate), shown_schemes(two)),
        pools.shared.kv,
        running.rate * demand.osl,
        running.tpot,
        running.ttft,
    )


def _with_loss(spaces: PoolSpaces, loss: Loss) -> PoolSpaces:
    name, nats = loss
    prefill, decode = (
        tuple(
            replace(pool, space=asked_anew(pool.space, loss_scheme=name, loss_limit=nats))
            for pool in pools
        )
        for pools in (spaces.prefill, spaces.decode)
    )
    return replace(spaces, prefill=prefill, decode=decode)


def _sized(case: WorkerCandidates, sizes: set[int]) -> WorkerCandidates:
    return replace(
        case,
        readers=[reader for reader in case.readers if reader.devices in sizes],
        decoders=[decoder for decoder in case.decoders if decoder.devices in sizes],
    )
