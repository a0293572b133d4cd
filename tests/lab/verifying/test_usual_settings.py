"""What is run where nobody says: less where it would take too long."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from planner.lab.verifying import usual_settings
from planner.lab.verifying.records import Forecast, Setting
from planner.lab.verifying.usual_settings import QUICK, QUICK_SECONDS, USUAL, shortened

PROMPT_TOKEN, TOKEN = 0.01, 0.02
"""Seconds that each is predicted to take on idle cores."""


def cut(
    monkeypatch: pytest.MonkeyPatch, setting: Setting, *free: bool, quick: bool, share: float
) -> tuple[Setting, tuple[str, ...]]:
    """The setting that is left, and the notes."""
    values = {
        "prefill_seconds": Forecast(PROMPT_TOKEN * setting.prompt_tokens, 0.0, 9.0, "prior"),
        "decode_seconds": Forecast(TOKEN, 0.0, 9.0, "prior"),
    }
    monkeypatch.setattr(
        usual_settings, "predict", lambda *_: SimpleNamespace(values=values, why=())
    )

    setup: Any = SimpleNamespace(task=SimpleNamespace(setting=setting))
    monkeypatch.setattr(
        usual_settings,
        "replace",
        lambda record, **more: (
            SimpleNamespace(**{**vars(record), **more})
            if isinstance(record, SimpleNamespace)
            else replace(record, **more)
        ),
    )
    left, notes = shortened(setup, *free, quick=quick, share=share)
    return left.task.setting, notes


def test_an_idle_machine_runs_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(QUICK, kl_chunks=2)
    assert cut(monkeypatch, quick, True, True, True, quick=True, share=1.0) == (quick, ())


def test_busy_cores_get_fewer_tokens_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    share = 0.2
    left, notes = cut(monkeypatch, QUICK, True, True, True, quick=True, share=share)
    each = PROMPT_TOKEN / share
    assert left.prompt_tokens * each * QUICK.repeats <= QUICK_SECONDS < 240 * each * QUICK.repeats
    assert left.kl_chunks == 1
    assert "1 of 4 pieces" in notes[0]


def test_what_was_given_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = cut(monkeypatch, QUICK, False, False, False, quick=True, share=0.05)
    assert kept == (QUICK, ())
    usual, _ = cut(monkeypatch, USUAL, True, True, True, quick=False, share=0.2)
    assert usual.kl_chunks == USUAL.kl_chunks  # only what is to be quick has fewer pieces
