"""Which engines serve pools, and which caches they hand over: data with sources."""

import pytest

from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.planning.engines import pool_rules
from planner.planning.engines.pool_rules import (
    all_stages_rules,
    handed_over,
    pool_refusal,
    stages_refusal,
)

H200, LLAMA = load_device("h200-sxm"), load_model("llama-3.1-70b")


@pytest.mark.parametrize("name", ["vllm", "sglang", "tensorrt-llm"])
def test_servers_with_connectors_serve_pools(name: str) -> None:
    engine = parse_engine(name)
    assert not pool_refusal(engine, H200, LLAMA)
    found = handed_over(engine, H200, LLAMA, "fp8")
    assert found.status == "supported"
    assert found.source is not None
    assert found.source.date


@pytest.mark.parametrize("name", ["llama.cpp", "pytorch"])
def test_others_do_not_and_say_why(name: str) -> None:
    why = pool_refusal(parse_engine(name), H200, LLAMA)
    assert why.startswith(f"{parse_engine(name).label}: ")
    assert "no source says" not in why


def test_scales_of_run_time_are_not_handed_over() -> None:
    found = handed_over(parse_engine("vllm"), H200, LLAMA, "int8-token")
    assert found.status == "refused"
    assert "run time" in found.reason


def test_early_versions_do_not() -> None:
    assert "0.9" in pool_refusal(parse_engine("vllm@0.8"), H200, LLAMA)
    assert pool_refusal(parse_engine("sglang@0.4.6"), H200, LLAMA)
    assert pool_refusal(parse_engine("tensorrt-llm@0.19"), H200, LLAMA)


def test_states_of_linear_attention_are_not_known_to_be() -> None:
    why = pool_refusal(parse_engine("vllm"), H200, load_model("qwen3-next-80b-a3b"))
    assert "linear attention" in why


def test_of_a_models_several_caches_the_least_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of the catalogue has two kinds yet: keys and values stand for them."""
    vllm = parse_engine("vllm")
    sent, kept = (handed_over(vllm, H200, LLAMA, name) for name in ("fp8", "int8-token"))
    assert (sent.status, kept.status) == ("supported", "refused")
    for first, second, least in ((sent, sent, sent), (sent, kept, kept), (kept, sent, kept)):
        found = iter((first, second))
        with monkeypatch.context() as patch:
            patch.setattr(pool_rules, "cache_group", lambda unit: unit.kind)
            patch.setattr(pool_rules, "support_cell", lambda *_, found=found: next(found))
            assert handed_over(vllm, H200, LLAMA, "fp8") is least


@pytest.mark.parametrize(
    ("engine", "prefill", "decode", "taken"),
    [
        ("vllm", 1, 1, True),
        ("vllm", 2, 1, False),
        ("sglang", 2, 2, True),
        ("sglang", 4, 1, True),
        ("sglang", 1, 2, False),
        ("sglang", 4, 2, False),
        ("sglang@0.5.6", 1, 1, True),
        ("sglang@0.5.6", 2, 2, False),
        ("tensorrt-llm", 1, 4, True),
        ("llama.cpp", 2, 2, False),
        ("llama.cpp", 1, 1, True),
    ],
)
def test_which_pipelines_go_together(engine: str, prefill: int, decode: int, taken: bool) -> None:
    why = stages_refusal(parse_engine(engine), prefill, decode)
    assert (why == "") is taken
    assert not why or why.startswith(parse_engine(engine).label)


def test_rules_of_stages_have_sources_and_known_words() -> None:
    rules = all_stages_rules()
    assert {rule.takes for rule in rules} == {"none", "alike", "any"}
    assert all(rule.source.title and rule.note for rule in rules)
