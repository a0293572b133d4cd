"""How models are ranked beside each other: published scores, less what a file loses.

Scores are those of LMArena's text leaderboard (``data/arena_scores.csv``, a row a model and
category with its source and day). A point of such a score is ln 10 / 400 nats of log-odds of being
preferred; a nat of a file's loss is counted as one nat of log-odds. That is a rule, no measurement.
"""

from __future__ import annotations

import csv
import math
from functools import cache

from planner.base.errors import UnknownNameError
from planner.base.records import record
from planner.base.units import GIB
from planner.planning.engines.rules import DATA

OVERALL = "overall"
POINTS_PER_NAT = 400 / math.log(10)
"""Points of a score that one nat of loss is counted as: an Elo point by its definition."""


@record
class FitUse:
    """What a machine is wanted for: tokens ``isl`` in and ``osl`` out of a cache of ``context``
    tokens, the ``category`` of scores, the least ``tokens_per_second`` of decode, and the most
    ``file_bytes`` (None: whatever fits)."""

    name: str
    isl: int
    osl: int
    context: int
    category: str
    tokens_per_second: float
    file_bytes: int | None = None


USES = {
    use.name: use
    for use in (
        FitUse("chat", 1024, 1024, 8192, OVERALL, 10.0),
        FitUse("coding", 8192, 1024, 32768, "coding", 15.0),
        FitUse("long", 31744, 1024, 65536, "long", 5.0),
        FitUse("reasoning", 1024, 8192, 16384, "math", 15.0),
        FitUse("edge", 1024, 256, 4096, OVERALL, 10.0, 3 * GIB),
    )
}


@record
class PublishedScore:
    """One score of ``release``, a checkpoint, in ``category``, read at ``source`` on the day
    ``seen``; ``arena_name`` is its name there."""

    release: str
    arena_name: str
    category: str
    score: float
    source: str
    seen: str

    def less(self, loss: float) -> float:
        """The score of a file that loses ``loss`` nats."""
        return self.score - POINTS_PER_NAT * loss


def use_named(name: str) -> FitUse:
    """The use of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in USES:
        raise UnknownNameError("use", name, tuple(USES))
    return USES[name]


def score_of(release: str, category: str) -> PublishedScore | None:
    """The score of a checkpoint in ``category``, else over all text; None where nobody published
    one."""
    scores = _scores()
    return scores.get((release, category)) or scores.get((release, OVERALL))


@cache
def _scores() -> dict[tuple[str, str], PublishedScore]:
    with (DATA / "arena_scores.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["release"], row["category"]): PublishedScore(
                row["release"],
                row["arena_name"],
                row["category"],
                float(row["score"]),
                row["source"],
                row["seen"],
            )
            for row in csv.DictReader(file)
        }
