"""Writes told.txt: sentences of plans of every kind and of refusals that are no messages and are
read by their words, one a line, one of those that differ in numbers and names alone. Takes about
ten minutes; run it where sentences were added:

    python tests/golden/report/make_told.py
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.chinese import known_names  # noqa: E402
from support.told_questions import PLANS, REFUSED  # noqa: E402

import planner  # noqa: E402
from planner.base.errors import PlannerError  # noqa: E402
from planner.export.serve_line import serving_command  # noqa: E402
from planner.messages.message import Message  # noqa: E402
from planner.planning.plan.record import Plan  # noqa: E402
from planner.quality.anchor import PARTS  # noqa: E402
from planner.report.view.assumed_sections import ASKED, OTHERS_WORDS  # noqa: E402

PLACE = Path(__file__).with_name("told.txt")
MOST = 400
"""Characters of a text that is kept: longer ones are the same sentences many times."""


def texts_of(plan: Plan) -> Iterator[str]:
    """What a page of ``plan`` translates."""
    for item in plan.assumptions:
        if not item.key.startswith("servable by ") and item.key != ASKED:
            yield item.value
        if item.key not in OTHERS_WORDS:
            yield item.reason
    yield from (unit.reason for unit in plan.units)
    yield from (text for line in plan.baselines for text in (line.name, line.reason))
    yield from (plan.comparison.text, plan.quality.unit, plan.quality.tier)
    yield from serving_command(plan).notes
    for anchor in plan.quality.measured_anchor:
        yield from anchor.text.split(PARTS)
    if plan.recommendation is not None:
        yield from (
            text for one in plan.recommendation.alternatives for text in (one.name, one.why_not)
        )
        if plan.recommendation.recipe is not None:
            yield plan.recommendation.recipe.why_not
        yield from (
            " ".join(filter(None, (one.operator, one.scheme, one.shape)))
            for one in plan.recommendation.measure_next
        )


def kind_of(text: str) -> str:
    """``text`` without its numbers and names."""
    words = (
        re.sub(r"\d[\d.,]*", "#", word)
        if word.strip(",;:()").lower() not in known_names()
        else "NAME"
        for word in text.split(" ")
    )
    return re.sub(r"NAME(,? NAME)+", "NAMES", " ".join(words))


def made() -> Iterator[str]:
    for verb, model, device, asked in (*PLANS, *(("plan", *refused) for refused in REFUSED)):
        try:
            yield from texts_of(getattr(planner, verb)(*filter(None, (model, device)), **asked))
        except PlannerError as error:
            yield from (error.text, error.way_out or "")


def main() -> None:
    kept: dict[str, str] = {}
    for text in made():
        if (
            text
            and not isinstance(text, Message)
            and len(text) <= MOST
            and re.search("[A-Za-z]{2}", text)
        ):
            kept.setdefault(kind_of(text), text)
    PLACE.write_text("".join(f"{text}\n" for text in sorted(kept.values())), encoding="utf-8")


if __name__ == "__main__":
    main()
