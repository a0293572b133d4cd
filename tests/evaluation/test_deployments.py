"""Ranks, picks and the page of deployments, on a small table whose figures are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.deployments import __main__ as command
from evaluation.deployments.causes import twin_differences
from evaluation.deployments.figures import (
    by_case,
    contrasts,
    first_wave,
    picks,
    rank,
    ratios,
    settings,
)
from evaluation.deployments.page import layout_words, page
from evaluation.deployments.rows import (
    DeploymentRow,
    Pair,
    deployment_rows,
    of_table,
    per_device,
)
from planner.lab.validation.reader import MeasuredTable

COLUMNS = (
    "device",
    "mode",
    "software",
    "model",
    "precision",
    "gemm_dtype",
    "moe_dtype",
    "parallelism",
    "concurrency",
    "batch_size",
    "isl",
    "osl",
    "ttft_ms",
    "tpot_ms",
    "exclude",
)
SERVED = (
    "h200_sxm",
    "disagg",
    "trtllm 0.8.1.post1",
    "deepseek-ai/DeepSeek-V3",
    "fp8",
    "fp8",
    "fp8",
    "P2x[TP8/PP1/ADP1/mTP1/mEP8]+D3x[TP1/PP1/ADP8/mTP1/mEP8]",
    "192.0",
    "8",
    "8192",
    "1024",
    "2599.3",
    "33.1",
    "",
)


def row(
    tpot: Pair, rate: Pair, *, mode: str = "disagg", setting: str = "a", excluded: str = ""
) -> DeploymentRow:
    return DeploymentRow(
        mode,
        "m",
        "d",
        "fp8",
        "e 1",
        setting,
        1024,
        1024,
        64.0,
        16,
        tpot,
        Pair(0.2, 0.4),
        rate,
        rate.predicted,
        excluded,
        True,
        10.0,
    )


ROWS = [
    row(Pair(0.010, 0.012), Pair(10.0, 9.0), setting="slow"),
    row(Pair(0.018, 0.019), Pair(40.0, 30.0), setting="middle"),
    row(Pair(0.028, 0.031), Pair(90.0, 80.0), setting="fast"),
    row(Pair(0.029, 0.029), Pair(50.0, 60.0), setting="other"),
]


def flipped(rows: list[DeploymentRow]) -> list[DeploymentRow]:
    """Predictions of the opposite sign: the best is said to be the worst."""
    return [replace(one, rate=Pair(1e3 / one.rate.predicted, one.rate.measured)) for one in rows]


def rho(rows: list[DeploymentRow]) -> float | None:
    return rank(rows, lambda r: r.rate.predicted, lambda r: r.rate.measured)


def test_ranks_of_a_wrong_sign_are_seen() -> None:
    assert rho(ROWS) == pytest.approx(1.0)
    assert rho(flipped(ROWS)) == pytest.approx(-1.0)
    assert rho(ROWS[:2]) is None
    assert rank(ROWS, lambda _: 1.0, lambda r: r.rate.measured) is None
    assert rank(ROWS, lambda _: None, lambda r: r.rate.measured) is None


def test_the_pick_is_what_is_predicted_best_and_is_paid_as_measured() -> None:
    free, *_, tight = picks(ROWS, lambda r: r.rate.predicted)
    assert free.limit is None
    assert (free.picked, free.best, free.share) == (ROWS[2], ROWS[2], 1.0)
    assert free.any == pytest.approx((9 + 30 + 80 + 60) / 4 / 80)
    assert tight.limit == 0.02
    assert (tight.picked, tight.share) == (ROWS[1], 1.0)
    worst = picks(flipped(ROWS), lambda r: r.rate.predicted)[0]
    assert worst.picked is not None
    assert worst.picked.setting == "slow"
    assert worst.share == pytest.approx(9 / 80)


def test_a_pick_that_breaks_its_limit_as_measured_keeps_nothing() -> None:
    at_30 = next(p for p in picks(ROWS, lambda r: r.rate.predicted) if p.limit == 0.03)
    assert at_30.picked == ROWS[2]
    assert not at_30.keeps
    assert at_30.best == ROWS[3]


def test_a_limit_that_nothing_is_predicted_to_keep_has_no_pick() -> None:
    slow = [replace(one, tpot=Pair(0.2, one.tpot.measured)) for one in ROWS]
    at_20 = next(p for p in picks(slow, lambda r: r.rate.predicted) if p.limit == 0.02)
    assert (at_20.picked, at_20.share, at_20.keeps) == (None, 0.0, False)


def test_two_pools_against_one() -> None:
    one = [row(Pair(0.019, 0.018), Pair(20.0, 25.0), mode="agg")]
    found = {c.limit: c for c in contrasts([*ROWS, *one])}
    assert found[None].ratio == Pair(90 / 20, 80 / 25)
    assert found[0.02].ratio == Pair(40 / 20, 30 / 25)
    assert found[0.02].agrees
    assert 0.01 not in found
    wrong = {c.limit: c for c in contrasts([*ROWS, replace(one[0], rate=Pair(200.0, 25.0))])}
    assert not wrong[0.02].agrees
    assert not contrasts(ROWS)


def test_ratios_are_predicted_over_measured() -> None:
    found = ratios(Pair(float(i), 10.0) for i in range(1, 12))
    assert found is not None
    assert (found.n, found.median) == (11, pytest.approx(0.6))
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(1.0))
    assert ratios([]) is None


def test_excluded_rows_count_nowhere() -> None:
    odd = replace(ROWS[0], excluded="labelled", rate=Pair(1e9, 1e9))
    (mine,) = by_case([*ROWS, odd]).values()
    assert mine == ROWS
    assert settings(ROWS) == 4


def test_one_pause_at_the_start_is_told_in_seconds() -> None:
    """Every one of 64 slots waits once; ten requests a slot share it."""
    pause = 70.0
    late = [replace(one, ttft=Pair(0.2, 0.2 + pause / one.runs)) for one in ROWS]
    found = first_wave(late)
    assert found is not None
    assert found.median == pytest.approx(pause)


def test_littles_law_gives_the_rate() -> None:
    assert per_device(64.0, 101.0, 0.01, 1.0, 4) == pytest.approx(64 * 101 / (1.0 + 1.0) / 4)


def table(*changes: dict[str, str]) -> MeasuredTable:
    base = dict(zip(COLUMNS, SERVED, strict=True))
    return MeasuredTable("e2e_silicon_x", COLUMNS, tuple(base | one for one in changes))


def test_rows_of_tables_are_priced_over_both_pools() -> None:
    rows, left = of_table(
        table(
            {},
            {"parallelism": "P-x[TP8/PP1/ADP1/mTP1/mEP8]+D-x[TP8/PP1/ADP1/mTP1/mEP8]"},
            {"exclude": "suspect"},
        )
    )
    assert left == {"workers not counted": 1}
    found, suspect = rows
    assert (found.devices, found.case) == (40, ("deepseek-v3", "h200-sxm", "fp8", 8192, 1024))
    assert found.rate.measured == pytest.approx(per_device(192, 922, 0.0331, 2.5993, 40))
    assert found.planned == pytest.approx(found.rate.predicted, rel=0.2)
    assert (found.excluded, suspect.excluded) == ("", "suspect")


def test_the_page_says_what_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = row(Pair(0.019, 0.018), Pair(20.0, 25.0), mode="agg")
    text = page([*ROWS, one], {"workers not counted": 2}, "2026-11-27")
    assert "| m, d | fp8 | 1,024 + 1,024 | 4 | 4 | 1.00 | 1.00 |" in text
    assert "2 without a prediction (workers not counted)" in text
    assert "The same side in 4 of 4 cases." in text
    assert "-1.00" in page([*flipped(ROWS), one], {}, "2026-11-27")
    monkeypatch.setattr(command, "PAGE", tmp_path / "pools.md")
    data = tmp_path / "data"
    data.mkdir()
    (data / "e2e_silicon_x.csv").write_text(
        ",".join(COLUMNS) + "\n" + ",".join(SERVED) + "\n", encoding="utf-8"
    )
    monkeypatch.setattr("sys.argv", ["deployments", str(data), "2026-11-27"])
    command.main()
    assert "1 rows; wrote pools.md" in capsys.readouterr().out
    assert "on 2026-11-27;" in (tmp_path / "pools.md").read_text(encoding="utf-8")
    assert deployment_rows(data)[1] == {}


def test_settings_are_told_in_short() -> None:
    two = "P2x[TP8/PP1/ADP1/mTP1/mEP8]+D3x[TP1/PP1/ADP8/mTP1/mEP8]"
    assert layout_words(two) == "2 × tp8 → 3 × dp8"
    assert layout_words("agg:TP1/PP1/ADP1/mTP1/mEP1") == "tp1"
    assert layout_words("8 GPUs") == "8 GPUs"


def test_a_twin_is_alike_in_all_but_the_prefill_layout() -> None:
    named = "P2x[{}]+D3x[TP1/PP1/ADP8]"
    wrong = replace(ROWS[0], setting=named.format("TP1/PP1/ADP8"))
    right = replace(ROWS[0], setting=named.format("TP8/PP1/ADP1"), tpot=Pair(0.010, 0.010))
    assert list(twin_differences([wrong], [right])) == [pytest.approx(0.2)]
    assert not list(twin_differences([wrong], [replace(right, concurrency=1.0)]))
    other = replace(right, setting=named.format("TP8").replace("P2x", "P1x"))
    assert not list(twin_differences([wrong], [other]))
