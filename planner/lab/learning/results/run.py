"""One measured run as its file tells it, and cells of files that nobody here wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.base.records import record
from planner.requests.arrivals import CONSTANT, LEAST_CV, MOST_CV, POISSON

SERVED, PROMPT, DECODE, BATCH = "served", "prompt", "decode", "batch"
"""Requests over a server; a prompt alone; tokens of one sequence; all at once without a server."""
LARGEST = 1e12
LONGEST = 300
Data = Mapping[str, Any]


@record
class MeasuredTime:
    """The mean of ``count`` times [s] and their standard deviation, None where it is not told."""

    mean: float
    deviation: float | None
    count: int


@record
class RequestRecords:
    """Requests of a run in order of arrival, as detailed files have them: tokens of prompts and of
    answers, and when each was sent [s] from the first on; none where that is not told."""

    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    sent_seconds: tuple[float, ...] = ()


@record
class MeasuredRun:
    """What was asked and what was measured; None: the file does not say.

    ``source`` is the file, with the row where it holds several. ``isl`` and ``osl`` are mean tokens
    of a request, ``cached`` those of a prompt that were there before. ``concurrency`` requests in
    flight at most, ``rate`` requests a second (None: as fast as they are taken) by the law
    ``arrivals``, which its client stretches to the rate exactly where it is ``stretched``;
    ``records`` has each of them. The server's own limits: ``max_sequences``, ``chunk_tokens`` of a
    pass, ``context``. ``completed`` of the requests (repeats, where no server is asked) ended well,
    ``failed`` did not. ``output_rate`` in tokens/s, ``e2e`` of a request or batch; ``lost`` the
    share of a core's time that others took, where the file says it.
    """

    tool: str
    source: str
    kind: str = SERVED
    engine: str | None = None
    version: str | None = None
    model: str | None = None
    device: str | None = None
    tp: int | None = None
    scheme: str | None = None
    kv: str | None = None
    isl: float | None = None
    osl: float | None = None
    cached: float = 0.0
    concurrency: float | None = None
    rate: float | None = None
    arrivals: str = POISSON
    stretched: bool = False
    records: RequestRecords | None = None
    max_sequences: int | None = None
    chunk_tokens: int | None = None
    context: int | None = None
    completed: int = 0
    failed: int = 0
    tpot: MeasuredTime | None = None
    ttft: MeasuredTime | None = None
    e2e: MeasuredTime | None = None
    output_rate: float | None = None
    lost: float | None = None
    date: str = ""


def number(data: Data, *names: str) -> float | None:
    """The first of ``names`` that is a finite number, as one or written out; None: none is."""
    for name in names:
        value = data.get(name)
        if isinstance(value, str):
            try:
                value = float(value.strip().replace(",", ""))
            except ValueError:
                continue
        if isinstance(value, bool) or not isinstance(value, float | int):
            continue
        if abs(value) <= LARGEST and math.isfinite(value):
            return float(value)
    return None


def positive(data: Data, *names: str) -> float | None:
    """:func:`number` above 0."""
    value = number(data, *names)
    return value if value is not None and value > 0 else None


def count_of(data: Data, *names: str) -> int:
    """:func:`number` as a count, 0 where there is none."""
    value = number(data, *names)
    return int(value) if value is not None and value > 0 else 0


def word(data: Data, *names: str) -> str | None:
    """The first of ``names`` that is a text, on one line; None: none is."""
    for name in names:
        value = data.get(name)
        if isinstance(value, str) and value.strip():
            text = " ".join(value.split())[:LONGEST]
            return text if text.isprintable() else ascii(text)
    return None


def table(data: Data, *names: str) -> Data:
    """The object at a path of names; an empty one where there is none."""
    for name in names:
        inner = data.get(name)
        if not isinstance(inner, dict):
            return {}
        data = inner
    return data


def measured(
    mean: float | None, deviation: float | None, count: int, unit: float
) -> MeasuredTime | None:
    """Times of ``unit`` seconds as a mean; None for none above 0."""
    if mean is None or mean <= 0 or count < 1:
        return None
    known = deviation is not None and deviation >= 0 and count > 1
    return MeasuredTime(
        mean * unit, deviation * unit if known and deviation is not None else None, count
    )


def law_of(variation: float) -> str:
    """The law of arrivals whose gaps have this coefficient of variation."""
    if variation < LEAST_CV:
        return CONSTANT
    return POISSON if variation == 1.0 else f"gamma:{min(variation, MOST_CV):g}"


def with_limits(run: MeasuredRun, data: Data) -> MeasuredRun:
    """The run with what ``data`` says of the server's limits, under the names that engines'
    arguments have."""
    return replace(
        run,
        max_sequences=run.max_sequences
        or count_of(data, "max_num_seqs", "max_running_requests", "max_batch_size", "parallel")
        or None,
        chunk_tokens=run.chunk_tokens
        or count_of(data, "max_num_batched_tokens", "chunked_prefill_size", "max_num_tokens")
        or None,
        context=run.context
        or count_of(data, "max_model_len", "context_length", "max_seq_len")
        or None,
    )


def lost_share(data: Data) -> float | None:
    """The share of a core's time that others took, where whoever ran the benchmark says it: a share
    or percent of steal time, or of cores that were missing."""
    share = number(data, "steal", "steal_share", "missing_cores", "missing_core_share", "lost")
    if share is None:
        percent = number(data, "steal_percent", "steal_pct", "%steal")
        share = None if percent is None else percent / 100
    return share if share is not None and 0 <= share <= 1 else None
