"""What every calibrated form shares: its parameters, and sums of powers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import DataError
from planner.base.records import record

Array = NDArray[np.float64]
Parameters = Mapping[str, float]


@record
class Parameter:
    """One number of a form: where a fit starts, what it may reach, and how tightly it is held.

    ``start`` is also the centre of a weak log-normal prior of width ``prior`` (natural log; inf
    for none). ``unit`` is "s", "1" or what the form's docstring says. ``device`` marks the few
    that a small calibration of a new device refits.
    """

    name: str
    start: float
    low: float
    high: float
    unit: str = "1"
    prior: float = 2.0
    device: bool = False


def checked_parameters(
    parameters: Parameters, wanted: Sequence[Parameter], form: str
) -> Parameters:
    """``parameters`` if they are exactly those that ``form`` wants.

    Raises:
        DataError: one is missing or unknown.
    """
    names = {p.name for p in wanted}
    missing, unknown = names - set(parameters), set(parameters) - names
    if missing or unknown:
        word, wrong_names = ("missing", missing) if missing else ("unknown", unknown)
        raise DataError(
            f"fitted parameters of {form}: {word}: {', '.join(sorted(wrong_names))}",
            hint="another version fitted them: fit the same tables again (plan "
            "calibrate TABLES -o PROFILE.toml), or remove the [[fitted]] sets",
        )
    return parameters


def power_sum(a: Array, b: Array, exponent: float) -> Array:
    """(a^p + b^p)^(1/p), broadcast: between the sum (p = 1) and the maximum (p = ∞)."""
    large = np.maximum(a, b)
    safe = np.where(large > 0, large, 1.0)
    return np.asarray(large * ((a / safe) ** exponent + (b / safe) ** exponent) ** (1 / exponent))


def cache_miss_share(moved_bytes: Array, capacity: float | Array, steepness: float) -> Array:
    """Share of ``moved_bytes`` that a cache of ``capacity`` bytes does not hold, in [0, 1].

    1 / (1 + (B / C)^−s): a step at B = C that ``steepness`` makes sharp. A server that streams
    many layers finds its cache cold: pass inf bytes, or use 1.
    """
    ratio = np.maximum(np.asarray(moved_bytes, dtype=np.float64), 1e-30) / capacity
    return np.asarray(1.0 / (1.0 + ratio**-steepness))
