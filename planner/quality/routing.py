"""Mixture of experts: shares of tokens, router margins, and how often noise changes the choice.

Router logits l = W·x; a token's margin is the last chosen logit minus the first left-out one. A
relative error power e of x adds noise of variance e·‖w‖²·‖x‖²/K = e·σ² to each logit, σ² being the
logits' own variance under white x, so two logits swap with probability Q(margin / (σ·√(2e))).
"""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError

Doubles = npt.NDArray[np.float64]
RATES = (1e-4, 1e-3, 1e-2)


def margins(logits: Doubles, per_token: int) -> Doubles:
    """Margin of each token [T] in standard deviations of its logits; logits (T, E).

    Raises InputError for fewer than per_token + 1 experts.
    """
    if logits.ndim != 2 or not 0 < per_token < logits.shape[1]:
        raise InputError(
            f"{per_token} of {logits.shape[-1]} experts leave no margin",
            hint="fewer experts a token than there are experts",
        )
    ordered = np.sort(logits, axis=1)
    gap = ordered[:, -per_token] - ordered[:, -per_token - 1]
    return np.asarray(gap / logits.std(axis=1))


def flip_rate(margin: Doubles, error: float) -> float:
    """Share of tokens (margins [tokens]) whose last choice changes under relative error power
    ``error``.

    Raises:
        InputError: an error power below 0.
    """
    if error < 0:
        raise InputError(f"an error power of {error}", hint="an error power is 0 or more")
    if error == 0:
        return float(np.mean(margin == 0) / 2)
    scale = 2 * sqrt(error)
    return float(np.mean([erfc(m / scale) / 2 for m in margin.tolist()]))


def shares(counts: npt.NDArray[np.integer] | Doubles) -> Doubles:
    """Share of each expert relative to an even spread: counts (E,) → E·counts/Σ.

    Raises InputError for negative or empty counts.
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 1 or not values.size or (values < 0).any() or not values.sum() > 0:
        raise InputError(
            "routing counts are empty or negative",
            hint="give whole numbers of tokens, at least one above 0",
        )
    return np.asarray(values * values.size / values.sum())
