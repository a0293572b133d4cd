"""Every class of the registries of vLLM and SGLang has a verdict, which is what happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.type_configs import config_of, types

from evaluation.configurations.registries import (
    COUNTED,
    ENGINES,
    PLANNED,
    classes,
    reasons,
    registries,
    table,
)
from planner.base.errors import PlannerError, UnsupportedError
from planner.models.architectures import NEVER, REFUSED, WHY, verdicts
from planner.models.configuration import spec_from_bytes
from planner.models.families import FAMILY_OF
from planner.models.inventory import Inventory
from planner.models.kv import cache_description
from planner.models.spec import ModelSpec

VERDICTS = sorted(verdicts().values(), key=lambda verdict: verdict.name)


def read(config: dict[str, Any], *ignore: str) -> ModelSpec:
    return spec_from_bytes(
        json.dumps(config).encode(), "config.json", model_id="x", public_name="x", source="here",
        source_kind="file", ignore_keys=ignore,
    )  # fmt: skip


def named(verdict: str) -> list[Any]:
    return [pytest.param(one, id=one.name) for one in VERDICTS if one.verdict == verdict]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_class_of_a_registry_has_a_verdict(engine: str) -> None:
    assert [name for name in classes(engine) if name not in verdicts()] == []
    assert len(classes(engine)) == {"vllm": 415, "sglang": 290}[engine]


def test_every_verdict_is_of_a_class_of_a_registry() -> None:
    known = {name for engine in ENGINES for name in classes(engine)}
    assert set(verdicts()) == known
    for one in VERDICTS:
        assert one.verdict in (PLANNED, COUNTED, REFUSED)
        assert set(one.types) <= set(FAMILY_OF)
        assert (one.why == "") == (one.verdict == PLANNED)
        assert not one.why or one.why in WHY
        assert bool(one.types) or one.verdict != PLANNED


def test_all_types_of_planned_classes_have_a_configuration_here() -> None:
    assert {t for one in VERDICTS if one.verdict != REFUSED for t in one.types} <= set(types())


@pytest.mark.parametrize("one", named(PLANNED))
def test_a_planned_class_has_tensors_and_caches(one: Any) -> None:
    for model_type in one.types:
        spec = read(config_of(model_type) | {"architectures": [one.name]})
        assert spec.unplanned == ""
        assert spec.attention
        assert spec.architecture == one.name
        assert {layer for a in spec.attention for layer in a.layers} <= set(range(spec.layers))
        assert Inventory(spec).parameters_total > 0


@pytest.mark.parametrize("one", [p for p in named(COUNTED) if p.values[0].types])
def test_a_counted_class_has_tensors_and_no_language_head_or_no_cache(one: Any) -> None:
    for model_type in one.types:
        spec = read(config_of(model_type) | {"architectures": [one.name]})
        assert Inventory(spec).parameters_total > 0
        if one.why == "states":
            assert {cache.kind for cache in cache_description(spec)} == {"state"}
        else:
            assert spec.unplanned or any(note[0] == "head" for note in spec.remarks)


@pytest.mark.parametrize("one", named(REFUSED))
def test_a_refused_class_is_named_with_the_reason(
    one: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planner.models.through_transformers.built.installed", lambda: False)
    for model_type in ("llama", "no_such_type"):
        config = config_of("llama") | {"architectures": [one.name], "model_type": model_type}
        with pytest.raises(UnsupportedError) as caught:
            read(config)
        assert repr(one.name) in caught.value.message
        assert WHY[one.why] in caught.value.message
        assert caught.value.hint


def test_a_class_with_tensors_of_its_own_is_not_read_as_the_family_of_its_type() -> None:
    """Ling 2.6 has the type of Ling 3 and other layers; a draft of Llama has Llama's type."""
    for name in ("BailingMoeV2_5ForCausalLM", "EagleLlamaForCausalLM", "DFlashDraftModel"):
        with pytest.raises(UnsupportedError, match=name):
            read(config_of("llama") | {"architectures": [name]})


def test_the_user_may_say_that_a_class_is_as_its_type() -> None:
    soft = next(one for one in VERDICTS if one.verdict == REFUSED and one.why == "unread")
    config = config_of("llama") | {"architectures": [soft.name]}
    assert read(config, "architectures").ignored_keys == ("architectures",)
    hard = next(one for one in VERDICTS if one.why in NEVER)
    with pytest.raises(PlannerError, match=hard.name):
        read(config | {"architectures": [hard.name]}, "architectures")


def test_a_class_of_no_registry_is_read_by_its_type() -> None:
    assert read(config_of("llama") | {"architectures": ["MyForCausalLM"]}).model_type == "llama"


@pytest.mark.parametrize(
    ("model_type", "gone"), [("llama", "torch_dtype"), ("qwen3", "torch_dtype")]
)
def test_a_type_that_is_not_stated_is_what_engines_take(model_type: str, gone: str) -> None:
    config = config_of(model_type)
    stated = read(config)
    found = read({key: value for key, value in config.items() if key != gone})
    assert found.rows == stated.rows
    assert dict(found.assumed_keys)[gone].startswith("bfloat16 (what vLLM")
    assert any("torch_dtype bfloat16" in str(note[1]) for note in found.remarks)


def test_the_counts_are_told() -> None:
    found = registries()
    lines = table(found)
    assert len(lines) == 4
    assert "| vLLM 0.33.0 | 415 |" in lines[2]
    assert "| SGLang 0.5.23 | 290 |" in lines[3]
    for one in found:
        assert sum(len(one.of(verdict)) for verdict in (PLANNED, COUNTED, REFUSED)) == len(
            one.classes
        )
    assert any(WHY["draft"] in line for line in reasons(found))


Fixed = Callable[[str, str, object], None]


@pytest.mark.parametrize(
    ("model_type", "key", "good"),
    [
        ("qwen2", "attention_bias", True),
        ("qwen2", "mlp_bias", False),
        ("qwen3", "mlp_bias", False),
        ("qwen3_moe", "mlp_bias", False),
        ("mixtral", "attention_bias", False),
        ("exaone4", "attention_bias", False),
        ("phi", "mlp_bias", True),
        ("gpt2", "attention_bias", True),
        ("gpt_oss", "mlp_bias", True),
        ("minimax_m2", "attention_bias", False),
        ("deepseek_v3", "mlp_bias", False),
        ("gemma2", "mlp_bias", False),
    ],
)
def test_a_bias_that_a_family_always_has_or_never_may_be_stated(
    model_type: str, key: str, good: bool
) -> None:
    config = config_of(model_type)
    assert read(config | {key: good}).rows == read(config).rows
    with pytest.raises(PlannerError, match=key):
        read(config | {key: not good})
