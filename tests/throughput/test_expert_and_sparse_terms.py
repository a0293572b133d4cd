"""Each term of the forms of fused experts and of sparse attention by hand, and rates of experts on
a CPU: a wrong sign fails here."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout
from planner.throughput import attention, recurrent, residency
from planner.throughput.collectives import Fabric, all_reduce, expert_exchange
from planner.throughput.curves import ExchangeWork
from planner.throughput.engine_policy import shared_experts_overlap
from planner.throughput.expert_load import ExpertLoad, power_law_counts
from planner.throughput.forms import dsa, moe
from planner.throughput.forms.mla import LatentShape
from planner.throughput.offload import LayerWork, cpu_experts
from planner.throughput.points import decode_phase, points
from planner.throughput.pools import Pools, pooled_loop
from planner.throughput.residency import Link
from planner.throughput.roofline import operator
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.silicon import Chip

CHIP = Chip("round", {"bf16": 1e15, "fp8": 2e15}, 1e12, 100.0, 5e7, 1e13, 1e11)
LATENT = LatentShape(
    np.asarray(2.0),
    np.asarray(1000.0),
    np.asarray(16.0),
    np.asarray(2.0),
    key=192.0,
    value=128.0,
    latent=512.0,
    rope=64.0,
    past=np.asarray(24.0),
)
REST = 4 * 16 * (2 * 192 + 2 * 128 + 2 * 512 + 64)
"""Bytes of a token beside the core."""


def constants(wanted: Any, **other: float) -> dict[str, float]:
    return {p.name: p.start for p in wanted} | other


def experts(
    variant: str,
    tokens: float,
    matrices: float = 3.0,
    cold: bool = True,
    width: float = 768.0,
    **other: float,
) -> Any:
    """32 of the experts on a rank, 20 touched, 64 pairs here and 192 elsewhere, 100 rows of tiles
    of any height."""
    p = constants(
        moe.parameters_of(variant),
        **{
            "compute_fraction": 0.5,
            "bandwidth_fraction": 0.5,
            "small_tile": 0.0,
            "fill_elements": 100.0,
            "traffic": 1.5,
            "launch_seconds": 1e-5,
            **other,
        },
    )
    shard = moe.ExpertShard(
        np.asarray(2048.0),
        np.asarray(width),
        np.asarray(32.0),
        np.asarray(1.0),
        "fp8",
        np.asarray(matrices),
    )
    load = ExpertLoad(np.asarray(64.0), np.asarray(20.0), np.full(5, 100.0), np.asarray(192.0))
    return moe.moe_parts(p, CHIP, variant, shard, load, tokens=np.asarray(tokens), cold=cold)


@pytest.mark.parametrize("matrices", [2.0, 3.0])
def test_fused_experts_by_hand(matrices: float) -> None:
    """Gate and up (or up alone) and down, each filled by 100 elements; weights of the touched;
    hidden features twice a pair, inner ones in and out, once more after gate and up."""
    found = experts(
        "cutlass:fp8-block",
        8.0,
        matrices,
        token_passes=2.0,
        traffic_elsewhere=0.5,
        expert_seconds=1e-8,
    )
    work = 2 * (matrices - 1) * 768 * 2148 + 2 * 2048 * 868
    assert float(found.compute) == pytest.approx(100 * work / (0.5 * 2e15))
    weights = 20 * matrices * 2048 * 768 / (0.5 * 1e12)
    pair = 4 * 2048 + (4 * (matrices - 1) + 2) * 768
    moved = (1.5 * (64 * pair + 2 * 4 * 8 * 2048) + 0.5 * 192 * pair) / 1e12
    assert float(found.memory) == pytest.approx(weights + moved)
    assert float(found.launch) == pytest.approx(1e-5 + 32e-8)
    compute = float(found.compute)
    assert max(compute, weights) + moved < float(found.busy) < compute + weights + moved


@pytest.mark.parametrize(
    ("tokens", "width", "memory", "compute"),
    [
        (32.0, 768.0, 1.0, 1.0),
        (33.0, 768.0, 2.0, 1.0),
        (32.0, 760.0, 3.0, 3.0),
        (33.0, 760.0, 6.0, 3.0),
    ],
)
def test_triton_is_slower_with_many_tokens_and_widths_that_loads_do_not_fit(
    tokens: float, width: float, memory: float, compute: float
) -> None:
    """Many: more tokens than experts; 760 is no multiple of 16."""
    found = experts(
        "triton:fp8-block",
        tokens,
        width=width,
        many_slowdown=2.0,
        unaligned_slowdown=3.0,
        traffic=0.0,
        traffic_elsewhere=0.0,
    )
    work = 2 * 2 * width * 2148 + 2 * 2048 * (width + 100)
    assert float(found.compute) == pytest.approx(compute * 100 * work / (0.5 * 2e15))
    assert float(found.memory) == pytest.approx(memory * 60 * 2048 * width / (0.5 * 1e12))


def test_warm_experts_are_read_from_l2_as_far_as_it_holds_them() -> None:
    cold, large, small = (
        float(
            experts(
                "cutlass:fp8-block",
                8.0,
                cold=cold,
                traffic=0.0,
                traffic_elsewhere=0.0,
                l2_share=share,
            ).memory
        )
        for cold, share in ((True, 1.0), (False, 1e6), (False, 1e-6))
    )
    assert small == pytest.approx(cold)
    assert large == pytest.approx(cold / (100 * moe.L2_RATE / 1e12))


def test_a_sparse_step_by_hand() -> None:
    """Of 1,000 tokens 300 are gathered for each of two sequences; 16 heads are padded to 64."""
    p = constants(
        (*dsa.DECODE_PARAMETERS, *dsa.STRUCTURE),
        floor_seconds=1e-5,
        split_seconds=2e-8,
        token_seconds=3e-8,
        rest_fraction=0.5,
        gather_fraction=0.5,
        compute_fraction=0.5,
        unit_seconds=4e-6,
        tile_heads=64.0,
    )
    found = dsa.dsa_core(p, CHIP, dsa.DECODE, dsa.SparseShape(LATENT, 300.0, 64.0, 128.0))
    gathered = 2 * 300 * 576 * 2 / (0.5 * 1e12)
    compute = 2 * 300 * 2 * 64 * (2 * 512 + 64) / (0.5 * 1e15)
    rest = 2 * REST / (0.5 * 1e12) + 2 * 3e-8
    assert float(found.memory) == pytest.approx(gathered + rest)
    assert float(found.compute) == pytest.approx(compute)
    assert float(found.launch) == pytest.approx(1e-5 + 2e-8 * 300**0.5)
    unit = 4e-6 * 2 * 16 / 64 / 100
    assert float(found.busy) == pytest.approx((gathered**4 + compute**4) ** 0.25 + unit + rest)
    few = dsa.dsa_core(p, CHIP, dsa.DECODE, dsa.SparseShape(LATENT, 5000.0, 64.0, 128.0))
    assert float(few.compute) == pytest.approx(compute / 300 * 1000)


@pytest.mark.parametrize(("whole", "topk"), [(0.0, 300.0), (1.0, 300.0), (0.0, 5000.0)])
def test_a_sparse_prompt_by_hand(whole: float, topk: float) -> None:
    """1,000 queries behind 24 entries see all until 300; a kernel may gather 300 for each."""
    p = constants(
        (*dsa.PREFILL_PARAMETERS, *dsa.STRUCTURE),
        floor_seconds=1e-5,
        token_seconds=3e-8,
        rest_fraction=0.5,
        compute_fraction=0.5,
        unit_seconds=4e-8,
        tile_heads=64.0,
        sequence_seconds=5e-6,
        entry_seconds=1e-9,
        whole=whole,
    )
    found = dsa.dsa_core(p, CHIP, dsa.PREFILL, dsa.SparseShape(LATENT, topk, 64.0, 128.0))
    pairs = 1000 * topk if whole else sum(min(24 + n, topk) for n in range(1, 1001))
    compute = 2 * pairs * 2 * 64 * (2 * 512 + 64) / (0.5 * 1e15) + 4e-8 * 2000 * 64 / 64
    rest = 2000 * REST / (0.5 * 1e12) + 2000 * 3e-8
    memory = 2 * (5e-6 + 1e-9 * 24) + rest
    assert float(found.compute) == pytest.approx(compute)
    assert float(found.memory) == pytest.approx(memory)
    assert float(found.launch) == pytest.approx(1e-5)
    assert float(found.busy) == pytest.approx(compute + memory)


@pytest.mark.parametrize(("narrow", "indexer"), [(0.0, False), (1.0, True), (2.0, False)])
def test_the_host_of_a_sparse_prompt_adds_up(narrow: float, indexer: bool) -> None:
    p = constants(
        (*dsa.PREFILL_PARAMETERS, *dsa.STRUCTURE),
        host_seconds=1e-4,
        narrow_host_seconds=2e-5,
        index_host_seconds=3e-4,
    )
    assert dsa.host_seconds(p, indexer=indexer, narrow=narrow) == pytest.approx(
        1e-4 + narrow * 2e-5 + (3e-4 if indexer else 0)
    )


def test_two_sockets_take_half_as_long_and_add_up_over_their_link() -> None:
    """128 pairs on 40 experts of 3 · 2,048 · 768 weights that are widened from four bits."""
    cpu, link = resolve_device("xeon-6980p"), Link("round", 1e10, 1e-5, "")
    size = 3 * 2048 * 768
    work = LayerWork(16.0, 2048, 128.0, 40.0, size, size // 2)
    one, two = (cpu_experts(cpu, "int4-w4a16", work, link, sockets) for sockets in (1, 2))
    for name in ("compute", "memory", "conversion"):
        assert getattr(two, name) == pytest.approx(getattr(one, name) / 2)
    assert one.reduce == 0 < two.reduce
    assert one.transfer == two.transfer == pytest.approx(2 * (1e-5 + 16 * 2048 * 2 / 1e10))
    twice = cpu_experts(cpu, "int4-w4a16", replace(work, pairs=256.0, touched=80.0), link)
    assert twice.compute == pytest.approx(2 * one.compute)
    assert twice.memory == pytest.approx(2 * one.memory)
    assert twice.conversion == pytest.approx(2 * one.conversion)
    assert one.conversion > 0
    assert one.seconds == pytest.approx(
        one.floor + max(one.compute, one.memory, one.conversion) + one.transfer
    )


def test_each_fetch_waits_and_moves_its_bytes() -> None:
    assert residency._seconds(3.0, 5_000_000, Link("round", 1e9, 1e-4, "")) == pytest.approx(
        3 * (5e-3 + 1e-4)
    )


def test_prefill_workers_for_one_that_decodes_are_seconds_over_seconds() -> None:
    """A prompt is read in 30 ms where two are read together in 60; a decode worker asks for a new
    one whenever one of its sequences ends."""
    batch = np.array([0.0, 1.0, 512.0])
    decode = np.where(batch > 0, 8e-3 + 4e-5 * batch, 0.0)
    times = StepTimes(batch, decode, decode + 40e-3, np.array([40e-3, 60e-3]), together=2.0)
    found = pooled_loop(times, Load(64, 1024, 512), Scheduling(), Pools(2, 1, 0.01))
    assert found.balance == pytest.approx(30e-3 * found.active / (512 * found.tpot))
    assert found.rate == pytest.approx(found.active / (512 * found.tpot))


@pytest.mark.parametrize(
    ("tokens", "experts_", "low", "high"), [(2000, 500, 1.0, 1600.0), (500, 2000, 0.01, 2.0)]
)
def test_draws_of_a_power_law_lie_on_its_range(
    tokens: int, experts_: int, low: float, high: float
) -> None:
    """The draws themselves, x = low·(high/low)^u, scaled to all pairs and rounded."""
    counts = power_law_counts(tokens, experts_, 4, 1.0, 7)
    drawn = np.random.default_rng([7, tokens, experts_, 4]).random(experts_)
    exact = np.exp(np.log(low) + drawn * np.log(high / low))
    exact *= 4 * tokens / exact.sum()
    assert counts.sum() == 4 * tokens
    assert np.abs(counts - exact).max() <= 1.5


def test_groups_inside_and_beyond_a_domain_do_not_disturb_each_other() -> None:
    net = Fabric(
        domain=8,
        domain_bytes_per_s=400e9,
        domain_floor_seconds=3e-6,
        network_bytes_per_s=50e9,
        network_floor_seconds=16e-6,
        fraction=0.5,
    )
    ranks, size = np.array([8.0, 16.0, 4.0]), np.full(3, 1e7)
    together = all_reduce(net, ranks, ranks, size)
    alone = [
        float(all_reduce(net, ranks[i : i + 1], ranks[i : i + 1], size[:1])[0]) for i in range(3)
    ]
    assert together == pytest.approx(alone)
    assert alone[1] > alone[0] > alone[2]


@pytest.mark.parametrize("network", [50e9, 0.0])
def test_a_measured_exchange_is_given_the_links_it_runs_over(network: float) -> None:
    """Without a network nothing leaves the domain, and nothing is waited for there."""
    given: list[tuple[float, float]] = []

    class Measured:
        def seconds(self, work: ExchangeWork, size: float, *, link: float, network: float) -> Any:
            given.append((link, network))
            return np.full(1, 7e-6)

    curves: Any = {("decode", "dispatch"): Measured()}
    net = Fabric(
        domain=8,
        domain_bytes_per_s=400e9,
        domain_floor_seconds=3e-6,
        network_bytes_per_s=network,
        network_floor_seconds=16e-6,
        fraction=0.5,
        exchange=curves,
    )
    one = np.ones(1)
    work = ExchangeWork(16 * one, 8 * one, one, 8.0, 128.0, 2048.0)
    found = expert_exchange(net, "decode", "dispatch", work, 8 * one, np.array([1.0, 2.0]))
    assert found.tolist() == [[7e-6, 7e-6]]
    assert given == [(400e9, network or np.inf)] * 2
    alone = replace(work, ranks=one)
    assert expert_exchange(net, "decode", "dispatch", alone, one, np.ones(1)).tolist() == [[0.0]]


def test_one_engine_runs_shared_experts_of_one_scheme_beside() -> None:
    told = {
        (engine, name)
        for engine in ("tensorrt-llm", "vllm", "sglang")
        for name in ("nvfp4", "bf16", "fp8-block")
        if shared_experts_overlap(engine, name)
    }
    assert told == {("tensorrt-llm", "nvfp4")}


def test_shapes_of_recurrences_by_hand() -> None:
    """Qwen3-Next: a convolution four wide. A short convolution alone: its products and gates."""
    delta = next(a for a in resolve_model("qwen3-next-80b-a3b").attention if a.kind == "linear")
    pts = points([Layout()], [(0, 4)])
    shape = recurrent._shape(delta, pts, decode_phase(pts, 1024))
    assert shape.width == 4
    conv = replace(delta, rule="conv", heads=32, head_dim=64, conv_elements=2 * 32 * 64)
    assert recurrent._flop(conv, decode=True) == 2 * 64 * 3


def test_entries_of_a_step_that_was_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama 3.1 8B on two ranks: five sequences of 1,000 tokens, 16 query heads, 4 of keys."""
    asked: list[dict[str, Any]] = []

    def noted(**of: Any) -> Any:
        asked.append(of)
        return operator(**of)

    monkeypatch.setattr(attention, "operator", noted)
    pts = points([Layout(2)], [(0, 5)])
    attention._plain_decode(
        resolve_model("llama-3.1-8b").attention[0],
        "kv-k",
        ["bf16"],
        resolve_device("h100-sxm"),
        pts,
        decode_phase(pts, 1000),
    )
    (of,) = asked
    assert of["flop"].item() == 5 * 1000 * 16 * 2 * 128
    assert of["moved_bytes"].item() == 5 * 1000 * 4 * 128 * 2
    assert of["converted"].item() == 5 * 1000 * 4 * 128
