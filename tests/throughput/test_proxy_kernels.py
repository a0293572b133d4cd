"""What a kernel lent from another stack is taken to miss by."""

from __future__ import annotations

import csv
import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from planner.throughput import proxy_kernels
from planner.throughput.calibration import PRIOR
from planner.throughput.proxy_kernels import UNCOMPARED, lent_sigma, proxy_kernel

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "loans.py"
DATA = Path(proxy_kernels.__file__).parent / "data" / "loans.csv"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loans_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_pair_keeps_the_lenders_time_and_takes_the_spread_of_its_family() -> None:
    hopper = proxy_kernel("attention-decode", "vllm", "trtllm", "bf16/fp8", "Hopper")
    blackwell = proxy_kernel("attention-decode", "vllm", "trtllm", "bf16/fp8", "Blackwell")
    assert hopper.factor == blackwell.factor == 1.0
    assert hopper.sigma > 2 * blackwell.sigma  # vLLM's FP8 decode on Hopper differs most
    assert "h100-sxm" in hopper.compared
    assert (
        proxy_kernel("attention-decode", "vllm", "trtllm", "bf16/fp8", "Blackwell Ultra")
        == blackwell
    )


def test_another_kernel_of_the_stack_takes_its_mean_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    key = ("attention-decode", "vllm", "vllm", "bf16/fp8", "slow", "Ada")
    row = proxy_kernels._Row(math.log(1.5), 0.5, 0.2, "l40s")
    monkeypatch.setattr(proxy_kernels, "_rows", lambda: {key: row, (*key[:5], "*"): row})
    here = proxy_kernel("attention-decode", "vllm", "vllm", "bf16/fp8", "Ada", "slow")
    assert (here.factor, here.sigma) == (pytest.approx(1.5), 0.2)
    assert (
        proxy_kernel("attention-decode", "vllm", "vllm", "bf16/fp8", "Hopper", "slow").sigma == 0.5
    )
    assert proxy_kernel("attention-decode", "vllm", "vllm", "bf16/fp8", "Ada", "") == UNCOMPARED


def test_a_pair_compared_elsewhere_takes_the_spread_about_one() -> None:
    far = proxy_kernel("gemm", "vllm", "trtllm", "bf16", "Volta")
    assert far.factor == 1.0
    assert far.compared


def test_a_pair_that_no_table_compares_takes_the_largest_of_its_variant() -> None:
    found = proxy_kernel("gemm", "sglang", "vllm", "bf16", "Hopper")
    measured = [
        proxy_kernel("gemm", a, b, "bf16", "Hopper")
        for a, b in (("vllm", "trtllm"), ("trtllm", "vllm"))
    ]
    assert found.factor == 1.0
    assert found.sigma >= max(one.sigma for one in measured) - 1e-9
    assert proxy_kernel("gemm", "sglang", "vllm", "no-such", "Hopper").sigma >= found.sigma


def test_a_variant_that_no_table_compares_takes_the_largest_of_its_operator() -> None:
    for operator in sorted({key[0] for key in proxy_kernels._rows()}):
        known = [
            row.sigma
            for key, row in proxy_kernels._rows().items()
            if key[:2] == (operator, proxy_kernels._ANY)
        ]
        found = proxy_kernel(operator, "one", "other", "no such variant", "hopper")
        assert found.sigma == max(known, default=UNCOMPARED.sigma)
        assert not known or found != UNCOMPARED


def test_an_operator_that_no_table_compares_is_as_one_without_a_measurement() -> None:
    assert proxy_kernel("no-such-operator", "vllm", "trtllm", "bf16", "Hopper") == UNCOMPARED
    assert UNCOMPARED.sigma == PRIOR.sigma


def test_a_transfer_adds_to_a_loan() -> None:
    found = proxy_kernel("gemm", "vllm", "trtllm", "bf16", "Hopper")
    assert lent_sigma(found, 0.05, 0.05) == found.sigma
    assert lent_sigma(found, 0.05, 0.20) > found.sigma
    assert lent_sigma(found, 0.30, 0.30) == 0.30  # no surer than the lender's own form


def test_the_file_is_whole() -> None:
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        bias, sigma, rest = (float(row[name]) for name in ("bias", "sigma", "residual"))
        assert 0 < rest <= sigma + abs(bias)
        assert int(row["rows"]) >= 20
        assert row["devices"]
        assert "benchmarks/loans.py" in row["source"]
    keys = [
        tuple(row[n] for n in ("operator", "borrower", "lender", "variant", "kernel", "family"))
        for row in rows
    ]
    assert len(set(keys)) == len(keys)


def test_the_script_counts_ratios_as_it_says(script: ModuleType) -> None:
    """A stack that takes twice as long as another's form: bias ln 2, nothing left about it."""
    group = script.Group("gemm", "vllm", "trtllm", "bf16", "k", "h100-sxm")
    lines = {tuple(line[:6]): line for line in script.summary({group: np.full(30, math.log(2.0))})}
    line = lines["gemm", "vllm", "trtllm", "bf16", "", "Hopper"]
    assert float(line[8]) == pytest.approx(math.log(2), abs=1e-3)
    assert float(line[9]) == pytest.approx(math.log(2) / script.Z80, abs=1e-3)
    assert float(line[10]) == pytest.approx(0.0, abs=1e-3)
    assert ("gemm", "*", "*", "bf16", "", "*") in lines
    assert not list(script.summary({group: np.zeros(5)}))


def test_the_file_is_what_the_script_makes_of_the_tables(script: ModuleType) -> None:
    tables = Path(__file__).resolve().parents[3] / "shared/measured/op_mla.csv"
    if not tables.exists():
        pytest.skip("no shared tables: loans are not computed again here")
    with tables.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = dict(
        script.attention_ratios({"op_attn_context": [], "op_attn_generation": [], "op_mla": rows})
    )
    for line in script.summary(found):
        operator, borrower, lender, variant, _, family = (str(word) for word in line[:6])
        if borrower == "*":
            continue
        kept = proxy_kernels._rows()[operator, borrower, lender, variant, "", family]
        assert (kept.bias, kept.residual) == (float(line[8]), float(line[10]))
