"""Each term of a fitted form by hand, on a chip of round figures: a wrong sign fails here."""

from collections.abc import Sequence
from math import ceil, hypot

import numpy as np
import pytest

from planner.base.errors import DataError
from planner.throughput.forms import (
    attention_decode,
    attention_prefill,
    attention_rest,
    collective,
    delta,
    dsa,
    mla,
)
from planner.throughput.forms.base import Parameter, checked_parameters
from planner.throughput.forms.gemm import mechanisms
from planner.throughput.forms.moe import stored_width
from planner.throughput.roofline import Parts
from planner.throughput.silicon import Chip

CHIP = Chip("round", {"bf16": 1e15, "fp8": 2e15}, 1e12, 100.0, 5e7, 1e13, 1e11)


def start(wanted: Sequence[Parameter], **other: float) -> dict[str, float]:
    return {p.name: p.start for p in wanted} | other


def prefill(window: object = 0.0, **other: float) -> Parts:
    wanted = (*attention_prefill.PARAMETERS, *attention_prefill.STRUCTURE)
    shape = attention_prefill.PrefillShape(
        np.asarray(2.0),
        np.asarray(4096.0),
        np.asarray(8.0),
        np.asarray(2.0),
        np.asarray(128.0),
        np.asarray(1.0),
        np.asarray(window),
    )
    return attention_prefill.attention_prefill_parts(start(wanted, **other), CHIP, shape)


PER = 4 * 128 / (0.5 * 1e15) + 1 / (2 * 1e13)
"""Seconds of a (query, key) pair of a head of 128."""


def test_the_products_of_a_prompt() -> None:
    """16 heads of 4,096 queries: pairs in tiles, 32 tiles of 3 µs over 100 multiprocessors, and the
    last tile's 4,096 keys on one."""
    found = prefill(compute_fraction=0.5, exp_fraction=2.0, tail_factor=2.0, tile_seconds=3e-6)
    work = 16 * 4096 * (4096 + 128) / 2 * PER + 3e-6 * 16 * 32 / 100
    last = 2.0 * 128 * 4096 * PER * 100
    assert float(found.compute) == pytest.approx(hypot(work, last), rel=1e-12)
    assert float(found.busy) == pytest.approx(float(found.compute + found.memory), rel=1e-12)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_border_of_a_window_costs_a_factor_and_the_rest_does_not(factor: float) -> None:
    """1,024 keys and two tiles are seen; masked tiles are those that a window of 128 has."""
    found = prefill(
        1024.0,
        compute_fraction=0.5,
        exp_fraction=2.0,
        tail_factor=1.0,
        tile_seconds=0.0,
        window_factor=factor,
    )

    def pairs(seen: float) -> float:
        return 4096 * seen - seen * (seen - 128) / 2

    work = 16 * (pairs(1024 + 256) + (factor - 1) * pairs(128 + 256)) * PER
    last = 128 * (1024 + 256 + (factor - 1) * (128 + 256)) * PER * 100
    assert float(found.compute) == pytest.approx(hypot(work, last), rel=1e-12)
    together = prefill(
        [0.0, 1024.0],
        compute_fraction=0.5,
        exp_fraction=2.0,
        tail_factor=1.0,
        tile_seconds=0.0,
        window_factor=factor,
    )
    assert float(together.compute[1]) == pytest.approx(float(found.compute), rel=1e-12)
    alone = prefill(compute_fraction=0.5, exp_fraction=2.0, tail_factor=1.0, tile_seconds=0.0)
    assert float(together.compute[0]) == pytest.approx(float(alone.compute), rel=1e-12)


@pytest.mark.parametrize("scatter", [False, True])
def test_a_prompt_moves_twice_the_bytes_for_twice_the_tokens(scatter: bool) -> None:
    def moved(batch: float = 3, length: float = 100, size: float = 1.0) -> float:
        return float(
            attention_prefill.moved_bytes(
                attention_prefill.PrefillShape(
                    np.asarray(batch),
                    np.asarray(length),
                    np.asarray(8.0),
                    np.asarray(2.0),
                    np.asarray(64.0),
                    np.asarray(size),
                ),
                scatter=scatter,
            )
        )

    assert moved(batch=6) == moved(length=200) == pytest.approx(2 * moved())
    if scatter:
        assert moved() == pytest.approx(300 * 2**0.7 * (64 * (4 + 2) + 400))
        assert moved(size=2.0) == pytest.approx(300 * 2**0.7 * (64 * (4 + 2 * 2) + 400))
    else:  # queries and results of 8 heads, keys and values of 2, read, written and cached
        assert moved() == 300 * 64 * (6 * 8 + 4 * 2 + 2 * 2)
        assert moved(size=2.0) - moved() == 300 * 64 * 2 * 2


