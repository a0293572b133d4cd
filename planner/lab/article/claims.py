"""``planner.claims``: the article's claims, recomputed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from planner.base.errors import UnknownNameError
from planner.base.typed import typed
from planner.lab.article import facts, formats, machines, plans
from planner.lab.article.record import VERDICTS, Claim, Finding, article
from planner.lab.article.record import claims as all_claims

CHECKS = {**facts.CHECKS, **formats.CHECKS, **machines.CHECKS, **plans.CHECKS}


@dataclass(frozen=True)
class Answer:
    """A claim and what was found."""

    claim: Claim
    finding: Finding


@dataclass(frozen=True)
class Claims:
    """The answers, in the article's order."""

    answers: tuple[Answer, ...]

    def counts(self) -> dict[str, int]:
        """Answers by verdict."""
        given = [a.finding.verdict for a in self.answers]
        return {v: given.count(v) for v in VERDICTS}

    def to_dict(self) -> dict[str, Any]:
        sources = article()["sources"]
        return {
            "article": article()["article"],
            "verdicts": self.counts(),
            "version_before": article()["before"]["version"],
            "claims": [
                {
                    "id": a.claim.id,
                    "quote": a.claim.quote,
                    "english": a.claim.english,
                    "stated": dict(a.claim.stated),
                    "verdict": a.finding.verdict,
                    "parts": [asdict(p) for p in a.finding.parts],
                    "computed": [asdict(f) for f in a.finding.figures],
                    "finding": a.finding.text,
                    "before": None if a.claim.before is None else asdict(a.claim.before),
                    "sources": [{"key": k, **sources[k]} for k in a.claim.sources],
                }
                for a in self.answers
            ],
        }


@typed
def claims(*, only: Sequence[str] | None = None) -> Claims:
    """Recompute the article's claims; ``only`` names some of them (``3``, ``13b``, ``r1``).

    Raises:
        UnknownNameError: no such claim.
    """
    known = {c.id: c for c in all_claims()}
    for name in only or ():
        if name not in known:
            raise UnknownNameError("claim", name, known)
    wanted = [c for c in known.values() if only is None or c.id in only]
    return Claims(tuple(Answer(c, CHECKS[c.id](c)) for c in wanted))
