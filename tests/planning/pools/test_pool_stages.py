"""Workers of pools in pipelines: one law with aggregated ranks, by stage memory and caches."""

import json
from dataclasses import replace
from functools import cache
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_questions import model_named

import planner
from planner.base.errors import UnsupportedError
from planner.lookup import load_model
from planner.planning.plan.record import Plan
from planner.planning.pools.candidates import prefill_space, prompt_counts, prompts_per_pass
from planner.planning.pools.cases import pool_question, pool_spaces
from planner.planning.pools.find_pools import (
    PoolsQuestion,
    demand_of,
    device_budget,
    find_pools,
)
from planner.planning.pools.handover import handover, stage_bytes
from planner.planning.pools.search import PoolSearch, TwoPools
from planner.planning.pools.stages import (
    seconds_after_slowest,
    step_seconds,
    worker_price,
    worker_steps,
)
from planner.planning.price.price import price
from planner.planning.price.served import serving_policy
from planner.planning.price.step_prices import pass_sums
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_link import PoolLink
from planner.planning.question.question import Question
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.candidates import build_space, decode_only
from planner.planning.space.layouts import possible_layouts
from planner.planning.space.memory import budget, tables_and_stages
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.smallest import least_bytes
from planner.quality.prior import load_prior
from planner.report.render.plan_text import plan_text
from planner.sizing.rank import served_rank
from planner.throughput.pool_rates import MOST_BUSY, PrefillRates
from planner.throughput.pools import PrefillPoolState
from tests.support import theory

LINK = PoolLink(50e9, "given", "test")


def questions(pp: int | None, **given: Any) -> tuple[Question, ...]:
    asked = {"devices": 4, "engine": "sglang", "isl": 2048, "osl": 256, "pp": pp, **given}
    inputs = QuestionInput("qwen3-0.6b", "h100-sxm", schemes=("bf16",), kv="bf16", **asked)
    return tuple(inputs.questions())


@cache
def pools(pp: int | None, engine: str = "sglang") -> TwoPools:
    choice = find_pools(questions(pp, engine=engine), PoolsQuestion(exact=True)).choice
    assert choice is not None
    return choice.option.pools


@pytest.mark.parametrize("engine", ["sglang", "tensorrt-llm", "any"])
def test_a_decode_worker_is_a_rank_of_the_closed_loop(engine: str) -> None:
    worker = pools(2, engine).decoding
    found = worker.assignment
    assert found is not None
    question, layout = found.space.model.question, found.space.layout(found.candidate)
    requests = worker.high * layout.dp * 2
    times = worker_steps(
        found.space, found.candidate, found.segments, question, requests=requests, reading=1.0
    )
    rank = served_rank(
        times, serving_policy(question), question.workload.osl, layout.dp, worker.high * 2
    )
    assert (layout.pp, rank.slots, rank.ranks) == (2, worker.high, 2 * layout.dp)
    assert worker.seconds == pytest.approx(rank.bare(worker.high), rel=1e-9)
    osl = question.workload.osl
    assert worker.rate(osl) == pytest.approx(requests / (osl * rank.bare(worker.high)), rel=1e-9)
    slowest = found.solution.value
    assert worker.seconds >= 0.99 * slowest, "tables are linear between batches"
    assert worker.slack == pytest.approx(max(worker.seconds / slowest, 1.0))


@pytest.mark.parametrize("engine", ["sglang", "tensorrt-llm", "any"])
def test_a_prefill_worker_reads_at_the_pace_of_its_slowest_stage(engine: str) -> None:
    worker = pools(2, engine).reading
    found = worker.assignment
    assert found is not None
    question, ranks = found.space.model.question, float(worker.ranks)
    space, policy = found.space, serving_policy(question)
    sums = pass_sums(space.model, space.times, space.pts, found.segments, space.rows)
    floor = policy.prompt_floor_seconds / 2
    counts = prompt_counts(prompts_per_pass(question))
    slowest = np.interp(np.arange(1, counts[-1] + 1), counts, sums.step_of_stage)
    assert worker.group == pytest.approx(np.maximum(slowest, floor), rel=1e-9)
    reads = worker_steps(
        space, found.candidate, found.segments, question, requests=ranks, reading=ranks
    )
    assert reads.stages is not None
    assert worker.later == pytest.approx(reads.prompt - reads.stages.mixed[0], rel=1e-9)
    assert 0.4 * reads.prompt < worker.later < 0.6 * reads.prompt


