"""Recipes of four bits: each against its definition, as options and as schemes."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from planner.base.errors import InputError, UnsupportedError
from planner.formats.recipes import RECIPES, recipes_of
from planner.formats.schemes import SCHEMES, scheme, scheme_ids
from planner.formats.stored_schemes import stored_scheme
from planner.numerics import Policy, decode, encode, error, hadamard, quantize, round_trip
from planner.numerics.reference import encode_reference

F = np.float32
E4M3, E2M1 = ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn


def matrix(shape=(16, 128), seed=0):
    return np.random.default_rng(seed).standard_t(4, shape).astype(F)


def four_over_six(x, sides):
    """Block by block: the scales and values of the reference implementation's order."""
    encode_scale = F(6 * 256) / np.abs(x).max()
    g = F(1) / encode_scale
    values = np.empty_like(x)
    scales = np.empty((x.shape[0] // sides[0], x.shape[1] // sides[1]), F)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = np.s_[i * sides[0] : (i + 1) * sides[0], j * sides[1] : (j + 1) * sides[1]]
            block, best = x[part], None
            for factor in (F(1), F(1.5)):
                s = (np.abs(block).max() / F(6) * encode_scale * factor).astype(E4M3).astype(F)
                found = (block * (F(1) / F(s * g)) if s else block * 0).astype(E2M1).astype(F)
                back = found * F(s * g)
                lost = sum(Fraction(float(v)) ** 2 for v in (back.astype(float) - block).ravel())
                if best is None or lost < best[0]:
                    best = lost, s, found
            scales[i, j], values[part] = best[1:]
    return g, scales, values


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("sides", [(1, 16), (16, 16)])
def test_four_over_six_takes_the_smaller_error(sides, engine):
    x = matrix(seed=sides[0])
    x[3] = 0
    g, scales, values = four_over_six(x, sides)
    found = quantize(x, "nvfp4", scale_rule="four-over-six", block=sides, engine=engine)
    assert F(found.tensor_scale) == g
    np.testing.assert_array_equal(found.scales, scales)
    np.testing.assert_array_equal(decode(found.codes, "e2m1"), values)
    np.testing.assert_array_equal(
        round_trip(x, "nvfp4", scale_rule="four-over-six", block=sides, engine=engine),
        found.dequantize(),
    )


def test_some_blocks_take_four_and_some_six():
    x = matrix((64, 256))
    top = np.abs(decode(quantize(x, "nvfp4-4over6").codes, "e2m1")).reshape(-1, 16).max(axis=1)
    assert 0.2 < np.mean(top == 4) < 0.6
    assert set(top.tolist()) <= {4, 6}
    plain, chosen = (
        error(x, quantize(x, id).dequantize()).relative_power for id in ("nvfp4", "nvfp4-4over6")
    )
    assert chosen < 0.95 * plain


def test_zeros_and_one_value_under_four_over_six():
    for x in (np.zeros((2, 32), F), np.full((2, 32), 3.0, F), np.full((1, 16), 1e-30, F)):
        back = quantize(x, "nvfp4", scale_rule="four-over-six").dequantize()
        np.testing.assert_allclose(back, x, rtol=1e-6)


def test_square_blocks_quantise_a_matrix_and_its_transpose_alike():
    """Why trainers take them: forward and backward see the same weights."""
    x = matrix((32, 64))
    square = quantize(x, "nvfp4-16x16").dequantize()
    np.testing.assert_array_equal(square.T, quantize(x.T.copy(), "nvfp4-16x16").dequantize())
    plain = quantize(x, "nvfp4").dequantize()
    other = quantize(x.T.copy(), "nvfp4").dequantize()
    assert (other != plain.T).any()
    np.testing.assert_array_equal(quantize(x, "nvfp4", block=(16, 16)).dequantize(), square)
    assert quantize(x, "nvfp4-16x16").scales.shape == (2, 4)


@pytest.mark.parametrize("size", [1, 2, 16, 128])
def test_a_rotation_is_the_matrix_of_sylvester(size):
    h = np.ones((1, 1))
    while len(h) < size:
        h = np.block([[h, h], [h, -h]])
    x, signs = matrix(), np.random.default_rng(1).choice((-1.0, 1.0), size)
    exact = ((x.astype(np.float64).reshape(-1, size) * signs) @ h / np.sqrt(size)).reshape(x.shape)
    np.testing.assert_allclose(hadamard(x, size, signs=signs), exact, rtol=3e-7, atol=1e-7)
    np.testing.assert_allclose(
        hadamard(hadamard(x, size, signs=signs), size, signs=signs, inverse=True),
        x,
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_rotated_format_is_the_rotated_matrix_quantised():
    x = matrix()
    found = quantize(x, "nvfp4", hadamard=16)
    turned = quantize(hadamard(x, 16), "nvfp4")
    np.testing.assert_array_equal(found.codes, turned.codes)
    np.testing.assert_array_equal(
        found.dequantize(), hadamard(turned.dequantize(), 16, inverse=True)
    )
    assert found.format.rotation == 16
    np.testing.assert_array_equal(round_trip(x, "nvfp4-hadamard16"), found.dequantize())
    np.testing.assert_array_equal(
        quantize(x.T.copy(), "nvfp4", hadamard=16, axis=0).dequantize(), found.dequantize().T
    )


def test_a_rotation_spreads_an_outlier():
    x = np.random.default_rng(0).standard_normal((64, 128)).astype(F)
    x[:, 5] *= 40
    plain, turned = (
        error(x, quantize(x, "mxfp4", hadamard=size).dequantize()).relative_power
        for size in (None, 32)
    )
    assert np.abs(hadamard(x, 32)).max() < 0.5 * np.abs(x).max()
    small = np.arange(128) != 5
    kept, spread = (
        np.mean(quantize(x, "mxfp4", hadamard=size).codes[:, small] & 7 == 0) for size in (None, 32)
    )
    assert spread < kept  # fewer codes are zeros
    assert plain != turned


@pytest.mark.parametrize("id", ["e2m1", "e4m3fn", "int8", "bf16"])
def test_eight_random_bits_are_the_reference_draw_by_draw(id):
    x = np.concatenate([matrix().reshape(-1)[:300] * F(3), F([0.1, 0.49, 5.9, 7, -7, 1e-3])])
    draws = np.random.default_rng(9).integers(0, 256, x.size, dtype=np.uint32)
    policy = Policy("rs", rounding="stochastic", random_bits=8)
    want = [
        encode_reference(int(b), id, policy=policy, draw=int(d) << 24)
        for b, d in zip(x.view(np.uint32), draws, strict=True)
    ]
    assert encode(x, id, policy=policy, rng=np.random.default_rng(9)).tolist() == want


class Counting:
    """A generator whose draws are all numbers of its bits in turn."""

    def integers(self, low, high, size, dtype):
        return np.resize(np.arange(low, high, dtype=np.uint64), size).astype(dtype)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1 / 256, 0.9 / 256, 0.5 - 2**-20, 255.99 / 256])
def test_the_chance_of_eight_bits_is_rounded_down_to_a_256th(fraction):
    from planner.formats.elements import element
    from planner.numerics.wide import stochastic

    x = np.full(256, 2 + fraction, F)  # E2M1 between 2 and 3
    up = stochastic(x, element("e2m1"), Counting(), 8) == 3
    assert up.sum() == int(F(fraction) * 256)


def test_random_bits_need_a_generator_and_say_so():
    x = matrix()
    with pytest.raises(InputError, match="needs a Generator"):
        quantize(x, "nvfp4", random_bits=8)
    rng = np.random.default_rng
    found = quantize(x, "nvfp4", random_bits=8, rng=rng(3))
    np.testing.assert_array_equal(
        found.codes, quantize(x, "nvfp4-sr8", role="activation", rng=rng(3)).codes
    )
    assert (found.codes != quantize(x, "nvfp4").codes).any()
    np.testing.assert_array_equal(found.scales, quantize(x, "nvfp4").scales)
    assert found.format.random_bits == 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hadamard": 24}, "size 24"),
        ({"hadamard": 0}, "size 0"),
        ({"hadamard": 256}, "256"),
        ({"block": (16,)}, r"not \(rows, columns\)"),
        ({"block": (-1, 16)}, "not"),
        ({"random_bits": 7}, "random_bits = 7"),
    ],
)
def test_wrong_recipes_say_what_there_is(options, words):
    with pytest.raises(InputError, match=words) as caught:
        quantize(matrix(), "nvfp4", **options)
    assert caught.value.hint


def test_what_a_format_does_not_have():
    for options in ({"block": (1, 16)}, {"hadamard": 16}, {"random_bits": 8}):
        with pytest.raises(UnsupportedError):
            quantize(matrix(), "ggml-q8_0", **options)
    with pytest.raises(UnsupportedError, match="no blocks"):
        quantize(matrix(), "bf16", block=(1, 16))


def test_recipes_are_schemes_by_name_and_listed_nowhere():
    assert not set(RECIPES) & set(scheme_ids())
    assert recipes_of("nvfp4") == tuple(i for i in RECIPES if RECIPES[i].base == "nvfp4")
    assert recipes_of("bf16") == ()
    for id, recipe in RECIPES.items():
        found = scheme(id)
        assert (found.id, SCHEMES[id], stored_scheme(id)) == (id, found, None)
        assert found.compute == scheme(recipe.base).compute
        assert (found.weight, found.activation) != (
            scheme(recipe.base).weight,
            scheme(recipe.base).activation,
        )
        assert "arXiv" in found.source or "PTX" in found.source
