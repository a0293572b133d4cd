"""A class name means one thing in the whole package, and a name means something."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

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


PRIVATE = re.compile(
    r"""alone|among|answered|asked|beside|best_among|best_of|dropped|few_formats|found|guess|half
    |held|late_prompts|lead|loans?|lossier|more_slots|nearer|posed|purse|ran|searched|seldom
    |sets_on|settled|simpler|spelt|spelt_out|surest|together|told|undisturbed|weigh|whole|why
    |widened|wrongs""",
    re.VERBOSE,
)
"""Words that name nothing to an engineer of the field: no module, class, function, method or
parameter is called so."""
PRIVATE_PARTS = re.compile(
    r"asked|beside|found|loans?|lossier|posed|purse|seldom|spelt|surest|told|whole|wrongs"
)
"""Those of them that are no part of a longer name either."""
ONLY_DEFINED = frozenset({"kept"})
"""Words that may name a parameter, but no function or class."""


def is_private(kind: str, name: str) -> bool:
    """Whether a `module`, `class`, `function` or `parameter` of that name is banned."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")
    bare = "_".join(parts)
    if bare in ONLY_DEFINED:
        return kind in ("class", "function")
    return bool(PRIVATE.fullmatch(bare)) or any(map(PRIVATE_PARTS.fullmatch, parts))


def private_names() -> list[tuple[str, str, str]]:
    """Kind, name and file of every name of the package that says nothing."""
    names = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE.parent).as_posix()
        names.add(("module", path.parent.name if path.stem == "__init__" else path.stem, file))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                names.add(("class", node.name, file))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(("function", node.name, file))
            elif isinstance(node, ast.arg):
                names.add(("parameter", node.arg, file))
    return sorted(entry for entry in names if is_private(entry[0], entry[1]))


def test_every_name_can_be_understood() -> None:
    assert private_names() == []


@pytest.mark.parametrize(
    ("kind", "name", "banned"),
    [
        ("function", "_told", True),
        ("class", "PoolsAsked", True),
        ("function", "whole_axis", True),
        ("parameter", "held", True),
        ("function", "held_out", False),
        ("class", "Kept", True),
        ("parameter", "kept", False),
        ("module", "loans", True),
        ("module", "holdout", False),
    ],
)
def test_what_is_banned(kind: str, name: str, banned: bool) -> None:
    assert is_private(kind, name) == banned
