"""How far one deployment's residuals lie apart, and what models of a class have in common: the
widths of corrections that `plan learn` keeps.

Of rows of served deployments (:mod:`planner.planning.price.evidence`) by engine, device, class of
model and model, two rows or more each; each width holds four of five deviations. ``share`` is the
slope, through 0, of a model's mean on that of the others of its class, between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planner.planning.price.evidence import Residuals
from planner.planning.price.measured_errors import INSIDE, Z80
from planner.planning.question.corrections import FILE, METRICS, CorrectionSpread

DATA: Path = FILE
HEAD = (
    "# Written by `python -m benchmarks.evidence DIR...` from served_residuals.csv: log-space",
    "# deviations of points of one deployment, the share of one model's mean that another of its",
    "# class, engine and device has too, and what is left of the other's.",
)
FEWEST = 2
Array = NDArray[np.float64]


def entries(lines: Sequence[Residuals]) -> str:
    """The data file."""
    out = [*HEAD, "metric,points,share,models"]
    for metric in METRICS.values():
        spread = spread_of([line for line in lines if line.metric == metric])
        out.append(f"{metric},{spread.points:.3f},{spread.share:.3f},{spread.models:.3f}")
    return "\n".join(out) + "\n"


def spread_of(lines: Sequence[Residuals]) -> CorrectionSpread:
    """Of the rows of one metric."""
    groups: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for line in lines:
        of_class = groups.setdefault((line.kind.engine, line.kind.device, line.kind.model), {})
        of_class.setdefault(line.model_id, []).extend(line.residuals)
    apart: list[float] = []
    pairs: list[tuple[float, float]] = []
    for of_class in groups.values():
        rows = [np.array(r) for r in of_class.values() if len(r) >= FEWEST]
        for r in rows:
            apart += ((r - r.mean()) * np.sqrt(len(r) / (len(r) - 1))).tolist()
        means = [float(r.mean()) for r in rows]
        for i, mine in enumerate(means if len(means) > 1 else ()):
            pairs.append((float(np.mean(means[:i] + means[i + 1 :])), mine))
    others, own = np.array(pairs).T
    share = float(np.clip((others * own).sum() / (others**2).sum(), 0.0, 1.0))
    return CorrectionSpread(_width(np.array(apart)), share, _width(own - share * others))


def _width(deviations: Array) -> float:
    """The log-space standard deviation whose 80 % interval holds as many."""
    return float(np.quantile(np.abs(deviations), INSIDE)) / Z80
