"""The page of terms maps ours to those of the field, and no text that people read has private ones.

What is private was collected from people who tried the program: they did not understand it.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.wheels import ROOT

from planner.cli.main import cli

PRIVATE = (
    (r"prompts? in between", "prefill interference"),
    (r"limit; bound", "chosen because, bottleneck"),
    (r"more loss is no faster", "INT4 would not be faster"),
    (r"moves? the odds|\bodds\b", "P(faster), probability"),
    (
        r"nothing (surely )?beats|none beats|that no (other )?plan beats",
        "the simplest configuration",
    ),
    (r"stages? waiting|waiting stages?|leaves? stages", "pipeline bubbles"),
    (r"\bhops?\b", "transfers"),
    (r"no kill loses", "checkpointed: resumes after an interruption"),
    (r"\bwhy not\b", "rejected because"),
    (r"shall not hold", "protection rules to turn off"),
    (r"decoded together", "concurrent sequences"),
    (r"of a slot\b", "maximum context length"),
    (r"all engines' ways", "all supported engines are searched jointly"),
    (r"hair'?s breadth", "a number"),
)
"""Wordings that nobody of the field uses, and what is said instead."""
IN_PAGES = (
    *PRIVATE,
    (r"\bas[ -]released\b", "published checkpoint, unchanged; as published"),
)
"""Those of pages; the engines' matrix and plan files still say `as released` of stored weights."""
FIELD = (
    "context window",
    "context length",
    "inter-token latency",
    "scaling factor",
    "confidence interval",
    "accuracy drop",
    "test set",
    "prefill interference",
    "pipeline bubble",
    "bottleneck",
    "concurrent requests",
    "published checkpoint",
    "requantize",
    "protection rules",
    "P(faster)",
    "KV cache dtype",
    "mixed-precision configuration",
    "kernel launch overhead",
)
"""What engineers say: none of it is banned, and the page of terms has it."""
TERMS = ROOT / "docs" / "reference" / "vocabulary.md"
MADE = ("api.md", "cli.md", "formats.md")
"""Pages made from docstrings and help, which are read by other tests too."""
PAGES = sorted(
    [
        *(ROOT / "docs" / "guide").glob("*.md"),
        *(ROOT / "docs" / "reference").glob("*.md"),
        ROOT / "docs" / "README.md",
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
    ]
)


def said(text: str, private: tuple[tuple[str, str], ...]) -> list[str]:
    """Private wordings in a text, each with what is said instead."""
    joined = " ".join(text.split())
    return [
        f"{found[0]!r} → {better}"
        for pattern, better in private
        for found in [re.search(pattern, joined, re.IGNORECASE)]
        if found
    ]


def sentences(value: object, at: str = "") -> Iterator[tuple[str, str]]:
    """The texts of a catalogue with their ids."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from sentences(inner, f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from sentences(inner, f"{at}[{place}]")
    elif isinstance(value, str):
        yield at, value


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command that help names."""
    from planner.cli.groups import LAB, LISTS
    from planner.cli.overview import SECTIONS

    yield from ((name,) for _, rows in SECTIONS for name in rows)
    yield from (("list", name) for name in LISTS)
    yield from (("lab", name) for name in LAB)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_has_no_private_words(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```text$.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # answers, help
    if page == TERMS:  # its last column has former words, so that they are found
        text = re.sub(r"\| [^|\n]* \|$", "|", text, flags=re.MULTILINE)
    assert said(text, IN_PAGES if page.name not in MADE else PRIVATE) == []


def test_no_help_has_private_words() -> None:
    from planner.cli.help_pages import help_page

    settings = cli.context_settings
    with click.Context(cli, info_name="plan", terminal_width=78, **settings) as root:
        pages = {words: help_page(root, words) for words in commands()}
    assert len(pages) > 25
    assert {words: found for words, text in pages.items() if (found := said(text, PRIVATE))} == {}


def test_no_message_has_private_words() -> None:
    catalogues = [
        *(ROOT / "planner" / "messages" / "en").glob("*.toml"),
        *(ROOT / "planner" / "report").glob("lang*/en.toml"),
    ]
    assert len(catalogues) > 10
    found = {
        f"{path.parent.name}/{path.stem}: {at}": wrong
        for path in catalogues
        for at, text in sentences(tomllib.loads(path.read_text(encoding="utf-8")))
        if (wrong := said(text, PRIVATE))
    }
    assert found == {}


@pytest.mark.parametrize("word", FIELD)
def test_words_of_the_field_are_allowed_and_explained(word: str) -> None:
    assert said(f"The {word} of a request", IN_PAGES) == []
    assert word.lower() in TERMS.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(
    "text",
    [
        "the simplest plan that nothing beats for certain",
        "9 ms of prompts in\nbetween",
        "Sequences decoded together.",
        "Rules that shall not hold",
        "moves the odds by 17 %",
        "in one table that no kill loses",
    ],
)
def test_a_private_word_is_found(text: str) -> None:
    assert len(said(text, PRIVATE)) == 1


def terms() -> list[list[str]]:
    """Rows of the page of terms: term, Chinese, meaning, unit, other names."""
    rows = re.findall(r"^\|(.+)\|$", TERMS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [[cell.strip() for cell in row.split("|")] for row in rows]
    return [row for row in found if len(row) == 5 and row[0] not in ("term", "---")]


def test_the_terms_are_a_table_without_gaps() -> None:
    found = terms()
    assert len(found) > 40
    words = [row[0] for row in found]
    assert len(set(words)) == len(words)
    assert all(row[1] and row[2] for row in found if row[0] not in ("TTFT", "TPOT"))


def test_another_name_means_one_thing() -> None:
    """Other names of a term are those of no other term."""
    theirs = [word.strip() for row in terms() for word in row[4].split(",") if word.strip()]
    assert len(theirs) >= 60
    assert sorted(theirs) == sorted(set(theirs))
    ours = {word.strip() for row in terms() for word in row[0].split(",")}
    assert ours.isdisjoint(theirs)


@pytest.mark.parametrize(
    "key",
    ["measured_anchor", "probability_better", "why_not", "interruption_seconds", "drop_policies",
     "needs_new_weights", "prefix_hit_rate", "validated", "top1"],
)  # fmt: skip
def test_keys_of_files_lead_to_a_term(key: str) -> None:
    assert [row[0] for row in terms() if f"`{key}`" in row[4]]


@pytest.mark.parametrize(
    "word",
    ["prefill", "decode", "TTFT", "TPOT", "ISL", "OSL", "scheme", "KV cache layout", "unit",
     "replica", "slot", "loss", "basis", "amax", "ridge point", "SQNR"],
)  # fmt: skip
def test_terms_of_files_and_ids_are_explained(word: str) -> None:
    assert [row for row in terms() if re.search(rf"\b{word}\b", row[0])], word
