"""How prompts arrive between the steps of ranks that decode together."""

from __future__ import annotations

from math import exp, expm1, floor, fsum, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MANY = 700.0
"""A mean from which exp(−mean) nears the smallest number: the sum starts where counts do."""
SHORT = 10.0
"""Standard deviations below the mean that no count falls short of (less than 1e-22 of them)."""
NEVER, SURE = 1e-18, 1e-12
"""Probabilities of a count, and of a larger one, at which the sum ends."""


def share_of_others(concurrency: float) -> float:
    """The part of all prompts that other requests than the one looked at send, of ``concurrency`` C
    in flight: (C − 1)/C, none of one alone.

    A request's own prompt is read before its first token: it delays none of its own steps. Each of
    the others is answered once in D + W, for D of which it decodes. While this one decodes for D,
    (C − 1)·D/(D + W) of their prompts are read: with B = C·D/(D + W) decoding, B·(C − 1)/C.
    """
    return max(concurrency - 1.0, 0.0) / concurrency


def prompts_a_step(rate: float, ranks: int) -> float:
    """Prompts that the busiest of ``ranks`` reads in a step into which ``rate`` arrive on average.

    Ranks step together, so the busiest sets the time: E[max] = Σ_k P(max > k) of independent
    Poisson counts. One rank: ``rate`` itself.
    """
    if ranks <= 1 or rate <= 0:
        return max(rate, 0.0)
    mean = rate / ranks
    first, term = _start(mean)
    total, below, k = first, term, first
    while True:
        tail = 1.0 - below**ranks
        total += tail
        if tail < SURE or (term < NEVER and k > mean):
            return total
        k += 1.0
        term *= mean / k
        below = min(below + term, 1.0)


def prompts_each_step(rate: Array, ranks: Array) -> Array:
    """:func:`prompts_a_step` of arrays [C], all terms together."""
    total = np.maximum(rate, 0.0)
    where = np.asarray(np.flatnonzero((ranks > 1) & (rate > 0)), dtype=np.int64)
    mean, power = rate[where] / ranks[where], ranks[where]
    starts = np.array([_start(float(m)) for m in mean]).reshape(-1, 2)
    k, term = starts[:, 0].copy(), starts[:, 1].copy()
    total[where] = k
    below = term.copy()
    while len(where):
        tail = 1.0 - below**power
        total[where] += tail
        left = (tail >= SURE) & ((term >= NEVER) | (k <= mean))
        where, mean, power = where[left], mean[left], power[left]
        k = k[left] + 1.0
        term = term[left] * (mean / k)
        below = np.minimum(below[left] + term, 1.0)
    return total


def ranks_reading(rate: Array, ranks: Array) -> Array:
    """Ranks that read a prompt in a step in which one does [C]: R·(1 − e^(−n/R))/(1 − e^(−n)) of R
    ``ranks`` to which ``rate`` = n prompts come in a step; 1 where hardly any comes, all where many
    do."""
    out = np.ones(len(rate))
    for i in np.flatnonzero((ranks > 1) & (rate > 0)).tolist():
        out[i] = ranks[i] * expm1(-rate[i] / ranks[i]) / expm1(-rate[i])
    return out


def passes_with_holding(rate: Array, ranks: Array, steps: float) -> tuple[Array, Array]:
    """(passes with prompts a step, ranks that read in one [C]) where a prompt is held up to
    ``steps`` until each of R ``ranks`` has one; ``rate`` prompts come in a step to all.

    The last of R ranks gets its prompt after (1 + 1/2 + … + 1/R)·R/n steps.
    """
    window = hold_window(rate, ranks, steps)
    reading = np.clip(-ranks * np.expm1(-np.maximum(rate, 0.0) / ranks * window), 1.0, ranks)
    return np.maximum(rate, 0.0) / reading, reading


def hold_window(rate: Array, ranks: Array, steps: float) -> Array:
    """Steps from the first prompt that is held to the pass that reads it [C]; 0 on one rank."""
    out, where = np.zeros(len(rate)), (ranks > 1) & (rate > 0)
    harmonic = np.array([fsum(1 / k for k in range(1, int(r) + 1)) for r in ranks[where]])
    out[where] = np.minimum(steps, harmonic * ranks[where] / rate[where])
    return out


def _start(mean: float) -> tuple[float, float]:
    """(the first count that can occur, its probability) of a Poisson number of this mean; k! by
    Stirling's series, so that large numbers do not cancel."""
    if mean <= MANY:
        return 0.0, float(np.exp(-mean))
    first = float(floor(mean - SHORT * sqrt(mean)))
    stirling = 1.0 + 1.0 / (12.0 * first) + 1.0 / (288.0 * first**2) - 139.0 / (51840.0 * first**3)
    return first, exp(first - mean - first * log(first / mean)) / sqrt(2.0 * pi * first) / stirling
