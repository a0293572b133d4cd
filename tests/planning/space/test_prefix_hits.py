"""Prompts of which a share is cached: less is computed, all is attended, nothing is slower."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

import planner
from planner.base.errors import InputError
from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.planning.plan.record import Plan
from planner.planning.price.estimate_batch import EstimateBatch
from planner.planning.price.estimates import estimate_batched
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.question.workload import workload
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.throughput.attended import computed_share

PLACES = {
    "dense": ("llama-3.1-8b", "h100-sxm", {"devices": 1}),
    "windows": ("gpt-oss-120b", "b200-sxm", {"devices": 1}),
    "latent": ("deepseek-v3", "h200-sxm", {"devices": 8, "tp": 8, "ep": 8}),
    "sparse": ("deepseek-v3.2", "b200-sxm", {"devices": 8, "tp": 1, "dp": 8, "ep": 8}),
    "states": ("qwen3-next-80b-a3b", "h200-sxm", {"devices": 4, "tp": 2, "pp": 2}),
    "cpu": ("llama-3.2-1b", "xeon-6980p", {"devices": 1}),
}


@cache
def question_of(place: str) -> Question:
    model, device, layout = PLACES[place]
    return build_question(
        resolve_model(model),
        resolve_device(device),
        GivenValues(tp=layout.get("tp", 1), **{k: v for k, v in layout.items() if k != "tp"}),
        None,
        uniform="",
        given=None,
    )


def seconds(place: str, isl: int, osl: int, batch: int, rate: float) -> tuple[float, float]:
    """(TPOT, TTFT) of ``batch`` sequences a rank and stage."""
    question = question_of(place)
    layout = {axis: question.fixed[axis] or 1 for axis in ("tp", "dp", "pp", "ep")}
    work = workload(question.spec.max_context, context=None, isl=isl, osl=osl, prefix_hit_rate=rate)
    model = build_model(replace(question, workload=work), load_prior())
    one = np.ones(1, dtype=np.int64)
    asks = EstimateBatch(
        *(one * n for n in layout.values()),
        one,
        one * batch * layout["dp"] * layout["pp"],
        one * work.context,
        one * isl,
        one * osl,
    )
    found = estimate_batched(model, asks)
    return float(found.tpot_seconds[0]), float(found.ttft_seconds[0])


@settings(max_examples=examples(12))
@given(
    st.sampled_from(sorted(PLACES)),
    st.integers(1, 32000),
    st.integers(1, 4000),
    st.integers(1, 128),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
)
def test_a_higher_hit_rate_never_makes_anything_slower(
    place: str, isl: int, osl: int, batch: int, one: float, two: float
) -> None:
    low, high = sorted((one, two))
    for less, more in zip(
        seconds(place, isl, osl, batch, high), seconds(place, isl, osl, batch, low), strict=True
    ):
        assert less <= more * (1 + 1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_most_of_the_prompt_is_saved_at_nine_in_ten(place: str) -> None:
    (token, first), (hit_token, hit_first) = (
        seconds(place, 32000, 1000, 16, rate) for rate in (0.0, 0.9)
    )
    assert hit_token < token
    assert hit_first < 0.45 * first  # the host's own work for a request stays


def test_all_of_the_prompt_is_attended() -> None:
    """The last tenth of a causal prompt attends nearly a fifth of its pairs, of a window a
    tenth."""
    for attention in resolve_model("llama-3.1-8b").attention:
        assert computed_share(attention, 30000, 27000) == pytest.approx(0.19, abs=1e-4)
    window = next(a for a in resolve_model("gpt-oss-120b").attention if a.window)
    assert computed_share(window, 30000, 27000) == pytest.approx(0.1, abs=1e-3)
    lengths = np.array([1000.0, 2000.0])
    share = computed_share(window, lengths, 0.5 * lengths)
    assert share.shape == (2,)


def test_the_last_token_is_always_computed() -> None:
    assert workload(4096, context=None, isl=10, osl=5, prefix_hit_rate=0.999).cached == 9
    assert workload(4096, context=None, isl=1, osl=5, prefix_hit_rate=0.9).cached == 0
    assert workload(4096, context=None, isl=100, osl=5, prefix_hit_rate=0.255).cached == 25
    assert workload(4096, context=None, isl=100, osl=5).cached == 0


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_rate_that_is_none(rate: float) -> None:
    with pytest.raises(InputError, match="prefix hit rate") as caught:
        planner.estimate("llama-3.2-1b", "h100-sxm", prefix_hit_rate=rate)
    assert "0 to below 1" in (caught.value.hint or "")


def agent(**more: object) -> Plan:
    return planner.estimate(
        "llama-3.1-8b", "h100-sxm", devices=1, workload="agent", batch=4, engine="vllm", **more
    )  # type: ignore[arg-type]


def test_memory_holds_the_whole_prompt() -> None:
    assert agent().memory_per_device == agent(prefix_hit_rate=0.0).memory_per_device
    assert agent().capacity == agent(prefix_hit_rate=0.0).capacity


def test_a_plan_file_alone_is_asked_again_with_its_requests() -> None:
    first = agent(slots="full", context=50000)
    read = planner.read_plan(first.to_dict())
    again = planner.estimate(plan=read)
    assert again.performance == first.performance
    assert again.workload == first.workload
    assert again.memory_per_device == first.memory_per_device
    cold = planner.estimate(plan=read, prefix_hit_rate=0.0)
    assert cold.performance.ttft_seconds.value > 2 * first.performance.ttft_seconds.value
    assert cold.workload.isl == first.workload.isl
    other = planner.estimate(plan=read, workload="chat")
    assert (other.workload.preset, other.workload.prefix_hit_rate) == ("chat", 0.0)


def test_a_loop_of_requests_takes_the_same_workload() -> None:
    found = planner.serve("llama-3.1-8b", "h100-sxm", devices=1, workload="agent", concurrency=4)
    assert (found.isl, found.osl) == (32768, 1024)
    cold = planner.serve(
        "llama-3.1-8b", "h100-sxm", devices=1, workload="agent", concurrency=4, prefix_hit_rate=0.0
    )
    assert found.point is not None
    assert cold.point is not None
    assert found.point.ttft_seconds < 0.5 * cold.point.ttft_seconds
    assert [a.value for a in found.assumptions if a.key == "prefix cache"] == [
        "29491 of 32768 prompt tokens are not computed"
    ]
