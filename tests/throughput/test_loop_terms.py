"""Loops, pools, batches and choices by hand: what arrives, waits, is padded, carried or dealt."""

import tomllib
from dataclasses import replace
from math import exp, factorial
from pathlib import Path

import numpy as np
import pytest

import planner.throughput
from planner.base.errors import InputError
from planner.placement.layout import Layout
from planner.throughput.arrivals import prompts_a_step, prompts_each_step
from planner.throughput.attention_kernels import AttentionModel
from planner.throughput.calibration import PRIOR, transfer_sigma
from planner.throughput.curves import ExchangeCurve, ExchangeWork
from planner.throughput.expert_load import balanced_counts, part_load
from planner.throughput.forms.dispatch import ACROSS, PARAMETERS
from planner.throughput.graphs import padded_batch
from planner.throughput.lockstep import prompts_in_step
from planner.throughput.points import mixed_phase, points
from planner.throughput.pool_rates import PrefillRates
from planner.throughput.pools import Pools, decode_tpot, pooled_loop
from planner.throughput.queueing import PromptArrival, exclusive_wait, mixed_wait
from planner.throughput.roofline import parts
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import closed_loop
from planner.throughput.silicon import Chip
from planner.throughput.slowest_rank import most_touched

BATCH = np.array([0.0, 1.0, 8.0, 64.0, 512.0])


def table(prompt: float = 40e-3) -> StepTimes:
    """A step of 8 ms and 0.04 ms a sequence; a prompt adds the same to any."""
    decode = np.where(BATCH > 0, 8e-3 + 4e-5 * BATCH, 0.0)
    return StepTimes(BATCH, decode, decode + prompt, np.array([prompt]))


@pytest.mark.parametrize("mean", [0.05, 0.7, 3.0])
def test_the_busier_of_two_ranks_counted_one_by_one(mean: float) -> None:
    """E[max] of two Poisson counts over every pair of counts that occurs."""
    chance = [exp(-mean) * mean**k / factorial(k) for k in range(40)]
    expected = sum(max(i, j) * chance[i] * chance[j] for i in range(40) for j in range(40))
    assert prompts_a_step(2 * mean, 2) == pytest.approx(expected)
    arrays = prompts_each_step(np.array([2 * mean, 2 * mean, 0.0]), np.array([2.0, 1.0, 2.0]))
    assert arrays == pytest.approx([expected, 2 * mean, 0.0])


def test_a_batch_beyond_the_captured_ones_runs_as_it_is() -> None:
    asked = np.array([0.0, 0.5, 1.0, 1.5, 4.0, 5.0, 8.0, 8.5, 100.0])
    assert padded_batch(asked, (4, 1, 2, 8)).tolist() == [0, 1, 1, 2, 4, 8, 8, 8.5, 100]


def test_a_held_prompt_waits_until_the_pass_is_full() -> None:
    """One in two steps, eight fill a pass and half of it will do: 8 steps of the 20 allowed. The
    first waits for all of them, the four that come meanwhile for half."""
    policy = Scheduling(hold_steps=20, hold_share=0.5)
    assert policy.mean_hold_steps(0.5, 8.0) == pytest.approx((8 + 4 * 4) / 5)
    assert policy.mean_hold_steps(0.0, 8.0) == 20.0
    assert policy.mean_hold_steps(0.01, 8.0) == pytest.approx(
        20 * 1.1 / 1.2
    )  # 400 steps are not waited
    assert Scheduling().mean_hold_steps(0.5, 8.0) == 0.0


def test_balanced_ranks_read_together() -> None:
    """Four ranks, a prompt of each in ten steps: the last has one after (1 + 1/2 + 1/3 +
    1/4)·10."""
    found = prompts_in_step(Scheduling(balance_steps=1000), 0.1, 4)
    window = 10 * (1 + 1 / 2 + 1 / 3 + 1 / 4)
    reading = 4 * (1 - exp(-0.1 * window))
    assert found.passes == pytest.approx(0.4 / reading)
    assert found.share == pytest.approx((reading - 1) / 3)
    assert found.held == pytest.approx(window / 2)
    short = prompts_in_step(Scheduling(balance_steps=5), 0.1, 4)
    assert short.held == 2.5
    apart = prompts_in_step(Scheduling(), 0.1, 4)
    assert apart.passes == pytest.approx(prompts_a_step(0.4, 4))
    assert apart.share == pytest.approx((4 * (1 - exp(-0.1)) / (1 - exp(-0.4)) - 1) / 3)


