"""What a kernel of experts is off by where it stands for another's."""

import csv
import math
from pathlib import Path

import pytest

from planner.throughput import proxy_expert_kernels
from planner.throughput.proxy_expert_kernels import ANY, proxy_expert_kernel

ROWS = list(
    csv.DictReader(
        (Path(proxy_expert_kernels.__file__).parent / "data" / "moe_loans.csv")
        .read_text("utf-8")
        .splitlines()
    )
)


def test_two_kernels_compared_on_the_family_carry_their_ratio_and_its_spread() -> None:
    row = next(
        r
        for r in ROWS
        if r["family"] == "Hopper"
        and r["scheme"] == "fp8-block"
        and (r["borrower"], r["lender"]) == ("vllm/triton", "sglang/fused-moe-triton")
    )
    found = proxy_expert_kernel("fp8-block", "vllm/triton", "sglang/fused-moe-triton", "Hopper")
    assert found.factor == pytest.approx(math.exp(float(row["bias"])))
    assert found.sigma == float(row["residual"])
    assert found.compared == row["devices"]


def test_on_another_family_the_ratio_is_one_and_the_error_holds_it() -> None:
    here = proxy_expert_kernel("int4-w4a16", "vllm/marlin", "sglang/marlin-moe", "Hopper")
    there = proxy_expert_kernel("int4-w4a16", "vllm/marlin", "sglang/marlin-moe", "Ampere")
    assert there.factor == 1.0
    assert here.factor != 1.0
    assert "h100-sxm" in there.compared


def test_kernels_that_were_not_compared_carry_the_stacks_error_then_the_scheme_s() -> None:
    stacks = proxy_expert_kernel(
        "fp8-block", "vllm/flashinfer-cutlass", "trtllm/deepgemm", "Hopper"
    )
    pooled = next(
        r
        for r in ROWS
        if r["scheme"] == "fp8-block"
        and r["family"] == ANY
        and (r["borrower"], r["lender"]) == ("vllm/*", "trtllm/*")
    )
    assert stacks.sigma == float(pooled["sigma"])
    scheme = proxy_expert_kernel("fp8-tensor", "sglang/x", "trtllm/y", "Hopper")
    assert scheme.sigma == float(
        next(r for r in ROWS if (r["scheme"], r["borrower"]) == ("fp8-tensor", ANY))["sigma"]
    )
    every = next(r for r in ROWS if r["scheme"] == ANY and r["borrower"] == ANY)
    assert proxy_expert_kernel("no-scheme", "a/b", "c/d", "Hopper").sigma == float(every["sigma"])


def test_kin_are_compared_in_any_scheme() -> None:
    kin = proxy_expert_kernel(
        "mxfp4-w4a16", "vllm/flashinfer-trtllm-modular", "vllm/flashinfer-trtllm", "Blackwell"
    )
    pooled = next(
        r
        for r in ROWS
        if r["scheme"] == "mxfp4-w4a16"
        and r["family"] == ANY
        and (r["borrower"], r["lender"]) == ("vllm/*", "vllm/*")
    )
    assert kin.sigma < float(pooled["sigma"])


def test_every_row_says_where_it_comes_from() -> None:
    assert len({(r["scheme"], r["borrower"], r["lender"], r["family"]) for r in ROWS}) == len(ROWS)
    for row in ROWS:
        assert int(row["rows"]) >= 20
        assert float(row["sigma"]) > 0
        assert float(row["residual"]) > 0
        assert row["source"].startswith("benchmarks/moe_loans.py")
        assert row["devices"]
