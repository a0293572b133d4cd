"""Operators of a layer by hand: products, shards, small kernels, routed experts, the indexer."""

from dataclasses import replace

import numpy as np
import pytest
from support.h100_operators import BYTES, DEVICE, LLAMA, MIXTRAL, machine, module, one, rate

from planner.hardware.profile import DeviceProfile
from planner.models.catalog import resolve_model
from planner.models.spec import ModelSpec
from planner.throughput.attention import decode_parts
from planner.throughput.attention_fitted import Core
from planner.throughput.elementwise_kernels import small_kernels
from planner.throughput.expert_load import ExpertLoad
from planner.throughput.experts import expert_parts
from planner.throughput.fixed import (
    head_parts,
    pipeline_seconds,
    plain_gemm,
    router_parts,
    sampling_parts,
    top_k_parts,
)
from planner.throughput.indexer import indexer_parts
from planner.throughput.linear import all_reduces, dense_parts, shards
from planner.throughput.mixed import without_cached_pairs
from planner.throughput.points import Points, decode_phase, prefill_phase
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import FLOP_PER_EXP, chip


def test_a_plain_product_by_hand() -> None:
    """24 rows of 4,096 inputs, 1,000 outputs in BF16: each operand once, each result once."""
    found = plain_gemm(
        DEVICE,
        machine(),
        np.array([24.0]),
        np.array([1000.0]),
        4096.0,
        np.array([2 * 4096 * 1000.0]),
    )
    reached = DEVICE.achieved["bf16"]
    assert float(found.compute[0, 0]) == pytest.approx(
        2 * 24 * 1000 * 4096 / (rate("bf16") * reached.compute_fraction.value)
    )
    assert float(found.memory[0, 0]) == pytest.approx(
        (2 * 4096 * 1000 + 2 * 24 * 4096 + 2 * 24 * 1000)
        / (BYTES * reached.bandwidth_fraction.value)
    )


def test_a_stage_fewer_hops_than_stages() -> None:
    """Of 4 sequences' BF16 states: 0.5 · 400 GB/s inside the domain, 3 µs each."""
    phase = decode_phase(one(pp=4), 100.0)
    hop = 3e-6 + 4 * 4096 * 2 / 200e9
    for pp, hops in ((1, 0), (2, 1), (4, 3), (8, 7)):
        assert float(pipeline_seconds(LLAMA, machine(), one(pp=pp), phase)[0]) == pytest.approx(
            hops * hop
        )


@pytest.mark.parametrize("tp", [1, 2, 8])
def test_sampling_collects_the_logits_of_all_shards(tp: int) -> None:
    """Three passes over the rank's FP32 logits, and a gather of 128,256 of them a row."""
    found = sampling_parts(LLAMA, machine(), DEVICE, one(tp=tp), np.array([40.0]))
    small = DEVICE.achieved["elementwise"]
    assert float(found.memory[0, 0]) == pytest.approx(
        40 * 128_256 / tp * 4 * 3 / (BYTES * small.bandwidth_fraction.value)
    )
    assert float(found.launch[0, 0]) == pytest.approx(3 * small.floor_seconds.value)
    size = 40 * 128_256 * 4
    assert float(found.communication[0, 0]) == pytest.approx(
        0.0 if tp == 1 else 3e-6 + (tp - 1) / tp * size / 200e9
    )


def total(spec: ModelSpec, kind: str, pts: Points) -> float:
    return float(sum(size[0] for _, _, size in shards(module(spec, kind), pts)))


@pytest.mark.parametrize("kind", ["attention-qkv", "attention-out", "mlp-gate-up", "mlp-down"])
def test_the_shards_of_all_ranks_are_the_module(kind: str) -> None:
    """And copies of key and value heads beyond their number: 8 in Llama-3.1-8B."""
    whole = total(LLAMA, kind, one())
    assert (
        whole
        == 4096
        * {
            "attention-qkv": 4096 + 2 * 1024,
            "attention-out": 4096,
            "mlp-gate-up": 2 * 14336,
            "mlp-down": 14336,
        }[kind]
    )
    for tp in (2, 4, 8):
        assert tp * total(LLAMA, kind, one(tp=tp)) == pytest.approx(whole)
    beyond = 16 * total(LLAMA, kind, one(tp=16))
    copied = 2 * 1024 * 4096 if kind == "attention-qkv" else 0
    assert beyond == pytest.approx(whole + copied)


def test_a_split_takes_outputs_or_inputs() -> None:
    for kind, outputs, inputs in (
        ("mlp-gate-up", 2 * 14336 / 4, 4096),
        ("mlp-down", 4096, 14336 / 4),
        ("head", 128_256 / 4, 4096),
    ):
        ((out, held, _),) = shards(module(LLAMA, kind), one(tp=4))
        assert (float(out[0]), float(held[0])) == (outputs, inputs)


