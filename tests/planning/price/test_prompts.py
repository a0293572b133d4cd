"""What prompts cost the step that they interrupt, and the queue before the first token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.lookup import load_device, load_model
from planner.placement.layout import Layout
from planner.planning.engines.prefill_chunks import COMMON
from planner.planning.inspect.priced_input import price_uniform
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.step import pass_seconds, rank_points
from planner.planning.price.step_prices import StepPrices, step_prices
from planner.planning.question.input import QuestionInput
from planner.planning.space.kernel_times import prompt_passes, with_prompts
from planner.quality.prior import load_prior
from planner.throughput.engine_policy import prompt_host
from planner.throughput.points import decode_phase, mixed_phase
from planner.throughput.queueing import closed_loop_wait
from tests.support.theory import estimate, plan


@given(st.floats(0, 4), st.integers(1, 20_000))
def test_a_step_is_never_more_than_one_mixed_pass(arriving: float, isl: int) -> None:
    weight, reads = (float(a[0]) for a in prompt_passes(np.array([arriving]), isl, COMMON))
    passes = -(-isl // COMMON)
    assert 0 <= weight * passes <= 1 + 1e-15
    assert reads >= 1
    assert weight * reads == pytest.approx(arriving)
    assert reads == 1 or weight == 1 / passes


def added_up(**work: Any) -> StepPrices:
    """What a search adds up of uniform BF16 on one device [s]."""
    inputs = QuestionInput(model="llama-3.1-8b", device="h100-sxm", devices=1, tp=1, **work)
    result = price_uniform(replace(inputs, engine="any"), "bf16")
    space, c = result.space, np.array([result.candidate])
    return step_prices(space.model, space.times, space.pts.take(c), result.segments, space.rows[c])


@pytest.mark.parametrize(("batch", "osl"), [(64, 16), (16, 64), (256, 1)])
def test_many_prompts_a_step_are_one_pass(batch: int, osl: int) -> None:
    """TPOT against T(n, B) of one pass over the model, n prompts in each."""
    isl = 1024
    found = added_up(isl=isl, osl=osl, batch=batch, kv="fp8").tpot.item()
    assignment = recipe_assignment(
        load_model("llama-3.1-8b"),
        load_device("h100-sxm"),
        Layout(),
        SchemeSet("bf16", "bf16", "fp8"),
        load_prior(),
        isl=isl,
        osl=osl,
    )
    n = batch / osl
    at = rank_points(assignment, np.array([float(batch)]))
    mixed = mixed_phase(at, isl + osl / 2, isl, COMMON, max(n, 1.0))
    decode, full = (
        float(pass_seconds(assignment, at, phase).total[0])
        for phase in (decode_phase(at, isl + osl / 2), mixed)
    )
    assert found == pytest.approx(decode + min(n, 1.0) * (full - decode), rel=1e-6)


@pytest.mark.parametrize(("batch", "osl"), [(64, 16), (256, 1), (8, 256)])
def test_a_faster_memory_never_serves_less_of_many_prompts(batch: int, osl: int) -> None:
    """More than one prompt a step once gave decoding a negative weight. A token may take longer:
    where prompts are read sooner, more requests decode."""
    device = load_device("xeon-6980p")
    faster = replace(
        device,
        bandwidth_bytes_per_s=replace(
            device.bandwidth_bytes_per_s, value=2 * device.bandwidth_bytes_per_s.value
        ),
    )
    slow, fast = (
        estimate(
            "olmoe-1b-7b", one, scheme="int8-w8a16", devices=1, tp=1, batch=batch, isl=1024, osl=osl
        ).performance.output_tokens_per_second.value
        for one in (device, faster)
    )
    assert fast >= slow


@given(st.floats(0, 1), st.integers(1, 8), st.floats(1e-4, 1), st.floats(1e-4, 10))
def test_prompts_never_shorten_a_step(
    weight: float,
    passes: int,
    step: float,
    mixed: float,
) -> None:
    found = float(with_prompts(np.array(step), np.array(mixed), np.array(weight), float(passes)))
    assert found >= step
    assert found == pytest.approx(step + weight * max(mixed - passes * step, 0))


def test_a_choice_that_is_impossible_stays_so() -> None:
    found = with_prompts(np.array([np.inf, 1.0]), np.array([np.inf, 3.0]), np.array(0.5), 1.0)
    assert found[0] == np.inf
    assert found[1] == 2.0


@given(st.floats(0, 2), st.floats(1e-3, 10), st.integers(1, 512))
def test_the_queue_grows_with_load_and_stays_within_the_loop(
    busy: float, service: float, sequences: int
) -> None:
    wait = float(closed_loop_wait(np.array(busy), np.array(service), np.array(sequences)))
    busier = float(closed_loop_wait(np.array(busy * 1.2), np.array(service), np.array(sequences)))
    assert 0 <= wait <= (sequences - 1) / 2 * service + 1e-12
    assert busier >= wait


def test_one_sequence_never_waits() -> None:
    assert closed_loop_wait(np.array(0.9), np.array(1.0), np.array(1)) == 0


@pytest.mark.exhaustive
def test_a_limit_on_ttft_holds_with_its_queue() -> None:
    free = plan("llama-3.1-8b", "h100-sxm", devices=1, isl=4096, osl=256)
    limit = 0.8 * free.performance.ttft_seconds.value
    tight = plan("llama-3.1-8b", "h100-sxm", devices=1, isl=4096, osl=256, ttft_seconds=limit)
    assert tight.performance.ttft_seconds.value <= limit * (1 + 1e-9)
    rate = tight.performance.output_tokens_per_second.value
    assert rate <= free.performance.output_tokens_per_second.value * (1 + 1e-9)


@pytest.mark.exhaustive
def test_long_answers_pay_less_for_their_prompts() -> None:
    def share(osl: int) -> float:
        found = plan("llama-3.1-8b", "h100-sxm", devices=1, isl=2048, osl=osl, batch=32)
        text = next(a.value for a in found.assumptions if a.key == "prefill interruption")
        number, unit = text.split()[:2]
        seconds = float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit]
        return seconds / found.performance.tpot_seconds.value

    assert share(128) > 2 * share(1024) > 0


def test_what_the_search_adds_up_is_whole_passes() -> None:
    """The additive units of a plan against T(0, B) and T(I, B) of one pass over the model."""
    isl, osl, batch = 3000, 1000, 16
    found = added_up(isl=isl, osl=osl, batch=batch)
    assignment = recipe_assignment(
        load_model("llama-3.1-8b"),
        load_device("h100-sxm"),
        Layout(),
        SchemeSet("bf16", "bf16", "bf16"),
        load_prior(),
        isl=isl,
        osl=osl,
    )
    at = rank_points(assignment, np.array([float(batch)]))
    decode, mixed = (
        float(pass_seconds(assignment, at, phase).total[0])
        for phase in (
            decode_phase(at, isl + osl / 2),
            mixed_phase(at, isl + osl / 2, isl, COMMON),
        )
    )
    tpot = decode + batch / osl * (mixed - decode)
    busy = 1 - decode / tpot
    wait = busy / (2 * (1 - busy)) * mixed
    host = float(prompt_host("any", "", "h100-sxm", experts=False).handling_seconds)
    assert found.tpot.item() == pytest.approx(tpot, rel=1e-6)
    assert found.ttft.item() - host == pytest.approx(mixed + wait, rel=1e-6)
    assert found.interruption.item() == pytest.approx(tpot - decode, rel=1e-6)


def test_a_device_without_fits_has_the_interval_of_a_prior() -> None:
    time = estimate("llama-3.1-8b", "xeon-platinum-8480", devices=1, batch=1).performance
    assert time.tpot_seconds.basis == "prior"
    assert time.tpot_seconds.high / time.tpot_seconds.value == pytest.approx(1.6, rel=0.06)
    below = time.tpot_seconds.value**2 / time.tpot_seconds.high
    assert below < time.tpot_seconds.low < time.tpot_seconds.value  # cut at its memory's bandwidth
