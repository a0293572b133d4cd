"""The map of caches by layer: finer choices gain more, and never more than the whole cache."""

from __future__ import annotations

import pytest

from evaluation.caches_by_layer import SHARES, TARGETS, Target, every, question_of, row_of, shown


def test_the_map_has_five_targets_whose_engine_keeps_both_caches() -> None:
    assert len({target.model for target in TARGETS}) == 5
    for target in TARGETS:
        question = question_of(target, target.contexts[0])
        assert set(question.kv) == {"bf16", target.packed}
        assert question.as_released


def test_an_engine_with_one_layout_has_no_row() -> None:
    with pytest.raises(ValueError, match="one layout"):
        question_of(Target("llama-3.1-8b", "h100-sxm", 1, "sglang", "fp8", (8192,)), 8192)


@pytest.mark.exhaustive
def test_layers_by_themselves_gain_no_less_than_groups_and_less_than_all() -> None:
    target = Target("qwen2.5-0.5b", "h100-sxm", 1, "vllm", "fp8", (32_768,))
    row = row_of(target, 32_768)
    assert row.gain > 0
    assert row.loss_nats > 0
    before = 0.0
    for mix in row.mixed:
        assert mix.by_layer >= mix.by_group - 1e-3
        assert before - 1e-3 <= mix.by_layer <= row.gain + 1e-3
        assert 0 < len(mix.plain_layers) < row.layers
        before = mix.by_layer
    assert shown([row]).count("\n") == 2
    assert every([row]).count("\n") == 1 + len(SHARES)
