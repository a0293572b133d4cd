"""ggml's own kernels: integer products by hand, laws, and who gets them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ggml_products import A100, H100, SCHEME_BITS, TYPES, XEON, one

from planner.api import explain as api_explain
from planner.base.errors import UnsupportedError
from planner.formats.ggml_types import weight_type
from planner.formats.schemes import SCHEMES, scheme
from planner.hardware.catalog import list_devices
from planner.memory.engines.catalog import engine_names
from planner.planning.inspect.priced_input import price_uniform
from planner.planning.price.step_prices import step_prices
from planner.planning.question.input import QuestionInput
from planner.throughput.calibration import PRIOR
from planner.throughput.ggml import (
    BY_MEAN,
    BY_STEP,
    engine_runs,
    ggml_certainty,
    ggml_kernel,
    ggml_refusal,
    rules,
    widening,
)
from planner.throughput.ggml_times import ggml_arrays
from planner.throughput.kernels import kept_for_their_engine, kernel
from planner.throughput.linear import kernel_arrays
from tests.support import theory

DEVICES = {d.id: d for d in list_devices([])}


def test_one_token_on_a_gpu_by_hand():
    """MMVQ: 1.8 lane instructions a product at half of the FP32 FLOP/s; weights over memory."""
    compute, memory, launch, quantise, total = one(H100, "ggml-q4_k", 1)
    reached = H100.achieved
    issued = 66.9e12 * 0.5 * reached["fp32"].compute_fraction.value
    assert compute == pytest.approx(4096**2 * 1.8 / issued)
    moved = 4096**2 * 4.5 / 8 + 4096 * 292 / 256 + 4096 * 4
    assert memory == pytest.approx(moved / (3.35e12 * reached["w4a16"].bandwidth_fraction.value))
    plain = reached["elementwise"]
    # Rows are reduced: half as much again as a copy.
    assert launch == pytest.approx(1.5 * plain.floor_seconds.value)
    assert quantise == pytest.approx(
        plain.floor_seconds.value
        + 4096 * (4 + 292 / 256) / (3.35e12 * plain.bandwidth_fraction.value)
    )
    assert total == pytest.approx(max(compute, memory) + launch + quantise)


def test_many_tokens_on_a_gpu_by_hand():
    """MMQ: mma.sync at 62 % of Hopper's INT8 peak, then FP32 scaling; weights once a 128 tokens."""
    compute = one(H100, "ggml-q8_0", 300)[0]
    reached = H100.achieved["int8"].compute_fraction.value
    issued = 66.9e12 * 0.5 * H100.achieved["fp32"].compute_fraction.value
    multiplied = 1978.9e12 * 0.62 * reached
    assert compute == pytest.approx(
        4096**2 * (304 * (2 / multiplied + 0.15 / issued) + 3 * 0.6 / issued)
    )
    # 8.0 has 64 FP32 lanes, and tensor cores that mma.sync fills.
    issued = 19.5e12 * A100.achieved["fp32"].compute_fraction.value
    multiplied = 624e12 * A100.achieved["int8"].compute_fraction.value
    assert one(A100, "ggml-q8_0", 128)[0] == pytest.approx(
        4096**2 * (128 * (2 / multiplied + 0.15 / issued) + 0.6 / issued)
    )


def test_amx_by_hand():
    """Rows below eight take the time of eight; a row is quantised by one of 128 cores."""
    peak = XEON.rates["amx", "int8"].dense.value
    share = min(0.25, XEON.achieved["int8"].compute_fraction.value)
    for m, rows in ((2, 8), (8, 8), (100, 100)):
        assert one(XEON, "ggml-q4_0", m)[0] == pytest.approx(2 * rows * 4096**2 / (peak * share))
    cycles = 128 * 2.0e9
    assert one(XEON, "ggml-q4_0", 1)[0] == pytest.approx(4096**2 / (51 * cycles))
    assert one(XEON, "ggml-q4_0", 1)[3] == pytest.approx(4096 * 128 / (4.0 * cycles))
    assert one(XEON, "ggml-q4_0", 256)[3] == pytest.approx(4096 * 256 / (4.0 * cycles))


def test_experts_have_no_amx():
    """MUL_MAT_ID: repacked blocks where ggml repacks them, single dot products else."""
    cycles = 128 * 2.0e9
    for name, rate in (("ggml-q8_0", 7.3), ("ggml-q4_0", 37.0), ("ggml-q4_k", 32.0)):
        assert one(XEON, name, 64, experts=True)[0] == pytest.approx(64 * 4096**2 / (rate * cycles))
    assert (
        one(XEON, "ggml-q4_0", 64, experts=True)[0]
        < one(XEON, "ggml-q8_0", 64, experts=True)[0] / 4
    )


def test_q_k_and_v_are_three_matrices():
    whole, apart = one(H100, "ggml-q6_k", 4), one(H100, "ggml-q6_k", 4, kinds=3)
    assert apart[0] == whole[0]
    assert apart[2] == 3 * whole[2]
    assert apart[3] == pytest.approx(3 * whole[3])


