"""Commands of models that see: the plan has no encoder in it, so neither has the server, or it says
so."""

import pytest
from support.questions import plan_of

from planner.export.optional_flags import image_words
from planner.models.catalog import resolve_model
from planner.planning.answer.assumptions import image_notes
from planner.planning.plan.notes import with_notes


def plan():
    return with_notes(plan_of(), *image_notes(resolve_model("qwen3-vl-8b")))


def test_vllm_leaves_the_encoder_out() -> None:
    words, said = image_words("vllm", plan())
    assert words == ["--language-model-only"]
    assert "plan memory --with-vision" in said[0]


@pytest.mark.parametrize("engine", ["sglang", "tensorrt-llm"])
def test_servers_that_load_it_say_how_much(engine: str) -> None:
    words, said = image_words(engine, plan())
    assert words == []
    assert said == ["images: the server loads their encoder as well, 1.07 GiB beside the plan"]


def test_llama_cpp_loads_one_only_where_it_is_named() -> None:
    assert image_words("llama.cpp", plan()) == ([], [])


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "llama.cpp"])
def test_models_of_text_have_nothing_to_say(engine: str) -> None:
    assert image_words(engine, plan_of()) == ([], [])
