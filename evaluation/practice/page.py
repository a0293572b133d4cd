"""The tables of the page: how many answers are deployable, what fails, and every answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from evaluation.answers import table
from evaluation.practice.ask import Row
from evaluation.practice.criteria import CRITERIA
from planner.base.markdown_text import escape

WANTED = {"all recipes": 54 / 60, "without the question's own": 45 / 60}
"""Runs, and the share of answers that shall be deployable."""
Runs = dict[str, list[Row]]


def summary(runs: Runs) -> str:
    """One column a run."""
    figures: tuple[tuple[str, Callable[[Sequence[Row]], str]], ...] = (
        ("deployable", lambda rows: _of(rows, [r.deployable for r in rows])),
        ("refused", lambda rows: _of(rows, [bool(r.refusal) for r in rows])),
        ("stages inside a domain", lambda rows: _of(rows, _fail(rows, "8 shape", "pp"))),
        (
            "caches that nobody measured or published",
            lambda rows: _of(rows, _fail(rows, "4 cache")),
        ),
        ("new weights", lambda rows: _of(rows, [r.weights == "new" for r in rows])),
        ("a recipe shown", lambda rows: _of(rows, [r.recipe_shown for r in rows])),
        ("command not checked", lambda rows: _of(rows, [bool(r.unchecked) for r in rows])),
        ("median processor seconds", lambda rows: f"{median(r.seconds for r in rows):.1f}"),
    )
    lines = [(name, *(figure(rows) for rows in runs.values())) for name, figure in figures]
    wanted = (
        "wanted",
        *(f"≥ {round(WANTED[name] * len(rows))}" for name, rows in runs.items()),
    )
    return table(("", *runs), [lines[0], wanted, *lines[1:]])


def failures(runs: Runs) -> str:
    """How many answers each criterion fails that fails one, a column a run."""
    counts = [
        (name, *(sum(_fail(rows, name)) for rows in runs.values()))
        for name in ("refused", *CRITERIA)
    ]
    return table(("criterion", *runs), [tuple(map(str, row)) for row in counts if any(row[1:])])


def failing(rows: Sequence[Row]) -> str:
    """Every question whose answer is not deployable, as its command, with what failed."""
    lines = [
        (f"`{row.question.command}`", _answer(row), name, escape(words.splitlines()[0]))
        for row in rows
        for name, words in row.reasons
    ]
    return table(("question", "answer", "criterion", "why"), lines)


def answers(rows: Sequence[Row]) -> str:
    """Every question with its answer."""
    lines = [
        (
            f"`{row.question.command}`",
            row.question.count,
            _answer(row),
            str(row.batch or ""),
            f"{row.tokens_per_second:,.0f}" if not row.refusal else "",
            f"{row.tpot_ms:.1f}" if not row.refusal else "",
            escape(row.recipe),
            row.evidence,
            "yes" if row.deployable else "no: " + ", ".join(name for name, _ in row.reasons),
        )
        for row in rows
    ]
    heads = (
        "question",
        "devices",
        "answer",
        "batch",
        "tokens/s",
        "TPOT, ms",
        "recipe",
        "evidence",
        "deployable",
    )
    return table(heads, lines)


def families(rows: Sequence[Row]) -> str:
    """Questions and deployable answers of every family."""
    names = dict.fromkeys(row.question.family for row in rows)
    lines = []
    for name in names:
        mine = [row for row in rows if row.question.family == name]
        lines.append((name, str(len(mine)), str(sum(row.deployable for row in mine))))
    return table(("family", "questions", "deployable"), lines)


def _answer(row: Row) -> str:
    if row.refusal:
        return "refused"
    drafts = f"; {row.speculation}" if row.speculation else ""
    made = "" if row.weights == "release" else f" ({row.weights})"
    return (
        f"{row.engine} {row.version}".strip()
        + f", {row.layout}; {', '.join(row.schemes)}{made}; {', '.join(row.caches)}{drafts}"
    )


def _fail(rows: Sequence[Row], name: str, start: str = "") -> list[bool]:
    """Of each row whether the criterion fails it, with words that begin so."""
    return [
        any(mine == name and words.startswith(start) for mine, words in row.reasons) for row in rows
    ]


def _of(rows: Sequence[Row], true: Sequence[bool]) -> str:
    return f"{sum(true)} of {len(rows)}"
