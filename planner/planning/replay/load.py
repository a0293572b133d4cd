"""The load of a replay: a stream of requests made of its parameters, or read from a trace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import accumulate

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import Note, message
from planner.requests.arrivals import POISSON, arrival_times, parse_stages, staged_times
from planner.requests.lengths import (
    FixedLengths,
    Lengths,
    PublishedLengths,
    published_lengths,
    stream_of,
)
from planner.requests.stream import RequestStream, plain_stream
from planner.requests.traces import read_trace


@record
class LoadStage:
    """``rate`` requests/s that begin at ``start`` [s] and go on for ``seconds``."""

    start: float
    seconds: float
    rate: float


@record
class OfferedLoad:
    """A ``stream`` with its law of arrivals, or its name where it is a trace, and the stages that
    it is made of (none: of one ``rate``, or a trace). ``lengths``: the title of published ones."""

    stream: RequestStream
    arrivals: str
    stages: tuple[LoadStage, ...] = ()
    rate: float | None = None
    lengths: str = ""
    notes: tuple[Note, ...] = ()


@record
class GivenLoad:
    """The parameters of a load as the verb takes them: either ``rate``, ``stages`` or ``trace``;
    ``lengths`` published by name, else those of the question."""

    rate: float | None
    trace: str | os.PathLike[str] | RequestStream | None
    stages: str | Sequence[tuple[float, float]] | None
    arrivals: str
    lengths: str | None
    count: int
    seed: int

    @property
    def has_lengths(self) -> bool:
        """Whether the load says how long its requests are."""
        return self.trace is not None or self.lengths is not None


def check_load(given: GivenLoad) -> None:
    """Refuse a load of none or of several.

    Raises:
        InputError: it is.
    """
    ways = [given.rate is not None, given.trace is not None, given.stages is not None]
    if sum(ways) != 1:
        raise InputError(
            "a load is a rate, stages of rates, or a trace",
            hint="give one of them: --rate 5, --stages 600s@5/s,600s@10/s, or --trace FILE",
        )
    if given.trace is not None and given.lengths is not None:
        raise InputError("a trace has lengths of its own", hint="leave out --lengths, or --trace")


def offered_load(given: GivenLoad, isl: int, osl: int, hit_rate: float) -> OfferedLoad:
    """The load; requests of ``isl`` and ``osl`` tokens where it has no lengths of its own, a share
    ``hit_rate`` of each prompt in the cache.

    Raises:
        InputError: a number out of range, a file that is no trace, or a share of prompts whose
            blocks a trace tells.
    """
    if given.trace is not None:
        return _of_trace(given.trace, hit_rate)
    lengths: Lengths = FixedLengths(isl, osl)
    if given.lengths is not None:
        lengths = published_lengths(given.lengths)
    stages: tuple[LoadStage, ...] = ()
    if given.stages is None:
        assert given.rate is not None
        times = arrival_times(given.arrivals, given.rate, given.count, given.seed)
    else:
        wanted = parse_stages(given.stages) if isinstance(given.stages, str) else given.stages
        stages = _in_turn(wanted)
        times = staged_times(wanted, given.arrivals, given.seed)
    why = message("replay.independent_users") if given.arrivals == POISSON else "given"
    how = message("replay.requests_with_seed", arrivals=given.arrivals, seed=given.seed)
    notes = [Note("arrivals", how, why)]
    title = ""
    if isinstance(lengths, PublishedLengths):
        title = lengths.title
        notes.append(Note("lengths", title, lengths.source))
    return OfferedLoad(
        stream_of(times, lengths, seed=given.seed, hit_rate=hit_rate),
        given.arrivals,
        stages,
        given.rate,
        title,
        tuple(notes),
    )


def _of_trace(trace: str | os.PathLike[str] | RequestStream, hit_rate: float) -> OfferedLoad:
    notes: tuple[Note, ...] = ()
    if isinstance(trace, RequestStream):
        stream, name = trace, "trace"
    else:
        stream, notes = read_trace(trace)
        name = os.path.basename(os.fspath(trace))
    if hit_rate and len(stream.blocks):
        raise InputError("the trace says which prompts share blocks", hint="leave out --prefix-hit")
    if hit_rate:
        stream = plain_stream(
            stream.arrival_seconds, stream.input_tokens, stream.output_tokens, hit_rate
        )
    return OfferedLoad(stream, name, notes=notes)


def _in_turn(wanted: Sequence[tuple[float, float]]) -> tuple[LoadStage, ...]:
    """The stages with when they begin."""
    starts = accumulate((seconds for seconds, _ in wanted), initial=0.0)
    return tuple(
        LoadStage(start, seconds, rate)
        for start, (seconds, rate) in zip(starts, wanted, strict=False)
    )
