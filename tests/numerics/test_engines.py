"""The numba kernels give numpy's bits, one thread or two, and refuse what they don't have."""

import builtins
from dataclasses import replace

import numpy as np
import pytest

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.blocks import BLOCK_FORMATS
from planner.formats.elements import element
from planner.formats.schemes import SCHEMES
from planner.numerics import decode, encode, policy_names, quantize, round_trip
from planner.numerics.policies import Policy

pytest.importorskip("numba", reason="numba is not installed (the [fast] extra)")

NARROW = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1", "e8m0", "ue4m3")
SCALED = [i for i, s in SCHEMES.items() if s.weight.scale and not i.startswith("ggml")]
SAME = {"fp8-w8a16", "int8-w8a16", "nvfp4-w4a16", "mxfp4-w4a8", "mxfp4-w4a16"}  # others' weights
CASES = [(i, "weight") for i in SCALED if i not in SAME]
CASES += [(i, "activation") for i in ("fp8-block", "fp8-block-ue8m0", "int8-block")]


def inputs() -> np.ndarray:
    """All upper halves, each with a zero, a half, a small and a full lower half; random bits."""
    upper = np.arange(65536, dtype=np.uint32)[:, None] << np.uint32(16)
    lower = np.uint32([0, 1, 0x8000, 0xFFFF])
    random = np.random.default_rng(0).integers(0, 1 << 32, 1 << 18, dtype=np.uint64)
    return np.concatenate([(upper | lower).reshape(-1), random.astype(np.uint32)]).view(np.float32)


def matrix(shape=(260, 1100), seed=1) -> np.ndarray:
    """Heavy tails, zero blocks, tiny and large rows."""
    x = np.random.default_rng(seed).standard_t(3, shape).astype(np.float32)
    x[3] = 0
    x[:, 64:128] = 0
    x[5] *= np.float32(1e-30)
    x[6] *= np.float32(1e25)
    return x


@pytest.mark.sample(30)
@pytest.mark.parametrize("policy", policy_names())
@pytest.mark.parametrize("format", [*NARROW, "int8", "int4", "bf16"])
def test_codes_are_equal(format, policy):
    x = inputs()
    fast = encode(x, format, policy=policy, engine="numba")
    np.testing.assert_array_equal(fast, encode(x, format, policy=policy))


@pytest.mark.sample(14)
@pytest.mark.parametrize(
    "policy",
    [
        Policy("away", tie="away"),
        Policy("zero", tie="zero", keep_negative_zero=False),
        Policy("rz", rounding="toward-zero"),
        Policy("plain", keep_negative_zero=False),
        Policy("mixed", overflow="saturate", nan_sign="positive", nan_payload="ones"),
        Policy("other", infinity="saturate", missing_nan="max"),
    ],
    ids=lambda p: p.id,
)
@pytest.mark.parametrize("format", NARROW)
def test_codes_are_equal_under_other_policies(format, policy):
    x = inputs()
    fast = encode(x, format, policy=policy, engine="numba")
    np.testing.assert_array_equal(fast, encode(x, format, policy=policy))


@pytest.mark.parametrize("format", [*NARROW, "int8", "int4"])
def test_values_are_equal(format):
    codes = np.resize(np.arange(1 << element(format).bits, dtype=np.uint8), 100_003)
    fast = decode(codes, format, engine="numba")
    np.testing.assert_array_equal(fast.view(np.uint32), decode(codes, format).view(np.uint32))


@pytest.mark.sample(20)
@pytest.mark.parametrize("columns", [1100, 1152])  # edge blocks, and whole ones (numba: runs)
@pytest.mark.parametrize("policy", ["deepseek-v3", "deepgemm", "ocp", "torch<2.12"])
@pytest.mark.parametrize(("id", "role"), CASES)
def test_blocks_are_equal(id, role, policy, columns):
    x = matrix((260, columns))
    slow = quantize(x, id, role=role, policy=policy)
    fast = quantize(x, id, role=role, policy=policy, engine="numba")
    np.testing.assert_array_equal(fast.codes, slow.codes)
    np.testing.assert_array_equal(fast.scales, slow.scales)
    assert fast.tensor_scale == slow.tensor_scale
    values = slow.dequantize().view(np.uint32)
    np.testing.assert_array_equal(fast.dequantize(engine="numba").view(np.uint32), values)
    for engine in ("numpy", "numba"):
        at_once = round_trip(x, id, role=role, policy=policy, engine=engine)
        np.testing.assert_array_equal(at_once.view(np.uint32), values)


