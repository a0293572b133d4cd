"""One comparison with another implementation, and how it is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

UNEXPLAINED = "**unexplained**"


@dataclass(frozen=True, slots=True)
class Row:
    """``differ`` of ``compared`` values differ; ``why`` names the difference and who is right."""

    what: str
    against: str
    compared: int
    differ: int
    why: str = ""

    def __add__(self, other: Row) -> Row:
        """The same comparison on another seed."""
        return Row(
            self.what,
            self.against,
            self.compared + other.compared,
            self.differ + other.differ,
            self.why or other.why,
        )


def compared(
    what: str,
    against: str,
    ours: npt.NDArray[Any],
    theirs: npt.NDArray[Any],
    known: npt.NDArray[np.bool_] | None = None,
    why: str = "",
) -> Row:
    """Count values that are not equal (any NaN is like another); ``known`` marks those that
    ``why`` explains."""
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.shape != b.shape:
        raise ValueError(f"{what}: shapes {a.shape} and {b.shape}")
    wrong = a != b
    if a.dtype.kind == "f":
        wrong &= ~(np.isnan(a) & np.isnan(b))
    reason = ""
    if wrong.any():
        explained = known is not None and bool(np.broadcast_to(known, a.shape)[wrong].all())
        reason = why if explained else UNEXPLAINED
    return Row(what, against, a.size, int(wrong.sum()), reason)