@pytest.mark.parametrize("width", [64.0, 128.0])
def test_a_window_kernel_has_a_floor_of_its_own(width: float) -> None:
    wanted = (*attention_decode.PARAMETERS, *attention_decode.STRUCTURE)
    p = start(
        wanted,
        floor_seconds=1e-5,
        split_seconds=1e-7,
        start_seconds=0.0,
        cold_seconds=0.0,
        narrow_factor=1.5,
        window_factor=1.25,
    )

    def launch(windowed: bool) -> float:
        one = np.asarray(1.0)
        shape = attention_decode.DecodeShape(
            one, 100 * one, 8 * one, one, width * one, 2 * one, np.asarray(windowed), 100 * one
        )
        return float(attention_decode.attention_decode_parts(p, CHIP, shape, cold=True).launch)

    narrow = 1.5 if width == 64 else 1.0
    assert launch(False) == pytest.approx(narrow * (1e-5 + 1e-7 * 10))
    assert launch(True) == pytest.approx(1.25 * launch(False))


LATENT = mla.LatentShape(
    np.asarray(2.0),
    np.asarray(1000.0),
    np.asarray(16.0),
    np.asarray(2.0),
    key=192.0,
    value=128.0,
    latent=512.0,
    rope=64.0,
)


def test_the_expanded_prompt_of_latent_attention() -> None:
    """32 heads, 1,000 tokens in 8 tiles; keys of 192 and values of 128 are written and read."""
    p = start(
        (*mla.PREFILL_PARAMETERS, *mla.STRUCTURE),
        compute_fraction=0.5,
        exp_fraction=2.0,
        bandwidth_fraction=0.5,
        tail_factor=2.0,
        tile_seconds=3e-6,
    )
    found = mla.mla_prefill_parts(p, CHIP, LATENT)
    per = 2 * (192 + 128) / (0.5 * 1e15) + 1 / (2 * 1e13)
    work = 32 * 1000 * (1000 + 128) / 2 * per + 3e-6 * 32 * 8 / 100
    assert float(found.compute) == pytest.approx(hypot(work, 2 * 128 * 1000 * per * 100))
    assert float(found.memory) == pytest.approx(
        2 * 2 * 1000 * 16 * (2 * 192 + 2 * 128) / (0.5 * 1e12)
    )
    assert float(found.busy) == pytest.approx(float(found.compute + found.memory))


def test_what_lies_beside_a_latent_core() -> None:
    """Two of queries and keys, values, latents and one rotary part a head, read and written."""
    assert float(attention_rest.rest_bytes(LATENT, np.asarray(10.0))) == 4 * 10 * 16 * (
        2 * 192 + 2 * 128 + 2 * 512 + 64
    )


@pytest.mark.parametrize("batch", [1, 5, 13, 40])
def test_chunks_of_a_delta_net(batch: int) -> None:
    """16 value heads of 128 × 64 with 8 key heads, 300 tokens: five chunks one after the other in
    waves, and beside them the products and the bytes; apart, states go to memory after every chunk.
    """
    one = np.asarray(1.0)
    shape = delta.DeltaShape(batch * one, 300 * one, 8 * one, 16 * one, 128.0, 64.0)
    wanted = (*delta.PARAMETERS["chunk"], *delta.STRUCTURE["chunk"])
    tokens, units = 300 * batch, 16 * batch
    written = 2 * tokens * (2 * 8 * 128 + 16 * 64 + 16 * 64)
    for fused in (0.0, 1.0):
        p = start(
            wanted,
            fused=fused,
            slots=2.0,
            compute_fraction=0.5,
            bandwidth_fraction=0.5,
            load_seconds=1e-6,
            step_seconds=2e-6,
        )
        found = delta.delta_parts(p, CHIP, "chunk", shape, cold=True)
        if fused:
            waves, products = float(ceil(units / 100)), 0.0
            moved = written + units * 128 * 64 * 2 * 4  # the state in FP32, read and written
        else:
            share = units / 200
            waves = (ceil(share) + max(share, 1.0)) / 2
            moved = written + units * 5 * 128 * 64 * 2  # in BF16, once a chunk
            products = tokens * 16 * 2 * (64 * (3 * 128 + 2 * 64) + 3 * 128 * 64) / (0.5 * 1e15)
        serial = waves * (1e-6 + 5 * 2e-6)
        assert float(found.memory) == pytest.approx(moved / (0.5 * 1e12))
        assert float(found.compute) == pytest.approx(max(serial, products))
        assert float(found.busy) == pytest.approx(hypot(serial, moved / (0.5 * 1e12) + products))