@pytest.mark.parametrize("rows", [1, 64])
def test_a_dense_module_by_its_achieved_fractions(rows: int) -> None:
    down, phase = module(LLAMA, "mlp-down"), decode_phase(one(rows), 100.0)
    stored = 2.0 * 4096 * 14336
    found = dense_parts(down, machine(), one(rows), phase, np.array([[stored]]))
    reached = DEVICE.achieved["bf16"]
    assert float(found.compute[0, 0]) == pytest.approx(
        2 * rows * 4096 * 14336 / (rate("bf16") * reached.compute_fraction.value)
    )
    assert float(found.memory[0, 0]) == pytest.approx(
        (stored + 2 * rows * (4096 + 14336)) / (BYTES * reached.bandwidth_fraction.value)
    )


def test_every_product_of_divided_inputs_is_reduced() -> None:
    """Two halves of a layer end in two; an odd one of whole inputs does not."""
    for kind in ("attention-out", "mlp-down"):
        half = module(LLAMA, kind)
        assert all_reduces(half) == 1
        assert all_reduces(replace(half, gemms=2 * half.gemms)) == 2
        column = module(LLAMA, "mlp-gate-up").gemms
        assert all_reduces(replace(half, gemms=(*half.gemms, *column, *half.gemms))) == 2
    assert all_reduces(replace(module(LLAMA, "mlp-gate-up"), gemms=2 * column)) == 1


@pytest.mark.parametrize("scheme", ["bf16", "int4-w4a16"])
@pytest.mark.parametrize(
    ("kind", "outputs", "inputs"),
    [("experts-gate-up", 2 * 14336, 4096), ("experts-down", 4096, 14336)],
)
@pytest.mark.parametrize("ep", [1, 2])
def test_routed_experts_that_were_not_measured(
    kind: str, outputs: int, inputs: int, ep: int, scheme: str
) -> None:
    """Three of a rank's experts touched by 40 pairs: two FLOP a pair and element, the weights of
    those touched, narrow ones widened; gate-up and down share the floor of one kernel."""
    load = ExpertLoad(np.array([40.0]), np.array([3.0]), np.full((1, 5), 48.0), np.zeros(1))
    stored = 8 / ep * 2.0 * outputs * inputs
    assert MIXTRAL.experts is not None
    pts = one(20, tp=ep, ep=ep)
    found = expert_parts(
        module(MIXTRAL, kind),
        MIXTRAL.experts,
        machine([scheme]),
        pts,
        decode_phase(pts, 100.0),
        np.array([[stored]]),
        load,
    )
    kern = machine([scheme]).grouped
    assert kern is not None
    assert float(found.compute[0, 0]) == pytest.approx(
        2 * 40 * outputs * inputs / (kern.peak[0] * kern.compute_fraction[0])
    )
    moved = stored * 3 / (8 / ep) + 40 * 2 * (inputs + outputs)
    assert float(found.memory[0, 0]) == pytest.approx(moved / (BYTES * kern.bandwidth_fraction[0]))
    assert float(found.launch[0, 0]) == pytest.approx(0.5 * kern.floor[0])
    assert float(found.conversion[0, 0]) == pytest.approx(3 * outputs * inputs / kern.conversion[0])
    assert (found.conversion[0, 0] > 0) == (scheme != "bf16")


def test_keys_and_values_share_a_kernel_by_their_widths() -> None:
    """MiMo-V2-Flash: keys of 192, values of 128; alike in Llama."""
    wide = resolve_model("mimo-v2-flash").attention[0]
    ones = np.ones(1)
    for attention, keys in ((wide, 192 / 320), (LLAMA.attention[0], 0.5)):
        shares = [Core(attention, kind, DEVICE, (), ones, ones).share for kind in ("kv-k", "kv-v")]
        assert shares == pytest.approx([keys, 1 - keys])
    latent = resolve_model("deepseek-v3").attention[0]
    assert Core(latent, "kv-latent", DEVICE, (), ones, ones).share == 1.0


def test_the_choice_of_an_indexer_launches_three_kernels() -> None:
    """DeepSeek-V3.2: a product in FP8, then the choice of the best entries and their gather."""
    attention = resolve_model("deepseek-v3.2").attention[0]
    for pts, phase, passes in (
        (one(16), decode_phase(one(16), 8192.0), 1),
        (one(16), prefill_phase(one(16), 8192, 2048), 4),
    ):
        found = indexer_parts(attention, DEVICE, pts, phase)
        product = DEVICE.achieved["fp8-block"].floor_seconds.value
        small = DEVICE.achieved["elementwise"].floor_seconds.value
        assert float(found.launch[0, 0]) == pytest.approx(passes * (product + 3 * small))


@pytest.mark.parametrize("cached", [0, 500, 999])
def test_a_prompt_s_cached_tokens_are_not_attended_from(cached: int) -> None:
    """1,000 tokens: of the pairs of all queries those of the cached ones are left out; launches
    are not."""
    phase = prefill_phase(one(), 1000, 4096, cached)
    whole = parts(
        compute=np.full((1, 1), 3e-3),
        memory=np.full((1, 1), 2e-3),
        launch=np.asarray(1e-5),
        busy=np.full((1, 1), 5e-3),
    )
    found = without_cached_pairs(whole, LLAMA.attention[0], phase)
    share = 1 - cached * (cached + 1) / (1000 * 1001)
    assert float(found.compute[0, 0]) == pytest.approx(3e-3 * share)
    assert float(found.busy[0, 0]) == pytest.approx(5e-3 * share)
    assert float(found.launch[0, 0]) == pytest.approx(1e-5)
    step = replace(phase, name="decode")
    assert float(without_cached_pairs(whole, LLAMA.attention[0], step).busy[0, 0]) == 5e-3


