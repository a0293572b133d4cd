"""Laws of the GEMM and quantise forms: physical limits, growth, terms that a kernel lacks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.hardware.catalog import resolve_device
from planner.throughput.forms.gemm import (
    STRUCTURE,
    STRUCTURES,
    Operands,
    checked,
    gemm_form,
    gemm_parts,
    mechanisms,
    parameters_of,
)
from planner.throughput.forms.gemm_tiles import GemmForm, stacked_forms
from planner.throughput.forms.quantise import PARAMETERS, quantise_parts
from planner.throughput.roofline import Parts
from planner.throughput.silicon import Chip, chip

CHIPS: dict[str, Chip] = {}
for _name in ("h100-sxm", "b200-sxm"):
    _found = chip(resolve_device(_name))
    assert _found is not None
    CHIPS[_name] = _found
OPERANDS = {
    "bf16": Operands("bf16", 2.0, 2.0),
    "fp8-tensor": Operands("fp8", 1.0, 1.0),
    "fp8-block": Operands("fp8", 1.0, 1.03),
}
KINDS = [(stack, scheme) for stack in ("trtllm", "vllm") for scheme in OPERANDS]
SIZE = st.integers(1, 40_000)


def form(stack: str, scheme: str, chip_name: str = "h100-sxm", share: float = 0.5) -> GemmForm:
    """A form whose parameters lie at ``share`` of the way through their ranges (in logarithms)."""
    values = {
        p.name: max(p.low, 1e-9) ** (1 - share) * p.high**share
        for p in parameters_of(stack, scheme)
    }
    return gemm_form(values, CHIPS[chip_name], OPERANDS[scheme], mechanisms(stack, scheme))


def run(which: GemmForm, m: float, n: float, k: float, *, cold: bool = True) -> Parts:
    return gemm_parts(which, m=np.asarray(m), n=np.asarray(n), k=np.asarray(k), cold=cold)


def total(which: GemmForm, m: float, n: float, k: float, *, cold: bool = True) -> float:
    return float(run(which, m, n, k, cold=cold).total())


@settings(max_examples=60, deadline=None)
@given(
    SIZE, SIZE, SIZE, st.sampled_from(KINDS), st.sampled_from(sorted(CHIPS)), st.floats(0.05, 1.0)
)
def test_no_time_is_below_what_the_chip_allows(
    m: int, n: int, k: int, kind: tuple[str, str], name: str, share: float
) -> None:
    which, limits = form(*kind, chip_name=name, share=share), CHIPS[name]
    operands = OPERANDS[kind[1]]
    found = run(which, m, n, k)
    assert all((part >= 0).all() and np.isfinite(part).all() for part in found.arrays())
    assert found.compute >= 2.0 * m * n * k / limits.peak(operands.compute) * (1 - 1e-12)
    moved = n * k * operands.weight_bytes + m * k * operands.activation_bytes + 2 * m * n
    assert found.memory >= moved / limits.bandwidth * (1 - 1e-12)
    assert found.busy >= max(found.compute, found.memory) * (1 - 1e-12)
    assert found.total() >= found.busy


@settings(max_examples=60, deadline=None)
@given(SIZE, SIZE, SIZE, st.sampled_from(("m", "n", "k")), st.integers(1, 3000))
def test_more_work_never_takes_less_time(m: int, n: int, k: int, axis: str, more: int) -> None:
    which = form("vllm", "fp8-tensor")
    larger = {"m": m, "n": n, "k": k}
    larger[axis] += more
    assert total(which, **larger) >= total(which, m, n, k) * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(SIZE, SIZE, SIZE, st.integers(1, 3000))
def test_a_longer_sum_never_takes_less_time_where_it_is_split(
    m: int, n: int, k: int, more: int
) -> None:
    which = form("trtllm", "bf16")
    assert total(which, m, n, k + more) >= total(which, m, n, k) * (1 - 1e-12)


@settings(max_examples=40, deadline=None)
@given(SIZE, SIZE, SIZE)
def test_a_cold_cache_is_no_faster(m: int, n: int, k: int) -> None:
    which = form("trtllm", "fp8-block")
    assert total(which, m, n, k) >= total(which, m, n, k, cold=False) * (1 - 1e-12)


def test_schemes_together_are_the_schemes_apart() -> None:
    members = [form("trtllm", "bf16"), form("trtllm", "fp8-tensor"), form("vllm", "fp8-block")]
    m = np.array([1.0, 300.0, 5000.0])[:, None]
    n, k = m * 0 + 4096.0, m * 0 + 7168.0
    both = gemm_parts(stacked_forms(members), m=m, n=n, k=k, cold=True).total()
    assert both.shape == (3, 3)
    for j, member in enumerate(members):
        alone = gemm_parts(member, m=m, n=n, k=k, cold=True).total()
        np.testing.assert_allclose(both[:, [j]], alone, rtol=1e-14)


def test_only_narrow_activations_are_quantised_and_fusing_saves_all_of_it() -> None:
    for stack, scheme in KINDS:
        which, size = form(stack, scheme), np.asarray(4096.0)
        found = gemm_parts(which, m=size, n=size, k=size, cold=True)
        fused = gemm_parts(which, m=size, n=size, k=size, cold=True, fused=True)
        assert (found.quantise > 0) == (scheme != "bf16")
        assert float(found.total() - fused.total()) == pytest.approx(float(found.quantise))


def test_widened_weights_take_their_conversion() -> None:
    plain = mechanisms("trtllm", "bf16")
    values = {p.name: p.start for p in parameters_of("trtllm", "bf16")}
    which = gemm_form(
        values, CHIPS["h100-sxm"], Operands("bf16", 0.5, 2.0), plain, widened_per_s=1e12
    )
    found = run(which, 1, 8192, 8192)
    assert float(found.conversion) == pytest.approx(8192 * 8192 / 1e12)
    assert found.busy >= found.conversion


def test_a_kernel_of_large_tiles_takes_as_long_for_few_rows() -> None:
    """Of CUTLASS' block-scaled FP4 on RTX PRO 6000: 2 and 96 rows of 2,048 × 51,200 take 203 µs."""
    values = {p.name: p.start for p in parameters_of("vllm", "fp8-block")}
    found = {}
    for option in STRUCTURES:
        which = gemm_form(
            {**values, **option},
            CHIPS["h100-sxm"],
            OPERANDS["fp8-block"],
            mechanisms("vllm", "fp8-block"),
        )
        found[tuple(option.values())] = [float(run(which, m, 2048, 51200).compute) for m in (2, 96)]
    few, many = found[128.0, 128.0, 128.0]
    assert few == many
    for tile, (few, many) in found.items():
        assert few <= many <= found[128.0, 128.0, 128.0][1], tile
    few, many = found[64.0, 32.0, 16.0]
    assert few < 0.7 * many