@given(
    st.sampled_from(sorted(DEVICES)),
    st.sampled_from(TYPES),
    st.booleans(),
    st.integers(1, 8),
    st.integers(9, 2048),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_laws(name, kind, experts, few, many, wide, deep):
    """Never below its bytes; more weights are never faster; more tokens never within a kernel."""
    device = DEVICES[name]
    if ggml_refusal(device, scheme(kind)):
        return
    for m in (few, many):
        compute, memory, launch, quantise, total = one(
            device, kind, m, 256 * wide, 256 * deep, experts=experts
        )
        assert min(compute, memory, launch) > 0
        assert quantise >= 0
        assert total >= memory + launch
        assert (
            memory
            > 256 * wide * 256 * deep * SCHEME_BITS[kind] / 8 / device.bandwidth_bytes_per_s.value
        )
        for n, k in ((wide + 1, deep), (wide, deep + 1)):
            assert one(device, kind, m, 256 * n, 256 * k, experts=experts)[4] >= total
    for a, b in ((1, few), (9, many), (many, many + 1)):
        if few > 1 or a > 1:
            kernels = ggml_kernel(device, kind, experts=experts)
            if (a <= kernels.vector_rows) == (b <= kernels.vector_rows):
                assert one(device, kind, a, experts=experts)[4] <= one(
                    device, kind, b, experts=experts
                )[4] * (1 + 1e-12)


def test_the_band_is_wider_than_a_prior():
    kernels = kernel_arrays(
        H100, ["bf16", "ggml-q4_k", "fp8-block"], experts=False, stacks=("vllm",)
    )
    how = dict(zip(kernels.schemes, kernels.certainty, strict=True))
    assert how["ggml-q4_k"] == ggml_certainty(H100)
    assert how["ggml-q4_k"].basis == PRIOR.basis
    assert how["ggml-q4_k"].sigma > PRIOR.sigma
    assert how["bf16"].basis == "fitted"


def test_other_schemes_keep_their_times_beside_ggml_types():
    """A question with a ggml type prices the others as one without."""

    def tpot(schemes):
        plan = theory.plan(
            "llama-3.2-1b",
            "h100-sxm",
            devices=1,
            batch=4,
            context=4096,
            objective="quality",
            schemes=schemes,
        )
        return plan.performance.tpot_seconds.value

    assert tpot(["bf16"]) == pytest.approx(tpot(["bf16", "ggml-q4_0"]))


def test_plain_types_of_llama_cpp_take_no_amx():
    """On CPUs its BF16 runs on the vector unit; on GPUs it is cuBLAS, as anyone's."""

    def kernels(device, engine):
        """Seconds of a prompt's kernels, as a search adds them up."""
        given = {"scheme": "bf16", "devices": 1, "batch": 1, "isl": 512, "osl": 64}
        inputs = QuestionInput(model="llama-3.2-1b", device=device, engine=engine, **given)
        at = price_uniform(inputs, "bf16")
        here = np.array([at.candidate])
        sums = step_prices(
            at.space.model,
            at.space.times,
            at.space.pts.take(here),
            at.segments,
            at.space.rows[here],
        )
        question = at.space.model.question
        return sums.ttft.item() - question.prompt_host.handling_seconds

    assert kernels("xeon-6980p", "llama.cpp") > 2 * kernels("xeon-6980p", "pytorch")
    # There elements between kernels are FP32, two bytes more; each layer has seven products with
    # the floor of a reduction for four with their own, and four more copies; attention's is less.
    more = kernels("l40s", "llama.cpp") - kernels("l40s", "pytorch")
    device = DEVICES["l40s"]
    copy, product, attention = (
        device.achieved[name].floor_seconds.value
        for name in ("elementwise", "bf16", "attention-prefill")
    )
    rate = (
        device.bandwidth_bytes_per_s.value * device.achieved["elementwise"].bandwidth_fraction.value
    )
    moved = 512 * (2 * 2048 * 8 + 8192 * 6)
    layer = moved / rate + 7 * 1.5 * copy - 4 * product + 4 * copy
    assert 16 * (layer - attention) < more < 16 * layer


def test_who_gets_them():
    """Plans for llama.cpp; others where they are named."""
    assert set(rules()["engines"]) <= set(engine_names())
    assert engine_runs("llama.cpp")
    assert not engine_runs("vllm")
    assert kept_for_their_engine("llama.cpp", list(SCHEMES)) == {}
    assert set(kept_for_their_engine("any", list(SCHEMES))) == set(TYPES)

    def used(**asked):
        plan = theory.plan(
            "llama-3.2-1b", "l40s", devices=1, context=2048, batch=1, objective="memory", **asked
        )
        return {u.scheme for u in plan.units if u.kv_layout is None} & set(TYPES)

    assert not used()
    assert not used(engine="vllm")
    assert used(engine="llama.cpp")
    assert used(schemes=["bf16", "ggml-q6_k"], max_loss="ggml-q6_k") == {"ggml-q6_k"}


def test_few_tokens_of_an_expert_run_on_the_dense_vector_kernel_of_a_gpu():
    """Its launch and its bytes are those of a dense product; on a CPU those of experts."""
    for device, alike in ((H100, True), (XEON, False)):
        dense = ggml_kernel(device, "ggml-q4_k", experts=False)
        expert = ggml_kernel(device, "ggml-q4_k", experts=True)
        assert (expert.launch == dense.launch) == alike
        assert (expert.memory == dense.memory) == alike


@pytest.mark.parametrize(
    ("rows", "judged", "width"), [(1, 100, 104), (10, 100, 104), (104, 300, 128), (129, 300, 128)]
)
def test_experts_of_a_gpu_fill_tiles_as_wide_as_the_step_has_tokens(rows, judged, width):
    """An expert computes whole tiles, however few tokens it has: as wide as all tokens of the step,
    128 at most."""
    kernel = ggml_kernel(H100, "ggml-q4_k", experts=True)
    assert kernel == replace(ggml_kernel(H100, "ggml-q4_k", experts=False), expert_tile=BY_STEP)
    tiles = 1 if rows <= 128 else 2
    found = one(H100, "ggml-q4_k", rows, experts=True, judged=judged)[0]
    assert found == pytest.approx(4096**2 * tiles * (width * kernel.tile + kernel.unpack))


@pytest.mark.parametrize(
    ("rows", "columns", "unpacked"),
    [(2, 8, 1.0), (10, 18, 1.5), (40, 60, 1.5), (128, 192, 1.5), (200, 264, 2.0625)],
)
def test_experts_of_rdna3_fill_tiles_as_wide_as_their_mean(rows, columns, unpacked):
    """The last of an expert's tiles is half empty, one tile is whole; none is wider than 128."""
    device = DEVICES["rx-7900-xtx"]
    kernel = ggml_kernel(device, "ggml-q8_0", experts=True)
    assert kernel.expert_tile == BY_MEAN
    found = one(device, "ggml-q8_0", rows, experts=True, judged=512)[0]
    expected = columns * kernel.tile + unpacked * kernel.unpack
    assert found == pytest.approx(4096**2 * expected)


@pytest.mark.parametrize(("device", "name"), [("a10", "ggml-q4_k"), ("rx-7900-xtx", "ggml-q8_0")])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.04])
def test_more_tokens_of_experts_never_take_less_time(device, name, share):
    """Bounds of batches rest on it: a drop behind 128 tokens was found by chance."""
    times = [
        one(DEVICES[device], name, max(share * n, 1.0), experts=True, judged=n)[0]
        for n in range(9, 700)
    ]
    assert (np.diff(times) >= -1e-12 * np.array(times[1:])).all()


