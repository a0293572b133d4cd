"""Every file and name that ARCHITECTURE.md sends a reader to is there."""

import ast
import re
from pathlib import Path

from support.wheels import ROOT

SUBJECTS = (
    "The objective",
    "The bytes of a cache",
    "The loss of a unit",
    "The time of an operator",
    "Which kernel, and how sure",
    "A new engine rule",
    "A new device",
    "A new model family",
)


def page() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def named() -> list[tuple[str, str]]:
    """(path, name in it or nothing) of every code span that is a path of the package."""
    spans = re.findall(r"`((?:planner|tests)/[^`\s]+)`", page())
    return [(path, name) for path, _, name in (span.partition(":") for span in spans)]


def defined(path: Path) -> set[str]:
    """Functions, classes and values at the top level of a Python file."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def test_each_subject_has_two_or_three_steps() -> None:
    section = page().split("## Where to start reading\n")[1].split("\n## ")[0]
    parts = re.split(r"^\*\*([^*]+)\.\*\*", section, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert tuple(found) == SUBJECTS
    for subject, text in found.items():
        assert len(re.findall(r"^\d\. ", text, flags=re.MULTILINE)) in (2, 3), subject
        assert re.search(r"`planner/[^`]+:\w+`", text), subject


def test_every_path_and_name_is_there() -> None:
    spans = named()
    assert len(spans) > 40
    missing = [
        f"{path}:{name}" if name else path
        for path, name in spans
        if not (ROOT / path).exists() or (name and name not in defined(ROOT / path))
    ]
    assert missing == []
