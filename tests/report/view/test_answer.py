"""The first answer of a plan: what each labelled line says, and of which field."""

from dataclasses import replace

import pytest
from support.questions import plan_of
from support.recommended import OTHERS, PUBLISHED, other, recommended

import planner
from planner.export.serve_line import serving_command
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.plan.record import Assumption, EngineInfo, Estimate, Plan
from planner.quality.anchor import UNCHANGED
from planner.report.phrases import phrases
from planner.report.view.alternatives import alternatives_table, not_chosen
from planner.report.view.answer import answer_view, cost_text
from planner.report.view.record import Code, Table

EN = phrases("en")
INTEL = "intel/auto-round docs@1"


def facts(plan: Plan, lang: str = "en") -> dict[str, str]:
    view = answer_view(phrases(lang), plan, 5)
    return {fact.label: fact.text for fact in view.facts}


def title(plan: Plan) -> str:
    return answer_view(EN, plan, 5).title


def noted(plan: Plan, *notes: tuple[str, str, str]) -> Plan:
    return replace(plan, assumptions=tuple(Assumption(*note) for note in notes))


def test_the_title_says_what_to_serve() -> None:
    plan = recommended(plan_of(), formats=0, needs_new_weights=False)
    assert ": serve the published " in title(plan)
    made = recommended(plan_of(), formats=1, needs_new_weights=True, checkpoint="")
    assert ": requantize to " in title(made)
    ready = recommended(plan_of(), formats=1, checkpoint="Qwen/Qwen3-8B-FP8")
    assert ": serve Qwen/Qwen3-8B-FP8 (" in title(ready)
    loading = recommended(plan_of(), formats=1, needs_new_weights=False, checkpoint="")
    assert " while loading" in title(loading)
    assert ", priced as given" in title(replace(plan_of(), recommendation=None))


def test_one_user_is_told_the_longest_context_and_many_how_many_fit() -> None:
    plan = plan_of()
    alone = replace(plan, workload=replace(plan.workload, batch=1))
    held = replace(plan, capacity=replace(plan.capacity, max_concurrency_at_requests=77))
    assert f"context window up to {plan.capacity.max_context_at_batch:,}" in facts(alone)["Fits"]
    assert "room for 77 requests" in facts(held)["Fits"]


def test_limits_stand_beside_the_times_that_keep_them() -> None:
    plan = plan_of()
    assert "limit 50 ms" in facts(noted(plan, ("tpot-ms default", "50 ms", "")))["Latency"]
    given = noted(plan, ("asked", "tpot-ms=40; ttft-ms=900", ""))
    tpot, ttft = facts(given)["Latency"].split(", TTFT ")
    assert "limit 40.0 ms" in tpot or "limit 40 ms" in tpot
    assert "limit 900 ms" in ttft
    dropped = noted(plan, ("tpot-ms dropped", "fastest TPOT 61.2 ms", "x"))
    assert "cannot be kept" in facts(dropped)["Latency"]
    assert "no TPOT limit" in facts(dropped)["Assumed"]


def test_the_price_behind_the_cost_is_that_of_a_device_hour() -> None:
    plan = planner.estimate("llama-3.1-8b", "h100-sxm", devices=2, tp=2)
    money = plan.performance.usd_per_million_output_tokens
    assert money is not None
    hourly = money.value * plan.performance.output_tokens_per_second.value * 3600 / 1e6 / 2
    price = next(a for a in plan.assumptions if a.key == "price")
    assert str(price.value).startswith(f"{hourly:.2f} USD a device-hour")
    assert f"${hourly:.2f} a device-hour" in cost_text(EN, plan)
    free = replace(plan.performance, usd_per_million_output_tokens=None)
    assert "no price known" in cost_text(EN, replace(plan, performance=free))


def test_a_loss_is_in_nats_with_its_range_basis_agreement_and_word() -> None:
    plan = noted(plan_of())
    quality = replace(
        plan.quality,
        loss=0.0026,
        low=0.0012,
        high=0.0057,
        unit="nats",
        tier="T0 family(DeepSeek-V3)",
        word="below run-to-run noise",
        top1=0.982,
        measured_anchor=(
            MeasuredAnchor("nvfp4 on Qwen3-8B: MMLU −2.0 pt", INTEL, "short"),
            MeasuredAnchor("KV fp8 on Qwen3-8B: GPQA −1.0 pt", "A/b c", "short"),
        ),
    )
    text = facts(replace(plan, quality=quality))["Quality"]
    assert text.startswith(
        "KL 0.0026 nats (0.0012–0.0057, from measured DeepSeek-V3 models), "
        "top-1 agreement 98.2 %: below run-to-run noise"
    )
    assert "nvfp4 on Qwen3-8B: MMLU −2.0 pt (intel/auto-round)" in text
    assert "KV fp8 on Qwen3-8B: GPQA −1.0 pt (A/b)" in text
    assert text.endswith("Only short benchmarks were published; long reasoning may lose more")
    long = replace(
        quality,
        measured_anchor=(MeasuredAnchor("nvfp4 on Qwen3-8B: AIME −2.0 pt", INTEL, "reasoning"),),
    )
    assert "Only short" not in facts(replace(plan, quality=long))["Quality"]
    nothing = replace(
        quality,
        loss=0.0,
        low=0.0,
        high=0.0,
        measured_anchor=(MeasuredAnchor(UNCHANGED, "", None),),
    )
    assert facts(replace(plan, quality=nothing))["Quality"] == (
        "KL 0: weights and cache as published"
    )


