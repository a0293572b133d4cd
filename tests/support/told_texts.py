"""Texts that plans can carry, read from where they are written: literals in the calls that make
assumptions and reasons, and the notes of data files. A new one is found without planning."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import planner

PACKAGE = Path(planner.__file__).parent
DATA = PACKAGE / "planning" / "data"
VALUES = ("7", "x7", "")
"""What stands for a value in a text: a number, a name, nothing."""
MOST = 64
NOTES = (
    "models/spec.py",
    "models/catalog.py",
    "models/heads.py",
    "models/checkpoint.py",
    "models/families/step3p7.py",
    "models/through_transformers/model.py",
)
"""Files of models that note what their answers repeat."""

IN_ENGLISH = (
    "planning/explain/",
    "planning/inspect/",
    "planning/serving/loop.py",
    "planning/serving/serve.py",
    "planning/serving/expert_use.py",
)
"""Answers of verbs that have no page: the terminal shows them in English."""

Texts = tuple[str, ...]


def written_assumptions() -> dict[str, list[Texts]]:
    """``file:line: which`` → what the name, value and reason of every ``Assumption(…)`` of
    planning, and of every note of a question or a model, can be, with numbers or names for values;
    what has no literal text is left out."""
    found: dict[str, list[Texts]] = {}
    for path in (*sorted((PACKAGE / "planning").rglob("*.py")), *map(PACKAGE.joinpath, NOTES)):
        if str(path.relative_to(PACKAGE)).startswith(IN_ENGLISH):
            continue
        source = path.read_text(encoding="utf-8")
        makes_notes = "Assumption(" in source or "Note(" in source
        for node in ast.walk(ast.parse(source)) if makes_notes else ():
            arguments = _arguments(node)
            if arguments:
                for which, argument in zip(("name", "value", "reason"), arguments, strict=False):
                    for branch, texts in enumerate(_texts(argument, named=which == "name")):
                        key = f"{path.relative_to(PACKAGE)}:{node.lineno}: {which} {branch}"
                        found.setdefault(key, []).append(texts)
    return found


def _arguments(node: ast.AST) -> list[ast.expr]:
    """Name, value and reason of an assumption's or a note's call."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("Assumption", "Note")
    ):
        return node.args
    return []


def _texts(node: ast.expr, *, named: bool) -> Iterator[Texts]:
    """Per branch of an expression, the texts that it can be: one for each of VALUES, and one
    with numbers but for the last value, which is left out."""
    for branch in _branches(node)[:MOST]:
        if any(isinstance(piece, str) and (named or " " in piece.strip()) for piece in branch):
            last = max((n for n, piece in enumerate(branch) if piece is None), default=-1)
            yield (
                *(_filled(branch, value) for value in VALUES),
                _filled([piece if n != last else "" for n, piece in enumerate(branch)], "7"),
            )


def _filled(branch: list[str | None], value: str) -> str:
    return "".join(value if piece is None else piece for piece in branch)


def _branches(node: ast.expr) -> list[list[str | None]]:
    """Ways to read an expression as literal pieces and values (None)."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [[node.value]]
    if isinstance(node, ast.JoinedStr):
        return [[piece.value if isinstance(piece, ast.Constant) else None for piece in node.values]]
    if isinstance(node, ast.IfExp):
        return [*_branches(node.body), *_branches(node.orelse)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [[*a, *b] for a, b in product(_branches(node.left), _branches(node.right))]
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return [way for part in node.values for way in _branches(part)]
    return [[None]]


def engine_notes() -> list[str]:
    """Notes of the tables of engines, each once."""
    found = []
    for path in sorted(DATA.glob("engine_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += [row["note"] for row in csv.DictReader(file) if row.get("note")]
    kernels = PACKAGE / "throughput" / "data" / "engine_kernels.csv"
    with kernels.open(encoding="utf-8", newline="") as file:
        found += [row["reason"] for row in csv.DictReader(file) if row["reason"]]
    return list(dict.fromkeys(found))


def device_texts() -> list[str]:
    """Why devices multiply no format, what the usable share and the runtime memory are based on."""
    from planner.hardware.catalog import list_devices
    from planner.memory.footprint import runtime_of

    found = []
    for device in list_devices():
        found += [*device.unsupported.values(), runtime_of(device).source]
        found += [device.usable_fraction.note] if device.usable_fraction.note else []
    return list(dict.fromkeys(found))
