"""Answers in a folder, made once each: the plan of every question, or why it was refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import planner
from evaluation.judges.questions import Question, drawn
from planner.planning.plan.record import Plan

MOST_DRAWN = 4
"""Questions drawn for an answer at most: some are refused."""


def answered(folder: Path, count: int, seed: int) -> Iterator[tuple[int, Question, Plan]]:
    """The first ``count`` answers of the seed that are in ``folder``: number, question, plan."""
    left = count
    for number, question in enumerate(islice(drawn(seed), MOST_DRAWN * count)):
        path = folder / f"{number:04}.json"
        if not left:
            return
        kept = _kept(path, question)
        if kept is None:
            continue
        if kept["plan"]:
            left -= 1
            yield number, question, planner.read_plan(kept["plan"])


def refusals(folder: Path) -> list[str]:
    """Why questions in ``folder`` have no answer."""
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [one["refused"] for one in kept if one["refused"]]


def answer(folder: Path, count: int, seed: int, until: float, tell: Callable[[str], None]) -> int:
    """Answer questions until ``count`` have a plan or the time ``until`` [s, monotonic] is reached;
    how many have one."""
    folder.mkdir(parents=True, exist_ok=True)
    made = 0
    for number, question in enumerate(islice(drawn(seed), MOST_DRAWN * count)):
        path = folder / f"{number:04}.json"
        kept = _kept(path, question)
        if kept is None:
            if time.monotonic() > until:
                continue
            tell(f"{made} of {count}: {question.text}")
            kept = _record(question)
            path.write_text(json.dumps(kept), encoding="utf-8")
        made += bool(kept["plan"])
        if made == count:
            break
    return made


def _kept(path: Path, question: Question) -> dict[str, Any] | None:
    """What is kept of the question; None where another one is, or nothing."""
    if not path.exists():
        return None
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept if kept["key"] == question.key else None


def _record(question: Question) -> dict[str, Any]:
    refused, plan = "", None
    verb = planner.estimate if question.priced else planner.plan
    try:
        plan = verb(question.model, question.device, **question.arguments)
    except planner.PlannerError as error:
        refused = str(error)
    return {
        "key": question.key,
        "feature": question.feature,
        "text": question.text,
        "plan": None if plan is None else plan.to_dict(),
        "refused": refused,
    }
