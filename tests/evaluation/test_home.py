"""Questions from home: their table, and criteria that fail what they shall fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import planner
from evaluation.home import __main__ as program
from evaluation.home import page
from evaluation.home.ask import HomeAnswer
from evaluation.home.criteria import CRITERIA, judged
from evaluation.home.questions import HomeQuestion, questions
from planner.hardware.catalog import is_device
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import is_model


@pytest.fixture(scope="module")
def answer() -> HomeAnswer:
    """An answer that is usable: a small model on a small board."""
    question = next(q for q in questions() if "Orin NX" in q.machine)
    plan = planner.plan("llama-3.2-1b", "orin nx", engine="llama.cpp")
    fast = 1 / plan.performance.tpot_seconds.value
    fitting = replace(question, decode=(fast, fast), files=("Q", "released", "BF16"))
    return HomeAnswer(fitting, 0, 1.0, plan, "")


def test_there_are_twelve_of_known_models_devices_and_engines() -> None:
    assert len(questions()) == len({q.machine for q in questions()}) == 12
    for question in questions():
        assert is_model(question.words[0]), question.words
        assert is_device(question.device) or question.pending, question.device
        assert all(parse_engine(name) for name in question.engines)
        low, high = question.decode
        assert 0 < low < high
        assert question.sources
        assert question.files


def test_a_usable_answer_fails_nothing(answer: HomeAnswer) -> None:
    assert judged(answer) == {}
    assert "yes" in page.answers_table([answer])
    assert "1 of 1" in page.summary([answer])


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"device": "rtx-4090"}, "machine"),
        ({"count": 2}, "machine"),
        ({"engines": ("mlx",)}, "practice"),
        ({"files": ("mlx-4bit",)}, "practice"),
        ({"decode": (1000.0, 2000.0)}, "decode"),
        ({"decode": (0.1, 0.2)}, "decode"),
    ],
)
def test_each_criterion_fails_what_it_is_for(
    answer: HomeAnswer, change: dict[str, object], fails: str
) -> None:
    asked: HomeQuestion = replace(answer.question, **change)  # type: ignore[arg-type]
    assert list(judged(replace(answer, question=asked))) == [fails]


def test_a_refusal_is_told_and_is_pending_where_the_question_is(answer: HomeAnswer) -> None:
    refused = HomeAnswer(replace(answer.question, pending="x"), 2, 0.1, None, "error: no\nhint: y")
    assert judged(refused) == {"refused": "error: no"}
    assert "pending: x" in page.answers_table([refused])
    assert "| pending | 1 of 1 |" in page.summary([refused])


def test_a_plan_that_does_not_fit_or_damages_fails(answer: HomeAnswer) -> None:
    plan = answer.plan
    assert plan is not None
    memory = replace(plan.memory_per_device, total_bytes=plan.memory_per_device.usable_bytes + 1)
    full = replace(answer, plan=replace(plan, memory_per_device=memory))
    assert "machine" in judged(full)
    lossy = replace(answer, plan=replace(plan, quality=replace(plan.quality, loss=0.5)))
    assert "loss" in judged(lossy)
    assert set(judged(full)) | set(judged(lossy)) <= set(CRITERIA)


def test_the_program_exits_1_for_an_unusable_answer(
    answer: HomeAnswer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "ask", lambda question: replace(answer, question=question))
    assert program.main(["--only", "7900"]) == 1
    assert "machine: for 1 × jetson-orin-nx-16gb" in capsys.readouterr().out
    monkeypatch.setattr(program, "ask", lambda question: answer)
    assert program.main(["--only", "7900"]) == 0


def test_the_page_has_every_question() -> None:
    text = (Path(__file__).parents[2] / "docs/evidence/home.md").read_text(encoding="utf-8")
    for question in questions():
        assert f"`{question.command}`" in text
