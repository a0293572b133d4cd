"""What a calibrated quantiser loses, over rounding to nearest in the same format.

Losses of formats here are those of weights rounded to nearest. GPTQ, AWQ and AutoRound choose the
rounding by what calibration data shows; published tables that have the plain rounding beside them
(``data/quantiser_losses.csv``) say how much of its loss remains. A share is of the rise of log
perplexity, of the points of accuracy lost, or of KL; each of them is taken to be proportional to KL
over so short a range.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from math import log
from pathlib import Path
from statistics import fmean, median

from planner.base.records import record

_PATH = Path(__file__).resolve().parent / "data" / "quantiser_losses.csv"
ROUNDING = "round-to-nearest"
LEAST_POINTS = 0.5
"""Points of accuracy that plain rounding must lose: less is lost in the noise of the tasks."""
LEAST_MODELS = 3
"""Models that a factor needs before a loss is multiplied by it."""


@record
class QuantiserLoss:
    """One published comparison: the ``metric`` (perplexity, accuracy [points], kl [nats]) of the
    plain model, of weights in ``scheme`` rounded to nearest, and of those of the quantiser."""

    model: str
    scheme: str
    quantiser: str
    metric: str
    base: float
    rounded: float
    value: float
    source: str

    @property
    def share(self) -> float | None:
        """What the quantiser loses over what rounding loses; None where rounding loses less than
        can be measured."""
        rounded = self._lost(self.rounded)
        if rounded <= (LEAST_POINTS if self.metric == "accuracy" else 0.0):
            return None
        return self._lost(self.value) / rounded

    def _lost(self, value: float) -> float:
        if self.metric == "perplexity":
            return log(value / self.base)
        return self.base - value if self.metric == "accuracy" else value - self.base


@record
class QuantiserFactor:
    """Loss of a quantiser in a format over that of rounding to nearest: the median over ``models``
    that were published, with the least and the most of them. What a share is off by, in the median
    over models left out in turn: ``off_left_out`` with the factor of the others (None where there
    is one model alone), ``off_without`` with none."""

    quantiser: str
    scheme: str
    value: float
    low: float
    high: float
    models: int
    sources: tuple[str, ...]
    off_left_out: float | None
    off_without: float | None

    @property
    def is_applied(self) -> bool:
        """Whether a loss is multiplied by it: models enough were published, and each is predicted
        better by the factor of the others than by none."""
        if self.models < LEAST_MODELS or self.off_left_out is None or self.off_without is None:
            return False
        return self.off_left_out < self.off_without


@cache
def quantiser_losses() -> tuple[QuantiserLoss, ...]:
    """The shipped table (read once a process)."""
    with _PATH.open(encoding="utf-8", newline="") as file:
        return tuple(
            QuantiserLoss(
                row["model"],
                row["scheme"],
                row["quantiser"],
                row["metric"],
                float(row["base"]),
                float(row["rounded"]),
                float(row["value"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        )


def quantiser_factor(
    quantiser: str, scheme: str, rows: Iterable[QuantiserLoss] | None = None
) -> QuantiserFactor | None:
    """The factor of ``quantiser`` in ``scheme``; None where nobody published it beside rounding to
    nearest, which has none itself. A model counts once, with the mean of its rows."""
    shares: dict[str, list[float]] = defaultdict(list)
    sources: dict[str, None] = {}
    for row in quantiser_losses() if rows is None else rows:
        share = row.share if (row.quantiser, row.scheme) == (quantiser, scheme) else None
        if share is not None:
            shares[row.model].append(share)
            sources[row.source] = None
    if not shares:
        return None
    by_model = [fmean(values) for values in shares.values()]
    return QuantiserFactor(
        quantiser,
        scheme,
        median(by_model),
        min(by_model),
        max(by_model),
        len(by_model),
        tuple(sources),
        _left_out(by_model),
        median(abs(share - 1.0) for share in by_model),
    )


def _left_out(shares: Sequence[float]) -> float | None:
    """What the median of the other models is off by, in the median over models."""
    if len(shares) < 2:
        return None
    others = ([*shares[:i], *shares[i + 1 :]] for i in range(len(shares)))
    return median(abs(own - median(rest)) for own, rest in zip(shares, others, strict=True))


@cache
def factors_of(scheme: str) -> tuple[QuantiserFactor, ...]:
    """Every quantiser that is known in ``scheme`` from models enough, the least loss first."""
    names = dict.fromkeys(row.quantiser for row in quantiser_losses())
    factors = (quantiser_factor(name, scheme) for name in names)
    return tuple(
        sorted((f for f in factors if f is not None and f.is_applied), key=lambda f: f.value)
    )


@cache
def loss_factor(quantiser: str, scheme: str) -> float:
    """What a loss of rounding to nearest is multiplied by; 1 where none is known well enough."""
    factor = quantiser_factor(quantiser, scheme)
    return factor.value if factor is not None and factor.is_applied else 1.0
