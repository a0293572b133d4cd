"""Laws of the expert layer's form and of the work behind it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError, InputError
from planner.hardware.catalog import resolve_device
from planner.throughput.expert_load import (
    SEEDS,
    TILES,
    balanced_counts,
    benchmark_load,
    dealt_popularity,
    expected_load,
    fullest_rank,
    log_normal_popularity,
    power_law_counts,
)
from planner.throughput.forms.moe import (
    PLAIN,
    ExpertShard,
    moe_parts,
    parameters_of,
    stored_width,
    tiled,
)
from planner.throughput.roofline import Parts
from planner.throughput.silicon import Chip, chip

_FOUND = chip(resolve_device("h100-sxm"))
assert _FOUND is not None
H100: Chip = _FOUND
VARIANTS = ("grouped:bf16", "fused-moe-triton:bf16")
KERNELS = (
    *VARIANTS,
    "marlin:mxfp4-w4a16",
    "oai-triton:mxfp4-w4a16",
    "flashinfer-trtllm:bf16",
    "flashinfer-trtllm-modular:mxfp4-w4a8",
    "triton:fp8-tensor",
)
COUNTS = st.sampled_from([(8, 2), (64, 6), (128, 8), (256, 8), (512, 10)])


def parameters(variant: str, share: float) -> dict[str, float]:
    """Values at ``share`` of the way through their ranges, in logarithms."""
    return {p.name: p.low ** (1 - share) * p.high**share for p in parameters_of(variant)}


def run(
    variant: str,
    share: float,
    counts: tuple[int, int],
    tokens: list[float],
    ranks: int = 1,
    spread: float = 1.0,
    width: float = 768.0,
    matrices: float = 3.0,
    cold: bool = True,
) -> Parts:
    t = np.array(tokens)
    load = expected_load(*counts, spread, t, np.asarray(float(ranks)))
    experts = ExpertShard(
        np.asarray(2048.0),
        np.asarray(width),
        np.asarray(counts[0] / ranks),
        np.asarray(2.0),
        "bf16",
        np.asarray(matrices),
    )
    return moe_parts(parameters(variant, share), H100, variant, experts, load, tokens=t, cold=cold)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(VARIANTS),
    st.floats(0, 1),
    COUNTS,
    st.integers(1, 30_000),
    st.sampled_from([1, 2, 4, 8]),
    st.floats(0, 2),
)
def test_no_time_is_below_what_the_chip_allows(
    variant: str, share: float, counts: tuple[int, int], tokens: int, ranks: int, spread: float
) -> None:
    found = run(variant, share, counts, [float(tokens)], ranks, spread)
    load = expected_load(*counts, spread, np.array([float(tokens)]), np.asarray(float(ranks)))
    size = 3 * 2048.0 * 768.0
    assert all((part >= 0).all() and np.isfinite(part).all() for part in found.arrays())
    assert found.busy[0] >= 2 * load.pairs[0] * size / H100.peak("bf16") * (1 - 1e-9)
    assert found.busy[0] >= load.touched[0] * size * 2.0 / H100.bandwidth * (1 - 1e-9)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(KERNELS),
    st.floats(0, 1),
    COUNTS,
    st.floats(1, 20_000),
    st.floats(1.0, 4.0),
    st.booleans(),
    st.sampled_from([768.0, 180.0, 24.0]),
)
def test_more_tokens_never_take_less(
    variant: str,
    share: float,
    counts: tuple[int, int],
    tokens: float,
    factor: float,
    cold: bool,
    width: float,
) -> None:
    few, many = run(
        variant, share, counts, [tokens, tokens * factor], width=width, cold=cold
    ).total()
    assert few <= many * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KERNELS), st.floats(0, 1), COUNTS, st.integers(1, 4096))
def test_weights_in_l2_and_experts_without_a_gate_take_less(
    variant: str, share: float, counts: tuple[int, int], tokens: int
) -> None:
    whole = float(run(variant, share, counts, [tokens]).total()[0])
    assert float(run(variant, share, counts, [tokens], cold=False).total()[0]) <= whole
    assert float(run(variant, share, counts, [tokens], matrices=PLAIN).total()[0]) < whole


def test_few_experts_are_warm_and_many_are_cold() -> None:
    def ratio(tokens: int) -> float:
        warm = run("grouped:bf16", 0.5, (128, 8), [tokens], width=64, cold=False).memory[0]
        return float(warm / run("grouped:bf16", 0.5, (128, 8), [tokens], width=64).memory[0])

    assert ratio(1) < 0.9
    assert ratio(1) < ratio(4) < ratio(64)
    assert ratio(4096) > 0.99


def test_a_triton_kernel_is_slow_where_16_does_not_divide_the_width() -> None:
    def per_width(width: float, variant: str) -> float:
        return float(run(variant, 0.5, (128, 8), [256], width=width).compute[0]) / width

    assert per_width(24.0, "triton:bf16") > 1.5 * per_width(32.0, "triton:bf16")
    assert per_width(24.0, "grouped:bf16") < 1.5 * per_width(32.0, "grouped:bf16")
    assert "unaligned_slowdown" not in {p.name for p in parameters_of("triton:mxfp4-w4a16")}


@pytest.mark.parametrize(
    ("variant", "width", "stored"),
    [
        ("flashinfer-trtllm:bf16", 96, 128),
        ("flashinfer-trtllm-moe:nvfp4", 128, 128),
        ("flashinfer-trtllm-modular:mxfp4-w4a8", 64, 256),
        ("marlin:mxfp4-w4a16", 180, 256),
        ("marlin-moe:mxfp4-w4a16", 192, 192),
        ("oai-triton:mxfp4-w4a16", 360, 384),
        ("fused-moe-triton:mxfp4-w4a16", 180, 192),
        ("triton:bf16", 24, 24),
        ("moe-torch-flow-cutlass:bf16", 44, 44),
    ],
)
def test_kernels_fill_a_width_up_to_their_tile(variant: str, width: int, stored: int) -> None:
    assert float(stored_width(variant, np.asarray(float(width)))) == stored


def test_openai_s_triton_kernels_take_their_tile_as_grouped_ones_do() -> None:
    assert tiled("fused-moe-triton:bf16")
    assert not tiled("oai-triton:mxfp4-w4a16")
    assert not tiled("flashinfer-trtllm:bf16")


def test_parameters_of_another_kernel_are_refused() -> None:
    load = expected_load(8, 2, 0.0, np.ones(1), np.ones(1))
    experts = ExpertShard(*(np.ones(1),) * 4, "bf16")
    with pytest.raises(DataError, match="missing: expert_seconds"):
        moe_parts(parameters(VARIANTS[1], 0.5), H100, VARIANTS[0], experts, load, tokens=np.ones(1))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 600), COUNTS, st.floats(1.0, 1.6), st.integers(0, 3))
def test_synthetic_routings_place_every_pair(
    tokens: int, counts: tuple[int, int], exponent: float, seed: int
) -> None:
    for found in (
        balanced_counts(tokens, *counts),
        power_law_counts(tokens, *counts, exponent, seed),
    ):
        assert found.sum() == tokens * counts[1]
        assert (found >= 0).all()


def test_balanced_routing_is_as_even_as_it_can_be() -> None:
    assert set(balanced_counts(256, 128, 8)) == {16}
    assert (balanced_counts(1, 128, 8) > 0).sum() == 8
    assert list(np.flatnonzero(balanced_counts(1, 128, 8))) == list(range(0, 128, 16))


def test_a_benchmark_times_the_first_or_the_fullest_rank() -> None:
    even = benchmark_load("balanced", 64, 128, 8, 4)
    skewed = benchmark_load("power_law_1.01", 64, 128, 8, 4)
    assert float(even.pairs) == 64 * 8 / 4
    assert float(skewed.pairs) > float(even.pairs)
    assert float(skewed.touched) < float(even.touched)
    assert float(skewed.pairs + skewed.elsewhere) == 64 * 8
    draws = [
        power_law_counts(64, 128, 8, 1.01, s).reshape(4, -1).sum(axis=1).max() for s in range(SEEDS)
    ]
    assert float(skewed.pairs) == pytest.approx(np.mean(draws))


@pytest.mark.parametrize("law", ["zipf", "power_law_", "power_law_-1"])
def test_another_law_is_refused(law: str) -> None:
    with pytest.raises(InputError, match="not known"):
        benchmark_load(law, 4, 8, 2, 1)


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.floats(0, 3))
def test_popularities_add_up_and_none_exceeds_one(counts: tuple[int, int], spread: float) -> None:
    p = log_normal_popularity(*counts, spread)
    assert p.sum() == pytest.approx(counts[1])
    assert (p > 0).all()
    assert p.max() <= 1 + 1e-12
    assert (np.diff(p) >= -1e-12).all()


def test_popularity_of_the_default_spread_meets_the_published_counts() -> None:
    """Experts that no token picked after 5, 20, 50 and 100 prompts (see data/moe.toml)."""
    p = log_normal_popularity(256, 8, 1.24)
    unused = [float(((1 - p) ** (21.9 * n)).sum()) for n in (5, 20, 50, 100)]
    assert unused == pytest.approx([76.8, 18.2, 4.9, 1.5], rel=0.06)


def test_expected_work_without_spread_is_the_closed_form() -> None:
    tokens = np.array([1.0, 3.0, 40.0, 1000.0])
    load = expected_load(256, 8, 0.0, tokens, np.asarray(1.0))
    assert load.touched == pytest.approx(256 * (1 - (1 - 8 / 256) ** tokens), rel=2e-3)
    assert load.pairs == pytest.approx(8 * tokens)


@pytest.mark.sample(1)
@pytest.mark.parametrize("spread", [0.0, 1.24])
@pytest.mark.parametrize("tokens", [1, 4, 16, 64, 256])
def test_a_layer_waits_for_the_rank_that_touches_most(spread: float, tokens: int) -> None:
    """Against tokens that draw 8 distinct experts of 256 (Gumbel's top-k) on 8 ranks."""
    random = np.random.default_rng(tokens)
    by_rank = dealt_popularity(256, 8, spread, 8)
    keys = np.log(by_rank.ravel()) + random.gumbel(size=(200, tokens, 256))
    picked = np.argpartition(-keys, 8, axis=-1)[..., :8].reshape(200, -1)
    hit = np.zeros((200, 256))
    np.put_along_axis(hit, picked, 1.0, axis=1)
    drawn = hit.reshape(200, 8, 32).sum(axis=2)
    load = expected_load(256, 8, spread, np.array([float(tokens)]), np.asarray(8.0))
    assert float(load.touched[0]) == pytest.approx(drawn.max(axis=1).mean(), rel=0.15)
    assert float(load.touched[0]) >= drawn.mean() * 0.98


@pytest.mark.parametrize("tokens", [16, 256, 2048])
def test_expected_rows_of_tiles_are_those_of_drawn_tokens(tokens: int) -> None:
    random, p = np.random.default_rng(1), fullest_rank(128, 8, 1.24, 4)
    drawn = random.binomial(tokens, p, size=(3000, len(p)))
    load = expected_load(128, 8, 1.24, np.array([float(tokens)]), np.asarray(4.0))
    for i, tile in enumerate(TILES):
        rows = (np.ceil(drawn / tile) * tile).sum(axis=1).mean()
        fewest = tile * float(load.touched[0])
        assert float(load.padded[0, i]) == pytest.approx(max(rows, fewest), rel=0.025)


def test_ranks_must_divide_the_experts() -> None:
    with pytest.raises(InputError, match="100 experts on 8 ranks"):
        expected_load(100, 4, 1.0, np.ones(1), np.asarray(8.0))
    with pytest.raises(InputError, match="100 experts on 8 ranks"):
        benchmark_load("balanced", 4, 100, 4, 8)
