"""The split of a module's time, and the crossovers of schemes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.planning.explain.module_time import (
    GRID,
    SAME,
    Crossover,
    SchemeTime,
    Split,
    crossovers,
    sentence,
)
from tests.support import theory


def test_totals_are_their_parts_and_agree_with_the_table_of_tokens() -> None:
    found = theory.explain("llama-3.1-8b", "h100-sxm", module="mlp-down", batch=64)
    (module,) = found.modules
    column = found.tokens.index(64)
    for one in module.schemes:
        for split in (one.decode, one.prefill):
            assert split.total_seconds == pytest.approx(
                split.busy_seconds
                + split.quantise_seconds
                + split.launch_seconds
                + split.communication_seconds
            )
            assert split.busy_seconds >= max(
                split.compute_seconds, split.memory_seconds, split.conversion_seconds
            ) * (1 - 1e-9)
        assert one.at_tokens_seconds[column] == pytest.approx(one.decode.total_seconds)
    totals = [s.decode.total_seconds for s in module.schemes]
    assert totals == sorted(totals)
    at = {s.scheme: s.at_tokens_seconds for s in module.schemes}
    assert module.crossovers
    for one in module.crossovers:
        pair = {one.faster, one.slower}
        turns = [c.tokens for c in module.crossovers if {c.faster, c.slower} == pair]
        for tokens, fast, slow in zip(found.tokens, at[one.faster], at[one.slower], strict=True):
            if one.tokens <= tokens < min((t for t in turns if t > one.tokens), default=tokens + 1):
                assert fast <= slow * (1 + SAME)
            if tokens < min(turns) == one.tokens:
                assert slow <= fast * (1 + SAME)


def test_a_dynamic_scale_costs_a_kernel_that_bf16_lacks() -> None:
    found = theory.explain(
        "llama-3.1-8b",
        "h100-sxm",
        module="mlp-down",
        scheme="fp8-tensor",
        schemes=["bf16", "fp8-tensor"],
    )
    by_name = {s.scheme: s for s in found.modules[0].schemes}
    assert by_name["bf16"].decode.quantise_seconds == 0
    assert by_name["fp8-tensor"].decode.quantise_seconds > 0
    assert "quantising activations costs" in found.modules[0].sentence
    assert found.modules[0].sentence.startswith("fp8-tensor is")


def test_the_layer_of_a_module_costs_what_an_estimate_says() -> None:
    plan = theory.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="fp8-block", devices=1, batch=32, isl=1024, osl=256
    )
    found = theory.explain(
        "llama-3.1-8b",
        "h100-sxm",
        module="attention-qkv",
        batch=32,
        isl=1024,
        osl=256,
        schemes=["bf16", "fp8-block"],
    )
    one = next(s for s in found.modules[0].schemes if s.scheme == "fp8-block")
    whole = sum(u.decode_seconds for u in plan.units if u.kind == "attention-qkv")
    assert one.decode.total_seconds * 32 == pytest.approx(whole, rel=1e-9)


def test_cache_units_and_released_modules() -> None:
    cache = theory.explain("deepseek-v3", "h100-sxm", module="kv-latent", tp=8)
    assert {s.scheme for s in cache.modules[0].schemes} >= {"bf16", "fp8"}
    head = theory.explain("llama-3.1-8b", "h100-sxm", module="head")
    assert "bf16 is the only scheme" in head.modules[0].sentence
    indexer = theory.explain("deepseek-v3.2", "h200-sxm", module="indexer")
    assert "is the only scheme" in indexer.modules[0].sentence


def test_communication_is_apart_and_rises_with_tp() -> None:
    alone, split = (
        theory.explain("llama-3.1-70b", "h100-sxm", module="mlp-down", tp=tp, schemes=["bf16"])
        for tp in (1, 8)
    )
    assert alone.modules[0].schemes[0].decode.communication_seconds == 0
    assert split.modules[0].schemes[0].decode.communication_seconds > 0


@given(st.integers(2, 16000), st.floats(0.05, 20.0))
def test_a_planted_crossover_is_found(where: int, slope: float) -> None:
    flat = np.ones(len(GRID))
    rising = (GRID / where) ** slope
    found = crossovers(GRID, np.stack([flat, rising], axis=1), ["flat", "rising"])
    below, above = rising <= 1 / (1 + SAME), rising >= 1 + SAME
    if below.any() and above.any():
        (one,) = found
        assert (one.faster, one.slower) == ("flat", "rising")
        assert one.tokens == pytest.approx(GRID[above][0])
        assert one.tokens >= where
    else:
        assert found == ()


def test_equal_schemes_never_cross() -> None:
    noisy = 1 + 0.01 * np.sin(GRID)
    assert crossovers(GRID, np.stack([np.ones(len(GRID)), noisy], axis=1), ["a", "b"]) == ()


@pytest.mark.parametrize(
    ("given_", "error"),
    [
        ({"module": "mlp-dwn"}, UnknownNameError),
        ({"module": "mlp-down", "tp": 3}, UnsupportedError),
        ({"module": "mlp-down", "scheme": "nvfp4", "schemes": ["bf16"]}, UnsupportedError),
        ({"module": "mlp-down", "dp": 2}, UnsupportedError),
        ({"module": "mlp-down", "batch": 0}, InputError),
    ],
)
def test_refusals(given_: dict, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        theory.explain("llama-3.1-8b", "h100-sxm", **given_)
    assert caught.value.hint


def test_only_crossovers_of_the_two_that_are_compared_are_told() -> None:
    def row(name: str, seconds: float) -> SchemeTime:
        split = Split(seconds, seconds, seconds, 0.0, 0.0, 0.0, 0.0, 0.0, "compute")
        return SchemeTime(name, "fitted", "", split, split, ())

    rows = [row("fp8-block", 1.0), row("bf16", 2.0), row("int4-g128", 3.0)]
    turns = [
        Crossover(8, "int4-g128", "bf16"),
        Crossover(64, "fp8-block", "bf16"),
        Crossover(512, "fp8-block", "int4-g128"),
    ]
    text = sentence(rows, turns, reference="bf16", focus="fp8-block", tokens=256)
    assert text.startswith("fp8-block is 50% faster than bf16 at 256 tokens")
    assert text.endswith("; fp8-block is the faster from 64 tokens per rank on")
    without = sentence(rows, turns[:1], reference="bf16", focus="fp8-block", tokens=256)
    assert without.endswith(f"the order does not change up to {int(GRID[-1]):,} tokens")