def test_one_stage_is_priced_by_its_kernels_alone_as_before() -> None:
    one, given = pools(None), pools(1)
    for a, b in zip(one.assigned, given.assigned, strict=True):
        assert a.space.layout(a.candidate) == b.space.layout(b.candidate)
        assert (
            step_seconds(a.space, a.candidate, a.segments)
            == price(a.space, a.candidate, a.segments).tpot
        )
        assert seconds_after_slowest(a.space, a.candidate, a.segments) == 0.0
    assert (one.rate, one.value) == (given.rate, given.value)
    assert one.decoding.seconds == given.decoding.seconds == one.assigned[1].solution.value
    assert one.decoding.slack == 1.0
    assert one.reading.later == 0.0
    assert one.reading.group.tolist() == given.reading.group.tolist()
    rates = PrefillRates(np.array([1.0]), one.reading.group[None], np.array([np.inf]))
    shifted = replace(rates, later=np.array([0.0]))
    at, workers = np.array([[0.3 * rates.fastest[0]]]), np.array([1.0])
    assert rates.seconds(at, workers) == shifted.seconds(at, workers)


@given(
    group=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=6).map(np.cumsum),
    workers=st.integers(1, 4),
    later=st.floats(0.001, 1.0),
    limit=st.floats(0.01, 5.0),
    share=st.floats(0.05, 0.95),
)
def test_further_stages_take_of_what_a_prompt_may_take(
    group: np.ndarray, workers: int, later: float, limit: float, share: float
) -> None:
    """As many prompts as without them within what is left; each takes as much longer."""
    bare = PrefillRates(np.array([2.0]), group[None], np.array([np.inf]))
    staged, counts = replace(bare, later=np.array([later])), np.array([float(workers)])
    most = staged.within(np.array([limit + later]), counts)
    assert most == pytest.approx(bare.within(np.array([limit]), counts), rel=1e-6, abs=1e-9)
    rate = np.array([[share * workers * bare.fastest[0]]])
    assert staged.seconds(rate, counts) == pytest.approx(bare.seconds(rate, counts) + later)
    pool = PrefillPoolState(workers, workers * 2, len(group), tuple(group.tolist()), later)
    assert staged.seconds(rate, counts)[0, 0] == pytest.approx(
        pool.seconds(float(rate[0, 0]), 1e15), rel=1e-9
    )


def test_stages_send_their_caches_at_once() -> None:
    """80 layers × 8 heads × 128 × keys and values × 2 bytes × 7,168 tokens, by stage."""
    asked = theory.ask("llama-3.1-70b", "h100-sxm", devices=16).questions()[0]
    found = handover(asked, "bf16", (1, 8), LINK, indexer_fp8=False, stages=(1, 2, 3))
    layer = 8 * 128 * 2 * 2 * 7168
    assert found.sizes[1] == 80 * layer
    assert found.staged[1, 2] == 40 * layer
    assert found.staged[8, 3] == 27 * layer // 8, "the fullest of 27, 27 and 26"
    assert found.seconds(1, 1, (2, 2)) == found.seconds(1, 1) / 2
    assert found.seconds(1, 1, (2, 1)) == found.seconds(1, 1), "one rank takes what two send"
    assert found.rate(1, 4, 2) == pytest.approx(2 * found.rate(1, 4))
    assert found.bytes(1) == 80 * layer


@given(
    model=st.sampled_from(("llama-3.1-70b", "deepseek-v3", "qwen3-32b", "gpt-oss-120b")),
    tp=st.sampled_from((1, 2, 8)),
    stages=st.integers(1, 12),
    isl=st.integers(1, 20000),
)
def test_the_parts_of_a_cache_are_all_of_it(model: str, tp: int, stages: int, isl: int) -> None:
    spec = load_model(model)
    parts = stage_bytes(spec, "bf16", tp, stages, isl, indexer_fp8=False)
    (whole,) = stage_bytes(spec, "bf16", tp, 1, isl, indexer_fp8=False)
    assert len(parts) == stages
    assert sum(parts) == whole
    assert whole / stages <= max(parts) <= whole


