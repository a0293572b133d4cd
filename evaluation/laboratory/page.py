"""The tables of the page: regret page by page, of answers, of one engine each, of default runs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.gains_rows import MeasuredConfiguration
from evaluation.answers import table
from evaluation.laboratory.ask import Placed
from evaluation.laboratory.nearest import EXACT, NEARLY, OTHER, regret, tuned
from evaluation.laboratory.rows import LaboratoryPage, rate
from planner.base.markdown_text import escape

MEDIAN, WORST = 0.03, 0.25
"""Regret that is wanted at most."""
LATER = frozenset(("version", "cache"))
"""What may differ where a later release of the engine serves the same."""


def summary(
    pages: Sequence[LaboratoryPage], free: Sequence[Placed], named: Sequence[Placed]
) -> str:
    """A column for free answers, one for those that name an engine, one for the pages' first
    runs."""
    firsts = [regret(p.runs[0], p.runs) for p in pages]
    own = [tuned(p.runs[0], p.runs) for p in pages]
    lines = [
        ("pages, or pages and engines", *(str(len(x)) for x in (free, named, pages))),
        ("refused", *(_of(some, [p.run is None for p in some]) for some in (free, named)), ""),
        (
            f"median regret (wanted: {MEDIAN:.0%} at most)",
            *(_median([p.regret for p in some]) for some in (free, named)),
            _median(firsts),
        ),
        (
            f"worst regret (wanted: {WORST:.0%} at most)",
            *(_worst([p.regret for p in some]) for some in (free, named)),
            _worst(firsts),
        ),
        (
            "median, each choice with its best settings",
            *(_median([p.tuned for p in some]) for some in (free, named)),
            _median(own),
        ),
        (
            "worst, each choice with its best settings",
            *(_worst([p.tuned for p in some]) for some in (free, named)),
            _worst(own),
        ),
        (
            "median, placed by layout, format, cache where the page lacks the engine",
            *(_median([p.own for p in some]) for some in (free, named)),
            "",
        ),
        (
            "worst, placed so",
            *(_worst([p.own for p in some]) for some in (free, named)),
            "",
        ),
        (
            f"regret above {WORST:.0%}",
            *(_of(some, [(p.regret or 0.0) > WORST for p in some]) for some in (free, named)),
            _of(firsts, [x > WORST for x in firsts]),
        ),
        *(
            (words, *(_of(some, [p.exact == kind for p in some]) for some in (free, named)), "")
            for kind, words in (
                (EXACT, "exactly measured"),
                (NEARLY, "measured but for one of batch, version, cache"),
                (OTHER, "others"),
            )
        ),
        (
            "measured but for the version and the cache",
            *(
                _of(some, [p.differing <= {"version", "cache"} for p in some])
                for some in (free, named)
            ),
            "",
        ),
        (
            "stages inside a domain",
            *(_of(some, [p.answer.inside for p in some]) for some in (free, named)),
            "",
        ),
    ]
    return table(("", "any engine", "one engine of the page", "the page's first run"), lines)


def answers(placed: Sequence[Placed]) -> str:
    """One row a page: question, answer, nearest run, rates, regret, how exact."""
    heads = (
        "page",
        "question",
        "answer",
        "nearest measured",
        "tokens/s",
        "the page's best",
        "tokens/s",
        "regret",
        "with best settings",
        "first run's",
        "differs in",
    )
    return table(heads, [_line(p) for p in placed])


def _line(placed: Placed) -> tuple[str, ...]:
    page, run = placed.page, placed.run
    first = f"{regret(page.runs[0], page.runs):.1%}"
    best = (run_words(page.best), rate_words(page.best))
    head = (page.source, f"`{placed.answer.command}`", answer_words(placed))
    if run is None:
        return (*head, "none", "", *best, "", "", first, "refused")
    return (
        *head,
        run_words(run),
        rate_words(run),
        *best,
        f"{regret(run, page.runs):.1%}",
        f"{tuned(run, page.runs):.1%}",
        first,
        ", ".join(sorted(placed.differing)) or "nothing",
    )


def answer_words(placed: Placed) -> str:
    """The answer, and where it is placed by another engine's answer that too."""
    words = []
    for one in dict.fromkeys((placed.answer, placed.taken)):
        mine = one.configuration
        if mine is None:
            words.append(f"refused: {escape(one.refusal)}")
            continue
        drafts = f"; {mine.drafts} drafted" if mine.drafts else ""
        pools = "two pools, decode " if mine.pools else ""
        words.append(
            f"{mine.engine} {mine.version}, {pools}{one.words} users; {mine.format}; "
            f"{mine.cache}{drafts} ({one.verdict or 'no verdict'}, {one.evidence or 'no evidence'})"
        )
    return "; of the page's engines: ".join(words)


def run_words(run: MeasuredConfiguration) -> str:
    """vllm 0.11.0, tp8, fp8-block, bf16."""
    mine = run.configuration
    degrees = (
        ("tp", mine.layout.tp),
        ("dp", mine.layout.dp),
        ("pp", mine.layout.pp),
        ("ep", mine.layout.ep),
    )
    parts = " ".join(f"{name}{value}" for name, value in degrees if value > 1) or "tp1"
    copies = mine.devices // mine.layout.ranks
    drafts = f", {mine.drafts} drafted" if mine.drafts else ""
    return (
        f"{mine.engine} {mine.version}, {parts}{f' × {copies}' if copies > 1 else ''}, "
        f"{mine.format}, {mine.cache}{drafts}"
    )


def rate_words(run: MeasuredConfiguration) -> str:
    """Output tokens/s in three digits or more."""
    value = rate(run)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def left_out(some: Sequence[tuple[str, str, float]]) -> str:
    """Runs that are no part of any page, by reason."""
    reasons: dict[str, list[tuple[str, float]]] = {}
    for run, why, value in some:
        reasons.setdefault(why, []).append((run, value))
    lines = [
        (why, str(len(runs)), ", ".join(f"{run} ({value:,.0f})" for run, value in runs))
        for why, runs in reasons.items()
    ]
    return table(("why", "runs", "run (output tokens/s)"), lines)


def _median(values: Sequence[float | None]) -> str:
    known = [x for x in values if x is not None]
    return f"{median(known):.1%}" if known else "-"


def _worst(values: Sequence[float | None]) -> str:
    known = [x for x in values if x is not None]
    return f"{max(known):.0%}" if known else "-"


def _of(some: Sequence[object], true: Sequence[bool]) -> str:
    return f"{sum(true)} of {len(some)}"
