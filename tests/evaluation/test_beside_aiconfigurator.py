"""Answers beside aiconfigurator's: both tools' words, prices of given pools, the page."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.evidence_pages import assert_stored

from evaluation.aiconfigurator.__main__ import ANSWERS, PAGE
from evaluation.aiconfigurator.given_pools import best_uniform, given_price
from evaluation.aiconfigurator.ours import best_alike, price
from evaluation.aiconfigurator.page import contest, keeps, page, verdict
from evaluation.aiconfigurator.plans import SideWorker, ours, theirs
from evaluation.aiconfigurator.questions import QUESTIONS, ServiceLevel, SideQuestion
from evaluation.aiconfigurator.rival import _best, _layout, _pool
from planner import plan

LEVEL = ServiceLevel("some", 2000, 30)
SMALL = SideQuestion(
    "llama-3.1-8b on 4 × h100",
    "llama-3.1-8b",
    "h100-sxm",
    4,
    "vllm",
    "meta-llama/Meta-Llama-3.1-8B",
    "h100_sxm",
    "vllm",
    None,
    isl=1000,
    osl=200,
)
AGG = {
    "tp": 2,
    "pp": 1,
    "dp": 4,
    "moe_tp": 1,
    "moe_ep": 8,
    "cp": 1,
    "bs": 24,
    "gemm": "fp8_block",
    "moe": "fp8_block",
    "kvcache": "bfloat16",
}
POOLS = {
    "(p)tp": 1,
    "(p)pp": 1,
    "(p)dp": 1,
    "(p)moe_ep": 1,
    "(p)cp": 1,
    "(p)bs": 1,
    "(p)workers": 3,
    "(d)tp": 1,
    "(d)pp": 1,
    "(d)dp": 1,
    "(d)moe_ep": 1,
    "(d)bs": 88,
    "(d)workers": 1,
    "(d)gemm": "fp8_block",
    "(d)moe": "fp8_block",
    "(d)kvcache": "fp8",
}


def test_their_workers_fill_the_devices() -> None:
    found = theirs(AGG, QUESTIONS[0], experts=True)
    assert found.worker == SideWorker(2, 2, 4, 1, 8, 24)
    assert (found.devices, found.kv, found.words) == (16, "bf16", "2 × tp2 dp4 ep8, batch 24")
    pooled = theirs(POOLS, QUESTIONS[5], experts=False)
    assert pooled.words == "6 × one device, batch 1 → 2 × one device, batch 88"
    assert pooled.formats == {"gemm": "fp8_block", "kvcache": "fp8"}


def test_batches_of_pipeline_stages_are_counted_by_all_and_by_one() -> None:
    found = theirs(AGG | {"pp": 2, "dp": 2, "moe_ep": 4}, QUESTIONS[0], experts=True)
    assert found.worker is not None
    assert found.worker.batch == 48
    assert found.asked(4000)["worker"]["batch"] == 24


def test_context_parallelism_is_refused_not_priced_as_something_else() -> None:
    found = theirs(POOLS | {"(p)cp": 2}, replace(QUESTIONS[5], devices=7), experts=False)
    assert found.devices == 7
    assert "context parallelism" in price(QUESTIONS[5], LEVEL, found)["refused"]


def test_our_plan_in_their_words() -> None:
    made = plan(
        "llama-3.1-8b",
        "h100-sxm",
        devices=4,
        isl=1000,
        osl=200,
        engine="vllm",
        mode="aggregated",
        schemes=("fp8-channel",),
        kv="fp8",
    )
    found = ours(made)
    assert found.mode == "agg"
    assert found.devices == 4
    assert found.formats["gemm"] in ("fp8", "bfloat16")
    assert found.formats["kvcache"] == "fp8"
    assert found.asked(1000)["context_tokens"] == [1000, 2000]
    assert found.asked(1000)["worker"]["batch"] == made.workload.batch // made.layout.dp


def test_a_given_deployment_costs_what_the_search_says_of_it() -> None:
    best = best_uniform(SMALL, LEVEL, "bf16")
    assert best is not None
    found = next(one for one, _ in best_alike(SMALL, LEVEL, "bf16") if one.mode == "disagg")
    again = given_price(SMALL, LEVEL, found)
    assert again.tokens_per_second == pytest.approx(best.tokens_per_second, rel=1e-6)
    assert again.tpot_seconds == pytest.approx(best.tpot_seconds, rel=1e-6)
    assert again.ttft_seconds == pytest.approx(best.ttft_seconds, rel=1e-3)
    assert found.prefill is not None
    fewer = replace(found, prefill=replace(found.prefill, workers=found.prefill.workers + 1))
    assert given_price(SMALL, LEVEL, fewer).ttft_seconds < again.ttft_seconds


def test_requests_to_their_script() -> None:
    worker = {"workers": 2, "tp": 2, "pp": 1, "dp": 4, "ep": 4, "batch": 16}
    assert _layout(worker) == {"tp": 2, "pp": 1, "dp": 4, "moe_ep": 4, "moe_tp": 2}
    assert _layout(worker | {"dp": 1, "ep": 0})["moe_tp"] == 1
    assert _pool("decode", worker)["decode_num_workers"] == 2
    prices = [
        {"ttft": 1.0, "tpot": 9.0, "tokens/s/gpu": 5.0},
        {"ttft": 1.0, "tpot": 40.0, "tokens/s/gpu": 7.0},
    ]
    assert _best(prices, {"ttft_ms": 2, "tpot_ms": 10}) is prices[0]
    assert _best(prices, {"ttft_ms": 2, "tpot_ms": 1}) is prices[1]


def entry(who: str, us: float, them: float, tpot: float = 20.0) -> dict[str, Any]:
    def told(value: float) -> dict[str, float]:
        return {"tokens_per_second_per_device": value, "tpot_ms": tpot, "ttft_ms": 100.0}

    return {
        "who": who,
        "mode": "agg",
        "words": "w",
        "schemes": [],
        "kv": "bf16",
        "lost": "",
        "by_us": told(us),
        "by_them": told(them),
    }


def test_each_tool_picks_its_own_best_and_both_judge() -> None:
    a, b = entry("theirs", 100, 130), entry("theirs", 120, 110)
    c = entry("ours, their formats", 150, 104)
    their_best, alike, printed = contest({"entries": [a, b, c]})
    assert (their_best, alike, printed) == (a, c, None)
    assert verdict(a, c, "by_us", LEVEL) == "+50%, ours"
    assert verdict(a, c, "by_them", LEVEL) == "−20%, theirs"
    assert verdict(a, entry("x", 102, 1), "by_us", LEVEL) == "+2%, even"
    assert verdict(a, entry("x", 150, 1, tpot=40), "by_us", LEVEL) == "+50%, ours late"
    assert verdict(a, None, "by_us", LEVEL) == "no answer"
    refused = entry("x", 1, 1) | {"by_them": {"refused": "no table"}}
    assert verdict(a, refused, "by_them", LEVEL) == "only theirs priced"
    assert keeps(a["by_us"], LEVEL)
    assert not keeps(entry("x", 1, 1, tpot=31)["by_us"], LEVEL)


def test_the_page_is_that_of_the_kept_answers() -> None:
    root = Path(__file__).parents[2]
    kept = json.loads((root / "evaluation" / "aiconfigurator" / ANSWERS.name).read_text())
    assert_stored(root / PAGE, page(kept))
    assert "/site-packages/" not in json.dumps(kept)
