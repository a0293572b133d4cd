"""Borders and rarely taken terms by hand: a cache that is just full, floors, uneven experts, FLOP
of forms that no device is measured for."""

from dataclasses import replace
from math import exp, lgamma, log
from typing import Any

import numpy as np
import pytest

from planner.formats.schemes import scheme
from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.throughput import attention, ggml, recurrent
from planner.throughput.arrivals import MANY, prompts_a_step
from planner.throughput.arrivals import _start as first_count
from planner.throughput.attention_module import Projections
from planner.throughput.curves import curve
from planner.throughput.expert_load import TILES, ExpertLoad, power_law_counts
from planner.throughput.forms.moe import TRITON_TILES, padded_rows
from planner.throughput.gemm import gemm_model
from planner.throughput.moe_choice import lowest_error_kernel
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import burst_wait, closed_loop
from planner.throughput.silicon import chip

BATCH = np.array([0.0, 1.0, 8.0, 64.0, 512.0])


def table(*groups: float) -> StepTimes:
    """A step of 8 ms and 0.04 ms a sequence; prompts alone take 40 ms, ``groups`` together."""
    decode = np.where(BATCH > 0, 8e-3 + 4e-5 * BATCH, 0.0)
    return StepTimes(BATCH, decode, decode + 40e-3, np.array(groups or (40e-3,)))


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_cache_that_just_holds_all_requests_is_as_good_as_a_larger_one(exclusive: bool) -> None:
    policy, load = Scheduling(exclusive=exclusive), Load(16, 1024, 256, alike=True)
    just, more = (
        closed_loop(table(), replace(load, cache_tokens=tokens), policy)
        for tokens in (16.0 * 1280, 1e9)
    )
    assert just == more
    assert not just.full
    less = closed_loop(table(), replace(load, cache_tokens=8.0 * 1280), policy)
    assert less.full
    assert less.ttft > just.ttft


@pytest.mark.parametrize(
    ("groups", "together", "ahead"),
    [((40e-3,), 1, 16), ((40e-3, 60e-3), 2, 8), ((40e-3, 60e-3, 70e-3, 75e-3), 4, 4)],
)
def test_a_cohort_reads_its_prompts_in_groups_and_then_decodes(
    groups: tuple[float, ...], together: int, ahead: int
) -> None:
    """16 of one length: their groups one after the other, then 256 steps of 16 sequences."""
    found = closed_loop(
        table(*groups),
        Load(16, 1024, 256, alike=True, cache_tokens=1e9),
        Scheduling(exclusive=True),
    )
    reading, step = ahead * groups[together - 1], 8e-3 + 16 * 4e-5
    assert found.utilisation == pytest.approx(reading / (reading + 256 * step))
    assert found.tpot == pytest.approx(step + (ahead - 1) / 2 * groups[together - 1] / 256)
    assert found.ttft == pytest.approx((ahead + 1) / 2 * groups[together - 1])


def test_a_burst_is_read_in_groups_none_shorter_than_the_host_takes() -> None:
    """Eight prompts, two at a time in 60 ms: on average half of five passes, one's own apart."""
    times = table(40e-3, 60e-3)
    assert burst_wait(times, Scheduling(exclusive=True), 8.0) == pytest.approx(2.5 * 60e-3 - 40e-3)
    slow = Scheduling(exclusive=True, prompt_floor_seconds=0.1)
    assert burst_wait(times, slow, 8.0) == pytest.approx(1.5 * 0.1)


@pytest.mark.parametrize("mean", [MANY * 1.01, 5_000.0, 1e6])
def test_large_numbers_of_arrivals_begin_where_poisson_does(mean: float) -> None:
    """log P(k) = k·log m − m − log k!."""
    count, chance = first_count(mean)
    assert 0 < count < mean
    exact = count * log(mean) - mean - lgamma(count + 1)
    assert log(chance) == pytest.approx(exact, abs=2e-15 * count * log(mean) + 1e-12)
    assert first_count(2.0) == (0.0, exp(-2.0))
    assert prompts_a_step(mean, 1) == pytest.approx(mean)


def test_a_power_law_is_as_wide_as_the_tokens_where_experts_are_many_times_asked() -> None:
    """Draws of density 1/x lie between 1 and W = 0.8 tokens, so that the fullest of 1,000 experts
    has close to W·ln W/(W − 1) times the mean."""
    counts = power_law_counts(2000, 1000, 4, 1.0, 3)
    assert counts.sum() == 8000
    assert counts.max() / 8 == pytest.approx(1600 * log(1600) / 1599, rel=0.12)


def test_rows_of_low_tiles_cost_more() -> None:
    """A tile of 16 rows is 1 + s·(128/16 − 1) times as slow a row as one of 128."""
    padded = np.array([[10.0, 20.0, 40.0, 80.0, 160.0]])
    load = ExpertLoad(np.array([9.0]), np.array([3.0]), padded, np.zeros(1))
    rows = [p * (1 + 0.5 * (128 / t - 1)) for p, t in zip(padded[0], TILES, strict=True)]
    assert padded_rows(load, 0.0).tolist() == [10.0]
    assert padded_rows(load, 0.5) == pytest.approx([min(rows)])
    few, high = (rows[tile] for tile in TRITON_TILES)
    assert padded_rows(load, 0.5, np.array([False])) == pytest.approx([min(few, high)])
    assert padded_rows(load, 0.5, np.array([True])) == pytest.approx([high])


