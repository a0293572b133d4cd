"""The exact encoder and decoder against values printed in the format specifications."""

import math
import struct
from fractions import Fraction

import pytest

from planner.base.errors import InputError, UnknownNameError
from planner.formats.elements import ELEMENTS, element
from planner.numerics.policies import PRESETS, Policy, policy_names, resolve_policy
from planner.numerics.reference import (
    Exact,
    decode_exact,
    decode_reference,
    encode_exact,
    encode_reference,
    floor_log2,
    max_code,
)


def bits_of(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def code(value: float, format: str, policy="ocp") -> int:
    return encode_reference(bits_of(value), format, policy=policy)


@pytest.mark.parametrize(("format", "given", "value"), [
    ("e4m3fn", 0x7E, 448.0), ("e4m3fn", 0x08, 2.0**-6), ("e4m3fn", 0x01, 2.0**-9),
    ("e5m2", 0x7B, 57344.0), ("e5m2", 0x01, 2.0**-16), ("e5m2", 0x7C, math.inf),
    ("e3m2", 0x1F, 28.0), ("e3m2", 0x3F, -28.0), ("e2m3", 0x1F, 7.5), ("e2m1", 0x7, 6.0),
    ("e2m1", 0x9, -0.5), ("e8m0", 127, 1.0), ("e8m0", 0, 2.0**-127), ("e8m0", 254, 2.0**127),
    ("ue4m3", 0x7E, 448.0), ("ue4m3", 0xFE, 448.0), ("int8", 0x80, -128.0), ("int4", 0xF, -1.0),
    ("bf16", 0x3F80, 1.0), ("fp16", 0x3C01, 1 + 2.0**-10), ("tf32", 0x3F802000, 1 + 2.0**-10),
])  # fmt: skip
def test_published_values(format, given, value):
    assert decode_reference(given, format) == value


def test_e2m1_is_the_published_set():
    assert [decode_reference(c, "e2m1") for c in range(8)] == [0, 0.5, 1, 1.5, 2, 3, 4, 6]


def test_nan_codes():
    for format, nans in (
        ("e4m3fn", {0x7F, 0xFF}),
        ("e8m0", {0xFF}),
        ("ue4m3", {0x7F, 0xFF}),
        ("e5m2", {0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF}),
        ("e3m2", set()),
    ):
        size = 1 << element(format).bits
        assert {c for c in range(size) if math.isnan(decode_reference(c, format))} == nans


@pytest.mark.parametrize("format", sorted(ELEMENTS))
def test_largest_code_has_the_catalogued_value(format):
    fmt = element(format)
    shift = 13 if format == "tf32" else 0
    top = 127 if format == "int8" else 7 if format == "int4" else max_code(fmt) << shift
    assert decode_exact(top, fmt).magnitude == Fraction(fmt.max_finite)


@pytest.mark.parametrize(("policy", "e4m3", "e5m2"), [
    ("ocp", (0x7F, 0x7F, 0x7F), (0x7C, 0x7C, 0x7E)),
    ("ml_dtypes", (0x7F, 0x7F, 0x7F), (0x7C, 0x7C, 0x7E)),
    ("ocp-saturating", (0x7E, 0x7E, 0x7F), (0x7B, 0x7B, 0x7E)),
    ("cuda-satfinite", (0x7E, 0x7E, 0x7F), (0x7B, 0x7B, 0x7F)),
    ("deepseek-v3", (0x7E, 0x7E, 0x7F), (0x7B, 0x7B, 0x7F)),
    ("torch>=2.12", (0x7E, 0x7E, 0x7F), (0x7C, 0x7C, 0x7F)),
    ("torch<2.12", (0x7F, 0x7F, 0x7F), (0x7C, 0x7C, 0x7F)),
    ("deepgemm", (0x7E, 0x7E, 0x7F), (0x7C, 0x7C, 0x7F)),
    ("modelopt", (0x7E, 0x7E, 0x7F), (0x7B, 0x7B, 0x7F)),
    ("torchao", (0x7E, 0x7E, 0x7F), (0x7B, 0x7B, 0x7F)),
    ("compressed-tensors", (0x7E, 0x7E, 0x7F), (0x7B, 0x7B, 0x7F)),
])  # fmt: skip
def test_presets_out_of_range(policy, e4m3, e5m2):
    values = (1e6, math.inf, math.nan)
    assert tuple(code(v, "e4m3fn", policy) for v in values) == e4m3
    assert tuple(code(v, "e5m2", policy) for v in values) == e5m2


def test_every_preset_is_covered_by_the_table_above():
    covered = {
        m.args[1][i][0] for m in test_presets_out_of_range.pytestmark for i in range(len(m.args[1]))
    }
    assert covered == set(policy_names()) == set(PRESETS)


def test_nan_signs():
    assert code(-math.nan, "e4m3fn", "torch<2.12") == 0xFF
    assert code(-math.nan, "e4m3fn", "cuda-satfinite") == 0x7F
    assert code(math.nan, "e2m1", "cuda-satfinite") == 0x7
    assert code(math.nan, "e2m1", "ml_dtypes") == 0x8


def test_overflow_begins_above_the_tie():
    assert code(464.0, "e4m3fn") == 0x7E
    assert code(math.nextafter(464.0, 500) + 1e-4, "e4m3fn") == 0x7F
    assert code(61439.0, "e5m2") == 0x7B
    assert code(61440.0, "e5m2") == 0x7C


def test_ties_of_e2m1():
    ties = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)

    def rounded(policy):
        return [decode_reference(code(t, "e2m1", policy), "e2m1") for t in ties]

    assert rounded("ml_dtypes") == [0, 1, 1, 2, 2, 4, 4]
    assert rounded("deepgemm") == [0, 0.5, 1, 1.5, 2, 3, 4]
    assert rounded(Policy("away", tie="away"))[:2] == [0.5, 1]
    assert code(-0.1, "e2m1", "deepgemm") == 0
    assert code(-0.1, "e2m1", "ml_dtypes") == 8


