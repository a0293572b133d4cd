"""The rules of modelopt, torchao and compressed-tensors, restated from their sources, and
NVFP4's tensor scale in one division."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import UnsupportedError
from planner.formats.schemes import scheme
from planner.formats.stored_schemes import stored_scheme
from planner.numerics import Policy, decode, quantize, round_trip

F = np.float32
E4M3, E2M1 = ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn
LIBRARIES = ("modelopt", "torchao", "compressed-tensors")


def matrix(seed=0, rows=6, columns=256):
    x = np.random.default_rng(seed).standard_t(4, (rows, columns)).astype(F)
    x[1] = 0
    x[2, :16] *= F(1e-7)
    x[3] *= F(1e-4)
    return x


def e4m3(x):
    return np.minimum(x, F(448)).astype(E4M3).astype(F)


def nvfp4(x, library):
    """(tensor scale, block scales, values of codes) as the library's own lines make them."""
    blocks, amax = x.reshape(-1, 16), np.abs(x).max()
    largest = np.abs(blocks).max(axis=1)
    if library == "modelopt":
        g = amax / F(6 * 448)
        raw = largest / (F(6) * g)
        s = e4m3(np.maximum(np.where(raw == 0, F(1), raw), F(2.0**-9)))
        scaled = blocks / (s * g)[:, None]
    elif library == "torchao":
        g = amax / F(448 * 6)
        s = e4m3(np.maximum(largest / F(6) / g, F(2.0**-6)))
        scaled = blocks * ((F(1) / g) / s)[:, None]
    elif library == "compressed-tensors":
        g = F(1) / amax * F(2688)
        s = e4m3(g * (largest / F(6)))
        s = np.where(s == 0, F(0.125), s)
        scaled = blocks / (s / g)[:, None]
    else:
        g = amax / F(2688)
        s = e4m3(largest / F(6) / g)
        scaled = blocks / np.where(s == 0, F(np.inf), s * g)[:, None]
    return g, s, np.clip(scaled, -6, 6).astype(E2M1).astype(F).reshape(x.shape)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("library", [*LIBRARIES, None])
@pytest.mark.parametrize("seed", range(4))
def test_nvfp4_follows_each_library(library, seed, engine):
    x = matrix(seed)
    g, s, values = nvfp4(x, library)
    found = quantize(x, "nvfp4", policy=library, engine=engine)
    assert F(found.tensor_scale) == g
    np.testing.assert_array_equal(found.scales.reshape(-1), s)
    np.testing.assert_array_equal(decode(found.codes, "e2m1"), values)
    factor = s / g if library == "compressed-tensors" else s * F(g)
    np.testing.assert_array_equal(
        found.dequantize(engine=engine), values * np.repeat(factor, 16).reshape(x.shape)
    )
    np.testing.assert_array_equal(
        round_trip(x, "nvfp4", policy=library, engine=engine), found.dequantize()
    )


@given(st.floats(2.0**-100, 2.0**100, width=32))
def test_the_tensor_scale_is_one_division(amax):
    x = np.full((1, 16), amax, F)
    assert F(quantize(x, "nvfp4").tensor_scale) == F(amax) / F(2688)


def test_two_divisions_would_differ():
    """The rule that was here before: a quarter of all largest magnitudes show it."""
    amax = np.random.default_rng(0).uniform(1, 2, 4000).astype(F)
    assert 0.2 < np.mean(amax / F(6) / F(448) != amax / F(2688)) < 0.3


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("id", "bits", "group"),
    [
        ("int4-w4a16", 4, 128),
        ("int4-w4a16-g32", 4, 32),
        ("int8-w8a8", 8, 256),
        ("int8-w8a16", 8, 256),
    ],
)
def test_integers_are_stored_by_half_the_range(id, bits, group, engine):
    """compressed-tensors' calculate_qparams: amax / 7.5 and -8 … 7, which the schemes carry."""
    x, half = matrix(), F(2 ** (bits - 1) - 0.5)
    blocks = x.reshape(-1, group)
    scale = np.abs(blocks).max(axis=1) / half
    if bits == 4:
        scale = scale.astype(ml_dtypes.bfloat16).astype(F)
    codes = np.clip(
        np.rint(blocks / np.where(scale == 0, F(1), scale)[:, None]),
        -(2 ** (bits - 1)),
        2 ** (bits - 1) - 1,
    ).reshape(x.shape)
    found = quantize(x, id, engine=engine)
    np.testing.assert_array_equal(decode(found.codes, f"int{bits}"), codes)
    assert codes.min() == -(2 ** (bits - 1))
    assert codes.max() == 2 ** (bits - 1) - 1
    np.testing.assert_array_equal(
        decode(quantize(x, id, policy="compressed-tensors", engine=engine).codes, f"int{bits}"),
        codes,
    )
    np.testing.assert_array_equal(round_trip(x, id, engine=engine), found.dequantize())


