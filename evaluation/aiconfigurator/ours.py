"""Our answers as a new process gives them, and our prices of any configuration."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

from evaluation.aiconfigurator.given_pools import PoolsPrice, best_uniform, given_price
from evaluation.aiconfigurator.plans import Configured, SideWorker
from evaluation.aiconfigurator.questions import ServiceLevel, SideQuestion
from planner import estimate
from planner.base.errors import PlannerError
from planner.planning.plan.record import Plan
from planner.planning.plan.schema import parse_plan


def planned(
    question: SideQuestion,
    level: ServiceLevel,
    mode: str,
    *flags: str,
) -> tuple[Plan | None, float, str]:
    """(the plan that the command line prints, CPU seconds of its process, why there is none)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "planner",
            "plan",
            question.our_model,
            question.device,
            "--devices",
            str(question.devices),
            "--engine",
            question.our_engine,
            "--isl",
            str(question.isl),
            "--osl",
            str(question.osl),
            "--ttft-ms",
            f"{level.ttft_ms:g}",
            "--tpot-ms",
            f"{level.tpot_ms:g}",
            "--mode",
            mode,
            "--json",
            "--quiet",
            *flags,
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 0:
        return None, cpu, done.stderr.strip().splitlines()[0]
    return parse_plan(json.loads(done.stdout)), cpu, ""


def told(tokens: float, devices: int, tpot: float, ttft: float, **more: Any) -> dict[str, Any]:
    """A price as it is kept: tokens/s of one device and milliseconds."""
    return {
        "tokens_per_second_per_device": tokens / devices,
        "tpot_ms": 1e3 * tpot,
        "ttft_ms": 1e3 * ttft,
        **more,
    }


def price_of_plan(plan: Plan) -> dict[str, Any]:
    """What a plan says of itself."""
    perf = plan.performance
    return told(
        perf.output_tokens_per_second.value,
        plan.device.count,
        perf.tpot_seconds.value,
        perf.ttft_seconds.value,
    )


def price(question: SideQuestion, level: ServiceLevel, given: Configured) -> dict[str, Any]:
    """What the planner says of a configuration in the scheme of their checkpoint."""
    shards = next((one.cp for one in given.parts if one.cp > 1), 1)
    if shards > 1:
        return {"refused": f"context parallelism over {shards} devices is not modelled"}
    try:
        if given.mode == "disagg":
            found = given_price(question, level, given)
            return told(
                found.tokens_per_second,
                given.devices,
                found.tpot_seconds,
                found.ttft_seconds,
                limit=found.limit,
            )
        assert given.worker is not None
        one = given.worker
        plan = estimate(
            question.our_model,
            question.device,
            scheme=question.scheme,
            kv=given.kv,
            devices=given.devices,
            tp=one.tp,
            dp=one.dp,
            pp=one.pp,
            ep=one.ep or None,
            batch=one.batch * one.dp,
            isl=question.isl,
            osl=question.osl,
            engine=question.our_engine,
            tpot_seconds="none",
        )
        return price_of_plan(plan)
    except PlannerError as error:
        return {"refused": error.message}


def best_alike(
    question: SideQuestion,
    level: ServiceLevel,
    kv: str,
) -> list[tuple[Configured, dict[str, Any]]]:
    """Our best of each mode in their formats: workers that do both, pools."""
    found = []
    formats = {"kv": kv}
    try:
        plan = estimate(
            question.our_model,
            question.device,
            scheme=question.scheme,
            kv=kv,
            devices=question.devices,
            isl=question.isl,
            osl=question.osl,
            engine=question.our_engine,
            ttft_seconds=level.ttft_ms / 1e3,
            tpot_seconds=level.tpot_ms / 1e3,
        )
        la = plan.layout
        worker = SideWorker(
            la.replicas, la.tp, la.dp, la.pp, _ep(plan, la.ep), plan.workload.batch // la.dp
        )
        found.append((Configured("agg", {}, kv, (), worker=worker), price_of_plan(plan)))
    except PlannerError:
        pass
    pools = best_uniform(question, level, formats["kv"])
    if pools is not None:
        found.append(_pooled(pools, kv))
    return found


def _ep(plan: Plan, ep: int) -> int:
    return ep if any(unit.kind.startswith("experts") for unit in plan.units) else 0


def _pooled(price: PoolsPrice, kv: str) -> tuple[Configured, dict[str, Any]]:
    pools = price.pools
    workers = []
    for one, count in (
        (pools.reading, pools.prefill_workers),
        (pools.decoding, pools.decode_workers),
    ):
        assert one.assignment is not None
        la = one.assignment.space.layout(one.assignment.candidate)
        batch = len(one.group) if hasattr(one, "group") else one.low
        experts = one.pool.question.spec.experts is not None
        workers.append(SideWorker(count, la.tp, la.dp, la.pp, la.ep if experts else 0, batch))
    given = Configured("disagg", {}, kv, (), prefill=workers[0], decode=workers[1])
    return given, told(
        price.tokens_per_second,
        given.devices,
        price.tpot_seconds,
        price.ttft_seconds,
        limit=price.limit,
    )
