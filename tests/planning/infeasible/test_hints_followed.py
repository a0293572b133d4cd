"""Every change that a refusal offers, typed as it stands, yields a plan.

Questions without a plan over dense, MoE and MLA models, all engines, and limits of memory, batch,
time, loss and bytes, alone, in pairs and triples.
"""

import itertools
from typing import Any

import pytest
from support.hints import NO_FLAG, alternatives, followed

from planner.base.errors import InfeasibleError, InputError
from planner.hardware.catalog import list_devices
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.diagnose import no_plan_error
from planner.planning.search.engine_search import solve_with_relaxations
from tests.support import theory

Question = dict[str, Any]
H100 = {"device": "h100-sxm", "devices": 1}
DENSE: Question = {"model": "qwen2.5-0.5b", **H100}
MLA: Question = {"model": "deepseek-v2-lite", **H100}
MOE: Question = {"model": "olmoe-1b-7b", **H100}
MEDIUM: Question = {"model": "llama-3.1-8b", **H100}
ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp")

ALONE: dict[str, Question] = {
    "batch": {"batch": 100_000},
    "tpot": {"tpot_seconds": 1e-4, "batch": 64},
    "ttft": {"ttft_seconds": 1e-4},
    "bytes": {"memory_bytes": 150_000_000},
    "context": {"batch": 2048, "kv": "bf16"},
}
"""Limits without a plan for any of the small models, each by itself."""

FAST = [
    *({**DENSE, **ALONE[name]} for name in ("batch", "tpot", "bytes", "context")),
    *({**DENSE, "engine": "llama.cpp", **ALONE[name]} for name in ("batch", "tpot", "bytes")),
    {**DENSE, "engine": "vllm", **ALONE["tpot"]},
    {**DENSE, "e2e_seconds": 1e-2, "isl": 512, "osl": 128},
    {**DENSE, "engine": "vllm", "batch": 1536, "kv": "bf16"},
    {**DENSE, "batch": 2048, "isl": 8192, "kv": "bf16"},
    {**DENSE, "batch": 2048, "context": 16384, "isl": 8192, "osl": 512, "kv": "bf16"},
    {**DENSE, "batch": 2048, "context": 16384, "osl": 512, "kv": "bf16"},
    {**DENSE, "memory_bytes": 900_000_000, "max_loss": "bf16", "ttft_seconds": 1e-4},
    {**DENSE, "batch": 4096, "tpot_seconds": 1e-3},
    {**DENSE, "untie": True, "batch": 64, "tpot_seconds": 1e-4},
    {**DENSE, "device": "jetson-orin-nano-8gb", "batch": 4096},
    {**DENSE, "device": "jetson-orin-nano-8gb", "context": 32768, "batch": 64, "schemes": ["bf16"]},
    {**MLA, "device": "l40s", "schemes": ["bf16"], "batch": 256},
    {**MOE, "batch": 100_000},
    {**MEDIUM, "tpot_seconds": 0.004, "max_loss": "bf16"},
    {"model": "llama-3.1-70b", **H100, "schemes": ["bf16"]},
    {"model": "llama-3.1-70b", "device": "jetson-orin-nano-8gb", "engine": "vllm"},
    {"model": "mixtral-8x7b", "device": "l40s", "devices": 1},
]
SLOW = [
    {**DENSE, "ttft_seconds": 1e-4},
    *(
        {**DENSE, "engine": engine, **ALONE[name]}
        for engine in ("vllm", "sglang", "tensorrt-llm")
        for name in ("batch", "tpot", "ttft", "bytes")
    ),
    {**DENSE, "engine": "vllm", "batch": 1536},
    {**DENSE, "engine": "vllm", "batch": 4096, "isl": 4096, "osl": 256},
    {**DENSE, "batch": 2048, "context": 16384, "isl": 8192, "kv": "bf16"},
    {**DENSE, "tp": 1, "batch": 4000, "devices": 2},
    {**DENSE, "pp": 2, "batch": 8000, "devices": 2},
    {**DENSE, "tpot_seconds": 1e-4, "ttft_seconds": 1e-4},
    {**DENSE, "tpot_seconds": 1e-4, "e2e_seconds": 1e-2},
    {**MEDIUM, "engine": "vllm", "e2e_seconds": 0.5, "batch": 64},
    {**DENSE, "tpot_seconds": 1e-4, "memory_bytes": 10**8},
    {**DENSE, "tpot_seconds": 1e-4, "ttft_seconds": 1e-4, "memory_bytes": 10**8},
    {**DENSE, "batch": 4096, "tpot_seconds": 1e-3, "max_loss": "bf16"},
    *({**MLA, **ALONE[name]} for name in ("batch", "tpot")),
    {**MLA, "engine": "vllm", "batch": 4096, "kv": "bf16"},
    {**MLA, "engine": "sglang", "memory_bytes": 10**9},
    {**MOE, **ALONE["bytes"]},
    {**MOE, "engine": "vllm", "ttft_seconds": 1e-4, "batch": 8},
    {**MEDIUM, "batch": 512, "tpot_seconds": 0.02},
    {**MEDIUM, "engine": "vllm", "batch": 300},
    {**MEDIUM, "engine": "tensorrt-llm", "batch": 64, "tpot_seconds": 0.004, "max_loss": "bf16"},
    {**MEDIUM, "engine": "llama.cpp", "batch": 512},
    {**MEDIUM, "memory_bytes": 12 << 30, "max_loss": "bf16", "isl": 512, "osl": 128, "kv": "bf16"},
    {**MEDIUM, "engine": "sglang", "batch": 64, "isl": 16000, "osl": 500, "kv": "bf16"},
    {**MEDIUM, "device": "l40s", "max_loss": "bf16", "batch": 64},
    {"model": "llama-3.1-70b", **H100, "engine": "vllm", "batch": 64},
    {"model": "llama-3.1-70b", "device": "jetson-agx-orin-64gb", "schemes": ["bf16"]},
]
LIMITS: dict[str, Question] = {
    "batch": {"batch": 3000},
    "tpot": {"tpot_seconds": 2e-3},
    "ttft": {"ttft_seconds": 5e-4},
    "bytes": {"memory_bytes": 5_000_000_000},
    "loss": {"max_loss": "bf16"},
    "kv": {"kv": "bf16"},
}
CROSSED = [
    {**base, "engine": engine, **{k: v for name in names for k, v in LIMITS[name].items()}}
    for base in (DENSE, MLA, MOE, MEDIUM)
    for engine in ("any", *ENGINES)
    for size in (1, 2, 3)
    for names in itertools.combinations(LIMITS, size)
][::7]
"""Some have a plan, and some cannot be asked: they are counted and left."""