def test_the_setup_names_the_engine_its_layout_the_recipe_and_the_evidence() -> None:
    plan = replace(plan_of(), engine=EngineInfo("vllm", "0.21", ("vllm", "sglang")))
    plan = recommended(plan, verdict="recipe", recipe=replace(PUBLISHED, speculation="mtp"))
    setup = facts(plan)["Setup"]
    assert setup.startswith("vLLM 0.21 (best of 2), ")
    assert "recipe of sgl-project without its MTP" in setup
    other_verdict = recommended(plan, verdict="uniform", recipe=PUBLISHED)
    assert "recipe of" not in facts(other_verdict)["Setup"]
    tpot = plan.performance.tpot_seconds
    assert tpot.evidence is not None
    known = replace(tpot.evidence, level="measured", n=3, median_ape=13.4)
    perf = replace(
        plan.performance,
        tpot_seconds=replace(tpot, evidence=known),
        ttft_seconds=replace(plan.performance.ttft_seconds, evidence=None),
    )
    assert (
        "3 measured deployments: TPOT off 13 %" in facts(replace(plan, performance=perf))["Setup"]
    )
    nobody = replace(known, level="none", n=0, median_ape=None)
    perf = replace(perf, tpot_seconds=replace(tpot, evidence=nobody))
    assert (
        "no deployment of this kind was measured" in facts(replace(plan, performance=perf))["Setup"]
    )


def test_what_was_assumed_names_requests_defaults_and_names_as_read() -> None:
    plan = plan_of()
    work = replace(plan.workload, prefix_hit_rate=0.9, preset="agent")
    notes = (
        ("tpot-ms default", "50 ms", ""),
        ("without the default tpot-ms", "1,044 tokens/s", ""),
        ("users default", "1", ""),
    )
    assumed = facts(noted(replace(plan, workload=work), *notes))["Assumed"]
    window = f"context window {work.context_tokens:,}"
    assert f"{work.isl:,} tokens in, {work.osl:,} out (agent, {window}), 90 % of" in assumed
    assert "TPOT ≤ 50 ms (1,044 tokens/s without)" in assumed
    assert "80 % intervals" in assumed
    window = facts(plan)["Assumed"]
    assert f"(context window {plan.workload.context_tokens:,})" in window
    short = planner.estimate("llama-3.1-8b", "h200", devices=1)
    assert "h200 = h200-sxm" in facts(short)["Assumed"]


def test_the_command_is_the_one_that_serves_the_plan() -> None:
    plan = planner.estimate("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm")
    section = answer_view(EN, plan, 3).sections[0]
    assert section.title == "Run it:"
    code = next(block for block in section.blocks if isinstance(block, Code))
    words = " ".join(code.lines).replace("\\", " ").split()
    assert words == list(serving_command(plan).words)
    theory = answer_view(EN, plan_of(), 3).sections[0]
    assert not any(isinstance(block, Code) for block in theory.blocks)


def test_alternatives_say_rate_time_loss_chance_and_reason() -> None:
    plan = recommended(plan_of(), alternatives=OTHERS)
    (table,) = alternatives_table(EN, plan, 5)
    assert isinstance(table, Table)
    assert table.heads[-2:] == ("P(faster)", "rejected because")
    row = next(r for r in table.rows if r[0].startswith("uniform int8-w8a8"))
    assert row[1:] == (
        "1,240",
        "51.6",
        "0.00231",
        "45 %",
        "loss above the limit by more than its band",
    )
    assert len(alternatives_table(EN, plan, 2)[0].rows) == 2
    assert alternatives_table(EN, recommended(plan, alternatives=()), 5) == []


def test_recipes_are_told_apart_by_their_layouts() -> None:
    for layout in ("tp8", "dp8"):
        one = replace(other("published recipe"), layout=layout, devices=plan_of().device.count)
        plan = recommended(plan_of(), alternatives=(one,))
        (table,) = alternatives_table(EN, plan, 5)
        assert table.rows[0][0] == f"published recipe, {layout.upper()}"


def test_a_recipe_that_breaks_a_limit_is_not_chosen_for_a_reason() -> None:
    broken = replace(PUBLISHED, gain=None, why_not="it is for 2 devices")
    (fact,) = not_chosen(EN, recommended(plan_of(), recipe=broken, lossier=None))
    assert fact.text.startswith("published recipe sglang, TP8 EP8, fp8-block (it is for 2 devices)")
    assert not_chosen(EN, replace(plan_of(), recommendation=None)) == []


@pytest.mark.parametrize(("rate", "text"), [(1e9, " at KL "), (1.0, "4-bit weights (no faster)")])
def test_the_step_to_fewer_bits_says_what_it_would_bring(rate: float, text: str) -> None:
    plan = recommended(plan_of())
    assert plan.recommendation is not None
    assert plan.recommendation.lossier is not None
    step = replace(plan.recommendation.lossier, output_tokens_per_second=rate)
    (fact,) = not_chosen(EN, recommended(plan, lossier=step))
    assert text in fact.text


def test_chinese_has_every_line_and_its_own_labels() -> None:
    plan = recommended(plan_of())
    assert len(facts(plan, "zh")) == len(facts(plan))
    assert list(facts(plan, "zh"))[:3] == ["显存", "吞吐", "延迟"]


def test_an_interval_is_in_the_unit_of_its_value() -> None:
    plan = plan_of()
    tpot = Estimate(0.5, 0.4, 1.25, "fitted")
    perf = replace(plan.performance, tpot_seconds=tpot)
    assert "TPOT 500 ms (400 ms–1.25 s" in facts(replace(plan, performance=perf))["Latency"]
