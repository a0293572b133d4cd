"""The anchor: formats, model, change, source and kind of benchmark; or that none is known."""

import pytest

from planner.models.catalog import model_ids, resolve_model
from planner.quality.anchor import (
    UNCHANGED,
    PublishedChange,
    anchor,
    nearest_parts,
    short_alone,
)
from planner.quality.measured_models import Subject, subject_of
from planner.quality.neighbours import BENCHMARK_KINDS, measured_metrics, measured_rows


def of(name: str) -> Subject:
    return subject_of(resolve_model(name))


def first(name: str, scheme: str | None, layout: str | None) -> str:
    return anchor(of(name), scheme, layout)[0].text


def test_a_plan_as_released_changes_nothing() -> None:
    assert anchor(of("deepseek-v3"), None, None) == (PublishedChange(UNCHANGED),)
    assert UNCHANGED == "published checkpoint: no change"


def test_the_model_itself_comes_with_its_source_and_kind() -> None:
    found = anchor(of("qwen3-8b"), "fp8-block", None)[0]
    assert found.text == "fp8-block on Qwen3-8B: MMLU −0.23 ± 0.5 pt"
    assert found.source == "intel/auto-round docs/fp8_block_acc.md@b9f3d007"
    assert found.kind == "short"


def test_a_relative_is_called_one() -> None:
    assert (
        first("qwen3-32b", "nvfp4", None)
        == "nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 ± 0.5 pt"
    )
    assert first("qwen3-1.7b", "nvfp4", None).startswith(
        "nvfp4 on Qwen3-8B, a larger model of the family:"
    )
    assert "Qwen3.6-27B, same structure:" in first("qwen3.5-27b", "nvfp4", None)


def test_a_tiny_model_is_not_flattered_by_a_large_one() -> None:
    assert anchor(of("qwen3-0.6b"), "int4-w4a16", None) == (
        PublishedChange("no accuracy published for int4-w4a16 in its family and size"),
    )


def test_weights_first_then_the_cache_then_further_kinds() -> None:
    found = anchor(of("qwen3-8b"), "nvfp4", "nvfp4")
    weights, cache, *further = found
    assert weights.text.startswith("nvfp4 on Qwen3-8B: MMLU")
    assert cache.text.startswith("KV nvfp4 on Qwen3-8B: RULER-128K −6.5")
    assert [part.source.split("/")[0] for part in (weights, cache)] == ["intel", "NVIDIA"]
    assert (weights.kind, cache.kind) == ("short", "long")
    assert [part.kind for part in further] == ["reasoning", "code"]
    assert nearest_parts(found) == (weights, cache)


def test_a_row_that_was_measured_with_the_cache_stands_for_both() -> None:
    found = anchor(of("llama-3.1-70b"), "nvfp4", "fp8")
    assert found[0].text.startswith("nvfp4, KV fp8 on Llama-3.3-70B-Instruct: MMLU −2.0")
    assert nearest_parts(found) == found[:1]


def test_what_is_missing_is_said() -> None:
    subject = of("qwen3-8b")
    assert anchor(subject, "fp8-tensor", "int4-token")[0] == PublishedChange(
        "no accuracy published for fp8-tensor or KV int4-token in its family and size"
    )
    weights, cache = nearest_parts(anchor(subject, "fp8-tensor", "fp8"))
    assert weights.text == "no accuracy published for fp8-tensor in its family and size"
    assert cache.text.startswith("KV fp8 on Qwen3-8B")
    kept, cache = nearest_parts(anchor(subject, None, "fp8"))
    assert (kept.text, cache.kind) == ("weights as published", "long")


def test_short_benchmarks_alone_are_told_as_such() -> None:
    assert short_alone(anchor(of("qwen3-8b"), "fp8-block", None))
    assert not short_alone(anchor(of("qwen3-8b"), "nvfp4", "nvfp4"))
    assert not short_alone(anchor(of("deepseek-v3"), None, None))  # no row says nothing


def test_a_baseline_is_named_unless_it_is_the_release() -> None:
    assert "against" not in first("deepseek-v3", "nvfp4", None)
    assert first("deepseek-v3.1", "nvfp4", None).endswith(" against fp8-block")


def test_every_metric_has_a_kind() -> None:
    assert {metric.kind for metric in measured_metrics().values()} <= set(BENCHMARK_KINDS)
    assert measured_metrics()["AIME25"].kind == "reasoning"
    assert measured_metrics()["RULER-128K"].kind == "long"


@pytest.mark.parametrize("name", model_ids())
def test_every_part_with_a_row_has_a_source_and_no_row_is_of_another_format(name: str) -> None:
    subject = of(name)
    known = {row.source for row in measured_rows()}
    for scheme in ("fp8-block", "nvfp4", "mxfp4", "int4-w4a16-g32", None):
        for layout in ("fp8", "nvfp4", "fp8-ds-mla", None):
            found = anchor(subject, scheme, layout)
            kinds = [part.kind for part in found[len(nearest_parts(found)) :]]
            assert len(set(kinds)) == len(kinds)
            for part in found:
                text = part.text
                assert (part.source in known) == (": " in text and text != UNCHANGED)
                assert (part.kind is None) == (not part.source)
                if part.source:
                    own = scheme if not text.startswith("KV ") else f"KV {layout}"
                    assert text.startswith((f"{own} ", f"{own},")), part
