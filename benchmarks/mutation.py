"""Mutation testing of the core: one changed operator or constant at a time, and its tests.

    python benchmarks/mutation.py [--mutants 40] [--seed 1] [--only memory/caches.py]

Each mutant is written into a copy of the tree and the tests named below run there until one fails.
A mutant that no test notices is printed with its place: either it changes nothing that can be seen,
or a test is missing. docs/evidence/mutation.md has the last run.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGETS: dict[str, tuple[str, ...]] = {
    "formats/sizes.py": ("tests/formats",),
    "numerics/scaling.py": ("tests/numerics/test_scaling.py",
                            "tests/numerics/test_block_formats.py"),
    "numerics/integers.py": ("tests/numerics/test_int8_products.py",
                             "tests/numerics/test_quantization.py"),
    "numerics/reference.py": ("tests/numerics/test_reference.py",
                              "tests/numerics/test_rounding_modes.py"),
    "memory/caches.py": ("tests/memory/test_cache_bytes.py", "tests/models/test_layer_caches.py"),
    "memory/breakdown.py": ("tests/memory/test_breakdown.py",),
    "memory/workspace.py": ("tests/memory/test_breakdown.py",),
    "placement/shards.py": ("tests/placement",),
    "planning/duals.py": ("tests/planning/solver/test_duals.py",),
    "planning/diff.py": ("tests/planning/plan/test_plan_diff.py",),
    "planning/capacity.py": ("tests/memory/test_plan_memory.py", "tests/attack/test_invariants.py"),
}
_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
}


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Nodes that can be changed, and how, in functions only: annotations are left alone."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in (inner for line in function.body for inner in ast.walk(line)):
            if isinstance(node, ast.BinOp) and type(node.op) in _SWAPS:
                yield node, "op"
            elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
                yield node, "ops"
            elif isinstance(node, ast.BoolOp):
                yield node, "op"
            elif isinstance(node, ast.Constant) and type(node.value) is int:
                yield node, "value"


def mutated(text: str, number: int) -> tuple[str, str]:
    """(source with its ``number``-th place changed, what was changed where)."""
    tree = copy.deepcopy(ast.parse(text))
    node, how = list(places(tree))[number]
    before = ast.unparse(node)
    if isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()  # type: ignore[assignment]
    elif isinstance(node, ast.Constant):
        node.value += 1
    else:
        setattr(node, how, _SWAPS[type(node.op)]())  # type: ignore[attr-defined]
    return ast.unparse(tree), f"{getattr(node, 'lineno', 0)}: {before}  →  {ast.unparse(node)}"


def noticed(tree: Path, tests: tuple[str, ...]) -> bool:
    """Whether a test fails in ``tree``; a mutant that hangs for two minutes is noticed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m",
             "not exhaustive", *tests],
            cwd=tree, capture_output=True, check=False, timeout=120, env=_environment(tree))
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def _environment(tree: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> int:
    """Run a sample of mutants; the answer is printed as Markdown."""
    parser = argparse.ArgumentParser(description="Mutation testing of the core.")
    parser.add_argument("--mutants", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=sorted(TARGETS))
    options = parser.parse_args()
    files = {name: (ROOT / "planner" / name).read_text(encoding="utf-8")
             for name in options.only or TARGETS}
    pool = [(name, n) for name, text in files.items()
            for n in range(len(list(places(ast.parse(text)))))]
    chosen = random.Random(options.seed).sample(pool, min(options.mutants, len(pool)))
    with tempfile.TemporaryDirectory() as made:
        tree = Path(made)
        for part in ("planner", "tests", "hardware_profiles", "scenarios"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        tally = {name: [0, 0] for name in files}
        for name, number in chosen:
            source, what = mutated(files[name], number)
            (tree / "planner" / name).write_text(source, encoding="utf-8")
            found = noticed(tree, TARGETS[name])
            (tree / "planner" / name).write_text(files[name], encoding="utf-8")
            tally[name][0] += 1
            tally[name][1] += not found
            print(f"{'noticed' if found else 'SURVIVED'} {name}:{what}", flush=True)
    print(f"\n{len(chosen)} of {len(pool)} mutants, seed {options.seed}\n\n"
          "| file | mutants | survived |\n|---|---|---|")
    for name, (tried, survived) in tally.items():
        print(f"| {name} | {tried} | {survived} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