@pytest.mark.parametrize("rule", ["amax", "ocp-floor", "rceil", "ceil", "even"])
@pytest.mark.parametrize("id", [i for i in BLOCK_FORMATS if i.startswith("mx")])
def test_microscaling_is_equal_under_every_rule(id, rule):
    x, fmt = matrix((70, 320)), BLOCK_FORMATS[id]
    slow = quantize(x, fmt, scale_rule=rule)
    fast = quantize(x, fmt, scale_rule=rule, engine="numba")
    np.testing.assert_array_equal(fast.codes, slow.codes)
    np.testing.assert_array_equal(fast.scales, slow.scales)
    values = slow.dequantize().view(np.uint32)
    np.testing.assert_array_equal(fast.dequantize(engine="numba").view(np.uint32), values)
    at_once = round_trip(x, fmt, scale_rule=rule, engine="numba")
    np.testing.assert_array_equal(at_once.view(np.uint32), values)


@pytest.mark.parametrize("factor", [0.0, 1e-44, 1e-38, 1e-20, 3e37])
@pytest.mark.parametrize(
    "id", ["fp8-block", "fp8-block-ue8m0", "nvfp4", "mxfp4", "mxfp8", "int8-block", "int4-w4a16"]
)
def test_tiny_and_huge_blocks_are_equal(id, factor):
    """Scales that are subnormal, clipped or zero, a second level that underflows included."""
    x = np.random.default_rng(7).standard_normal((64, 512)).astype(np.float32)
    x *= np.float32(factor)
    x[:, :128] *= np.float32(1e-6)
    slow, fast = (
        quantize(x, id, role="activation" if "block" in id else "weight", engine=e)
        for e in ("numpy", "numba")
    )
    np.testing.assert_array_equal(fast.codes, slow.codes)
    np.testing.assert_array_equal(fast.scales.view(np.uint32), slow.scales.view(np.uint32))
    assert fast.tensor_scale == slow.tensor_scale
    values = slow.dequantize().view(np.uint32)
    np.testing.assert_array_equal(fast.dequantize(engine="numba").view(np.uint32), values)


