"""Messages and their catalogues: the same ids and holes in every language, what is no
message, what is quoted."""

import ast
import tomllib

import pytest
from support.chinese import latin_words

from planner.messages.catalogue import CLOSE, FOLDER, OPEN, STRUCTURE, Template, catalogue
from planner.messages.message import CLAUSES, Message, Text, joined, message
from planner.messages.words import foreign, in_language, marked, spaced

LANGUAGES = ("en", "zh")
PACKAGE = FOLDER.parent


def test_two_small_words_are_foreign_outside_quotations_and_commands() -> None:
    assert foreign("已 kept as")
    assert not foreign(f"已{OPEN}kept as it is{CLOSE}")
    assert not foreign("用 `plan export` 写出")
    assert not foreign("vllm 0.21 的 fp8-block")


def test_chinese_and_latin_letters_are_apart() -> None:
    assert spaced("用fp8的3台") == "用 fp8 的 3 台"
    assert spaced("用 fp8（3 台）") == "用 fp8（3 台）"


def test_english_keeps_every_text() -> None:
    assert in_language("kept as released", "en") == "kept as released"
    assert marked("a (b; c), d", "en") == "a (b; c), d"


def test_a_message_has_words_in_every_language() -> None:
    item = message("reasons.best_no_worse_than", scheme="fp8")
    assert item == Message("reasons.best_no_worse_than", (("scheme", "fp8"),))
    assert item == "best: no worse than fp8"
    assert in_language(item, "zh") == "最优：不比 fp8 差"
    with pytest.raises(KeyError, match="nothing"):
        message("reasons.nothing")
    with pytest.raises(KeyError, match="scheme"):
        message("reasons.best_no_worse_than")


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        (
            joined(
                [
                    message(
                        "structure.remark",
                        text=message("comparison.tpot_within", x="50 ms"),
                        remark=message("assumptions.default"),
                    ),
                    message("comparison.request_within", x="30 s"),
                ],
                CLAUSES,
            ),
            "TPOT ≤ 50 ms（默认），请求 ≤ 30 s",
        ),
        ("the scenario's", "场景中的"),
        (
            message("reasons.layout_machine_is_one_device", tp=2, dp=1, pp=1, ep=1),
            "tp 2、dp 1、pp 1、ep 1：一台机器就是一台设备",
        ),
        (
            message(
                "reasons.made_by_convert_hf_to",
                draft_gguf="DRAFT.gguf",
                made=message("reasons.eagle_3_head"),
            ),
            "DRAFT.gguf：用 `convert_hf_to_gguf.py` 由一个 EAGLE-3 头制作",
        ),
    ],
)
def test_what_comparisons_and_commands_say_is_read_in_chinese(text: Text, chinese: str) -> None:
    assert in_language(text, "zh") == chinese


def test_a_text_that_no_entry_has_whole_stands_as_it_is() -> None:
    assert in_language("best: no worse than fp8", "zh") == "best: no worse than fp8"
    assert in_language("kept as released", "zh") != "kept as released"


def test_every_catalogue_has_the_same_ids_and_the_same_holes() -> None:
    original = catalogue("en")
    assert len(original) > 900
    for lang in LANGUAGES:
        other = catalogue(lang)
        assert list(other) == list(original)
        assert [
            key for key, entry in original.items() if {*entry.holes} != {*other[key].holes}
        ] == []


def test_every_message_that_code_makes_has_an_entry_with_its_holes() -> None:
    calls = [
        (str(path.relative_to(PACKAGE)), node)
        for path in sorted(PACKAGE.rglob("*.py"))
        if "message(" in (source := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "message"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    assert len(calls) > 150
    original = catalogue("en")
    wrong = []
    for place, node in calls:
        entry = original.get(ast.literal_eval(node.args[0]))
        joins = entry is not None and entry.id.startswith(STRUCTURE) and not entry.holes
        takes = {"parts"} if joins or entry is None else {*entry.holes}
        given = {word.arg for word in node.keywords}  # None: a mapping of others beside them
        if entry is None or not (takes == given or (None in given and given - {None} <= takes)):
            wrong.append((place, node.lineno))
    assert wrong == []


def test_catalogues_are_toml_with_one_entry_a_line() -> None:
    for path in FOLDER.glob("*/*.toml"):
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
        assert all(isinstance(text, str) and name.isidentifier() for name, text in rows.items())
        stored = catalogue(path.parent.name)
        assert [f"{path.stem}.{name}" for name in rows] == [
            key for key in stored if key.startswith(f"{path.stem}.")
        ]
        for name, text in rows.items():
            with_marks = text.replace("<q>", OPEN).replace("</q>", CLOSE)
            assert stored[f"{path.stem}.{name}"].text == with_marks


def entries() -> list[tuple[Template, str]]:
    """(English, Chinese) of each entry that is a text."""
    chinese = catalogue("zh")
    return [
        (entry, chinese[key].plain)
        for key, entry in catalogue("en").items()
        if not key.startswith(STRUCTURE)
    ]


def test_every_entry_stands_once() -> None:
    written = [entry.text for entry, _ in entries()]
    assert len(set(written)) == len(written)


def test_every_entry_is_chinese() -> None:
    """With names or numbers in its holes an entry leaves no English word."""
    bad = []
    for entry, other in entries():
        shown = other.replace(OPEN, '<cite lang="en">').replace(CLOSE, "</cite>")
        for hole, kind in entry.holes.items():
            value = "<cite lang='en'>x</cite>" if kind == "quotation" else "7"
            shown = shown.replace(f"{{{hole}}}", value)
        parts = shown.split("`")
        if latin_words("<p>" + "".join(parts[::2]) + "</p>"):
            bad.append((entry.id, other))
    assert bad == []


def test_what_texts_say_of_memory_is_chinese() -> None:
    assert (
        in_language(message("engines.needs_at_least_gib_device", a="83.8", b="72.9"), "zh")
        == "每台设备至少需要 83.8 GiB，可用 72.9 GiB"
    )
    assert in_language("none fits", "zh") == "没有装得下的布局"
