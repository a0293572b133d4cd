"""Collectives inside one fast-link domain: a formula in message and ranks, and measured tables.

    t = a0 + a1·(n − 1) + softmin( x·V/(e1·L),  a2 + c·V/(e2·L) )
    softmin(u, v) = (u^−4 + v^−4)^(−1/4)

V bytes of the full message, n ranks, L bytes/s of a device's links in one direction. The first
branch is the protocol for small messages (every rank sends all to all, x = n − 1 in one-shot
all-reduces, x = c in NCCL's low-latency one), the second the one for large ones with a further
start a2. c is what leaves a rank: 2(n − 1)/n in an all-reduce, (n − 1)/n in the others (NCCL tests,
PERFORMANCE.md, bus bandwidth).

Tables hold measured times, made non-decreasing in V. Between two sizes the logarithm of measured
over formula is linear; beyond the last it is constant, so that there the formula's bandwidth
counts. Other numbers of ranks take the nearest table and the formula's ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import DataError
from planner.base.records import cached_record
from planner.throughput.forms.base import Parameter, Parameters, checked_parameters

Array = NDArray[np.float64]

OPERATOR = "collective"
FORMULA = ":formula"
"""Ending of the variant of a set that holds the formula's parameters."""
SHARPNESS = 4.0
STEPS = 8
PARAMETERS = (
    Parameter("launch_seconds", 5e-6, 0.3e-6, 5e-5, "s", device=True),
    Parameter("rank_seconds", 0.3e-6, 1e-9, 1e-5, "s", prior=3.0, device=True),
    Parameter("large_start_seconds", 1.5e-5, 1e-7, 2e-4, "s"),
    Parameter("small_fraction", 0.4, 0.005, 1.0, prior=1.0),
    Parameter("large_fraction", 0.7, 0.1, 1.0, prior=0.5, device=True),
)


def sent_share(op: str, ranks: Array) -> Array:
    """c: bytes that leave a rank over bytes of the message."""
    return np.asarray((2.0 if reduces(op) else 1.0) * (ranks - 1.0) / ranks)


def reduces(op: str) -> bool:
    """Whether ``op`` is an all-reduce: it sends the sums back too."""
    return op in ("custom-allreduce", "all-reduce")


def collective_seconds(
    parameters: Parameters, op: str, link_bytes_per_s: float, ranks: Array, message_bytes: Array
) -> Array:
    """The formula [s], broadcast shape of ``ranks`` and ``message_bytes``; 0 for one rank."""
    p = checked_parameters(parameters, PARAMETERS, f"{OPERATOR} {op}")
    sent = sent_share(op, ranks) * message_bytes / link_bytes_per_s
    large = p["large_start_seconds"] + sent / p["large_fraction"]
    small = (ranks - 1.0) * message_bytes / link_bytes_per_s if op == "custom-allreduce" else sent
    seconds = (
        p["launch_seconds"]
        + p["rank_seconds"] * (ranks - 1.0)
        + _softmin(small / p["small_fraction"], large)
    )
    return np.asarray(np.where(ranks > 1, seconds, 0.0))


def _softmin(a: Array, b: Array) -> Array:
    small, large = np.minimum(a, b), np.maximum(a, b)
    ratio = np.divide(small, large, out=np.zeros(np.shape(small)), where=large > 0)
    return np.asarray(small * (1.0 + ratio**SHARPNESS) ** (-1.0 / SHARPNESS))


@cached_record
class CollectiveTable:
    """Times of one collective: logs of bytes [K] and of seconds [K] by number of ranks, ascending
    and close enough for straight lines between them. ``shape_link`` is the link that the times
    themselves show: another link stated for the device changes nothing that was measured. Tables
    are compared by ``content``, the bytes of the knots: arrays themselves have no one answer."""

    op: str
    link_bytes_per_s: float
    shape_link: float
    knots: Mapping[int, tuple[Array, Array]] = field(compare=False)
    formula: Parameters
    content: tuple[tuple[int, bytes, bytes], ...] = field(repr=False)

    def seconds(self, ranks: Array, message_bytes: Array) -> Array:
        """Interpolated time [s]; 0 for one rank."""
        shape = np.broadcast_shapes(np.shape(ranks), np.shape(message_bytes))
        n, size = (
            np.broadcast_to(np.asarray(a, dtype=np.float64), shape) for a in (ranks, message_bytes)
        )
        out = np.zeros(shape)
        for count in set(n.ravel().tolist()):
            here = n == count
            if count > 1:
                out[here] = self._of(float(count), size[here])
        return out

    def _of(self, ranks: float, size: Array) -> Array:
        logs, times = self._knots_of(ranks)
        known = np.log(np.maximum(size, 1e-9))
        inside = np.clip(known, logs[0], logs[-1])
        seconds = np.exp(np.interp(inside, logs, times))
        below = self._plain(ranks, size, self.shape_link) / self._plain(
            ranks, np.exp(inside), self.shape_link
        )
        above = self._plain(ranks, size, self.link_bytes_per_s) / self._plain(
            ranks, np.exp(inside), self.link_bytes_per_s
        )
        return np.asarray(
            seconds * np.where(known < inside, below, np.where(known > inside, above, 1.0))
        )

    def _plain(self, ranks: float, size: Array, link: float) -> Array:
        return collective_seconds(self.formula, self.op, link, np.asarray(ranks), size)

    def _knots_of(self, ranks: float) -> tuple[Array, Array]:
        """The table of ``ranks``: the measured one, or the nearest times the formula's ratio, made
        non-decreasing."""
        if ranks in self.knots:
            return self.knots[int(ranks)]
        known = sorted(self.knots)
        near = max((k for k in known if k <= ranks), default=known[0])
        logs, times = self.knots[near]
        size = np.exp(logs)
        ratio = np.log(
            self._plain(ranks, size, self.shape_link)
            / self._plain(float(near), size, self.shape_link)
        )
        return logs, np.asarray(np.maximum.accumulate(times + ratio))


