"""The Modelfile of an export, and LM Studio's commands."""

from dataclasses import replace

import pytest

import planner
from planner.export.home_programs import lm_studio, modelfile
from planner.export.serve_line import GGUF, WeightsOfPlan
from planner.planning.plan.record import Plan

AT_HUB = WeightsOfPlan("ready", "ggml-org/Qwen3-8B-GGUF:Q4_K_M")
MADE = WeightsOfPlan("new", GGUF)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planner.estimate(
        "qwen2.5-0.5b",
        "rtx-4090",
        scheme="ggml-q8_0",
        kv="q8_0",
        engine="llama.cpp",
        context=4096,
        batch=2,
    )


def test_a_repositorys_file_is_named_as_ollama_and_lm_studio_take_it(plan: Plan) -> None:
    lines = modelfile(plan, AT_HUB).splitlines()
    assert "FROM hf.co/ggml-org/Qwen3-8B-GGUF:Q4_K_M" in lines
    assert "PARAMETER num_ctx 4096" in lines
    assert "OLLAMA_NUM_PARALLEL=2 OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve" in lines[-1]
    assert lm_studio(plan, AT_HUB) == (
        "lms get https://huggingface.co/ggml-org/Qwen3-8B-GGUF@q4_k_m",
        "lms load --context-length 4096",
    )


def test_a_file_that_is_made_lies_beside_the_modelfile(plan: Plan) -> None:
    assert f"FROM ./{GGUF}\n" in modelfile(plan, MADE)
    assert lm_studio(plan, MADE)[0] == f"lms import {GGUF} --copy"
    assert "FROM ./OUT.gguf" in modelfile(plan, replace(AT_HUB, place="ORG/REPO"))


def test_a_cache_that_ollama_has_not_is_told(plan: Plan) -> None:
    units = tuple(
        unit if unit.kv_layout is None else replace(unit, kv_layout="q5_1") for unit in plan.units
    )
    text = modelfile(replace(plan, units=units), MADE)
    assert "# the plan's KV cache is q5_1; Ollama's will be f16" in text
    assert "OLLAMA_KV_CACHE_TYPE" not in text


def test_exports_for_llama_cpp_have_one(plan: Plan) -> None:
    files = planner.export_plan(plan).files
    assert files["Modelfile"].count("FROM ") == 1
    assert "lms import" in files["README.md"]
