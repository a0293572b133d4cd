"""``plan validate`` on attention modules: every row predicted or with a reason, and the gates."""

import csv
from pathlib import Path

import numpy as np
import pytest

from planner.lab.validation.op_attn_module import WITHOUT_GRAPH, module_rows, predict_rows
from planner.lab.validation.records import Outcome

BASE = {
    "src": "D1",
    "device": "h200_sxm",
    "software": "vllm 0.24.0",
    "kernel": "FLASHMLA",
    "phase": "generation",
    "module": "mla",
    "model": "deepseek-ai/DeepSeek-V3",
    "attn_dtype": "bfloat16",
    "kv_dtype": "fp8",
    "gemm_dtype": "fp8_block",
    "heads": "16",
    "tp": "1",
    "batch": "64",
    "isl": "1",
    "step": "4096",
    "latency_us": "200",
}
SPARSE = {
    **BASE,
    "module": "dsa",
    "model": "deepseek-ai/DeepSeek-V3.2",
    "kernel": "FLASHMLA_SPARSE",
}
PROMPT = {"phase": "context", "batch": "1", "isl": "4096", "step": "0"}
DATA = Path(__file__).resolve().parents[3].parent / "shared" / "measured"


def only(*rows: dict[str, str]) -> Outcome:
    [outcome] = predict_rows("t", rows)
    return outcome


@pytest.mark.parametrize(
    "row",
    [
        BASE,
        SPARSE,
        {**SPARSE, **PROMPT},
        {**BASE, **PROMPT, "kernel": "FLASH_ATTN"},
        {
            **SPARSE,
            "model": "zai-org/GLM-5.2-FP8",
            "software": "sglang 0.5.14",
            "kernel": "sglang_dsa_skip_indexer_flashmla_kv",
        },
        {
            **SPARSE,
            **PROMPT,
            "software": "sglang 0.5.14",
            "isl": "512",
            "kernel": "sglang_dsa_dense_mha_fa3",
        },
    ],
)
def test_a_measured_engine_is_predicted_by_its_own_sets(row: dict[str, str]) -> None:
    outcome = only(row)
    assert outcome.regime in ("held-out", "fitted")
    assert row["software"].split()[0] in outcome.basis
    assert outcome.low < (outcome.predicted or 0) < outcome.high


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "MiniMaxAI/MiniMax-M3", "module": "msa"}, "unknown model"),
        ({"device": "abacus"}, "unknown device"),
        ({"software": "mine 1"}, "unknown engine"),
        ({"gemm_dtype": "w3a9"}, "unknown format"),
        ({"module": "nsa"}, "unknown format"),
        ({"heads": "none"}, "malformed row"),
        ({"device": "a100_sxm"}, "not measured"),
    ],
)
def test_other_rows_have_a_reason(change: dict[str, str], reason: str) -> None:
    outcome = only({**BASE, **change})
    assert outcome.predicted is None
    assert outcome.reason == reason


def test_a_layer_without_an_indexer_takes_less() -> None:
    row = {
        **SPARSE,
        "model": "zai-org/GLM-5.2",
        "software": "sglang 0.5.14",
        "kernel": "sglang_dsa_indexer_flashmla_kv",
        "gemm_dtype": "bfloat16",
    }
    skip = only({**row, "kernel": "sglang_dsa_skip_indexer_flashmla_kv"})
    assert (skip.predicted or 0) < (only(row).predicted or 0)


def test_steps_beyond_a_stacks_graphs_stay_apart() -> None:
    row = {
        **SPARSE,
        "software": "sglang 0.5.14",
        "kernel": "sglang_dsa_indexer_flashmla_kv",
        "batch": "512",
    }
    assert only(row).regime == f"excluded: {WITHOUT_GRAPH}"
    assert only({**row, "software": "vllm 0.24.0", "kernel": "FLASHMLA_SPARSE"}).regime in (
        "held-out",
        "fitted",
    )


def test_few_heads_take_a_set_of_their_own() -> None:
    few, many = (only({**SPARSE, **PROMPT, "heads": n}) for n in ("16", "64"))
    assert few.format.split()[3] == "bf16/fp8:few"
    assert many.format.split()[3] == "bf16/fp8"


def test_a_short_prompt_of_a_decode_kernel_is_rows_of_heads() -> None:
    groups, bad, left = module_rows([{**BASE, **PROMPT, "isl": "64"}])
    assert (bad, left) == ([], [])
    assert groups[0].operator == "mla-decode"
    assert groups[0].shape.heads.tolist() == [64 * 16]


def test_the_public_table_is_within_its_gates() -> None:
    path = DATA / "op_attn_module.csv"
    if not path.exists():
        pytest.skip("no measured tables beside the repository")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    outcomes = predict_rows("op_attn_module", rows)
    assert len(outcomes) == len(rows)
    assert {o.reason for o in outcomes if o.predicted is None} == {"unknown model"}
    gates = {
        ("mla", "generation"): (8, 6.5),
        ("mla", "context"): (8, 6),
        ("dsa", "generation"): (9, 7),
        ("dsa", "context"): (16, 7),
    }
    for (module, phase), (mean, median) in gates.items():
        held = [
            abs(o.error_percent)
            for o in outcomes
            if o.regime == "held-out" and o.format.startswith(f"{module} {phase}")
        ]
        assert len(held) > 1000
        assert np.mean(held) <= mean, (module, phase)
        assert np.median(held) <= median, (module, phase)
