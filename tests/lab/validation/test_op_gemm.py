"""GEMM and quantise tables: regimes, rules, and rows that are not predicted."""

from typing import Any

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.lab.validation import op_gemm, op_quantize
from planner.lab.validation.op_gemm import HOST_BOUND, SLOWER_THAN_MORE, UNALIGNED
from planner.lab.validation.op_rows import Batch, batches, is_held_out, profile_of, stack_of
from planner.lab.validation.records import REASONS, Outcome
from planner.lab.validation.table_kinds import PREDICTED

ROW = {
    "src": "A01",
    "device": "h100_sxm",
    "software": "trtllm 1.3",
    "kernel": "torch_flow",
    "w_a_dtype": "bfloat16",
    "m": "64",
    "n": "4096",
    "k": "4096",
    "latency_us": "16.0",
}
QUANTISE = {
    "src": "A64",
    "device": "h100_sxm",
    "software": "trtllm 1.3",
    "op": "scale_matrix",
    "quant_dtype": "fp8",
    "m": "512",
    "k": "4096",
    "latency_us": "4.0",
}


def gemm(**changes: str) -> Outcome:
    [found] = op_gemm.predict_rows("op_gemm", [ROW | changes])
    return found


def test_a_row_is_predicted_with_its_interval() -> None:
    found = gemm()
    assert (found.device, found.format, found.metric) == ("h100-sxm", "bf16", "latency")
    assert found.measured == pytest.approx(16e-6)
    assert found.predicted is not None
    assert 8e-6 < found.low < found.predicted < found.high < 32e-6
    assert found.high / found.predicted == pytest.approx(found.predicted / found.low)
    assert found.basis.startswith("fitted: trtllm")


@pytest.mark.parametrize(("n", "k"), [(4096, 4096), (4096, 7168), (2048, 2048), (7168, 16384)])
def test_the_hash_of_the_shape_says_what_was_held_out(n: int, k: int) -> None:
    assert gemm(n=str(n), k=str(k)).regime == ("held-out" if is_held_out(f"{n},{k}") else "fitted")


@pytest.mark.parametrize(
    ("changes", "regime"),
    [
        ({"device": "gb200"}, "transferred"),
        ({"software": "sglang 0.5"}, "transferred"),
        ({"w_a_dtype": "int4_wo"}, "prior"),
        ({"device": "a100_sxm", "w_a_dtype": "sq", "n": "4090"}, "fitted"),
        ({"device": "jetson_agx_orin_64"}, "prior"),
        ({"w_a_dtype": "fp8_block", "m": "257"}, f"excluded: {UNALIGNED}"),
        ({"w_a_dtype": "fp8", "software": "vllm 1", "m": "257"}, f"excluded: {UNALIGNED}"),
        ({"w_a_dtype": "fp8_block", "software": "vllm 1"}, f"excluded: {HOST_BOUND}"),
    ],
)
def test_regimes(changes: dict[str, str], regime: str) -> None:
    found = gemm(**changes)
    assert found.regime == regime
    assert found.predicted is not None
    assert found.predicted > 0


def test_a_disturbed_row_is_left_out() -> None:
    rows = [ROW | {"latency_us": "30"}, ROW | {"m": "128"}, ROW | {"k": "2048"}]
    found = [o.regime for o in op_gemm.predict_rows("op_gemm", rows)]
    assert found[0] == f"excluded: {SLOWER_THAN_MORE}"
    assert not any(r.startswith("excluded") for r in found[1:])


def test_what_has_no_rule_is_not_left_out() -> None:
    for changes in (
        {"m": "257"},
        {"m": "257", "w_a_dtype": "fp8"},
        {"m": "257", "w_a_dtype": "fp8_block", "device": "b200_sxm"},
        {"m": "1", "w_a_dtype": "fp8", "device": "b200_sxm"},
    ):
        assert not gemm(**changes).regime.startswith("excluded")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "abacus"}, "unknown device"),
        ({"w_a_dtype": "fp7"}, "unknown format"),
        ({"software": "mlc 1"}, "unknown engine"),
        ({"m": "0"}, "malformed row"),
        ({"k": "many"}, "malformed row"),
        ({"latency_us": "nan"}, "malformed row"),
        ({"latency_us": "inf"}, "malformed row"),
        ({"device": "a100_sxm", "w_a_dtype": "fp8"}, "not executable"),
        ({"device": "h100_sxm", "w_a_dtype": "nvfp4"}, "not executable"),
    ],
)
def test_rows_without_a_prediction_say_why(changes: dict[str, str], reason: str) -> None:
    found = gemm(**changes)
    assert found.predicted is None
    assert found.reason == reason
    assert reason in REASONS


def test_the_outcomes_are_in_the_order_of_the_rows() -> None:
    rows = [ROW, ROW | {"w_a_dtype": "fp8"}, ROW | {"m": "x"}, ROW]
    assert [o.row for o in op_gemm.predict_rows("t", rows)] == [0, 1, 2, 3]


def test_quantise_rows() -> None:
    rows = [
        QUANTISE,
        QUANTISE | {"software": "vllm 1", "op": "compute_scale"},
        QUANTISE | {"op": "other"},
        QUANTISE | {"device": "jetson_agx_orin_64"},
        QUANTISE | {"m": "-1"},
    ]
    found = op_quantize.predict_rows("op_quantize", rows)
    assert [o.regime for o in found[:2]] == [
        "held-out" if is_held_out("4096") else "fitted",
        "excluded: times do not follow the size",
    ]
    assert found[2].reason == "quantity not predicted"
    assert found[3].regime == "prior"
    assert found[4].reason == "malformed row"


def test_rows_are_predicted_together_and_not_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty thousand rows of one device, format and engine: the form is evaluated once."""
    asked: list[int] = []
    original = op_gemm.predicted

    def counted(table: str, batch: Batch, **rest: Any) -> list[Outcome]:
        asked.append(len(batch.columns["m"]))
        return original(table, batch, **rest)

    monkeypatch.setattr(op_gemm, "predicted", counted)
    rows = [ROW | {"m": str(1 + i % 4000), "n": str(128 * (1 + i % 50))} for i in range(20_000)]
    found = op_gemm.predict_rows("op_gemm", rows)
    assert len(found) == 20_000
    assert asked == [20_000]


def test_tables_are_known_by_their_columns() -> None:
    kinds = {kind.name: kind.columns for kind in PREDICTED}
    assert kinds["op_gemm"] <= set(ROW)
    assert kinds["op_quantize"] <= set(QUANTISE)
    assert not kinds["op_gemm"] <= set(QUANTISE)


def test_names_of_devices_and_stacks() -> None:
    for text, id in (
        ("h100_sxm", "h100-sxm"),
        ("h20_sxm", "h20"),
        ("l40s", "l40s"),
        ("rtx_pro_6000_server", "rtx-pro-6000"),
        ("b300_sxm", "b300-sxm"),
    ):
        found = profile_of(text)
        assert found is not None
        assert found.id == id
    assert profile_of("../x.toml") is None
    assert stack_of("trtllm 1.3.0rc20") == "trtllm"
    assert stack_of("") == stack_of("mlc 3") == ""


def test_a_profile_may_stand_for_a_name() -> None:
    mine = resolve_device("h20")
    [batch], bad = batches(
        [ROW | {"device": "node7"}, ROW | {"device": "node7", "n": ""}],
        ("w_a_dtype",),
        ("m", "n", "k", "latency_us"),
        profiles={"node7": mine},
    )
    assert batch.device == "h20"
    assert bad == [1]
    np.testing.assert_array_equal(batch.columns["m"], [64.0])
