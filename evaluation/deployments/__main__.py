"""``python -m evaluation.deployments DIR [DATE]``: deployments in pools measured in the tables of
DIR against what is predicted of them, as docs/evidence/pools.md with the date of the run (today).
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from evaluation.deployments.page import page
from evaluation.deployments.rows import deployment_rows
from evaluation.pages import publish

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "pools.md"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.deployments", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("day", nargs="?", default=date.today().isoformat(), metavar="DATE")
    given = parser.parse_args()
    rows, left = deployment_rows(given.data)
    publish(PAGE, page(rows, left, given.day))
    print(f"{len(rows)} rows; wrote {PAGE.name}")


if __name__ == "__main__":
    main()
