"""Candidates are what the question, the links and the engine allow, against all whole numbers."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import question_of

from planner.placement.layout import Layout, layout_problem
from planner.planning.question.question import Question
from planner.planning.space.layouts import considered, possible_layouts

MODELS = ("llama-3.1-8b", "deepseek-v3", "qwen3-coder-480b-a35b", "smollm2-135m")
SIZES = (1, 2, 3, 4, 6, 8, 12, 16)


def brute(question: Question, counts: set[int]) -> set[Layout]:
    """Every layout of whole numbers that the model's widths and vLLM's experts allow."""
    every = range(1, max(counts) + 1)
    shapes = [(tp, dp, pp) for tp, dp, pp in product(every, every, every) if tp * dp * pp in counts]
    found = {
        Layout(tp, dp, pp, ep)
        for tp, dp, pp in shapes
        if tp <= question.node_devices
        for ep in range(1, tp * dp + 1)
        if tp * dp % ep == 0
    }
    whole = question.engine == "vllm"
    return {
        la
        for la in found
        if not layout_problem(question.spec, la) and (not whole or la.ep in (1, la.tp * la.dp))
    }


@pytest.mark.parametrize("engine", ["any", "vllm", "sglang"])
@pytest.mark.parametrize("name", MODELS)
def test_free_devices_are_two_and_three_times_powers_of_two(name: str, engine: str) -> None:
    question = replace(question_of(name, devices=None), engine=engine)
    assert question.sizes == SIZES
    found = possible_layouts(question)
    assert set(found) == brute(question, set(SIZES))
    assert len(set(found)) == len(found)


@given(
    name=st.sampled_from(MODELS),
    devices=st.integers(1, 32),
    engine=st.sampled_from(("any", "vllm", "sglang")),
)
def test_given_devices_are_divided(name: str, devices: int, engine: str) -> None:
    question = replace(question_of(name), sizes=(devices,), devices_given=True, engine=engine)
    divisors = {d for d in range(1, devices + 1) if devices % d == 0}
    assert set(possible_layouts(question)) == brute(question, divisors)


def test_what_no_link_reaches_is_no_candidate() -> None:
    question = question_of("llama-3.1-8b", "h100-sxm", devices=16)
    near = replace(question, net=replace(question.net, network_bytes_per_s=0.0))
    assert near.net.reach() == 8
    beyond = {layout for layout in possible_layouts(question) if layout.ranks > 8}
    assert beyond
    assert set(possible_layouts(near)) == set(possible_layouts(question)) - beyond
    assert {why for layout, why in considered(near) if layout in beyond} == {
        "h100-sxm has no link for a group of 16 devices"
    }


@pytest.mark.parametrize(
    ("fixed", "sizes"),
    [
        ({"tp": 5}, {5, 10, 15}),
        ({"tp": 3, "pp": 3}, {9}),
        ({"dp": 7}, {7, 14}),
        ({"tp": 40}, set()),
    ],
)
def test_fixed_widths_are_multiplied(fixed: dict[str, int], sizes: set[int]) -> None:
    assert set(question_of(devices=None, **fixed).sizes) - set(SIZES) == sizes


@pytest.mark.parametrize(
    ("name", "most"), [("deepseek-v3", 300), ("qwen3-235b-a22b", 300), ("llama-3.1-8b", 40)]
)
@pytest.mark.parametrize("devices", [8, 16, 64, None])
def test_candidates_stay_few(name: str, most: int, devices: int | None) -> None:
    question = question_of(name, devices=devices)
    assert len(possible_layouts(question)) <= most