def test_e8m0():
    assert code(1.4142, "e8m0") == 127
    assert code(1.5, "e8m0") == 128
    assert [code(v, "e8m0") for v in (0.0, -1.0, math.inf, math.nan)] == [255] * 4
    assert [code(v, "e8m0", "torch>=2.12") for v in (0.0, -1.0)] == [0, 127]
    assert code(1.0001, "e8m0", "cuda-satfinite") == 128
    assert code(math.inf, "e8m0", "cuda-satfinite") == 254


def test_integers_clip_and_round_to_even():
    assert [code(v, "int8") for v in (2.5, 3.5, -2.5, 300.0, -300.0)] == [2, 4, 0xFE, 0x7F, 0x80]
    assert [code(v, "int4") for v in (7.4, 9.0, -9.0, math.nan)] == [7, 7, 8, 0]


def test_old_spellings_and_errors():
    fmt = element("e4m3fn")
    assert resolve_policy("ocp-nonsat", fmt) == resolve_policy("OCP", fmt)
    assert resolve_policy("ocp-sat", fmt) == resolve_policy("ocp-saturating", fmt)
    with pytest.raises(UnknownNameError):
        resolve_policy("torch", fmt)
    with pytest.raises(InputError, match="0x100"):
        decode_exact(0x100, fmt)


def test_encoding_exact_values_below_float32():
    tiny = Exact(False, "finite", Fraction(1, 2**300))
    assert encode_exact(tiny, element("fp32"), resolve_policy("ocp", element("fp32"))) == 0
    third = Exact(True, "finite", Fraction(1, 3))
    assert encode_exact(third, element("fp16"), Policy("p")) == 0xB555


def test_infinities_keep_their_sign():
    assert [decode_reference(c, "e5m2") for c in (0x7C, 0xFC)] == [float("inf"), float("-inf")]


def test_floor_log2_is_exact_at_powers_of_two():
    assert [floor_log2(Fraction(n, d)) for n, d in ((1, 4), (1, 1), (8, 1), (7, 1), (3, 16))] == [
        -2,
        0,
        3,
        2,
        -3,
    ]