def test_the_indexer_scores_what_was_pooled() -> None:
    """4 tokens a key: a quarter of the keys of a step, a quarter of the pairs of a prompt."""
    wanted = (*dsa.DECODE_PARAMETERS, *dsa.STRUCTURE)
    p = start(wanted, score_fraction=0.5, choose_seconds=1e-9)
    pooled = dsa.SparseShape(LATENT, 2048.0, 64.0, 128.0, pooled=4.0)
    step = dsa.dsa_indexer(p, CHIP, dsa.DECODE, pooled)
    assert float(step.memory) == pytest.approx(2 * 250 * 132 / (0.5 * 1e12))
    assert float(step.compute) == pytest.approx(1e-9 * 250)
    p = start(
        (*dsa.PREFILL_PARAMETERS, *dsa.STRUCTURE),
        score_fraction=0.5,
        logit_fraction=0.5,
        query_seconds=1e-8,
        ragged_seconds=1e-14,
    )
    prompt = dsa.dsa_indexer(p, CHIP, dsa.PREFILL, pooled)
    pairs = 2 * 1000 * 1001 / 2 / 4
    assert float(prompt.compute) == pytest.approx(2 * 64 * 128 * pairs / (0.5 * 2e15))
    apart = 1e-8 * 2000 + 1e-14 * (2000 * 2 * 1000 / 4 - pairs)
    assert float(prompt.memory) == pytest.approx(8 * pairs / (0.5 * 1e12) + apart)


def test_a_sparse_prompt_has_the_pairs_it_is_given() -> None:
    p = start(
        (*dsa.PREFILL_PARAMETERS, *dsa.STRUCTURE),
        compute_fraction=0.5,
        unit_seconds=0.0,
        tile_heads=1.0,
    )
    for given, pairs in ((None, 1000 * 1001 / 2), (np.asarray(77.0), 77.0)):
        shape = dsa.SparseShape(LATENT, 2048.0, 64.0, 128.0, pairs=given)
        found = dsa.dsa_core(p, CHIP, dsa.PREFILL, shape)
        assert float(found.compute) == pytest.approx(
            2 * pairs * 2 * 16 * (2 * 512 + 64) / (0.5 * 1e15)
        )


def test_a_size_that_was_not_measured_is_left_to_its_neighbours() -> None:
    """0 stands for no time; between two sizes a table is between their times, on neither."""
    formula = start(collective.PARAMETERS)
    columns = {"bytes": (1e6, 2e6, 4e6, 8e6), "ranks_8": (1e-5, 0.0, 4e-5, 8e-5)}
    table = collective.table_of("all-reduce", columns, formula, 1e11)
    at = [
        float(table.seconds(np.asarray(8.0), np.asarray(size)))
        for size in (1e6, 1.2e6, 2e6, 3.8e6, 4e6, 8e6)
    ]
    assert at[0] == pytest.approx(1e-5)
    assert at[4:] == pytest.approx([4e-5, 8e-5])
    assert at == sorted(set(at))
    without = {"bytes": (1e6, 4e6, 8e6), "ranks_8": (1e-5, 4e-5, 8e-5)}
    other = collective.table_of("all-reduce", without, formula, 1e11)
    assert at[2] == pytest.approx(float(other.seconds(np.asarray(8.0), np.asarray(2e6))))


def test_one_stack_narrows_with_vector_instructions() -> None:
    for stack in ("trtllm", "vllm", "sglang"):
        for variant in ("bf16", "fp8-tensor", "fp8-block", "int8-w8a8", "nvfp4", "int4-w4a16"):
            kind = mechanisms(stack, variant)
            assert kind.vector is ((stack, variant) == ("vllm", "fp8-tensor"))
            assert kind.separate is ((stack, variant) == ("trtllm", "fp8-tensor"))
            assert kind.quantised is (variant in ("fp8-tensor", "fp8-block", "nvfp4"))
            assert not (kind.vector and kind.separate)


