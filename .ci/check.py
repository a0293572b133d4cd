"""Lint, types and tests of one file, in seconds: ``make check FILE=planner/memory/caches.py``.

The tests of a module are those of its room that are named after it or import it; of a test file,
itself. Everything runs and is told, whatever failed before.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PYTEST_NO_TESTS = 5


def dotted(path: Path) -> str:
    """The name by which the module at ``path``, below the root, is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def mirrored(path: Path, root: Path = ROOT) -> list[Path]:
    """The test files of one file; ``path`` and they are below ``root``."""
    if path.parts[0] == "tests":
        return [path] if path.name.startswith("test_") else []
    if path.parts[0] != "planner":
        return []
    package, _, name = dotted(path).rpartition(".")
    imports = re.compile(
        rf"\bfrom {re.escape(dotted(path))} import|\bimport {re.escape(dotted(path))}\b"
        rf"|\bfrom {re.escape(package)} import [^\n]*\b{re.escape(name)}\b"
    )
    room = root / "tests" / Path(*path.parts[1:-1])
    while not room.is_dir():  # tests of a small room may stand one above
        room = room.parent
    return sorted(
        file.relative_to(root)
        for file in room.rglob("test_*.py")
        if file.stem == f"test_{path.stem}" or imports.search(file.read_text(encoding="utf-8"))
    )


def commands(path: Path, root: Path = ROOT) -> list[list[str]]:
    """What is run, in order."""
    file = str(path)
    out = [["ruff", "check", file], ["ruff", "format", "--check", file]]
    if path.parts[0] == "planner":
        out.append(["mypy", file])
    tests = [str(test) for test in mirrored(path, root)]
    return [*out, ["pytest", *tests]] if tests else out


def main() -> int:
    """Check the file that is named; 1 where something failed, 2 where there is no such file."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    path = (ROOT / name).resolve()
    if not name.endswith(".py") or not path.is_file() or not path.is_relative_to(ROOT):
        print(f"error: {name or 'nothing'} is no Python file here", file=sys.stderr)
        print("hint: make check FILE=planner/memory/caches.py", file=sys.stderr)
        return 2
    path, failed = path.relative_to(ROOT), 0
    chosen = commands(path)
    for command in chosen:
        print("+", *command, flush=True)
        code = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False)
        failed += code.returncode not in (0, PYTEST_NO_TESTS)
    if chosen[-1][0] != "pytest":
        print("no test of its room names it or imports it")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
