"""The roofline of one operator, on arrays.

    t = launch + max(FLOP / (P·e_c), bytes / (W·e_m), converted / R) + communication

P dense peak of the unit, W memory bandwidth, e_c and e_m achieved fractions, R the conversion rate
of weight-only and software paths. All arguments broadcast; a scalar call is the 0-d case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
BOUNDS = ("compute", "memory", "launch", "communication", "conversion")
MECHANISMS = (*BOUNDS, "quantise", "busy")
OVERLAPPING = ("compute", "memory", "conversion")
OVERLAP = "overlap"
_ALONE, _OVERLAPS = np.zeros((1, 1), dtype=bool), np.ones((1, 1), dtype=bool)


@record
class Parts:
    """Seconds by mechanism, arrays of one shape.

    ``busy`` is what compute, memory and conversion take together: their maximum in a plain
    roofline, a p-norm in a calibrated form. ``quantise`` is the time of kernels that narrow
    activations before the product. ``overlap`` says where ``busy`` is the maximum of one kernel, so
    that another unit in the same kernel may take the other mechanisms' time
    (:func:`fused_operators`); an axis of length 1 stands for every index.
    """

    compute: Array
    memory: Array
    launch: Array
    communication: Array
    conversion: Array
    quantise: Array
    busy: Array
    overlap: Mask = field(default_factory=lambda: _ALONE)

    def total(self) -> Array:
        """Seconds of the operator, same shape."""
        return np.asarray(
            self.busy + self.launch + self.quantise + self.communication, dtype=np.float64
        )

    def plus(self, other: Parts) -> Parts:
        """Mechanism-wise sum: the operators run one after the other."""
        pairs = zip(self.arrays(), other.arrays(), strict=True)
        return from_every([*(a + b for a, b in pairs), _ALONE])

    def scaled(self, factor: float | Array) -> Parts:
        """Every mechanism times ``factor``."""
        if isinstance(factor, float) and factor == 1.0:
            return self
        return from_every([*(np.asarray(a * factor) for a in self.arrays()), self.overlap])

    def rows(self, where: slice | NDArray[np.int64]) -> Parts:
        """The candidates at ``where``; an axis of length 1 stands for every candidate."""
        return from_every([a[where] if len(a) > 1 else a for a in self.every()])

    def arrays(self) -> tuple[Array, ...]:
        """The arrays in the order of MECHANISMS."""
        return (
            self.compute,
            self.memory,
            self.launch,
            self.communication,
            self.conversion,
            self.quantise,
            self.busy,
        )

    def every(self) -> tuple[Any, ...]:
        """The arrays in the order of the fields."""
        return (*self.arrays(), self.overlap)

    def column(self, index: int) -> Parts:
        """The mechanisms [C, 1] of one choice of [C, S]; one column stands for every choice."""
        return from_every([a[:, min(index, a.shape[1] - 1)][:, None] for a in self.every()])

    def columns(self, index: NDArray[np.int64]) -> Parts:
        """The mechanisms [C, N] of the choices ``index`` [N] of [C, S]; one column stands for every
        choice."""
        return from_every([a[:, np.minimum(index, a.shape[1] - 1)] for a in self.every()])

    def at(self, row: int, column: int) -> dict[str, float]:
        """The mechanisms of one candidate and choice as plain numbers; axes of length 1 stand for
        every index."""
        return {
            name: float(a.item(min(row, a.shape[0] - 1), min(column, a.shape[1] - 1)))
            for name, a in zip((*MECHANISMS, OVERLAP), self.every(), strict=True)
        }


def from_every(arrays: Sequence[Any]) -> Parts:
    """Parts from what :meth:`Parts.every` gives."""
    return Parts(*arrays)


def one_after_another(groups: Sequence[Parts]) -> Parts:
    """Candidates of several groups in one; each group's arrays have its own number of rows."""
    columns = []
    rows = [len(g.busy) for g in groups]
    for arrays in zip(*(g.every() for g in groups), strict=True):
        width = max(a.shape[1] for a in arrays)
        columns.append(
            np.concatenate(
                [
                    a if a.shape == (n, width) else np.broadcast_to(a, (n, width))
                    for a, n in zip(arrays, rows, strict=True)
                ]
            )
        )
    return from_every(columns)


def zero_parts(shape: tuple[int, ...]) -> Parts:
    """No time at all."""
    return from_every([*(np.zeros(shape) for _ in MECHANISMS), _ALONE])


