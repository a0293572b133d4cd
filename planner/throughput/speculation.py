"""Speculative decoding: tokens that one step yields."""

from __future__ import annotations

from planner.base.errors import InputError
from planner.base.records import record


@record
class Acceptance:
    """The probability that a drafted token is accepted where all before it were, with its band;
    ``source`` says where it is from."""

    value: float
    low: float
    high: float
    source: str


def accepted_tokens(draft: int, acceptance: float) -> float:
    """Mean tokens a step of a sequence that proposes ``draft`` tokens.

    Each proposal is accepted with probability α as long as all before it were:
    A = Σ_{i=0…k} α^i = (1 − α^(k+1)) / (1 − α). Source: Leviathan, Kalman, Matias, "Fast Inference
    from Transformers via Speculative Decoding", eq. 1, 2023.

    Raises:
        InputError: no draft, or an acceptance outside 0 to 1.
    """
    if draft < 1 or not 0 <= acceptance <= 1:
        raise InputError(
            f"draft of {draft} tokens, acceptance {acceptance:g}",
            hint="a draft has at least one token; acceptance is from 0 to 1",
        )
    return float(sum(acceptance**i for i in range(draft + 1)))
