"""Climbs from twenty plans by full prices, and prints a table of what is better.

    python benchmarks/hill_climbing.py [--pairs 300] [--only NAME]

``beyond`` is what of the improvement the plan's own gap does not cover: 0 where the proof holds.
Exit status 1 where something is beyond.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]


def main() -> int:
    """Print a row a question, in Markdown."""
    from support.answers import NotAskedError
    from support.hill_climbing import QUESTIONS, climbed

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=300, help="promising pairs a round")
    parser.add_argument("--only", choices=list(QUESTIONS), help="one of the questions")
    asked = parser.parse_args()
    names = [asked.only] if asked.only else list(QUESTIONS)
    print("| question | gap | prices | CPU s | better | beyond the gap | moves |")
    print("|---|---|---|---|---|---|---|")
    over = 0
    for name in names:
        begun = time.process_time()
        try:
            found = climbed(QUESTIONS[name], pairs=asked.pairs)
        except NotAskedError as error:
            print(f"| `{QUESTIONS[name]}` | | | | | | not asked: {error} |", flush=True)
            over += 1
            continue
        seconds = time.process_time() - begun
        over += found.beyond > 0
        print(
            f"| `{found.case}` | {found.plan.solver.gap:.0e} | {found.prices:,} | {seconds:.1f} "
            f"| {found.better:.3%} | {found.beyond:.3%} | {found.moves or 'none'} |",
            flush=True,
        )
    print(f"\n{len(names)} questions, {over} of them with something beyond the gap or no plan")
    return int(over > 0)


if __name__ == "__main__":
    raise SystemExit(main())
