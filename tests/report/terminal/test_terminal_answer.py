"""The answer on a terminal: its order, its lines, widths of 80 and 40, names that are hostile."""

from dataclasses import replace
from functools import cache

import pytest
from support.questions import plan_of
from support.recommended import NEXT, OTHERS, PUBLISHED, TEXT, other, recommended

import planner
from planner.planning.plan.record import Assumption, EngineInfo, Plan
from planner.report.columns import columns, plain_width
from planner.report.plan_terms import other_lines
from planner.report.terminal.plan import MOST_LINES, plan_text


@cache
def large() -> Plan:
    return recommended(
        planner.estimate(
            "deepseek-v3",
            "h200-sxm",
            devices=8,
            tp=8,
            ep=8,
            batch=48,
            context=32768,
            isl=8192,
            osl=1024,
            engine="vllm",
        )
    )


def shown(plan: Plan, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    return plan_text(plan).splitlines()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for plan in (large(), plan_of(), recommended(plan_of())):
        for line in shown(plan, width, monkeypatch):
            assert columns(line) <= width, line
            assert line == line.rstrip()


def test_wide_characters_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    others = (
        other(
            "统一用某一种非常非常长的格式名称的方案，缓存也用另一种格式",
            why_not="比推荐的方案慢，而且质量损失超出了允许的范围，差别大于误差带",
        ),
    )
    plan = recommended(
        plan_of(),
        text="直接部署已发布的检查点，缓存用八位浮点：每秒输出三千九百个"
        " token。混合两种格式会快百分之三到九，但要新的权重。",
        alternatives=others,
    )
    plan = replace(plan, model=replace(plan.model, id="深度求索"))
    for width in (40, 80):
        for line in shown(plan, width, monkeypatch):
            assert columns(line) <= width, line
    joined = "".join(line.strip() for line in shown(plan, 40, monkeypatch))
    assert "混合两种格式会快百分之三到九" in joined


def test_forty_lines_at_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(large(), 80, monkeypatch)
    assert len(lines) <= MOST_LINES
    assert sum(line.startswith(tuple(o.name for o in OTHERS)) for line in lines) >= 3


def test_the_order_is_answer_verdict_table_others_command(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(large(), 80, monkeypatch)
    assert lines[0] == "deepseek-v3 on 8 × h200-sxm, tp8 ep8, vllm 0.33.0, batch 48"
    assert lines[1].startswith("requests: 8,192 in → 1,024 out; 48 users, 8")
    assert lines[2].startswith("TPOT ")
    assert lines[3].startswith("loss 0; as released: no change")
    text = "\n".join(lines)
    heads = [
        " ".join(TEXT.split()[:6]),
        "\nmodule ",
        "\nTPOT  ",
        "\ninstead ",
        "\nmore loss: ",
        "\nmeasure next: ",
        "\nserve it:\n",
    ]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert lines[-1].startswith("    --")
    assert NEXT[1].command not in text


def test_a_plan_without_a_recommendation_says_what_it_was_compared_with() -> None:
    plan = replace(plan_of(), recommendation=None)
    with plain_width():
        text = plan_text(plan)
    assert "instead" not in text
    assert plan.comparison.text.split(" (")[0] in " ".join(text.split())
    priced = planner.estimate("llama-3.1-8b", "h100-sxm", devices=1)
    assert "\na given assignment is priced, not chosen\n" in str(priced)


def test_the_published_recipe_stands_under_the_verdict_with_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def below_verdict(**more: object) -> str:
        text = "\n".join(shown(recommended(plan_of(), **more), 80, monkeypatch))
        verdict = next(part for part in text.split("\n\n") if part.startswith(TEXT[:20]))
        return " ".join(verdict.split()).removeprefix(TEXT).strip()

    source = f"{PUBLISHED.source}, {PUBLISHED.date}"
    drafting = replace(PUBLISHED, speculation="mtp:3")
    assert below_verdict() == f"published recipe: sglang, tp8 ep8, fp8-block ({source})"
    assert below_verdict(verdict="recipe") == f"as in the published recipe: {source}"
    assert (
        below_verdict(verdict="recipe", recipe=drafting)
        == f"as in the published recipe, without its speculation (mtp:3): {source}"
    )
    assert below_verdict(recipe=None) == ""


def test_recipes_are_told_apart_by_their_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    one, two = (replace(other("published recipe"), layout=layout) for layout in ("tp8", "dp8"))
    for recipe in (one, two):
        rows = other_lines(recommended(plan_of(), alternatives=(recipe,)))
        assert rows[1].startswith(f"published recipe, {recipe.layout} ")


def test_defaults_that_move_the_answer_are_in_the_first_lines() -> None:
    plan = plan_of()

    def first(*notes: Assumption) -> list[str]:
        with plain_width():
            return plan_text(replace(plan, assumptions=notes)).partition("\n\n")[0].splitlines()

    assert "default limit 50 ms" in first(Assumption("tpot-ms default", "50 ms", "x"))[2]
    dropped = first(
        Assumption(
            "tpot-ms dropped",
            "fastest TPOT 61.2 ms",
            "no layout keeps the default of 50 ms within "
            "the other limits: planned without a limit on TPOT; --tpot-ms sets one",
        )
    )
    assert " ".join(dropped).endswith("planned without a limit on TPOT; fastest TPOT 61.2 ms")
    assert "users by default, " in first(Assumption("users default", "1", "x"))[1]
    assert "theory: no engine's rules" in first()[0]
    with plain_width():
        named = plan_text(replace(plan, engine=EngineInfo("vllm", "0.21", ("vllm", "sglang"))))
    assert ", vllm 0.21 (of 2), batch 8\n" in named


def test_prefix_hits_and_the_workload_stand_with_the_requests() -> None:
    plan = plan_of()
    work = replace(plan.workload, prefix_hit_rate=0.9, preset="agent")
    with plain_width():
        line = plan_text(replace(plan, workload=work)).splitlines()[1]
    assert ", prefix hit 90 % (agent); 8 users, " in line


def test_what_a_terminal_would_obey_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "\x1b[31mevil\x07\u202e\r"
    plan = recommended(plan_of(), text=bad, alternatives=(other(bad, why_not=bad),))
    plan = replace(plan, model=replace(plan.model, id=bad))
    for width in (40, 80):
        for line in shown(plan, width, monkeypatch):
            assert line.isprintable(), line


def test_one_user_is_told_the_longest_context_and_many_how_many_fit() -> None:
    plan = plan_of()
    alone = replace(plan, workload=replace(plan.workload, batch=1))
    held = replace(plan, capacity=replace(plan.capacity, max_concurrency_at_requests=77))
    old = replace(plan, capacity=replace(plan.capacity, max_concurrency_at_requests=None))
    with plain_width():
        texts = [plan_text(one) for one in (alone, held, old)]
    assert f" B a token, context up to {plan.capacity.max_context_at_batch:,};" in texts[0]
    assert " B a token, room for 77 requests;" in texts[1]
    assert f"room for {plan.capacity.max_concurrency_at_context:,} × 2,048 tokens;" in texts[2]


def test_the_release_under_another_cache_names_it() -> None:
    def rows(kv: str, formats: int) -> str:
        others = (other("as released", 0, kv=kv), other("uniform int8-w8a8"))
        return "\n".join(other_lines(recommended(plan_of(), alternatives=others, formats=formats)))

    mine = ", ".join({unit.kv_layout for unit in plan_of().units if unit.kv_layout is not None})
    assert "as released, KV fp8-tensor " in rows("fp8-tensor", 0)
    assert "as released, KV" not in rows(mine, 0)
    assert "as released, KV" not in rows("fp8-tensor", 1)