def test_rows_are_narrowed_one_by_one() -> None:
    which = form("vllm", "fp8-tensor")
    short, long = (float(run(which, 4096, 4096, k).quantise) for k in (32, 4096))
    elements = float(which.row_elements)
    assert short / long == pytest.approx((32 + elements) / (4096 + elements))


def test_what_l2_holds_is_read_at_its_speed() -> None:
    which = form("trtllm", "bf16")
    warm, cold = (float(run(which, 8, 1024, 1024, cold=c).memory) for c in (False, True))
    assert cold / warm == pytest.approx(float(which.cached), rel=0.01)


def test_parameters_of_another_form_are_refused() -> None:
    values = {p.name: p.start for p in parameters_of("trtllm", "bf16")}
    assert checked(values, "trtllm", "bf16") == values
    with pytest.raises(DataError, match="missing"):
        checked(values, "trtllm", "fp8-tensor")


def test_at_most_eleven_parameters_are_fitted() -> None:
    known = {"quantise_launch_seconds", *(p.name for p in STRUCTURE)}
    for stack, scheme in [*KINDS, ("trtllm", "nvfp4"), ("vllm", "nvfp4")]:
        names = [p.name for p in parameters_of(stack, scheme)]
        assert len(set(names) - known) <= 11
        assert len(names) == len(set(names))


@settings(max_examples=40, deadline=None)
@given(SIZE, SIZE, st.sampled_from(("compute-scale", "scale-matrix")))
def test_a_quantise_kernel_reads_no_faster_than_l2(m: int, k: int, variant: str) -> None:
    values = {p.name: p.start for p in PARAMETERS}
    chip_ = CHIPS["h100-sxm"]
    warm, cold = (
        float(
            quantise_parts(
                values, chip_, variant, m=np.asarray(float(m)), k=np.asarray(float(k)), cold=c
            ).total()
        )
        for c in (False, True)
    )
    read = {"compute-scale": 2.0, "scale-matrix": 3.0}[variant] * m * k
    assert cold >= warm >= read / chip_.bandwidth / values["l2_speed"]
