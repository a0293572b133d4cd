"""``make judges``: answers drawn and planned, their commands and files judged, the page written.

    python -m evaluation.judges [--count 300] [--only sglang] [--minutes 60] [--write PAGE]

Answers are kept in the folder and made once; with ``--minutes`` a run stops there and the next goes
on. Exit status 1 where a command or file is refused or something is computed otherwise than priced.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

import planner
from evaluation.closed_loop.install import install
from evaluation.judges.answers import answer, answered, refusals
from evaluation.judges.cases import Case, Files, cases_of
from evaluation.judges.install import STEPS
from evaluation.judges.page import page
from evaluation.judges.run import judge, judge_manifests
from evaluation.pages import publish


def tell(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Install, answer, judge, print the page."""
    parser = argparse.ArgumentParser(prog="make judges", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(".engines"), help="environments")
    parser.add_argument("--count", type=int, default=300, help="answers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="judge commands of this engine alone")
    parser.add_argument("--minutes", type=float, default=600.0, help="for answers")
    parser.add_argument("--fresh", action="store_true", help="make the answers again")
    parser.add_argument("--installed", action="store_true", help="install nothing")
    parser.add_argument("--write", type=Path, help="page to write")
    given = parser.parse_args()
    failed = {} if given.installed else install(given.root, tell, STEPS)
    answers = given.root / "judges" / "answers"
    if given.fresh:
        shutil.rmtree(answers, ignore_errors=True)
    made = answer(answers, given.count, given.seed, time.monotonic() + 60 * given.minutes, tell)
    tell(f"{made} answers")
    work = given.root / "judges" / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    cases: list[Case] = []
    files: list[Files] = []
    by_feature: dict[str, list[str]] = defaultdict(list)
    for number, question, plan in answered(answers, made, given.seed):
        try:
            own, manifests, why = cases_of(number, question, plan, work)
        except planner.PlannerError as error:
            own, manifests, why = [], [], f"not exported: {error}"
        if why:
            tell(f"{question.text}: {why}")
        if own:
            by_feature[question.feature].append(own[0].engine)
            cases += [case for case in own if given.only in case.engine]
            files += manifests
    judged, left = judge(cases, given.root, work, tell)
    if left:
        versions = sorted({f"{case.engine} {case.version}".strip() for case in left})
        tell(f"not judged, no environment: {len(left)} commands of {', '.join(versions)}")
    said = judge_manifests(files, given.root, work)
    text = page(judged, said, by_feature, len(refusals(answers)))
    print(text)
    if given.write:
        publish(given.write, text)
    bad = [one for one in judged if one.refused or one.differing]
    return int(bool(bad or failed or left) or any(one.refused for one in said))


if __name__ == "__main__":
    sys.exit(main())
