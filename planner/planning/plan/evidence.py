"""What a plan says of measured deployments of its kind."""

from __future__ import annotations

from planner.base.records import cached_record


@cached_record
class Evidence:
    """Measured deployments like this one. ``level``: ``measured`` (of exactly this kind),
    ``related`` (of the neighbouring ``kind``), ``recipe`` (published, not measured), ``none``. Over
    ``n`` rows the median error was ``median_ape`` [%] in size and ``signed`` [%] with its sign
    (predicted ÷ measured − 1), None where there are no rows; ``table`` has them."""

    level: str
    kind: str
    n: int
    median_ape: float | None
    signed: float | None
    table: str


@cached_record
class Estimate:
    """A prediction with its 80 % interval and its basis."""

    value: float
    low: float
    high: float
    basis: str
    evidence: Evidence | None = None
