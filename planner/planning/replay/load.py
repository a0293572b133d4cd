"""The load of a replay: a stream of requests made of its parameters, or read from a trace."""

from __future__ import annotations

import os
from collections.abc import Sequence

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import Note, message
from planner.requests.arrivals import POISSON, arrival_times, parse_stages, staged_times
from planner.requests.lengths import FixedLengths, published_lengths, stream_of
from planner.requests.stream import RequestStream
from planner.requests.traces import read_trace


@record
class LoadStage:
    """``rate`` requests/s that begin at ``start`` [s] and go on for ``seconds``."""

    start: float
    seconds: float
    rate: float


@record
class OfferedLoad:
    """A ``stream`` with its name, the stages that it is made of (none: of one rate, or a trace),
    and what was taken."""

    stream: RequestStream
    arrivals: str
    stages: tuple[LoadStage, ...]
    notes: tuple[Note, ...]


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
            hint="give one of them: requests a second, such as 5, or a file of requests",
        )
    if given.trace is not None and given.lengths is not None:
        raise InputError("a trace has lengths of its own", hint="leave lengths out")


def offered_load(given: GivenLoad, isl: int, osl: int, hit_rate: float) -> OfferedLoad:
    """The load; requests of ``isl`` and ``osl`` tokens where it has no lengths of its own, a share
    ``hit_rate`` of each prompt in the cache but for a trace's.

    Raises:
        InputError: a number out of range, or a file that is no trace.
    """
    if given.trace is not None:
        return _of_trace(given.trace)
    lengths = FixedLengths(isl, osl) if given.lengths is None else published_lengths(given.lengths)
    stages: tuple[LoadStage, ...] = ()
    if given.stages is None:
        assert given.rate is not None
        times = arrival_times(given.arrivals, given.rate, given.count, given.seed)
    else:
        wanted = parse_stages(given.stages) if isinstance(given.stages, str) else given.stages
        times = staged_times(wanted, given.arrivals, given.seed)
        starts = [sum(seconds for seconds, _ in wanted[:i]) for i in range(len(wanted))]
        stages = tuple(LoadStage(at, *stage) for at, stage in zip(starts, wanted, strict=True))
    stream = stream_of(times, lengths, seed=given.seed, hit_rate=hit_rate)
    why = message("replay.independent_users") if given.arrivals == POISSON else "given"
    how = message("replay.requests_with_seed", arrivals=given.arrivals, seed=given.seed)
    notes = [Note("arrivals", how, why)]
    if not isinstance(lengths, FixedLengths):
        notes.append(Note("lengths", lengths.title, lengths.source))
    return OfferedLoad(stream, given.arrivals, stages, tuple(notes))


def _of_trace(trace: str | os.PathLike[str] | RequestStream) -> OfferedLoad:
    if isinstance(trace, RequestStream):
        return OfferedLoad(trace, "trace", (), ())
    stream, notes = read_trace(trace)
    return OfferedLoad(stream, os.path.basename(os.fspath(trace)), (), notes)
