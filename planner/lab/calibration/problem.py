"""One fit: the rows of one operator, device, stack and variant, and how a form predicts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import DataError
from planner.hardware.profile import FitError, FittedSet
from planner.lab.calibration.fit import assess, fit
from planner.throughput.forms.base import Parameter, Parameters

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.int64]
LEAST_ROWS = 24
"""Rows that are needed beside those kept back: three for each of eight parameters."""


@dataclass(frozen=True)
class FitProblem:
    """Rows [n] to fit ``parameters`` to.

    ``predict`` gives the seconds of the rows at an index under given parameters; ``measured`` [s]
    [n]; ``held_out`` rows are for the errors alone; ``excluded`` ones take no part. ``features``
    [n, f] are logarithms of what shapes a row's time, for choosing few rows that span them.
    ``fixed`` parameters are not fitted; of these ``known`` are facts about the device's kernel,
    which hold in a refit of a relative's set as well. ``folds`` int [n] tells how groups of rows
    are left out in turn where none is kept back, and while one of ``options`` is chosen: sets of
    parameters of which the kernel's is not known.
    """

    device: str
    operator: str
    stack: str
    software: str
    variant: str
    parameters: tuple[Parameter, ...]
    predict: Callable[[Parameters, Index], Array]
    measured: Array
    held_out: Mask
    excluded: Mask
    features: Array
    fixed: Mapping[str, float] = field(default_factory=dict)
    known: Mapping[str, float] = field(default_factory=dict)
    starts: int = 1
    note: str = ""
    folds: Index | None = None
    options: tuple[Mapping[str, float], ...] = ()

    @property
    def name(self) -> str:
        """Words for messages."""
        return f"{self.operator} {self.stack} {self.variant} on {self.device}"

    @property
    def train(self) -> Index:
        """Numbers of the rows to fit to [train]."""
        return np.flatnonzero(~self.held_out & ~self.excluded)

    @property
    def test(self) -> Index:
        """Numbers of the rows kept back [test]."""
        return np.flatnonzero(self.held_out & ~self.excluded)


def solve(problem: FitProblem) -> FittedSet:
    """The fit to all rows that are not kept back, with its errors on those that are.

    Of a sample without rows to keep back, errors are those of each fold of groups under a fit to
    the others.

    Raises:
        DataError: too few rows to fit or to assess.
    """
    problem = choose_structure(problem)
    train, test = problem.train, problem.test
    if not len(test) and problem.folds is not None and len(train) >= LEAST_ROWS:
        return _crossed(problem)
    if len(train) < LEAST_ROWS or not len(test):
        raise DataError(
            f"{problem.name}: {len(train)} rows to fit and {len(test)} kept back are too few",
            hint=f"give at least {LEAST_ROWS} and 1, or use --few",
        )
    return fitted_set(problem, _fit(problem, train), train, test, problem.note)


CROSSED = "errors of each third of the groups from a fit to the others; none is kept back"


def _crossed(problem: FitProblem) -> FittedSet:
    """The fit to every row, with the errors of each fold under the fit to the others."""
    train = problem.train
    assert problem.folds is not None
    fold = problem.folds[train]
    predicted = np.empty(len(train))
    for part in np.unique(fold).tolist():
        rest = train[fold != part]
        if not len(rest):
            raise DataError(
                f"{problem.name}: all rows are of one group of shapes",
                hint="give rows of several groups, or use --few",
            )
        predicted[fold == part] = problem.predict(_fit(problem, rest), train[fold == part])
    error = assess(predicted, problem.measured[train], rows=len(train))
    note = "; ".join(filter(None, (problem.note, CROSSED)))
    return _set(problem, _fit(problem, train), error, note)


def _fit(problem: FitProblem, rows: Index) -> dict[str, float]:
    return fit(
        lambda p: problem.predict(p, rows),
        problem.measured[rows],
        problem.parameters,
        fixed=problem.fixed,
        starts=problem.starts,
    )


def refit(problem: FitProblem, base: FittedSet, count: int) -> FittedSet:
    """``base``, a relative's set, with its device parameters fitted to ``count`` rows.

    The rows span the shapes (see :func:`spanning`); all others judge the result.

    Raises:
        DataError: fewer rows than parameters, or nothing left to judge by.
    """
    free = {p.name for p in problem.parameters if p.device}
    allowed = np.flatnonzero(~problem.excluded)
    if count < len(free) or count >= len(allowed):
        raise DataError(
            f"{problem.name}: {count} of {len(allowed)} rows cannot be fitted",
            hint=f"--few takes at least {len(free)} rows and leaves some to judge by",
        )
    chosen = allowed[spanning(problem.features[allowed], count)]
    rest = np.setdiff1d(allowed, chosen)
    start = tuple(
        Parameter(p.name, base.parameters[p.name], p.low, p.high, p.unit, FEW_PRIOR, p.device)
        for p in problem.parameters
        if p.name in free
    )
    fixed = {
        p.name: problem.known.get(p.name, base.parameters[p.name])
        for p in problem.parameters
        if p.name not in free
    }
    parameters = fit(
        lambda p: problem.predict(p, chosen), problem.measured[chosen], start, fixed=fixed
    )
    note = f"{', '.join(sorted(free))} fitted to {count} rows, the rest carried over"
    return fitted_set(problem, parameters, chosen, rest, note)


FEW_PRIOR = 0.3
"""Width (natural logarithm) by which a relative's parameters hold those of a small fit."""


