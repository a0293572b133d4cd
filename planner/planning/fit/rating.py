"""How models are ranked beside each other: published scores, less what a file loses.

Scores are those of LMArena's text leaderboard (``data/arena_scores.csv``, a row a model and
category with its source and day). A point of such a score is ln 10 / 400 nats of log-odds of being
preferred; a nat of a file's loss is counted as one nat of log-odds. That is a rule, no measurement.
Scores of a category (coding, long queries, math) have another level than those over all text: what
has the latter alone is raised by the usual difference, and says so.
"""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from functools import cache
from statistics import median

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


READING = 6.0
"""Tokens a second a little above the pace of a reader."""
USES = {
    use.name: use
    for use in (
        FitUse("chat", 1024, 1024, 8192, OVERALL, READING),
        FitUse("coding", 8192, 1024, 32768, "coding", 15.0),
        FitUse("long", 31744, 1024, 65536, "long", 5.0),
        FitUse("reasoning", 1024, 8192, 16384, "math", 15.0),
        FitUse("edge", 1024, 256, 4096, OVERALL, READING, 3 * GIB),
    )
}


OTHER_NAMES = {"long-context": "long", "code": "coding", "general": "chat"}


@record
class PublishedScore:
    """One ``score`` of ``release``, a checkpoint, in ``category``, read at ``source`` on the day
    ``seen``; ``arena_name`` is its name there. ``raised_by`` points are in it where nobody
    published one of the use's category: what other models have there more than over all text."""

    release: str
    arena_name: str
    category: str
    score: float
    source: str
    seen: str
    raised_by: float = 0.0

    def less(self, loss: float) -> float:
        """The score of a file that loses ``loss`` nats."""
        return self.score - POINTS_PER_NAT * loss


def use_named(name: str) -> FitUse:
    """The use of that name, in any case of letters; ``long-context`` is ``long``.

    Raises:
        UnknownNameError: there is none.
    """
    wanted = name.strip().lower()
    wanted = OTHER_NAMES.get(wanted, wanted)
    if wanted not in USES:
        raise UnknownNameError("use", name, tuple(USES))
    return USES[wanted]


def score_of(release: str, category: str) -> PublishedScore | None:
    """The score of a checkpoint in ``category``, else the one over all text raised by
    :func:`usual_gap`; None where nobody published one."""
    scores = _scores()
    if (release, category) in scores:
        return scores[release, category]
    overall = scores.get((release, OVERALL))
    if overall is None:
        return None
    gap = usual_gap(category)
    return replace(overall, score=overall.score + gap, raised_by=gap)


@cache
def usual_gap(category: str) -> float:
    """By how many points scores in ``category`` exceed those over all text: the median of the
    checkpoints that have both."""
    scores = _scores()
    return median(
        score.score - scores[release, OVERALL].score
        for (release, of), score in scores.items()
        if of == category and (release, OVERALL) in scores
    )


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
