"""Rows of experts, collectives and exchanges: regimes, rules, and errors within their targets."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from planner.lab.validation import op_comm, op_moe, op_moe_a2a
from planner.lab.validation.moe_rows import kernel_id, moe_kernels, plain_shapes
from planner.lab.validation.reader import read_table
from planner.lab.validation.records import Outcome
from planner.lab.validation.table_kinds import PREDICTED, kind_of

DATA = (Path(__file__).resolve().parents[3].parent / "shared" / "measured").resolve()
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the measured tables are not here")

MOE = {
    "device": "h100_sxm",
    "software": "trtllm 1.3.0rc20",
    "kernel": "moe_torch_flow_cutlass",
    "moe_dtype": "fp8",
    "num_tokens": "64",
    "hidden": "2048",
    "inter": "768",
    "topk": "8",
    "num_experts": "128",
    "moe_tp": "1",
    "moe_ep": "1",
    "distribution": "balanced",
    "latency_us": "250",
}
COMM = {
    "device": "h100_sxm",
    "software": "trtllm 1.3.0rc20",
    "op": "custom_allreduce",
    "mode": "TRTLLM",
    "dtype": "bfloat16",
    "num_gpus": "8",
    "message_elements": "65536",
    "latency_us": "5",
}
A2A = {
    "device": "h100_sxm",
    "software": "sglang 0.5.12",
    "comm_backend": "deepep_ll",
    "phase": "dispatch",
    "comm_dtype": "",
    "ep_size": "",
    "node_num": "1",
    "hidden_size": "7168",
    "topk": "8",
    "num_experts": "256",
    "num_tokens": "64",
    "sms": "",
    "latency_us": "30",
}


def outcomes(module: object, stem: str) -> list[Outcome]:
    table = read_table(DATA / f"{stem}.csv", DATA)
    kind = kind_of(table.columns, PREDICTED)
    assert kind is not None
    assert stem.removesuffix("_2") == kind.name
    found: list[Outcome] = module.predict_rows(stem, table.rows)  # type: ignore[attr-defined]
    return found


def headline(rows: Sequence[Outcome]) -> dict[tuple[str, str, str], list[Outcome]]:
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for row in rows:
        if row.regime == "held-out":
            groups.setdefault((row.device, row.software.split()[0], row.format), []).append(row)
    return groups


def mean(rows: Sequence[Outcome]) -> float:
    return float(np.mean([abs(r.error_percent) for r in rows]))


def median(rows: Sequence[Outcome]) -> float:
    return float(np.median([abs(r.error_percent) for r in rows]))


MISSED = {
    ("h100-sxm", "sglang", "bf16"): (17, 11.5),
    ("h200-sxm", "sglang", "bf16"): (15.5, 11.5),
    ("b200-sxm", "trtllm", "mxfp4-w4a8"): (22, 12),
    ("h200-sxm", "sglang", "mxfp4-w4a16"): (15, 12.5),
}
"""Kernels beyond 15 / 11: SGLang's Triton kernel is tuned for some shapes only, and which is not in
the table; TensorRT-LLM's MXFP4-MXFP8 kernel ran untuned tactics at 64 to 4096 tokens."""


@needs_data
def test_experts_of_unseen_shapes_meet_their_targets() -> None:
    found = outcomes(op_moe, "op_moe")
    assert all(row.predicted is not None for row in found)
    for key, rows in headline(found).items():
        limit = (20.0, 15.0) if key[2] == "nvfp4" else MISSED.get(key, (15.0, 11.0))
        assert mean(rows) <= limit[0], (key, mean(rows))
        assert median(rows) <= limit[1], (key, median(rows))
        inside = 100 * sum(r.inside for r in rows) / len(rows)
        assert 72 <= inside <= 90, (key, inside)