def fitted_set(
    problem: FitProblem, parameters: Parameters, train: Index, test: Index, note: str
) -> FittedSet:
    """A set with its errors on the rows ``test`` [rows]."""
    error = assess(problem.predict(parameters, test), problem.measured[test], rows=len(train))
    return _set(problem, parameters, error, note)


def _set(problem: FitProblem, parameters: Parameters, error: FitError, note: str) -> FittedSet:
    ordered = {p.name: float(parameters[p.name]) for p in problem.parameters}
    return FittedSet(
        operator=problem.operator,
        stack=problem.stack,
        software=problem.software,
        variant=problem.variant,
        parameters=ordered,
        table={},
        error=error,
        kind="fitted",
        source="",
        date="",
        note=note,
    )


def spanning(features: Array, count: int) -> Index:
    """Indices of ``count`` rows of ``features`` [n, f] that spread evenly over them, in order.

    Each row is the one nearest to a point of a Halton sequence among the ranks of the features, so
    that the choice follows the table's own grid and is the same every time. (Spreading over the
    extremes instead gave a vLLM FP8 GEMM on B200 an error of 14 % instead of 11 %.)
    """
    unit = np.stack([_ranks(column) for column in features.T], axis=1)
    chosen: list[int] = []
    for point in _halton(count, unit.shape[1]):
        distance = ((unit - point) ** 2).sum(axis=1)
        distance[chosen] = np.inf
        chosen.append(int(np.argmin(distance)))
    return np.array(sorted(chosen), dtype=np.int64)


def _ranks(column: Array) -> Array:
    """Ranks in [0, 1]; equal values keep the order of the rows."""
    order = np.argsort(column, kind="stable")
    ranks = np.empty(len(column))
    ranks[order] = np.linspace(0.0, 1.0, len(column))
    return ranks


def _halton(count: int, axes: int) -> Array:
    """The first ``count`` points of the Halton sequence in [0, 1)^axes."""
    points = np.zeros((count, axes))
    for axis, base in zip(range(axes), (2, 3, 5, 7, 11, 13), strict=False):
        for i in range(count):
            digit, share = i + 1, 1.0
            while digit:
                share /= base
                points[i, axis] += share * (digit % base)
                digit //= base
    return points


CROSS_ROWS = 300
"""Most rows of one fit while kernels are compared, every so many of all."""


def choose_structure(problem: FitProblem) -> FitProblem:
    """``problem`` with that of its options that predicts left-out groups best, held fixed.

    Rows that are kept back take no part; the first of equals counts.
    """
    if not problem.options:
        return problem
    place = 0
    if problem.folds is not None and len(problem.train):
        place = int(np.argmin([_cross_error(problem, option) for option in problem.options]))
    return replace(problem, fixed={**problem.options[place], **problem.fixed}, options=())


def _cross_error(problem: FitProblem, option: Mapping[str, float]) -> float:
    """Mean |log ratio| on each fold of the fitted groups, predicted from the others."""
    assert problem.folds is not None
    rows = problem.train
    fold = problem.folds[rows]
    misses: list[NDArray[np.float64]] = []
    for part in np.unique(fold).tolist():
        rest, left = rows[fold != part], rows[fold == part]
        if not len(rest):
            continue
        some = rest[:: -(-len(rest) // CROSS_ROWS)]

        def predict(
            p: Mapping[str, float],
            some: NDArray[np.int64] = some,
        ) -> NDArray[np.float64]:
            return problem.predict(p, some)

        parameters = fit(
            predict, problem.measured[some], problem.parameters, fixed={**option, **problem.fixed}
        )
        misses.append(np.abs(np.log(problem.predict(parameters, left) / problem.measured[left])))
    return float(np.concatenate(misses).mean()) if misses else float("inf")
