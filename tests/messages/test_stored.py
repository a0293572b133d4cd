"""Messages in files: what is written is read again, what a stranger wrote is refused or inert."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wheels import ROOT

import planner
from planner.base.errors import DataError
from planner.cli import main
from planner.messages.catalogue import catalogue
from planner.messages.message import Message, joined, message, with_name
from planner.messages.stored import (
    MOST_CHARACTERS,
    MOST_DEEP,
    MOST_PARTS,
    parse_message,
    parse_text,
    stored,
)
from planner.messages.words import in_language

PLAN = json.loads((ROOT / "tests" / "golden" / "report" / "plan.json").read_text(encoding="utf-8"))
GIVEN = {"id": "assumptions.given", "values": {}}
TRICKS = ("{0.__class__}", "{scheme}", "{}", "%s", "{{x}}", "${x}", "<b>x</b>", "\\x41")
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20)
messages = st.recursive(
    texts | st.just(message("assumptions.given")),
    lambda inner: (
        st.builds(lambda x: message("reasons.best_no_worse_than", scheme=x), inner)
        | st.builds(with_name, inner, inner)
        | st.lists(inner, min_size=2, max_size=3).map(joined)
    ),
    max_leaves=8,
)


@given(messages)
def test_what_is_written_is_read_again(text: str) -> None:
    again = parse_text(json.loads(json.dumps(stored(text))))
    assert again == text
    assert isinstance(again, Message) == isinstance(text, Message)
    assert stored(again) == stored(text)


@pytest.mark.parametrize("trick", TRICKS)
def test_a_value_is_never_a_template(trick: str) -> None:
    held = parse_message({"id": "reasons.best_no_worse_than", "values": {"scheme": trick}})
    assert held == f"best: no worse than {trick}"
    assert trick in in_language(held, "zh")
    inside = parse_message({"id": "structure.named", "values": {"name": trick, "text": GIVEN}})
    assert inside == f"{trick}: given"


def nested(depth: int) -> dict[str, Any]:
    out: dict[str, Any] = GIVEN
    for _ in range(depth):
        out = {"id": "reasons.best_no_worse_than", "values": {"scheme": out}}
    return out


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"id": "nobody.knows", "values": {}}, "no message"),
        ({"id": "../../secrets.given", "values": {}}, "no message"),
        ({"id": "assumptions.", "values": {}}, "no message"),
        ({"id": "assumptions", "values": {}}, "no message"),
        ({"id": "assumptions.given.x", "values": {}}, "no message"),
        ({"id": "x" * 10_000, "values": {}}, "no message"),
        ({"id": "assumptions.given", "values": {"x": "7"}}, "takes no values"),
        ({"id": "reasons.best_no_worse_than", "values": {}}, "takes scheme"),
        ({"id": "structure.semicolons", "values": {"parts": "a"}}, "a list"),
        ({"id": "reasons.best_no_worse_than", "values": {"scheme": ["a"]}}, "a list"),
        ({"id": "reasons.best_no_worse_than", "values": {"scheme": 7}}, "an id with its values"),
        ({"id": "assumptions.given"}, "an id with its values"),
        ({**GIVEN, "more": 1}, "an id with its values"),
        ({"id": 7, "values": {}}, "the id of a message"),
        ({"id": "assumptions.given", "values": []}, "the id of a message"),
        (None, "an id with its values"),
        (nested(MOST_DEEP + 2), "deep"),
        (
            {"id": "reasons.best_no_worse_than", "values": {"scheme": "x" * (MOST_CHARACTERS + 1)}},
            "characters",
        ),
        (
            {"id": "structure.semicolons", "values": {"parts": ["x"] * (MOST_PARTS + 1)}},
            "parts",
        ),
    ],
)
def test_what_no_catalogue_has_is_refused(data: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_message(data)
    plan = deepcopy(PLAN)
    plan["assumptions"][0]["reason"] = data
    with pytest.raises(DataError) as raised:
        planner.read_plan(plan)
    assert raised.value.message.startswith("plan file: assumptions.0.reason: ")
    assert raised.value.hint


def test_the_command_says_so_in_two_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, plan = tmp_path / "plan.json", deepcopy(PLAN)
    plan["comparison"]["text"] = {"id": "nobody.knows", "values": {}}
    file.write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["report", str(file), "-o", str(tmp_path / "page.html")])
    assert stop.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: plan file: comparison.text: no message 'nobody.knows'")
    assert second.startswith("hint: ")


def test_what_cannot_be_seen_is_refused_inside_a_message_too() -> None:
    plan = deepcopy(PLAN)
    hidden = {"id": "reasons.best_no_worse_than", "values": {"scheme": "a\u202eb"}}
    plan["assumptions"][0]["reason"] = hidden
    with pytest.raises(DataError, match=r"U\+202E"):
        planner.read_plan(plan)


def test_texts_of_older_files_stay_english() -> None:
    plan = deepcopy(PLAN)
    plan["assumptions"][0]["reason"] = "words of 2025"
    assert planner.read_plan(plan).assumptions[0].reason == "words of 2025"


def test_no_entry_has_a_hole_twice() -> None:
    """Nested messages would grow twofold a level."""
    for lang in ("en", "zh"):
        twice = [
            key
            for key, entry in catalogue(lang).items()
            if len(entry.fixed) - 1 != len(entry.holes)
        ]
        assert twice == []


def test_fields_that_hold_no_message_have_its_english() -> None:
    made = planner.read_plan(PLAN)
    name = message("reasons.best_no_worse_than", scheme="fp8")
    written = replace(
        made, assumptions=(replace(made.assumptions[0], key=name, reason=name),)
    ).to_dict()
    (note,) = written["assumptions"]
    assert note["key"] == "best: no worse than fp8"
    assert not isinstance(note["key"], Message)
    assert note["reason"] == stored(name)
