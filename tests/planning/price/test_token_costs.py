"""Costs of output tokens: of a plan, and of many estimates at once."""

from dataclasses import replace

import numpy as np
import pytest
from support.questions import found_of

from planner.lookup import load_device, load_model
from planner.planning.plan.record import Estimate
from planner.planning.price.estimate_batch import EstimateBatch
from planner.planning.price.estimates import estimate_batched
from planner.planning.price.intervals import performance
from planner.planning.price.price import price
from planner.planning.price.token_costs import activity_of, energy_of, usd_estimate
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.throughput.energy import activity, activity_arrays


def test_money_is_the_price_over_the_rate_and_as_sure_as_it() -> None:
    found = found_of()
    priced = price(found.space, found.candidate, found.segments)
    model = replace(
        found.space.model, question=replace(found.space.model.question, price_per_hour=7.2)
    )
    done = performance(model, priced, 3)
    usd, rate = done.usd_per_million_output_tokens, done.output_tokens_per_second_per_device
    assert usd is not None
    assert usd.value == pytest.approx(7.2 / 3600 / rate.value * 1e6)
    assert usd.low == pytest.approx(7.2 / 3600 / rate.high * 1e6)
    assert usd.high == pytest.approx(7.2 / 3600 / rate.low * 1e6)
    assert usd.low < usd.value < usd.high
    assert usd.basis == rate.basis
    double = usd_estimate(14.4, priced.layout.ranks, priced.rate, rate)
    assert double is not None
    assert double.value == pytest.approx(2 * usd.value)


def test_nothing_is_said_of_what_is_not_known() -> None:
    found = found_of()
    priced = price(found.space, found.candidate, found.segments)
    question = found.space.model.question
    silent = replace(
        question, price_per_hour=None, device=replace(question.device, power_watts=None)
    )
    assert (
        usd_estimate(silent.price_per_hour, 1, 100.0, Estimate(100.0, 90.0, 110.0, "prior")) is None
    )
    assert energy_of(silent, priced) is None


def test_energy_in_a_plan_is_that_of_its_activity() -> None:
    found = found_of()
    priced = price(found.space, found.candidate, found.segments)
    done = performance(found.space.model, priced, 1).joules_per_output_token
    limit = found.space.model.question.device.power_watts
    assert done is not None
    assert limit is not None
    assert 0 < activity_of(priced) <= 1
    most = limit.value * priced.layout.ranks * priced.tpot / priced.batch
    assert 0.12 * most < done.value < most
    assert done.low < done.value < done.high
    assert done.basis == "prior"


def test_activity_of_arrays_is_that_one_by_one() -> None:
    names = ("compute", "memory", "launch", "communication", "conversion", "quantise", "busy")
    kernels = [
        ({name: 0.1 * (i + 1) * (k + 1) % 0.7 for i, name in enumerate(names)}, k + 1.0)
        for k in range(3)
    ]
    arrays = [
        ({name: np.array([value, 2 * value]) for name, value in parts.items()}, count)
        for parts, count in kernels
    ]
    assert activity_arrays(arrays) == pytest.approx([activity(kernels)] * 2, rel=1e-12)
    assert activity_arrays([]) == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("name", "device"), [("deepseek-v2-lite", "h100-sxm"), ("llama-3.2-1b", "xeon-6980p")]
)
def test_activity_of_many_estimates_is_that_of_each(name: str, device: str) -> None:
    question = build_question(
        load_model(name),
        load_device(device),
        GivenValues(kv="bf16"),
        None,
        uniform="bf16",
        given=None,
    )
    asks = EstimateBatch.of(tp=[1], dp=[1], pp=[1], ep=[1], batch=[1, 8, 64], isl=[512], osl=[128])
    found = estimate_batched(build_model(question, load_prior()), asks)
    for i, batch in enumerate((1, 8, 64)):
        one = found_of(
            name,
            device,
            uniform="bf16",
            context=640,
            isl=512,
            osl=128,
            batch=batch,
            tp=1,
            dp=1,
            pp=1,
            ep=1,
            devices=1,
            kv="bf16",
        )
        priced = price(one.space, one.candidate, one.segments)
        assert found.tpot_seconds[i] == pytest.approx(priced.tpot, rel=1e-9)
        assert found.activity[i] == pytest.approx(activity_of(priced), rel=1e-9)
