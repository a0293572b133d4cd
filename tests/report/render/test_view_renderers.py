"""A view in HTML and in Markdown: the same words as on a terminal, nothing of others as markup."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.report.phrases import phrases
from planner.report.render.terminal import text_of_view
from planner.report.render.view_html import page_words, view_page
from planner.report.render.view_markdown import view_markdown
from planner.report.view.record import Code, Fact, Items, Prose, Section, Table, View

VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Texts by the tag that holds them, and whether tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data))


def read(page: str) -> list[tuple[str, str]]:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader.texts


def sample(name: str = "qwen3-32b") -> View:
    return View(
        f"{name} on 2 × h100-sxm",
        (Fact("Fits", f"yes: {name}"), Fact("Cost", "3.2 USD")),
        (
            Section("Run it:", (Code((f"vllm serve {name} \\", "  --tp 2")),)),
            Section(
                "Alternatives",
                (
                    Table(
                        ("", "tokens/s", "rejected because"),
                        ((name, "1,200", "slower"), ("other", "9", f"`plan {name}` says so")),
                        (0, 2),
                        (f"note of {name}",),
                    ),
                ),
            ),
            Section("Assumptions", (Items((f"price of {name}", "two")), Prose(name)), detail=True),
        ),
    )


def html(view: View, lang: str = "en") -> str:
    return view_page(view, page_words(phrases(lang), "kicker", "footer"))


def test_a_page_has_labels_tables_and_commands_and_folds_details() -> None:
    found = read(html(sample()))
    assert ("h1", "qwen3-32b on 2 × h100-sxm") in found
    assert ("dt", "Fits") in found
    assert ("dd", "yes: qwen3-32b") in found
    assert ("code", "vllm serve qwen3-32b \\\n  --tp 2") in found
    assert ("h2", "Run it") in found  # the colon is a terminal's
    assert ("th", "rejected because") in found
    assert ("summary", "Assumptions") in found
    assert ("code", "plan qwen3-32b") in found  # a command between backticks
    assert next(text for tag, text in found if tag == "td") == "1,200"


def test_a_page_says_its_language_and_runs_no_script() -> None:
    page = html(sample(), "zh")
    assert '<html lang="zh' in page
    assert "<script" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '" onload="x', "a`b", "a|b", "</code></pre><b>", "*x*"]
)
def test_names_of_others_are_no_markup(name: str) -> None:
    page = html(sample(name))
    assert "<script" not in page
    assert 'onload="' not in page.replace("&#34;", "")
    assert "<b>" not in page
    read(page)  # every tag is closed in order
    rows = [line for line in view_markdown(sample(name)).splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    assert "<script>" not in re.sub(
        r"^    .*$", "", view_markdown(sample(name)), flags=re.MULTILINE
    )


def test_markdown_has_what_a_terminal_with_details_has() -> None:
    view = sample()
    told = view_markdown(view)
    words = set(re.findall(r"[\w/]+", text_of_view(view, details=True)))
    assert words <= set(re.findall(r"[\w/]+", told))
    assert "| --- | --: | --- |" in told
    assert told.index("## Alternatives") < told.index("## Assumptions")
    assert told.endswith("two\n\nqwen3-32b\n")


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_text_makes_a_page_that_closes_what_it_opens(texts: list[str]) -> None:
    view = View(
        texts[0],
        tuple(Fact(text, text) for text in texts),
        (Section(texts[-1], (Items(tuple(texts)), Code(tuple(texts)))),),
    )
    read(html(view))
    assert view_markdown(view).startswith("# ")


def test_a_last_column_of_words_folds_its_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six columns too many made a paragraph of every row."""
    monkeypatch.setenv("COLUMNS", "40")
    table = Table(("module", "tok/s", "chosen because"), (("m" * 25, "+0.1%", "simplest"),), (0, 2))
    lines = text_of_view(View("", (), (Section("", (table,)),))).splitlines()
    assert [line.split() for line in lines] == [
        ["module", "tok/s", "chosen"],
        ["because"],
        ["m" * 25, "+0.1%", "simplest"],
    ]
    assert max(map(len, lines)) <= 40
