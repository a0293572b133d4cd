"""Rows of sensitivities: sums, bands, kinds that were not measured, who may contribute."""

import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.models.catalog import model_ids
from planner.models.gguf_names import ARCHITECTURES, gguf_matrices
from planner.placement.modules import UNRULED
from planner.quality.prior import combined, load_prior
from planner.quality.sensitivity.alpha_table import (
    NAMES,
    ORDER,
    AlphaRow,
    AlphaTable,
    alpha_table,
    class_band,
    in_order,
)
from planner.quality.sensitivity.kld_data import CREDIT, kld_models
from planner.quality.sensitivity.measured_names import (
    excluded_models,
    left_out_names,
    measured_names,
)
from planner.quality.sensitivity.predict import sensitivities

DERIVED = {"router": "experts-down", "indexer": "attention-out"}


@cache
def table(model: str, names: str = "module", exclude: tuple[str, ...] = ()) -> AlphaTable:
    return alpha_table(planner.load_model(model), exclude, names)


def measured(rows: tuple[AlphaRow, ...]) -> list[AlphaRow]:
    return [row for row in rows if row.kind not in DERIVED]


@pytest.mark.sample(19)
@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("model", model_ids())
def test_measured_rows_add_up_to_the_level(model: str, names: str) -> None:
    found = table(model, names)
    assert math.fsum(r.alpha for r in measured(found.rows)) == pytest.approx(
        found.found.level, rel=1e-9
    )
    assert all(0 < r.low < r.alpha < r.high < math.inf for r in found.rows)
    assert {r.tier for r in found.rows} == {found.tier}
    assert all(CREDIT in r.source for r in found.rows)


@pytest.mark.parametrize("model", model_ids())
def test_tensors_are_those_of_the_gguf_file(model: str) -> None:
    spec = planner.load_model(model)
    if spec.model_type not in ARCHITECTURES:
        pytest.skip(f"llama.cpp has no architecture for {spec.model_type}")
    # Compressors have no rule to drop: no sensitivity decides about them.
    expected = {m.name: m for m in gguf_matrices(spec) if m.kind not in ("mtp", *UNRULED)}
    rows = table(model, "gguf").rows
    assert len(rows) == len(expected)
    assert {r.tensor for r in rows} == set(expected)
    assert all(
        (r.layer, r.kind) == (expected[r.tensor].layer, expected[r.tensor].kind) for r in rows
    )
    assert ("output.weight" in expected) is not spec.tied_embeddings


@pytest.mark.parametrize(
    "model",
    ["deepseek-v3.2", "qwen3.5-35b-a3b", "phi-3-mini-4k", "deepseek-v4-flash", "llama-4-maverick"],
)
def test_tensors_of_a_kind_add_up_to_its_row(model: str) -> None:
    sums: dict[tuple[int | None, str], float] = {}
    for row in table(model, "gguf").rows:
        sums[row.layer, row.kind] = sums.get((row.layer, row.kind), 0.0) + row.alpha
    rows = table(model).rows
    assert len(rows) == len(sums)
    for row in rows:
        assert row.tensor == ""
        assert row.alpha == pytest.approx(sums[row.layer, row.kind], rel=1e-9)


@pytest.mark.parametrize("model", ["smollm2-135m", "gemma-3-1b", "llama-3.2-1b"])
def test_a_tied_embedding_has_the_head_with_it(model: str) -> None:
    kinds = {r.kind: r for r in table(model).rows if r.layer is None}
    assert set(kinds) == {"embedding", "head"}
    outside = [r for r in table(model, "gguf").rows if r.layer is None]
    assert [r.tensor for r in outside] == ["token_embd.weight"]
    assert outside[0].alpha == pytest.approx(kinds["embedding"].alpha + kinds["head"].alpha)
    assert outside[0].low == pytest.approx(kinds["embedding"].low + kinds["head"].low)
    assert "head and embedding together" in outside[0].source


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("deepseek-v3", {"router"}),
        ("deepseek-v3.2", {"router", "indexer"}),
        ("glm-5.3", {"router", "indexer"}),
        ("llama-3.1-8b", set()),
    ],
)
def test_kinds_that_were_not_measured_follow_what_they_change(model: str, kinds: set[str]) -> None:
    rows = table(model).rows
    held = {(r.layer, r.kind): r for r in rows}
    mine = [r for r in rows if r.kind in DERIVED]
    assert {r.kind for r in mine} == kinds
    spec = planner.load_model(model)
    for kind in kinds:
        layers = {
            n
            for row in spec.rows
            if row.kind == kind and row.part == "main" and row.is_matrix
            for n in row.layers
        }
        assert {r.layer for r in mine if r.kind == kind} == layers
    for row in mine:
        like = held[row.layer, DERIVED[row.kind]]
        assert row.alpha == like.alpha
        assert row.high / row.alpha == pytest.approx(row.alpha / row.low)
        assert row.high / row.alpha >= load_prior().rule_band - 1e-9
        assert row.high >= like.high * (1 - 1e-12)
        assert row.source.startswith(f"derived, not measured: α of {DERIVED[row.kind]}")
    assert not any(r.source.startswith("derived") for r in measured(rows))