def test_ranks_read_the_chunks_of_long_prompts_in_the_same_steps() -> None:
    """Four chunks a prompt, one prompt in eight steps: every rank reads in half of the steps."""
    found = prompts_in_step(Scheduling(), 1 / 8, 4, chunks=4)
    assert found.chance == pytest.approx(1 - 0.5**4)
    assert found.passes == pytest.approx(found.chance / 4)
    assert found.each_pass == pytest.approx(1 / 4)
    assert found.share == pytest.approx((4 * 0.5 / found.chance - 1) / 3)
    busy = prompts_in_step(Scheduling(), 1.0, 4, chunks=4)
    assert (busy.chance, busy.share) == (1.0, 1.0)
    whole = prompts_in_step(Scheduling(), 1 / 8, 4)
    assert whole.passes > 1.5 * found.passes
    alone = prompts_in_step(Scheduling(exclusive=True), 1 / 8, 4, chunks=4)
    assert alone.passes == pytest.approx(whole.passes)


def test_a_run_waits_once_for_the_whole_first_wave() -> None:
    """64 prompts at once over one worker: half of 65 passes; a tenth of 640 requests do."""
    load, pools = Load(64, 1024, 512), Pools(1, 1, 0.01)
    steady = pooled_loop(table(), load, Scheduling(), pools)
    run = pooled_loop(table(), replace(load, requests=640.0), Scheduling(), pools)
    first = 65 / 2 * table().prompt + 0.01 + steady.tpot
    assert first > steady.ttft
    assert run.ttft == pytest.approx(0.1 * first + 0.9 * steady.ttft)
    short = pooled_loop(table(), replace(load, requests=64.0), Scheduling(), pools)
    assert short.ttft == pytest.approx(first)


def test_a_rate_says_the_step_of_decode_workers() -> None:
    """B = rate · O · TPOT(B) / workers, for a step of 8 ms and 0.04 ms a sequence."""
    load = Load(64, 1024, 512)
    tpot = decode_tpot(table(), load, Scheduling(), 2, 4.0)
    batch = 4.0 * 512 * tpot / 2
    assert tpot == pytest.approx(8e-3 + 4e-5 * batch, rel=1e-6)
    loop = pooled_loop(table(), replace(load, concurrency=128.0), Scheduling(), Pools(4, 2, 0.01))
    assert decode_tpot(table(), load, Scheduling(), 2, loop.rate) == pytest.approx(
        loop.tpot, rel=1e-6
    )


def test_full_passes_are_the_fastest() -> None:
    kinds = PrefillRates(
        np.array([4.0, 1.0]),
        np.array([[0.1, 0.15, 0.2], [0.1, 0.2, 0.5]]),
        np.array([np.inf, np.inf]),
    )
    assert kinds.fastest == pytest.approx([4 * 3 / 0.2, 3 / 0.5])


def test_the_least_load_is_one_of_each() -> None:
    assert closed_loop(table(), Load(1, 1, 1, 1), Scheduling()).tpot > 0
    for none in (Load(0, 1, 1), Load(1, 0, 1), Load(1, 1, 0), Load(1, 1, 1, 0)):
        with pytest.raises(InputError, match="at least 1"):
            closed_loop(table(), none, Scheduling())


@pytest.mark.parametrize("ranks", [1, 4, 8])
def test_a_request_is_interrupted_at_most_once_by_each_other(ranks: int) -> None:
    """Of one length: in the 256 steps of its answer each of the others is read once, wherever it
    lies, and each reading costs a step 40 ms."""
    found = closed_loop(table(), Load(32, 1024, 256, ranks=ranks, alike=True), Scheduling())
    assert 31 / ranks / 258 * 40e-3 * 0.99 <= found.interruption <= 31 / 258 * 40e-3 * 1.01


