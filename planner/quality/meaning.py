"""What a loss means to a reader: a word, tokens that change, and how heavy its tail is.

Readers of published tables look at top-1 agreement and at the 99th percentile of KL beside its
mean. Both follow from the mean: a share c·√KL of most likely tokens changes, and the percentile is
a multiple of the mean. The constants are geometric means over models of published pairs
(``data/kld_agreement.csv``), each model counting once. The words of the scale and the sources of
their edges stand in ``data/loss_words.csv``.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from math import exp, inf, log, sqrt
from pathlib import Path
from statistics import fmean

from planner.base.records import record

_DATA = Path(__file__).resolve().parent / "data"
NO_CHANGE = "no change"
"""The word of a checkpoint that stays as it is."""


@record
class PublishedDivergence:
    """A published measurement of a whole file: mean and 99th percentile of KL [nats] from its
    16-bit original, and the share of tokens whose most likely successor is the same; None where it
    was not published."""

    model: str
    file: str
    mean_kl: float
    p99_kl: float | None
    top1: float | None
    source: str


@record
class LossWord:
    """A word of the scale for losses below ``below_nats`` (and not below those before it)."""

    word: str
    below_nats: float
    reason: str
    source: str


@record
class DomainLoss:
    """Mean KL [nats] of one ``file`` of a model on text of a ``domain``."""

    model: str
    file: str
    domain: str
    kl: float
    source: str


@cache
def domain_losses() -> tuple[DomainLoss, ...]:
    """One file over several domains, by rising loss (read once a process)."""
    rows = (
        DomainLoss(row["model"], row["file"], row["domain"], float(row["kl"]), row["source"])
        for row in _rows("domain_kl.csv")
    )
    return tuple(sorted(rows, key=lambda row: row.kl))


@cache
def published_divergences() -> tuple[PublishedDivergence, ...]:
    """Published pairs (read once a process)."""
    return tuple(
        PublishedDivergence(
            row["model"],
            row["file"],
            float(row["mean_kl"]),
            float(row["p99_kl"]) if row["p99_kl"] else None,
            float(row["top1"]) if row["top1"] else None,
            row["source"],
        )
        for row in _rows("kld_agreement.csv")
    )


@cache
def loss_words() -> tuple[LossWord, ...]:
    """The scale by rising loss (read once a process)."""
    return tuple(
        LossWord(
            row["word"],
            float(row["below_nats"]) if row["below_nats"] else inf,
            row["reason"],
            row["source"],
        )
        for row in _rows("loss_words.csv")
    )


def _rows(name: str) -> list[dict[str, str]]:
    with (_DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def word_of(loss_nats: float) -> str:
    """The word of the scale for a loss [nats]; ``no change`` where it is 0."""
    if loss_nats <= 0:
        return NO_CHANGE
    return next(word.word for word in loss_words() if loss_nats < word.below_nats)


def all_words() -> tuple[str, ...]:
    """Every word that :func:`word_of` may say."""
    return (NO_CHANGE, *(word.word for word in loss_words()))


def damaging_from() -> float:
    """The loss [nats] from which on the worst word of the scale holds."""
    return loss_words()[-2].below_nats


def top1_agreement(loss_nats: float, slope: float | None = None) -> float:
    """Share of tokens whose most likely successor stays, 1 − c·√loss; ``slope`` is c where a
    profile measured it on the model itself."""
    return max(0.0, 1.0 - (flip_slope() if slope is None else slope) * sqrt(loss_nats))


def p99_of(loss_nats: float) -> float:
    """The 99th percentile of KL over tokens [nats] at a mean of ``loss_nats``."""
    return tail_factor() * loss_nats


@cache
def flip_slope() -> float:
    """c of ``1 − top1 = c·√KL`` over all published pairs."""
    return flip_slope_of(published_divergences())


@cache
def tail_factor() -> float:
    """99th percentile ÷ mean over all published pairs."""
    return tail_factor_of(published_divergences())


def flip_slope_of(rows: Iterable[PublishedDivergence]) -> float:
    """c of ``1 − top1 = c·√KL`` over ``rows``, each model counting once."""
    return _over_models(rows, lambda r: None if r.top1 is None else (1 - r.top1) / sqrt(r.mean_kl))


def tail_factor_of(rows: Iterable[PublishedDivergence]) -> float:
    """99th percentile ÷ mean over ``rows``, each model counting once."""
    return _over_models(rows, lambda r: None if r.p99_kl is None else r.p99_kl / r.mean_kl)


def _over_models(
    rows: Iterable[PublishedDivergence], ratio: Callable[[PublishedDivergence], float | None]
) -> float:
    """Geometric mean of ``ratio`` over the models of ``rows`` that have one.

    Raises:
        statistics.StatisticsError: no row has one.
    """
    by_model: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = ratio(row)
        if value is not None:
            by_model[row.model].append(log(value))
    return exp(fmean(fmean(logs) for logs in by_model.values()))
