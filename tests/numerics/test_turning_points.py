"""Numbers at which numerics turn, by hand: a whole axis as a block, sums that just do not fit."""

import numpy as np
import numpy.typing as npt
import pytest

from planner.base.errors import InputError, UnsupportedError
from planner.numerics import encode, matmul, quantize, round_trip
from planner.numerics.engines import Chosen, numba_installed
from planner.numerics.fast_fused import _exponents
from planner.numerics.ggml_iq2_iq3 import quantize_iq2_xxs
from planner.numerics.ggml_registry import _encoder
from planner.numerics.policies import Policy
from planner.numerics.product_inputs import checked_codes
from planner.numerics.reference import encode_reference
from planner.numerics.runs import WIDEST, takes_rows
from planner.numerics.scaling import Scales
from planner.numerics.unit_catalog import UNITS

F = np.float32


@pytest.mark.parametrize(
    ("whole", "told"), [((0, 16), (32, 16)), ((1, 0), (1, 64)), ((0, 0), (32, 64))]
)
def test_a_block_of_no_rows_or_columns_is_the_whole_axis(
    whole: tuple[int, int], told: tuple[int, int]
) -> None:
    x = np.random.default_rng(1).normal(size=(32, 64)).astype(F)
    found, same = (quantize(x, "fp8-block", block=sides) for sides in (whole, told))
    assert found.codes.tobytes() == same.codes.tobytes()
    assert found.scales is not None
    assert same.scales is not None
    assert np.array_equal(found.scales, same.scales)
    with pytest.raises(InputError, match="not \\(rows, columns\\)"):
        quantize(x, "fp8-block", block=(-1, 16))


def test_a_second_level_of_two_doubles_what_blocks_scale_to() -> None:
    block = np.array([[0.5, 3.0]], F)
    assert Scales(block).effective().tolist() == [[0.5, 3.0]]
    assert Scales(block, 2.0).effective().tolist() == [[1.0, 6.0]]
    assert Scales(block, 2.0, exponent=-6).effective().tolist() == [[2.0**-6, 6 * 2.0**-6]]
    assert Scales(block, 2.0, inverse=True).effective().tolist() == [[0.25, 1.5]]


@pytest.mark.parametrize("turned", [False, True])
def test_one_that_float64_would_lose_beside_large_numbers_stays(turned: bool) -> None:
    """2^54 + 1 - 2^54, whichever side the large numbers are on."""
    large = np.array([[2.0**54, 1.0, -(2.0**54)]], F).view(np.uint32)
    ones = np.ones((3, 1), F).view(np.uint32)
    a, b = (ones.T, large.T) if turned else (large, ones)
    got = matmul(
        np.ascontiguousarray(a),
        np.ascontiguousarray(b),
        a_format="fp32",
        b_format="fp32",
        unit="exact",
    )
    assert got.tolist() == [[1.0]]


@pytest.mark.parametrize(("format", "bits"), [("e2m1", 4), ("int4", 4), ("e3m2", 6)])
def test_the_first_code_that_does_not_fit_is_refused(format: str, bits: int) -> None:
    last = np.array([[(1 << bits) - 1]], np.uint8)
    assert checked_codes(last, format, "a")[0].tolist() == last.tolist()
    with pytest.raises(InputError, match=f"does not fit the {bits} bits"):
        checked_codes(last + np.uint8(1), format, "a")


@pytest.mark.parametrize(
    ("sides", "columns", "takes"),
    [
        ((1, 16), 64, True),
        ((1, 32), 64, True),
        ((1, WIDEST), WIDEST, True),
        ((1, 1), 64, False),
        ((1, 17), 34, False),
        ((1, 24), 48, False),
        ((1, 32), 48, False),
        ((2, 16), 64, False),
        ((1, WIDEST + 16), WIDEST + 16, False),
    ],
)
def test_kernels_take_whole_blocks_of_sixteen_in_a_row(
    sides: tuple[int, int], columns: int, takes: bool
) -> None:
    assert takes_rows(sides, columns) == takes


@pytest.mark.parametrize(
    ("numbers", "exponent", "subnormal"),
    [
        ([0.125, -4.0, 0.0], -3, False),
        ([6.0], 2, False),
        ([-0.0, 0.0], 0, False),
        ([2.0**-126, 1.0], -126, False),
        ([2.0**-127, 1.0], -127, True),
        ([np.inf, 8.0], 3, False),
    ],
)
def test_the_smallest_magnitude_tells_the_exponent(
    numbers: list[float], exponent: int, subnormal: bool
) -> None:
    assert _exponents(np.array([numbers], F)) == (exponent, subnormal)


