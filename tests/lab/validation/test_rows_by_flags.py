"""What is printed is what is validated: a measured row, asked by flags, has the same prediction."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rows_by_flags import Comparison, compare

from planner.lab.validation import run

SAMPLE = Path(run.__file__).with_name("sample") / "e2e_silicon_shared.csv"
SHARED = Path(__file__).parents[4] / "shared" / "measured"
TABLES = ["e2e_silicon_shared.csv", "e2e_silicon_shared_2.csv"]
STEP = 53
"""Every so manieth row of the shared tables is asked in a short run."""


def rows(path: Path, step: int = 1) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from ((i, row) for i, row in enumerate(csv.DictReader(file)) if i % step == 0)


def check(comparison: Comparison) -> None:
    assert not comparison.differing
    assert comparison.compared > 0


def test_rows_of_the_shipped_sample() -> None:
    check(compare(rows(SAMPLE)))


def test_some_rows_of_the_shared_tables() -> None:
    if not (SHARED / TABLES[0]).is_file():
        pytest.skip(f"{TABLES[0]} is not there: it is not part of the repository")
    check(compare(rows(SHARED / TABLES[0], STEP)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_the_shared_tables(name: str) -> None:
    if not (SHARED / name).is_file():
        pytest.skip(f"{name} is not there: it is not part of the repository")
    comparison = compare(rows(SHARED / name))
    print(comparison)
    check(comparison)
