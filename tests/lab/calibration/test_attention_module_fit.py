"""Fits of attention modules: known cores come back from whole modules."""

from itertools import product

import numpy as np
import pytest

from planner.lab.calibration.attention_module import NOTE, fit_tables, kernels
from planner.lab.validation.op_attn_module import module_rows
from planner.throughput.forms import dsa
from planner.throughput.silicon import chip

TRUE = {
    "floor_seconds": 3e-5,
    "split_seconds": 5e-8,
    "token_seconds": 1e-7,
    "rest_fraction": 0.5,
    "gather_fraction": 0.7,
    "compute_fraction": 0.6,
    "unit_seconds": 2e-6,
    "index_seconds": 1e-5,
    "score_fraction": 0.5,
    "choose_seconds": 2e-10,
    "tile_heads": 64.0,
    "whole": 0.0,
}


def table(seconds: bool = True) -> list[dict[str, str]]:
    base = {
        "device": "h200_sxm",
        "software": "vllm 9",
        "kernel": "FLASHMLA_SPARSE",
        "phase": "generation",
        "module": "dsa",
        "model": "deepseek-ai/DeepSeek-V3.2",
        "attn_dtype": "bfloat16",
        "kv_dtype": "bfloat16",
        "gemm_dtype": "bfloat16",
        "tp": "1",
        "isl": "1",
        "latency_us": "1",
    }
    rows = [
        {**base, "heads": str(h), "batch": str(b), "step": str(s)}
        for h, b, s in product((8, 16, 32, 64, 128), (1, 4, 16, 64, 256), (64, 1000, 8000, 60_000))
    ]
    if not seconds:
        return rows
    [group] = module_rows(rows)[0]
    done = group.product_seconds()
    figures = chip(group.batch.profile) if group.batch.profile is not None else None
    assert done is not None
    assert figures is not None
    times = group.module_seconds(done[0], TRUE, None, figures)
    return [{**row, "latency_us": repr(float(t) * 1e6)} for row, t in zip(rows, times, strict=True)]


def test_a_known_core_comes_back_from_whole_modules() -> None:
    [(device, found)] = fit_tables(table())
    assert (device, found.operator, found.stack, found.variant) == (
        "h200-sxm",
        dsa.DECODE,
        "vllm",
        "bf16/bf16",
    )
    assert found.error.mean < 0.05
    assert found.note == NOTE
    for name in ("score_fraction", "gather_fraction", "floor_seconds"):
        assert found.parameters[name] == pytest.approx(TRUE[name], rel=0.35), name


def test_structures_are_chosen_on_rows_that_a_fit_may_see() -> None:
    [kernel] = kernels(table())
    few = kernel.every(3)
    assert not few.held_out.any()
    assert len(few.measured) == -(-int(kernel.seen.sum()) // 3)
    assert np.all(kernel.held_out | kernel.seen)


def test_few_rows_are_not_fitted() -> None:
    assert kernels(table(seconds=False)[:10]) == []
