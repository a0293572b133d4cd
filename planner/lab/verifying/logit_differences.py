"""How far two models' answers to the same tokens are apart: KL divergence and flipped tokens.

As llama-perplexity counts: of each piece of text the second half, where enough context came before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import DataError
from planner.lab.verifying.records import Reading

Logits = npt.NDArray[Any]
_ROWS = 64


def first_position(context: int) -> int:
    """The first position of a piece of ``context`` tokens that is counted."""
    return context // 2


def kl_and_flips(reference: Logits, other: Logits) -> tuple[Reading, Reading]:
    """Mean KL divergence D(reference ‖ other) [nats] and share of positions whose most likely token
    differs, each with its standard error over positions.

    Both are logits (chunks, positions, vocabulary); sums are float64.

    Raises:
        DataError: shapes differ, or a logit is not finite.
    """
    if reference.shape != other.shape or reference.ndim != 3 or not reference.size:
        raise DataError(
            f"answers of shape {reference.shape} and {other.shape} are not comparable",
            hint="run both with the same text and checkpoint",
        )
    vocabulary = reference.shape[-1]
    first, second = reference.reshape(-1, vocabulary), other.reshape(-1, vocabulary)
    divergences, flips = [], []
    for top in range(0, len(first), _ROWS):
        p, q = _log_softmax(first[top : top + _ROWS]), _log_softmax(second[top : top + _ROWS])
        divergences.append((np.exp(p) * (p - q)).sum(axis=1))
        flips.append(p.argmax(axis=1) != q.argmax(axis=1))
    return _mean(np.concatenate(divergences)), _mean(np.concatenate(flips).astype(np.float64))


def read_logits(path: Path) -> Logits:
    """Logits [pieces, positions, vocabulary] that a runner kept; read as they are needed.

    Raises:
        DataError: no such array.
    """
    try:
        logits: Logits = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no answers that can be read: {error}",
            hint="remove the folder's checkpoint answers and run it again",
        ) from None
    return logits


def _log_softmax(rows: Logits) -> npt.NDArray[np.float64]:
    wide = np.asarray(rows, np.float64)
    if not np.isfinite(wide).all():
        raise DataError(
            "an engine's logits are not finite", hint="the format breaks the model: choose another"
        )
    wide = wide - wide.max(axis=1, keepdims=True)
    shifted: npt.NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return shifted


def _mean(values: npt.NDArray[np.float64]) -> Reading:
    spread = values.std(ddof=1) / np.sqrt(values.size) if values.size > 1 else 0.0
    return Reading(float(values.mean()), float(spread), int(values.size))
