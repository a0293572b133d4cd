"""Planning a what-if grid: places spread over processes, every answer kept in a journal."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product
from pathlib import Path
from typing import Any

from planner.base.errors import DataError, UnsupportedError
from planner.jobs.journal import Journal
from planner.jobs.workers import (
    LostWorkerError,
    cores,
    lines_in_processes,
    own_version,
    packed,
    unpacked,
)
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import NO_LIMIT, seconds_of
from planner.planning.question.input import AUTO, QuestionInput
from planner.planning.question.question import Question
from planner.planning.what_if.around import Around, GridPlace
from planner.planning.what_if.axes import loss_of, places_of
from planner.planning.what_if.grid import InfeasiblePoint, Point, PooledPoint
from planner.planning.what_if.grid_axes import OWN, Axis
from planner.planning.what_if.grid_points import PlaceAnswers
from planner.planning.what_if.grid_records import from_record, to_record
from planner.planning.what_if.kept_formats import KeptAnswers, KeptFormats
from planner.quality.profile import structure_sha256

Progress = Callable[[int, int], None]
"""Told (positions planned, positions in all)."""
Notify = Callable[[str], None]
ALONE = 150
"""Grids of fewer points are planned in this process."""
Pools = list[PooledPoint | None]


def no_progress(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class GridWork:
    """How a grid is planned: ``workers`` processes (None: as many as pay), the file that keeps what
    is planned, whether a run that it holds goes on, and who is told."""

    workers: int | None = None
    journal: str | os.PathLike[str] | None = None
    resume: bool = True
    progress: Progress = no_progress
    notify: Notify = no_progress


@dataclass(frozen=True)
class Pooled:
    """The question of a plan in pools, on its engine, and the plan."""

    inputs: QuestionInput
    plan: Plan


@dataclass(frozen=True)
class GridPart:
    """What is planned as one piece: the positions of a place on an engine of the axis, or the pools
    of a place's requests (no engine)."""

    place: GridPlace
    engine: str = ""

    @property
    def pools(self) -> bool:
        """Whether it is the pools of a place's requests."""
        return not self.engine

    @property
    def id(self) -> str:
        """The part in a journal."""
        return f"pools {self.place.id}" if self.pools else f"{self.place.id} engine={self.engine}"

    @property
    def line(self) -> tuple[bool, GridPlace]:
        """What parts share that tell each other's answers: a place but for its cache layout."""
        return self.pools, self.place._replace(kv="")


