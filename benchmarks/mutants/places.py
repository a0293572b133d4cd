"""Places of a module that can be changed, and the code of a function with one of them changed."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_NAMES = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "floor": "ceil",
    "ceil": "floor",
    "any": "all",
    "all": "any",
}
_BUILT_IN = {"min", "max", "any", "all"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Place:
    """The ``number``-th place of a module: its line, what it says and what it would say; ``first``
    is the line that Python gives the function around it, ``name`` that function's qualified name
    and ``digest`` stands for what the function says. ``kind`` is the operator that is changed, and
    ``ordinal`` counts the places of a function that are the same in kind and text."""

    number: int
    line: int
    before: str
    after: str
    first: int
    name: str
    kind: str
    ordinal: int
    digest: str

    def site(self) -> tuple[str, ...]:
        """What names the place whatever else changes in its file."""
        return self.name, self.kind, self.before, str(self.ordinal)


def places(text: str) -> list[Place]:
    """All places of a module, in a fixed order."""
    found = []
    seen: Counter[tuple[str, str, str]] = Counter()
    digests: dict[int, str] = {}
    for number, (name, function, node) in enumerate(_nodes(ast.parse(text))):
        before, kind = ast.unparse(node), _kind(node)
        if id(function) not in digests:
            digests[id(function)] = said(function)
        found.append(
            Place(
                number,
                node.lineno,
                before,
                ast.unparse(_changed(copy.deepcopy(node))),
                _first(function),
                name,
                kind,
                seen[name, kind, before],
                digests[id(function)],
            )
        )
        seen[name, kind, before] += 1
    return found


def said(node: ast.AST) -> str:
    """A digest of what code says, wherever it stands and however it is described."""
    bare = copy.deepcopy(node)
    for inner in ast.walk(bare):
        body = getattr(inner, "body", None)
        if isinstance(body, list):
            inner.body = [line for line in body if not _describes(line)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(bare).encode()).hexdigest()[:16]


def _describes(line: ast.AST) -> bool:
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


def functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, Function]]:
    """(qualified name, function) of every function that is in no other."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield within + node.name, node
        else:
            yield from functions(
                node, f"{within}{node.name}." if isinstance(node, ast.ClassDef) else within
            )


def mutated(text: str, number: int, file: str) -> CodeType:
    """The code of the function around a place, with that place changed."""
    tree = ast.parse(text)
    name, function, node = list(_nodes(tree))[number]
    _changed(node)
    where = (name, _first(function))
    found = [
        code
        for code in _codes(compile(tree, file, "exec"))
        if (code.co_qualname, code.co_firstlineno) == where
    ]
    assert len(found) == 1, where
    return found[0]


def _nodes(tree: ast.Module) -> Iterator[tuple[str, Function, ast.expr]]:
    """(qualified name, the outermost function, expression) of every place."""
    for name, function in functions(tree):
        skipped: set[int] = set()
        for node in (inner for line in function.body for inner in ast.walk(line)):
            if id(node) in skipped or isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert)):
                skipped |= {id(child) for child in ast.walk(node)}
            elif isinstance(node, ast.AnnAssign):
                skipped |= {id(child) for child in ast.walk(node.annotation)}
            elif isinstance(node, ast.expr) and _can_change(node):
                yield name, function, node


def _can_change(node: ast.expr) -> bool:
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        return type(node.op) in _SWAPS and not _joins_text(node)
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in _SWAPS
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, (ast.USub, ast.Not))
    if isinstance(node, ast.Call):
        return _called(node) in (_NAMES if isinstance(node.func, ast.Attribute) else _BUILT_IN)
    return isinstance(node, ast.Constant) and type(node.value) is int


def _joins_text(node: ast.BinOp | ast.BoolOp) -> bool:
    """Whether a text is put together: another operator on it raises."""
    return isinstance(node, ast.BinOp) and (_is_text(node.left) or _is_text(node.right))


def _is_text(node: ast.expr) -> bool:
    """Whether an operand is seen to be a text; what a text is the key of is none."""
    if isinstance(node, ast.BinOp):
        return _joins_text(node)
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    if isinstance(node, ast.Call):
        return _called(node) == "str" or (
            isinstance(node.func, ast.Attribute) and _is_text(node.func.value)
        )
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )


def _called(node: ast.Call) -> str:
    return (
        node.func.attr
        if isinstance(node.func, ast.Attribute)
        else node.func.id
        if isinstance(node.func, ast.Name)
        else ""
    )


def _kind(node: ast.expr) -> str:
    """What is changed: the operator, the function called or a whole number."""
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.UnaryOp)):
        return type(node.op).__name__
    if isinstance(node, ast.Compare):
        return type(node.ops[0]).__name__
    return _called(node) if isinstance(node, ast.Call) else "int"


def _changed(node: ast.expr) -> ast.expr:
    """The node, changed in place."""
    if isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()  # type: ignore[assignment]
    elif isinstance(node, ast.Constant):
        node.value = int(node.value) + 1  # type: ignore[arg-type]
    elif isinstance(node, ast.UnaryOp):
        _without_sign(node)
    elif isinstance(node, ast.Call):
        other = _NAMES[_called(node)]
        if isinstance(node.func, ast.Attribute):
            node.func.attr = other
        elif isinstance(node.func, ast.Name):
            node.func.id = other
    elif isinstance(node, (ast.BinOp, ast.BoolOp)):
        node.op = _SWAPS[type(node.op)]()  # type: ignore[assignment]
    return node


def _without_sign(node: ast.UnaryOp) -> None:
    """``-x`` becomes ``+x``, ``not x`` becomes ``not not x``."""
    if isinstance(node.op, ast.USub):
        node.op = ast.UAdd()
    else:
        inner = ast.UnaryOp(ast.Not(), node.operand)
        node.operand = ast.copy_location(inner, node)


def _first(function: Function) -> int:
    """The first line of a function's code: that of its first decorator."""
    return min([function.lineno, *(one.lineno for one in function.decorator_list)])


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)