def named(question: Question) -> str:
    return " ".join(str(v) if k in ("model", "device") else f"{k}={v}" for k, v in question.items())


def refusal(question: Question) -> Exception | None:
    """The error of a question that has no plan or cannot be asked."""
    try:
        case = unserved_case(theory.ask(**question))
    except InputError as error:
        return error
    served = solve_with_relaxations(case.questions)[0]
    return no_plan_error(case, list_devices) if served is None else None


def check(question: Question) -> int:
    """Follow every alternative of the hint: (how many)."""
    error = refusal(question)
    assert isinstance(error, InfeasibleError), error
    assert error.message
    assert error.hint
    count = 0
    for text in alternatives(error.hint):
        changed = followed(question, text)
        if changed == question:
            assert any(words in text for words in NO_FLAG), text
            continue
        assert solve_with_relaxations(theory.ask(**changed).questions())[0] is not None, text
        count += 1
    return count


def test_the_corpus_is_large_enough() -> None:
    assert len(FAST) + len(SLOW) >= 60


@pytest.mark.sample(1)
@pytest.mark.parametrize("question", FAST, ids=named)
def test_every_hint_followed_has_a_plan(question: Question) -> None:
    assert check(question) >= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("question", SLOW, ids=named)
def test_every_hint_of_a_slower_question_has_a_plan(question: Question) -> None:
    assert check(question) >= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("question", CROSSED, ids=named)
def test_every_hint_of_crossed_limits_has_a_plan(question: Question) -> None:
    if isinstance(refusal(question), InfeasibleError):
        assert check(question) >= 1
