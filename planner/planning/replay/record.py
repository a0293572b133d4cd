"""The answer of ``planner.replay``: what was asked, what came, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from planner.base.display import as_frame, as_table, as_text, with_former_methods
from planner.base.records import cached_record
from planner.planning.plan.record import Assumption, Estimate, LayoutInfo, plain_data
from planner.planning.replay.request_table import RequestTable

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = "1"
METRICS = ("ttft_seconds", "itl_seconds", "tpot_seconds", "e2e_seconds", "queue_seconds")


@cached_record
class ReplayQuestion:
    """The deployment: ``model`` in ``scheme`` with caches ``kv`` on ``devices`` of ``device`` by
    ``engine``, in a ``layout``; requests of up to ``context_tokens``. ``max_sequences`` that run,
    ``token_budget`` of a pass and ``cache_tokens`` are those of one attention rank's scheduler;
    ``limits`` [s] by ``ttft``, ``tpot`` and ``e2e`` count in the goodput."""

    model: str
    device: str
    devices: int
    scheme: str
    kv: str
    engine: str
    layout: LayoutInfo
    context_tokens: int
    max_sequences: int
    token_budget: int
    cache_tokens: int
    limits: Mapping[str, float]


@cached_record
class ReplayLoad:
    """What came: ``requests`` over ``seconds``, ``rate`` a second; ``mean_input_tokens`` and
    ``mean_output_tokens`` of a request, ``prefix_hit_rate`` of the prompts that is given.
    ``arrivals`` is their law (drawn by ``seed``) or the trace's name, ``asked_rate`` the mean rate
    of that law (None: stages or a trace), ``lengths`` the title of published ones."""

    requests: int
    rate: float
    seconds: float
    arrivals: str
    asked_rate: float | None
    lengths: str
    seed: int
    mean_input_tokens: float
    mean_output_tokens: float
    prefix_hit_rate: float


@cached_record
class Percentiles:
    """A time over all requests (ITL: over all tokens but the first of each) [s]: its ``mean`` and
    its percentiles ``p50``, ``p90`` and ``p99``."""

    mean: Estimate
    p50: Estimate
    p90: Estimate
    p99: Estimate


@cached_record
class TimePercentiles:
    """``ttft_seconds``: arrival to the first token; ``itl_seconds``: between tokens;
    ``tpot_seconds``: of a request, the mean of its ITL; ``e2e_seconds``: arrival to the last token;
    ``queue_seconds``: arrival to its first pass."""

    ttft_seconds: Percentiles
    itl_seconds: Percentiles
    tpot_seconds: Percentiles
    e2e_seconds: Percentiles
    queue_seconds: Percentiles


@cached_record
class Saturation:
    """More requests come than are served: ``offered`` and ``served`` a second while they come,
    the ``growth`` of the queue, and the rate that ``holds`` (requests/s)."""

    offered: float
    served: float
    growth: float
    holds: float


@cached_record
class ReplayStage:
    """A part of the load with a ``rate`` of its own, from ``start_seconds`` on for ``seconds``: its
    ``requests`` and their ``percentiles``."""

    start_seconds: float
    seconds: float
    rate: float
    requests: int
    percentiles: TimePercentiles


@cached_record
class OverTime:
    """The replay on equal intervals of time [n]: their ends (``seconds``), requests ``waiting`` and
    ``decoding``, ``cache_share`` in use, ``output_tokens_per_second``, and the median
    ``ttft_seconds`` of those that came (None: none did)."""

    seconds: tuple[float, ...]
    waiting: tuple[float, ...]
    decoding: tuple[float, ...]
    cache_share: tuple[float, ...]
    output_tokens_per_second: tuple[float, ...]
    ttft_seconds: tuple[float | None, ...]


@cached_record
class PoolRun:
    """``workers`` of ``device`` in a ``layout``. ``busy``: share of the time from the first arrival
    to the last token in which they run passes; ``cache_share`` of a rank's tokens that passes hold
    (of prefill workers the prompts that they read), on average and ``most_cache_share``;
    ``waiting`` requests on average, ``preemptions`` in all. ``max_sequences`` that run,
    ``token_budget`` of a pass and ``cache_tokens`` are those of one attention rank.
    ``busy_over_time`` and ``cache_over_time`` [n] on the intervals of the replay."""

    device: str
    workers: int
    layout: LayoutInfo
    max_sequences: int
    token_budget: int
    cache_tokens: int
    busy: float
    cache_share: float
    most_cache_share: float
    waiting: float
    preemptions: int
    busy_over_time: tuple[float, ...]
    cache_over_time: tuple[float, ...]


@cached_record
class PoolsRun:
    """The pools of a replay, ``prefill`` and ``decode``. A prompt's cache is ``transfer_bytes`` on
    average and takes ``transfer_seconds`` from the end of its prefill, with the wait for the
    ``link`` of ``bytes_per_second`` (each device)."""

    prefill: PoolRun
    decode: PoolRun
    transfer_bytes: float
    transfer_seconds: float
    link: str
    bytes_per_second: float


@cached_record
class ReplayResult:
    """``requests`` that were served, and ``rejected`` ones; ``complete``: no interrupt stopped the
    replay. ``percentiles`` of their times; ``output_tokens_per_second`` from the first arrival to
    the last token; ``goodput``: requests a second within all limits that are given (None: none is);
    ``preemptions``; ``prefix_hit_rate`` of prompt tokens. ``saturated``: more come than are served,
    ``saturation`` says by how much. ``stages`` of the load, and the run ``over_time``. ``pools``:
    where prefill and decode workers are apart; then decode workers are meant elsewhere, and
    ``waiting`` is for prefill workers."""

    requests: int
    rejected: int
    complete: bool
    percentiles: TimePercentiles
    output_tokens_per_second: Estimate
    goodput: Estimate | None
    preemptions: int
    prefix_hit_rate: float
    saturated: bool
    saturation: Saturation | None
    stages: tuple[ReplayStage, ...]
    over_time: OverTime
    pools: PoolsRun | None


@with_former_methods
@cached_record
class ReplayAnswer:
    """``plan replay``: the ``question``, the ``load`` that came, what became of it (``replay``) and
    the ``assumptions``; ``schema_version`` of the record. Every estimate is that of the stream
    replayed three times, with passes as priced and at both ends of their 80 % interval;
    ``requests`` are those of the first, one by one."""

    schema_version: str
    question: ReplayQuestion
    load: ReplayLoad
    replay: ReplayResult
    assumptions: tuple[Assumption, ...]
    requests: RequestTable

    def to_frame(self) -> pd.DataFrame:
        """One row a time: mean and percentiles with their intervals [s]."""
        times = self.replay.percentiles
        return as_frame(
            [
                {"time": name}
                | {
                    f.name + end: getattr(getattr(getattr(times, name), f.name), part)
                    for f in fields(Percentiles)
                    for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
                }
                for name in METRICS
            ]
        )

    __str__ = as_text

    def _repr_html_(self) -> str:
        return as_table(self.to_frame())

    def to_dict(self) -> dict[str, object]:
        """The answer as plain data, without single requests; None where nothing was served."""
        data = {f.name: plain_data(getattr(self, f.name)) for f in fields(self)}
        del data["requests"]
        return {name: _without_nan(value) for name, value in data.items()}


def _without_nan(value: object) -> object:
    """Plain data whose numbers are JSON's: None for what is not known."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and value != value else value
