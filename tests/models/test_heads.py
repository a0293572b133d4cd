"""``architectures`` decides what stands at the end. Totals: transformers 5.24, meta device."""

import json
from pathlib import Path

import pytest

import planner
from planner.base.errors import DataError
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory, expand
from planner.models.spec import ModelSpec

CONFIGS = Path(planner.__file__).parent / "models" / "configs"
COUNTED = [
    ("llama-3.1-8b", "LlamaForCausalLM", 8_030_261_248),
    ("llama-3.1-8b", "LlamaForSequenceClassification", 7_504_936_960),
    ("llama-3.1-8b", "LlamaForTokenClassification", 7_504_936_963),
    ("llama-3.1-8b", "LlamaForQuestionAnswering", 7_504_932_866),
    ("llama-3.1-8b", "LlamaModel", 7_504_924_672),
    ("qwen3-0.6b", "Qwen3ForSequenceClassification", 596_052_992),
    ("qwen3-0.6b", "Qwen3Model", 596_049_920),
    ("qwen2.5-0.5b", "Qwen2ForSequenceClassification", 494_035_456),
    ("mixtral-8x7b", "MixtralForSequenceClassification", 46_571_732_992),
    ("gemma-3-1b", "Gemma3TextForSequenceClassification", 999_889_408),
    ("gpt2", "GPT2Model", 124_439_808),
]  # fmt: skip


def with_head(name: str, architecture: str, **changes: object) -> ModelSpec:
    """A bundled model of three classes with another head."""
    config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    config |= {"architectures": [architecture], "id2label": {"0": "a", "1": "b", "2": "c"}}
    return spec_from_bytes(
        json.dumps(config | changes).encode(),
        "config.json",
        model_id="x",
        public_name="x",
        source="x",
        source_kind="file",
    )


@pytest.mark.parametrize(("name", "architecture", "total"), COUNTED)
def test_the_total_is_that_of_the_class(name: str, architecture: str, total: int) -> None:
    assert Inventory(with_head(name, architecture)).parameters_total == total


def test_names_are_those_that_the_class_saves() -> None:
    def names(architecture: str) -> set[str]:
        return {tensor.name for tensor in expand(with_head("llama-3.1-8b", architecture))}

    assert {"score.weight", "model.norm.weight"} <= names("LlamaForSequenceClassification")
    assert {"score.weight", "score.bias"} <= names("LlamaForTokenClassification")
    assert {"qa_outputs.bias", "transformer.norm.weight"} <= names("LlamaForQuestionAnswering")
    assert {"norm.weight", "embed_tokens.weight"} <= names("LlamaModel")
    assert "lm_head.weight" not in names("LlamaModel") | names("LlamaForSequenceClassification")


def test_classes_are_counted_and_said() -> None:
    name = "LlamaForSequenceClassification"
    usual = with_head("llama-3.1-8b", name, id2label=None)
    assert dict(usual.assumed_keys)["num_labels"] == "2 (default of transformers)"
    assert ("head", "score, 2 outputs") in [note[:2] for note in usual.remarks]
    one = with_head("llama-3.1-8b", name, id2label=None, num_labels=1)
    assert Inventory(usual).parameters_total - Inventory(one).parameters_total == 4096
    with pytest.raises(DataError, match="num_labels is 4, and id2label names 3"):
        with_head("llama-3.1-8b", name, num_labels=4)
    with pytest.raises(DataError, match="a list of strings"):
        with_head("llama-3.1-8b", name, architectures="LlamaModel")


def test_a_model_without_a_language_head_predicts_no_further_tokens() -> None:
    found = with_head("deepseek-v3", "DeepseekV3ForSequenceClassification")
    assert found.mtp_layers == 0
    assert not any(row.part == "mtp" for row in found.rows)
    assert any("multi-token prediction" in part for part in found.not_counted)


def test_a_model_that_names_no_class_is_a_language_model_and_says_so() -> None:
    found = with_head("llama-3.1-8b", "", architectures=None)
    assert "causal language model" in dict(found.assumed_keys)["architectures"]
    assert Inventory(found).parameters_total == 8_030_261_248
