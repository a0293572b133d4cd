"""The best two pools: workers × layouts × batches × formats of each, under one cache layout.

Of devices that are there, n prefill and m decode workers serve

    R = min(n·μ, m·B·dp/(O·TPOT(B)), what the link carries)

requests a second, where n·μ is the rate up to which a pool of n workers reads prompts in time: its
highest times :data:`planner.throughput.pool_rates.MOST_BUSY`, less where TTFT (wait, reading,
transfer, first step) has a limit. Given the cache, the pools know nothing of each other but R and
TTFT: each worker takes the formats of its shortest pass, so that the best deployment is found from
bounds of workers by devices. The pair of the best bound is made sharper until it is exact and
nothing else can exceed it. With pipeline stages the formats are those of the shortest slowest
stage, and ``bound`` leaves room for what others could save of the round around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.planning.pools.handover import Handover
from planner.planning.pools.workers import DecodeWorkers, PrefillWorkers, WorkerAssignment
from planner.throughput.pool_rates import PrefillRates

Worker = TypeVar("Worker")
Array = NDArray[np.float64]
SAME = 1e-9
"""Rates that differ by less, relative, are equal."""
NEAR = 1e-3
"""What is better by less is not looked for once PATIENCE workers were made sharper."""
PATIENCE = 400


@record
class DeviceBudget:
    """``devices`` that may be taken, or must be where ``all_paid``; what a prefill device costs in
    decode devices."""

    devices: int
    all_paid: bool
    prefill_price: float = 1.0

    def paid(self, prefill: Array, decode: Array) -> Array:
        """Devices that count [N, M] where so many serve in each pool."""
        if self.all_paid:
            return np.full(np.broadcast_shapes(prefill.shape, decode.shape), float(self.devices))
        return np.asarray(prefill * self.prefill_price + decode)


@record
class Demand:
    """Tokens of an answer; limits on TTFT, on a whole request and on TPOT (inf: none); the host's
    handling of a prompt."""

    osl: int
    first_token_seconds: float
    request_seconds: float
    handling_seconds: float
    token_seconds: float = np.inf

    def read_seconds(self, handover: float, step: float) -> float:
        """What the limits leave for a prompt's wait and its pass [s], where its cache is handed
        over in ``handover`` and a token takes ``step``."""
        first = self.first_token_seconds - self.handling_seconds - (handover + step)
        request = self.request_seconds - self.handling_seconds - (handover + self.osl * step)
        return min(first, request)


@cached_record
class WorkerCandidates:
    """All workers of one engine whose caches are in one layout. A search exchanges members of its
    lists for sharper ones."""

    engine: str
    kv: str
    handover: Handover
    readers: list[PrefillWorkers]
    decoders: list[DecodeWorkers]


@cached_record
class TwoPools:
    """A deployment: workers of each pool with their formats, and requests/s. ``value`` is rate ÷
    devices that are paid. ``batch``: sequences of a decode rank."""

    shared: WorkerCandidates
    reading: PrefillWorkers
    decoding: DecodeWorkers
    prefill_workers: int
    decode_workers: int
    rate: float
    value: float

    @property
    def planned_rate(self) -> float:
        """Prompts/s that one prefill worker is planned for."""
        return float(prefill_rates(self.shared.handover, [self.reading]).planned[0])

    @property
    def transfer_seconds(self) -> float:
        """Seconds that a prompt's cache takes from a prefill to a decode worker."""
        mine, theirs = self.reading, self.decoding
        return self.shared.handover.seconds(mine.tp, theirs.tp, (mine.pp, theirs.pp))

    @property
    def link_rate(self) -> float:
        """Prompts/s whose caches the pools send and take at most."""
        over = self.shared.handover
        return min(
            workers * over.rate(one.tp, one.ranks, one.pp)
            for workers, one in (
                (self.prefill_workers, self.reading),
                (self.decode_workers, self.decoding),
            )
        )

    @property
    def assigned(self) -> tuple[WorkerAssignment, WorkerAssignment]:
        """The formats of the prefill and of the decode workers."""
        assert self.reading.assignment is not None
        assert self.decoding.assignment is not None
        return self.reading.assignment, self.decoding.assignment


