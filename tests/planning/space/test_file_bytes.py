"""The limit on the weights' file: counted to the byte, kept by the best of all, never worse where
it is looser."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from support import theory
from support.brute_force import every
from support.random_questions import model_named

import planner
from planner.base.errors import InfeasibleError
from planner.planning.files.sizes import gguf_bytes
from planner.planning.price.price import file_bytes_of, price
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_objective
from planner.planning.space.file_bytes import file_used, smallest_file, unchosen_bytes
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

CARD = "rtx-4090"
PUBLISHED = 32_483_935_392
"""unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF:Q8_0 (ggml-org/LlamaBarn Catalog.swift)."""


def gguf_model(name: str) -> CostModel:
    questions = theory.ask(name, CARD, engine="llama.cpp").questions()
    return build_model(questions[-1], load_prior())


def uniform_file(model: CostModel, scheme: str) -> int:
    at = model.question.schemes.index(scheme)
    return file_used(model, [at] * len(model.units)) + unchosen_bytes(model)


def test_a_published_file_to_the_byte() -> None:
    assert uniform_file(gguf_model("qwen3-30b-a3b"), "ggml-q8_0") == PUBLISHED


@pytest.mark.parametrize("name", ["smollm2-135m", "llama-3.2-1b"])
def test_the_catalogue_counts_the_same(name: str) -> None:
    """Tied: one matrix, stored once."""
    model = gguf_model(name)
    for scheme, mixture in (("ggml-q8_0", "Q8_0"), ("bf16", "BF16")):
        assert uniform_file(model, scheme) == gguf_bytes(model.question.spec, mixture)


def test_the_smallest_file_takes_no_type_that_rows_do_not_fill() -> None:
    small = gguf_model("smollm2-135m")  # rows of 576: no blocks of 256
    assert smallest_file(small) > uniform_file(small, "ggml-q4_0") / 4
    large = gguf_model("llama-3.2-1b")
    assert smallest_file(large) <= min(
        uniform_file(large, s) for s in large.question.schemes if s.startswith("ggml")
    )


def questions_of(engine: str, schemes: tuple[str, ...], objective: str) -> list[Question]:
    return theory.ask(
        model_named("synthetic-gqa-2"),
        CARD,
        engine=engine,
        schemes=schemes,
        kv="bf16" if engine == "vllm" else "fp16",
        batch=2,
        context=1024,
        exact=True,
        objective=objective,
        max_loss="none",
        tpot_seconds="none",
    ).questions()


@pytest.mark.sample(4)
@pytest.mark.parametrize("objective", ["quality", "latency"])
@pytest.mark.parametrize(
    ("engine", "schemes"),
    [("any", ("bf16", "int8-w8a16", "int4-w4a16")), ("vllm", ("bf16", "fp8-channel"))],
)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_best_of_all_that_keeps_the_file(
    engine: str, schemes: tuple[str, ...], objective: str, share: float
) -> None:
    free = questions_of(engine, schemes, objective)
    models = [build_model(q, load_prior()) for q in free]
    low = min(smallest_file(m) for m in models)
    high = uniform_file(models[0], "bf16")
    limit = low + int((high - low) * share)
    questions = [replace(q, file_bytes=limit) for q in free]
    best = min(every(q).value for q in questions)
    found, _ = solve_objective(questions)
    assert found is not None
    priced = price(found.space, found.candidate, found.segments)
    assert file_bytes_of(found.space.model, priced) <= limit
    if objective == "quality":  # as good a plan may be taken for its speed
        assert found.bound <= best * (1 + 1e-6) + 1e-12
    else:
        assert best * (1 - 1e-7) <= found.value <= best * (1 + 1e-6)


def test_a_looser_limit_is_never_worse() -> None:
    sizes = (700_000_000, 900_000_000, None)
    plans = [
        planner.plan(
            "llama-3.2-1b",
            CARD,
            engine="llama.cpp",
            schemes=["bf16", "ggml-q8_0", "ggml-q4_k", "ggml-q3_k"],
            batch=1,
            context=4096,
            objective="quality",
            file_bytes=size,
            exact=True,
        )
        for size in sizes
    ]
    for tight, loose in pairwise(plans):
        assert loose.quality.loss <= tight.quality.loss * (1 + 1e-9)
    notes = [{a.key: a for a in plan.assumptions} for plan in plans]
    for size, known in zip(sizes[:-1], notes, strict=False):
        assert size is not None
        used = int(re.sub(r"\D", "", str(known["weights' file"].value).split(" of ")[0]))
        assert size * 0.97 < used <= size
    assert "weights' file" not in notes[-1]


def test_a_file_that_nothing_fits_names_the_smallest() -> None:
    asked = {"engine": "llama.cpp", "batch": 1, "context": 4096, "max_loss": "none"}
    with pytest.raises(InfeasibleError) as found:
        planner.plan("llama-3.2-1b", CARD, file_bytes=100_000_000, **asked)
    assert "file-bytes" in found.value.message
    named = re.search(r"raise --file-bytes to (\d+)", found.value.hint)
    assert named is not None
    least = int(named[1])
    planner.plan("llama-3.2-1b", CARD, file_bytes=least, **asked)
    with pytest.raises(InfeasibleError):
        planner.plan("llama-3.2-1b", CARD, file_bytes=least * 99 // 100, **asked)
