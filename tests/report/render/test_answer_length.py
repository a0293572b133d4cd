"""Answers of one node take at most 25 lines at 80 columns, whatever they have to say."""

from functools import cache

import pytest

import planner
from planner.planning.plan.record import Plan
from planner.report.phrases import phrases_on
from planner.report.render.plan_text import MOST_LINES, plan_text
from planner.report.view.answer import MOST_OMITTED, answer_view

QUESTIONS = (
    ("llama-3.1-8b", "l40s", 1),
    ("mixtral-8x7b", "a100", 2),
    ("gemma-3-12b", "rtx-3090", 1),
    ("mistral-small-24b", "rtx-5090", 1),
    ("qwen2.5-7b", "thor", 1),
)


@cache
def answer_of(model: str, device: str, devices: int) -> Plan:
    return planner.plan(model, device, devices=devices)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("model", "device", "devices"), QUESTIONS)
def test_at_most_25_lines(
    model: str, device: str, devices: int, lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = plan_text(answer_of(model, device, devices), lang)
    assert text.count("\n") <= MOST_LINES


def test_what_is_left_out_is_only_what_matters_least() -> None:
    """Every label stays, and the first plan that is not chosen; the whole answer has the rest."""
    plan = answer_of(*QUESTIONS[1])
    t = phrases_on(plan.device.id, "en")
    whole = answer_view(t, plan, 1)
    for shorter in range(1, MOST_OMITTED + 1):
        short = answer_view(t, plan, 1, shorter=shorter)
        assert [fact.label for fact in short.facts] == [fact.label for fact in whole.facts]
        assert short.sections[0].title == whole.sections[0].title
    assert len(whole.sections[0].blocks) == 2
    assert len(short.sections[0].blocks) == 1
    assert "notes on the command" in str(short.sections[-1].blocks[-1])
