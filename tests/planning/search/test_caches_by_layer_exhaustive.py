"""Caches by layer in the optimum: the best of every assignment on a small model, layer by layer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.lookup import load_device, load_model
from planner.planning.price.price import price
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Objective, Question
from planner.planning.question.resolve import build_question
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import search
from planner.planning.search.rivals import loss_of
from planner.planning.space.assignment import Segment
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

CONFIGS = Path(__file__).resolve().parents[3] / "planner" / "models" / "configs"
LAYERS = 5
PAIR = ("bf16", "fp8")
TIED = (("kv-k", "kv-v"),)


@cache
def asked(model: str, folder: Path) -> Question:
    """A model of LAYERS layers under long contexts, weights as released, one batch and layout."""
    config = json.loads((CONFIGS / f"{model}.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = LAYERS
    if "sliding_window_pattern" in config:
        config["sliding_window_pattern"] = 2
    path = folder / f"{model}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    values = GivenValues(
        devices=1, batch=16, context=16384, isl=15000, osl=500, schemes=("bf16",), kv="auto"
    )
    question = build_question(
        load_model(str(path)), load_device("h100-sxm"), values, None, uniform=None, given=None
    )
    return replace(question, kv=PAIR, fused=TIED, loss_scheme=None, loss_limit=None)


def best(question: Question) -> SearchResult | None:
    return search(build_model(question, load_prior()))


def named(question: Question, layouts: tuple[str, ...]) -> SearchResult:
    """The one plan with ``layouts`` by layer."""
    found = best(replace(question, kv_of_layer=layouts))
    assert found is not None
    return found


def seconds(found: SearchResult, segments: Sequence[Segment]) -> float:
    """A decode step of an assignment on the candidate of ``found``, priced in full."""
    costs = price(found.space, found.candidate, tuple(segments)).costs
    return math.fsum(cost.decode_seconds for cost in costs)


def of_layer(found: SearchResult, layouts: tuple[str, ...]) -> list[Segment]:
    """The segments of ``found`` with the caches of ``layouts``."""
    model, caches = found.space.model, found.space.model.question.kv
    first = len(model.question.schemes)
    return [
        replace(segment, choice=first + caches.index(layouts[segment.layers[0]]))
        if model.units[segment.unit].role == "cache"
        else segment
        for segment in found.segments
    ]


@pytest.mark.parametrize("model", ["qwen2.5-0.5b", "gemma-3-1b", "deepseek-v2-lite"])
@pytest.mark.parametrize("objective", ["latency", "memory"])
def test_no_assignment_by_layer_beats_the_optimum(
    model: str, objective: Objective, tmp_path: Path
) -> None:
    question = replace(asked(model, tmp_path), kv_by_layer=True, objective=objective)
    free = best(question)
    assert free is not None
    every = {names: of_layer(free, names) for names in product(PAIR, repeat=LAYERS)}
    losses = {names: loss_of(free.space.model, segments) for names, segments in every.items()}
    if objective == "latency":
        values = {names: seconds(free, segments) for names, segments in every.items()}
    else:
        values = {names: float(named(question, names).value) for names in every}
    most = losses[("fp8",) * LAYERS]
    assert most == max(losses.values())
    for share in (0.0, 0.3, 0.6, 0.9, 1.0):
        limit = share * most * (1 + 1e-9)
        least = min(values[names] for names in every if losses[names] <= limit)
        found = best(replace(question, loss_limit=limit))
        assert found is not None
        mine = seconds(found, found.segments) if objective == "latency" else found.value
        assert mine == pytest.approx(least, rel=1e-9)
        assert loss_of(found.space.model, found.segments) <= limit * (1 + 1e-6) + 1e-15


@given(st.lists(st.sampled_from(PAIR), min_size=LAYERS, max_size=LAYERS))
@settings(max_examples=examples(4, 30))
def test_losses_and_seconds_of_layers_add_up(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    question = asked("qwen2.5-0.5b", tmp_path_factory.getbasetemp())
    whole = named(question, tuple(names))
    plain = named(question, ("bf16",) * LAYERS)
    parts = [
        named(question, tuple(name if n == layer else "bf16" for n in range(LAYERS)))
        for layer, name in enumerate(names)
    ]
    sums = math.fsum(loss_of(one.space.model, one.segments) for one in parts)
    assert loss_of(whole.space.model, whole.segments) == pytest.approx(sums, rel=1e-9, abs=1e-18)
    before = seconds(plain, plain.segments)
    saved = math.fsum(before - seconds(one, one.segments) for one in parts)
    assert before - seconds(whole, whole.segments) == pytest.approx(saved, rel=1e-6, abs=1e-12)
