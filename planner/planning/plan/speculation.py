"""Drafted tokens in a plan file: what drafts, how many are accepted, what it costs and gains."""

from __future__ import annotations

from planner.base.records import cached_record
from planner.planning.plan.recommendation import GainRange

MEMORY, SLOWER, NEVER = (
    "memory: no larger batch fits",
    "verifying more sequences takes longer than it saves",
    "not even one sequence is faster",
)
"""What ends the batches for which drafting pays."""


@cached_record
class AcceptanceInfo:
    """The probability that a drafted token is accepted where all before it were, with its band."""

    value: float
    low: float
    high: float
    source: str


@cached_record
class SpeculationInfo:
    """``kind`` (mtp, eagle or draft-model) of ``model`` drafts ``draft_tokens`` a step and
    sequence; ``accepted_tokens`` is what a step yields, its own token included.

    ``bytes`` are the draft's own weights as stored, ``bytes_per_device`` those on the fullest
    device, ``cache_bytes_per_token`` what its cache of ``cache_layout`` adds there. A step of
    ``step_seconds`` drafts for ``draft_seconds`` and verifies; TPOT is it over ``accepted_tokens``,
    with what prompts in between take, and so are the seconds of units. It pays for up to
    ``pays_up_to_batch`` sequences a replica at the plan's layout and formats, 0 where for none;
    ``pays_limit`` says what ends that. ``gain`` is that of the objective over the best plan
    without, absent where there is none.
    """

    kind: str
    model: str
    draft_tokens: int
    acceptance: AcceptanceInfo
    accepted_tokens: float
    bytes: int
    bytes_per_device: int
    scheme: str
    cache_layout: str
    cache_bytes_per_token: int
    draft_seconds: float
    step_seconds: float
    pays_up_to_batch: int
    pays_limit: str
    method: str
    gain: GainRange | None