@pytest.mark.parametrize("model", ["deepseek-v3", "llama-3.1-8b", "qwen3.5-27b"])
def test_an_interval_has_the_band_of_the_class_and_of_the_level(model: str) -> None:
    found = table(model).found
    for row in measured(table(model).rows):
        widths = {row.alpha / row.low, row.high / row.alpha}
        allowed = {
            combined(class_band(found, name), found.level_band)
            for name in (*found.bands, "none of them")
        }
        for width in widths:
            assert any(width == pytest.approx(one) for one in allowed)
            assert width > found.level_band


def test_a_class_without_a_band_has_the_pooled_one() -> None:
    found = sensitivities(planner.load_model("llama-3.1-8b"))
    assert class_band(found, "no such class") == found.pooled_band > 1
    for name, factor in found.bands.items():
        assert class_band(found, name) == factor


@given(st.lists(st.floats(1.0, 10.0), min_size=1, max_size=5))
def test_bands_combine_to_more_than_each_and_less_than_their_product(factors: list[float]) -> None:
    both = combined(*factors)
    assert max(factors) * (1 - 1e-9) <= both <= math.prod(factors) * (1 + 1e-9)


@pytest.mark.parametrize("names", NAMES)
def test_rows_are_in_the_order_of_reading(names: str) -> None:
    rows = table("deepseek-v3.2", names).rows
    assert (rows[0].kind, rows[-1].kind) == ("embedding", "head")
    layers = [r.layer for r in rows[1:-1]]
    assert None not in layers
    assert layers == sorted(layers, key=lambda n: -1 if n is None else n)
    first = [r.kind for r in table("deepseek-v3.2").rows if r.layer == 5]
    assert first == in_order(first) == [k for k in ORDER if k in first]
    assert in_order(["new", "head", "embedding", "head"]) == ["embedding", "head", "new"]


@pytest.mark.sample(2)
@pytest.mark.parametrize("model", ["deepseek-v3", "deepseek-r1", "deepseek-v3.1", "deepseek-v3.2"])
def test_without_its_model_a_sister_is_told_by_the_prior(model: str) -> None:
    own = table(model)
    assert own.tier == "T0 family(DeepSeek-V3)"
    assert "DeepSeek-V3.1-Terminus" in own.found.text
    for name in ("DeepSeek-V3.1-Terminus", "deepseek-v3.1-terminus", "DeepSeek-V3", "deepseek_v3"):
        other = table(model, exclude=(name,))
        assert other.tier == "T0 learned"
        assert "Terminus" not in other.found.text + other.found.level_basis
        assert [r.alpha for r in other.rows] != [r.alpha for r in own.rows]


def test_exclusions_that_contribute_nothing_change_nothing() -> None:
    assert (
        table("deepseek-v3", exclude=("Kimi-K2.5", "gemma-4-31B-it")).rows
        == table("deepseek-v3").rows
    )
    assert excluded_models(()) == frozenset()
    assert "gemma-4-31B-it" in left_out_names()


@pytest.mark.exhaustive
def test_what_is_excluded_is_not_counted() -> None:
    every = len(kld_models())
    assert f"learned from {every} measured" in table("llama-3.1-8b").found.text
    family = excluded_models(["Qwen3.5"])
    assert family == {m.name for m in kld_models() if m.family == "Qwen3.5"}
    assert (
        f"learned from {every - len(family)} measured"
        in table("llama-3.1-8b", exclude=("Qwen3.5",)).found.text
    )


def test_a_levels_model_can_be_left_out_too() -> None:
    assert measured_names()["SmolLM2-135M-Instruct"] == "SmolLM2"
    assert excluded_models(["smollm2"]) == {"SmolLM2-135M-Instruct"}
    own, other = table("smollm2-135m"), table("smollm2-135m", exclude=("SmolLM2",))
    assert own.found.level != other.found.level
    assert own.found.alpha[0] / own.found.level == pytest.approx(
        other.found.alpha[0] / other.found.level
    )


def test_an_unknown_name_is_told_with_all_that_are_known() -> None:
    with pytest.raises(UnknownNameError, match="unknown measured model 'Qwen9'") as refused:
        table("llama-3.1-8b", exclude=("GLM-4", "Qwen9"))
    assert all(name in refused.value.hint for name in measured_names())
    assert all(family in refused.value.hint for family in measured_names().values())
    for name in measured_names():  # what the hint offers is taken
        assert name in excluded_models([name])


def test_excluding_everything_is_refused() -> None:
    families = tuple(dict.fromkeys(measured_names().values()))
    with pytest.raises(InputError, match="leave 0 models"):
        table("llama-3.1-8b", exclude=families)
    with pytest.raises(InputError, match="and 1 levels"):
        table("llama-3.1-8b", exclude=tuple(m for m in families if m != "SmolLM2"))
    assert table("llama-3.1-8b", exclude=tuple(m for m in families if m != "Qwen3.5")).rows


def test_other_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown choice of names 'ggufs'") as refused:
        table("llama-3.1-8b", "ggufs")
    assert refused.value.hint == "did you mean gguf?"


def test_only_tensors_that_share_a_loss_are_said_to_share_it() -> None:
    rows = [row for row in table("deepseek-v3.2", "gguf").rows if row.kind in DERIVED]
    told = [row for row in rows if "tensors that share it" in row.source]
    assert not any("one of 1 tensors" in row.source for row in rows)
    assert 0 < len(told) < len(rows)