@record
class _Potential:
    """The best of one decode worker: rate ÷ paid, requests/s, workers, the prefill worker."""

    value: float
    rate: float
    prefill: int
    decode: int
    reading: PrefillWorkers | None


class PoolSearch:
    """See the module. ``above``: rates ÷ devices that do not exceed it are not looked for;
    ``patience``: workers made sharper until what is better by less than NEAR is not either."""

    def __init__(
        self,
        cases: Sequence[WorkerCandidates],
        budget: DeviceBudget,
        demand: Demand,
        *,
        above: float = 0.0,
        patience: int = PATIENCE,
    ) -> None:
        self.cases, self.budget, self.demand, self.patience = cases, budget, demand, patience
        self.best: TwoPools | None = None
        self.value, self.bound = above, 0.0
        self.sharper = self.candidates = 0
        self._known: dict[tuple[int, ...], tuple[list[PrefillWorkers], PrefillRates]] = {}

    @property
    def enough(self) -> float:
        """What is hoped for must exceed this."""
        return self.value * (1 + (SAME if self.sharper < self.patience else NEAR))

    def run(self) -> TwoPools | None:
        """The best pools, None where none exceeds ``above``; nothing exceeds ``bound``."""
        self.candidates = sum(len(c.readers) * len(c.decoders) for c in self.cases)
        hoped = sorted(self._hopes(), key=lambda hope: -hope[0])
        for value, case, prefill, decode in hoped:
            if value <= self.enough:
                self.bound = max(self.bound, value)
                break
            self._inside(case, prefill, decode)
        self.bound = max(self.bound, 0.0 if self.best is None else self.value)
        return self.best

    def _hopes(self) -> Iterator[tuple[float, WorkerCandidates, int, int]]:
        for case in self.cases:
            for decode in sorted({decoder.devices for decoder in case.decoders}):
                workers = [decoder for decoder in case.decoders if decoder.devices == decode]
                most = max(workers, key=self._rate_of(case))
                for prefill in sorted({reader.devices for reader in case.readers}):
                    hope = self._hope(case, prefill, most, workers)
                    if hope.value > 0:
                        yield hope.value, case, prefill, decode

    def _rate_of(self, case: WorkerCandidates) -> _RateOf:
        return _RateOf(case, self.demand.osl)

    def _inside(self, case: WorkerCandidates, prefill: int, decode: int) -> None:
        """The best of workers of ``prefill`` and ``decode`` devices, where it exceeds the best."""
        done: set[int] = set()
        rate_of = self._rate_of(case)
        while True:
            workers = [
                decoder
                for decoder in case.decoders
                if decoder.devices == decode and id(decoder) not in done
            ]
            if not workers:
                return
            worker = max(workers, key=rate_of)
            hope = self._hope(case, prefill, worker, workers)
            if hope.value <= self.enough:
                self.bound = max(self.bound, hope.value)
                return
            own = self._hope(case, prefill, worker, [worker])
            if own.value <= self.enough:
                self.bound = max(self.bound, own.value * worker.slack)
                done.add(id(worker))
            elif own.reading is not None and own.reading.assignment is None:
                _exchange(case.readers, own.reading, own.reading.refined())
                self.sharper += 1
            elif worker.assignment is None:
                _exchange(case.decoders, worker, worker.refined())
                self.sharper += 1
            else:
                assert own.reading is not None
                self.value = own.value
                self.bound = max(self.bound, own.value * worker.slack)
                self.best = TwoPools(
                    case, own.reading, worker, own.prefill, own.decode, own.rate, own.value
                )
                done.add(id(worker))

    def _hope(
        self,
        case: WorkerCandidates,
        prefill: int,
        worker: DecodeWorkers,
        others: Sequence[DecodeWorkers],
    ) -> _Potential:
        """The most of one decode worker beside prefill workers of ``prefill`` devices, where TTFT
        counts the shortest transfer and step of ``others``."""
        readers = [reader for reader in case.readers if reader.devices == prefill]
        most = (self.budget.devices - worker.devices) // prefill
        if not readers or most < 1:
            return _Potential(0.0, 0.0, 0, 0, None)
        counts = np.arange(1, most + 1)
        left = self._left(case, readers, others)
        rates = self._arrays(case, readers).within(left, counts.astype(np.float64))
        caps, who = rates.max(axis=0), rates.argmax(axis=0)
        counted = best_counts(
            caps, self._rate_of(case)(worker), prefill, worker.devices, self.budget
        )
        value, rate, n, m = counted
        return _Potential(value, rate, n, m, readers[int(who[n - 1])] if n else None)

    def _left(
        self,
        case: WorkerCandidates,
        readers: Sequence[PrefillWorkers],
        others: Sequence[DecodeWorkers],
    ) -> Array:
        """Seconds that a prompt may wait and be read, by prefill worker."""
        steps: dict[tuple[int, int], float] = {}
        for other in others:
            key = other.tp, other.pp
            steps[key] = min(other.seconds, steps.get(key, np.inf))
        over = case.handover
        return np.array(
            [
                max(
                    self.demand.read_seconds(over.seconds(reader.tp, tp, (reader.pp, pp)), step)
                    for (tp, pp), step in steps.items()
                )
                for reader in readers
            ]
        )

    def _arrays(self, case: WorkerCandidates, readers: Sequence[PrefillWorkers]) -> PrefillRates:
        key = tuple(map(id, readers))
        if key not in self._known:
            self._known[key] = list(readers), prefill_rates(case.handover, readers)
        return self._known[key][1]