@pytest.mark.parametrize("id", ["mxfp8", "mxfp4", "fp8-block", "int8-block"])
def test_any_code_decodes_the_same(id):
    """Infinities, NaN and codes beyond the width of the format, in whole blocks."""
    kept = quantize(np.ones((4, 1024), np.float32), id, role="activation")
    codes = np.resize(np.arange(256, dtype=np.uint8), kept.codes.shape)
    kept = replace(kept, codes=codes, scales=np.full_like(kept.scales, 0.75))
    np.testing.assert_array_equal(
        kept.dequantize(engine="numba").view(np.uint32), kept.dequantize().view(np.uint32)
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("id", ["fp8-block", "nvfp4", "mxfp4"])
def test_whole_blocks_refuse_what_is_not_finite(id, bad):
    x = np.ones((3, 256), np.float32)
    x[2, 200] = bad
    for call in (quantize, round_trip):
        with pytest.raises(InputError, match="NaN or infinities"):
            call(x, id, role="activation", engine="numba")


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("id", ["fp8-block", "fp8-tensor", "mxfp4", "nvfp4"])
def test_the_compiled_engine_sees_non_finite_input(id, bad):
    """As numpy's does, in test_bad_input.py; here, where the kernels are compiled already."""
    x = np.random.default_rng(0).standard_normal((4, 512)).astype(np.float32)
    x[1, 300] = bad
    with pytest.raises(InputError, match="NaN or infinities"):
        quantize(x, id, engine="numba")


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("id", ["fp8-block", "nvfp4", "mxfp4", "bf16", "fp8-tensor", "int8-w8a8"])
def test_a_result_can_be_written_over(id, engine):
    x, y = matrix((64, 512)), matrix((64, 512), seed=9)
    x[6] = 1  # BF16 holds it too
    first = quantize(x, id)
    expected = quantize(y, id)
    second = quantize(y, id, engine=engine, out=first)
    assert np.shares_memory(second.codes, first.codes)
    if first.scales is not None:
        assert np.shares_memory(second.scales, first.scales)
        np.testing.assert_array_equal(second.scales, expected.scales)
    np.testing.assert_array_equal(second.codes, expected.codes)
    assert second.tensor_scale == expected.tensor_scale


def test_memory_of_another_result_is_refused():
    x = matrix((64, 512))
    kept = quantize(x, "fp8-block")
    with pytest.raises(InputError, match="out holds e4m3fn of shape"):
        quantize(x, "mxfp4", out=kept)
    with pytest.raises(InputError, match="out holds e4m3fn of shape"):
        quantize(x[:32], "fp8-block", out=kept)
    with pytest.raises(UnsupportedError, match="ggml"):
        quantize(np.ones((4, 256)), "ggml-q8_0", out=quantize(np.ones((4, 256)), "ggml-q8_0"))


@pytest.mark.sample(10)
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("shape", [(1, 700_003), (1500, 400), (3, 300_000)])
@pytest.mark.parametrize("id", ["fp8-block", "nvfp4", "fp8-tensor", "fp8-channel", "mxfp4"])
def test_two_threads_and_any_tiling_give_the_same(id, shape, engine):
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    one, two = quantize(x, id), quantize(x, id, engine=engine, threads=2)
    np.testing.assert_array_equal(one.codes, two.codes)
    np.testing.assert_array_equal(one.scales, two.scales)
    np.testing.assert_array_equal(one.dequantize(), two.dequantize(engine=engine, threads=2))


def test_threads_cast_the_same():
    x = np.random.default_rng(3).standard_normal(1 << 20).astype(np.float32)
    codes = encode(x, "e5m2")
    for engine in ("numpy", "numba"):
        assert (encode(x, "e5m2", engine=engine, threads=2) == codes).all()
        assert (decode(codes, "e5m2", engine=engine, threads=2) == decode(codes, "e5m2")).all()


@pytest.mark.parametrize(
    ("format", "policy"),
    [
        ("fp16", "ocp"),
        ("tf32", "ocp"),
        ("fp32", "ocp"),
        ("bf16", Policy("z", tie="zero")),
        ("int8", Policy("z", tie="zero")),
        ("int8", Policy("z", rounding="toward-zero")),
    ],
)
def test_missing_kernels_are_errors(format, policy):
    with pytest.raises(UnsupportedError, match="numba"):
        encode(np.ones(3, np.float32), format, policy=policy, engine="numba")


def test_engines_and_threads_are_checked(monkeypatch):
    x = np.ones((1, 256), np.float32)
    with pytest.raises(UnknownNameError, match="engine"):
        encode(x, "e4m3fn", engine="cuda")
    with pytest.raises(InputError, match="0 threads"):
        quantize(x, "fp8-block", threads=0)
    with pytest.raises(UnsupportedError, match="ggml"):
        quantize(x, "ggml-q8_0", engine="numba")
    with pytest.raises(UnsupportedError, match="ggml"):
        quantize(x, "ggml-q8_0").dequantize(engine="numba")
    asymmetric = BLOCK_FORMATS["int8-asymmetric"]
    with pytest.raises(UnsupportedError, match="zero points"):
        quantize(x, asymmetric, engine="numba")
    with pytest.raises(UnsupportedError, match="zero points"):
        quantize(x, asymmetric).dequantize(engine="numba")
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "numba":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedError, match="not installed"):
        encode(x, "e4m3fn", engine="numba")
