"""Gradients by the tape: operation by operation, and of whole models, beside differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.probe_models import tiny_decoder, tiny_encoder, tokens

from planner.lab.probe.gradient import KEYS, VALUES, gradients, squared_changes, traced
from planner.lab.probe.model import as_is, attend, exact, softmax
from planner.lab.probe.tape import TAPE, Traced, value_of, walk_back

STEP = 1e-5
A = np.random.default_rng(1).normal(size=(2, 3, 4))
B = np.random.default_rng(2).normal(size=(4, 5))
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sums": lambda xp, x: 1.5 + x + A[0] - x * 0.3 - (2 - x),
    "products": lambda xp, x: x * x * A / (x * x + 2) + 3 / (x * x + 1),
    "stretched": lambda xp, x: x[:, :1] * x + x[..., None, 0] + x / (xp.abs(x[:1]) + 1),
    "matrix": lambda xp, x: (x @ B) @ B.T,
    "matrices": lambda xp, x: x[:1] @ xp.swapaxes(x * x, -1, -2),
    "functions": lambda xp, x: xp.exp(-x) * xp.sqrt(x * x + 1) * xp.sign(x) + xp.abs(x),
    "means": lambda xp, x: x - xp.mean(x, axis=-1, keepdims=True) * xp.sum(x, axis=1)[:, None],
    "turned": lambda xp, x: xp.stack((x[..., 0::2], -x[..., 1::2] * 2), -1).reshape(x.shape),
    "halves": lambda xp, x: xp.concatenate((x[..., 2:] * 3, x[..., :2]), -1),
    "softmax": lambda xp, x: softmax(xp, x * 3) * A,
    "attention": lambda xp, x: attend(xp, x[:, None, None], x[:, None] * A[:, None], x[:, None], 0),
}


def gradient(of: Callable[[Any, Any], Any], at: np.ndarray, seed: np.ndarray) -> np.ndarray:
    leaf = Traced(at)
    return next(g for node, g in walk_back(of(TAPE, leaf), seed) if node is leaf)


@pytest.mark.parametrize("name", OPERATIONS)
@given(st.integers(0, 10_000))
def test_gradients_are_those_of_differences(name: str, draw: int) -> None:
    of, rng = OPERATIONS[name], np.random.default_rng(draw)
    at, along = rng.normal(size=(2, *A.shape))
    at += np.where(np.abs(at) < 0.01, 0.02, 0.0)  # away from the corner of |x|
    value = of(np, at)
    assert np.allclose(value_of(of(TAPE, Traced(at))), value)
    seed = rng.normal(size=value.shape)
    up, down = ((of(np, at + s * STEP * along) * seed).sum() for s in (1, -1))
    assert (gradient(of, at, seed) * along).sum() == pytest.approx(
        (up - down) / (2 * STEP), rel=1e-4, abs=1e-4
    )


def test_constants_stay_arrays() -> None:
    for name, of in OPERATIONS.items():
        assert not isinstance(of(TAPE, A), Traced), name


@pytest.mark.parametrize(
    "model",
    [tiny_decoder(), tiny_decoder(interleaved=True), tiny_encoder()],
    ids=["decoder", "interleaved", "encoder"],
)
def test_gradients_of_a_model_are_those_of_differences(model: Any) -> None:
    """One draw: g of every linear layer, of keys and of values along a random change."""
    ids = tokens(1)
    trace = traced(model, ids)
    found = dict(gradients(model, trace, np.random.default_rng(5)))
    rng = np.random.default_rng(6)

    def output(unit: str = "", change: Any = 0.0, cache: Any = as_is) -> np.ndarray:
        plain, h = exact(model), model.embed(ids).astype(np.float64)
        for index in range(model.layers):
            h = model.layer(
                index,
                h,
                lambda name, x: plain(name, x) + (change if name == unit else 0.0),
                cache,
            )
        return model.output(h)

    seed = model.sampled_gradient(output().astype(np.float32), np.random.default_rng(5))
    for unit in model.units:
        along = rng.normal(size=found[unit.id].shape) * 1e-4
        difference = ((output(unit.id, along) - output(unit.id, -along)) / 2 * seed).sum()
        assert (found[unit.id] * along).sum() == pytest.approx(difference, rel=2e-2, abs=1e-6)
    for part, key in enumerate((KEYS, VALUES)):
        along = rng.normal(size=trace.entries[key, 1].shape) * 1e-4

        def moved(layer: int, k: Any, v: Any, sign: int, part: int = part, along: Any = along):
            step = sign * along if layer == 1 else 0.0
            return (k + step, v) if part == 0 else (k, v + step)

        up, down = (output(cache=lambda n, k, v, s=sign: moved(n, k, v, s)) for sign in (1, -1))
        assert (found[key, 1] * along).sum() == pytest.approx(
            ((up - down) / 2 * seed).sum(), rel=2e-2, abs=1e-6
        )


def test_a_draw_is_squared_chunk_by_chunk() -> None:
    """Labels of different chunks are independent, so that their sums are squared apart."""
    model, ids = tiny_decoder(), tokens(3)
    trace, unit = traced(model, ids), model.units[0].id
    change = np.random.default_rng(3).normal(size=trace.places[unit].shape).astype(np.float32)
    found = squared_changes(
        model, trace, {unit: change, (KEYS, 0): trace.entries[KEYS, 0]}, np.random.default_rng(4)
    )
    g = dict(gradients(model, trace, np.random.default_rng(4)))
    assert found[unit] == pytest.approx(((g[unit] * change).sum(axis=(1, 2)) ** 2).sum(), rel=1e-4)
    keys = (g[KEYS, 0] * trace.entries[KEYS, 0]).sum(axis=(1, 2, 3))
    assert found[KEYS, 0] == pytest.approx((keys**2).sum(), rel=1e-4)
    assert found.keys() == {unit, (KEYS, 0)}
