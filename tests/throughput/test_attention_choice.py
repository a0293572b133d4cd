"""Which kernel prices a cache: layouts, stacks, branches, devices; nothing borrows in silence."""

import numpy as np
import pytest

from planner.formats.kv import kv_layout_ids
from planner.lab.validation.transfer import without_own
from planner.lookup import load_device
from planner.models.catalog import resolve_model
from planner.models.spec import Attention
from planner.throughput.attention import decode_parts, layout_certainty, prefill_parts
from planner.throughput.attention_kernels import attention_model, kernel_model
from planner.throughput.calibration import PRIOR, STACKS
from planner.throughput.points import Points, decode_phase, prefill_phase
from planner.throughput.roofline import fused_operators, seconds

H100 = load_device("h100-sxm")
LLAMA = resolve_model("llama-3.1-70b").attention[0]
TRTLLM = ("trtllm",)


def points(slots: list[int], tp: int = 1) -> Points:
    one = np.ones(len(slots))
    return Points(
        layout=np.zeros(len(slots), dtype=np.int64),
        tp=one * tp,
        dp=one,
        pp=one,
        ep=one,
        slot=np.array(slots, dtype=np.float64),
    )


def test_measured_layouts_are_fitted_and_others_say_what_they_borrow() -> None:
    basis = {
        name: layout_certainty(LLAMA, "kv-v", name, H100, TRTLLM, decode=True)
        for name in kv_layout_ids()
        if name not in ("fp8-ds-mla", "int4-channel")
    }
    assert {n for n, c in basis.items() if c.basis == "fitted"} == {"bf16", "fp8"}
    assert basis["fp16"].basis == "transferred"
    for name in ("int8-token", "int4-token", "nvfp4", "fp32"):
        assert basis[name].basis == "prior"
        assert basis[name].sigma > 2 * basis["fp8"].sigma
        assert "trtllm" in basis[name].origin


def test_a_stack_borrows_its_neighbour_with_a_wider_interval() -> None:
    own = layout_certainty(LLAMA, "kv-k", "bf16", H100, ("vllm",), decode=True)
    lent = layout_certainty(LLAMA, "kv-k", "bf16", H100, ("sglang",), decode=True)
    assert (own.basis, lent.basis) == ("fitted", "transferred")
    assert lent.sigma > own.sigma
    assert "vllm" in lent.origin
    latent = resolve_model("deepseek-v3").attention[0]
    sglang = layout_certainty(latent, "kv-latent", "bf16", H100, ("sglang",), decode=True)
    assert (sglang.basis, "sglang" in sglang.origin) == ("fitted", True)


def test_an_engine_without_measurements_keeps_the_roofline() -> None:
    assert layout_certainty(LLAMA, "kv-k", "bf16", H100, (), decode=True) == PRIOR
    pts, phase = points([4]), decode_phase(points([4]), 4096)
    plain = decode_parts(LLAMA, "kv-k", ["bf16"], H100, pts, phase).total()
    assert plain == decode_parts(LLAMA, "kv-k", ["bf16"], H100, pts, phase, ()).total()
    assert plain != decode_parts(LLAMA, "kv-k", ["bf16"], H100, pts, phase, TRTLLM).total()


def test_layouts_together_are_the_layouts_alone() -> None:
    names = ["bf16", "fp8", "nvfp4", "int8-token"]
    pts = points([1, 16, 200])
    for run, phase in (
        (decode_parts, decode_phase(pts, 5000)),
        (prefill_parts, prefill_phase(pts, 5000, 2048)),
    ):
        together = run(LLAMA, "kv-v", names, H100, pts, phase, STACKS)
        assert together.total().shape == (3, 4)
        for i, name in enumerate(names):
            alone = run(LLAMA, "kv-v", [name], H100, pts, phase, STACKS).total()
            np.testing.assert_allclose(together.total()[:, [i]], alone)


def test_a_layout_with_a_kernel_of_its_own_leaves_its_neighbours_alone() -> None:
    b200, vllm = load_device("b200-sxm"), ("vllm",)
    lent = {
        name: attention_model(b200, "attention-decode", name, vllm)
        for name in ("int8-token", "nvfp4")
    }
    assert all(lent.values())
    assert len({model.lent for model in lent.values() if model is not None}) == 2
    pts = points([1, 16, 200])
    phase = decode_phase(pts, 5000)
    for names in (["int8-token", "nvfp4"], ["nvfp4", "int4-token", "int8-token", "fp8"]):
        together = decode_parts(LLAMA, "kv-v", names, b200, pts, phase, vllm).total()
        for i, name in enumerate(names):
            alone = decode_parts(LLAMA, "kv-v", [name], b200, pts, phase, vllm).total()
            np.testing.assert_allclose(together[:, [i]], alone)


