"""Every place of the package that makes an error for a user: file, line, class, message, hint.

python tests/support/error_sites.py
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "planner"
ROOTS = {"PlannerError", "Hinted"}
OWN_HINT = {"UnknownNameError", "MissingPackageError"}
"""Classes that make their hint of what they are given."""
PLAIN = {
    "ValueError",
    "TypeError",
    "RuntimeError",
    "KeyError",
    "Exception",
    "UsageError",
    "BadParameter",
    "ClickException",
    "FileNotFoundError",
    "OSError",
}
"""What a user would see as a traceback, or without a hint."""

_MADE = re.compile(
    r"\w*(?:Error|Hinted|Exception|BadParameter)\(|class \w+\([^)]*(?:Error|Hinted|Exception)"
)
"""Parsing takes most of the time: other files are left alone. A test holds the names to it."""
_WANTED = (ast.ClassDef, ast.Call, ast.Raise)
_INNER = (ast.expr, ast.stmt, ast.arguments, ast.arg)


@dataclass(frozen=True)
class Site:
    """One call that makes an error. ``hint`` is source; ``texts`` are the literal parts of it."""

    place: str
    kind: str
    message: str
    hint: str | None
    texts: tuple[str, ...]


@cache
def classes() -> frozenset[str]:
    """Names of the exceptions that carry a hint, found by their bases."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for _, _, nodes in trees()
        for node in nodes
        if isinstance(node, ast.ClassDef)
    }
    found = set(ROOTS)
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return frozenset(found)


@cache
def trees() -> tuple[tuple[Path, ast.Module, tuple[ast.AST, ...]], ...]:
    """Every module of the package that may make an error, parsed, with its classes, calls and
    raises."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if not _MADE.search(source):
            continue
        tree = ast.parse(source)
        found.append((path.relative_to(PACKAGE.parent), tree, tuple(_wanted(tree))))
    return tuple(found)


def _wanted(tree: ast.Module) -> Iterator[ast.AST]:
    """As :func:`ast.walk` finds them, in a third of the time: every process of a test run walks."""
    level: list[ast.AST] = [tree]
    while level:
        below: list[ast.AST] = []
        for node in level:
            if isinstance(node, _WANTED):
                yield node
            for value in vars(node).values():
                if type(value) is list:
                    below += [one for one in value if isinstance(one, ast.AST)]
                elif isinstance(value, _INNER):
                    below.append(value)
        level = below


@cache
def sites() -> tuple[Site, ...]:
    """Every call of a class that carries a hint, in the order of files and lines."""
    names, found = classes(), []
    for path, tree, nodes in trees():
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and (kind := _name(node.func)) in names:
                found.append(_site(f"{path}:{node.lineno}", kind, node, constants))
    return tuple(sorted(found, key=lambda s: (s.place.split(":")[0], int(s.place.split(":")[1]))))


def plain_raises() -> list[tuple[str, str]]:
    """(file, source) of errors that are raised without a hint class."""
    return [
        (str(path), ast.unparse(node.exc))
        for path, _, nodes in trees()
        for node in nodes
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and _name(node.exc.func) in PLAIN
    ]


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _site(place: str, kind: str, node: ast.Call, constants: dict[str, ast.expr]) -> Site:
    hint = next((k.value for k in node.keywords if k.arg == "hint"), None)
    if kind == "Hinted" and hint is None and len(node.args) == 2:
        hint = node.args[1]
    shown = hint
    if isinstance(shown, ast.Name) and shown.id in constants:
        shown = constants[shown.id]
    message = ast.unparse(node.args[0]) if node.args else ""
    return Site(
        place,
        kind,
        message,
        None if hint is None else ast.unparse(shown),
        () if shown is None else tuple(_texts(shown)),
    )


def _texts(node: ast.expr) -> list[str]:
    """Literal texts of an expression, what is filled in as ``{}``."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return [
            "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        ]
    if isinstance(node, ast.BinOp):
        return ["".join((*_texts(node.left), *_texts(node.right)))]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    return [
        text
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.expr)
        for text in _texts(child)
    ]


def main() -> int:
    """Print the list."""
    found = sites()
    for site in found:
        hint = "(of its own)" if site.kind in OWN_HINT else site.hint
        print(f"{site.place} {site.kind}\n    {site.message}\n    hint: {hint}")
    print(f"{len(found)} sites, {len({s.hint for s in found if s.hint})} different hints")
    return 0


if __name__ == "__main__":
    sys.exit(main())
