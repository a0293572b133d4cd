"""Physical limits: no interval reaches beyond them, no estimate lies beyond them."""

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.choices import choice_of
from support.questions import found_of, model_of

from planner.lookup import load_device, load_model
from planner.models.inventory import Inventory
from planner.placement.layout import Layout
from planner.planning.price.intervals import limits_of, performance
from planner.planning.price.physical_limits import LeastWork, least_work, physical_limits
from planner.planning.price.price import price
from planner.planning.price.served_sigmas import Sigmas, cut, ends_of, interval
from tests.support.theory import estimate

values = st.floats(1e-6, 1e6)
sigmas = st.floats(0.0, 3.0)
ONE = 1 + 1e-9


@given(values, sigmas, values, values)
@example(0.525, 2.426, 0.113, 1.0)
def test_an_interval_holds_its_estimate_and_ends_at_its_limits(
    value: float, sigma: float, least: float, most: float
) -> None:
    low, high = interval(value, sigma)
    assert low <= value <= high
    slow, fast = interval(value, sigma, least=least), interval(value, sigma, most=most)
    assert slow[1] == high
    assert fast[0] == low
    assert slow[0] == pytest.approx(max(low, min(least, value)))
    assert fast[1] == pytest.approx(min(high, max(most, value)))
    assert slow[0] <= value <= fast[1] * ONE
    assert cut(value, low, high, least=least, most=most) == (slow[0], fast[1])


@given(
    st.builds(LeastWork, *[st.floats(1e-6, 1e-2)] * 4, st.just(0.0)),
    st.sampled_from([Layout(), Layout(8), Layout(2, pp=4), Layout(1, 8, 1, 8)]),
    st.integers(1, 512),
    st.integers(1, 100_000),
    st.integers(1, 4096),
    st.integers(0, 7),
    st.floats(1.0, 100.0),
    st.floats(0.0, 3.0),
)
def test_whatever_is_slower_than_its_limits_has_ends_within_them(
    work: LeastWork,
    layout: Layout,
    requests: int,
    read: int,
    made: int,
    drafts: int,
    slower: float,
    sigma: float,
) -> None:
    limits = physical_limits(work, layout, requests, read, made, verified=drafts + 1.0)
    ttft, tpot, rate = limits.ttft * slower, limits.tpot * slower, limits.rate / slower
    tokens, firsts, rates = ends_of(tpot, ttft, rate, Sigmas(sigma, sigma, sigma), limits)
    assert limits.tpot / ONE <= tokens[0] <= tpot <= tokens[1]
    assert limits.ttft / ONE <= firsts[0] <= ttft <= firsts[1]
    assert rates[0] <= rate <= rates[1] <= limits.rate * ONE
    # A closed loop at its least times is no faster than the most, nor are its devices.
    assert requests * made / (limits.ttft + made * limits.tpot) * ONE >= limits.rate
    busy = (read + made - 1) * (work.dense_products + work.expert_products)
    assert limits.rate * busy <= made * layout.ranks * ONE


@pytest.mark.parametrize("tp", [1, 2, 8])
def test_a_prompt_is_two_flop_a_parameter_and_token_at_the_peak(tp: int) -> None:
    """Counted from the inventory of the model's tensors."""
    plan = estimate("qwen3-32b", "h100-sxm", scheme="fp8-block", devices=tp, tp=tp, batch=1)
    model = model_of("qwen3-32b", "h100-sxm", uniform="fp8-block", batch=1)
    spec, device = load_model("qwen3-32b"), load_device("h100-sxm")
    active = Inventory(spec).parameters_active["without_embedding_and_head"]
    rate = device.rate("fp8")
    assert rate is not None
    seconds = 2.0 * active * plan.workload.isl / (tp * rate.dense.value)
    found = found_of("qwen3-32b", "h100-sxm", uniform="fp8-block", batch=1)
    work = least_work(model, found.segments)
    assert work.prompt_seconds(Layout(tp), plan.workload.isl) == pytest.approx(seconds, rel=2e-3)
    weights = active + spec.vocab_size * spec.hidden_size * 2
    step = weights / tp / device.bandwidth_bytes_per_s.value
    assert work.step_seconds(Layout(tp)) == pytest.approx(step, rel=0.02)


ASKED = [
    ("qwen3-32b", "h100-sxm", "fp8-block", 2),
    ("llama-3.1-8b", "rtx-4090", "int4-w4a16", 1),
    ("qwen3-30b-a3b", "apple-m4-max", "ggml-q4_k", 1),
    ("deepseek-v3", "h200-sxm", "fp8-block", 8),
    ("gpt-oss-20b", "b200-sxm", None, 1),
    ("qwen2.5-0.5b", "xeon-platinum-8480", "bf16", 1),
]


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize(("model", "device", "scheme", "devices"), ASKED)
def test_estimates_lie_within_the_limits_of_their_devices(
    model: str, device: str, scheme: str | None, devices: int, batch: int
) -> None:
    for isl in (64, 1500):
        asked = {"devices": devices, "isl": isl, "osl": 128, "context": 2048, "batch": batch}
        found = found_of(model, device, uniform=scheme, **asked)
        priced = price(found.space, found.candidate, found.segments)
        limits = limits_of(found.space.model, priced)
        assert 0 < limits.ttft < priced.ttft
        assert 0 < limits.tpot < priced.tpot
        assert priced.rate < limits.rate < math.inf
        perf = performance(found.space.model, priced, 1)
        assert limits.ttft <= perf.ttft_seconds.low < perf.ttft_seconds.value
        assert limits.tpot <= perf.tpot_seconds.low < perf.tpot_seconds.value
        rate = perf.output_tokens_per_second
        assert rate.value < rate.high <= limits.rate


def test_a_plan_that_nobody_measured_is_no_faster_than_its_devices() -> None:
    """Unmeasured, its interval would reach below the products of its own prompt."""
    found = choice_of("qwen3-32b", "h100-sxm", devices=2, engine="sglang", context=8192).result()
    model = found.space.model
    priced = price(found.space, found.candidate, found.segments)
    limits, perf = limits_of(model, priced), performance(model, priced, 1)
    assert perf.ttft_seconds.low == limits.ttft < perf.ttft_seconds.value
    assert perf.tpot_seconds.low >= limits.tpot
    assert perf.output_tokens_per_second.high <= limits.rate
    assert perf.ttft_seconds.high > perf.ttft_seconds.value**2 / perf.ttft_seconds.low


def test_drafted_tokens_may_all_be_accepted() -> None:
    work = LeastWork(1e-5, 0.0, 1e-2, 0.0, 0.0)
    plain = physical_limits(work, Layout(), 1, 1000, 100)
    drafted = physical_limits(work, Layout(), 1, 1000, 100, verified=3.0)
    assert drafted.tpot == pytest.approx(plain.tpot / 3.0)
    assert drafted.ttft == plain.ttft
    assert drafted.rate > plain.rate


def test_what_the_last_cache_holds_is_not_read_again() -> None:
    work = LeastWork(1e-5, 0.0, 1e-2, 0.0, 4e-3)
    assert work.step_seconds(Layout()) == pytest.approx(6e-3)
    assert work.step_seconds(Layout(pp=2)) == pytest.approx(2e-3)
    assert replace(work, cached=1.0).step_seconds(Layout()) == 0.0
