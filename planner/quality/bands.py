"""How far a predicted loss of one unit may be off, by tier: the factor that 80 % of units stay in.

Measured against losses measured directly on SmolLM2-135M-Instruct; T0's bands come with its
sensitivities, by class of matrix (:mod:`planner.quality.sensitivity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Band:
    """``factor`` ÷/×, and where it comes from."""

    factor: float
    basis: str


TIER_BANDS: Mapping[str, Band] = MappingProxyType(
    {
        "T1": Band(1.7, "80 % of matrices and schemes on SmolLM2-135M stay in 1.54, with a margin"),
        "T2": Band(1.7, "80 % of matrices and schemes of two models stay in 1.56 on other text"),
        "T3": Band(1.2, "measured on these tokens; other texts differ"),
    }
)
