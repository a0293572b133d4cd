"""``plan validate`` on made-up attention tables: regimes, reasons, branches, transfers, priors."""

import csv
from pathlib import Path

import pytest

from planner.lab.validation.records import Outcome, Validation
from planner.lab.validation.run import validate

PREFILL = {
    "src": "A1",
    "device": "h100_sxm",
    "software": "trtllm 1.3",
    "kernel": "k",
    "attn_dtype": "bfloat16",
    "kv_dtype": "bfloat16",
    "batch": "1",
    "isl": "4096",
    "heads": "32",
    "kv_heads": "8",
    "head_dim": "128",
    "window": "0",
    "latency_us": "283",
}
DECODE = {
    **{k: v for k, v in PREFILL.items() if k != "isl"},
    "batch": "64",
    "kv_len": "8192",
    "latency_us": "715",
}
MLA = {
    "src": "A2",
    "device": "h100_sxm",
    "software": "sglang 0.5",
    "phase": "generation",
    "mla_dtype": "bfloat16",
    "kv_dtype": "bfloat16",
    "heads": "16",
    "batch": "128",
    "isl": "1",
    "kv_len": "4096",
    "latency_us": "215",
}


def table(folder: Path, base: dict[str, str], *rows: dict[str, str], name: str = "t") -> Validation:
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(base))
        writer.writeheader()
        writer.writerows({**base, **row} for row in rows)
    return validate(folder)


def only(report: Validation) -> Outcome:
    [outcome] = report.outcomes
    return outcome


@pytest.mark.parametrize("base", [PREFILL, DECODE, MLA])
def test_a_measured_device_is_predicted_by_its_own_fit(
    tmp_path: Path, base: dict[str, str]
) -> None:
    outcome = only(table(tmp_path, base, {}))
    assert outcome.regime in ("held-out", "fitted")
    assert outcome.format == "bf16/bf16"
    assert outcome.basis.startswith("fitted: ")
    assert abs(outcome.error_percent) < 25
    assert outcome.low < (outcome.predicted or 0) < outcome.high


def test_regimes_follow_the_hold_out_and_the_rules(tmp_path: Path) -> None:
    report = table(
        tmp_path,
        DECODE,
        {"heads": "64", "kv_heads": "1"},
        {"kv_len": "2"},
        {},
        {"heads": "4", "kv_heads": "1"},
    )
    assert {o.regime for o in report.outcomes} <= {"held-out", "fitted"}
    assert all(o.predicted is not None for o in report.outcomes)
    other = table(tmp_path, DECODE, {"kernel": "vllm_triton_attn"}, {"latency_us": "10"})
    assert [o.regime for o in other.outcomes] == [
        "excluded: Triton runs heads of 192",
        "excluded: faster than memory delivers",
    ]
    one = table(tmp_path, PREFILL, {"isl": "1", "latency_us": "9"})
    assert only(one).regime == "excluded: a prompt of one token runs the decode kernel"


def test_windows_and_ungrouped_heads_use_their_own_sets(tmp_path: Path) -> None:
    report = table(tmp_path, DECODE, {"window": "128"}, {}, {"kv_heads": "32"})
    window, full, ungrouped = report.outcomes
    assert (window.high / (window.predicted or 1)) > 1.1 * (full.high / (full.predicted or 1))
    assert (window.predicted or 0) < 0.5 * (full.predicted or 0)
    assert (ungrouped.predicted or 0) > 2 * (full.predicted or 0)


def test_another_device_is_carried_over_with_a_wider_interval(tmp_path: Path) -> None:
    own = only(table(tmp_path, DECODE, {"device": "b200_sxm"}, name="a"))
    report = table(tmp_path, DECODE, {"device": "gb200_sxm"}, name="a")
    carried = only(report)
    assert carried.regime == "transferred"
    assert "b200-sxm" in carried.basis
    assert carried.high / (carried.predicted or 1) > own.high / (own.predicted or 1)


def test_a_stack_without_tables_borrows_and_says_so(tmp_path: Path) -> None:
    outcome = only(table(tmp_path, DECODE, {"software": "sglang 0.5.14"}))
    assert outcome.regime == "transferred"
    assert "vllm" in outcome.basis


def test_a_device_without_a_relative_is_priced_by_the_prior(tmp_path: Path) -> None:
    outcome = only(table(tmp_path, PREFILL, {"device": "jetson-agx-thor-t5000"}))
    assert outcome.regime == "prior"
    assert outcome.high / (outcome.predicted or 1) == pytest.approx(1.6)


def test_reasons_for_rows_without_a_prediction(tmp_path: Path) -> None:
    report = table(
        tmp_path,
        DECODE,
        {"device": "abacus"},
        {"kv_dtype": "ternary"},
        {"batch": "many"},
        {"software": "mystery 1"},
    )
    assert {u.reason: u.n for u in report.uncovered} == {
        "unknown device": 1,
        "unknown format": 1,
        "malformed row": 1,
        "unknown engine": 1,
    }