@pytest.mark.parametrize(
    ("eighths", "draw", "up"),
    [
        (1, 7 << 29, True),
        (1, (7 << 29) - 1, False),
        (4, 1 << 31, True),
        (4, (1 << 31) - 1, False),
        (7, 1 << 29, True),
        (7, (1 << 29) - 1, False),
        (0, (1 << 32) - 1, False),
    ],
)
def test_a_draw_that_just_fills_the_step_rounds_up(eighths: int, draw: int, up: bool) -> None:
    """Of steps of an eighth above 1 in E4M3, as many eighths as are told."""
    policy = Policy("stochastic", rounding="stochastic", random_bits=32)
    bits = int(np.array(1 + eighths / 64, F).view(np.uint32))
    assert encode_reference(bits, "e4m3fn", policy=policy, draw=draw) == 0x38 + up


def test_a_group_that_counts_for_nothing_is_the_first_point_everywhere() -> None:
    """IQ2_XXS: eight groups of 32, four bytes of points each after the block's two of d."""
    x = np.random.default_rng(3).normal(size=(4, 256)).astype(F)
    importance = np.ones((4, 256), F)
    importance[:, 64:96] = 0
    groups = quantize_iq2_xxs(x, importance)[:, 2:].reshape(4, 8, 8)
    assert not groups[:, 2].any()
    assert groups[:, [0, 1, 3, 4, 5, 6, 7], :4].any(axis=2).all()


@pytest.mark.parametrize(("rest", "up"), [(-24, False), (-30, True), (-31, True), (-32, False)])
def test_cdna3_sees_31_bits_below_the_sum_before_it_rounds(rest: int, up: bool) -> None:
    """1 + 2^-24 is a tie, to even; a bit more is none, down to 2^-31: what is below is cut."""
    powers = [2.0**-12, 2.0 ** (rest // 2) if rest != -24 else 0.0]
    a = encode(np.array([powers], F), "bf16")
    b = encode(np.array([[2.0**-12], [2.0 ** (rest - rest // 2)]], F), "bf16")
    got = matmul(a, b, a_format="bf16", b_format="bf16", unit="cdna3", c=np.ones((1, 1), F))
    assert float(got[0, 0]) == (1 + 2.0**-23 if up else 1.0)


@pytest.mark.parametrize(
    "engine",
    [
        "numpy",
        pytest.param(
            "numba",
            marks=pytest.mark.skipif(
                not numba_installed(), reason="numba is not installed (the [fast] extra)"
            ),
        ),
    ],
)
def test_blocks_round_ties_to_even_by_hand(engine: Chosen) -> None:
    """MXFP4 with a scale of 1: halfway between neighbours, and next to it on both sides."""
    ties = {0.25: 0, 0.75: 1, 1.25: 1, 1.75: 2, 2.5: 2, 3.5: 4, 5.0: 4}
    at = np.array([*ties], F)
    row = np.array([6.0, *ties, *np.nextafter(at, F(0)), *np.nextafter(at, F(9))], F)
    x = np.zeros((2, 32), F)
    x[0, : row.size], x[1, : row.size] = row, -row
    values = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    below = [max(v for v in values if v < tie) for tie in ties]
    above = [min(v for v in values if v > tie) for tie in ties]
    got = round_trip(x, "mxfp4", engine=engine)
    assert got[0, : row.size].tolist() == [6, *ties.values(), *below, *above]
    assert np.array_equal(got[1], -got[0])


def test_a_rule_of_mixed_formats_takes_no_other_on_either_side() -> None:
    mixed = [rule for unit in UNITS.values() for rule in unit.rules if rule.mixed]
    assert mixed
    for rule in mixed:
        assert all(rule.takes(a, b) for a in rule.a_formats for b in rule.b_formats)
        assert not any(rule.takes(a, "e8m0") for a in rule.a_formats)
        assert not any(rule.takes("e8m0", b) for b in rule.b_formats)


@pytest.mark.parametrize("size", [1, 128])
@pytest.mark.parametrize(("unit", "bits", "k"), [("ampere", 24, 16), ("hopper-wgmma", 25, 16)])
def test_a_subnormal_accumulator_counts_from_the_lowest_exponent(
    unit: str, bits: int, k: int, size: int
) -> None:
    """Beside 2^-127, whose exponent is -126, products are cut below 2^(-126 - bits)."""
    lost = -127 - bits
    a = encode(np.full((size, k), 2.0 ** (lost // 2), F), "bf16")
    b = encode(np.full((k, size), 2.0 ** (lost - lost // 2), F), "bf16")
    got = matmul(
        a,
        b,
        a_format="bf16",
        b_format="bf16",
        unit=unit,
        engine="numpy",
        c=np.full((size, size), 2.0**-127, F),
    )
    assert (got == F(2.0**-127)).all()


@pytest.mark.parametrize(("alike", "weighted"), [(True, True), (True, False), (False, False)])
def test_a_type_without_weights_is_written_alike_or_refuses_them(
    alike: bool,
    weighted: bool,
) -> None:
    def codes(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        return rows.astype(np.uint8)

    encoder = _encoder("none", 4, codes, None, alike)
    rows, ones = np.arange(16, dtype=F).reshape(2, 8), np.ones(8, F)
    assert encoder(rows, ones if weighted else None).tolist() == rows.tolist()
    if not alike:
        with pytest.raises(UnsupportedError, match="no weighted quantiser"):
            encoder(rows, ones)
