"""``plan fleet`` as text of few lines, and as one self-contained page: no script, no network, the
same bytes for the same answer."""

from __future__ import annotations

from planner.report.charts.fleet_svg import devices_svg, limits_svg
from planner.report.phrases import phrases
from planner.report.render.terminal import text_of_view
from planner.report.render.view_html import page_words, view_page
from planner.report.render.view_markdown import view_markdown
from planner.report.view.fleet import VERB, fleet_view
from planner.report.view.verb_words import verb_phrases
from planner.sizing.fleet.fleet_record import Fleet

TEMPLATE = "fleet.html.j2"


def fleet_text(fleet: Fleet, lang: str = "en", *, details: bool = False) -> str:
    """The answer; with ``details`` the whole of it. Ends with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    return text_of_view(fleet_view(fleet, lang), details=details)


def fleet_page(fleet: Fleet, lang: str = "en") -> str:
    """The whole HTML document, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    t = verb_phrases(VERB, lang)
    around = page_words(phrases(lang), t("page.kicker"), t("page.footer"))
    pictures = {
        "t": t,
        "devices_figure": Markup(devices_svg(t, fleet)),
        "limits_figure": Markup(limits_svg(t, fleet)),
    }
    return view_page(fleet_view(fleet, lang, hints=False), around, TEMPLATE, pictures)


def fleet_markdown(fleet: Fleet, lang: str = "en") -> str:
    """The whole answer as Markdown, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    return view_markdown(fleet_view(fleet, lang, hints=False))