def test_keys_and_values_are_one_kernel_in_two_parts() -> None:
    pts = points([16])
    phase = decode_phase(pts, 3000)
    keys, values = (
        decode_parts(LLAMA, kind, ["bf16"], H100, pts, phase, TRTLLM) for kind in ("kv-k", "kv-v")
    )
    both = seconds(fused_operators([keys, values]).at(0, 0))
    assert both == pytest.approx(float(keys.total()[0, 0] + values.total()[0, 0]))


def test_windows_and_ungrouped_heads_have_sets_of_their_own() -> None:
    model = attention_model(H100, "attention-decode", "bf16", TRTLLM)
    assert model is not None
    assert set(model.branches) == {"window", "mha"}
    no, yes = np.array([False]), np.array([True])
    assert model.sigma(no, no, 1) == model.certainty.sigma
    assert model.sigma(yes, no, 1) > 1.2 * model.sigma(no, no, 1)


def test_a_longer_window_than_measured_widens_the_interval() -> None:
    def sigma(window: int) -> float:
        group = Attention("gqa", (0,), 32, 8, 128, window=window)
        return layout_certainty(group, "kv-k", "bf16", H100, ("vllm",), decode=True).sigma

    assert sigma(128) < sigma(4096)


def test_a_window_is_no_slower_to_decode_than_the_whole_cache() -> None:
    pts = points([64])
    phase = decode_phase(pts, 32768)
    full = Attention("gqa", (0,), 32, 8, 128)
    slid = Attention("gqa", (0,), 32, 8, 128, window=1024)
    for stack in ("trtllm", "vllm"):
        times = [
            float(decode_parts(a, "kv-k", ["bf16"], H100, pts, phase, (stack,)).total()[0, 0])
            for a in (slid, full)
        ]
        assert times[0] < 0.25 * times[1]


def test_another_architecture_takes_no_branch_of_the_kernel() -> None:
    gb200, a100 = load_device("gb200"), without_own(load_device("a100-sxm"), H100)
    near = kernel_model(gb200, "attention-decode", "bf16/bf16", ["vllm"])
    far = kernel_model(a100, "attention-decode", "bf16/bf16", ["vllm"])
    assert near is not None
    assert far is not None
    assert near.certainty.basis == far.certainty.basis == "transferred"
    assert "b200-sxm" in near.certainty.origin
    assert set(near.branches) == {"window"}
    assert not far.branches
    assert far.parameters["wide_factor"] == 1.0
    assert (
        far.certainty.sigma
        > H100.fitted["attention-decode", "vllm", "bf16/bf16"].error.sigma + 0.05
    )


def test_an_fp8_kernel_needs_an_fp8_unit() -> None:
    a100 = load_device("a100-sxm")
    assert kernel_model(a100, "attention-prefill", "fp8/fp8", TRTLLM) is None
    prompt = layout_certainty(LLAMA, "kv-k", "fp8", a100, TRTLLM, decode=False)
    assert prompt.basis == "prior"
    assert "bf16/bf16" in prompt.origin
    pts = points([64])
    phase = decode_phase(pts, 8192)
    parts = decode_parts(LLAMA, "kv-k", ["fp8"], a100, pts, phase, TRTLLM)
    assert parts.conversion[0, 0] > 0  # the cache is widened in software


def test_a_served_cache_is_cold() -> None:
    pts = points([1])
    phase = decode_phase(pts, 4096)  # 16 MB, which L2 would hold
    found = 2 * float(
        decode_parts(LLAMA, "kv-k", ["bf16"], H100, pts, phase, ("vllm",)).memory[0, 0]
    )
    fraction = H100.fitted["attention-decode", "vllm", "bf16/bf16"].parameters["bandwidth_fraction"]
    moved = 2 * 2 * 4096 * 8 * 128
    assert found >= moved / (3.35e12 * fraction)


@pytest.mark.parametrize("decode", [True, False])
def test_sparse_latents_have_kernels_of_their_own_where_modules_were_measured(decode: bool) -> None:
    sparse = resolve_model("deepseek-v3.2").attention[0]
    for stack in STACKS:
        own = layout_certainty(sparse, "kv-latent", "bf16", H100, [stack], decode=decode)
        assert own.basis == "fitted"
        assert own.origin.startswith(stack)
        assert ("without waiting" in own.origin) == (decode and stack != "sglang")
    record = layout_certainty(sparse, "kv-latent", "fp8-ds-mla", H100, ["vllm"], decode=decode)
    assert record.basis == "fitted"
    narrow = layout_certainty(sparse, "kv-latent", "int8-token", H100, ["vllm"], decode=decode)
    assert narrow.basis == "prior"
    a100 = load_device("a100-sxm")
    assert layout_certainty(sparse, "kv-latent", "bf16", a100, STACKS, decode=decode).basis in (
        "transferred",
        "prior",
    )