def parts(
    *,
    compute: Array,
    memory: Array,
    launch: Array,
    busy: Array,
    conversion: Array | float = 0.0,
    quantise: Array | float = 0.0,
    communication: Array | float = 0.0,
    overlap: bool = False,
) -> Parts:
    """Parts of one shape from arrays that broadcast [s]."""
    given = [
        np.asarray(a, dtype=np.float64)
        for a in (compute, memory, launch, communication, conversion, quantise, busy)
    ]
    shape = np.broadcast_shapes(*{a.shape for a in given})
    return from_every(
        [
            *(a if a.shape == shape else _filled(a, shape) for a in given),
            _OVERLAPS if overlap else _ALONE,
        ]
    )


def _filled(values: Array, shape: tuple[int, ...]) -> Array:
    """``values`` broadcast to ``shape``: a tenth of the time of ``np.broadcast_to``."""
    out = np.empty(shape)
    out[...] = values
    return out


def select_parts(mask: NDArray[np.bool_], chosen: Parts, other: Parts) -> Parts:
    """``chosen`` where ``mask`` (broadcast), ``other`` elsewhere."""
    pairs = zip(chosen.every(), other.every(), strict=True)
    return from_every([np.where(mask, a, b) for a, b in pairs])


def overlapped(operator: Parts) -> Parts:
    """``operator`` on a second stream beside a longer one: its launches and waits are hidden, the
    memory and the units it takes are not."""
    blank = np.zeros(np.shape(operator.busy))
    return replace(
        operator,
        launch=blank,
        quantise=blank,
        busy=np.minimum(operator.busy, np.maximum(operator.memory, operator.compute)),
    )


def communication_only(seconds: Array) -> Parts:
    """A collective of ``seconds`` and nothing else."""
    blank = np.zeros(np.shape(seconds))
    return Parts(blank, blank, blank, seconds, blank, blank, blank)


def operator(
    *,
    flop: Array,
    moved_bytes: Array,
    converted: Array,
    launch: Array,
    peak: Array,
    compute_fraction: Array,
    bandwidth: float,
    bandwidth_fraction: Array,
    conversion_rate: Array,
) -> Parts:
    """Roofline of one operator (see module docstring).

    Args:
        flop: floating-point (or integer) operations.
        moved_bytes: bytes through device memory.
        converted: elements converted in software or by a weight-only kernel.
        launch: fixed time of the launches [s].
        peak, bandwidth: dense peak [FLOP/s] and memory bandwidth [B/s].
        compute_fraction, bandwidth_fraction: achieved fractions in (0, 1].
        conversion_rate: elements/s; inf where nothing is converted.
    Returns:
        Seconds by mechanism, broadcast shape of the arguments.
    """
    compute = flop / (peak * compute_fraction)
    memory = moved_bytes / (bandwidth * bandwidth_fraction)
    conversion = converted / conversion_rate
    return parts(
        compute=compute,
        memory=memory,
        launch=launch,
        conversion=conversion,
        busy=np.maximum(np.maximum(compute, memory), conversion),
        overlap=True,
    )


def fused_operators(members: Sequence[Parts]) -> Parts:
    """Operators that run as one kernel, of one shape [s]: plain rooflines overlap as one.

    ``busy`` is the largest of the sums of compute, memory and conversion, where a member that does
    not overlap (a p-norm, several kernels) adds its ``busy`` to each. So it never exceeds the sum
    of members, equals it where all are bound by the same, and grows with each of their times.
    """
    total = members[0]
    for member in members[1:]:
        total = total.plus(member)
    busy = [
        sum(np.where(m.overlap, getattr(m, name), m.busy) for m in members) for name in OVERLAPPING
    ]
    every = members[0].overlap
    for member in members[1:]:
        every = every & member.overlap
    return replace(total, busy=np.maximum(np.maximum(busy[0], busy[1]), busy[2]), overlap=every)


def seconds(mechanisms: Mapping[str, float]) -> float:
    """Total of one operator's mechanisms (see :meth:`Parts.total`)."""
    return (
        mechanisms["busy"]
        + mechanisms["launch"]
        + mechanisms["quantise"]
        + mechanisms["communication"]
    )


def main_bound(parts: Mapping[str, float]) -> str:
    """The mechanism that takes most of the time; ties go to the earlier name in BOUNDS.

    Quantisation of activations counts as conversion.
    """
    shown = {name: parts[name] for name in BOUNDS}
    shown["conversion"] += parts.get("quantise", 0.0)
    return max(BOUNDS, key=lambda name: shown[name])