def test_a_device_without_links_has_no_curve_of_collectives() -> None:
    for name in ("gh200", "jetson-agx-thor-t5000", "tpu-v6e"):
        device = resolve_device(name)
        figures = chip(device)
        assert figures is None or not figures.link_bytes_per_s
        assert curve(device, "all-reduce", ("vllm",)) is None
    linked = curve(resolve_device("gh200"), "all-reduce", ("vllm",), 450e9)
    assert linked is not None
    assert linked.link_bytes_per_s == 450e9


@pytest.mark.parametrize(
    ("model", "kind", "flop"),
    [
        ("llama-3.1-8b", "kv-k", 2 * 128),
        ("llama-3.1-8b", "kv-v", 2 * 128),
        ("deepseek-v3", "kv-latent", 2 * (128 + 64 + 128)),
        ("deepseek-v3.2", "kv-latent", 2 * (512 + 64 + 512)),
    ],
)
def test_flop_of_a_prompts_token_pair(model: str, kind: str, flop: float) -> None:
    """Dense prompts of latent attention are expanded to heads; selected ones run on the latents."""
    assert attention._prefill_flop(resolve_model(model).attention[0], kind) == flop


def test_flop_of_recurrent_layers_by_hand() -> None:
    """Gated delta rule, 128 × 128: chunks of 64 tokens make three products of keys' width and two
    of values', and three with the state; a step four passes over the state. Mamba-2: 64 heads of 64
    in 8 groups, states of 128."""
    delta = next(a for a in resolve_model("qwen3-next-80b-a3b").attention if a.kind == "linear")
    assert (delta.key_dim, delta.head_dim) == (128, 128)
    assert recurrent._flop(delta, decode=False) == 2 * 64 * (3 * 128 + 2 * 128) + 2 * 3 * 128 * 128
    assert recurrent._flop(delta, decode=True) == 8 * 128 * 128
    mamba = next(
        a for a in resolve_model("nemotron-3-nano-30b-a3b").attention if a.rule == "mamba2"
    )
    assert (mamba.key_dim, mamba.head_dim, mamba.heads // mamba.kv_heads) == (128, 64, 8)
    assert recurrent._flop(mamba, decode=False) == 2 * 64 * (128 / 8 + 64) + 4 * 128 * 64
    assert recurrent._flop(mamba, decode=True) == 6 * 128 * 64


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("ggml-q8_0", "w8a16"),
        ("ggml-q6_k", "w8a16"),
        ("ggml-q5_k", "w4a16"),
        ("ggml-q4_k", "w4a16"),
    ],
)
def test_types_of_more_than_six_bits_are_read_like_eight(name: str, reads: str) -> None:
    assert ggml.classes(resolve_device("h100-sxm"), scheme(name))[1] == reads


def test_a_device_without_a_compute_capability_takes_the_row_of_its_platform() -> None:
    rows: list[dict[str, Any]] = [
        {"capability": "9.0-9.9"},
        {"capability": "7.0-8.9", "platforms": ["metal"]},
        {"capability": "0-6.9"},
    ]
    h100 = resolve_device("h100-sxm")
    other = replace(h100, compute_capability=None, platform="metal")
    assert ggml._by_capability(h100, rows) is rows[0]
    assert ggml._by_capability(replace(h100, platform="metal"), rows) is rows[0]
    assert ggml._by_capability(replace(h100, compute_capability="8.6"), rows) is rows[1]
    assert ggml._by_capability(other, rows) is rows[1]
    assert ggml._by_capability(replace(other, platform="rocm"), rows) is rows[2]


def test_products_of_a_module_are_as_sure_as_what_they_are_made_of() -> None:
    device, spec = resolve_device("h200-sxm"), resolve_model("deepseek-v3")
    products = Projections(
        spec.attention[0], spec.hidden_size, "fp8-block", expanded=True, indexer=False
    )
    found = products.seconds(device, ("vllm",), np.array([512.0]), np.array([128.0]))
    models = [gemm_model(device, name, ("vllm",)) for name in ("fp8-block", "bf16")]
    assert found is not None
    sigmas = [one.sigma for one in models if one is not None]
    assert len(sigmas) == 2
    assert min(sigmas) <= found[1] <= max(sigmas)


def test_a_set_is_named_for_what_it_stands_for_only_where_it_is_lent() -> None:
    seen = set()
    for name in ("h100-sxm", "h200-sxm", "b200-sxm"):
        for stack in ("vllm", "sglang", "trtllm"):
            for kind in ("bf16", "fp8-block", "fp8-tensor", "nvfp4-w4a4", "mxfp4-w4a16"):
                found = lowest_error_kernel(resolve_device(name), kind, stack, None)
                if found is not None:
                    seen.add(found.lent is None)
                    assert found.lent is not None or found.wanted == ""
    assert True in seen
