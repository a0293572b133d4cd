"""How many drafted tokens models accept: published measurements, one row each with its source.

A row of ``data/acceptance.csv`` says how many tokens a verified step yielded on average when so
many were drafted. What a row implies for one token is the α that gives it back
(:func:`planner.throughput.speculation.accepted_tokens`); acceptance falls with every further token,
so that rows of another number of drafted tokens say less.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import CLAUSES, Message, Text, joined, message
from planner.throughput.speculation import Acceptance, accepted_tokens

_DATA = Path(__file__).resolve().parent / "data"
TEXTS: dict[str, tuple[str, ...]] = {
    "agent": ("coding", "tools"),
    "chat": ("chat",),
    "rag": ("rag", "summarization"),
    "reasoning": ("math",),
}
"""What the requests of a named workload are, in the words of the table; others are any text."""
ANY_TEXT = "mixed"
"""Measured over many kinds of text."""
HALVINGS = 60


@record
class MeasuredYield:
    """One row: ``accepted`` tokens of a step with ``draft_tokens`` drafted; ``draft`` names the
    draft model, empty for layers and heads."""

    kind: str
    models: tuple[str, ...]
    text: str
    draft_tokens: int
    accepted: float
    draft: str
    source: str

    @property
    def rate(self) -> float:
        """The acceptance of one token that the row implies."""
        return implied_rate(self.draft_tokens, self.accepted)


@cache
def measured_yields() -> tuple[MeasuredYield, ...]:
    """Every row, in the order of the file.

    Raises:
        ValueError: a row without a source, or a yield that no drafting has.
    """
    with (_DATA / "acceptance.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    yields = []
    for row in rows:
        count, accepted = int(row["draft_tokens"]), float(row["accepted_tokens"])
        if not row["source"] or not 1.0 <= accepted <= count + 1.0:
            raise ValueError(f"acceptance.csv: {row}")
        text = f"{row['source']}, {row['date']}"
        yields.append(
            MeasuredYield(
                row["kind"],
                tuple(row["models"].split()),
                row["text"],
                count,
                accepted,
                row["draft"],
                text,
            )
        )
    return tuple(yields)


def implied_rate(draft_tokens: int, accepted: float) -> float:
    """The α with which ``draft_tokens`` yield ``accepted`` tokens a step, bisected."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if accepted_tokens(draft_tokens, middle) < accepted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def measured_draft_counts(kind: str, model: str, draft: str = "") -> tuple[int, ...]:
    """Numbers of drafted tokens that were measured: on the model itself where any was, else on
    several others, so that the band between them is known; on any where there are no several."""
    rows = _of(kind, draft)
    own = {row.draft_tokens for row in rows if model in row.models}
    several = {row.draft_tokens for row in rows if len(_named(rows, row.draft_tokens)) > 1}
    return tuple(sorted(own or several or {row.draft_tokens for row in rows}))


def acceptance(
    kind: str, model: str, workload: str, draft_tokens: int, draft: str = ""
) -> Acceptance:
    """What is known of ``draft_tokens`` drafted for ``model`` under a named ``workload`` (empty:
    any text): the mean of what fits best, within what fits less well.

    Measurements of the model on such text count; then of the model, of such text with other models,
    of anything. The band holds all of the next wider choice where the best is one of its kind, and
    where one other model alone was measured what is known of a token more and less.

    Raises:
        InputError: nothing was measured.
    """
    rows = _of(kind, draft)
    if not rows:
        raise InputError(
            f"no acceptance is known of {draft or kind} for {model}",
            hint="give --acceptance: what share of drafted tokens is accepted",
        )
    nearest = min(
        {row.draft_tokens for row in rows}, key=lambda count: (abs(count - draft_tokens), count)
    )
    pool = [row for row in rows if row.draft_tokens == nearest]
    texts = TEXTS.get(workload, ())
    own = [row for row in pool if model in row.models]
    fit = [row for row in pool if row.text in (*texts, ANY_TEXT)] if texts else pool
    both = [row for row in own if row in fit]
    if both:
        return _summary(
            both,
            both if _several(both) else [*own, *fit],
            message("assumptions.measured_on_model", m=model),
        )
    if own:
        return _summary(own, [*own, *fit], message("assumptions.measured_on_other_text", m=model))
    best = fit or pool
    band = (
        pool
        if len(_named(pool, nearest)) > 1
        else [row for row in rows if abs(row.draft_tokens - nearest) <= 1]
    )
    if len(_named(best, nearest)) > 1:
        band = best
    id = "assumptions.measured_on_model" if fit else "assumptions.measured_on_other_text"
    return _summary(best, band, message(id, m=_models(best)))


def _named(rows: Sequence[MeasuredYield], draft_tokens: int) -> set[str]:
    """The models of those rows with so many tokens drafted."""
    return {name for row in rows if row.draft_tokens == draft_tokens for name in row.models}


def _of(kind: str, draft: str) -> list[MeasuredYield]:
    return [row for row in measured_yields() if row.kind == kind and row.draft == draft]


def _several(rows: Sequence[MeasuredYield]) -> bool:
    """Whether rows differ, so that they have a band of their own."""
    return len({row.accepted for row in rows}) > 1


def _summary(
    rows: Sequence[MeasuredYield], band: Sequence[MeasuredYield], basis: Message
) -> Acceptance:
    rates = [row.rate for row in (*rows, *band)]
    sources = list(dict.fromkeys(row.source for row in rows))
    source = message("assumptions.basis_cites", basis=basis, source=sources[0])
    if len(sources) > 1:
        source = message("assumptions.and_more", some=source, count=len(sources) - 1)
    return Acceptance(fmean(row.rate for row in rows), min(rates), max(rates), source)


def _models(rows: Sequence[MeasuredYield]) -> Text:
    names = list(dict.fromkeys(name for row in rows for name in row.models))
    some = joined(names[:3], CLAUSES)
    more = len(names) - 3
    return message("assumptions.and_more", some=some, count=more) if more > 0 else some
