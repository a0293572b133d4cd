"""One fit: the rows of one operator, device, stack and variant, and how a form predicts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.calibration.fit import assess, fit
from planner.errors import DataError
from planner.hardware.profile import FittedSet
from planner.throughput.forms.base import Parameter, Parameters

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.int64]
LEAST_ROWS = 24
"""Rows that are needed beside those kept back: three for each of eight parameters."""


@dataclass(frozen=True)
class Problem:
    """Rows [n] to fit ``parameters`` to.

    ``predict`` gives the seconds of the rows at an index under given parameters; ``measured`` [s]
    [n]; ``held`` rows are kept back for the errors; ``excluded`` ones take no part. ``features``
    [n, f] are logarithms of what shapes a row's time, for choosing few rows that span them.
    ``fixed`` parameters are not fitted.
    """

    device: str
    operator: str
    stack: str
    software: str
    variant: str
    parameters: tuple[Parameter, ...]
    predict: Callable[[Parameters, Index], Array]
    measured: Array
    held: Mask
    excluded: Mask
    features: Array
    fixed: Mapping[str, float] = field(default_factory=dict)
    starts: int = 1
    note: str = ""

    @property
    def name(self) -> str:
        """Words for messages."""
        return f"{self.operator} {self.stack} {self.variant} on {self.device}"

    @property
    def train(self) -> Index:
        """Rows to fit to."""
        return np.flatnonzero(~self.held & ~self.excluded)

    @property
    def test(self) -> Index:
        """Rows kept back."""
        return np.flatnonzero(self.held & ~self.excluded)


def solve(problem: Problem) -> FittedSet:
    """The fit to all rows that are not kept back, with its errors on those that are.

    Raises:
        DataError: too few rows to fit or to assess.
    """
    train, test = problem.train, problem.test
    if len(train) < LEAST_ROWS or not len(test):
        raise DataError(f"{problem.name}: {len(train)} rows to fit and {len(test)} kept back are "
                        f"too few", hint=f"give at least {LEAST_ROWS} and 1, or use --few")
    found = fit(lambda p: problem.predict(p, train), problem.measured[train], problem.parameters,
                fixed=problem.fixed, starts=problem.starts)
    return fitted_set(problem, found, train, test, problem.note)


def refit(problem: Problem, base: FittedSet, count: int) -> FittedSet:
    """``base``, a relative's set, with its device parameters fitted to ``count`` rows.

    The rows span the shapes (see :func:`spanning`); all others judge the result.

    Raises:
        DataError: fewer rows than parameters, or nothing left to judge by.
    """
    free = {p.name for p in problem.parameters if p.device}
    allowed = np.flatnonzero(~problem.excluded)
    if count < len(free) or count >= len(allowed):
        raise DataError(f"{problem.name}: {count} of {len(allowed)} rows cannot be fitted",
                        hint=f"--few takes at least {len(free)} rows and leaves some to judge by")
    chosen = allowed[spanning(problem.features[allowed], count)]
    rest = np.setdiff1d(allowed, chosen)
    start = tuple(
        Parameter(p.name, base.parameters[p.name], p.low, p.high, p.unit, FEW_PRIOR, p.device)
        for p in problem.parameters if p.name in free)
    fixed = {p.name: base.parameters[p.name] for p in problem.parameters if p.name not in free}
    found = fit(lambda p: problem.predict(p, chosen), problem.measured[chosen], start, fixed=fixed)
    note = f"{', '.join(sorted(free))} fitted to {count} rows, the rest carried over"
    return fitted_set(problem, found, chosen, rest, note)


FEW_PRIOR = 0.5
"""Width (natural logarithm) by which a relative's parameters hold those of a small fit."""


def fitted_set(problem: Problem, parameters: Parameters, train: Index, test: Index,
               note: str) -> FittedSet:
    """A set with its errors on the rows ``test``."""
    error = assess(problem.predict(parameters, test), problem.measured[test], rows=len(train))
    ordered = {p.name: float(parameters[p.name]) for p in problem.parameters}
    return FittedSet(
        operator=problem.operator, stack=problem.stack, software=problem.software,
        variant=problem.variant, parameters=ordered, table={}, error=error, kind="fitted",
        source="", date="", note=note)


def spanning(features: Array, count: int) -> Index:
    """Indices of ``count`` rows of ``features`` [n, f] that spread over them, in order.

    Farthest-point choice: each further row is the one farthest from those chosen; features are
    scaled to their range. Deterministic: the first row is the one nearest to the middle.
    """
    low, high = features.min(axis=0), features.max(axis=0)
    unit = (features - low) / np.where(high > low, high - low, 1.0)
    first = int(np.argmin(((unit - 0.5) ** 2).sum(axis=1)))
    chosen = [first]
    distance = ((unit - unit[first]) ** 2).sum(axis=1)
    while len(chosen) < count:
        far = int(np.argmax(distance))
        chosen.append(far)
        distance = np.minimum(distance, ((unit - unit[far]) ** 2).sum(axis=1))
    return np.array(sorted(chosen), dtype=np.int64)
