"""Markdown of what was computed beside a plan, and the tables and escapes of every part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.base.markdown_text import BREAKS as BREAKS
from planner.base.markdown_text import escape as escape
from planner.messages.words import unmarked
from planner.report import words
from planner.report.view.content import Content


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int]) -> list[str]:
    """A table with the columns ``numeric`` aligned right, and an empty line."""
    rule = ["--:" if i in numeric else "---" for i in range(len(head))]
    body = [[escape(cell) for cell in row] for row in (head, *rows)]
    return ["| " + " | ".join(row) + " |" for row in (body[0], rule, *body[1:])] + [""]


def code(text: str) -> list[str]:
    """An indented block, a line of it for each of ``text``: nothing in it can end it."""
    return [*("    " + BREAKS.sub(" ", line) for line in text.split("\n")), ""]


def loss_part(c: Content) -> list[str]:
    """The measured models that the loss rests on, and its band."""
    t, loss = c.t, c.loss
    head = [
        t(f"loss_origin.{name}")
        for name in ("name", "family", "size", "points", "baseline", "level")
    ]
    models = (
        [
            *table(head, loss.models, (2, 3, 5)),
            escape(f"{t('sources.source')}: {loss.source} {loss.date}"),
            "",
        ]
        if loss.models
        else []
    )
    texts = [
        line for text in (*loss.lines, c.anchor) if text for line in (escape(unmarked(text)), "")
    ]
    return [f"### {t('loss_origin.title')}", "", *texts, *models] if texts else []


def section_parts(c: Content) -> list[str]:
    """Drafted tokens, prefixes and weights in host memory, where the plan has them."""
    lines: list[str] = []
    for section in c.sections:
        source = (
            [escape(f"{c.t('sources.source')}: {section.source}"), ""] if section.source else []
        )
        lines += [
            f"## {section.title}",
            "",
            escape(section.lead),
            "",
            *table(["", ""], section.rows, ()),
            *(
                table(section.head, section.table, range(1, len(section.head)))
                if section.table
                else ()
            ),
            *source,
        ]
    return lines


def priced_parts(c: Content) -> list[list[str]]:
    """The frontier, users and sensitivity, or why they were not computed."""
    if c.computed is None:
        return []
    return [_reach(c), _users(c), _swings(c)]


def _titled(c: Content, section: str, part: str, lines: list[str] | None) -> list[str]:
    """A part under its title; its reason where there are no lines."""
    assert c.computed is not None
    if lines is None:
        lines = [escape(c.t("page.absent", reason=c.t.original(c.computed.why_not(part)))), ""]
    return [f"## {c.t(section + '.title')}", "", *lines]


def _reach(c: Content) -> list[str]:
    t, frontier_reaches = c.t, c.computed.frontier if c.computed is not None else None
    if not frontier_reaches:
        return _titled(c, "reach", "frontier", None)
    rows = (
        [
            words.loss(r.loss),
            words.three_digits(r.output_tokens_per_second_per_device),
            words.span(r.tpot_seconds),
            words.count(r.batch),
            words.gib(r.total_bytes_per_device),
        ]
        for r in frontier_reaches
    )
    head = [t("baselines.loss"), t("reach.each"), "TPOT", t("baselines.batch"), t("baselines.size")]
    return _titled(
        c,
        "reach",
        "frontier",
        [
            escape(t("reach.lead", layout=c.layout)),
            "",
            *table(head, rows, range(5)),
            escape(t("reach.more")),
            "",
            "    " + BREAKS.sub(" ", c.frontier_command),
            "",
        ],
    )


def _users(c: Content) -> list[str]:
    t, users_points = c.t, c.computed.room if c.computed is not None else None
    if not users_points:
        return _titled(c, "users", "room", None)
    rows = (
        [
            words.count(p.context),
            words.mib(p.sequence_bytes),
            words.count(p.users),
            words.count(p.wide_users),
        ]
        for p in users_points
    )
    head = [t(f"users.{name}") for name in ("context", "each", "own", "wide")]
    return _titled(c, "users", "room", table(head, rows, range(4)))


def _swings(c: Content) -> list[str]:
    t, tornado = c.t, c.tornado
    if tornado is None:
        return _titled(c, "swings", "sensitivity", None)
    metric = t("swings.late" if tornado.late else "swings.fast")
    rows = (
        [
            t(f"swings.{row.name}"),
            row.now,
            half.premise,
            half.value,
            half.change,
            half.tpot,
            half.ttft,
            half.gib + ("" if half.fits else " " + t("swings.too_much")),
        ]
        for row in tornado.rows
        for half in (row.low, row.high)
    )
    head = [
        t("swings.premise"),
        t("swings.now"),
        t("swings.then"),
        metric,
        t("swings.change"),
        "TPOT",
        "TTFT",
        t("baselines.size"),
    ]
    return _titled(
        c,
        "swings",
        "sensitivity",
        [
            escape(t("swings.lead", metric=metric, now=tornado.now)),
            "",
            *table(head, rows, range(1, 8)),
        ],
    )
