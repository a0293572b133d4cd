"""``python -m evaluation.home``: twelve questions as people at home ask them.

Each runs the command, and its answer is judged by criteria that are written down.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evaluation.home import page
from evaluation.home.ask import HomeAnswer, ask
from evaluation.home.criteria import judged
from evaluation.home.questions import questions
from evaluation.pages import insert, moved


def main(words: Sequence[str] | None = None) -> int:
    """Ask and judge; print answers and tables, and put the tables where asked to. 1 where an answer
    is not usable and its question is not pending."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.home", description=__doc__)
    parser.add_argument("--docs", type=Path, metavar="FILE")
    parser.add_argument("--only", metavar="WORD", default="", help="questions with this word alone")
    options = parser.parse_args(words)
    answers = []
    for question in questions():
        if options.only.lower() in f"{question.machine} {question.command}".lower():
            answers.append(ask(question))
            _show(answers[-1])
    parts = {
        "summary": page.summary(answers),
        "answers": page.decoded(answers),
        "rows": "\n".join(
            (
                moved("home-answers", "Every answer", page.answers_table(answers)),
                moved("home-commands", "The commands", page.commands(answers)),
                moved("home-sources", "What is published", page.sources(answers)),
            )
        ),
    }
    for name, text in parts.items():
        print(f"{name}\n\n{text}\n")
        if options.docs is not None and not options.only:
            insert(options.docs, text + "\n", name)
    return int(any(judged(a) and not (a.plan is None and a.question.pending) for a in answers))


def _show(answer: HomeAnswer) -> None:
    why = judged(answer)
    verdict = "; ".join(f"{name}: {words}" for name, words in why.items()) or "usable"
    print(f"$ {answer.question.command}\n{answer.text.rstrip()}")
    print(f"exit {answer.code}, {answer.seconds:.1f} processor seconds: {verdict}\n", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
