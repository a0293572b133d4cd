"""``python -m evaluation.numerics [--seeds 4] [--write]``: the libraries on fresh seeds, the table.

It needs torch, ml_dtypes, gfloat, nvidia-modelopt, torchao and compressed-tensors from PyPI; a
library that is missing is named, and its rows are left out.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from evaluation.numerics import casts, libraries, products, recipes
from evaluation.numerics.rows import UNEXPLAINED, Row
from evaluation.pages import insert, moved, narrow

PAGE = Path("docs/evidence/numerics.md")
Source = Callable[[int], Iterator[Row]]


def main() -> int:
    """1 where a difference has no name."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.numerics", description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seed", type=int, help="the first seed (default: drawn)")
    parser.add_argument("--write", action="store_true", help=f"renew the table in {PAGE}")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    first = secrets.randbelow(1 << 30) if asked.seed is None else asked.seed
    found: dict[tuple[str, str], Row] = {}
    missing: list[str] = []
    for seed in range(first, first + asked.seeds):
        for source in (casts.rows, libraries.rows, recipes.rows, products.rows):
            _collect(source, seed, found, missing)
    text = table(list(found.values()), first, asked.seeds, missing)
    print(text)
    if asked.write:
        insert(PAGE, text, "libraries")
    return int(any(UNEXPLAINED in row.why for row in found.values()))


def _collect(
    source: Source, seed: int, found: dict[tuple[str, str], Row], missing: list[str]
) -> None:
    try:
        for row in source(seed):
            key = (row.what, row.against)
            found[key] = found[key] + row if key in found else row
    except ImportError as problem:
        name = problem.name or str(problem)
        if name not in missing:
            missing.append(name)


def table(rows: list[Row], first: int, seeds: int, missing: list[str]) -> str:
    """Markdown: a line a library for what is equal, a row for every difference."""
    total, wrong = sum(r.compared for r in rows), sum(r.differ for r in rows)
    lines = [
        f"Seeds {first} to {first + seeds - 1}: {total:,} values in {len(rows)} comparisons, "
        f"{wrong:,} differ.",
        "",
    ]
    if missing:
        lines += ["Left out, as they are not installed: " + ", ".join(missing) + ".", ""]
    rows = ["| against | comparisons | values | differ | equal in |", "|---|---:|---:|---:|---|"]
    for against in dict.fromkeys(r.against for r in rows):
        own = [r for r in rows if r.against == against]
        equal = [r.what for r in own if not r.differ]
        rows.append(
            f"| {against} | {len(own)} | {sum(r.compared for r in own):,} | "
            f"{sum(r.differ for r in own):,} | {_short(equal)} |"
        )
    lines += [narrow(rows, range(4)), "", moved("numerics-equal", "Equal in", rows)]
    different = [r for r in rows if r.differ]
    if different:
        rows = ["| what differs | against | values | differ | why |", "|---|---|---:|---:|---|"]
        rows += [
            f"| {r.what} | {r.against} | {r.compared:,} | {r.differ:,} | {r.why} |"
            for r in different
        ]
        lines.append(moved("numerics-different", "What differs, and why", rows))
    return "\n".join(lines) + "\n"


def _short(names: list[str]) -> str:
    """Names that share their first word, together."""
    groups: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition(" ")
        groups.setdefault(first, []).append(rest)
    return "; ".join(f"{first} {', '.join(rest)}".strip() for first, rest in groups.items())


if __name__ == "__main__":
    sys.exit(main())
