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
    """The probability that a drafted token is accepted if all before it were, with its 80 %
    interval."""

    value: float
    low: float
    high: float
    source: str


@cached_record
class SpeculationInfo:
    """``kind`` (mtp, eagle or draft-model) of ``model`` drafts ``draft_tokens`` per step and
    sequence; a step yields ``accepted_tokens``, its own included. ``bytes`` are the draft's weights
    as stored, ``bytes_per_device`` those on the fullest device, ``cache_bytes_per_token`` its cache
    in ``cache_layout`` there. A step takes ``step_seconds``, of which ``draft_seconds`` draft; TPOT
    and the seconds of units are per accepted token. It pays up to ``pays_up_to_batch`` sequences
    per replica at the plan's layout and formats (0: never); ``pays_limit`` says why. ``gain`` is
    over the best plan without drafts, None where there is none."""

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
