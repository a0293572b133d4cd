"""Deployments of measured streams of requests: what of a row a scheduler needs to know, and the
replay of the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.names import device_name
from planner.lab.validation.records import NotCoveredError, Outcome
from planner.lab.validation.served import (
    Deployed,
    assignment,
    device_of,
    engine_limits,
    layout_of,
    spec_of,
)
from planner.lab.validation.served_kinds import served_kind
from planner.memory.engines.records import Settings
from planner.planning.price.step_costs import LargestPass, step_costs
from planner.planning.replay.deployment import Replayed
from planner.planning.replay.runs import Routing, Runs, served, three_runs
from planner.planning.replay.saturation import is_saturated
from planner.requests.arrivals import arrival_times
from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.rules import SchedulerRules
from planner.throughput.engine_policy import engine_policy, prompt_host, with_prompt_host

Array = NDArray[np.float64]
OPEN, OVERLOADED = "open arrivals", "overloaded arrivals"
"""Regimes: the queue stays, or it grows as long as requests come."""
ENOUGH = 2000
"""Requests of a stage that keeps up: more change no mean by more than a percent."""
BLOCK = 16
"""Tokens of a block of vLLM's cache, the only engine of these rows."""


@dataclass(frozen=True, slots=True)
class OpenServer:
    """A server of measured streams: ``case`` with at most ``slots`` requests that run, ``budget``
    tokens of a pass and ``context`` tokens of a request."""

    case: Deployed
    slots: int
    budget: int
    context: int

    def replayed(self, longest: int, mean_length: float) -> Replayed:
        """The server for requests of up to ``longest`` tokens, of ``mean_length`` in the cache.

        Raises:
            NotCoveredError: it would not start.
        """
        case = self.case
        spec, plan = spec_of(case.model), assignment(case)
        limits = engine_limits(
            case,
            Settings(context=self.context, batched_tokens=self.budget, max_seqs=self.slots),
        )
        where = case.engine, case.engine_version, case.device
        host = prompt_host(*where, experts=spec.experts is not None)
        return Replayed(
            plan,
            layout_of(spec, case.engine, case.shape, case.recipe.experts),
            served_kind(case, 1.0),
            step_costs(plan, LargestPass(self.slots, self.budget, longest, mean_length)),
            SchedulerRules(
                case.engine, self.budget, self.slots, int(limits.tokens), self.context, BLOCK
            ),
            with_prompt_host(engine_policy(*where).policy, host, spec.layers),
            1,
            case.engine,
            (),
        )


@dataclass(frozen=True, slots=True)
class OpenStage:
    """``rate`` requests/s for ``seconds``, each of ``isl`` tokens of which the share ``hits`` is in
    the cache, and ``osl`` of answer."""

    server: OpenServer
    rate: float
    seconds: float
    isl: int
    osl: int
    hits: float

    def stream(self, most: int | None = None) -> RequestStream:
        """Its requests, Poisson; of them the first ``most``."""
        count = max(int(self.seconds * self.rate), 1)
        times = arrival_times("poisson", self.rate, min(count, most or count), 0)
        every = np.ones(len(times), dtype=np.int64)
        return plain_stream(times, every * self.isl, every * self.osl, self.hits)


@cache
def replay_of_stage(stage: OpenStage, handling: float | None) -> tuple[RequestStream, Runs]:
    """The stage at the start of an idle server, the host's ``handling`` of a request [s] as the
    engine's rule has it where it is None; whole where its queue grows.

    Raises:
        NotCoveredError: the server would not start.
    """
    where = with_handling(stage, handling)
    stream = stage.stream(ENOUGH)
    if is_saturated(stream, served(where, stream, Routing())):
        stream = stage.stream()
    return stream, three_runs(where, stream, Routing())


@cache
def first_tokens(stage: OpenStage) -> float | None:
    """Mean TTFT [s] of a stage without the host's handling of requests; None where its queue grows.

    Raises:
        NotCoveredError: the server would not start.
    """
    stream = stage.stream(ENOUGH)
    run = served(with_handling(stage, 0.0), stream, Routing())
    if is_saturated(stream, run):
        return None
    return float(np.nanmean(run.first_seconds - stream.arrival_seconds))


def replayed_stage(stage: OpenStage) -> Replayed:
    """The stage's server by the engine's own rules.

    Raises:
        NotCoveredError: it would not start.
    """
    return stage.server.replayed(stage.isl + stage.osl, stage.isl + stage.osl / 2)


def with_handling(stage: OpenStage, handling: float | None) -> Replayed:
    """The stage's server with that handling of requests [s]."""
    where = replayed_stage(stage)
    if handling is None:
        return where
    return replace(where, policy=replace(where.policy, handling_seconds=handling))


def blank_outcome(table_name: str, i: int, row: Mapping[str, str]) -> Outcome:
    """An outcome of a row without prediction."""
    return Outcome(
        table=table_name,
        row=i,
        metric="request",
        device=row["device"],
        software=row.get("engine", ""),
        model=row["model"],
        format=row.get("dtype", ""),
        regime=OPEN,
        reason=OPEN,
    )


def known_device(text: str) -> str:
    """The device id of a row's words.

    Raises:
        NotCoveredError: no such device.
    """
    try:
        return device_of(device_name(text).id).id
    except NotCoveredError:
        raise NotCoveredError("unknown device") from None
