"""Questions with what was measured here: of their device, engine, release and class of model, on
every verb, told once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.hardware.learned_runs import MeasuredFactor, keep
from planner.lookup import load_model
from planner.planning.question.learned import KEY, model_key, run_ids_in
from tests.hardware.test_learned_runs import RUN

MODEL = "llama-3.1-8b"
STEPS = MeasuredFactor(1.5, 0.0, 0.015, 0.010)
POINT: dict[str, Any] = {"engine": "vllm@0.11", "isl": 1024, "osl": 256, "tp": 1}


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    keep(replace(RUN, structure=model_key(load_model(MODEL)), steps=STEPS, prompts=None))


def keys(notes: Any) -> list[str]:
    return [a.key for a in notes]


def test_a_capacity_rests_on_it() -> None:
    def tpot(**more: Any) -> Any:
        return planner.capacity(
            MODEL, "h100-sxm", rate=2.0, tpot_seconds=0.1, schemes=["bf16"], **POINT, **more
        )

    learned, plain = tpot(), tpot(no_learned=True)
    assert KEY in keys(learned.assumptions)
    assert KEY not in keys(plain.assumptions)
    assert learned.mean_tpot_seconds > 1.2 * plain.mean_tpot_seconds


def test_a_sweep_rests_on_it() -> None:
    ask = {"verb": "estimate", "model": MODEL, "device": "h100-sxm", "batch": 16, "devices": 1}
    ask |= {"scheme": "bf16", **POINT}

    def tpot(**more: Any) -> float:
        return float(planner.sweep([ask], **more)["tpot_seconds"].iloc[0])

    plain = tpot(no_learned=True)
    assert tpot() > 1.2 * plain
    own = planner.estimate(MODEL, "h100-sxm", scheme="bf16", batch=16, devices=1, **POINT)
    assert tpot() == pytest.approx(own.performance.tpot_seconds.value, rel=1e-3)


def test_a_report_prices_the_plan_as_it_was_made() -> None:
    """With the runs that it says, whatever else was learned since, and without where it says
    none."""
    from planner.planning.inspect.reprice import reprice

    given_values = {"schemes": ["bf16"], "kv": "bf16", "devices": 1, "batch": 16, **POINT}
    learned = planner.plan(MODEL, "h100-sxm", **given_values)
    plain = planner.plan(MODEL, "h100-sxm", no_learned=True, **given_values)
    assert len(run_ids_in(learned.assumptions)) == 1
    keep(replace(RUN, structure=model_key(load_model(MODEL)), load="another", prompts=None))
    for plan in (learned, plain):
        again = reprice(plan).priced.tpot
        assert again == pytest.approx(plan.performance.tpot_seconds.value, rel=1e-6)


def test_the_page_that_prices_again_says_the_flag() -> None:
    from planner.planning.question.parameters import PARAMETERS

    assert PARAMETERS["no_learned"].flag == "--no-learned"


def test_another_model_of_the_class_is_told_whose_it_is() -> None:
    answer = planner.serve("qwen3-8b", "h100-sxm", concurrency=8, **POINT)
    (note,) = [a for a in answer.assumptions if a.key == KEY]
    assert "as llama-3.1-8b has it" in str(note.value)
    assert answer.tpot_seconds is not None
    assert answer.tpot_seconds.basis != "measured here"
    moe = planner.serve("qwen3-30b-a3b", "h100-sxm", concurrency=8, **POINT)
    assert KEY not in keys(moe.assumptions)
