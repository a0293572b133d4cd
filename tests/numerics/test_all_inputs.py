"""Every BF16 and FP16 input under every preset, and every float32 input to FP8: all of them in
`make exhaustive`; in `make test` all inputs for two formats and every 17th for the others.

The reference rounds each distinct magnitude once a format and rounding (its rounding step is
cached here), so that whole ranges are affordable.
"""

import itertools
from dataclasses import replace
from functools import cache

import ml_dtypes
import numpy as np
import pytest

from planner.formats.elements import ELEMENTS, element
from planner.formats.spec import ElementFormat
from planner.numerics import encode, policy_names, reference
from planner.numerics.policies import Policy, resolve_policy
from planner.numerics.reference import decode_exact, encode_exact

FORMATS = tuple(f for f in ELEMENTS if f != "fp32")  # FP32 is the identity on bit patterns
FP8 = {"e4m3fn": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}
WHOLE = ("e4m3fn", "e2m1")
"""Formats that `make test` casts all inputs to."""
STEP = 17  # odd: every exponent, both signs and every low bit are met
PART = 1 << 24


@cache
def inputs(step: int = 1) -> np.ndarray:
    """Float32 values of all BF16 and all FP16 bit patterns, or of every ``step``-th."""
    codes = np.arange(0, 65536, step, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        halves = codes.view(np.float16).astype(np.float32)
    return np.concatenate([(codes.astype(np.uint32) << np.uint32(16)).view(np.float32), halves])


@cache
def exact_inputs(step: int = 1) -> tuple:
    fp32 = element("fp32")
    return tuple(decode_exact(b, fp32) for b in inputs(step).view(np.uint32).tolist())


@pytest.fixture
def quick_reference(monkeypatch):
    """The reference with its rounding of magnitudes cached by the fields that decide it."""
    original = reference._round_magnitude

    @cache
    def rounded(magnitude, format: str, policy: Policy):
        return original(magnitude, element(format), policy)

    def stand_in(magnitude, fmt: ElementFormat, policy: Policy, draw: int = 0):
        assert draw == 0
        return rounded(magnitude, fmt.id, Policy("", tie=policy.tie, rounding=policy.rounding))

    monkeypatch.setattr(reference, "_round_magnitude", stand_in)


def expected(fmt: ElementFormat, policy: Policy, step: int = 1) -> list[int]:
    """Codes of all inputs. Of a float format the reference rounds a magnitude and then looks at no
    more than its code, whether it was zero, the sign and the kind: one input of each such class is
    encoded for all of it, and every 61st input by itself."""
    if fmt.kind in ("int", "scale"):
        return [encode_exact(v, fmt, policy) for v in exact_inputs(step)]
    known: dict[tuple[str, bool, bool, int], int] = {}
    codes = []
    rounded_to = magnitudes(fmt, policy, step)
    for i, (value, rounded) in enumerate(zip(exact_inputs(step), rounded_to, strict=True)):
        key = (value.kind, value.negative, bool(value.magnitude), rounded)
        if i % 61 == 0:
            alone = encode_exact(value, fmt, policy)
            assert known.setdefault(key, alone) == alone
        elif key not in known:
            known[key] = encode_exact(value, fmt, policy)
        codes.append(known[key])
    return codes


def magnitudes(fmt: ElementFormat, policy: Policy, step: int) -> tuple[int, ...]:
    """The rounded magnitude of every input, 0 for what is not finite."""
    return _magnitudes(fmt.id, Policy("", tie=policy.tie, rounding=policy.rounding), step)


@cache
def _magnitudes(format: str, policy: Policy, step: int) -> tuple[int, ...]:
    fmt = element(format)
    first, where = distinct_magnitudes(step)
    values = [exact_inputs(step)[i] for i in first]
    codes = [
        reference._round_magnitude(v.magnitude, fmt, policy) if v.kind == "finite" else 0
        for v in values
    ]
    return tuple(np.array(codes)[where].tolist())


@cache
def distinct_magnitudes(step: int) -> tuple[list[int], np.ndarray]:
    """(an input of each magnitude, the number of each input's magnitude)."""
    bits = inputs(step).view(np.uint32) & np.uint32(0x7FFFFFFF)
    _, first, where = np.unique(bits, return_index=True, return_inverse=True)
    return first.tolist(), where


def relevant(policy: Policy, fmt: ElementFormat) -> Policy:
    """The policy without the fields that speak of codes a format does not have."""
    plain = replace(policy, id="", reciprocal=False)
    if fmt.kind == "int":
        return Policy("", tie=policy.tie)
    if fmt.nan != "ieee":
        plain = replace(plain, nan_payload="quiet")
    if fmt.nan != "none":
        plain = replace(plain, missing_nan="max")
    if fmt.signed:
        plain = replace(plain, unsigned="nan")
    if fmt.kind != "scale":
        plain = replace(plain, power_rounding="nearest")
    return plain


def choices(format: str) -> list[list[str]]:
    """The presets in groups that make the same choices for a format."""
    groups: dict[Policy, list[str]] = {}
    for name in policy_names():
        chosen = relevant(resolve_policy(name, element(format)), element(format))
        groups.setdefault(chosen, []).append(name)
    return list(groups.values())


def test_every_preset_is_covered():
    for format in FORMATS:
        assert sorted(itertools.chain(*choices(format))) == sorted(policy_names())


def check_presets(format: str, step: int) -> None:
    """Engine and reference agree under every preset."""
    for names in choices(format):
        codes = expected(element(format), resolve_policy(names[0], element(format)), step)
        for name in names:
            np.testing.assert_array_equal(encode(inputs(step), format, policy=name), codes)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "format", [f if f in WHOLE else pytest.param(f, marks=pytest.mark.exhaustive) for f in FORMATS]
)
def test_all_bf16_and_fp16_inputs_under_every_preset(format, quick_reference):
    check_presets(format, 1)


