"""Many estimates at once are the estimates one by one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from math import fsum
from typing import Any

import numpy as np
import pytest

from planner.base.errors import InfeasibleError, InputError
from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.placement.modules import EXPERT_KINDS
from planner.planning.plan.record import Plan
from planner.planning.price.estimate_batch import EstimateBatch
from planner.planning.price.estimates import BATCH as UNEVEN
from planner.planning.price.estimates import (
    CHOICE,
    LAYOUT,
    MEMORY,
    TPOT,
    TTFT,
    WORKLOAD,
    estimate_batched,
)
from planner.planning.price.intervals import BASES
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.space import operators
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior
from planner.throughput import linear
from tests.support.theory import estimate

LAYOUTS = ((1, 1, 1, 1), (2, 1, 1, 1), (1, 1, 4, 1), (2, 1, 2, 2), (1, 4, 1, 4), (2, 2, 1, 1))
CASES = [
    ("llama-3.2-1b", "h100-sxm", "fp8-tensor", "fp8", ""),
    ("llama-3.2-1b", "xeon-6980p", "int8-w8a8", "bf16", ""),
    ("deepseek-v2-lite", "h100-sxm", "fp8-block", "bf16", ""),
    ("deepseek-v2-lite", "b200-sxm", "", "bf16", "vllm"),
    ("gemma-3-1b", "l40s", "bf16", "bf16", ""),
]


@cache
def model_of(name: str, device: str, scheme: str, kv: str, engine: str) -> CostModel:
    server = parse_engine(engine) if engine else None
    question = build_question(
        load_model(name),
        load_device(device),
        GivenValues(kv=kv),
        None,
        uniform=scheme,
        given=None,
        engine=server,
    )
    return build_model(engine_questions(question, in_one_mode=True)[0], load_prior())


def one_by_one(
    case: tuple[str, str, str, str, str],
    asks: EstimateBatch,
    i: int,
    **limits: float,
) -> Plan | None:
    name, device, scheme, kv, engine = case
    tp, dp, pp, ep = (int(getattr(asks, axis)[i]) for axis in ("tp", "dp", "pp", "ep"))
    try:
        return estimate(
            name,
            device,
            scheme=scheme or None,
            kv=kv,
            engine=engine or "any",
            devices=tp * dp * pp * int(asks.replicas[i]),
            tp=tp,
            dp=dp,
            pp=pp,
            ep=ep,
            batch=int(asks.batch[i]),
            context=int(asks.context[i]),
            isl=int(asks.isl[i]),
            osl=int(asks.osl[i]),
            **limits,
        )
    except (InfeasibleError, InputError):
        return None


def asks_of(devices: int) -> EstimateBatch:
    rows = [
        (*la, batch, isl, osl)
        for la, batch, (isl, osl) in itertools.product(
            LAYOUTS, (4, 6, 64), ((96, 32), (3000, 50), (20000, 1))
        )
        if la[0] * la[1] * la[2] <= devices
    ]
    tp, dp, pp, ep, batch, isl, osl = np.array(rows).T
    return EstimateBatch.of(tp=tp, dp=dp, pp=pp, ep=ep, batch=batch, isl=isl, osl=osl, replicas=[2])


@pytest.mark.sample(2)
@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(c[:3]))
def test_equal_to_estimates_one_by_one(case: tuple[str, str, str, str, str]) -> None:
    asks = asks_of(8)
    found = estimate_batched(model_of(*case), asks)
    assert found.fits.any()
    for i in range(0, len(asks), 5):
        plan = one_by_one(case, asks, i)
        assert (plan is not None) == bool(found.fits[i]), (i, int(found.reason[i]))
        if plan is None:
            continue
        perf, memory = plan.performance, plan.memory_per_device
        for mine, theirs in (
            (found.tpot_seconds, perf.tpot_seconds.value),
            (found.ttft_seconds, perf.ttft_seconds.value),
            (found.output_tokens_per_second, perf.output_tokens_per_second.value),
            (
                found.output_tokens_per_second_per_device,
                perf.output_tokens_per_second_per_device.value,
            ),
        ):
            assert mine[i] == pytest.approx(theirs, rel=1e-12)
        for ends, basis, one in (
            (found.tpot_ends, found.tpot_basis, perf.tpot_seconds),
            (found.ttft_ends, found.ttft_basis, perf.ttft_seconds),
            (found.throughput_ends, found.tpot_basis, perf.output_tokens_per_second),
        ):
            assert ends[:, i].tolist() == pytest.approx([one.low, one.high], rel=1e-9)
            assert BASES[basis[i]] == one.basis
        assert (
            found.weights_bytes[i],
            found.kv_cache_bytes[i],
            found.activation_bytes[i],
            found.runtime_bytes[i],
            found.total_bytes[i],
        ) == (
            memory.weights_bytes,
            memory.kv_cache_bytes,
            memory.activation_bytes,
            memory.runtime_bytes,
            memory.total_bytes,
        )
        assert found.loss[i] == pytest.approx(fsum(u.loss for u in plan.units), rel=1e-12)


def test_every_reason_is_told() -> None:
    model = model_of("deepseek-v2-lite", "h100-sxm", "fp8-block", "bf16", "")
    asks = EstimateBatch.of(
        tp=[3, 1, 1, 8, 1],
        dp=[1, 1, 4, 1, 1],
        pp=[1],
        ep=[1],
        batch=[8, 8, 6, 8, 8],
        isl=[100, 10**9, 100, 100, 100],
        osl=[10],
    )
    reasons = estimate_batched(model, asks).reason
    assert reasons.tolist() == [LAYOUT, WORKLOAD, UNEVEN, CHOICE, 0]
    full = estimate_batched(
        model,
        EstimateBatch.of(tp=[1], dp=[1], pp=[1], ep=[1], batch=[100_000], isl=[900], osl=[100]),
    )
    assert full.reason.tolist() == [MEMORY]
    assert full.total_bytes[0] > model.question.usable_bytes
    assert np.isfinite(full.tpot_seconds).all()


@pytest.mark.sample(1)
@pytest.mark.parametrize("pp", [1, 2])
@pytest.mark.parametrize("limit", ["tpot_seconds", "ttft_seconds"])
def test_limits_hold_where_the_estimate_holds_them(limit: str, pp: int) -> None:
    case = CASES[2]
    model = model_of(*case)
    asks = EstimateBatch.of(
        tp=[1], dp=[1], pp=[pp], ep=[1], batch=[2, 16, 64, 256], isl=[2000], osl=[100]
    )
    free = estimate_batched(model, asks)
    at = float(np.sort(getattr(free, limit))[1]) * 1.1
    found = estimate_batched(replace(model, question=replace(model.question, **{limit: at})), asks)
    single = [one_by_one(case, asks, i, **{limit: at}) is not None for i in range(4)]
    assert found.fits.tolist() == single
    assert 0 < sum(single) < 4
    assert found.reason[~found.fits].tolist() == [TPOT if limit == "tpot_seconds" else TTFT] * (
        4 - sum(single)
    )


def test_a_free_choice_is_refused() -> None:
    question = build_question(
        load_model("llama-3.2-1b"),
        load_device("h100-sxm"),
        GivenValues(),
        None,
        uniform=None,
        given=None,
    )
    with pytest.raises(InputError, match="may take"):
        estimate_batched(
            build_model(question, load_prior()),
            EstimateBatch.grid(tp=[1], dp=[1], pp=[1], ep=[1], batch=[1], isl=[8], osl=[8]),
        )


def test_columns_of_other_lengths_are_refused() -> None:
    good = EstimateBatch.grid(tp=[1], dp=[1], pp=[1], ep=[1], batch=[1, 2], isl=[8], osl=[8])
    with pytest.raises(InputError, match="columns"):
        replace(good, isl=good.isl[:1])
    with pytest.raises(InputError, match="out of range"):
        replace(good, batch=np.array([0, 1]))


def test_operators_are_asked_as_often_for_many_as_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"gemm": 0, "experts": 0}
    gemm, experts = linear.gemm_parts, operators.expert_parts

    def counted(name: str, run: Any) -> Any:
        def one(*args: Any, **named: Any) -> Any:
            calls[name] += 1
            return run(*args, **named)

        return one

    monkeypatch.setattr(linear, "gemm_parts", counted("gemm", gemm))
    monkeypatch.setattr(operators, "expert_parts", counted("experts", experts))
    model = model_of("deepseek-v2-lite", "h100-sxm", "fp8-block", "bf16", "")
    found = []
    for batches, prompts in (((4,), (100,)), (range(1, 65), range(100, 4100, 100))):
        estimate_batched(
            model,
            EstimateBatch.grid(
                tp=[1, 2], dp=[1], pp=[1], ep=[1], batch=list(batches), isl=list(prompts), osl=[100]
            ),
        )
        found.append(dict(calls))
        calls |= dict.fromkeys(calls, 0)
    assert found[0] == found[1]
    kinds = {(u.role, u.row): u.kind for u in model.units if u.role == "module"}.values()
    # Once for the kernels that a search adds up, once for the table of the closed loop.
    assert found[0]["experts"] == 2 * sum(kind in EXPERT_KINDS for kind in kinds) == 4
