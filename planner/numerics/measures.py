"""Error measures between a reference and an approximation."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.base.typed import typed
from planner.numerics.tiles import unmasked


@dataclass(frozen=True, slots=True)
class ErrorStats:
    """How far ``y`` is from ``x``, over the elements where both are finite.

    ``relative_power`` = ‖x-y‖²/‖x‖²; ``sqnr_db`` = -10·log10 of it; ``max_abs`` = max |x-y|;
    ``max_rel`` = max |x-y|/|x| over x ≠ 0; ``rms`` = sqrt(mean (x-y)²). Counted apart:
    ``overflowed`` (x finite, y not), ``flushed`` (x ≠ 0, y = 0), ``count`` elements in all.
    """

    relative_power: float
    sqnr_db: float
    max_abs: float
    max_rel: float
    rms: float
    count: int
    overflowed: int
    flushed: int


@typed
def error(x: npt.ArrayLike, y: npt.ArrayLike) -> ErrorStats:
    """Compare ``y`` with the reference ``x`` of the same shape, in float64.

    ``relative_power`` is 0 for equal arrays, and infinite where x is zero and y is not.
    Raises InputError for shapes that differ and for a reference that is not finite.
    """
    reference = np.asarray(unmasked(x), dtype=np.float64)
    other = np.asarray(unmasked(y), dtype=np.float64)
    if reference.shape != other.shape:
        raise InputError(
            f"shapes {reference.shape} and {other.shape} differ",
            hint="pass two arrays of one shape",
        )
    if not np.isfinite(reference).all():
        raise InputError(
            "the reference holds NaN or infinities",
            hint="replace NaN and infinities first, for example with numpy.nan_to_num",
        )
    finite = np.isfinite(other)
    difference = np.where(finite, np.where(finite, other, 0) - reference, 0)
    power = float(np.sum(difference * difference))
    total = float(np.sum(np.where(finite, reference * reference, 0)))
    relative = power / total if total else (inf if power else 0.0)
    size = np.abs(difference)
    nonzero = finite & (reference != 0)
    ratios = size[nonzero] / np.abs(reference[nonzero])
    return ErrorStats(
        relative_power=relative,
        sqnr_db=_decibel(relative),
        max_abs=float(size.max(initial=0.0)),
        max_rel=float(ratios.max(initial=0.0)),
        rms=float(np.sqrt(power / max(1, int(finite.sum())))),
        count=int(reference.size),
        overflowed=int((~finite).sum()),
        flushed=int(((reference != 0) & (other == 0)).sum()),
    )


def _decibel(relative: float) -> float:
    if relative == 0:
        return inf
    return -inf if relative == inf else -10 * log10(relative)