@pytest.mark.sample(4)
@pytest.mark.parametrize("format", [f for f in FORMATS if f not in WHOLE])
def test_strided_bf16_and_fp16_inputs_under_every_preset(format, quick_reference):
    check_presets(format, STEP)


def test_direct_and_by_way_of_float32():
    """A BF16 or FP16 array is cast as the float32 of its values."""
    codes = np.arange(65536, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        for x in (codes.view(np.float16), codes.view(ml_dtypes.bfloat16)):
            for format in ("e4m3fn", "e5m2", "e2m1"):
                assert (encode(x, format) == encode(x.astype(np.float32), format)).all()


def agree(format: str, start: int, engine: str) -> None:
    bits = np.arange(start, start + PART, dtype=np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    with np.errstate(all="ignore"):
        theirs = x.astype(FP8[format]).view(np.uint8)
    np.testing.assert_array_equal(encode(x, format, policy="ml_dtypes", engine=engine), theirs)


@pytest.mark.parametrize("format", FP8)
def test_strided_float32_inputs_equal_ml_dtypes(format):
    bits = np.arange(0, 1 << 32, 997, dtype=np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    with np.errstate(all="ignore"):
        theirs = x.astype(FP8[format]).view(np.uint8)
    np.testing.assert_array_equal(encode(x, format, policy="ml_dtypes"), theirs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("format", FP8)
def test_all_float32_inputs_equal_ml_dtypes(format, engine):
    if engine == "numba":
        pytest.importorskip("numba", reason="numba is not installed (the [fast] extra)")
    for start in range(0, 1 << 32, PART):
        agree(format, start, engine)


def all_policies(fmt: ElementFormat) -> list[Policy]:
    """The cross product of the choices that a format can tell apart."""
    fields = {
        "overflow": ("ieee", "saturate"), "infinity": ("ieee", "saturate"),
        "nan_sign": ("kept", "positive"),
        "nan_payload": ("quiet", "ones") if fmt.nan == "ieee" else ("quiet",),
        "missing_nan": ("flipped-zero", "max") if fmt.nan == "none" else ("max",),
        "keep_negative_zero": (True, False),
        "unsigned": ("magnitude", "nan") if not fmt.signed else ("nan",),
        "power_rounding": ("nearest", "up", "field") if fmt.kind == "scale" else ("nearest",),
        "rounding": (("nearest", "even"), ("nearest", "away"), ("nearest", "zero"),
                     ("toward-zero", "even")),
    }  # fmt: skip
    out = []
    for values in itertools.product(*fields.values()):
        named = dict(zip(fields, values, strict=True))
        rounding, tie = named.pop("rounding")
        out.append(Policy("cross", **named, rounding=rounding, tie=tie))
    return out


@pytest.mark.exhaustive
@pytest.mark.parametrize("format", FORMATS)
def test_the_cross_product_of_policies_on_all_bf16_and_fp16_inputs(format, quick_reference):
    fmt = element(format)
    for policy in all_policies(fmt):
        np.testing.assert_array_equal(
            encode(inputs(), format, policy=policy), expected(fmt, policy), err_msg=str(policy)
        )
