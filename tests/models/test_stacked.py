"""Stacked experts as linear layers: the same elements under names of their own."""

import pytest

from planner.models.catalog import bundled_model, model_ids
from planner.models.stacked import SPLIT_BY_QUANTISERS, splits_experts, with_linear_experts


@pytest.mark.parametrize("model", ["qwen3.5-35b-a3b", "llama-4-scout", "gemma-4-26b-a4b"])
def test_elements_stay_and_names_are_by_expert(model: str) -> None:
    spec = bundled_model(model)
    split = with_linear_experts(spec)
    assert not any(row.stacked for row in split.rows)
    for kind in ("experts-gate-up", "experts-down"):
        before, after = (
            [r for r in one.rows if r.kind == kind and r.part == "main"] for one in (spec, split)
        )
        assert sum(r.elements * r.copies for r in before) == sum(
            r.elements * r.copies for r in after
        )
        assert all(
            ".experts.{expert}." in r.name and r.name.endswith("_proj.weight") for r in after
        )
        assert len(after) == (2 if kind == "experts-gate-up" else 1)


def test_released_formats_and_other_models_stay() -> None:
    for model in ("gpt-oss-20b", "qwen3-30b-a3b", "llama-3.2-1b"):
        spec = bundled_model(model)
        assert with_linear_experts(spec) is spec
    kinds = {
        bundled_model(name).model_type
        for name in model_ids()
        if any(row.stacked for row in bundled_model(name).rows)
    }
    assert kinds - {"gpt_oss"} == set(SPLIT_BY_QUANTISERS) - {"mistral3", "mistral4"}
    assert not splits_experts(bundled_model("gpt-oss-20b"))