def test_a_chip_without_a_stated_rate_of_exponentials() -> None:
    """Vector FLOP/s over 16 where there are any, none else; a stated one goes first."""
    assert DEVICE.silicon is not None
    assert DEVICE.vector_fp32_flop_per_s is not None
    unstated = replace(DEVICE, silicon=replace(DEVICE.silicon, exp_per_s=None))
    bare = replace(unstated, vector_fp32_flop_per_s=None)
    stated = replace(
        unstated, silicon=replace(DEVICE.silicon, exp_per_s=DEVICE.vector_fp32_flop_per_s)
    )
    found = [chip(device) for device in (unstated, bare, stated)]
    vector = DEVICE.vector_fp32_flop_per_s.value
    assert [one.exp_per_s for one in found if one is not None] == [
        vector / FLOP_PER_EXP,
        0.0,
        vector,
    ]


@pytest.mark.parametrize("layout", ["int8-token", "int4-token"])
def test_entries_are_converted_beside_what_reads_them(layout: str) -> None:
    """16 × 3,000 entries of 8 keys of 128: the slower of reading and converting; a slow converter
    sets the time, a quick one is hidden."""
    kind = layout.partition("-")[0]
    stated, pts = DEVICE.conversion[kind], one(16)
    elements = 16 * 3000 * 8 * 128

    def step(device: DeviceProfile) -> Parts:
        return decode_parts(
            LLAMA.attention[0],
            "kv-k",
            [layout],
            device,
            pts,
            decode_phase(pts, 3000.0),
            ("trtllm",),
        )

    free = step(replace(DEVICE, conversion={}))
    assert float(free.conversion[0, 0]) == 0.0
    for slower in (0.01, 1.0, 1000.0):
        rate = replace(stated, value=stated.value / slower)
        found = step(replace(DEVICE, conversion={**DEVICE.conversion, kind: rate}))
        seconds = elements / rate.value
        assert float(found.conversion[0, 0]) == pytest.approx(seconds)
        assert float(found.busy[0, 0]) == pytest.approx(max(float(free.busy[0, 0]), seconds))


def test_router_and_head_are_plain_products() -> None:
    """Eight outputs for 4 rows and their choice; a quarter of the vocabulary on four ranks."""
    phase = decode_phase(one(), 100.0)
    router = module(MIXTRAL, "router")
    found = router_parts(router, machine(), DEVICE, one(), phase)
    product = plain_gemm(
        DEVICE, machine(), np.array([4.0]), np.array([8.0]), 4096.0, np.array([2.0 * 8 * 4096])
    )
    choice = top_k_parts(router, DEVICE, phase)
    assert float(found.total()[0, 0]) == pytest.approx(
        float((product.total() + choice.total())[0, 0])
    )
    pts = one(tp=4)
    head = head_parts(LLAMA, machine(), DEVICE, pts, decode_phase(pts, 100.0))
    shard = plain_gemm(
        DEVICE,
        machine(),
        np.array([4.0]),
        np.array([32_064.0]),
        4096.0,
        np.array([2.0 * 32_064 * 4096]),
    )
    sampled = sampling_parts(LLAMA, machine(), DEVICE, pts, np.array([4.0]))
    assert float(head.compute[0, 0]) == pytest.approx(float(shard.compute[0, 0]))
    assert float(head.memory[0, 0]) == pytest.approx(float((shard.memory + sampled.memory)[0, 0]))


def test_what_the_host_and_other_ranks_add_to_small_kernels() -> None:
    """8 µs of an engine on the same cores; MiniMax's norms over all heads add up 8 bytes a
    token."""
    spec, pts = resolve_model("minimax-m2.5"), one(tp=2)
    phase = decode_phase(pts, 100.0)
    plain, slower = (
        small_kernels(spec, m, DEVICE, pts, phase)
        for m in (machine(), replace(machine(), host_seconds=8e-6))
    )
    assert float((slower.launch - plain.launch)[0, 0]) == pytest.approx(8e-6)
    assert float(plain.communication[0, 0]) == pytest.approx(3e-6 + 2 * 0.5 * 4 * 8 / 200e9)


@pytest.mark.parametrize("rows", [1, 2, 64])
def test_narrow_weights_of_a_dense_module_are_widened(rows: int) -> None:
    down, kern = module(LLAMA, "mlp-down"), machine(["int4-w4a16"]).dense
    found = dense_parts(
        down,
        machine(["int4-w4a16"]),
        one(rows),
        decode_phase(one(rows), 100.0),
        np.array([[0.5 * 4096 * 14336]]),
    )
    assert not kern.widened_first.any()
    assert float(found.conversion[0, 0]) == pytest.approx(4096 * 14336 / kern.conversion[0])
    assert float(found.launch[0, 0]) == pytest.approx(kern.floor[0])