@needs_data
def test_every_stack_s_own_experts_meet_their_target() -> None:
    found = outcomes(op_moe, "op_moe_2")
    held = [row for row in found if row.regime == "held-out"]
    assert mean(held) <= 11.0
    assert len(held) > 26_000
    left = Counter((row.format, row.reason) for row in found if row.predicted is None)
    assert left == {("w4afp8", "unknown format"): 156}
    by_stack = {
        (d, s): mean([r for r in held if (r.device, r.software.split()[0]) == (d, s)])
        for d, s in {(r.device, r.software.split()[0]) for r in held}
    }
    assert all(
        by_stack[d, "vllm"] <= 11.0
        for d in ("h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm", "rtx-pro-6000")
    )
    # GDDR parts: small steps from L2, and untuned tactics of TensorRT-LLM on Ada
    assert max(by_stack.values()) <= 17.0


@needs_data
def test_rows_that_rules_leave_out_are_counted_and_predicted() -> None:
    found = outcomes(op_moe, "op_moe")
    counts = Counter(row.regime for row in found if row.regime.startswith("excluded"))
    assert counts == {
        "excluded: synthetic scores pile up on the first expert groups": 672,
        "excluded: slower than fewer ranks with more work": 176,
    }


@needs_data
def test_collectives_meet_their_target_by_interpolation() -> None:
    found = outcomes(op_comm, "op_comm")
    assert all(row.predicted is not None for row in found)
    by_stack: dict[tuple[str, str], list[Outcome]] = {}
    for (device, stack, kind), rows in headline(found).items():
        if kind != "int8":
            by_stack.setdefault((device, stack), []).extend(rows)
    for key, rows in by_stack.items():
        assert mean(rows) <= (9.1 if key == ("b200-sxm", "vllm") else 8.0), (key, mean(rows))


@needs_data
def test_exchanges_of_unseen_shapes_meet_their_target() -> None:
    found = outcomes(op_moe_a2a, "op_moe_a2a")
    assert all(row.predicted is not None for row in found)
    for key, rows in headline(found).items():
        assert mean(rows) <= 20.0, (key, mean(rows))


def test_a_shape_of_its_own_fit_is_held_out_too() -> None:
    (known,) = op_moe.predict_rows("op_moe", [MOE])
    (other,) = op_moe.predict_rows("op_moe", [{**MOE, "hidden": "2304"}])
    assert (known.regime, other.regime) == ("held-out", "held-out")
    assert known.predicted is not None
    assert other.predicted is not None
    assert known.low < known.predicted < known.high
    assert other.predicted > known.predicted


@pytest.mark.parametrize(
    ("change", "regime"),
    [
        ({"device": "b200_sxm", "kernel": "new_kernel"}, "transferred"),
        ({"software": "vllm 0.24.0", "kernel": "anything"}, "transferred"),
        ({"device": "h100_pcie"}, "transferred"),
        (
            {
                "moe_dtype": "w4a16_mxfp4",
                "kernel": "moe_torch_flow",
                "hidden": "2880",
                "inter": "2880",
                "topk": "4",
                "moe_ep": "4",
            },
            "fitted",
        ),
    ],
)
def test_kernels_without_a_set_are_carried_over(change: dict[str, str], regime: str) -> None:
    (row,) = op_moe.predict_rows("op_moe", [{**MOE, **change}])
    assert row.predicted is not None
    assert row.regime in (regime, "held-out" if regime == "fitted" else regime)
    assert row.basis.startswith(regime)


def test_another_version_of_a_kernel_is_carried_over() -> None:
    own = {
        **MOE,
        "software": "vllm 0.24.0",
        "device": "h200_sxm",
        "moe_dtype": "fp8_block",
        "kernel": "vllm_fp8moe_triton_tritonexperts",
    }
    (new,) = op_moe.predict_rows("op_moe", [own])
    (old,) = op_moe.predict_rows(
        "op_moe", [{**own, "software": "vllm 0.19.0", "kernel": "vllm_fused_moe"}]
    )
    assert (new.regime, old.regime) == ("held-out", "transferred")
    assert new.predicted == old.predicted