@dataclass(frozen=True)
class GridTask:
    """A grid to plan: what it lies around, the plan in its middle, its axes, and the pools beside
    it."""

    around: Around
    plan: Plan
    axes: tuple[Axis, ...]
    pooled: Pooled | None
    command: str

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The values of each axis."""
        return {axis.name: axis.values for axis in self.axes}

    @cached_property
    def parts(self) -> list[GridPart]:
        """The pieces, those of pools first: they are not counted as positions. The best of all
        engines comes after each of them, which tell it."""
        engines = sorted(self.values["engine"], key=lambda name: name == AUTO)
        pools = [] if self.pooled is None else map(GridPart, self._requests)
        return [
            *pools,
            *(GridPart(place, engine) for place in places_of(self.axes) for engine in engines),
        ]

    @property
    def _requests(self) -> list[GridPlace]:
        """A place of each workload and context, all else as in the plan's own position."""
        own = {axis.name: axis.values[axis.base] for axis in self.axes}
        return [
            GridPlace(work, context, own["batch"], own["devices"], own["schemes"], own["kv"])
            for work, context in product(self.values["workload"], self.values["context"])
        ]

    @property
    def each(self) -> int:
        """Positions of a part."""
        return len(self.values["tpot-ms"]) * len(self.values["max-loss"])

    def size(self, part: GridPart) -> int:
        """Points of a part."""
        return (
            len(self.values["devices"]) * len(self.values["max-loss"]) if part.pools else self.each
        )

    def points(self, place: GridPlace, engine: str) -> list[Point]:
        """The positions of a place on an engine, in the order TPOT, loss."""
        refused = self.around.too_long(place)
        if refused is not None:
            return [refused] * self.each
        if self.around.keeps(place):
            return self._same_formats(place, engine)
        line = place._replace(kv="")
        if line not in self._known:
            self._known.clear()
            self._known[line] = self._answers(line)
        return self._known[line].points((place.kv, engine))

    def _same_formats(self, place: GridPlace, engine: str) -> list[Point]:
        """The positions of a place that keeps formats."""
        try:
            ways = self.around.plan_ways(place, engine, self.plan)
        except UnsupportedError:
            return [InfeasiblePoint("engine")] * self.each
        formats = KeptFormats(self.plan, place.schemes, OWN if place.kv == AUTO else place.kv)
        kept = formats.narrowed(ways, exact=self.around.inputs.exact)
        return KeptAnswers(
            formats,
            kept,
            self._tpots,
            [loss_of(name) for name in self.values["max-loss"]],
            self._free(place),
        ).points()

    def _free(self, place: GridPlace) -> list[int]:
        """Limits on loss that exclude nothing: the plan's own of its formats, and a default of
        formats that are named."""
        axis = next(axis for axis in self.axes if axis.name == "max-loss")
        own = place.schemes == OWN or self.around.filled.max_loss is None
        return [axis.base] if own else []

    @property
    def _tpots(self) -> list[float | None]:
        """Limits on TPOT in seconds."""
        return [
            None if ms == NO_LIMIT else float(seconds_of(float(ms)))
            for ms in self.values["tpot-ms"]
        ]

    @cached_property
    def _known(self) -> dict[GridPlace, PlaceAnswers]:
        """What is known of the places that are being planned."""
        return {}

    def _answers(self, line: GridPlace) -> PlaceAnswers:
        return PlaceAnswers(
            {
                (kv, engine): self._ways(line._replace(kv=kv), engine)
                for kv, engine in product(self.values["kv"], self.values["engine"])
            },
            self._tpots,
            [loss_of(name) for name in self.values["max-loss"]],
        )

    def _ways(self, place: GridPlace, engine: str) -> tuple[Question, ...]:
        try:
            return self.around.ways(place, engine)
        except UnsupportedError:
            return ()

    def pools(self, place: GridPlace) -> Pools:
        """The pools beside the positions of a place's requests, by devices and limit on loss."""
        from planner.planning.what_if.pools import pooled_points

        assert self.pooled is not None
        devices = [int(n) for n in self.values["devices"]]
        losses = [loss_of(name) for name in self.values["max-loss"]]
        if self.around.too_long(place) is not None:
            return [None] * (len(devices) * len(losses))
        return list(
            pooled_points(
                self.pooled.inputs,
                self.around.given_values(place),
                devices,
                losses,
                self.pooled.plan,
            )
        )

    def header(self) -> dict[str, Any]:
        """What a journal belongs to: the question, what it names, the axes, and this version."""
        inputs = self.around.inputs
        spec, device, _, _ = inputs.subject
        named = [
            self.command,
            [[a.name, a.values, a.flags, a.base] for a in self.axes],
            spec.id,
            spec.config_sha256,
            structure_sha256(spec),
            device.id,
            device.sha256,
            self.plan.to_dict(),
            repr(inputs.loaded_scenario),
            repr(inputs.loaded_workload),
            [
                None
                if path is None
                or not isinstance(path, (str, os.PathLike))
                or not Path(path).is_file()
                else hashlib.sha256(Path(path).read_bytes()).hexdigest()
                for path in (inputs.profile, inputs.imatrix)
            ],
        ]
        text = json.dumps(named, default=list)
        return {
            "id": "header",
            "grid": hashlib.sha256(text.encode()).hexdigest(),
            "version": own_version(),
            "count": len(self.parts),
        }


