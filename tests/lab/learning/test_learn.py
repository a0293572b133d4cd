"""`plan learn`: predicted beside measured, what is kept, and later answers that rest on it."""

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.cli.main import run as command
from planner.hardware.learned_runs import kept_runs
from planner.planning.question.learned import KEY
from tests.lab.learning.results.samples import LLAMA, VLLM

MODEL, DEVICE, ENGINE = "llama-3.1-8b", "h100-sxm", "vllm@0.11"
POINT: dict[str, Any] = {"isl": 1024, "osl": 256, "concurrency": 32, "requests": 320, "tp": 1}


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def result(folder: Path, **change: Any) -> Path:
    path = folder / "result.json"
    path.write_text(json.dumps(VLLM | change))
    return path


def served(**more: Any) -> Any:
    return planner.serve(MODEL, DEVICE, engine=ENGINE, **(POINT | more))


def test_later_answers_are_what_was_measured(tmp_path: Path) -> None:
    before = served()
    answer = planner.learn([result(tmp_path)], device=DEVICE, engine=ENGINE)
    (run,) = answer.runs
    assert (run.model, run.kept, run.refused) == (MODEL, True, ())
    tpot, ttft, _ = run.times
    assert tpot.predicted == before.tpot_seconds.value
    assert (tpot.measured, ttft.measured) == (pytest.approx(0.0179), pytest.approx(0.3101))
    after = served()
    assert after.tpot_seconds.value == pytest.approx(0.0179, rel=0.005)
    assert after.ttft_seconds.value == pytest.approx(0.3101, rel=0.005)
    assert after.tpot_seconds.basis == after.ttft_seconds.basis == "measured here"
    assert after.tpot_seconds.low < 0.0179 < after.tpot_seconds.high
    assert len([a for a in after.assumptions if a.key == KEY]) == 1
    assert served(no_learned=True).to_dict() == before.to_dict()


def test_plans_and_estimates_rest_on_the_same_correction(tmp_path: Path) -> None:
    given = {"engine": ENGINE, "isl": 1024, "osl": 256, "batch": 32, "tp": 1, "devices": 1}
    before = planner.estimate(MODEL, DEVICE, **given)
    planner.learn([result(tmp_path)], device=DEVICE, engine=ENGINE)
    after = planner.estimate(MODEL, DEVICE, **given)
    planned = planner.plan(MODEL, DEVICE, schemes=["bf16"], kv="bf16", **given)
    assert after.performance.tpot_seconds.value > 1.2 * before.performance.tpot_seconds.value
    assert after.performance.tpot_seconds.basis == "measured here"
    assert planned.performance.tpot_seconds == after.performance.tpot_seconds
    assert KEY in {a["key"] for a in after.to_dict()["assumptions"]}
    again = planner.estimate(MODEL, DEVICE, no_learned=True, **given)
    assert again.to_dict() == before.to_dict()


def test_other_kinds_are_corrected_and_no_surer(tmp_path: Path) -> None:
    planner.learn([result(tmp_path)], device=DEVICE, engine=ENGINE)
    wide = served(concurrency=200, requests=2000)
    assert KEY in {a.key for a in wide.assumptions}
    assert wide.tpot_seconds.basis != "measured here"
    for other in ({"device": "h200-sxm"}, {"engine": "vllm@0.19"}, {"engine": "sglang"}):
        asked = {"device": DEVICE, "engine": ENGINE} | other
        answer = planner.serve(MODEL, **asked, **POINT)
        assert KEY not in {a.key for a in answer.assumptions}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"failed": 40, "completed": 280}, "40 of 320 requests failed"),
        ({"completed": 8, "num_prompts": 8}, "8 requests or repeats"),
        ({"std_tpot_ms": 90.0}, "the mean of TPOT is known within"),
        ({"steal": 0.3}, "others took 30%"),
        ({"mean_tpot_ms": 1790.0}, "no factor between"),
        ({"mean_tpot_ms": None, "mean_ttft_ms": None}, "neither the time of a token"),
        ({"total_input_tokens": None}, "does not say isl"),
        ({"model_id": "nobody/knows"}, "nobody/knows"),
    ],
)
def test_a_disturbed_run_is_refused_with_the_reason(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    answer = planner.learn([result(tmp_path, **change)], device=DEVICE, engine=ENGINE)
    (run,) = answer.runs
    assert not run.kept
    assert why in " ".join(map(str, run.refused))
    assert kept_runs().runs == ()


def test_repeats_that_differ_are_refused(tmp_path: Path) -> None:
    first = result(tmp_path)
    second = tmp_path / "second.json"
    second.write_text(json.dumps(VLLM | {"mean_tpot_ms": 25.0}))
    answer = planner.learn([first, second], device=DEVICE, engine=ENGINE)
    assert [run.kept for run in answer.runs] == [False, False]
    assert "differ by 40%" in str(answer.runs[0].refused[0])


def test_llama_bench_says_prompts_and_steps_apart(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(LLAMA))
    answer = planner.learn([path], model="qwen2.5-7b", keep_runs=False)
    prompt, step = (run.learned for run in answer.runs)
    assert prompt is not None
    assert step is not None
    assert (prompt.device, prompt.engine, prompt.steps) == ("rtx-4090", "llama.cpp", None)
    assert step.prompts is None
    assert kept_runs().runs == ()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["learn", str(result(tmp_path)), "--device", DEVICE, "--engine", ENGINE]
    for lang in ("en", "zh"):
        assert command([*words, "--lang", lang]) == 0
        text = capsys.readouterr().out
        assert len(text.splitlines()) <= 25
        assert "17.9 ms" in text
    (kept,) = kept_runs().runs
    assert command(["learn", "--list"]) == 0
    assert kept.id in capsys.readouterr().out
    assert command(["learn", "--forget", kept.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forgotten"] == [kept.id]
    assert command(["learn"]) == 2
    assert command(["learn", str(tmp_path / "none.json")]) == 2
    assert command([*words[:1], str(result(tmp_path, failed=99)), *words[2:]]) == 1


def test_a_damaged_file_is_told_in_answers(tmp_path: Path) -> None:
    planner.learn([result(tmp_path)], device=DEVICE, engine=ENGINE)
    folder = tmp_path / "home" / "precision-planner" / "learned"
    (path,) = folder.iterdir()
    path.write_text("{")
    answer = served()
    assert any(path.name in str(a.value) for a in answer.assumptions)
    assert answer.tpot_seconds.basis != "measured here"
