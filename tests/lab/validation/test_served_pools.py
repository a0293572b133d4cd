"""Rows of two pools: the loop and the plan see the same passes, links and workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.lab.validation import e2e_silicon
from planner.lab.validation.parallelism import Workers, deployment
from planner.lab.validation.records import EXCLUDED, REASONS, NotCoveredError
from planner.lab.validation.served import Deployed, device_of
from planner.lab.validation.served_pools import _handover, planned_rate, serve_pools
from planner.lab.validation.serving_rules import chunk_tokens, prefill_ranks
from planner.throughput.pool_rates import MOST_BUSY
from planner.throughput.scheduling import Scheduling

ROW = {
    "device": "h200_sxm",
    "mode": "disagg",
    "software": "trtllm 0.8.1.post1",
    "precision": "fp8",
    "model": "deepseek-ai/DeepSeek-V3",
    "gemm_dtype": "fp8",
    "moe_dtype": "fp8",
    "parallelism": "P1x[TP8/PP1/ADP1/mTP1/mEP8]+D1x[TP1/PP1/ADP8/mTP1/mEP8]",
    "concurrency": "128.0",
    "batch_size": "16",
    "isl": "8192",
    "osl": "1024",
    "ttft_ms": "7690.0",
    "tpot_ms": "36.3",
    "exclude": "",
}
POLICY = Scheduling()


def pools(prefill: int, decode: int) -> tuple[Deployed, Workers]:
    """Dense workers of two devices that read, of four that decode."""
    workers = deployment(f"P{prefill}x[TP2/PP1]+D{decode}x[TP4/PP1]")
    assert workers is not None
    found = e2e_silicon.resolved(
        0,
        ROW
        | {
            "model": "Qwen/Qwen3-32B",
            "device": "h100_sxm",
            "software": "vllm 0.18.0",
            "parallelism": f"P{prefill}x[TP2/PP1]+D{decode}x[TP4/PP1]",
            "isl": "2000",
            "osl": "200",
        },
    )
    return found.case, workers


def test_a_plan_counts_on_a_share_of_the_loops_highest_rate() -> None:
    """Where reading bounds, 0.9 of what the closed loop can read."""
    case, workers = pools(1, 4)
    loop = serve_pools(case, POLICY, 400.0, workers, requests=None)
    assert loop.limit == "prefill"
    planned = planned_rate(case, POLICY, 400.0, workers)
    assert planned == pytest.approx(MOST_BUSY * loop.rate / loop.prefill_busy, rel=1e-9)
    assert MOST_BUSY * loop.rate <= planned * (1 + 1e-9)


def test_a_plan_counts_on_what_all_requests_decode() -> None:
    """Where decoding bounds, the rate at which every request decodes: no less than the loop's,
    whose requests wait and are read as well."""
    case, workers = pools(8, 1)
    loop = serve_pools(case, POLICY, 64.0, workers, requests=None)
    planned = planned_rate(case, POLICY, 64.0, workers)
    assert planned == pytest.approx(loop.rate / loop.decode_busy, rel=1e-9)
    assert planned > loop.rate


def test_more_of_the_pool_that_bounds_serves_more() -> None:
    (case, few), (_, more), (_, other) = pools(1, 4), pools(2, 4), pools(1, 8)
    rates = [planned_rate(case, POLICY, 400.0, one) for one in (few, more, other)]
    assert rates[1] == pytest.approx(2 * rates[0])
    assert rates[2] == pytest.approx(rates[0])


def test_a_prompts_cache_moves_inside_a_host_or_over_the_network() -> None:
    """The side with fewer ranks has the more to move; the link is that of the devices in all."""
    case, workers = pools(1, 1)
    assert workers.prefill is not None
    reads = replace(case, shape=workers.prefill)
    near, far = (_handover(case, reads, devices) for devices in (6, 18))
    links = device_of("h100-sxm").links
    assert links.scale_up_bytes_per_s is not None
    assert links.scale_out_bytes_per_s is not None
    assert near.link.bytes_per_second == links.scale_up_bytes_per_s.value
    assert far.link.bytes_per_second == links.scale_out_bytes_per_s.value
    assert near.seconds(2, 4) == near.sizes[2] / near.link.bytes_per_second > near.seconds(4, 4)


def test_rows_that_do_not_count_workers_say_so() -> None:
    row = ROW | {"parallelism": ROW["parallelism"].replace("1x", "-x")}
    found = e2e_silicon.predict_rows("e2e_silicon_x", [row])
    assert {(o.metric, o.reason) for o in found} == {
        ("tpot", "workers not counted"),
        ("ttft", "workers not counted"),
        ("throughput", "workers not counted"),
    }
    assert "workers not counted" in REASONS
    case, workers = pools(1, 1)
    with pytest.raises(NotCoveredError, match="workers not counted"):
        planned_rate(case, POLICY, 8.0, Workers(workers.decode, 1))


@pytest.mark.parametrize(
    ("isl", "ranks", "counts"),
    [
        ("8192", "TP8/PP1/ADP1", True),
        ("8192", "TP1/PP1/ADP8", False),
        ("1024", "TP1/PP1/ADP8", True),
        ("1024", "TP8/PP1/ADP1", False),
    ],
)
def test_rows_labelled_otherwise_than_their_recipe_are_excluded(
    isl: str, ranks: str, *, counts: bool
) -> None:
    row = ROW | {"isl": isl, "parallelism": f"P1x[{ranks}/mTP1/mEP8]+D1x[TP1/PP1/ADP8/mTP1/mEP8]"}
    regimes = {o.regime for o in e2e_silicon.predict_rows("e2e_silicon_x", [row])}
    assert (EXCLUDED + e2e_silicon.PREFILL_LABEL in regimes) != counts
    assert ("disaggregated" in regimes) == counts


def test_only_runs_of_a_known_recipe_are_held_to_it() -> None:
    told = ("tensorrt-llm", "0.8.1.post1", "deepseek-v3")
    assert prefill_ranks(*told, "h200-sxm", (8192, 1024)) == 1
    assert prefill_ranks(*told, "h200-sxm", (1024, 8192)) is None
    assert prefill_ranks(*told, "b200-sxm", (8192, 1024)) is None


@pytest.mark.parametrize(
    ("engine", "label", "device", "lengths", "tokens"),
    [
        ("tensorrt-llm", "fp8", "h200-sxm", (8192, 1024), 16640),
        ("tensorrt-llm", "fp8", "h200-sxm", (1024, 1024), 8192),
        ("tensorrt-llm", "fp8", "h200-sxm", None, 8192),
        ("sglang", "nvfp4", "b200-sxm", (1024, 1024), 8192),
        ("sglang", "nvfp4", "b200-sxm", (8192, 1024), 16384),
        ("sglang", "fp8", "b200-sxm", (8192, 1024), 16384),
        ("sglang", "fp8", "b200-sxm", None, 32768),
    ],
)
def test_prefill_workers_have_the_budget_of_their_recipe(
    engine: str, label: str, device: str, lengths: tuple[int, int] | None, tokens: int
) -> None:
    assert chunk_tokens(engine, "deepseek-v3", label, device, pooled=lengths) == tokens
