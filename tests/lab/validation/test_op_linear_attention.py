"""``plan validate`` on tables of linear-attention kernels: every row predicted or with a reason."""

import csv
from pathlib import Path

import pytest

from planner.lab.validation.op_linear_attention import predict_rows
from planner.lab.validation.run import validate

BASE = {
    "src": "D19",
    "device": "h200_sxm",
    "software": "vllm 0.24.0",
    "kernel": "causal_conv1d_update",
    "phase": "generation",
    "batch": "1",
    "seq_len": "1",
    "num_tokens": "1",
    "hidden": "2048",
    "d_conv": "4",
    "k_heads": "16",
    "k_dim": "128",
    "v_heads": "32",
    "v_dim": "128",
    "latency_us": "2",
}
DATA = Path(__file__).resolve().parents[3].parent / "shared" / "measured"


@pytest.mark.parametrize(
    ("kernel", "variant"),
    [
        ("causal_conv1d_update", "conv-decode"),
        ("chunk_gated_delta_rule_flashinfer", "chunk"),
        ("fused_recurrent_gated_delta_rule_packed_decode", "recurrent"),
    ],
)
def test_a_kernel_is_predicted_by_name(kernel: str, variant: str) -> None:
    [outcome] = predict_rows("t", [{**BASE, "kernel": kernel}])
    assert outcome.format == variant
    assert outcome.basis.startswith("fitted: vllm")
    assert outcome.regime in ("held-out", "fitted")
    assert (outcome.predicted or 0) > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kernel": "lightning"}, "unknown format"),
        ({"device": "abacus"}, "unknown device"),
        ({"software": "mine 1"}, "unknown engine"),
        ({"seq_len": "many"}, "malformed row"),
        ({"device": "jetson-agx-thor-t5000"}, "not measured"),
    ],
)
def test_other_rows_have_a_reason(change: dict[str, str], reason: str) -> None:
    [outcome] = predict_rows("t", [{**BASE, **change}])
    assert outcome.predicted is None
    assert outcome.reason == reason


def test_the_public_table_is_within_its_gates() -> None:
    if not (DATA / "op_linear_attention.csv").exists():
        pytest.skip("no measured tables beside the repository")
    report = validate(DATA, only="op_linear_attention")
    assert not report.uncovered
    held = [g for g in report.groups if g.regime == "held-out"]
    assert len(held) == 36
    for group in held:
        disturbed = group.device == "h200-sxm" and group.software.startswith("sglang")
        assert (group.mape or 100.0) < (26.0 if disturbed else 16.0), group


def test_the_table_is_known_by_its_columns(tmp_path: Path) -> None:
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(BASE))
        writer.writeheader()
        writer.writerow(BASE)
    assert len(validate(tmp_path, only="op_linear_attention").outcomes) == 1
