"""``planner.serve``: operating points, pools, the frontier, and what is refused."""

from types import SimpleNamespace
from typing import cast

import pytest

import planner
from planner.base.errors import InputError, PlannerError, UnknownNameError, UnsupportedError
from planner.planning.serving.deployment import Deployment, _point
from planner.throughput.serving import SteadyState
from tests.support import theory

DENSE = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "devices": 1,
    "isl": 1024,
    "osl": 256,
    "scheme": "fp8-block",
}
MOE = {
    "model": "deepseek-v3",
    "device": "h200-sxm",
    "devices": 8,
    "tp": 8,
    "ep": 8,
    "isl": 1024,
    "osl": 256,
}


def test_one_request_costs_what_an_estimate_says() -> None:
    found = planner.serve(**DENSE, concurrency=1)
    plan = theory.estimate(**DENSE, batch=1)
    assert found.point is not None
    step = plan.performance.tpot_seconds.value
    assert found.point.tpot_seconds == pytest.approx(step, rel=0.06)
    assert found.tpot_seconds.low < found.point.tpot_seconds < found.tpot_seconds.high


def test_the_frontier_trades_users_for_devices() -> None:
    points = planner.serve(**DENSE).frontier
    assert len(points) >= 8
    device = [p.output_tokens_per_second_per_device for p in points]
    user = [p.output_tokens_per_second_per_user for p in points]
    assert user == sorted(user, reverse=True)
    assert device == sorted(device)
    for p in points:
        assert p.concurrency == pytest.approx(
            p.output_tokens_per_second / 256 * (p.ttft_seconds + 256 * p.tpot_seconds)
        )
    rates = list(zip(device, user, strict=True))
    for p, mine in zip(points, rates, strict=True):
        beaten = any(r != mine and r[0] >= mine[0] and r[1] >= mine[1] for r in rates)
        assert p.pareto is not beaten


def test_host_time_is_told_and_counted() -> None:
    without = planner.serve(**DENSE, concurrency=16).point
    added = planner.serve(**DENSE, concurrency=16, host_us=2000.0).point
    assert added.tpot_seconds - without.tpot_seconds == pytest.approx(2e-3, rel=0.06)
    old = planner.serve(**DENSE, concurrency=16, engine="vllm@0.12")
    assert old.point.host_share > 0.1
    notes = {a.key: a for a in old.assumptions}
    assert "added" in notes["host time"].value
    assert {
        "scheduler",
        "host time",
        "graph padding",
        "prefix cache",
        "requests",
        "speculation",
        "stream interval",
        "cache",
    } <= set(notes)


def test_hits_shorten_ttft_and_intervals_lengthen_it() -> None:
    plain = planner.serve(**DENSE, concurrency=4).point
    hits = planner.serve(**DENSE, concurrency=4, prefix_hit_rate=0.75).point
    sent = planner.serve(**DENSE, concurrency=4, stream_interval=20).point
    assert hits.ttft_seconds < 0.75 * plain.ttft_seconds
    later = plain.ttft_seconds + 19 * plain.tpot_seconds
    assert sent.ttft_seconds == pytest.approx(later, rel=0.02)


def test_drafts_pay_at_small_batches() -> None:
    plain = planner.serve(**MOE, concurrency=1).point
    draft = planner.serve(**MOE, concurrency=1, draft_tokens=1, acceptance=0.85).point
    useless = planner.serve(**MOE, concurrency=1, draft_tokens=1, acceptance=0.0).point
    assert draft.tpot_seconds < plain.tpot_seconds < useless.tpot_seconds


def test_captured_batches_never_save_time() -> None:
    none = planner.serve(**DENSE, concurrency=9, graphs="none").point
    padded = planner.serve(**DENSE, concurrency=9, graphs="8,64").point
    assert padded.tpot_seconds > none.tpot_seconds


def test_overlap_hides_the_exchange() -> None:
    wide = {**MOE, "tp": 1, "dp": 8}
    plain = planner.serve(**wide, concurrency=512).point
    hidden = planner.serve(**wide, concurrency=512, overlap=True).point
    assert hidden.tpot_seconds != plain.tpot_seconds
    assert any(
        a.key == "two micro-batches"
        for a in planner.serve(**wide, concurrency=512, overlap=True).assumptions
    )


def test_pools_read_no_prompt_while_decoding() -> None:
    apart = planner.serve(**MOE, concurrency=64, prefill_workers=1, decode_workers=2)
    assert apart.devices == 24
    assert apart.point.prompt_share == 0
    together = planner.serve(**MOE, concurrency=32).point
    assert apart.point.tpot_seconds < together.tpot_seconds
    assert apart.pools.transfer_seconds > 0
    fast = planner.serve(
        **MOE, concurrency=64, prefill_workers=1, decode_workers=2, transfer_bytes_per_s=1e15
    )
    assert fast.point.ttft_seconds < apart.point.ttft_seconds


def test_pools_in_stages_hand_over_the_same_cache_in_less_time() -> None:
    """Two stages of 16 layers each send their own at once; a prompt is read at the pace of one."""
    given = {**DENSE, "concurrency": 16, "prefill_workers": 1, "decode_workers": 1}
    one, two = planner.serve(**given), planner.serve(**{**given, "devices": 2, "tp": 1, "pp": 2})
    assert two.devices == 2 * one.devices
    assert two.pools.transfer_bytes == one.pools.transfer_bytes
    assert two.pools.transfer_seconds == pytest.approx(one.pools.transfer_seconds / 2)
    assert two.pools.prefill_utilisation < one.pools.prefill_utilisation


