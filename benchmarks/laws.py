"""Tries the laws of the optimum on random questions, and prints how many break each.

    python benchmarks/laws.py [--questions 100] [--seed 1] [--law WORDS] [--shown 2] [--wide]

A row a law: questions that it says something of, those that break it, and the shortest examples.
The last row compares plans with brute force. Exit status 1 where a law is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]

BRUTE = "brute force agrees"


def counted(draw: Callable[[], list[str] | None], wanted: int, shown: int) -> tuple[int, int]:
    """(questions, broken) of one law: drawn until it says something of ``wanted``; None from
    ``draw`` is a question that it says nothing of. Prints ``shown`` examples."""
    tried = broken = skipped = 0
    examples: list[str] = []
    while tried < wanted and skipped < 20 * wanted:
        words = draw()
        if words is None:
            skipped += 1
            continue
        tried += 1
        if words:
            broken += 1
            examples.append(words[0])
    print(f"| {tried} | {broken} | {skipped} |", flush=True)
    for words in sorted(examples, key=len)[:shown]:
        print(f"    {words}", flush=True)
    return tried, broken


def main() -> int:
    """Print the table."""
    from support import brute_force, random_questions
    from support.answers import NotAskedError
    from support.optimum_laws import LAWS

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=100, help="of each law")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--law", default="", help="words in the name of the laws to try")
    parser.add_argument("--shown", type=int, default=2, help="examples of each law")
    parser.add_argument("--wide", action="store_true", help="larger questions, as make exhaustive")
    asked = parser.parse_args()
    over = 0
    for name in (*LAWS, BRUTE):
        if asked.law not in name:
            continue
        pick = random.Random(asked.seed).choice

        def draw(name: str = name, pick: random_questions.Pick = pick) -> list[str] | None:
            if name == BRUTE:
                return brute_force.disagreement(brute_force.drawn(pick), wide=asked.wide)
            try:
                return list(LAWS[name](random_questions.drawn(pick, wide=asked.wide)))
            except NotAskedError:
                return None

        begun = time.process_time()
        print(f"| {name} ", end="", flush=True)
        over += counted(draw, asked.questions, asked.shown)[1]
        print(f"    {time.process_time() - begun:.0f} s CPU", flush=True)
    return int(over > 0)


if __name__ == "__main__":
    raise SystemExit(main())