@pytest.mark.parametrize(
    ("variant", "stored"),
    [
        ("triton:bf16", 100),
        ("triton:fp8-block", 100),
        ("triton:mxfp4-w4a16", 128),
        ("cutlass:int4-w4a16", 100),
        ("cutlass:nvfp4", 100),
        ("cutlass:bf16", 100),
        ("oai-triton:mxfp4-w4a16", 128),
        ("marlin:int4-w4a16", 128),
        ("flashinfer-trtllm:nvfp4", 128),
        ("flashinfer-trtllm:mxfp4-w4a16", 256),
    ],
)
def test_an_expert_is_as_wide_as_its_kernel_stores_it(variant: str, stored: int) -> None:
    assert float(stored_width(variant, np.asarray(100.0))) == stored
    whole = np.asarray(1024.0)
    assert float(stored_width(variant, whole)) == 1024


def test_tiles_behind_a_past_see_all_of_it() -> None:
    """256 queries behind 1,000 entries; a window of 128 and its two border tiles see 384 each."""
    pairs, longest = attention_prefill.tiled_pairs(np.asarray(256.0), 1000.0, 0.0)
    assert (float(pairs), float(longest)) == (256 * 1000 + 256 * (256 + 128) / 2, 1256)
    pairs, longest = attention_prefill.tiled_pairs(np.asarray(256.0), 1000.0, 128.0)
    assert (float(pairs), float(longest)) == (256 * 384, 384)
    # Behind 200 entries the first 184 queries see less than a whole band: the sequence starts.
    pairs, longest = attention_prefill.tiled_pairs(np.asarray(256.0), 200.0, 128.0)
    assert (float(pairs), float(longest)) == (256 * 384 - 184 * (184 - 128) / 2, 384)


@pytest.mark.parametrize(
    ("width", "factor"), [(32, 2), (64, 2), (80, 3), (128, 1), (192, 3), (256, 5), (512, 5)]
)
def test_kernels_are_written_for_few_widths(width: int, factor: int) -> None:
    def seconds(**other: float) -> float:
        p = start(
            (*attention_prefill.PARAMETERS, *attention_prefill.STRUCTURE),
            tail_factor=0.0,
            tile_seconds=0.0,
            exp_fraction=np.inf,
            compute_fraction=0.5,
            **other,
        )
        one = np.asarray(1.0)
        shape = attention_prefill.PrefillShape(one, 1024 * one, 8 * one, 8 * one, width * one, one)
        return float(attention_prefill.attention_prefill_parts(p, CHIP, shape).compute)

    found = seconds(narrow_factor=2.0, odd_factor=3.0, wide_factor=5.0)
    plain = 8 * 1024 * (1024 + 128) / 2 * 4 * width / (0.5 * 1e15)
    assert found == pytest.approx(factor * plain)


@pytest.mark.parametrize(("l2_bytes", "share"), [(1e12, 0.25), (1.0, 1.0)])
def test_a_prompt_that_l2_holds_is_read_as_fast_as_l2(l2_bytes: float, share: float) -> None:
    p = start(
        (*attention_prefill.PARAMETERS, *attention_prefill.STRUCTURE),
        cached_factor=4.0,
        bandwidth_fraction=0.5,
    )
    one = np.asarray(1.0)
    shape = attention_prefill.PrefillShape(one, 1024 * one, 8 * one, 2 * one, 128 * one, one)
    chip = Chip("round", CHIP.peaks, 1e12, 100.0, l2_bytes, 1e13, 1e11)
    found = attention_prefill.attention_prefill_parts(p, chip, shape)
    moved = 1024 * 128 * (6 * 8 + 4 * 2 + 2 * 2)
    assert float(found.memory) == pytest.approx(share * moved / (0.5 * 1e12))


def test_sets_of_another_version_are_fitted_again_or_removed() -> None:
    wanted = [Parameter("launch_seconds", 1e-6, 0.0, 1.0), Parameter("share", 0.5, 0.0, 1.0)]
    with pytest.raises(DataError) as told:
        checked_parameters({"launch_seconds": 1e-6}, wanted, "gemm trtllm bf16")
    assert told.value.message == "fitted parameters of gemm trtllm bf16: missing: share"
    assert told.value.hint == (
        "another version fitted them: fit the same tables again (plan calibrate TABLES -o "
        "PROFILE.toml), or remove the [[fitted]] sets"
    )
    with pytest.raises(DataError, match=r"bf16: unknown: older"):
        checked_parameters(
            {"launch_seconds": 1e-6, "share": 0.5, "older": 1.0}, wanted, "gemm trtllm bf16"
        )