def test_sparse_latents_of_an_engine_without_tables_are_priced_by_the_roofline() -> None:
    sparse = resolve_model("deepseek-v3.2").attention[0]
    assert layout_certainty(sparse, "kv-latent", "bf16", H100, [], decode=False) == PRIOR


def test_vllm_reads_latents_by_kernels_of_its_own() -> None:
    dense = resolve_model("deepseek-v3").attention[0]
    for name in ("h100-sxm", "h200-sxm", "b200-sxm"):
        for decode in (True, False):
            how = layout_certainty(
                dense, "kv-latent", "bf16", load_device(name), ["vllm"], decode=decode
            )
            assert how.basis == "fitted"
            assert how.origin.startswith("vllm")


def floor(device: str, operator: str, stack: str) -> float:
    model = attention_model(load_device(device), operator, "bf16", [stack])
    assert model is not None
    return model.parameters["floor_seconds"] + (
        model.rest["floor_seconds"] if model.rest is not None else 0.0
    )


def measured_floor(device: str, operator: str, stack: str) -> float:
    return load_device(device).fitted[operator, stack, "bf16/bf16"].parameters["floor_seconds"]


def test_a_module_that_waited_takes_the_floor_of_those_that_did_not() -> None:
    assert measured_floor("h200-sxm", "mla-decode", "vllm") > 60e-6
    assert floor("h200-sxm", "mla-decode", "vllm") == floor("h200-sxm", "mla-decode", "trtllm")
    assert floor("h200-sxm", "mla-decode", "trtllm") < 20e-6
    # Nobody waits for dense modules on B200: each keeps its own.
    assert floor("b200-sxm", "mla-decode", "vllm") == measured_floor(
        "b200-sxm", "mla-decode", "vllm"
    )
    # The slowest of the quick ones, not the quickest.
    assert floor("b200-sxm", "dsa-decode", "vllm") == measured_floor(
        "b200-sxm", "dsa-decode", "trtllm"
    )


def test_a_sparse_module_needs_no_less_than_a_dense_core() -> None:
    assert measured_floor("h100-sxm", "dsa-decode", "sglang") < 10e-6
    assert floor("h100-sxm", "dsa-decode", "vllm") == measured_floor(
        "h100-sxm", "mla-decode", "sglang"
    )


def test_waiting_in_prompts_stays() -> None:
    assert floor("h200-sxm", "mla-prefill", "vllm") == measured_floor(
        "h200-sxm", "mla-prefill", "vllm"
    )


@pytest.mark.parametrize(
    "name",
    [
        "llama-3.1-8b",
        "deepseek-v3",
        "deepseek-v3.2",
        "gpt-oss-120b",
        "gemma-3-27b-text",
        "llama-4-scout",
    ],
)
@pytest.mark.parametrize("device", ["h100-sxm", "b200-sxm", "l40s"])
def test_times_grow_with_sequences_and_length(name: str, device: str) -> None:
    pts = points([1, 2, 3, 8, 64, 500])
    profile = load_device(device)
    for attention in resolve_model(name).attention:
        kind = "kv-latent" if attention.kind == "mla" else "kv-k"
        before = np.zeros((6, 2))
        for length in (16, 100, 2048, 5000, 131072):
            now = decode_parts(
                attention, kind, ["bf16", "fp8"], profile, pts, decode_phase(pts, length), STACKS
            ).total()
            assert (np.diff(now, axis=0) >= 0).all()
            assert (now >= before * (1 - 1e-12)).all()
            before = now
        times = [
            float(
                prefill_parts(
                    attention, kind, ["bf16"], profile, pts, prefill_phase(pts, n, 8192), STACKS
                ).total()[0, 0]
            )
            for n in (16, 500, 8192, 8193, 100_000)
        ]
        assert times == sorted(times)


def test_an_engine_on_another_path_than_its_table_takes_that_paths_kernel() -> None:
    """SGLang expands prompts on Hopper, where its table is of the absorbed kernel."""
    own = load_device("h200-sxm").fitted["mla-prefill", "sglang", "bf16/bf16"]
    served = attention_model(load_device("h200-sxm"), "mla-prefill", "bf16", ["sglang"])
    assert served is not None
    assert served.parameters["compute_fraction"] > 3 * own.parameters["compute_fraction"]
    assert (served.certainty.basis, served.rest) == ("transferred", None)
    assert served.certainty.origin.startswith("trtllm")
    here = attention_model(load_device("b200-sxm"), "mla-prefill", "bf16", ["sglang"])
    assert here is not None
    assert here.certainty.origin.startswith("sglang")
    # Tables are scored by what they measured.
    table = kernel_model(load_device("h200-sxm"), "mla-prefill", "bf16/bf16", ["sglang"])
    assert table is not None
    assert table.parameters == own.parameters