@settings(deadline=None, max_examples=12)
@given(
    model=st.sampled_from(("llama-3.1-8b", "qwen3-32b", "deepseek-v2-lite")),
    sequences=st.sampled_from((8, 16, 64)),
)
def test_more_stages_never_add_to_the_fullest(model: str, sequences: int) -> None:
    """A worker's fullest rank, with as many sequences in all."""
    held = [fullest(model, pp, sequences // pp) for pp in (1, 2, 4)]
    assert held == sorted(held, reverse=True)
    assert held[0] > held[-1]


@cache
def fullest(model: str, pp: int, slot: int) -> int:
    question = theory.ask(
        model, "h200-sxm", devices=pp, tp=1, dp=1, pp=pp, schemes=("bf16",), kv="bf16"
    ).questions()[0]
    built = build_model(question, load_prior())
    tables, stages = tables_and_stages(built, possible_layouts(question))
    space = decode_only(build_space(built, tables, stages, [(0, slot)]))
    priced = worker_price(space, 0, only_segments(built))
    assert priced.batch == slot * pp
    return priced.fullest.total


def only_segments(model: CostModel) -> tuple[Segment, ...]:
    """The only assignment of a question with one scheme and one cache."""
    first = np.where(model.possible.any(axis=1), model.possible.argmax(axis=1), -1)
    decided = np.array([unit.decision >= 0 for unit in model.units])
    return tied_segments(model, np.where(decided, first, -1))


@pytest.mark.parametrize(("model", "isl"), [("synthetic-gqa-2", 5000), ("synthetic-moe-2", 4096)])
@pytest.mark.parametrize("devices", [4, 6])
def test_the_search_finds_the_best_of_all(model: str, isl: int, devices: int) -> None:
    """One scheme and one cache: every layout of two stages and every batch, by the rank's law."""
    question = small(model, isl, devices)
    ways = (question,)
    spaces, against = pool_spaces(ways, ways, LINK)
    assert not against
    search = PoolSearch(
        [one.shared() for one in spaces], device_budget(ways, ways), demand_of(question)
    )
    best = search.run()
    assert best is not None
    assert search.bound >= best.value * (1 - 1e-9)
    assert best.rate == pytest.approx(brute(pool_question(question)), rel=1e-9)


def small(model: str, isl: int, devices: int) -> Question:
    """A question whose workers hold a few sequences at the most."""
    asked = theory.ask(
        model_named(model),
        "h100-sxm",
        devices=devices,
        pp=2,
        schemes=("bf16",),
        kv="bf16",
        isl=isl,
        osl=64,
    ).questions()[0]
    built = build_model(pool_question(asked), load_prior())
    tables, stages = tables_and_stages(built, possible_layouts(built.question))
    pair = next(i for i, la in enumerate(tables.layouts) if la.ranks == 2)
    room = least_bytes(built, tables, stages[pair], pair, 6) + 1
    return replace(asked, tpot_seconds=None, memory_bytes=room)


def brute(question: Question) -> float:
    """Requests/s of the best pools, worker by worker."""
    model = build_model(question, load_prior())
    segments, policy, osl = only_segments(model), serving_policy(question), question.workload.osl
    layouts = possible_layouts(question)
    tables, stages = tables_and_stages(model, layouts)
    counts = prompt_counts(prompts_per_pass(question))
    over = handover(question, "bf16", (1, 2, 4), LINK, indexer_fp8=False, stages=(2,))
    reading = prefill_space(model, counts)
    assert reading is not None
    read: list[tuple[int, float]] = []
    for first in range(0, len(reading), len(counts)):
        layout = reading.layout(first)
        if price(reading, first, segments).fullest.total <= budget(question):
            passes = price(reading, first + len(counts) - 1, segments).tpot / 2
            fastest = layout.dp * prompts_per_pass(question) / passes
            sent = over.rate(layout.tp, layout.dp, 2)
            read.append((layout.ranks, min(MOST_BUSY * fastest, sent)))
    answered: list[tuple[int, float]] = []
    for i, layout in enumerate(layouts):
        for slot in count(1):
            space = decode_only(build_space(model, tables, stages, [(i, slot)]))
            if price(space, 0, segments).fullest.total > budget(question):
                break
            requests = float(slot * layout.dp * 2)
            times = worker_steps(space, 0, segments, question, requests=requests, reading=1.0)
            rank = served_rank(times, policy, osl, layout.dp, slot * 2)
            rate = requests / (osl * rank.bare(float(slot)))
            answered.append((layout.ranks, min(rate, over.rate(layout.tp, layout.dp, 2))))
    devices, best = max(question.sizes), 0.0
    for reads, mine in read:
        for answers, theirs in answered:
            for n in range(1, (devices - answers) // reads + 1):
                best = max(best, min(n * mine, (devices - n * reads) // answers * theirs))
    return best


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("vllm", "NixlConnector hands over no cache of pipeline stages"),
        ("sglang@0.5.6", "pipeline stages of decode workers came with #14945"),
    ],
)
def test_engines_that_hand_no_stages_over_are_refused(engine: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason) as error:
        planner.plan("qwen3-0.6b", "h100-sxm", devices=4, pp=2, engine=engine, mode="disaggregated")
    assert error.value.message.startswith("no engine serves pools")
    assert "--mode aggregated" in error.value.hint


@cache
def planned() -> Plan:
    return planner.plan(
        "llama-3.1-70b", "h100-sxm", devices=16, tp=4, pp=2, engine="sglang", mode="disaggregated"
    )


def test_a_plan_file_in_stages_comes_back_with_its_figures() -> None:
    plan = planned()
    again = planner.estimate(plan=planner.read_plan(json.loads(json.dumps(plan.to_dict()))))
    assert plan.deployment is not None
    assert again.deployment is not None
    one, two = plan.deployment, again.deployment
    assert (one.prefill.layout.pp, one.decode.layout.pp, plan.layout.pp) == (2, 2, 2)
    assert (two.prefill.layout, two.decode.layout) == (one.prefill.layout, one.decode.layout)
    for mine, theirs in (
        (plan.performance.tpot_seconds.value, again.performance.tpot_seconds.value),
        (plan.performance.ttft_seconds.value, again.performance.ttft_seconds.value),
        (one.decode.output_tokens_per_second, two.decode.output_tokens_per_second),
        (one.prefill.read_seconds, two.prefill.read_seconds),
        (one.prefill.memory_bytes, two.prefill.memory_bytes),
        (one.transfer.seconds, two.transfer.seconds),
        (one.transfer.bytes, two.transfer.bytes),
        (plan.memory_per_device.total_bytes, again.memory_per_device.total_bytes),
    ):
        assert theirs == pytest.approx(mine, rel=1e-9)


def test_a_plan_in_stages_says_what_it_is() -> None:
    plan = planned()
    pools = plan.deployment
    assert pools is not None
    assert plan.device.count == 16
    assert plan.workload.batch % 2 == 0
    assert pools.prefill.memory_bytes <= pools.prefill.usable_bytes
    # A prompt goes through both stages, which read others in the meantime.
    assert (
        pools.prefill.read_seconds
        > 1.5
        * (
            pools.prefill.workers
            * pools.prefill.utilisation
            / pools.decode.output_tokens_per_second
        )
        * plan.workload.osl
    )
    assert pools.transfer.seconds == pytest.approx(
        pools.transfer.bytes / (4 * 2) / pools.transfer.bytes_per_second
    )
    assert not pools.proved
    assert pools.bound >= pools.decode.output_tokens_per_second
    evidence = plan.performance.tpot_seconds.evidence
    assert evidence is not None
    assert evidence.level == "none"
    text = plan_text(plan, details=True)
    assert "TP4 PP2" in text
    assert any("pipeline stages of a prefill worker 2" in note.value for note in plan.assumptions)
    assert "optimum proved" not in text


def test_its_workers_start_with_stages() -> None:
    files = planner.export_plan(planned(), deploy="kubernetes").files
    words = files["kubernetes.yaml"].replace("- ", "").replace("'", "").split()
    stages = [after for word, after in pairwise(words) if word == "--pp-size"]
    assert len(stages) >= 2
    assert set(stages) == {"2"}


def test_an_engine_that_hands_no_stages_over_deploys_none() -> None:
    plan = planned()
    other = replace(plan, engine=replace(plan.engine, name="vllm", version="0.33.0"))
    with pytest.raises(UnsupportedError, match="the plan's have 2 and 2") as error:
        planner.export_plan(other, deploy="kubernetes")
    assert "--engine sglang" in error.value.hint
