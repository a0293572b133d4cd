"""What measured losses of whole models say of the sensitivities that predicted them.

A measured file s has cells (kind, format) that lose x nats by the prior, and

    ln K(s) = ln told(Σ_cells x · exp(θ_level + θ_kind + θ_format + θ_cell)) + noise

θ are normal around 0 with the widths that the prior's bands say, so that what few files cannot tell
apart is shared out by how well it was known. The mode is found by Gauss-Newton steps; the posterior
is the normal one at the mode. ``told`` is the saturation of :mod:`.level`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from planner.base.records import record
from planner.quality.sensitivity.level import KNEE_NATS, saturated

Doubles = npt.NDArray[np.float64]
Cell = tuple[str, str]
Shares = Mapping[Cell, float]
Z80 = 1.2815515655446004
ADDITIVITY = 0.05
"""Log-space deviation of a whole model's loss from the sum over its matrices, where that sum is
known: what a fit to measured sums leaves even without sampling error (assumed)."""
CELL_SHARE = 0.5
"""Width of one format on one kind, over that of the format on all of them (assumed: the tables do
not tell the two apart)."""
STEPS, HALVINGS, CLOSE = 50, 30, 1e-10


@record
class LossPrior:
    """Factors ÷/× that hold 80 %: of the level, of one kind against the level, of one format
    against the others; ``saturation`` is g."""

    level_band: float
    kind_band: float
    format_band: float
    saturation: float


@record
class MeasuredLoss:
    """One file: nats by cell as the prior has them, unsaturated; measured KL and its standard
    error."""

    shares: Shares
    kl: float
    error: float


@record
class Posterior:
    """``mean`` [n] and ``covariance`` [n, n] of θ in the order of ``names``: the level ("", ""),
    kinds (kind, ""), formats ("", scheme), cells; what no file has stays at the prior."""

    prior: LossPrior
    names: tuple[Cell, ...]
    mean: Doubles
    covariance: Doubles
    files: int

    def factor(self, kind: str, scheme: str) -> float:
        """What multiplies the prior's loss of ``kind`` under ``scheme``."""
        at = [self.names.index(name) for name in _parts(kind, scheme) if name in self.names]
        return math.exp(float(self.mean[at].sum()))

    def loss(self, shares: Shares) -> float:
        """The loss of a file with these cells [nats]."""
        total = math.fsum(x * self.factor(*cell) for cell, x in shares.items())
        return saturated(total, self.prior.saturation)

    def band(self, shares: Shares) -> float:
        """The factor ÷/× that holds 80 % of :meth:`loss`: the posterior's, what cells that no file
        had are unsure of, and additivity."""
        parts = {cell: x * self.factor(*cell) for cell, x in shares.items()}
        total = math.fsum(parts.values())
        if total <= 0:
            return 1.0
        slope = np.zeros(len(self.names))
        unknown: dict[Cell, float] = {}
        for cell, part in parts.items():
            for name in _parts(*cell):
                if name in self.names:
                    slope[self.names.index(name)] += part / total
                else:
                    unknown[name] = unknown.get(name, 0.0) + part / total
        variance = float(slope @ self.covariance @ slope) + math.fsum(
            (share * _width(name, self.prior)) ** 2 for name, share in unknown.items()
        )
        steep = 1.0 if total <= KNEE_NATS else 1.0 + self.prior.saturation
        return math.exp(Z80 * math.hypot(steep * math.sqrt(variance), ADDITIVITY))


def _parts(kind: str, scheme: str) -> tuple[Cell, ...]:
    """What acts on a cell, each once: also where kind or scheme is empty."""
    return tuple(dict.fromkeys((("", ""), (kind, ""), ("", scheme), (kind, scheme))))


def _width(name: Cell, prior: LossPrior) -> float:
    """One standard deviation of a θ before anything is measured."""
    kind, scheme = name
    if kind and scheme:
        return CELL_SHARE * math.log(prior.format_band) / Z80
    band = prior.kind_band if kind else prior.format_band if scheme else prior.level_band
    return math.log(band) / Z80


def posterior(prior: LossPrior, measured: Sequence[MeasuredLoss]) -> Posterior:
    """The posterior of every θ that a file tells of; files that lose nothing tell nothing."""
    files = [m for m in measured if m.kl > 0 and math.fsum(m.shares.values()) > 0]
    cells = sorted({cell for m in files for cell, x in m.shares.items() if x > 0})
    names = tuple(dict.fromkeys(name for cell in cells for name in _parts(*cell))) or (("", ""),)
    weight = np.diag([1.0 / _width(name, prior) ** 2 for name in names])
    x = np.array([[m.shares.get(cell, 0.0) for cell in cells] for m in files]).reshape(
        len(files), len(cells)
    )
    member = np.array([[float(name in _parts(*cell)) for name in names] for cell in cells]).reshape(
        len(cells), len(names)
    )
    y = np.log([m.kl for m in files]) if files else np.zeros(0)
    noise = np.array([math.hypot(ADDITIVITY, m.error / m.kl) for m in files])
    problem = _LogLosses(prior.saturation, x, member, y, noise, weight)
    mean = _mode(problem)
    slope = problem.residuals(mean)[1] / noise[:, None]
    return Posterior(prior, names, mean, np.linalg.inv(weight + slope.T @ slope), len(files))


@record
class _LogLosses:
    """Files as arrays: ``x`` [files, cells], ``member`` [cells, θ], ``y`` ln K, ``noise``."""

    saturation: float
    x: Doubles
    member: Doubles
    y: Doubles
    noise: Doubles
    weight: Doubles

    def residuals(self, theta: Doubles) -> tuple[Doubles, Doubles]:
        """(ln K − predicted [files], slope of the prediction [files, θ])."""
        parts = self.x * np.exp(self.member @ theta)
        total = parts.sum(axis=1)
        predicted = (
            np.log([saturated(t, self.saturation) for t in total.tolist()])
            if len(total)
            else np.zeros(0)
        )
        steep = np.where(total > KNEE_NATS, 1.0 + self.saturation, 1.0)
        return self.y - predicted, steep[:, None] * (parts @ self.member) / total[:, None]

    def cost(self, theta: Doubles) -> float:
        """Minus the log posterior, but for a constant."""
        left = self.residuals(theta)[0] / self.noise
        return float(left @ left + theta @ self.weight @ theta) / 2


def _mode(problem: _LogLosses) -> Doubles:
    """Gauss-Newton from the prior, each step halved until it lowers the cost."""
    theta = np.zeros(problem.weight.shape[0])
    for _ in range(STEPS):
        left, slope = problem.residuals(theta)
        scaled = slope / problem.noise[:, None]
        step = np.linalg.solve(
            problem.weight + scaled.T @ scaled,
            scaled.T @ (left / problem.noise) - problem.weight @ theta,
        )
        now = problem.cost(theta)
        for _ in range(HALVINGS):
            if problem.cost(theta + step) <= now:
                break
            step = step / 2
        theta = theta + step
        if float(np.abs(step).max(initial=0.0)) < CLOSE:
            break
    return theta
