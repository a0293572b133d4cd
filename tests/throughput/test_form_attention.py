"""Laws of the attention and MLA forms: physical limits, monotonicity, cold above warm."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.hardware.catalog import resolve_device
from planner.hardware.profile import FittedSet
from planner.throughput.forms.attention_decode import (
    PARAMETERS,
    DecodeShape,
    attention_decode_parts,
    moved_bytes,
)
from planner.throughput.forms.attention_prefill import (
    PrefillShape,
    attention_prefill_parts,
    tiled_pairs,
)
from planner.throughput.forms.mla import LatentShape, mla_decode_parts, mla_prefill_parts
from planner.throughput.roofline import Parts
from planner.throughput.silicon import Chip, chip

DEVICES = ("h100-sxm", "h200-sxm", "b200-sxm")


@cache
def silicon(device: str) -> Chip:
    found = chip(resolve_device(device))
    assert found is not None
    return found


@cache
def sets(operator: str) -> tuple[tuple[str, FittedSet], ...]:
    return tuple(
        (d, fit)
        for d in DEVICES
        for fit in resolve_device(d).fitted.values()
        if fit.operator == operator
    )


def one(value: float) -> np.ndarray:
    return np.asarray(float(value))


def check(parts: Parts) -> None:
    assert all((array >= 0).all() for array in parts.arrays())
    assert (parts.busy >= np.maximum(parts.compute, parts.memory) * (1 - 1e-12)).all()


heads = st.sampled_from([(8, 8), (8, 1), (32, 8), (64, 8), (32, 32), (16, 2)])
widths = st.sampled_from([64, 96, 128, 192, 256])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    heads,
    widths,
    st.integers(1, 300),
    st.integers(1, 200_000),
    st.sampled_from([1.0, 2.0, 0.5625]),
)
def test_decode_is_bound_by_bytes_and_products(
    pick: int, group: tuple[int, int], width: int, batch: int, length: int, size: float
) -> None:
    every = sets("attention-decode")
    device, fit = every[pick % len(every)]
    figures = silicon(device)
    shape = DecodeShape(
        one(batch), one(length), one(group[0]), one(group[1]), one(width), one(size)
    )
    cold = attention_decode_parts(fit.parameters, figures, shape, cold=True)
    warm = attention_decode_parts(fit.parameters, figures, shape, cold=False)
    check(cold)
    check(warm)
    flop = 4.0 * batch * group[0] * length * width
    floor = min(fit.parameters["wide_factor"], 1.0) if width >= 256 else 1.0
    assert cold.total() >= floor * moved_bytes(shape) / figures.bandwidth
    assert cold.total() >= flop / figures.peak("bf16")
    assert cold.busy >= warm.busy * (1 - 1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), heads, widths, st.integers(1, 300), st.integers(1, 200_000))
def test_decode_grows_with_batch_length_heads_and_bytes(
    pick: int, group: tuple[int, int], width: int, batch: int, length: int
) -> None:
    every = sets("attention-decode")
    device, fit = every[pick % len(every)]
    figures = silicon(device)

    def seconds(
        b: float = batch, s: float = length, kv: int = group[1], size: float = 1.0
    ) -> float:
        shape = DecodeShape(one(b), one(s), one(max(group[0], kv)), one(kv), one(width), one(size))
        return float(attention_decode_parts(fit.parameters, figures, shape, cold=True).total())

    base = seconds()
    assert seconds(b=batch + 1) >= base
    assert seconds(s=length * 1.01) >= base
    assert seconds(kv=2 * group[1]) >= base
    assert seconds(size=2.0) >= base


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    heads,
    widths,
    st.integers(1, 16),
    st.integers(1, 40_000),
    st.sampled_from([0, 128, 1024, 4096]),
)
def test_prefill_is_bound_by_products_and_grows(
    pick: int, group: tuple[int, int], width: int, batch: int, length: int, window: int
) -> None:
    every = [
        (d, f)
        for d, f in sets("attention-prefill")
        if f.variant.endswith(":window") == bool(window)
    ]
    device, fit = every[pick % len(every)]
    figures = silicon(device)

    def parts(b: float = batch, s: float = length) -> Parts:
        shape = PrefillShape(
            one(b), one(s), one(group[0]), one(group[1]), one(width), one(2.0), float(window)
        )
        return attention_prefill_parts(fit.parameters, figures, shape)

    found = parts()
    check(found)
    seen = min(window or length, length)
    pairs = length * seen - seen * (seen - 1) / 2
    peak = figures.peak("fp8" if fit.parameters["fp8"] else "bf16")
    named = "wide" if width >= 256 else "narrow" if width <= 64 else "odd"
    faster = 1.0 if width == 128 else min(fit.parameters[f"{named}_factor"], 1.0)
    masked = min(fit.parameters["window_factor"], 1.0) if window else 1.0
    assert found.total() >= faster * masked * 4.0 * batch * group[0] * width * pairs / peak
    assert parts(b=batch + 1).total() >= found.total()
    assert parts(s=length + 128).total() >= found.total()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 3000), st.sampled_from([0, 1, 128, 777, 5000]))
def test_pairs_in_tiles_cover_the_pairs(length: int, past: int, window: int) -> None:
    pairs, longest = tiled_pairs(one(length), float(past), float(window))
    exact = sum(min(past + i + 1, window or past + i + 1) for i in range(length))
    assert pairs >= exact
    assert longest <= past + length
    full = length * past + length * (length + 128) / 2
    assert pairs <= full * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([8, 16, 32, 64, 128]),
    st.integers(1, 512),
    st.integers(1, 150_000),
)
def test_mla_is_bound_and_grows(pick: int, count: int, batch: int, length: int) -> None:
    for operator, form in (
        ("mla-prefill", mla_prefill_parts),
        ("mla-decode", lambda p, c, s: mla_decode_parts(p, c, s, cold=True)),
    ):
        every = sets(operator)
        device, fit = every[pick % len(every)]
        figures = silicon(device)
        peak = figures.peak("fp8" if fit.parameters["fp8"] else "bf16")
        size = 1.0 if fit.variant.endswith("fp8") else 2.0

        def parts(
            b: float = batch,
            s: float = length,
            h: float = count,
            p: FittedSet = fit,
            c: Chip = figures,
            run: object = form,
            size: float = size,
        ) -> Parts:
            shape = LatentShape(one(b), one(s), one(h), one(size), 192, 128, 512, 64)
            return run(p.parameters, c, shape)  # type: ignore[operator]

        found = parts()
        check(found)
        if operator == "mla-decode":
            middle = (
                fit.parameters["pair_factor"]
                if 16 < count <= 32
                else fit.parameters["middle_factor"]
                if 32 < count < 128
                else 1.0
            )
            assert found.total() >= 2.0 * batch * count * length * 1088 / peak
            assert (
                found.total() >= min(middle, 1.0) * batch * length * 576 * size / figures.bandwidth
            )
        else:
            assert found.total() >= 2.0 * batch * count * length * (length + 1) / 2 * 320 / peak
        assert parts(b=batch + 1).total() >= found.total()
        assert parts(s=length + 128).total() >= found.total()


def test_a_kernel_of_single_heads_reads_keys_again() -> None:
    """TensorRT-LLM beyond 32 query heads a KV head: time goes by query heads, on A100 84 µs a wave
    of 48 and 237 µs of 128."""
    fit = resolve_device("a100-sxm").fitted["attention-decode", "trtllm", "bf16/bf16:mha"]
    figures = silicon("a100-sxm")

    def seconds(count: int, kv: int) -> float:
        shape = DecodeShape(one(2048), one(8), one(count), one(kv), one(128), one(2.0))
        return float(attention_decode_parts(fit.parameters, figures, shape, cold=False).total())

    assert seconds(128, 1) / seconds(48, 1) == pytest.approx(128 / 48, rel=0.1)
    assert seconds(128, 1) == pytest.approx(seconds(128, 128), rel=0.3)
    assert seconds(128, 1) == pytest.approx(4.5e-3, rel=0.25)


def test_parts_before_a_window_are_started_too() -> None:
    """BF16 decode of TensorRT-LLM on H100 with a window: 16 sequences of 4 KV heads take 11 µs at
    256 tokens and 31 at 8,192."""
    fit = resolve_device("h100-sxm").fitted["attention-decode", "trtllm", "bf16/bf16:window"]
    assert fit.parameters["window_split"] == 1.0
    found = [
        float(
            attention_decode_parts(
                fit.parameters,
                silicon("h100-sxm"),
                DecodeShape(
                    one(16), one(128), one(16), one(4), one(64), one(2.0), True, float(cached)
                ),
                cold=False,
            ).total()
        )
        for cached in (256, 8192, 65536)
    ]
    assert found[1] > 2 * found[0]
    assert found[2] == pytest.approx(found[1])


def test_arrays_broadcast_candidates_by_layouts() -> None:
    fit = resolve_device("h100-sxm").fitted["attention-decode", "vllm", "bf16/fp8"]
    figures = silicon("h100-sxm")
    batch, size = np.array([[1.0], [8.0], [64.0]]), np.array([1.0, 2.0])
    both = attention_decode_parts(
        fit.parameters,
        figures,
        DecodeShape(batch, one(4096), one(32), one(8), one(128), size),
        cold=True,
    )
    assert both.total().shape == (3, 2)
    single = attention_decode_parts(
        fit.parameters,
        figures,
        DecodeShape(one(8), one(4096), one(32), one(8), one(128), one(2.0)),
        cold=True,
    )
    assert both.total()[1, 1] == pytest.approx(float(single.total()))


def test_a_set_of_another_version_is_refused() -> None:
    shape = DecodeShape(one(1), one(1), one(1), one(1), one(64), one(2.0))
    names: Mapping[str, float] = {p.name: p.start for p in PARAMETERS}
    for wrong in ({**names, "extra": 1.0}, dict(list(names.items())[1:])):
        with pytest.raises(DataError, match="attention-decode"):
            attention_decode_parts(wrong, silicon("h100-sxm"), shape, cold=True)
