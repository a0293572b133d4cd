"""Which measured models a model is like: structure decides, never the name."""

from dataclasses import replace

import pytest

from planner.models.catalog import resolve_model
from planner.quality.sensitivity.kld_data import (
    FARTHEST,
    RELATIVE,
    SISTER,
    find_match,
    kld_models,
    subject_of,
    subject_of_measured,
)

MODELS = {m.name: m for m in kld_models()}
VL = ("Qwen3-VL-235B-A22B-Instruct", "Qwen3-VL-235B-A22B-Thinking")
GLM = ("GLM-4.5", "GLM-4.6", "GLM-4.7")


@pytest.mark.parametrize(("model_id", "kind", "names"), [
    *((name, SISTER, ("DeepSeek-V3.1-Terminus",))
      for name in ("deepseek-v3", "deepseek-r1", "deepseek-v3.1", "deepseek-v3.2")),
    ("kimi-k2.5", SISTER, ("Kimi-K2-Thinking",)),
    ("kimi-k2-instruct", SISTER, ("Kimi-K2-Thinking",)),
    ("glm-4.5", SISTER, GLM), ("glm-4.6", SISTER, GLM),
    ("glm-4.5-air", SISTER, ("GLM-4.5-Air",)),
    ("qwen3.5-27b", SISTER, ("Qwen3.5-27B", "Qwen3.6-27B")),
    ("glm-5", SISTER, ("GLM-5.1",)), ("qwen3.5-122b-a10b", SISTER, ("Qwen3.5-122B-A10B",)),
    ("qwen3-235b-a22b", SISTER, VL),
    ("qwen3-8b", RELATIVE, ("Qwen3-4B-Instruct-2507", "Qwen3-4B-Thinking-2507")),
    ("qwen3-coder-480b-a35b", RELATIVE, VL),
])  # fmt: skip
def test_bundled_models(model_id: str, kind: str, names: tuple[str, ...]) -> None:
    match = find_match(subject_of(resolve_model(model_id)), kld_models())
    assert match is not None
    assert (match.kind, tuple(m.name for m in match.models)) == (kind, names)
    assert (match.distance == 0) == (kind == SISTER)


@pytest.mark.parametrize("model_id", ["llama-3.1-8b", "mixtral-8x7b", "gpt-oss-120b"])
def test_models_like_none(model_id: str) -> None:
    assert find_match(subject_of(resolve_model(model_id)), kld_models()) is None


def test_the_name_of_a_model_counts_for_nothing() -> None:
    spec = resolve_model("deepseek-v3")
    renamed = replace(spec, id="llama-3.1-8b", public_name="meta-llama/Llama-3.1-8B")
    assert find_match(subject_of(renamed), kld_models()) == find_match(
        subject_of(spec), kld_models()
    )


def test_another_depth_is_no_sister() -> None:
    subject = subject_of(resolve_model("glm-4.6"))
    deeper = replace(subject, structure=replace(subject.structure, layers=93))
    match = find_match(deeper, kld_models())
    assert match is not None
    assert match.kind == RELATIVE


def test_what_is_excluded_is_not_matched() -> None:
    subject = subject_of(resolve_model("glm-4.6"))
    match = find_match(subject, kld_models(), {"GLM-4.6"})
    assert match is not None
    assert [m.name for m in match.models] == ["GLM-4.5", "GLM-4.7"]
    relative = find_match(subject, kld_models(), set(GLM))
    assert relative is not None
    assert (relative.kind, relative.models) == (RELATIVE, (MODELS["GLM-4.5-Air"],))
    assert find_match(subject, kld_models(), {*GLM, "GLM-4.5-Air"}) is None


def test_the_nearest_size_is_the_relative_and_the_farthest_is_none() -> None:
    subject = subject_of_measured(MODELS["Qwen3.5-4B"])
    other = replace(subject, structure=replace(subject.structure, layers=33))
    match = find_match(replace(other, parameters_billion=20.0), kld_models())
    assert match is not None
    assert [m.name for m in match.models] == ["Qwen3.5-27B", "Qwen3.6-27B"]
    far = 27.0 * 2.72 ** (FARTHEST + 0.1)
    assert find_match(replace(other, parameters_billion=far), kld_models()) is None


def test_two_families_that_match_equally_are_both_named() -> None:
    """A release of another maker on the same structure."""
    other = replace(MODELS["GLM-4.6"], name="Other-1", family="Other")
    models = (MODELS["GLM-4.6"], other)
    match = find_match(subject_of(resolve_model("glm-4.6")), models)
    assert match is not None
    assert match.families == ("GLM-4", "Other")
    assert match.models == models
