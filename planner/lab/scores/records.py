"""Scores as another program's file holds them, before a model is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from planner.base.errors import DataError
from planner.base.strict_json import short_repr

LARGEST = 1e15
LOSS, SCORE = "loss_nats", "score"
"""Of a scheme: mean KL, or any scale."""
KLD = "kld"
"""Mean KL [nats] of a type that is no scheme here, noise floor included."""
SENSITIVITY, ALPHA = "sensitivity", "alpha_nats"
"""Loss per unit of relative output error power: in any scale, or in nats."""


@dataclass(frozen=True, slots=True)
class Score:
    """One score: modules quantised together, the scheme, the value.

    ``scheme`` of a sensitivity is "", or the scheme whose error the value still holds; of a KLD the
    program's own name of the type.
    """

    modules: tuple[str, ...]
    scheme: str
    value: float


@dataclass(frozen=True, slots=True)
class Scores:
    """A file of scores. ``column`` is one of the constants above; ``program`` says who made it."""

    entries: tuple[Score, ...]
    column: str
    program: str
    notes: tuple[str, ...]


def loss_number(value: Any, where: str) -> float:
    """``value`` as a loss.

    Raises:
        DataError: not a number, negative, NaN, infinite, or beyond LARGEST.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{where}: {short_repr(value)} is not a number", hint="write a number, 0 or more"
        ) from None
    if isinstance(value, bool) or not 0 <= number <= LARGEST:
        raise DataError(
            f"{where}: {short_repr(value)} is not a loss; it is 0 or more, at most {LARGEST:g}",
            hint="write the loss against the unquantised checkpoint, 0 or more",
        )
    return number


def real_number(value: Any, where: str, low: float, high: float) -> float:
    """A JSON number from ``low`` to ``high``.

    Raises:
        DataError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise DataError(
            f"{where}: {short_repr(value)} is not a number from {low:g} to {high:g}",
            hint="give the file as the program wrote it",
        )
    return float(value)
