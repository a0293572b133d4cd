"""The size of the package by room, and what one plan goes through.

    python benchmarks/house.py                 # statements, files by room
    python benchmarks/house.py --plan deepseek-v3 h200-sxm --devices 8

Statements are counted by ``ast`` without imports and docstrings, so that a formatter moves no
count. ``--plan`` asks the command line under a profiler: modules and files of the package,
functions entered, records made (and of how many classes; the ten most frequent), and the frames of
the package on the stack where a GEMM is priced.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "planner"
INSIDE = ("lab", "planning")
"""Rooms that are told room by room."""
GEMM = ("throughput/forms/gemm.py", "gemm_parts")


def statements(path: Path) -> int:
    """Statements of a file that are neither imports nor texts alone."""
    return sum(
        isinstance(node, ast.stmt)
        and not isinstance(node, ast.Import | ast.ImportFrom)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                 and isinstance(node.value.value, str))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )  # fmt: skip


def sizes() -> tuple[Counter[str], Counter[str]]:
    """Files and statements by room."""
    files, counts = Counter[str](), Counter[str]()
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        room = "/".join(parts[: 1 + (parts[0] in INSIDE and len(parts) > 2)])
        files[room] += 1
        counts[room] += statements(path)
    return files, counts


class Watch:
    """A profiler's hook that counts what a command enters and makes."""

    def __init__(self) -> None:
        self.functions: set[tuple[str, str, int]] = set()
        self.records = Counter[str]()
        self.frames = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code.co_name == "__init__" and code.co_filename == "<string>":
            kind = type(frame.f_locals["self"])
            if kind.__module__.startswith("planner"):
                self.records[f"{kind.__module__}.{kind.__qualname__}"] += 1
        elif code.co_filename.startswith(str(PACKAGE)) and not code.co_name.startswith("<"):
            self.functions.add((code.co_filename, code.co_name, code.co_firstlineno))
            if code.co_name == GEMM[1] and code.co_filename.endswith(GEMM[0]):
                self.frames = max(self.frames, _depth(frame))


def _depth(frame: FrameType | None) -> int:
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename.startswith(str(PACKAGE))
        frame = frame.f_back
    return count


def watched(arguments: list[str]) -> tuple[Watch, int]:
    """What a command goes through, and how many modules of the package it has imported."""
    sys.path.insert(0, str(ROOT))
    watch, kept = Watch(), io.StringIO()
    with redirect_stdout(kept), redirect_stderr(kept):
        sys.setprofile(watch)
        try:
            _ask(arguments)
        finally:
            sys.setprofile(None)
    return watch, sum(name.startswith("planner") for name in sys.modules)


def _ask(arguments: list[str]) -> None:
    from planner.cli import main as run

    ask: Any = run
    try:
        ask(arguments)
    except SystemExit as stop:
        if stop.code:
            raise


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", nargs=argparse.REMAINDER, help="a command line, without `plan`")
    given = parser.parse_args()
    if given.plan:
        watch, modules = watched(given.plan)
        files = {name for name, _, _ in watch.functions}
        print(f"{modules} modules, {len(files)} files entered, {len(watch.functions)} functions")
        print(f"{watch.records.total():,} records of {len(watch.records)} classes")
        print(f"{watch.frames} frames at a GEMM")
        for name, count in watch.records.most_common(10):
            print(f"  {count:6,} {name}")
        return 0
    files, counts = sizes()
    for room in sorted(counts):
        print(f"{room:24} {files[room]:4} files {counts[room]:6,} statements")
    print(f"{'all':24} {files.total():4} files {counts.total():6,} statements")
    return 0


if __name__ == "__main__":
    sys.exit(main())
