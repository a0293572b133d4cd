"""A whole sweep: names resolved, chunks answered by workers, every answer journalled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from planner.base.errors import DataError
from planner.hardware.learned_runs import NOTHING_KEPT, KeptRuns
from planner.hardware.profile import DeviceProfile
from planner.jobs.journal import Journal
from planner.jobs.workers import LostWorkerError, Where, in_processes, own_version, packed
from planner.lookup import load_device, load_model, load_profile
from planner.models.inventory import inventory_of
from planner.models.spec import ModelSpec
from planner.planning.question.prices import Price, at_known_price, by_device
from planner.planning.question.scenario import Host, Scenario
from planner.planning.question.scenarios import load_scenario
from planner.quality.profile import Profile, structure_sha256
from planner.sweeping.chunks import Chunk, ChunkTask, answer_chunk, chunks_of
from planner.sweeping.columns import SweepTable, fit_rows, question_columns
from planner.sweeping.record import PRICE_KEY, SweepQuestion

Progress = Callable[[int, int], None]
"""Told (questions answered, questions in all)."""


@dataclass(frozen=True)
class Sweep:
    """Questions with everything that they name, loaded; ``price`` counts before that of scenarios
    and profiles. ``learned``: what was measured here."""

    asks: tuple[SweepQuestion, ...]
    folder: str | None = None
    price: Price = None
    learned: KeptRuns = NOTHING_KEPT
    _models: dict[str, ModelSpec] = field(default_factory=dict)
    _devices: dict[str, DeviceProfile] = field(default_factory=dict)
    _scenarios: dict[str, Scenario] = field(default_factory=dict)
    _profiles: dict[tuple[str, str], Profile] = field(default_factory=dict)

    def resolve(self) -> Sweep:
        """Load every name; one that does not exist ends the sweep before it begins. The sweep whose
        questions have their prices.

        Raises:
            InputError: an unknown name, a file that is not valid, or a price of a device that is
                not asked about.
        """
        for chunk in self.chunks:
            self.context(chunk)
        if self.price is None:
            return self
        names = self.price if isinstance(self.price, Mapping) else ()
        ids = {name: load_device(name, hardware_dir=self.folder).id for name in names}
        usd = by_device(
            self.price, ids, dict.fromkeys(self.ids(question)[1] for question in self.asks)
        )
        asks = tuple(
            question
            if (price := usd.get(self.ids(question)[1])) is None
            else replace(question, values=(*question.values, (PRICE_KEY, price)))
            for question in self.asks
        )
        return replace(self, asks=asks, price=None)

    @cached_property
    def chunks(self) -> list[Chunk]:
        """The division into chunks."""
        return chunks_of(self.asks)

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {chunk.id: len(chunk.places) for chunk in self.chunks}

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether a journal's record answers one of the chunks."""
        size = self._sizes.get(str(record["id"]))
        return size is not None and fit_rows(record.get("rows"), size)

    def names(self, question: SweepQuestion) -> tuple[str, str]:
        """Model and device of a question, a scenario's where it names none.

        Raises:
            DataError: neither names one.
        """
        values = self.scenario(dict(question.values).get("scenario"))
        model = question.model or (values.values.get("model") if values else None)
        device = question.device or (values.values.get("device") if values else None)
        if model is None or device is None:
            raise DataError(
                f"no {'model' if model is None else 'device'} given, and the scenario names none",
                hint='model = "…", device = "…"',
            )
        return model, device

    def scenario(self, name: str | None) -> Scenario | None:
        """A scenario, read once."""
        if name is None:
            return None
        if name not in self._scenarios:
            self._scenarios[name] = load_scenario(name)
        return self._scenarios[name]

    def context(self, chunk: Chunk) -> tuple[ModelSpec, object, object, object]:
        """(model, device, scenario, profile) of a chunk."""
        question = self.asks[chunk.places[0]]
        model, device = self.names(question)
        if model not in self._models:
            self._models[model] = load_model(model)
        if device not in self._devices:
            self._devices[device] = load_device(device, hardware_dir=self.folder)
        file = dict(question.values).get("profile")
        if file is not None and (file, model) not in self._profiles:
            self._profiles[file, model] = load_profile(file, self._models[model], model)[0]
        return (
            self._models[model],
            self._devices[device],
            self.scenario(chunk.context[2]),
            None if file is None else self._profiles[file, model],
        )

    def usd_per_device_hour(self, question: SweepQuestion) -> float | None:
        """The price that a question is answered with."""
        scenario = self.scenario(dict(question.values).get("scenario"))
        host = Host() if scenario is None else scenario.host
        price = at_known_price(
            self._devices[self.names(question)[1]], question.price, host
        ).price_usd_per_hour
        return None if price is None else price.value

    def ids(self, question: SweepQuestion) -> tuple[str, str]:
        """Ids of a question's model and device."""
        model, device = self.names(question)
        return self._models[model].id, self._devices[device].id

    def columns(self) -> dict[str, list[Any]]:
        """What was asked, as columns."""
        return question_columns(
            self.asks,
            [self.ids(question) for question in self.asks],
            [self.usd_per_device_hour(question) for question in self.asks],
        )

    def header(self) -> dict[str, Any]:
        """What a journal belongs to: the questions, what they name, and this version."""
        digest = hashlib.sha256()
        for question in self.asks:
            digest.update(question.key.encode())
        for named in sorted(
            [
                *(
                    ("model", n, m.config_sha256, structure_sha256(m))
                    for n, m in self._models.items()
                ),
                *(("device", n, d.sha256) for n, d in self._devices.items()),
                *(
                    ("scenario", n, json.dumps(dict(s.values), sort_keys=True), repr(s.host))
                    for n, s in self._scenarios.items()
                ),
                *(("learned", run.id) for run in self.learned.runs),
                *(
                    ("profile", *names, hashlib.sha256(Path(names[0]).read_bytes()).hexdigest())
                    for names in self._profiles
                ),
            ]
        ):
            digest.update(json.dumps(named).encode())
        return {
            "id": "header",
            "sweep": digest.hexdigest(),
            "version": own_version(),
            "count": len(self.asks),
        }