@pytest.mark.parametrize(
    ("name", "stack", "kernel"),
    [
        ("vllm_unquantizedfusedmoe_triton_tritonexperts", "vllm", "triton"),
        ("vllm_fused_moe", "vllm", "triton"),
        ("vllm_gptossmxfp4moe_triton_oaitritonmxfp4expertsmonolithic", "vllm", "oai-triton"),
        ("vllm_compressedtensorsw4a4mxfp4moe_marlin_marlinexperts_situ_as_silu", "vllm", "marlin"),
        ("vllm_marlin_int4_moe", "vllm", "wna16-triton"),
        (
            "vllm_fp8moe_flashinfer_trtllm_trtllmfp8expertsmodular",
            "vllm",
            "flashinfer-trtllm-modular",
        ),
        (
            "vllm_unquantizedfusedmoe_flashinfer_trtllm_trtllmbf16experts",
            "vllm",
            "flashinfer-trtllm",
        ),
        ("vllm_modeloptfp8moe_flashinfer_cutlass_flashinferexperts", "vllm", "flashinfer-cutlass"),
        ("sglang_marlin_moe_situ_as_silu", "sglang", "marlin-moe"),
        ("sglang_fused_moe_triton", "sglang", "fused-moe-triton"),
        ("moe_torch_flow_min_latency", "trtllm", "moe-torch-flow-min-latency"),
        ("vllm_new_kernel", "vllm", "new-kernel"),
    ],
)
def test_kernels_have_short_names(name: str, stack: str, kernel: str) -> None:
    assert kernel_id(name, stack) == kernel


def test_experts_without_a_gate_are_those_of_benchmarks_that_run_them_so() -> None:
    assert (2688, 1856, 6, 128) in plain_shapes("vllm", (0, 24, 0))
    assert not plain_shapes("vllm", (0, 22, 0))
    assert not plain_shapes("trtllm", (1, 3, 0))
    plain = {
        **MOE,
        "software": "vllm 0.24.0",
        "kernel": "vllm_unquantizedfusedmoe_triton_x",
        "moe_dtype": "bfloat16",
        "hidden": "2688",
        "inter": "1856",
        "topk": "6",
    }
    (two,) = moe_kernels([plain])[0]
    (three,) = moe_kernels([{**plain, "software": "vllm 0.22.0"}])[0]
    assert (two.matrices.tolist(), three.matrices.tolist()) == ([2.0], [3.0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device": "abacus"}, "unknown device"),
        ({"software": "ollama 1"}, "unknown engine"),
        ({"moe_dtype": "int3"}, "unknown format"),
        ({"latency_us": "-1"}, "malformed row"),
        ({"distribution": "zipf"}, "malformed row"),
        ({"moe_ep": "3"}, "malformed row"),
        ({"device": "h100_sxm", "moe_dtype": "mxfp4"}, "not executable"),
    ],
)
def test_rows_that_cannot_be_predicted_say_why(change: dict[str, str], reason: str) -> None:
    (row,) = op_moe.predict_rows("op_moe", [{**MOE, **change}])
    assert (row.predicted, row.reason) == (None, reason)


def test_a_device_without_a_table_takes_the_formula_with_its_own_links() -> None:
    (own,) = op_comm.predict_rows("op_comm", [COMM])
    (carried,) = op_comm.predict_rows(
        "op_comm", [{**COMM, "device": "h800_sxm", "message_elements": "67108864"}]
    )
    (large,) = op_comm.predict_rows("op_comm", [{**COMM, "message_elements": "67108864"}])
    assert own.basis.startswith("measured")
    assert carried.regime == "transferred"
    assert carried.predicted is not None
    assert large.predicted is not None
    assert carried.predicted > 1.5 * large.predicted  # 200 instead of 450 GB/s


def test_eager_launches_are_no_headline() -> None:
    (row,) = op_comm.predict_rows(
        "op_comm", [{**COMM, "software": "vllm 0.24.0", "mode": "vllm_eager"}]
    )
    assert row.regime == "excluded: launched eagerly: bound by the host"


def test_an_exchange_across_nodes_needs_the_network_s_parameters() -> None:
    (near,) = op_moe_a2a.predict_rows("op_moe_a2a", [A2A])
    (far,) = op_moe_a2a.predict_rows("op_moe_a2a", [{**A2A, "node_num": "4"}])
    (never,) = op_moe_a2a.predict_rows(
        "op_moe_a2a", [{**A2A, "node_num": "4", "software": "vllm 0.24.0"}]
    )
    assert near.predicted is not None
    assert far.predicted is not None
    assert far.predicted > 2 * near.predicted
    assert (never.predicted, never.reason) == (None, "not measured")
