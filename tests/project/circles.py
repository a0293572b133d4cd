"""Circles of imports in ``planner/``, read from its sources: ``python -m tests.project.circles``.

Every import counts: at the top of a module, under ``if TYPE_CHECKING:``, inside a function, and in
text, where a string is the dotted name of a module: ``import_module`` loads it, or a table names
it. A name that is put together of parts is not seen: these name neighbours in the same folder. A
circle is a strongly connected component of more than one file. Where it falls apart without the
imports for types, inside functions and in text, it exists through those only. An import of a name
from a package is one of the module that has this name, where there is one; the packages around a
module, which Python imports before it, are left out. Nothing is imported: a broken package is read
as well.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Kind(Enum):
    """Where an import stands, and so when it is carried out."""

    TOP = "at the top"
    TYPES = "under TYPE_CHECKING"
    INSIDE = "inside a function"
    TEXT = "in text"


@dataclass(frozen=True, slots=True)
class Import:
    """``importer`` imports ``imported`` (dotted names of modules) at ``line`` of its file;
    ``function`` is the innermost one that the import is in, or empty."""

    importer: str
    imported: str
    kind: Kind
    line: int
    function: str = ""


@dataclass(frozen=True, slots=True)
class Circle:
    """Modules that reach one another, and all imports between them."""

    modules: tuple[str, ...]
    imports: tuple[Import, ...]

    def stays_without(self, left_out: Callable[[Import], bool]) -> bool:
        """Whether some of it is still a circle when these imports are left out."""
        kept = ((i.importer, i.imported) for i in self.imports if not left_out(i))
        return any(True for _ in components(kept))

    def kinds(self) -> Mapping[Kind, int]:
        """How many imports of each kind it has."""
        return {kind: sum(one.kind is kind for one in self.imports) for kind in Kind}

    def describe(self) -> str:
        """What binds it, in words."""
        if self.stays_without(lambda one: one.kind is not Kind.TOP):
            return "held by imports at the top"
        kinds = self.kinds()
        return "only through imports " + " and ".join(
            kind.value for kind in (Kind.TYPES, Kind.INSIDE, Kind.TEXT) if kinds[kind]
        )


def modules_of(root: Path, package: str = "planner") -> dict[str, Path]:
    """Dotted name → file of every module of a package below ``root``."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class _Reader(ast.NodeVisitor):
    """Collects the imports of one module."""

    def __init__(self, module: str, modules: Mapping[str, Path]) -> None:
        self.module, self.modules = module, modules
        self.is_package = modules[module].name == "__init__.py"
        self.types = False
        self.functions: list[str] = []
        self.found: list[Import] = []

    def _add(self, name: str, line: int, kind: Kind | None = None) -> None:
        if kind is None:
            kind = Kind.INSIDE if self.functions else Kind.TYPES if self.types else Kind.TOP
        if name in self.modules and name != self.module:
            self.found.append(Import(self.module, name, kind, line, (self.functions or [""])[-1]))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._base(node)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            self._add(inner if inner in self.modules else base, node.lineno)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        up = node.level - self.is_package
        parts = self.module.split(".")
        return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        before, self.types = (
            self.types,
            self.types or test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"),
        )
        for one in node.body:
            self.visit(one)
        self.types = before
        for one in node.orelse:
            self.visit(one)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def _texts(self, expression: ast.expr) -> None:
        """Modules that strings of an expression name."""
        for node in ast.walk(expression):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
                self._add(node.value, node.lineno, Kind.TEXT)

    def generic_visit(self, node: ast.AST) -> None:
        """Statements below a statement, and the strings of its expressions."""
        for value in vars(node).values():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.stmt | ast.excepthandler | ast.match_case):
                    self.visit(part)
                elif isinstance(part, ast.expr):
                    self._texts(part)

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815


def imports_of(modules: Mapping[str, Path]) -> list[Import]:
    """Every import between ``modules``, in the order of the files."""
    found: list[Import] = []
    for module, path in modules.items():
        reader = _Reader(module, modules)
        reader.visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        found += reader.found
    return found


def components(edges: Iterable[tuple[str, str]]) -> Iterator[frozenset[str]]:
    """Strongly connected components of more than one node, by Kosaraju's two passes."""
    ahead: dict[str, set[str]] = {}
    back: dict[str, set[str]] = {}
    for one, other in edges:
        for table, a, b in ((ahead, one, other), (back, other, one)):
            table.setdefault(a, set()).add(b)
            table.setdefault(b, set())
    seen: set[str] = set()
    ended = [node for start in sorted(ahead) for node in _post_order(start, ahead, seen)]
    seen = set()
    for start in reversed(ended):
        if start not in seen:
            group = frozenset(_post_order(start, back, seen))
            if len(group) > 1:
                yield group


def _post_order(start: str, edges: Mapping[str, set[str]], seen: set[str]) -> Iterator[str]:
    """Nodes that ``start`` reaches and that were not seen, each after those that it leads to."""
    if start in seen:
        return
    seen.add(start)
    way = [(start, iter(sorted(edges[start])))]
    while way:
        rest = way[-1][1]
        following = next((one for one in rest if one not in seen), None)
        if following is None:
            yield way.pop()[0]
        else:
            seen.add(following)
            way.append((following, iter(sorted(edges[following]))))


@cache
def circles(root: Path = ROOT, package: str = "planner") -> tuple[Circle, ...]:
    """The circles of a package, largest first; its files are read once a process."""
    found = imports_of(modules_of(root, package))
    out = []
    for group in components((one.importer, one.imported) for one in found):
        within = tuple(i for i in found if i.importer in group and i.imported in group)
        out.append(Circle(tuple(sorted(group)), within))
    return tuple(sorted(out, key=lambda circle: (-len(circle.modules), circle.modules)))


def main() -> int:
    """Print each circle, what binds it, and how many there are; returns 0."""
    found = circles()
    files = modules_of(ROOT)
    for circle in found:
        counts = ", ".join(f"{n} {kind.value}" for kind, n in circle.kinds().items() if n)
        print(f"{len(circle.modules)} files, {circle.describe()} ({counts}):")
        for module in circle.modules:
            print(f"  {files[module].relative_to(ROOT)}")
        for one in circle.imports:
            if one.kind is not Kind.TOP:
                where = f" in {one.function}" if one.function else ""
                print(
                    f"    {one.importer}:{one.line} imports {one.imported} {one.kind.value}{where}"
                )
    print(f"circles of more than one file: {len(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
