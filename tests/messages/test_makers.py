"""No sentence of an answer is made where it is computed: notes and messages hold ids, names and
numbers, and the catalogues the words."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import planner

PACKAGE = Path(planner.__file__).parent
WORDS_ARE_HERE = ("report/", "messages/", "cli/")
"""Rooms that put answers into words."""
MAKERS = {
    "Note": 1,
    "Assumption": 1,
    "message": 1,
    "Message": 1,
    "with_mode": 1,
    "not_taken": 2,
    "pooled_plan": 4,
    "ReasonInputs": 0,
    "why_not": 1,
}
"""What is called, and how many of its arguments come before texts: a name, a plan."""


def sentences(node: ast.expr, assigned: Mapping[str, list[ast.expr]]) -> Iterator[str]:
    """Literal texts with a space that an argument can be: by itself, as a branch, added to others,
    or through a local name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
        yield node.value
    if isinstance(node, ast.JoinedStr):
        pieces = [piece.value for piece in node.values if isinstance(piece, ast.Constant)]
        if any(" " in str(piece) and re.search("[a-z]", str(piece)) for piece in pieces):
            yield ast.unparse(node)
    if isinstance(node, ast.Name):
        others = {name: values for name, values in assigned.items() if name != node.id}
        for value in assigned.get(node.id, ()):
            yield from sentences(value, others)
    parts: list[ast.expr] = []
    if isinstance(node, ast.IfExp):
        parts = [node.body, node.orelse]
    elif isinstance(node, ast.BoolOp):
        parts = node.values
    elif isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Tuple | ast.List):
        parts = node.elts
    for part in parts:
        yield from sentences(part, assigned)


def made_of_sentences(source: str) -> list[tuple[int, str]]:
    """(line, text) of every literal sentence in a call that makes a note or a message."""
    found = []
    tree = ast.parse(source)
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.Module):
            continue
        assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(scope) if isinstance(scope, ast.FunctionDef) else scope.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        assigned.setdefault(target.id, []).append(node.value)
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
                names = MAKERS[node.func.id]  # type: ignore[attr-defined]
                values = [*node.args[names:], *(word.value for word in node.keywords)]
                found += [(node.lineno, text) for v in values for text in sentences(v, assigned)]
    return sorted(set(found))


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('Note("a key", "7", message("a.b", x=f"{y:.1f}"))', []),
        ('Note("a key", "seven days", why)', ["seven days"]),
        ('Note("k", f"{n} days", "" if n else "no days")', ["f'{n} days'", "no days"]),
        ('def f():\n    why = "no days"\n    return Note("k", "7", why)', ["no days"]),
        ('message("a.b", x="no days")', ["no days"]),
        ('message("structure.clauses", parts=(a, "b c"))', ["b c"]),
        ('raise InputError("no days", hint="give some days")', []),
    ],
)
def test_sentences_are_seen(source: str, texts: list[str]) -> None:
    assert sorted(text for _, text in made_of_sentences(source)) == sorted(texts)


def test_no_sentence_is_made_where_an_answer_is_computed() -> None:
    wrong = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = str(path.relative_to(PACKAGE))
        source = "" if place.startswith(WORDS_ARE_HERE) else path.read_text(encoding="utf-8")
        if any(f"{name}(" in source for name in MAKERS) and (found := made_of_sentences(source)):
            wrong[place] = found
    assert wrong == {}