class _RateOf:
    """Requests/s that a decode worker of a case finishes at most."""

    def __init__(self, case: WorkerCandidates, osl: int) -> None:
        self.handover, self.osl = case.handover, osl

    def __call__(self, worker: DecodeWorkers) -> float:
        return min(worker.rate(self.osl), self.handover.rate(worker.tp, worker.ranks, worker.pp))


def prefill_rates(over: Handover, readers: Sequence[PrefillWorkers]) -> PrefillRates:
    """Kinds of prefill workers as arrays."""
    later = np.array([reader.later for reader in readers])
    return PrefillRates(
        np.array([float(reader.ranks) for reader in readers]),
        np.stack([reader.group for reader in readers]),
        np.array([over.rate(reader.tp, reader.ranks, reader.pp) for reader in readers]),
        later if later.any() else None,
    )


def best_counts(
    caps: Array,
    rate: float,
    prefill: int,
    decode: int,
    budget: DeviceBudget,
) -> tuple[float, float, int, int]:
    """(rate ÷ paid, requests/s, prefill workers, decode workers): the best numbers of workers of
    ``prefill`` and ``decode`` devices, of equal ones the fewest devices; zeros where none fits.

    Args:
        caps: requests/s that 1 … N prefill workers read [N].
        rate: requests/s that one decode worker finishes.
    """
    most = (budget.devices - prefill) // decode
    if most < 1 or not len(caps):
        return 0.0, 0.0, 0, 0
    n, m = np.arange(1, len(caps) + 1)[:, None], np.arange(1, most + 1)[None, :]
    used = n * prefill + m * decode
    rates = np.minimum(caps[:, None], m * rate)
    value = np.where(
        used <= budget.devices,
        rates / budget.paid((n * prefill).astype(np.float64), (m * decode).astype(np.float64)),
        0.0,
    )
    best = float(value.max())
    if not best > 0:
        return 0.0, 0.0, 0, 0
    near = np.argwhere(value >= best * (1 - SAME))
    i, j = min(near.tolist(), key=lambda at: (int(used[at[0], at[1]]), at[0]))
    return float(value[i, j]), float(rates[i, j]), i + 1, j + 1


def _exchange(workers: list[Worker], old: Worker, new: Sequence[Worker]) -> None:
    """Replace a worker by those that it stood for."""
    workers[:] = [*(worker for worker in workers if worker is not old), *new]
