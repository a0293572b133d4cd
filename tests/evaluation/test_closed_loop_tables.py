"""Coverage, errors, domination and the page of the closed loop, on recorded rows."""

from typing import Any

import pytest

from evaluation.closed_loop.page import page
from evaluation.closed_loop.tables import (
    Figure,
    beaten_by,
    coverage,
    figures,
    names,
    ratio_error,
)
from planner.lab.verifying.predict import LESS


def row(
    subject: str,
    quantity: str,
    predicted: float | None,
    measured: float | None,
    spread: float = 0.0,
) -> dict[str, Any]:
    """A row of verify.json; its interval is half to twice the prediction."""
    low, high = (None, None) if predicted is None else (predicted / 2, predicted * 2)
    return {
        "subject": subject,
        "quantity": quantity,
        "unit": "",
        "predicted": predicted,
        "low": low,
        "high": high,
        "basis": "derived",
        "measured": measured,
        "spread": spread,
    }


def rows(
    subject: str,
    size: float,
    kl: float,
    decode: float,
    spread: float = 0.0,
) -> list[dict[str, Any]]:
    return [
        row(subject, "file_bytes", size, size),
        row(subject, "kl", kl, kl, spread),
        row(subject, "decode_seconds", decode, decode),
    ]


def loop(plan: list[dict[str, Any]], after: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A loop of one plan at one limit, beside Q4_K_M and Q6_K."""
    engine = {"name": "llama.cpp", "version": "1"}
    types = [
        *rows("plan", 270e6, 0.0, 0.03),
        *rows("Q4_K_M", 100e6, 0.06, 0.020),
        *rows("Q6_K", 140e6, 0.01, 0.022),
    ]
    again = [*plan, *rows("Q4_K_M", 100e6, 0.5, 0.1)]
    return {
        "model": "m",
        "verdict": "the answer",
        "limits": {"Q4_K_M": 1},
        "runs": [
            {
                "name": "answer",
                "round": "T0",
                "limit": "",
                "before": {"rows": types, "engine": engine},
                "after": {"rows": types, "engine": engine},
            },
            {
                "name": "T0-Q4_K_M",
                "round": "T0",
                "limit": "Q4_K_M",
                "formats": {"ggml-q4_k": 30},
                "before": {"rows": again, "engine": engine},
                "after": {"rows": again if after is None else after, "engine": engine},
            },
        ],
    }


def test_the_default_counts_once_and_the_plan_is_named_by_its_limit() -> None:
    found = list(figures(loop(rows("plan", 99e6, 0.05, 0.02)), "before"))
    assert names(found) == ["the answer", "Q6_K", "Q4_K_M", "plan ≤ Q4_K_M"]
    assert [f.measured for f in found if (f.name, f.quantity) == ("Q4_K_M", "kl")] == [0.06]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (rows("plan", 101e6, 0.07, 0.021), True),  # larger, lossier, slower
        (rows("plan", 99e6, 0.07, 0.021), False),  # smaller
        (rows("plan", 101e6, 0.05, 0.021), False),  # less lossy
        (rows("plan", 101e6, 0.07, 0.015), False),  # quicker
        (rows("plan", 100e6, 0.06, 0.0201), False),  # alike within the noise of times
        (rows("plan", 100e6, 0.07, 0.02, spread=0.01), False),  # alike within the noise of losses
        (rows("plan", 100e6, 0.07, 0.02, spread=0.001), True),
    ],
)
def test_a_plan_is_beaten_in_all_three_or_not_at_all(
    plan: list[dict[str, Any]], expected: bool
) -> None:
    found = list(figures(loop(plan), "before"))
    assert beaten_by(found, "plan ≤ Q4_K_M", "Q4_K_M") is expected


def test_what_was_not_measured_beats_nothing() -> None:
    found = list(figures(loop([row("plan", "file_bytes", 1.0, 1.0)]), "before"))
    assert beaten_by(found, "plan ≤ Q4_K_M", "Q4_K_M") is None


def test_what_was_not_measured_is_not_told_as_unbeaten() -> None:
    text = page([loop([row("plan", "file_bytes", 1.0, 1.0)])], [], {}, "a machine")
    assert "2 of 4 pairs were not measured in all three." in text


def test_an_answer_that_is_beaten_is_told() -> None:
    found = loop(rows("plan", 90e6, 0.05, 0.02))
    found["runs"][0]["before"] = {
        "engine": {"name": "llama.cpp"},
        "rows": [*rows("plan", 150e6, 0.07, 0.03), *rows("Q6_K", 140e6, 0.01, 0.022)],
    }
    assert "the answer by Q6_K" in page([found], [], {}, "a machine")


def figure(predicted: float | None, measured: float | None) -> Figure:
    return next(
        figures(
            {
                "model": "m",
                "runs": [
                    {
                        "name": "answer",
                        "round": "T0",
                        "limit": "",
                        "before": {
                            "engine": {"name": "e"},
                            "rows": [row("x", "kl", predicted, measured)],
                        },
                    }
                ],
            },
            "before",
        )
    )


def test_coverage_counts_rows_with_both_sides() -> None:
    held = [
        figure(1.0, 1.9),
        figure(1.0, 2.1),
        figure(1.0, 0.4),
        figure(None, 1.0),
        figure(1.0, None),
    ]
    assert coverage(held) == (1, 3)


def test_errors_are_factors_either_way() -> None:
    assert ratio_error([figure(1.0, 2.0), figure(2.0, 1.0), figure(1.0, 1.5)]) == pytest.approx(2)
    assert ratio_error([figure(1.0, 0.0), figure(None, 1.0)]) is None


def test_the_page_tells_beaten_plans_gains_of_learning_and_what_is_missing() -> None:
    plan = rows("plan", 101e6, 0.07, 0.08)
    plan[2] = row("plan", "decode_seconds", 0.02, 0.08)
    learned = [*plan[:2], row("plan", "decode_seconds", 0.075, 0.08)]
    text = page([loop(plan, learned)], [], {"installing vllm": "no network"}, "a machine")
    assert "this machine (a machine)" in text
    assert "* **installing vllm**: no network" in text
    assert "Beaten in bytes, loss and time together: plan ≤ Q4_K_M by Q4_K_M." in text
    assert "20 [10, 40] / **80**" in text
    assert "4.00 → 1.07 (1)" in text
    assert "11 of 12 figures before" in text
    assert "12 of 12 after" in text
    assert "* T0, ≤ Q4_K_M: ggml-q4_k 30" in text
    kept = page([loop(rows("plan", 90e6, 0.05, 0.02))], [], {}, "a machine")
    assert "No plan is beaten" in kept
    assert "were not measured" not in kept
    assert "Missing" not in kept


def on_vllm(**more: Any) -> dict[str, Any]:
    """verify.json of a run on vLLM, shortened."""
    setting = {
        "threads": 2,
        "prompt_tokens": 448,
        "output_tokens": 64,
        "repeats": 5,
        "kl_chunks": 4,
        "kl_context_tokens": 512,
    }
    return {
        "model": "m",
        "engine": {"name": "vllm", "version": "0.32.0"},
        "setting": setting,
        "notes": ["a prior"],
        "rows": [
            row("plan", "cache_tokens", 46592.0, 46592.0),
            row("plan", "decode_seconds", 0.02, 0.05),
            row("plan", "kl", 0.01, 0.1),
            row("bf16", "weight_bytes", 390e6, 389754880.0),
            row("bf16", "flips", None, 0.1),
            row("fp8-channel", "decode_seconds", 0.02, 2.4),
        ],
        **more,
    }


def test_the_page_of_vllm_has_speeds_caches_and_losses_and_which_lie_outside() -> None:
    text = page([], [on_vllm()], {}, "a machine")
    assert (
        "| the answer | – | – | 46,592 [23,296, 93,184] / 46,592 | 20 [10, 40] / **50** | "
        "50 [25, 100] / **20** | – | 0.01 [0.005, 0.02] / **0.1** | – |" in text
    )
    assert "390.0 [195.0, 780.0] / 389.8" in text
    assert "| – / 10.0% |" in text
    assert "2 threads, one sequence: 448 tokens of prompt, 64 after it, the least of 5 runs" in text
    assert "Less was measured" not in text
    assert "throughout" not in text


def test_the_page_of_vllm_tells_what_was_measured_less() -> None:
    note = f"fp8-channel: {LESS}: 1 sequence: 1 of 5 repeats, 9 of 63 decode steps"
    text = page([], [on_vllm(notes=["a prior", note], plan_is="int8-w8a8")], {}, "a machine")
    assert (
        "Less was measured: fp8-channel: 1 sequence: 1 of 5 repeats, 9 of 63 decode steps" in text
    )
    assert "*The answer* is int8-w8a8 throughout" in text
    assert "a prior" not in text


def test_plans_at_limits_stand_beside_the_answer_on_vllm() -> None:
    plans = [
        {"limit": "163 MB", "formats": {"int8-w8a8": 120}, "same_as": "the answer"},
        {
            "limit": "190 MB",
            "formats": {"int8-w8a8": 90, "bf16": 30},
            "found": on_vllm(rows=[row("plan", "kl", 0.02, 0.03), row("bf16", "kl", 0.0, 0.0)]),
        },
    ]
    text = page([], [on_vllm(plans=plans)], {}, "a machine")
    assert "| plan ≤ 190 MB | – | – | – | – | – | – | 0.02 [0.01, 0.04] / 0.03 | – |" in text
    assert "plan ≤ 163 MB |" not in text
    assert "* ≤ 163 MB: int8-w8a8 120 (the file of the answer, run once)" in text
    assert "* ≤ 190 MB: int8-w8a8 90, bf16 30" in text


def test_a_plan_whose_file_was_made_already_says_whose_it_is() -> None:
    found = loop(rows("plan", 99e6, 0.05, 0.02))
    found["runs"].append(
        {**found["runs"][1], "name": "learned-Q4_K_M", "round": "learned", "same_as": "T0-Q4_K_M"}
    )
    text = page([found], [], {}, "a machine")
    assert "* learned, ≤ Q4_K_M: ggml-q4_k 30 (the file of T0-Q4_K_M, run once)" in text


def test_a_file_of_the_same_weights_beats_no_plan_by_its_time() -> None:
    rows = [
        Figure("m", "e", "T0", name, quantity, None, None, None, value, 0.0)
        for name, seconds, loss in (
            ("plan", 0.016, 0.0054),
            ("Q8_0", 0.012, 0.0054),
            ("Q9", 0.012, 0.0053),
        )
        for quantity, value in (("file_bytes", 1.4e8), ("kl", loss), ("decode_seconds", seconds))
    ]
    assert beaten_by(rows, "plan", "Q8_0") is False
    assert beaten_by(rows, "plan", "Q9") is True
