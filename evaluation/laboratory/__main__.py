"""``python -m evaluation.laboratory DIR...``: regret of freely asked plans on a laboratory's pages.

DIR has ``e2e_gpustack.csv``. For every page of two choices or more the planner is asked the page's
question, without limits on time, of all engines and of each engine that the page ran. The answer is
placed by its nearest measured run, and regret is by how much the page's best is faster than that.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from evaluation.laboratory import page
from evaluation.laboratory.ask import AUTO, Placed, place
from evaluation.laboratory.rows import pages_of, read
from evaluation.pages import insert, moved


def main(words: Sequence[str] | None = None) -> int:
    """Ask every page; print the tables and put them where asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.laboratory", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--docs", type=Path, metavar="FILE")
    options = parser.parse_args(words)
    try:
        measured = read(options.folders)
    except FileNotFoundError as error:
        print(f"nothing is asked: {error}")
        return 2
    pages = pages_of(measured.runs)
    free: list[Placed] = []
    named: list[Placed] = []
    for one in pages:
        for engine in (AUTO, *one.engines):
            start = time.process_time()
            placed = place(one, engine)
            (free if engine == AUTO else named).append(placed)
            _say(placed, time.process_time() - start)
    parts = {
        "summary": page.summary(pages, free, named),
        "answers": "\n".join(
            (
                moved("laboratory-answers", "Every page, any engine", page.answers(free)),
                moved("laboratory-engines", "Every page and engine", page.answers(named)),
                moved("laboratory-left-out", "Left out", page.left_out(measured.left_out)),
            )
        ),
    }
    for name, text in parts.items():
        print(f"{name}\n\n{text}\n")
        if options.docs is not None:
            insert(options.docs, text + "\n", name)
    return 0


def _say(placed: Placed, seconds: float) -> None:
    lost = "refused" if placed.regret is None else f"{placed.regret:.1%}"
    print(f"{placed.answer.command}: {seconds:.1f} s: {lost}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
