"""Errors of kinds that rules keep: what a changed choice of experts or of tokens costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats.schemes import SCHEMES, scheme
from planner.lab.tables import errors
from planner.numerics import quantize
from planner.quality import synthetic
from planner.quality.prior import load_prior
from planner.quality.rule_errors import CHOSEN, TOKENS, applies, result_of, shares_of

ERROR = load_prior().error["bf16"]


def tensors(kind: str) -> tuple[np.ndarray, np.ndarray]:
    x = synthetic.activations(kind, 7, tokens=TOKENS.get(kind, 64))
    return quantize(x, "bf16").dequantize(), quantize(
        synthetic.weights(kind, 7), "bf16"
    ).dequantize()


@given(st.integers(0, 2**32 - 1))
def test_shares_are_those_of_the_best_experts(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(5, 32))
    gates = shares_of(logits)
    assert gates.sum(axis=1) == pytest.approx(np.ones(5))
    assert ((gates > 0).sum(axis=1) == CHOSEN).all()
    worst = np.where(gates > 0, logits, np.inf).min(axis=1)
    assert (np.where(gates == 0, logits, -np.inf).max(axis=1) <= worst).all()


@pytest.mark.parametrize("kind", ["embedding", "norm", "router", "indexer"])
def test_unchanged_tensors_change_nothing(kind: str) -> None:
    x, w = tensors(kind)
    result = result_of(kind, x, w, 7)
    assert (result(x, w) == result(x, w)).all()
    assert np.isfinite(result(x, w)).all()


@pytest.mark.parametrize("kind", ["router", "indexer"])
def test_more_noise_changes_more_choices(kind: str) -> None:
    x, w = tensors(kind)
    result = result_of(kind, x, w, 7)
    exact, noise = result(x, w), np.random.default_rng(1).normal(size=w.shape)
    errors = [
        float(((result(x, w * (1 + e * noise)) - exact) ** 2).sum() / (exact**2).sum())
        for e in (1e-3, 1e-2, 1e-1)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_a_router_is_far_more_sensitive_than_a_linear_layer() -> None:
    """Which is why every recipe leaves it alone."""
    for name in ("fp8-block", "int8-w8a8", "nvfp4"):
        assert ERROR["router"][name] > 8 * ERROR["experts-gate-up"][name]
        assert ERROR["indexer"][name] < ERROR["router"][name]


def test_shipped_router_figures_are_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "REFERENCES", ("bf16",))
    layer = errors._Layer("router", errors.SEED)
    for name in ("fp8-block", "int4-w4a16"):
        assert errors.six(layer.row("bf16", scheme(name))["error"]) == ERROR["router"][name]


def test_where_schemes_mean_anything() -> None:
    lookups = {s for s in SCHEMES if applies("embedding", scheme(s))}
    assert {"bf16", "fp8-w8a16", "int4-w4a16", "nvfp4-w4a16"} <= lookups
    assert not lookups & {"fp8-tensor", "fp8-block", "int8-w8a8", "nvfp4", "mxfp8"}
    assert {s for s in SCHEMES if applies("norm", scheme(s))} == {"bf16", "fp16", "fp32"}
    assert all(applies(kind, scheme(s)) for kind in ("head", "router") for s in SCHEMES)
