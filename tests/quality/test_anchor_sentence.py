"""The sentence of the anchor: formats, model, change and source, or that nothing was published."""

import pytest

from planner.models.catalog import model_ids, resolve_model
from planner.quality.anchor import PARTS, UNCHANGED, anchor, parts_with_sources
from planner.quality.measured_models import Subject, subject_of
from planner.quality.neighbours import measured_rows


def of(name: str) -> Subject:
    return subject_of(resolve_model(name))


def test_a_plan_as_released_changes_nothing() -> None:
    assert anchor(of("deepseek-v3"), None, None) == (UNCHANGED, "")
    assert UNCHANGED == "as released: no change"


def test_the_model_itself_comes_with_its_source() -> None:
    text, source = anchor(of("qwen3-8b"), "fp8-block", None)
    assert text == "fp8-block on Qwen3-8B: MMLU −0.23 ± 0.5 pt"
    assert source == "intel/auto-round docs/fp8_block_acc.md@b9f3d007"


def test_a_relative_is_called_one() -> None:
    assert (
        anchor(of("qwen3-32b"), "nvfp4", None)[0]
        == "nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 ± 0.5 pt"
    )
    assert anchor(of("qwen3-1.7b"), "nvfp4", None)[0].startswith(
        "nvfp4 on Qwen3-8B, a larger model of the family:"
    )
    assert "Qwen3.6-27B, same structure:" in anchor(of("qwen3.5-27b"), "nvfp4", None)[0]


def test_a_tiny_model_is_not_flattered_by_a_large_one() -> None:
    assert anchor(of("qwen3-0.6b"), "int4-w4a16", None) == (
        "no accuracy published for int4-w4a16 in its family and size",
        "",
    )


def test_weights_first_then_the_cache() -> None:
    text, source = anchor(of("qwen3-8b"), "nvfp4", "nvfp4")
    weights, cache = text.split(PARTS)
    assert weights.startswith("nvfp4 on Qwen3-8B: MMLU")
    assert cache.startswith("KV nvfp4 on Qwen3-8B: RULER-128K −6.5")
    assert [s.split("/")[0] for s in source.split(PARTS)] == ["intel", "NVIDIA"]


def test_a_row_that_was_measured_with_the_cache_stands_for_both() -> None:
    text, _ = anchor(of("llama-3.1-70b"), "nvfp4", "fp8")
    assert text.startswith("nvfp4, KV fp8 on Llama-3.3-70B-Instruct: MMLU −2.0")
    assert PARTS not in text


def test_what_is_missing_is_said() -> None:
    subject = of("qwen3-8b")
    assert anchor(subject, "fp8-tensor", "int4-token") == (
        "no accuracy published for fp8-tensor or KV int4-token in its family and size",
        "",
    )
    first, second = anchor(subject, "fp8-tensor", "fp8")[0].split(PARTS)
    assert first == "no accuracy published for fp8-tensor in its family and size"
    assert second.startswith("KV fp8 on Qwen3-8B")
    assert anchor(subject, None, "fp8")[0].startswith("weights as released; KV fp8 on")


def test_a_baseline_is_named_unless_it_is_the_release() -> None:
    assert "against" not in anchor(of("deepseek-v3"), "nvfp4", None)[0]
    assert anchor(of("deepseek-v3.1"), "nvfp4", None)[0].endswith(" against fp8-block")


@pytest.mark.parametrize("name", model_ids())
def test_every_part_with_a_row_has_a_source_and_no_row_is_of_another_format(name: str) -> None:
    subject = of(name)
    known = {row.source for row in measured_rows()}
    for scheme in ("fp8-block", "nvfp4", "mxfp4", "int4-w4a16-g32", None):
        for layout in ("fp8", "nvfp4", "fp8-ds-mla", None):
            found = anchor(subject, scheme, layout)
            for part, source in parts_with_sources(found):
                assert (source in known) == (": " in part and part != UNCHANGED)
                if source:
                    own = scheme if not part.startswith("KV ") else f"KV {layout}"
                    assert part.startswith((f"{own} ", f"{own},")), part
