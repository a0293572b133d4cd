"""Formats, mixtures and releases by the names that people use."""

from __future__ import annotations

import pytest

import planner
from planner.base.errors import InfeasibleError
from planner.formats.schemes import COMMON_NAMES, SCHEMES, is_common_name, scheme
from planner.planning.engines.mixes import engine_mixes, mixture_named
from planner.planning.engines.published import release_named
from planner.planning.plan.record import Plan

PLACE = ("qwen3-8b", "rtx-4090")


def told(plan: Plan, key: str) -> list[str]:
    return [str(note.value) for note in plan.assumptions if note.key == key]


@pytest.mark.parametrize(("name", "meant"), COMMON_NAMES.items())
def test_names_of_methods_are_their_commonest_scheme(name: str, meant: str) -> None:
    assert scheme(name.upper()) is SCHEMES[meant]
    assert is_common_name(name)
    assert not is_common_name(meant)


@pytest.mark.parametrize("name", [s for s in SCHEMES if s.startswith("ggml-")])
def test_types_of_ggml_need_no_prefix(name: str) -> None:
    short = name.removeprefix("ggml-")
    assert scheme(short).id == (short if short in SCHEMES else name)


@pytest.mark.parametrize("name", engine_mixes())
def test_mixtures_are_found_in_any_case(name: str) -> None:
    assert mixture_named(name.lower()) == mixture_named(name.lower().replace("_", "-")) == name


def test_a_common_name_is_told_and_answers_as_its_scheme() -> None:
    mine, same = (planner.plan(*PLACE, schemes=[name]) for name in ("awq", "int4-w4a16"))
    assert told(mine, "schemes") == ["int4-w4a16"]
    assert mine.performance == same.performance
    assert mine.units == same.units


def test_a_mixture_in_a_list_means_its_types() -> None:
    plan = planner.plan(*PLACE, schemes=["Q4_K_M"])
    assert told(plan, "schemes") == ["ggml-q4_k, ggml-q6_k"]
    assert plan.engine.name == "llama.cpp"
    assert {u.scheme for u in plan.units if u.scheme.startswith("ggml")} <= {
        "ggml-q4_k",
        "ggml-q6_k",
    }


@pytest.mark.parametrize(
    ("name", "model", "scheme_name"),
    [
        ("Qwen/Qwen3-32B-AWQ", "qwen3-32b", "int4-w4a16"),
        ("qwen3-32b-awq", "qwen3-32b", "int4-w4a16"),
        ("unsloth/Qwen3-32B-GGUF:Q4_K_M", "qwen3-32b", "Q4_K_M"),
        ("unsloth/qwen3-32b-gguf", "qwen3-32b", "Q4_K_M"),
    ],
)
def test_releases_are_found_by_their_repository(name: str, model: str, scheme_name: str) -> None:
    release = release_named(name)
    assert release is not None
    assert release.model == model
    assert release.by_kind(planner.load_model(model)) == scheme_name


def test_kinds_that_a_release_leaves_plain_are_named() -> None:
    release = release_named("nvidia/DeepSeek-R1-0528-NVFP4")
    assert release is not None
    first, *others = release.by_kind(planner.load_model(release.model)).split(",")
    assert first == "nvfp4"
    assert "mla-kv=bf16" in others


def test_what_nobody_released_is_unknown() -> None:
    assert release_named("someone/Qwen3-32B-FP3") is None


def test_a_named_release_is_what_is_answered() -> None:
    plan = planner.plan("Qwen/Qwen3-32B-AWQ", "rtx-4090")
    assert plan.model.id == "qwen3-32b"
    assert told(plan, "model") == ["qwen3-32b"]
    assert not plan.recommendation.needs_new_weights
    priced = planner.estimate("Qwen/Qwen3-32B-AWQ", "rtx-4090", devices=1)
    assert {u.scheme for u in priced.units if u.kind == "mlp-down"} == {"int4-w4a16"}


def test_weights_that_must_be_made_are_never_taken_where_none_are_wanted() -> None:
    with pytest.raises(InfeasibleError, match="no published weights") as caught:
        planner.plan("qwen3-32b", "l40s", schemes=["mxfp4"], new_weights="no")
    assert "--new-weights auto" in caught.value.hint
    assert planner.plan("qwen3-32b", "l40s", schemes=["mxfp4"]).recommendation.needs_new_weights
