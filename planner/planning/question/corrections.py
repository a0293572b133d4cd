"""What runs that were measured here correct: factors on the law's steps and on its prompts.

Runs of the very model give their mean; a run of another model of the class gives the share that
one model's error has been seen to have in common with another's on one engine and device. How far
one deployment's points lie apart, and models of a class from each other, was measured on served
deployments (``planning/data/correction_spread.csv``, which ``benchmarks/evidence.py`` writes):

    ln factor = mean over the runs of ln(measured / predicted)
    σ² = σ_left²·(1 + 1/n) + mean error² / n,   σ_left² = (k·σ_0² + Σ(ln r − mean)²) / (k + n − 1)

σ_0 is that of points of one deployment, which counts as much as k runs (:data:`PRIOR_RUNS`).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

from planner.base.records import record
from planner.base.versions import release_of
from planner.hardware.learned_runs import LearnedRun, MeasuredFactor

FILE = Path(__file__).resolve().parents[1] / "data" / "correction_spread.csv"
STEP, PROMPT = "step-residual", "prompt-residual"
"""Operators of fitted sets, and of corrections: all of a step, all of a prompt."""
METRICS = {STEP: "tpot", PROMPT: "ttft"}
PRIOR_RUNS = 2
"""Runs that the spread of served deployments counts as (assumed): two runs say as much of how far
others will be off as all that was published of other machines."""


NEAR = 2.0
"""Lengths further apart than this factor are not what was measured."""


@record
class KindHere:
    """The kind of a deployment that was measured here: its range of requests in flight, and the
    ``tokens`` that a step attends to, or of a prompt."""

    layout: str
    precision: str
    cache: str
    in_flight: str
    tokens: float

    def stands_for(self, other: KindHere) -> bool:
        """Whether what was measured of this kind is of ``other``: lengths within NEAR."""
        mine = self.layout, self.precision, self.cache, self.in_flight
        its = other.layout, other.precision, other.cache, other.in_flight
        return mine == its and 1 / NEAR <= self.tokens / other.tokens <= NEAR


@record
class Correction:
    """``factor`` on the seconds of STEP or PROMPT (``operator``), log-space ``sigma`` of what is
    left; ``runs`` ids of what was measured, ``requests`` of them altogether. ``kinds`` that were
    measured of this very model; none where the runs are of ``others`` of its class."""

    operator: str
    factor: float
    sigma: float
    runs: tuple[str, ...]
    requests: int
    kinds: tuple[KindHere, ...]
    others: tuple[str, ...] = ()


@record
class CorrectionSpread:
    """Log-space deviations of residuals of served deployments: ``points`` of one deployment apart,
    ``share`` of one model's mean that another of its class, engine and device has too, ``models``
    what is left of the other's then."""

    points: float
    share: float
    models: float


def corrections_of(runs: Sequence[LearnedRun], structure: str) -> tuple[Correction, ...]:
    """The corrections of a model from ``runs`` of its device, engine, version and class."""
    return _corrections(tuple(runs), structure)


@lru_cache(maxsize=256)
def _corrections(runs: tuple[LearnedRun, ...], structure: str) -> tuple[Correction, ...]:
    """:func:`corrections_of`; the same objects for the same runs, as caches of models want."""
    out = []
    for operator, name in ((STEP, "steps"), (PROMPT, "prompts")):
        pairs = [
            (run, factor) for run in runs for factor in (getattr(run, name),) if factor is not None
        ]
        mine = [pair for pair in pairs if pair[0].structure == structure]
        if pairs:
            out.append(_correction(operator, mine or pairs, exact=bool(mine)))
    return tuple(c for c in out if c.factor != 1.0 or c.kinds)


def _correction(
    operator: str, pairs: Sequence[tuple[LearnedRun, MeasuredFactor]], *, exact: bool
) -> Correction:
    spread = correction_spread(METRICS[operator])
    logs = [math.log(factor.factor) for _, factor in pairs]
    n, mean = len(logs), math.fsum(logs) / len(logs)
    scatter = math.fsum((x - mean) ** 2 for x in logs)
    left = (PRIOR_RUNS * spread.points**2 + scatter) / (PRIOR_RUNS + n - 1)
    sampled = math.fsum(f.error**2 for _, f in pairs) / n**2
    share = 1.0 if exact else spread.share
    between = 0.0 if exact else spread.models**2
    sigma = math.sqrt(left + share**2 * (left / n + sampled) + between)
    return Correction(
        operator,
        math.exp(share * mean),
        sigma,
        tuple(run.id for run, _ in pairs),
        sum(run.requests for run, _ in pairs),
        tuple(
            dict.fromkeys(
                KindHere(
                    run.layout,
                    run.precision,
                    run.cache,
                    run.in_flight,
                    tokens_of(operator, run.isl, run.osl),
                )
                for run, _ in pairs
            )
        )
        if exact
        else (),
        () if exact else tuple(dict.fromkeys(run.model for run, _ in pairs)),
    )


def tokens_of(operator: str, isl: float, osl: float) -> float:
    """The length that tells what STEP or PROMPT takes: of a step the mean that it attends to."""
    return isl + osl / 2 if operator == STEP else isl


def runs_for(
    runs: Sequence[LearnedRun], *, device: str, engine: str, version: str, model_class: str
) -> tuple[LearnedRun, ...]:
    """Those of ``runs`` that were measured on this device, with this release of the engine (a run
    without a version counts for each) and a model of the class."""
    return tuple(
        run
        for run in runs
        if (run.device, run.engine, run.model_class) == (device, engine, model_class)
        and (not version or not run.version or release_of(run.version) == release_of(version))
    )


@cache
def correction_spread(metric: str) -> CorrectionSpread:
    """That of ``metric`` (tpot or ttft)."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = {
            row["metric"]: CorrectionSpread(*(float(row[k]) for k in ("points", "share", "models")))
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        }
    return rows[metric]
