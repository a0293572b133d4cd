"""A class name means one thing in the whole package."""

import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import planner

PACKAGE = Path(planner.__file__).parent
CLASS = re.compile(r"^\s*class ([A-Za-z]\w*)[(:]", re.MULTILINE)
VOCABULARY = Path(__file__).parents[2] / "docs" / "reference" / "vocabulary.md"


@cache
def classes() -> dict[str, list[str]]:
    """The files that define each public class."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in CLASS.findall(path.read_text(encoding="utf-8")):
            found[name].append(str(path.relative_to(PACKAGE)))
    return found


def test_no_name_is_two_classes() -> None:
    found = classes()
    assert len(found) > 300
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def test_the_records_of_the_vocabulary_are_there() -> None:
    section = VOCABULARY.read_text(encoding="utf-8").partition("## In the code")[2]
    named = re.findall(r"`(\w+)`", section)
    assert len(named) > 10
    defined = classes()
    assert [name for name in named if name not in defined] == []
