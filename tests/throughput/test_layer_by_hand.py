"""One layer of Llama-3.1-8B on an H100 computed by hand, and what must grow with what."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from planner.base.units import format_seconds
from planner.lookup import load_device
from planner.models.catalog import resolve_model
from planner.planning.plan.record import Plan
from planner.throughput.attended import causal_pairs
from planner.throughput.attention import decode_parts, prefill_parts
from planner.throughput.calibration import STACKS
from planner.throughput.expert_load import expected_load
from planner.throughput.moe import moe_models, popularity_spread
from planner.throughput.moe_choice import ExpertServer
from planner.throughput.points import Points, decode_phase, prefill_phase
from tests.support.theory import estimate

H100 = load_device("h100-sxm")
BATCH, ISL, OSL = 16, 3000, 1000


def peak(name: str) -> float:
    rate = H100.rate(name)
    assert rate is not None
    return rate.dense.value


def roofline(
    kind: str,
    flop: float,
    moved: float,
    *,
    unit: str = "bf16",
    launches: float = 1,
    compute: str | None = None,
) -> float:
    a = H100.achieved[kind]
    busy = H100.achieved[compute or kind].compute_fraction.value
    return a.floor_seconds.value * launches + max(
        flop / (peak(unit) * busy),
        moved / (H100.bandwidth_bytes_per_s.value * a.bandwidth_fraction.value),
    )


TILES = [(128, width) for width in (256, 192, 128, 64, 32)] + [
    (64, width) for width in (256, 128, 64, 32)
]


def gemm(tokens: float, outputs: int, inputs: int) -> float:
    """The fitted BF16 GEMM, one number at a time; weights come from memory."""
    p = H100.fitted["gemm", "trtllm", "bf16"].parameters
    moved = 2.0 * outputs * inputs + 2.0 * tokens * (outputs + inputs)
    memory = moved / (3.35e12 * p["bandwidth_fraction"])
    times = [
        tiled(p, tokens, outputs, inputs, *tile)
        for tile in TILES
        if tile[0] >= p["shortest_tile"] and tile[1] >= p["narrowest_tile"]
    ]
    compute = min(times)
    compute *= 1 + p["long_slowdown"] * math.log2(1 + compute / 1e-4)
    return float(p["launch_seconds"] + (compute**3 + memory**3) ** (1 / 3))


def tiled(
    p: Mapping[str, float], tokens: float, outputs: int, inputs: int, height: int, width: int
) -> float:
    """The products in tiles of one size, whole or with the sum over inputs in parts."""
    rows = min(max(math.ceil(tokens / 16) * 16, min(p["least_rows"], height)), height)
    rate = peak("bf16") / 132
    smaller = (1 / height + 1 / width) / (1 / 128 + 1 / 256) - 1
    product = (
        2 * rows * width / (p["compute_fraction"] * rate) * (1 + p["narrow_penalty"] * smaller)
    )
    load = (rows + width) * 2 * p["load_intensity"] / rate
    step = (product**3 + load**3) ** (1 / 3)
    tiles = math.ceil(tokens / height) * math.ceil(outputs / width)
    times = []
    for parts in range(1, min(max(132 // tiles, 1), 8) + 1):
        waves = tiles * parts / 132
        waves = p["wave_weight"] * math.ceil(waves) + (1 - p["wave_weight"]) * max(waves, 0.25)
        time = waves * step * (inputs / parts + p["fill_elements"])
        if parts > 1:
            time += p["split_seconds"] + parts * 8 * tokens * outputs / (
                p["cached_factor"] * 3.35e12
            )
        times.append(time)
    return min(times)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return estimate("llama-3.1-8b", "h100-sxm", devices=1, batch=BATCH, isl=ISL, osl=OSL)


LAYER = {
    "attention-qkv": (6144, 4096),
    "attention-out": (4096, 4096),
    "mlp-gate-up": (28672, 4096),
    "mlp-down": (4096, 14336),
}


def per_layer(plan: Plan, kind: str, field: str) -> float:
    units = [u for u in plan.units if u.kind == kind]
    return float(sum(getattr(u, field) for u in units) / sum(len(u.layers) for u in units))


@pytest.mark.parametrize("kind", sorted(LAYER))
def test_linears_of_one_layer(plan: Plan, kind: str) -> None:
    assert per_layer(plan, kind, "decode_seconds") == pytest.approx(gemm(BATCH, *LAYER[kind]))
    assert per_layer(plan, kind, "prefill_seconds") == pytest.approx(gemm(ISL, *LAYER[kind]))


def decode_attention(sequences: float, tokens: float) -> float:
    """The fitted decode kernel over a BF16 cache of 8 heads of 128, one number at a time."""
    p = H100.fitted["attention-decode", "trtllm", "bf16/bf16"].parameters
    moved = (
        2 * 2 * sequences * tokens * 8 * 128
        + 4 * sequences * 32 * 128
        + 2 * sequences * 8 * 128 * 4
    )
    memory = moved / (3.35e12 * p["bandwidth_fraction"])
    waves = max(sequences * 8 / 132, p["whole"])
    unit = waves * (p["unit_seconds"] + p["token_seconds"] * tokens * 128)
    start = p["start_seconds"] / (1 + (tokens / 512) ** -4)
    cold = p["cold_seconds"] * min(moved / (p["l2_share"] * 50 * 2**20), 1)
    return float(
        p["floor_seconds"]
        + p["split_seconds"] * math.sqrt(tokens)
        + start
        + cold
        + (unit**1.3 + memory**1.3) ** (1 / 1.3)
    )


def prefill_attention(tokens: float) -> float:
    """The fitted prefill kernel of 32 query heads of 128, one number at a time."""
    p = H100.fitted["attention-prefill", "trtllm", "bf16/bf16"].parameters
    pair = 4 * 128 / (p["compute_fraction"] * peak("bf16")) + 16 / (p["exp_fraction"] * 66.9e12)
    work = (
        32 * tokens * (tokens + 128) / 2 * pair
        + p["tile_seconds"] * 32 * math.ceil(tokens / 128) / 132
    )
    last = p["tail_factor"] * 128 * tokens * pair * 132
    moved = tokens * 128 * (6 * 32 + 4 * 8 + 2 * 8 * 2)
    held = 1 / (1 + (moved / (0.9 * 50 * 2**20)) ** 6)  # share of it that L2 holds
    memory = moved / (3.35e12 * p["bandwidth_fraction"]) * (1 - held + held / p["cached_factor"])
    return float(p["floor_seconds"] + memory + math.hypot(work, last))


@pytest.mark.parametrize("kind", ["kv-k", "kv-v"])
def test_attention_of_one_layer(plan: Plan, kind: str) -> None:
    # keys and values run in one kernel: each is half of it
    assert per_layer(plan, kind, "decode_seconds") == pytest.approx(
        decode_attention(BATCH, ISL + OSL / 2) / 2
    )
    assert per_layer(plan, kind, "prefill_seconds") == pytest.approx(prefill_attention(ISL) / 2)


def test_tpot_and_ttft_are_the_sum_of_everything(plan: Plan) -> None:
    decode = sum(u.decode_seconds for u in plan.units)
    prefill = sum(u.prefill_seconds for u in plan.units)
    notes = {a.key: a.value for a in plan.assumptions}
    tpot, ttft = plan.performance.tpot_seconds.value, plan.performance.ttft_seconds.value
    interruption = plan.performance.interruption_seconds
    assert notes["prefill interruption"] == f"{format_seconds(interruption)} of TPOT"
    assert 0 < interruption < (prefill + decode) * BATCH / OSL
    # Some requests are read or wait while the others decode.
    assert 0.9 * decode < tpot - interruption <= decode * (1 + 1e-9)
    assert prefill < ttft  # read beside the batch, after a queue
    rate = plan.performance.output_tokens_per_second
    assert rate.value == pytest.approx(BATCH * OSL / (ttft + OSL * tpot))


def test_decode_is_bound_by_memory_and_a_long_prompt_by_compute(plan: Plan) -> None:
    weights = 2 * 8_030_261_248 / 3.35e12  # every parameter once
    assert weights < plan.performance.tpot_seconds.value < 2.5 * weights
    flop = 2 * 6_979_321_856 * ISL  # linears of the stack, no embedding
    assert flop / 989.4e12 < plan.performance.ttft_seconds.value < 3 * flop / 989.4e12
    heavy = next(u for u in plan.units if u.unit == "mlp-gate-up.middle")
    assert heavy.bound == "memory"


def test_the_interval_lies_between_a_fit_and_a_prior(plan: Plan) -> None:
    fitted = H100.fitted["gemm", "trtllm", "bf16"].error.sigma
    for time in (plan.performance.tpot_seconds, plan.performance.ttft_seconds):
        sigma = math.log(time.high / time.value) / 1.2815515655446004
        assert time.low == pytest.approx(time.value**2 / time.high)
        assert 0.5 * fitted < sigma < math.log(1.6) / 1.2815515655446004
        assert time.basis == "fitted"
    rate = plan.performance.output_tokens_per_second
    assert rate.low < rate.value < rate.high
    assert rate.low == pytest.approx(rate.value**2 / rate.high)


def test_conversion_can_bind_on_a_xeon() -> None:
    plan = estimate("llama-3.1-8b", "xeon-platinum-8480", scheme="fp8-block", devices=1, batch=1)
    xeon = load_device("xeon-platinum-8480")
    bounds = {u.bound for u in plan.units if u.kind.startswith(("attention-", "mlp-"))}
    elements = 28672 * 4096
    read = xeon.achieved["w8a16"].bandwidth_fraction.value * xeon.bandwidth_bytes_per_s.value
    slower = elements / xeon.conversion["fp8"].value > 1.01 * elements / read
    assert ("conversion" in bounds) == slower
    gate = next(u for u in plan.units if u.unit == "mlp-gate-up.middle")
    assert gate.decode_seconds / len(gate.layers) >= elements / xeon.conversion["fp8"].value


@pytest.mark.parametrize(
    ("length", "limit"), [(1, 0), (7, 0), (100, 0), (7, 7), (7, 3), (50, 1), (5, 2048), (64, 63)]
)
def test_causal_pairs_counts_pairs(length: int, limit: int) -> None:
    counted = sum(min(query + 1, limit or length) for query in range(length))
    assert causal_pairs(length, limit) == counted


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


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3", "deepseek-v3.2"])
def test_attention_grows_with_sequences_and_length(name: str) -> None:
    attention = resolve_model(name).attention[0]
    kind = "kv-latent" if attention.kind == "mla" else "kv-k"
    pts = points([1, 2, 3, 8, 64, 500])
    before = np.zeros((6, 1))
    for length in (16, 100, 2048, 5000, 131072):
        now = decode_parts(attention, kind, ["bf16"], H100, pts, decode_phase(pts, length)).total()
        assert (np.diff(now, axis=0) >= 0).all()
        assert (now >= before).all()
        before = now
    times = [
        float(
            prefill_parts(
                attention, kind, ["bf16"], H100, pts, prefill_phase(pts, n, 8192)
            ).total()[0, 0]
        )
        for n in (16, 500, 8192, 8193, 100_000)
    ]
    assert times == sorted(times)


def test_a_sparse_indexer_bounds_what_decode_attends() -> None:
    attention = resolve_model("deepseek-v3.2").attention[0]
    pts = points([8])
    at = {
        n: decode_parts(attention, "kv-latent", ["bf16"], H100, pts, decode_phase(pts, n)).total()
        for n in (1024, 2048, 65536)
    }
    assert at[1024] < at[2048] == at[65536]


def test_mla_decode_by_hand() -> None:
    attention = resolve_model("deepseek-v3").attention[0]
    pts = points([32], tp=8)
    found = float(
        decode_parts(attention, "kv-latent", ["bf16"], H100, pts, decode_phase(pts, 4096)).total()[
            0, 0
        ]
    )
    moved = 32 * 4096 * 1152  # one latent for all heads, on every rank
    flop = 32 * 4096 * 16 * 2 * (576 + 512)
    assert found == pytest.approx(
        roofline("attention-decode", flop, moved, compute="attention-prefill")
    )


def test_an_expert_layer_by_hand() -> None:
    tokens, layers = 32, 58
    plan = estimate("deepseek-v3", "h200-sxm", tp=8, ep=8, devices=8, batch=tokens, context=4096)
    (model,) = moe_models(load_device("h200-sxm"), "fp8-block", ExpertServer(STACKS), ["ep"])
    assert model is not None
    one = np.array([float(tokens)])
    spread = popularity_spread(resolve_model("deepseek-v3"))
    load = expected_load(256, 8, spread, one, np.array([8.0]))
    bytes_per_element = 1 + 4 / 128**2
    whole = model.parts(
        load,
        tokens=one,
        hidden=np.asarray(7168.0),
        width=np.asarray(2048.0),
        local=np.asarray(32.0),
        weight_bytes=np.asarray(bytes_per_element),
    )
    units = [u for u in plan.units if u.kind == "experts-gate-up"]
    found = sum(u.decode_seconds for u in units) / layers
    # gate and up are two of three matrices; both modules carry half of the one launch
    assert found == pytest.approx(float(whole.busy[0]) * 2 / 3 + float(whole.launch[0]) / 2)
    assert found > float(load.touched[0]) * 2 * 7168 * 2048 * bytes_per_element / 4.8e12
