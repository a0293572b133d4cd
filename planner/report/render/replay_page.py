"""``plan replay`` as text of few lines, as one self-contained page with charts over time, and as
Markdown."""

from __future__ import annotations

from planner.planning.replay.record import ReplayAnswer
from planner.report.charts.replay_svg import replay_figures
from planner.report.phrases import phrases
from planner.report.render.view_html import page_words, view_page
from planner.report.render.view_markdown import view_markdown
from planner.report.view.replay import VERB, replay_view
from planner.report.view.verb_words import verb_phrases

TEMPLATE = "replay.html.j2"
"""The answer, then its charts over time."""


def replay_page(answer: ReplayAnswer, lang: str = "en") -> str:
    """The whole HTML document, ending with a newline: no script, no network.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    t = verb_phrases(VERB, lang)
    around = page_words(phrases(lang), t("page.kicker"), t("page.footer"))
    figures = [(title, Markup(svg)) for title, svg in replay_figures(t, answer)]
    return view_page(
        replay_view(answer, lang, hints=False), around, TEMPLATE, {"t": t, "figures": figures}
    )


def replay_markdown(answer: ReplayAnswer, lang: str = "en") -> str:
    """The whole answer as Markdown, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    return view_markdown(replay_view(answer, lang, hints=False))