def test_zero_blocks_have_the_scales_of_their_library():
    x = np.zeros((1, 128), F)
    found = {
        library: [
            float(quantize(x, id, policy=library).scales[0, 0])
            for id in ("int4-w4a16", "int8-w8a8", "fp8-channel", "nvfp4")
        ]
        for library in LIBRARIES
    }
    assert found == {
        "modelopt": [1, 1, 1, 1],
        "torchao": [2**-23, 2**-23, 1, 2**-6],
        "compressed-tensors": [2**-7, 2**-23, 2**-23, 0.125],
    }
    for library in LIBRARIES:
        for id in ("int4-w4a16", "int8-w8a8", "fp8-channel", "nvfp4"):
            assert not quantize(x, id, policy=library).dequantize().any()


def test_modelopt_and_torchao_scale_integers_in_their_ways():
    x = matrix()
    amax = np.abs(x).max(axis=1, keepdims=True)
    s = np.where(amax == 0, F(1), amax / F(127))
    np.testing.assert_array_equal(
        decode(quantize(x, "int8-w8a8", policy="modelopt").codes, "int8"),
        np.clip(np.rint(x / s), -128, 127),
    )
    s = np.maximum(amax / F(127.5), F(2.0**-23))
    np.testing.assert_array_equal(
        decode(quantize(x, "int8-w8a8", policy="torchao").codes, "int8"),
        np.clip(np.rint(x * (F(1) / s)), -128, 127),
    )


@pytest.mark.parametrize(
    ("library", "id", "exponent"),
    [
        ("modelopt", "mxfp4", lambda a: np.ceil(np.log2(a / 6))),
        ("torchao", "mxfp4", lambda a: np.floor(np.log2(a)) - 2),
        (
            "compressed-tensors",
            "mxfp4",
            lambda a: np.floor(np.log2(a * 1.0)) - 2 + (np.frexp(a)[0] >= 0.875),
        ),
        (
            "compressed-tensors",
            "mxfp8",
            lambda a: np.floor(np.log2(a * 1.0)) - 8 + (np.frexp(a)[0] >= 0.875),
        ),
    ],
)
def test_mx_scales(library, id, exponent):
    x = np.random.default_rng(5).standard_t(4, (40, 256)).astype(F)
    amax = np.abs(x).reshape(40, -1, 32).max(axis=2).astype(np.float64)
    found = quantize(x, id, policy=library).scales
    np.testing.assert_array_equal(np.log2(found), exponent(amax))


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_modelopt_breaks_ties_toward_zero_in_mxfp4_alone(engine):
    ties = np.array([6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -0.25, -2.5, -3.5, *[0] * 21], F)
    found = {
        id: decode(quantize(ties[None], id, policy="modelopt", engine=engine).codes, "e2m1")[
            0, 1:11
        ].tolist()
        for id in ("mxfp4", "nvfp4")
    }
    assert found["mxfp4"] == [0, 0.5, 1, 1.5, 2, 3, 4, 0, -2, -3]
    assert found["nvfp4"] == [0, 1, 1, 2, 2, 4, 4, 0, -2, -4]


def test_schemes_say_whose_rule_they_carry():
    for id in ("int4-w4a16", "int4-w4a16-g32", "int8-w8a8", "int8-w8a16"):
        assert scheme(id).weight.scale.rule == "half-range"
        assert "compressed-tensors" in scheme(id).source
    assert scheme("int8-w8a8").activation.scale.rule == "amax"
    assert stored_scheme("int3-w3a16-g128").weight.scale.rule == "half-range"


def test_half_range_belongs_to_integers():
    for id in ("fp8-tensor", "nvfp4", "mxfp4"):
        with pytest.raises(UnsupportedError, match="half-range belongs to symmetric integers"):
            quantize(matrix(), id, scale_rule="half-range")
    with pytest.raises(UnsupportedError, match="four-over-six belongs to NVFP4"):
        quantize(matrix(), "mxfp4", scale_rule="four-over-six")


def test_the_rule_of_a_call_goes_before_that_of_a_preset():
    x = matrix()
    by_call = quantize(x, "int4-w4a16", policy="compressed-tensors", scale_rule="amax")
    assert (
        by_call.scales[0, 0]
        == decode(
            [int(F(np.abs(x[0, :128]).max() / F(7)).astype(ml_dtypes.bfloat16).view(np.uint16))],
            "bf16",
        )[0]
    )


def test_a_policy_of_ones_own_takes_a_library_scaling():
    x = matrix()
    own = Policy("own", overflow="saturate", scaling="modelopt")
    np.testing.assert_array_equal(
        quantize(x, "nvfp4", policy=own).scales, quantize(x, "nvfp4", policy="modelopt").scales
    )


@pytest.mark.exhaustive
def test_the_libraries_themselves():
    """What is installed of them; every difference has a name."""
    pytest.importorskip("torch", reason="torch is not installed (the [oracle] extra)")
    for name in ("modelopt", "torchao", "compressed_tensors"):
        pytest.importorskip(name, reason=f"{name} is not installed; it is not of an extra")
    from evaluation.numerics import libraries
    from evaluation.numerics.rows import UNEXPLAINED

    assert [row for seed in (1, 2) for row in libraries.rows(seed) if row.why == UNEXPLAINED] == []
