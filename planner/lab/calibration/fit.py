"""Fit the parameters of an operator form to measured times.

Minimises Σ w·ρ((log t̂ − log t) / s) over the rows plus a weak log-normal prior around the starting
values, with ρ = soft-L1 and s = 0.12: an error of 12 % counts quadratically, an outlier linearly.
Parameters move in log space between their bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import MissingPackageError
from planner.hardware.profile import FitError
from planner.throughput.forms.base import Parameter, Parameters

Array = NDArray[np.float64]
Predict = Callable[[Parameters], Array]
SCALE = 0.12
Z80 = 1.2815515655446004
"""80 % of a normal distribution lies within ±1.2816 standard deviations."""


def fit(
    predict: Predict,
    measured: Array,
    parameters: Sequence[Parameter],
    *,
    fixed: Parameters | None = None,
    weights: Array | None = None,
    starts: int = 1,
) -> dict[str, float]:
    """Parameters under which ``predict`` comes closest to ``measured`` [s].

    Args:
        predict: seconds [n] of the rows under given parameters.
        measured: seconds [n], all above 0.
        parameters: what the form needs, with starts and bounds.
        fixed: values that stay.
        weights: relative weight of each row [n]; equal where absent.
        starts: how many starting points are tried (fixed spread, best kept).

    Raises:
        MissingPackageError: SciPy is not installed.
    """
    try:
        from scipy.optimize import least_squares
    except ImportError as error:
        raise MissingPackageError("scipy", extra="calibrate") from error
    fixed_values = dict(fixed or {})
    free = [p for p in parameters if p.name not in fixed_values]
    if not free:
        return fixed_values
    low, high = (np.log([getattr(p, end) for p in free]) for end in ("low", "high"))
    start = np.clip(np.log([p.start for p in free]), low + 1e-9, high - 1e-9)
    width = np.array([p.prior for p in free])
    target = np.log(measured)
    root = np.ones(len(measured)) if weights is None else np.sqrt(weights / weights.mean())

    def residuals(x: Array) -> Array:
        solution = fixed_values | {p.name: float(v) for p, v in zip(free, np.exp(x), strict=True)}
        error = (np.log(np.maximum(predict(solution), 1e-12)) - target) / SCALE
        soft = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error * error) - 1))
        return np.concatenate([root * soft, (x - start) / width])

    best = None
    for i in range(starts):
        shift = 0.0 if i == 0 else 0.35 * np.cos(np.pi * i * (np.arange(len(free)) + 0.5))
        solution = least_squares(
            residuals,
            np.clip(start + shift, low + 1e-9, high - 1e-9),
            bounds=(low, high),
            x_scale=0.3,
            max_nfev=200,
        )
        if best is None or solution.cost < best.cost:
            best = solution
    assert best is not None
    return fixed_values | {p.name: float(v) for p, v in zip(free, np.exp(best.x), strict=True)}


def assess(predicted: Array, measured: Array, *, rows: int) -> FitError:
    """Errors of ``predicted`` [rows] on rows that were kept back; ``rows`` were fitted to.

    ``sigma`` is the 80 % quantile of |log ratio| ÷ 1.2816.
    """
    ratio = predicted / measured
    error = np.abs(ratio - 1)
    log = np.abs(np.log(ratio))
    sigma = max(float(np.quantile(log, 0.8)) / Z80, 1e-3)
    return FitError(
        rows=rows,
        held_out=len(measured),
        mean=float(error.mean()),
        median=float(np.median(error)),
        bias=float((ratio - 1).mean()),
        sigma=sigma,
        coverage=float((log <= Z80 * sigma).mean()),
    )