def table_of(
    op: str,
    columns: Mapping[str, tuple[float, ...]],
    formula: Parameters,
    link_bytes_per_s: float,
    *,
    without: Mapping[int, frozenset[float]] | None = None,
) -> CollectiveTable:
    """The table whose columns are ``bytes`` and ``ranks_N`` (0 where a size was not measured).

    ``without`` leaves sizes out by number of ranks.

    Raises:
        DataError: no column of times, or one of another length.
    """
    size = np.array(columns["bytes"])
    knots: dict[int, tuple[Array, Array]] = {}
    shape = _shown_link(op, columns, formula, without or {}) or link_bytes_per_s
    for name, column in columns.items():
        if not name.startswith("ranks_"):
            continue
        count, times = int(name.removeprefix("ranks_")), np.array(column)
        if len(times) != len(size):
            raise DataError(
                f"collective table {op}: {name} has {len(times)} of {len(size)} times",
                hint="run plan lab calibrate again",
            )
        left = (without or {}).get(count, frozenset())
        kept = (times > 0) & ~np.isin(size, list(left))
        if kept.any():
            order = np.argsort(size[kept])
            plain = partial(collective_seconds, formula, op, shape, np.asarray(float(count)))
            knots[count] = _dense(
                np.log(size[kept][order]), monotone(np.log(times[kept][order])), plain
            )
    if not knots:
        raise DataError(f"collective table {op}: no times", hint="run plan lab calibrate again")
    content = tuple(
        (count, logs.tobytes(), times.tobytes()) for count, (logs, times) in knots.items()
    )
    return CollectiveTable(op, link_bytes_per_s, shape, knots, formula, content)


def _shown_link(
    op: str,
    columns: Mapping[str, tuple[float, ...]],
    p: Parameters,
    without: Mapping[int, frozenset[float]],
) -> float:
    """The link [B/s] with which the formula takes the time of the largest message, geometric mean
    over the numbers of ranks; 0 where no message is large enough to tell."""
    bandwidths = []
    for name, column in columns.items():
        if not name.startswith("ranks_"):
            continue
        ranks = int(name.removeprefix("ranks_"))
        left = without.get(ranks, frozenset())
        size, time = max(
            (
                (size, t)
                for size, t in zip(columns["bytes"], column, strict=False)
                if t > 0 and size not in left
            ),
            default=(0.0, 0.0),
        )
        start = p["launch_seconds"] + p["rank_seconds"] * (ranks - 1) + p["large_start_seconds"]
        if ranks > 1 and time > 2.0 * start:
            sent = float(sent_share(op, np.asarray(float(ranks)))) * size
            bandwidths.append(sent / p["large_fraction"] / (time - start))
    return float(np.exp(np.mean(np.log(bandwidths)))) if bandwidths else 0.0


def _dense(logs: Array, times: Array, plain: Callable[[Array], Array]) -> tuple[Array, Array]:
    """``times`` (logs, non-decreasing) in STEPS points from size to size that follow ``plain``."""
    place = np.linspace(0.0, len(logs) - 1.0, STEPS * (len(logs) - 1) + 1)
    at = np.interp(place, np.arange(len(logs)), logs)
    formula = np.log(plain(np.exp(at)))
    ratio = np.interp(at, logs, times - np.log(plain(np.exp(logs))))
    above = times[np.ceil(place - 1e-9).astype(np.int64)]
    return at, np.maximum.accumulate(np.minimum(formula + ratio, above))


def monotone(values_: Array) -> Array:
    """The nearest non-decreasing sequence [n] in squares: runs that fall are replaced by their mean
    (pool-adjacent-violators; Barlow et al., 1972)."""
    means: list[float] = []
    counts: list[int] = []
    for value in values_.tolist():
        means.append(value)
        counts.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            total = counts[-2] + counts[-1]
            means[-2] = (means[-2] * counts[-2] + means[-1] * counts[-1]) / total
            counts[-2] = total
            means.pop()
            counts.pop()
    return np.repeat(np.array(means), np.array(counts))
