"""Weights as a compressed-tensors checkpoint holds them: laws, and what llm-compressor wrote."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import as_bf16, values_of

from planner.base.errors import InputError, UnsupportedError
from planner.export.stored_weights import RULES, stored_shapes, stored_weight
from planner.numerics import decode

HALF_RANGE = {"e4m3fn": 448.0, "int8": 127.5, "int4": 7.5}


def some(rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return values_of(as_bf16(rng.standard_normal((rows, columns)) * 10.0 ** rng.integers(-3, 1)))


def restored(scheme: str, stored: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Codes times scales, unpacked by shifting bits one weight at a time."""
    rule = RULES[scheme]
    if rule.packed:
        bits = 4 if rule.element == "int4" else 8
        words = stored["weight_packed"].view(np.uint32)
        at = np.arange(shape[1]) * bits
        codes = (words[:, at // 32] >> (at % 32).astype(np.uint32)) & ((1 << bits) - 1)
        codes = codes.astype(np.float32) - (1 << (bits - 1))
    elif rule.element == "int8":
        codes = stored["weight"].astype(np.float32)
    else:
        codes = decode(stored["weight"], "e4m3fn")
    scale = values_of(np.atleast_2d(stored["weight_scale"]))
    high, wide = (side or length for side, length in zip(rule.block, shape, strict=True))
    return codes * np.repeat(np.repeat(scale, high, 0)[: shape[0]], wide, 1)[:, : shape[1]]


@settings(max_examples=30)
@given(
    scheme=st.sampled_from(sorted(RULES)),
    rows=st.integers(1, 140),
    groups=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_no_weight_is_further_than_half_a_step(
    scheme: str, rows: int, groups: int, seed: int
) -> None:
    values = some(rows, 128 * groups, seed)
    stored = stored_weight(scheme, values)
    back, rule = restored(scheme, stored, values.shape), RULES[scheme]
    scale = np.abs(values).max() / HALF_RANGE[rule.element]
    step = scale if rule.element != "e4m3fn" else np.abs(values) / 8 + scale
    # Scale and quotient are in BF16: of the largest codes each is off by up to 2^-9 of them.
    more = 2 * HALF_RANGE[rule.element] * 2.0**-9 if rule.element != "e4m3fn" else 0.04
    assert (np.abs(back - values) <= (0.5 + more) * step * 1.01).all()
    for name, (_, shape) in stored_shapes(scheme, *values.shape).items():
        assert stored[name].shape == shape


@pytest.mark.parametrize("scheme", sorted(RULES))
def test_a_sign_is_kept(scheme: str) -> None:
    values = some(8, 128, 3)
    up, down = (restored(scheme, stored_weight(scheme, v), values.shape) for v in (values, -values))
    clear = np.abs(values) > np.abs(values).max() / 4
    assert (np.sign(up[clear]) == np.sign(values[clear])).all()
    assert (np.sign(down[clear]) == -np.sign(values[clear])).all()


def test_zeros_stay_zeros() -> None:
    for scheme in RULES:
        stored = stored_weight(scheme, np.zeros((4, 128), np.float32))
        assert not restored(scheme, stored, (4, 128)).any()


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no whole groups of 128"):
        stored_shapes("int4-w4a16", 4, 192)
    with pytest.raises(UnsupportedError, match="nvfp4 are not written here"):
        stored_shapes("nvfp4", 4, 128)
    with pytest.raises(InputError, match="not finite"):
        stored_weight("int8-w8a8", np.full((1, 128), np.inf, np.float32))
