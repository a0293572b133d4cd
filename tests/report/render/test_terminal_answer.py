"""The answer on a terminal: its lines, widths of 40 to 120, names that are hostile, -v."""

from dataclasses import replace
from functools import cache

import pytest
from support.questions import plan_of
from support.recommended import OTHERS, other, recommended

import planner
from planner.cli.main import run
from planner.planning.plan.record import Plan
from planner.report.columns import columns, plain_width
from planner.report.render.plan_text import MOST_LINES, plan_text

SMALL = ["smollm2-135m", "l40s", "--devices", "1", "--batch", "8"]
LABELS = ("Fits", "Throughput", "Latency", "Cost", "Quality", "Setup", "Assumed")


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


def shown(plan: Plan, width: int, monkeypatch: pytest.MonkeyPatch, lang: str = "en") -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    return plan_text(plan, lang).splitlines()


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    width: int, lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plan in (large(), plan_of(), recommended(plan_of())):
        for line in shown(plan, width, monkeypatch, lang):
            assert columns(line) <= width, line
            assert line == line.rstrip()


def test_at_most_25_lines_at_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(large(), 80, monkeypatch)
    assert len(lines) <= MOST_LINES == 25
    names = tuple(o.name for o in OTHERS)
    assert sum(line.startswith(names) for line in lines) >= 1
    with plain_width():
        whole = plan_text(large(), details=True)
    assert sum(line.startswith(names) for line in whole.splitlines()) >= 3


def test_labels_stand_in_one_order_then_the_command_then_what_was_not_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shown(large(), 80, monkeypatch)
    assert lines[0].startswith("deepseek-v3 on 8 × h200-sxm: ")
    labels = [line.split()[0] for line in lines[2:] if line[:1].strip()]
    assert tuple(labels[: len(LABELS)]) == LABELS
    text = "\n".join(lines)
    places = [
        text.index(head) for head in ("\nRun it:\n  vllm serve ", "\nAlternatives ", "\nMore")
    ]
    assert places == sorted(places)


def test_wide_characters_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    others = (
        other(
            "统一用某一种非常非常长的格式名称的方案，缓存也用另一种格式",
            why_not="比推荐的方案慢，而且质量损失超出了允许的范围，差别大于误差带",
        ),
    )
    plan = recommended(plan_of(), alternatives=others)
    plan = replace(plan, model=replace(plan.model, id="深度求索"))
    for width in (40, 80):
        for line in shown(plan, width, monkeypatch):
            assert columns(line) <= width, line
    joined = "".join(line.strip() for line in shown(plan, 40, monkeypatch))
    assert "质量损失超出了允许的范围" in joined


def test_what_a_terminal_would_obey_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "\x1b[31mevil\x07\u202e\r"
    plan = recommended(plan_of(), checkpoint=bad, alternatives=(other(bad, why_not=bad),))
    plan = replace(plan, model=replace(plan.model, id=bad))
    for width in (40, 80):
        for line in shown(plan, width, monkeypatch):
            assert line.isprintable(), line


def test_v_adds_times_benchmarks_and_every_assumption(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(SMALL) == 0
    brief, err = capfd.readouterr()
    assert err == ""
    assert run([*SMALL, "-v"]) == 0
    whole, _ = capfd.readouterr()
    for head in ("\nTime by module:\n", "\nAssumptions:\n"):
        assert head in whole
        assert head not in brief
    plan = planner.plan("smollm2-135m", "l40s", devices=1, batch=8)
    joined = " ".join(whole.split())
    for item in plan.assumptions:
        assert f"{item.key}: " in joined
    assert run([*SMALL, "--assumptions", "--quiet"]) == 2
    assert "hint: give one of them" in capfd.readouterr().err
