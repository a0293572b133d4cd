"""Ranks, ratios and picks of deployments: pure arithmetic on rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evaluation.deployments.rows import DeploymentRow, Pair
from evaluation.tiers import rank_correlation
from planner.lab.validation.grouping import quantile

LIMITS = (None, 0.05, 0.03, 0.02, 0.015, 0.01)
"""Limits of TPOT [s] at which a deployment is picked; None: none."""
FEWEST = 3
"""Rows that a rank correlation needs."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """Predicted / measured of ``n`` rows: the median, and what 80 % of the rows lie within."""

    n: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pick:
    """At a ``limit`` of TPOT [s]: of ``kept`` rows that keep it as measured the ``best``, and the
    ``picked`` row: the highest predicted rate among those that are predicted to keep it, None where
    none is. ``share``: measured rate of the pick of that of the best; ``any``: the mean of all that
    keep the limit, of the best."""

    limit: float | None
    kept: int
    best: DeploymentRow
    picked: DeploymentRow | None
    any: float

    @property
    def share(self) -> float:
        """Measured rate of the pick ÷ that of the best; 0 without a pick."""
        return self.picked.rate.measured / self.best.rate.measured if self.picked else 0.0

    @property
    def keeps(self) -> bool:
        """Whether the pick keeps the limit as measured."""
        return self.picked is not None and _within(self.picked.tpot.measured, self.limit)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two pools against one at a ``limit`` of TPOT: the ratio of their best rates, and the best
    measured row of each."""

    limit: float | None
    ratio: Pair
    pools: DeploymentRow
    one: DeploymentRow

    @property
    def agrees(self) -> bool:
        """Whether the better one is predicted to be the better one."""
        return (self.ratio.predicted > 1) == (self.ratio.measured > 1)


def by_case(
    rows: Iterable[DeploymentRow],
) -> dict[tuple[str, str, str, int, int], list[DeploymentRow]]:
    """Rows that stay in headlines by model, device, precision and lengths, in order."""
    found: dict[tuple[str, str, str, int, int], list[DeploymentRow]] = {}
    for row in rows:
        if not row.excluded:
            found.setdefault(row.case, []).append(row)
    return dict(sorted(found.items()))


def ratios(pairs: Iterable[Pair]) -> Ratios | None:
    """Of predicted to measured; None for no pair."""
    values = sorted(pair.ratio for pair in pairs)
    if not values:
        return None
    return Ratios(len(values), *(quantile(values, share) for share in (0.5, 0.1, 0.9)))


def rank(
    rows: Sequence[DeploymentRow],
    predicted: Callable[[DeploymentRow], float | None],
    measured: Callable[[DeploymentRow], float],
) -> float | None:
    """Spearman's ρ; None for fewer than FEWEST rows, values that are all equal, or none."""
    ours = [predicted(row) for row in rows]
    theirs = [measured(row) for row in rows]
    known = [value for value in ours if value is not None]
    if len(known) < max(FEWEST, len(rows)) or len(set(known)) < 2 or len(set(theirs)) < 2:
        return None
    return rank_correlation(known, theirs)


def settings(rows: Iterable[DeploymentRow]) -> int:
    """Different configurations: engines with their version and layouts, whatever the load."""
    return len({(row.software, row.setting) for row in rows})


def picks(rows: Sequence[DeploymentRow], rated: Callable[[DeploymentRow], float]) -> list[Pick]:
    """The pick at every limit that at least two rows keep as measured, by the rate that is
    ``rated``."""
    out = []
    for limit in LIMITS:
        kept = [row for row in rows if _within(row.tpot.measured, limit)]
        if len(kept) < 2:
            continue
        hoped = [row for row in rows if _within(row.tpot.predicted, limit)]
        best = max(kept, key=lambda row: row.rate.measured)
        mean = sum(row.rate.measured for row in kept) / len(kept)
        out.append(
            Pick(
                limit,
                len(kept),
                best,
                max(hoped, key=rated, default=None),
                mean / best.rate.measured,
            )
        )
    return out


def contrasts(rows: Sequence[DeploymentRow]) -> list[Contrast]:
    """Two pools against one at every limit that rows of both keep, as measured and as predicted."""
    out = []
    for limit in LIMITS:
        best = [
            [
                max(
                    (
                        row
                        for row in rows
                        if row.pools is pools and _within(getattr(row.tpot, side), limit)
                    ),
                    key=lambda row: getattr(row.rate, side),
                    default=None,
                )
                for pools in (True, False)
            ]
            for side in ("predicted", "measured")
        ]
        (mine, theirs), (pools, one) = best
        if mine and theirs and pools and one:
            out.append(
                Contrast(
                    limit,
                    Pair(
                        mine.rate.predicted / theirs.rate.predicted,
                        pools.rate.measured / one.rate.measured,
                    ),
                    pools,
                    one,
                )
            )
    return out


def _within(tpot: float, limit: float | None) -> bool:
    return limit is None or tpot <= limit


def first_wave(rows: Iterable[DeploymentRow]) -> Ratios | None:
    """Seconds that the first requests of a run would have waited together, were all that TTFT is
    measured above its prediction one pause at the start: excess × requests of the run a slot."""
    waits = sorted((row.ttft.measured - row.ttft.predicted) * row.runs for row in rows)
    if not waits:
        return None
    return Ratios(len(waits), *(quantile(waits, share) for share in (0.5, 0.1, 0.9)))