def answer_points(
    task: GridTask,
    work: GridWork,
) -> tuple[tuple[Point, ...], tuple[PooledPoint | None, ...]]:
    """The points of a grid in row-major order of its axes, and the pools beside them.

    Raises:
        DataError: the journal is of another grid or cannot be written, a worker was killed; what
            was planned stays in the journal.
    """
    with _journal(task, work) as journal:
        points_by_part = _planned_parts(task, work, journal)
    return tuple(_in_order(task, points_by_part)), tuple(
        point for part in task.parts if part.pools for point in points_by_part[part.id]
    )


@contextmanager
def _journal(task: GridTask, work: GridWork) -> Iterator[Journal | None]:
    """The journal of a grid, which stays for who asked for it."""
    if work.journal is None:
        yield None
        return
    path = Path(work.journal)
    try:
        if not work.resume:
            path.unlink(missing_ok=True)
        journal = Journal.open(path, task.header(), noun="parts planned")
    except (OSError, ValueError) as error:
        raise DataError(
            f"journal {str(path)!r}: {getattr(error, 'strerror', None) or error}",
            hint="name a file that can be written",
        ) from None
    try:
        yield journal
    finally:
        journal.close()


def _planned_parts(task: GridTask, work: GridWork, journal: Journal | None) -> dict[str, list[Any]]:
    """What was planned, by part; what the journal holds is not planned again."""

    planned_parts: dict[str, list[Any]] = {}
    left = []
    for part in task.parts:
        record = None if journal is None else journal.done.get(part.id)
        if record is None:
            left.append(part)
        else:
            planned_parts[part.id] = from_record(record, pools=part.pools, count=task.size(part))
    total = task.each * sum(not part.pools for part in task.parts)
    done = total - task.each * sum(not part.pools for part in left)
    if planned_parts and journal is not None:
        work.notify(f"going on after {done:,} of {total:,} positions ({journal.path})")
    work.progress(done, total)
    for part, answer in _computed(task, left, work, journal):
        planned_parts[part.id] = answer
        if journal is not None:
            journal.append(to_record(part.id, answer))
        done += 0 if part.pools else task.each
        work.progress(done, total)
    return planned_parts


def _computed(
    task: GridTask, left: Sequence[GridPart], work: GridWork, journal: Journal | None
) -> Iterator[tuple[GridPart, list[Any]]]:
    workers = (
        work.workers
        if work.workers is not None
        else cores()
        if task.each * len(left) >= ALONE
        else 1
    )
    lines = [list(own) for _, own in groupby(left, key=lambda part: part.line)]
    workers = min(workers, len(lines))
    if workers <= 1:
        yield from ((part, _answer_of(task, part)) for part in left)
        return
    try:
        yield from lines_in_processes(
            _answer, lines, workers=workers, start=_begin, arguments=(packed(task),)
        )
    except LostWorkerError as error:
        kept = "" if journal is None else f"; what was planned is kept in {journal.path}"
        raise DataError(error.message + kept, hint=error.hint) from None


_TASK: list[GridTask] = []
"""The task of this process, where it is a worker."""


def _begin(content: bytes) -> None:
    _TASK.append(unpacked(content))


def _answer(part: GridPart) -> tuple[GridPart, list[Any]]:
    return part, _answer_of(_TASK[-1], part)


def _answer_of(task: GridTask, part: GridPart) -> list[Any]:
    return task.pools(part.place) if part.pools else task.points(part.place, part.engine)


def _in_order(task: GridTask, blocks: dict[str, list[Any]]) -> Iterator[Point]:
    """The points in row-major order of the axes."""
    sizes = {name: range(len(own)) for name, own in task.values.items()}
    for places in product(*(sizes[axis.name] for axis in task.axes)):
        at = dict(zip((axis.name for axis in task.axes), places, strict=True))
        place = GridPlace(*(task.values[name][at[name]] for name in GridPlace._fields))
        part = GridPart(place, task.values["engine"][at["engine"]])
        yield blocks[part.id][at["tpot-ms"] * len(sizes["max-loss"]) + at["max-loss"]]
