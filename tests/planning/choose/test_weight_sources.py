"""Weights that exist: a public release, or what the engine makes while loading."""

from collections.abc import Sequence

import pytest
from support.choices import choice_of, llama

from planner.planning.choose import weight_sources as module
from planner.planning.choose.option import Option
from planner.planning.choose.weight_sources import ReadyWeights, weight_source
from planner.planning.engines.checkpoints import Unit
from planner.planning.engines.published import published_weights


def uniform(name: str) -> Option:
    return next(one for one in llama().options if one.rival.name == name)


def test_a_public_release_is_named() -> None:
    # From 0.32 on vLLM makes the scheme itself while it loads the release.
    options = choice_of("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm@0.21").options
    fp8 = next(option for option in options if option.rival.name == "uniform fp8-channel")
    found = weight_source(fp8.rival.result)
    assert found.checkpoint.startswith("RedHatAI/")
    assert not found.new_weights


def test_what_is_published_of_the_model_goes_before_what_the_engine_makes() -> None:
    found = weight_source(uniform("uniform fp8-tensor").rival.result)
    rows = [row for row in published_weights("llama-3.1-8b") if row.dense == "fp8-tensor"]
    assert any(row.of == "meta-llama/Llama-3.1-8B" for row in rows)
    assert found.checkpoint in {row.repository for row in rows}
    assert found.command == ""
    assert not found.new_weights


def test_what_nobody_published_is_made_by_the_engine() -> None:
    options = choice_of("olmo-2-7b", "h100-sxm", devices=1, engine="vllm").options
    fp8 = next(option for option in options if option.rival.name == "uniform fp8-channel")
    found = weight_source(fp8.rival.result)
    assert "--quantization" in found.command
    assert found.checkpoint == ""
    assert not found.new_weights


def test_a_mix_that_nobody_published_needs_new_weights() -> None:
    choice = choice_of("qwen3-30b-a3b", "l40s", devices=4, engine="vllm")
    mix = choice.options[choice.optimum]
    assert len(mix.rival.schemes) > 1
    assert mix.weights == ReadyWeights()
    assert mix.simple.new_weights


def test_the_release_itself_needs_none() -> None:
    for one in llama().options:
        if one.rival.formats == 0:
            assert not one.simple.new_weights


def test_weights_are_looked_for_by_their_units_and_by_their_cache_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = uniform("uniform fp8-channel, KV fp8").rival.result
    asked: list[tuple[set[str], list[str]]] = []

    def nothing(
        _spec: object,
        _device: object,
        _engine: object,
        units: Sequence[Unit],
        kv: list[str],
        *,
        named: str,
        another: str,
    ) -> None:
        assert named == another == ""
        asked.append(({scheme for _, _, scheme in units}, kv))

    monkeypatch.setattr(module, "made_while_loading", lambda *_: None)
    monkeypatch.setattr(module, "checkpoint_of", nothing)
    assert weight_source(found) == ReadyWeights()
    ((schemes, kv),) = asked
    assert "fp8-channel" in schemes
    assert kv == ["fp8"]
