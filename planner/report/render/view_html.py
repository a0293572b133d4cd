"""A view as HTML: macros for pages of their own kind, and one self-contained page for any answer.

``templates/view.html.j2`` has the macros (facts, blocks, sections), ``templates/answer.html.j2``
the page around them; a page with pictures extends it. Texts are escaped where they are put in:
names come from files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planner.base.records import record
from planner.report.render.embedded import CONTROL
from planner.report.render.html import _environment
from planner.report.view.record import View, block_kind

if TYPE_CHECKING:
    from planner.report.phrases import Phrases

PAGE = "answer.html.j2"


@record
class PageWords:
    """What a page says around its view: ``lang`` of its texts, ``kicker`` above the title, ``skip``
    the link to the answer, ``footer``."""

    lang: str
    kicker: str
    skip: str
    footer: str


def page_words(t: Phrases, kicker: str, footer: str) -> PageWords:
    """The words around a view in the language of ``t``."""
    return PageWords(t("page.lang"), kicker, t("view.skip"), footer)


def view_page(
    view: View, around: PageWords, template: str = PAGE, pictures: Mapping[str, Any] | None = None
) -> str:
    """The whole HTML document, ending with a newline; the same bytes for the same view.

    ``template`` extends the plain page where a verb has ``pictures``, which it finds by name.
    """
    text = (
        _environment()
        .get_template(template)
        .render(view=view, page=around, kind=block_kind, **(pictures or {}))
    )
    return text.translate(CONTROL)