def test_the_rank_that_touches_most_is_as_drawn() -> None:
    """Eight ranks of 16 experts, four of 128 a token, 300 draws. Of few tokens the counts are not
    yet normal, and the expectation is a tenth low."""
    random = np.random.default_rng(5)
    tokens = np.array([8.0, 32.0])
    found = most_touched(np.full((8, 16), 4 / 128), tokens)
    for count, expected in zip(tokens.astype(int).tolist(), found.tolist(), strict=True):
        picks = random.random((300, count, 128)).argpartition(4, axis=2)[:, :, :4]
        hit = np.zeros((300, 128), dtype=bool)
        hit[np.arange(300)[:, None], picks.reshape(300, -1)] = True
        drawn = hit.reshape(300, 8, 16).sum(axis=2).max(axis=1).mean()
        assert expected == pytest.approx(drawn, rel=0.04)


def test_one_column_stands_for_every_choice_and_three_for_themselves() -> None:
    three = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    mixed = parts(compute=three, memory=three, launch=np.asarray(0.0), busy=three)
    picked = mixed.columns(np.array([2, 0]))
    assert picked.compute.tolist() == [[3.0, 1.0], [6.0, 4.0]]
    assert picked.overlap.shape == (1, 2)
    assert mixed.column(2).compute.tolist() == [[3.0], [6.0]]
    single = mixed.column(1).columns(np.array([0, 1, 2]))
    assert single.busy.tolist() == [[2.0] * 3, [5.0] * 3]


def test_a_mixed_pass_has_drafted_tokens_and_a_chunk() -> None:
    """16 sequences of 3 tokens on each of 2 ranks in 2 stages, beside a chunk of 500 of 1,000."""
    pts = points([Layout(1, 2, 2, 2)], [(0, 16)])
    assert pts.batch.tolist() == [64]
    found = mixed_phase(pts, 100.0, 1000, 512, verified=3.0)
    assert found.tokens.tolist() == [16 * 3 + 500]
    assert found.pooled.tolist() == [2 * 16 * 3 + 500]
    assert found.logit_rows.tolist() == [16 * 3 + 0.5]
    assert found.decode_part.tokens.tolist() == [16 * 3]


def test_few_tokens_of_a_benchmark_are_spread_out() -> None:
    """Two tokens, two of eight experts each: every other expert; four tokens take each once."""
    assert balanced_counts(2, 8, 2).tolist() == [1, 0] * 4
    assert balanced_counts(4, 8, 2).tolist() == [1] * 8
    assert balanced_counts(3, 8, 2).sum() == 6


def test_rows_of_a_part_fill_tiles() -> None:
    """Of uniform experts: one that a token touches takes a tile, many rows half a tile more."""
    tokens = np.array([1.0, 1e4])
    found = part_load(16, 4, 0.0, tokens, (4, 16))
    assert found.padded.shape == (2, 5)
    assert found.pairs == pytest.approx(tokens * 3)
    assert found.elsewhere == pytest.approx(tokens)
    assert found.padded[0] == pytest.approx(3 * np.array([8, 16, 32, 64, 128]))
    assert found.padded[1] == pytest.approx(3e4 + 12 * np.array([4, 8, 16, 32, 64]))


def test_what_a_transfer_adds_is_by_operator_variant_and_relation() -> None:
    """A rule of the variant goes before one of its operator, which goes before that of all."""
    path = Path(planner.throughput.__file__).parent / "data" / "transfer.toml"
    rules = {
        (rule["operator"], rule["variant"]): rule
        for rule in tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
    }
    named = [key for key in rules if "*" not in key]
    assert named
    for operator, variant in (*named, ("gemm", "no-such"), ("no-such", "bf16")):
        for relation in ("same", "other", "gddr"):
            fitting = ((operator, variant), (operator, "*"), ("*", variant), ("*", "*"))
            expected = next(
                rules[key][relation]["sigma"] for key in fitting if relation in rules.get(key, {})
            )
            assert transfer_sigma(operator, variant, relation) == expected


def fit(launch: float, wanted: object) -> dict[str, float]:
    return {p.name: p.start for p in wanted} | {  # type: ignore[attr-defined]
        "launch_seconds": launch,
        "expert_seconds": 0.0,
        "link_fraction": 0.5,
        "sharpness": 1.0,
    }