def run(
    sweep: Sweep,
    *,
    where: Where,
    journal: Journal | None,
    progress: Progress,
    notify: Callable[[str], None],
) -> SweepTable:
    """Answer every question that ``journal`` does not hold; answers land in it.

    Raises:
        DataError: the journal cannot be written, or a worker was killed; what was answered stays
            in the journal.
    """
    count = len(sweep.asks)
    table = SweepTable(count)
    left = list(sweep.chunks) if journal is None else _read_finished(sweep, journal, table)
    places = {chunk.id: chunk.places for chunk in left}
    done = count - sum(len(place) for place in places.values())
    if done and journal is not None:
        notify(f"going on after {done} of {count} questions ({journal.path})")
    progress(done, count)
    try:
        for record in _records(sweep, left, where):
            if journal is not None:
                journal.append(record)
                journal.done[record["id"]] = {}
            table.put(places[record["id"]], record["rows"])
            done += len(places[record["id"]])
            progress(done, count)
    except LostWorkerError as error:
        kept = "" if journal is None else f"; {done} answers so far are kept in {journal.path}"
        raise DataError(error.message + kept, hint=error.hint) from None
    return table


def _read_finished(sweep: Sweep, journal: Journal, table: SweepTable) -> list[Chunk]:
    """Put what the journal holds into ``table``, and forget it there; the chunks that are left."""
    left = []
    for chunk in sweep.chunks:
        record = journal.done.get(chunk.id)
        if record is None:
            left.append(chunk)
        else:
            table.put(chunk.places, record["rows"])
            journal.done[chunk.id] = {}
    return left


def _records(sweep: Sweep, chunks: Sequence[Chunk], where: Where) -> Iterator[dict[str, Any]]:
    if not chunks:
        return iter(())
    if where.cluster is not None:
        return _on_cluster(_parcels(sweep, largest_first(sweep, chunks)), where)
    parcels = _parcels(sweep, chunks)
    if where.workers == 1 or len(chunks) == 1:
        return (answer_chunk(parcel) for parcel in parcels)
    return in_processes(answer_chunk, parcels, workers=min(where.workers or 1, len(chunks)))


def largest_first(sweep: Sweep, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Chunks of large models first, the others in their order: those take longest, and at the end
    all workers but theirs would wait."""
    known: dict[int, int] = {}

    def size(chunk: Chunk) -> int:
        spec = sweep.context(chunk)[0]
        if id(spec) not in known:
            known[id(spec)] = inventory_of(spec).parameters_total
        return known[id(spec)]

    return sorted(chunks, key=size, reverse=True)


def _on_cluster(parcels: Iterable[ChunkTask], where: Where) -> Iterator[dict[str, Any]]:
    from planner.jobs.cluster import connected, on_cluster

    with connected(str(where.cluster), workers=where.workers) as client:
        yield from on_cluster(client, answer_chunk, parcels)


def _parcels(sweep: Sweep, chunks: Sequence[Chunk]) -> Iterator[ChunkTask]:
    """Chunks with what they name, packed once each."""
    known: dict[int, bytes] = {}

    def once(value: object) -> bytes:
        if id(value) not in known:
            known[id(value)] = packed(value)
        return known[id(value)]

    for chunk in chunks:
        model, device, scenario, profile = (once(part) for part in sweep.context(chunk))
        yield ChunkTask(
            chunk.id,
            (model, device, scenario, profile, once(sweep.learned)),
            tuple(sweep.asks[n] for n in chunk.places),
        )
