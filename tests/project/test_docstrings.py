"""Docstrings name the errors that a function raises, and the shapes or units of its arrays."""

import ast
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import planner
from planner.base import errors

PACKAGE = Path(planner.__file__).parent
ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.PlannerError)
}
SHAPE = re.compile(r"\[[^\]]+\]|\([\w /·…*-]+,[^)]*\)|shape|broadcast|matri(x|ces)\b|vector")
"""``[candidates, units]``, ``(rows, columns)`` or words for it."""
UNIT = re.compile(r"\b(bytes?|seconds|FLOP|nats)\b", re.IGNORECASE)
SEED = "0"
"""Another one draws another sample."""
ONE_OF = 3


class Function(NamedTuple):
    """A public function or method with its own docstring and that of its class."""

    where: str
    node: ast.FunctionDef
    text: str
    array_names: frozenset[str]


def public_functions() -> Iterator[Function]:
    """Functions that others call; the docstring of a command is its ``--help``."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE.parent).as_posix()
        if file.startswith("planner/cli/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        arrays = frozenset(
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign) and "NDArray" in ast.unparse(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        )
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
                continue
            own = ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef) else ""
            for function in node.body if isinstance(node, ast.ClassDef) else [node]:
                if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                    text = f"{own}\n{ast.get_docstring(function) or ''}"
                    yield Function(f"{file}:{function.name}", function, text, arrays)


def raised(function: ast.FunctionDef) -> set[str]:
    """Our errors that the body itself raises, functions inside it left out."""
    left: list[ast.AST] = list(function.body)
    names = set()
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            names.add(ast.unparse(node.exc).partition("(")[0])
        left += ast.iter_child_nodes(node)
    return names & ERRORS


def has_arrays(function: Function) -> bool:
    """Whether a parameter or the result is an array."""
    arguments = function.node.args
    annotations = [
        argument.annotation
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    ]
    words = {
        word
        for annotation in (*annotations, function.node.returns)
        if annotation is not None
        for word in re.findall(r"\w+", ast.unparse(annotation))
    }
    return not words.isdisjoint(function.array_names | {"NDArray"})


def drawn(function: Function) -> bool:
    """Whether the seed draws it: by its name, so that others leave the sample as it is."""
    return sha256(f"{SEED} {function.where}".encode()).digest()[0] % ONE_OF == 0


def test_errors_that_are_raised_are_named() -> None:
    raising = [(each, raised(each.node)) for each in public_functions() if raised(each.node)]
    assert len(raising) > 200
    assert [
        (each.where, names)
        for each, names in raising
        if "Raise" not in each.text or any(name not in each.text for name in names)
    ] == []


def test_arrays_have_a_shape_or_a_unit() -> None:
    sample = [each for each in public_functions() if has_arrays(each) and drawn(each)]
    assert len(sample) > 80
    assert [
        each.where for each in sample if not SHAPE.search(each.text) and not UNIT.search(each.text)
    ] == []