def test_an_exchange_is_of_the_nearest_type_and_leaves_its_node() -> None:
    """10 tokens, two experts each, 1,000 features, 16 ranks: 7 of 8 leave a rank inside a node of
    8, 15 of 16 where one node has all, and half leave the node."""
    inside = {
        kind: (f"x:{kind}", fit(launch, PARAMETERS))
        for kind, launch in (("bf16", 1e-5), ("fp8", 2e-5), ("nvfp4", 3e-5))
    }
    across = {
        "bf16": (
            "x:bf16:network",
            fit(5e-5, ACROSS) | {"network_fraction": 0.5, "node_seconds": 1e-5},
        )
    }
    curve = ExchangeCurve(False, inside, across)

    def seconds(nodes: float, size: float) -> float:
        work = ExchangeWork(np.array([10.0]), np.array([16.0]), np.array([nodes]), 2.0, 64.0, 1e3)
        return float(curve.seconds(work, size, link=4e11, network=4e11)[0])

    for size, launch in ((2.0, 1e-5), (1.03, 2e-5), (0.56, 3e-5)):
        sent = 10 * 2 * 1000 * size
        assert seconds(1, size) == pytest.approx(launch + sent * 15 / 16 / 2e11)
        assert seconds(2, size) == pytest.approx(6e-5 + sent * 7 / 8 / 2e11)


def test_single_heads_or_too_many_run_alone() -> None:
    """Kernels of up to 32 query heads a KV head; beyond, and where each has its own, another."""
    chip = Chip("round", {"bf16": 1e15}, 1e12, 100.0, 5e7, 1e13, 0.0)
    model = AttentionModel("attention-decode", chip, {"most_heads": 32.0}, {}, False, PRIOR, 0.1)
    heads, groups = np.array([8.0, 32.0, 64.0, 66.0]), np.array([8.0, 8.0, 2.0, 2.0])
    assert model.is_ungrouped(heads, groups).tolist() == [True, False, False, True]
    free = replace(model, parameters={})
    assert free.is_ungrouped(heads, groups).tolist() == [True, False, False, False]


def arrival(
    step: float, mean: float, cost: float, alone: float, others: float, room: float, full: float
) -> PromptArrival:
    return PromptArrival(step, mean, cost, cost, alone, others, 1, room, full)


def test_prompts_that_run_alone_are_read_with_those_of_the_same_step() -> None:
    """A pass of 40 ms, one prompt in five steps of 60 ms; then ten a step, eight a pass."""
    found = exclusive_wait(arrival(0.06, 0.068, 0.04, 0.04, 0.2, 1.0, 0.04))
    assert (found.late, found.queue, found.reading, found.least) == (0.03, 0.0, 0.04, 0.04)
    many = exclusive_wait(arrival(0.06, 0.16, 0.01, 0.04, 10.0, 8.0, 0.08))
    assert many.queue == pytest.approx((10 / 8 - 1) / 2 * 0.08)
    assert many.reading == pytest.approx(0.04 + 7 * 0.01)
    assert many.least == pytest.approx(0.01)


@pytest.mark.parametrize("room", [0.5, 1.0, 4.0])
def test_prompts_beside_decoding_wait_for_a_pass_with_room(room: float) -> None:
    """A step of 10 ms, 40 ms a prompt, one in five steps; passes of half a prompt, one or four."""
    mean = 0.01 + 0.2 * 0.04
    service = 0.01 * max(1, 1 / room) + 0.04 * max(room, 1)
    found = mixed_wait(arrival(0.01, mean, 0.04, 0.05, 0.2, room, service))
    seen = mean + 0.04**2 * 0.2 / mean  # E[S²]/E[S]
    assert found.late == pytest.approx(seen / 2)
    beside = min(0.2 * seen / mean, max(room - 1, 0))
    assert found.reading == pytest.approx(0.05 + beside * 0.04)
    servers, load = max(room, 1), 0.2 / room
    assert found.queue == pytest.approx(
        service / 2 * load ** ((2 * (servers + 1)) ** 0.5 - 1) / (servers * (1 - load))
    )
    assert found.least == pytest.approx(service / servers)
    assert mixed_wait(arrival(0.01, mean, 0.04, 0.05, room, room, service)).queue == float("inf")