def test_mxfp4_as_released_is_ggmls_own_type_in_llama_cpp_alone():
    own = ggml_arrays(H100, ["ggml-mxfp4"], experts=True, engine="llama.cpp")
    released = ggml_arrays(H100, ["bf16", "mxfp4-w4a16"], experts=True, engine="llama.cpp")
    assert released.places.tolist() == [1]
    assert {k: v.tolist() for k, v in released.of.items()} == {
        k: v.tolist() for k, v in own.of.items()
    }
    assert ggml_arrays(H100, ["mxfp4-w4a16"], experts=True, engine="vllm") is None
    refused = next(d for d in DEVICES.values() if ggml_refusal(d, scheme("ggml-mxfp4")))
    assert ggml_arrays(refused, ["mxfp4-w4a16"], experts=True, engine="llama.cpp") is None


def test_refusals_say_what_is_missing():
    with pytest.raises(UnsupportedError, match="no execution path"):
        kernel(H100, "mxfp6")
    assert not ggml_refusal(H100, scheme("ggml-q4_k"))
    without = [d for d in DEVICES.values() if d.rate("int8") is None and widening(d) is None]
    assert without
    for device in without:
        assert ggml_refusal(device, scheme("ggml-q4_k"))


def test_rows_must_be_whole_blocks():
    """DeepSeek-V2-Lite's experts are 1,408 wide, five and a half super-blocks."""
    plan = theory.plan(
        "deepseek-v2-lite",
        "l40s",
        engine="llama.cpp",
        devices=1,
        context=2048,
        batch=1,
        objective="memory",
        max_loss="ggml-q4_0",
        schemes=["bf16", "ggml-q8_0", "ggml-q4_0", "ggml-q4_k", "ggml-q6_k"],
    )
    by_kind = {}
    for u in plan.units:
        by_kind.setdefault(u.kind, set()).add(u.scheme)
    found = [weight_type(name) for name in by_kind["experts-down"]]
    assert any(found)
    assert all(1408 % kind.elements == 0 for kind in found if kind is not None)


def test_a_named_type_is_explained_beside_the_others():
    """Without an engine too; nothing else of ggml stands there by itself."""
    found = api_explain.explain("llama-3.2-1b", "l40s", module="mlp-down", scheme="ggml-q4_k")
    schemes = {row.scheme for one in found.modules for row in one.schemes}
    assert {"ggml-q4_k", "bf16", "fp8-tensor"} <= schemes
    assert "ggml-q8_0" not in schemes
