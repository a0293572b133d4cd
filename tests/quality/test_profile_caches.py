"""Caches: keys against values, per channel against per token, the two parts of an MLA entry."""

import numpy as np
import pytest

from planner.base.errors import InputError
from planner.quality import synthetic
from planner.quality.cache_error import head_errors, latent_errors

SHAPE = synthetic.CacheShape(heads=4, width=64, tokens=128, queries=128)


def heads(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    k, v = (f(seed, SHAPE).astype(np.float32) for f in (synthetic.keys, synthetic.values))
    q = synthetic.queries(seed, "t", 8, 128, 64).astype(np.float32)
    return q, k, v, 3.0 / float(np.std(q[:4] @ k.swapaxes(1, 2)))


def test_keys_want_channels_and_values_have_no_such_layout() -> None:
    q, k, v, scale = heads()
    found = head_errors(q, k, v, scale=scale).error
    assert found["kv-k"]["int4-channel"] < found["kv-k"]["int4-token"] / 2
    assert "int4-channel" not in found["kv-v"]
    assert found["kv-k"]["bf16"] == found["kv-v"]["bf16"] == 0
    for kind in ("kv-k", "kv-v"):
        assert found[kind]["int8-token"] < found[kind]["fp8"] < found[kind]["nvfp4"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_keys_are_more_sensitive_than_values(seed: int) -> None:
    q, k, v, scale = heads(seed)
    found = head_errors(q, k, v, scale=scale, layouts=["fp8", "int8-token", "int4-token"]).error
    for name in ("fp8", "int8-token", "int4-token"):
        assert found["kv-k"][name] > 3 * found["kv-v"][name], name


def test_causal_and_grouped_as_a_loop_computes_it() -> None:
    q, k, v, scale = heads()
    found = head_errors(q, k, v, scale=scale, layouts=["bf16", "fp8"])
    from planner.formats.kv import kv_layout
    from planner.quality.cache_error import _stored

    def attend(keys: np.ndarray) -> np.ndarray:
        out = np.zeros(q.shape)
        for h in range(8):
            for t in range(128):
                w = np.exp(q[h, t].astype(float) @ keys[h // 2, : t + 1].astype(float).T * scale)
                out[h, t] = w @ values[h // 2, : t + 1].astype(float) / w.sum()
        return out

    plain = kv_layout("bf16")
    keys, values = _stored(k, plain), _stored(v, plain)
    exact, other = attend(keys), attend(_stored(keys, kv_layout("fp8")))
    expected = np.sum((other - exact) ** 2) / np.sum(exact**2)
    assert found.error["kv-k"]["fp8"] == pytest.approx(expected, rel=1e-6)


def test_latent_and_rope_apart_and_as_one() -> None:
    shape = synthetic.CacheShape(tokens=96, latent=128, rope=32)
    c = synthetic.latents(1, shape).astype(np.float32)
    q = synthetic.queries(1, "t", 4, 96, 160).astype(np.float32)
    scale = 3.0 / float(np.std(q @ c.T))
    found = latent_errors(q[:, :, :128], q[:, :, 128:], c[:, :128], c[:, 128:], scale=scale)
    both, parts = found.error["kv-latent"], found.parts["kv-latent"]
    for name in both:
        assert both[name] == pytest.approx(
            parts["latent"][name] + parts["rope"][name], rel=0.35, abs=1e-12
        ), name
    assert parts["rope"]["fp8-ds-mla"] == 0  # its rope part stays BF16
    assert parts["rope"]["fp8"] > 0
    assert both["fp8-ds-mla"] < both["fp8"]
    assert "int4-channel" not in both


def test_shapes_that_do_not_fit() -> None:
    q, k, v, scale = heads()
    with pytest.raises(InputError, match="do not fit"):
        head_errors(q, k, v[:, :5], scale=scale)
    with pytest.raises(InputError, match="do not fit"):
        latent_errors(q, q, k[0], v[0][:5], scale=scale)
    with pytest.raises(InputError, match="zero"):
        head_errors(q, k, np.zeros_like(v), scale=scale)
