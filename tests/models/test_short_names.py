"""Models by the short names that people type: the one meant, or the near ones."""

from __future__ import annotations

import pytest

import planner
from planner.base.errors import UnknownNameError
from planner.cli.main import run
from planner.models.catalog import catalog, model_ids, named_id
from planner.models.common_names import common_name, is_common_name
from planner.planning.question.model_notes import checkpoint_notes

MEANT = {
    "qwen3-235b": "qwen3-235b-a22b",
    "qwen3 235b": "qwen3-235b-a22b",
    "qwen3 32b": "qwen3-32b",
    "qwen3-30b": "qwen3-30b-a3b",
    "Qwen3": "qwen3-8b",
    "qwen3 coder": "qwen3-coder-30b-a3b",
    "qwen3-next": "qwen3-next-80b-a3b",
    "qwen2.5": "qwen2.5-7b",
    "qwen2.5-coder-32b": "qwen2.5-32b",
    "qwen2.5-coder": "qwen2.5-7b",
    "qwq": "qwq-32b",
    "llama 3.3 70b": "llama-3.1-70b",
    "llama3.3": "llama-3.1-70b",
    "llama3": "llama-3-8b",
    "llama3:8b": "llama-3-8b",
    "llama3.1": "llama-3.1-8b",
    "llama 3.2": "llama-3.2-3b",
    "mistral": "mistral-7b-v0.3",
    "mistral-small": "mistral-small-3.2-24b",
    "mistral large": "mistral-large-2407",
    "mixtral": "mixtral-8x7b",
    "gemma3": "gemma-3-4b",
    "gemma3 27b": "gemma-3-27b",
    "gemma3:27b": "gemma-3-27b",
    "deepseek-r1": "deepseek-r1",
    "deepseek-r1:32b": "deepseek-r1-distill-qwen-32b",
    "deepseek-r1:8b": "qwen3-8b",
    "phi4": "phi-4",
    "phi3": "phi-3-mini-4k",
    "devstral": "mistral-small-3.2-24b",
    "magistral": "mistral-small-3.2-24b",
    "glm 4.5 air": "glm-4.5-air",
    "gpt-oss": "gpt-oss-20b",
    "gpt-oss:120b": "gpt-oss-120b",
    "kimi k2": "kimi-k2-instruct",
    "seed oss": "seed-oss-36b",
    "smollm2": "smollm2-1.7b",
    "tinyllama": "tinyllama-1.1b",
}
SEVERAL = {
    "qwen3.5": ["qwen3.5-27b", "qwen3.5-35b-a3b"],
    "gemma 4": ["gemma-4-26b-a4b"],
    "nemotron": ["nemotron-super-49b", "nemotron-3-nano-30b-a3b"],
}
FAMILIES = ("deepseek", "glm")
ELSEWHERE = {
    "glm4.7 flash": "zai-org/GLM-4.7-Flash",
    "deepseek coder v2": "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct",
    "codestral": "hf:ORG/NAME",
    "codellama": "hf:ORG/NAME",
}


@pytest.mark.parametrize(("name", "meant"), MEANT.items())
def test_a_short_name_is_the_model_that_is_meant(name: str, meant: str) -> None:
    assert planner.load_model(name).id == meant
    assert named_id(name) or is_common_name(name)


@pytest.mark.parametrize(("name", "some"), SEVERAL.items())
def test_a_name_of_several_lists_them_and_each_works(name: str, some: list[str]) -> None:
    with pytest.raises(UnknownNameError, match="several have that name") as caught:
        planner.load_model(name)
    listed = caught.value.hint.removeprefix("which: ").removesuffix("?").split(", ")
    assert set(some) <= set(listed) <= set(model_ids())


@pytest.mark.parametrize("name", FAMILIES)
def test_of_a_family_of_many_the_nearest_are_named_and_each_works(name: str) -> None:
    with pytest.raises(UnknownNameError, match="several have that name") as caught:
        planner.load_model(name)
    named = caught.value.hint.removeprefix("did you mean ").removesuffix("?").split(", ")
    assert len(named) == 3
    assert all(one.startswith(name) and planner.load_model(one).id == one for one in named)


@pytest.mark.parametrize(("name", "way"), ELSEWHERE.items())
def test_what_is_not_bundled_says_where_it_is(
    name: str, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "rtx-4090"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: unknown model")
    assert f"{way}" in hint
    assert "--online" in hint


def test_short_names_stay_strict_where_measurements_name_models() -> None:
    assert named_id("qwen3") is None
    assert common_name("qwen3-8b") is None
    assert common_name("qwen/qwen3") is None
    assert common_name("qwen") is None


def test_what_a_short_name_was_read_as_is_told() -> None:
    spec = planner.load_model("qwen3")
    (note,) = checkpoint_notes("qwen3", None, spec)
    assert (note.key, note.value) == ("model", "qwen3-8b")
    assert "qwen3" in note.reason
    (note,) = checkpoint_notes("devstral", None, planner.load_model("devstral"))
    assert "mistralai/Devstral-Small-2507" in note.reason


def test_its_files_are_those_of_the_checkpoint_that_is_meant() -> None:
    for name, of in (
        ("devstral", "mistralai/Devstral-Small-2507"),
        ("deepseek-r1:8b", "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B"),
        ("llama3.3", "meta-llama/Llama-3.3-70B-Instruct"),
    ):
        assert {f.of for f in planner.published_files(name) if f.container == "gguf"} == {of}


def test_every_bundled_name_means_itself() -> None:
    for entry in catalog().values():
        assert common_name(entry.id) is None