def test_an_anchor_is_a_ratio_and_changes_nothing() -> None:
    plain = planner.serve(**DENSE, concurrency=4)
    anchored = planner.serve(**DENSE, concurrency=4, anchor="tpot_ms=10")
    (one,) = anchored.anchors
    assert one.ratio == pytest.approx(plain.point.tpot_seconds / 10e-3)
    assert anchored.point == plain.point


def test_a_plan_file_is_served_as_it_is() -> None:
    plan = theory.estimate(**DENSE, batch=8)
    assert planner.serve(plan=plan, concurrency=8).point.tpot_seconds == pytest.approx(
        planner.serve(**DENSE, concurrency=8).point.tpot_seconds, rel=1e-3
    )


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"draft_tokens": 2}, InputError),
        ({"acceptance": 0.5}, InputError),
        ({"draft_tokens": 2, "acceptance": 0.5}, InputError),
        ({"concurrency": 0.5}, InputError),
        ({"prefix_hit_rate": 1.0}, InputError),
        ({"prefill_workers": 1}, InputError),
        ({"prefill_workers": 1, "decode_workers": 1}, InputError),
        ({"scheduler": "x"}, InputError),
        ({"graphs": "many"}, InputError),
        ({"anchor": "tpot=1"}, UnknownNameError),
        ({"anchor": "tpot_ms=1"}, InputError),
        ({"engine": "nobody"}, UnknownNameError),
        ({"devices": 8, "tp": 1, "concurrency": 3}, InputError),
        ({"cache_tokens": 10, "concurrency": 1}, InputError),
        ({"scheme": "nvfp4"}, UnsupportedError),
    ],
)
def test_refusals(more: dict, error: type[PlannerError]) -> None:
    with pytest.raises(error) as caught:
        planner.serve(**{**DENSE, **more})
    assert caught.value.hint


def test_an_engine_brings_its_kernels_scheduler_and_graphs() -> None:
    found = {
        engine: planner.serve(**DENSE, concurrency=16, engine=engine)
        for engine in ("vllm@0.19", "sglang@0.5.9")
    }
    assert found["vllm@0.19"].point.tpot_seconds != found["sglang@0.5.9"].point.tpot_seconds
    notes = {engine: {a.key: a.value for a in f.assumptions} for engine, f in found.items()}
    assert notes["vllm@0.19"]["scheduler"] != notes["sglang@0.5.9"]["scheduler"]
    assert "kernels" not in notes["vllm@0.19"]


@pytest.mark.sample(1)
@pytest.mark.parametrize("engine", ["tensorrt-llm", "vllm", "sglang"])
def test_every_engine_serves_attention_ranks_with_its_graphs_and_host(engine: str) -> None:
    found = planner.serve(
        "deepseek-v3",
        "h200-sxm",
        devices=8,
        tp=1,
        dp=8,
        ep=8,
        engine=engine,
        isl=1024,
        osl=256,
        concurrency=64,
    )
    note = next(a for a in found.assumptions if a.key == "host of a prompt")
    assert "of handling" in note.value
    assert found.point is not None
    assert found.point.ttft_seconds > 0.1
    assert found.point.tpot_seconds < 0.2


def test_ttft_is_less_certain_than_tpot() -> None:
    found = planner.serve(**DENSE, concurrency=16)
    assert found.ttft_seconds.high / found.ttft_seconds.low > 1.5
    assert found.tpot_seconds.high / found.tpot_seconds.low < 2


def test_a_busy_prefill_worker_shares_its_experts_between_ranks() -> None:
    """With dp = 8 the experts see the prompts of all ranks; a lone prompt beside a batch does
    not."""
    wide = {**MOE, "tp": 1, "dp": 8, "isl": 4096}
    pooled = planner.serve(**wide, concurrency=8, prefill_workers=1, decode_workers=1)
    together = planner.serve(**wide, concurrency=1)
    assert pooled.point.ttft_seconds - pooled.pools.transfer_seconds > together.point.ttft_seconds
    assert any(a.key == "prefill workers" for a in pooled.assumptions)


@pytest.mark.exhaustive
def test_a_pass_takes_as_many_prompt_tokens_as_in_the_plan() -> None:
    """The engine's default on the device, unless another number is given."""
    for device, engine, chunk in (("l40s", "sglang", 4096), ("l40s", "any", 8192)):
        plan = planner.plan("qwen2.5-0.5b", device, devices=1, context=2048, engine=engine)
        told = [
            {a.key: a.value for a in found.assumptions}["prefill chunk"]
            for found in (plan, planner.serve(plan=plan, concurrency=8))
        ]
        assert told == [f"{chunk} tokens"] * 2
    given = planner.serve(plan=plan, concurrency=8, chunk_tokens=8192)
    assert {a.key: a.reason for a in given.assumptions}["prefill chunk"] == "given"


@pytest.mark.parametrize("osl", [1, 2, 100])
def test_a_request_takes_its_first_token_and_all_that_follow(osl: int) -> None:
    where = cast(Deployment, SimpleNamespace(options=SimpleNamespace(osl=osl), devices=2, dp=1))
    found = cast(
        SteadyState,
        SimpleNamespace(
            ttft=0.5, tpot=0.02, active=3.0, interruption=0.0, host=0.0, utilisation=0.0, full=False
        ),
    )
    assert _point(where, 4.0, found).request_seconds == pytest.approx(0.5 + 0.02 * (osl - 1))
