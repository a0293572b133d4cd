"""``plan capacity`` as text of few lines, as one self-contained page and as Markdown."""

from __future__ import annotations

from planner.report.columns import width_of_output
from planner.report.phrases import phrases
from planner.report.render.terminal import fitted_text
from planner.report.render.view_html import page_words, view_page
from planner.report.render.view_markdown import view_markdown
from planner.report.view.capacity import VERB, capacity_view
from planner.report.view.capacity_options import MOST_ROWS
from planner.report.view.verb_words import verb_phrases
from planner.sizing.capacity_record import Capacity

ALL_ROWS = 1000
"""Rows of alternatives on a page: every one."""
MOST_LINES = 30
"""Lines that an answer should not exceed: alternatives make room."""


def capacity_text(capacity: Capacity, lang: str = "en", *, details: bool = False) -> str:
    """The answer in at most ``MOST_LINES`` lines where one row of alternatives leaves room; with
    ``details`` the whole of it. Ends with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    width = width_of_output()
    return fitted_text(
        lambda rows: capacity_view(capacity, lang, rows, width=width),
        MOST_ROWS,
        MOST_LINES,
        details=details,
    )


def capacity_page(capacity: Capacity, lang: str = "en") -> str:
    """The whole HTML document, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    own = verb_phrases(VERB, lang)
    around = page_words(phrases(lang), own("page.kicker"), own("page.footer"))
    return view_page(capacity_view(capacity, lang, ALL_ROWS, hints=False), around)


def capacity_markdown(capacity: Capacity, lang: str = "en") -> str:
    """The whole answer as Markdown, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    return view_markdown(capacity_view(capacity, lang, ALL_ROWS, hints=False))
