"""Two engines measured at two rates: the recorded results, and the page that compares them."""

from __future__ import annotations

import pytest

from evaluation.learned_runs import FOLDER, SERVERS, Beside, Taught, page, runs_of, subject_of
from planner.lab.learning.ask import explaining, factors, predicted
from planner.planning.plan.record import Estimate


@pytest.mark.parametrize("server", SERVERS)
def test_recorded_results_are_read_whole(server: str) -> None:
    runs = runs_of(server)
    assert len({run.rate for run in runs}) == len(runs) == 2
    for run in runs:
        assert (run.isl, run.model, run.failed) == (64, "smollm2-135m", 0)
        assert run.osl == pytest.approx(16, abs=1)
        assert (run.engine, run.max_sequences) == (server, {"llama.cpp": 4, "vllm": 8}[server])
        assert run.records is not None
        sent = run.records.sent_seconds
        assert len(sent) == run.completed
        assert (run.completed - 1) / sent[-1] == pytest.approx(run.rate, rel=0.1)
        assert run.lost is None or 0 <= run.lost <= 1
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 100_000


@pytest.mark.parametrize("server", SERVERS)
def test_a_recorded_run_is_explained_by_its_factors(server: str) -> None:
    subject = subject_of(server)
    run = runs_of(server)[0]
    assert run.tpot is not None
    assert run.ttft is not None
    pair = explaining(run, subject, predicted(run, subject))
    assert pair is not None
    after = predicted(run, subject, factors(*pair))
    assert after.tpot.value == pytest.approx(run.tpot.mean, rel=0.01)
    assert after.ttft.value == pytest.approx(run.ttft.mean, rel=0.01)


def test_the_page_tells_both_ratios_and_the_refusal() -> None:
    forecast = Estimate(0.010, 0.008, 0.020, "measured here")
    rows = [
        Beside("vllm", 2.0, "TPOT", forecast, 0.015, 0.03, 0.012),
        Beside("vllm", 4.0, "TPOT", forecast, 0.030, 0.03, None),
    ]
    taught = [Taught("vllm", 2.0, 40, 0.25, (1.5, 0.9), ("others took 25%",))]
    text = page(rows, taught, [{"run": "vllm, 2/s", "lost": "25%"}])
    assert "1 of 2 means lie inside" in text
    assert "| vllm, 2/s | TPOT | 10.0 | 8.0–20 | 15.0 ± 3% | 1.50 | 12.0 | 1.25 |" in text
    assert "is 50% without and 25% with them" in text
    assert "| vllm, 2/s | 10.0, 15.0, 12.0 | 1.50, 0.90 |" in text
    assert "others took 25%" in text
