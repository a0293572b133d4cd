"""Sentences by catalogue: how a pattern is chosen, how a text is taken apart, what is quoted."""

import tomllib
from pathlib import Path

import pytest
from support.chinese import latin_words

from planner.report.sentences import (
    CLOSE,
    FOLDER,
    OPEN,
    SentencePattern,
    Sentences,
    foreign,
    in_chinese,
    sentences,
    spaced,
    unmarked,
)

WHOLE = {"nothing": "没有", "kept as it is; no change": "保持原样，没有变化", "loss": "损失"}
PATTERNS = (
    ("{n:n} tokens", "{n} 个 token"),
    ("{x} of {y}", "{y}的{x}"),
    ("needs {x:w}", "需要{x}"),
    ("needs {x:w} of {n:n} devices", "{n} 台设备中需要{x}"),
    ("read in {s:q}", "见{s}"),
    ("the best of {x}", "{x} 中最好的"),
    ("as {x:r}", "格式 {x}"),
)


def catalogue() -> Sentences:
    return Sentences(WHOLE, tuple(SentencePattern(english, other) for english, other in PATTERNS))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nothing", "没有"),
        ("1,024 tokens", "1,024 个 token"),
        ("some tokens", "some tokens"),
        ("needs more", "需要 more"),
        ("needs 3 of 8 devices", "8 台设备中需要 3"),
        ("loss of 5 tokens", "5 个 token 的损失"),
        ("loss; 5 tokens", "损失；5 个 token"),
        ("fp8: loss; 5 tokens", "fp8：损失；5 个 token"),
        ("fp8: kept as it is; no change", "fp8：保持原样，没有变化"),
        ("loss (5 tokens)", "损失（5 个 token）"),
        ("the best of bf16, fp8", "bf16、fp8 中最好的"),
        ("as fp8; as bf16", "格式 fp8; as bf16"),
        ("bf16, fp8", "bf16, fp8"),
        ("12.5 %", "12.5 %"),
        ("a sentence that nobody wrote", "a sentence that nobody wrote"),
    ],
)
def test_texts_are_told_by_the_most_exact_entry(text: str, told: str) -> None:
    assert catalogue().plain(text) == told


def test_quotations_are_marked_and_sources_with_a_date_are_quotations() -> None:
    found = catalogue()
    assert found.marked("read in the book") == f"见{OPEN}the book{CLOSE}"
    assert (
        found.marked("loss (Some maker (a page), 2026-07)")
        == f"损失（{OPEN}Some maker (a page), 2026-07{CLOSE}）"
    )
    assert found.plain("read in the book") == "见the book"
    assert unmarked(f"{OPEN}a{CLOSE}b") == "ab"


def test_two_small_words_are_foreign_outside_quotations_and_commands() -> None:
    assert foreign("已 kept as")
    assert not foreign(f"已{OPEN}kept as it is{CLOSE}")
    assert not foreign("用 `plan export` 写出")
    assert not foreign("vllm 0.21 的 fp8-block")


def test_chinese_and_latin_letters_are_apart() -> None:
    assert spaced("用fp8的3台") == "用 fp8 的 3 台"
    assert spaced("用 fp8（3 台）") == "用 fp8（3 台）"


def test_english_has_no_catalogue_and_keeps_every_text() -> None:
    assert sentences("en").plain("kept as released") == "kept as released"


def entries() -> list[tuple[str, str, str]]:
    """(file, English, Chinese) as they are written."""
    return [
        (path.name, english, other)
        for path in sorted((FOLDER / "zh").glob("*.toml"))
        for english, other in tomllib.loads(path.read_text(encoding="utf-8")).items()
    ]


def test_every_entry_stands_once_and_has_the_same_holes_on_both_sides() -> None:
    found = entries()
    assert len(found) > 900
    written = [english for _, english, _ in found]
    assert len(set(written)) == len(written)
    different = [
        (name, english)
        for name, english, other in found
        if {*SentencePattern(english, "").holes} != {*SentencePattern(other, "").holes}
    ]
    assert different == []


def test_every_entry_is_chinese() -> None:
    """With names or numbers in its holes an entry leaves no English word."""
    bad = []
    for name, english, other in entries():
        shown = other.replace("<q>", '<cite lang="en">').replace("</q>", "</cite>")
        for hole, kind in SentencePattern(english, "").holes.items():
            shown = shown.replace(f"{{{hole}}}", "<cite lang='en'>x</cite>" if kind == "q" else "7")
        parts = shown.split("`")
        if latin_words("<p>" + "".join(parts[::2]) + "</p>"):
            bad.append((name, other))
    assert bad == []


def test_every_entry_is_reached() -> None:
    """No entry is hidden by another: its own text, with values, is told by it."""
    found, bad = sentences("zh"), []
    for name, english, _ in entries():
        pattern = SentencePattern(english, "")
        text = pattern.english
        for hole, kind in pattern.holes.items():
            value = {"n": "7", "v": "7.1", "": "A7"}.get(kind, "A7")
            text = text.replace(f"{{{hole}:{kind}}}" if kind else f"{{{hole}}}", value)
        if found.plain(text) == text and latin_words(f"<p>{text}</p>"):
            bad.append((name, text))
    assert bad == []


def test_the_file_of_entries_is_where_pages_look() -> None:
    assert Path(FOLDER).name == "lang_sentences"
    assert (
        in_chinese("needs at least 83.8 GiB a device, 72.9 usable")
        == "每台设备至少需要 83.8 GiB，可用 72.9 GiB"
    )
    assert in_chinese("none fits") == "没有装得下的布局"
