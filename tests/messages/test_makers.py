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
    "ComparedPair": 3,
    "OtherPlan": 0,
    "UnitPlan": 0,
    "english": 0,
    "ServeLine": 2,
    "WeightsOfPlan": 1,
    "Comparison": 0,
    "Recommendation": 0,
    "serve_text": 0,
    "with_origin": 0,
    "against_default": 2,
}
"""What is called, and how many of its arguments come before texts: a name, a plan."""
MESSAGES = ("Text", "Message")
"""What a function is declared to return that gives no sentence."""


def sentences(node: ast.expr, assigned: Mapping[str, list[ast.expr]]) -> Iterator[str]:
    """Literal texts with a space that an argument can be: by itself, as a branch, added to others,
    or through a local name or a function beside it (its name with brackets)."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
        yield node.value
    if isinstance(node, ast.JoinedStr):
        pieces = [piece.value for piece in node.values if isinstance(piece, ast.Constant)]
        if any(" " in str(piece) and re.search("[a-z]", str(piece)) for piece in pieces):
            yield ast.unparse(node)
    name = node.id if isinstance(node, ast.Name) else ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = f"{node.func.id}()"
    if name in assigned:
        others = {other: values for other, values in assigned.items() if other != name}
        for value in assigned[name]:
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
    elif isinstance(node, ast.Starred):
        parts = [node.value]
    for part in parts:
        yield from sentences(part, assigned)


def put_into(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(local name, value) of what a statement or a call puts into a local name."""
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((t.id, value) for t in targets if isinstance(t, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            yield name, value
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]):
            yield name, value


def gives_messages(scope: ast.FunctionDef) -> bool:
    """Whether a function is declared to return messages, or several of them."""
    names = ast.walk(scope.returns) if scope.returns is not None else ()
    return any(isinstance(node, ast.Name) and node.id in MESSAGES for node in names)


def made_of_sentences(source: str) -> list[tuple[int, str]]:
    """(line, text) of every literal sentence in a call that makes a note or a message, and in what
    a function gives that is declared to return messages."""
    found = []
    tree = ast.parse(source)
    returned = {
        f"{scope.name}()": [
            node.value
            for node in ast.walk(scope)
            if isinstance(node, ast.Return) and node.value is not None
        ]
        for scope in tree.body
        if isinstance(scope, ast.FunctionDef)
    }
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.Module):
            continue
        assigned = {**returned}
        for node in ast.walk(scope) if isinstance(scope, ast.FunctionDef) else scope.body:
            for name, value in put_into(node):
                assigned.setdefault(name, []).append(value)
        gives = isinstance(scope, ast.FunctionDef) and gives_messages(scope)
        for node in ast.walk(scope):
            if gives and isinstance(node, ast.Return | ast.Yield) and node.value is not None:
                found += [(node.lineno, text) for text in sentences(node.value, assigned)]
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
        ('def f() -> Text:\n    return "" if n else "no days"', ["no days"]),
        ('def f() -> Iterator[Message]:\n    yield f"{n} days"', ["f'{n} days'"]),
        ('def f() -> str:\n    return "no days"', []),
        (
            "def f() -> tuple[list[str], list[Text]]:\n"
            '    left = ["no days"]\n    left.append("a day")\n    left += [f"{n} days"]\n'
            "    return [*words], left",
            ["no days", "a day", "f'{n} days'"],
        ),
        ('Comparison("", 0.0, f"none over {where}")', ["f'none over {where}'"]),
        ('Recommendation(text=english("Serve it as released"))', ["Serve it as released"]),
        (
            'def f() -> str:\n    return f"loss of {x}"\nComparison("", 0.0, f())',
            ["f'loss of {x}'"],
        ),
        ("Recommendation(text=english(f(choice)))\ndef f(c) -> Message:\n    return m(c)", []),
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
        marks = (*(f"{name}(" for name in MAKERS), *MESSAGES)
        if any(mark in source for mark in marks) and (found := made_of_sentences(source)):
            wrong[place] = found
    assert wrong == {}
