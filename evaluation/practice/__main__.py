"""``python -m evaluation.practice``: whether answers are what an operator would deploy.

Questions are drawn by a seed from what the table of published practice covers, asked as users ask
them, and judged by criteria: with all recipes, and without the question's own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.pages import insert, moved
from evaluation.practice import page
from evaluation.practice.ask import Row, ask
from evaluation.practice.draw import COUNT, SEED, draw
from planner.planning.practice.recipes import recipes


def main(words: Sequence[str] | None = None) -> int:
    """Ask and judge; print the tables and put them where asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.practice", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--docs", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(words)
    rows = recipes()
    questions = draw(rows, options.count, options.seed)
    runs: page.Runs = {}
    for name in page.WANTED:
        own = name == next(iter(page.WANTED))
        runs[name] = mine = []
        for question in questions:
            mine.append(ask(question, rows, own=own))
            _say(name, mine[-1])
            if options.json is not None:
                _write(options.json, options.seed, runs)
    every, held_out = runs.values()
    parts = {
        "summary": page.summary(runs),
        "families": page.families(every),
        "failures": page.failures(runs),
        "answers": "\n".join(
            moved(f"practice-{name}", says, text)
            for name, says, text in (
                ("failing", "Not deployable, with all recipes", page.failing(every)),
                ("failing-without", "Not deployable, without them", page.failing(held_out)),
                ("answers", "Every answer, with all recipes", page.answers(every)),
                ("answers-without", "Every answer, without them", page.answers(held_out)),
            )
        ),
    }
    for name, text in parts.items():
        print(f"{name}\n\n{text}\n")
        if options.docs is not None:
            insert(options.docs, text + "\n", name)
    return 0


def _say(name: str, row: Row) -> None:
    why = "; ".join(f"{criterion}: {words.splitlines()[0]}" for criterion, words in row.reasons)
    print(
        f"{name}: {row.question.command}: {row.seconds:.1f} s: {why or 'deployable'}",
        file=sys.stderr,
        flush=True,
    )


def _write(path: Path, seed: int, runs: page.Runs) -> None:
    data = {"seed": seed, "runs": {name: [r.plain() for r in rows] for name, rows in runs.items()}}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
