"""A replay whose passes are folded answers what one of rows answers, within their bins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import planner
from planner.planning.replay import runs
from planner.planning.replay.record import METRICS, Percentiles, ReplayAnswer
from planner.scheduler.folded import GAP_RATIO

ASKED: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "engine": "vllm@0.15.1",
    "devices": 1,
    "isl": 400,
    "osl": 60,
    "stages": "60s@5/s,60s@20/s",
}


def both(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], ReplayAnswer]) -> list[ReplayAnswer]:
    """The answer of rows, and of folded passes."""
    answers = [ask()]
    monkeypatch.setattr(runs, "FOLDED_FROM", 1)
    return [*answers, ask()]


def figures(told: Percentiles) -> list[float]:
    return [
        getattr(getattr(told, at), end)
        for at in ("mean", "p50", "p90", "p99")
        for end in ("value", "low", "high")
    ]


def test_percentiles_are_within_a_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, folded = both(monkeypatch, lambda: planner.replay(**ASKED))
    for name in METRICS:
        wanted = figures(getattr(rows.replay.percentiles, name))
        near = GAP_RATIO - 1 if name == "itl_seconds" else 1e-9
        assert figures(getattr(folded.replay.percentiles, name)) == pytest.approx(wanted, rel=near)
    mean = rows.replay.percentiles.itl_seconds.mean.value
    assert folded.replay.percentiles.itl_seconds.mean.value == pytest.approx(mean, rel=1e-9)
    for stage, same in zip(rows.replay.stages, folded.replay.stages, strict=True):
        wanted = figures(stage.percentiles.itl_seconds)
        # A pass at the border of two stages may count in either.
        assert figures(same.percentiles.itl_seconds) == pytest.approx(wanted, rel=0.02)
    assert folded.replay.output_tokens_per_second.value == pytest.approx(
        rows.replay.output_tokens_per_second.value
    )
    assert folded.requests == rows.requests


def test_the_line_over_time_is_that_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, folded = (a.replay.over_time for a in both(monkeypatch, lambda: planner.replay(**ASKED)))
    assert folded.waiting == rows.waiting
    assert folded.ttft_seconds == rows.ttft_seconds
    for name in ("decoding", "cache_share", "output_tokens_per_second"):
        told, wanted = (np.array(getattr(line, name)) for line in (folded, rows))
        assert np.abs(told - wanted).max() < 0.05 * wanted.max(), name
    for name in ("decoding", "output_tokens_per_second"):
        assert sum(getattr(folded, name)) == pytest.approx(sum(getattr(rows, name)))


def test_an_interrupt_keeps_what_was_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> ReplayAnswer:
        seen: list[int] = []

        def stop(done: int, _: int) -> None:
            seen.append(done)
            if len(seen) == 2:
                raise KeyboardInterrupt

        return planner.replay(**ASKED, progress=stop)

    rows, folded = (answer.replay for answer in both(monkeypatch, ask))
    assert not folded.complete
    assert folded.requests == rows.requests > 0
    wanted, told = (r.percentiles.itl_seconds.p50 for r in (rows, folded))
    assert told.value == pytest.approx(wanted.value, rel=GAP_RATIO - 1)
    assert told.low < told.value < told.high
