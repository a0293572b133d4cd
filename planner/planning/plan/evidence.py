"""What a plan says of measured deployments of its kind."""

from __future__ import annotations

from planner.base.records import cached_record


@cached_record
class Evidence:
    """What served deployments say of an estimate. ``level``: ``measured`` (deployments of this very
    kind were compared), ``related`` (of the neighbouring ``kind``), ``recipe`` (published, not
    measured), ``none``. ``n`` of them had a
    median error of ``median_ape`` [%] without and ``signed`` with its sign, predicted ÷ measured
    − 1, null where there are none; ``table`` has their rows."""

    level: str
    kind: str
    n: int
    median_ape: float | None
    signed: float | None
    table: str
