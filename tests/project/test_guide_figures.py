"""Figures that pages quote of a command are those that it gives today."""

import re
from math import prod

import pytest
from support.wheels import ROOT

import planner
from planner.planning.question.input import QuestionInput
from planner.planning.what_if.around import Around
from planner.planning.what_if.axes import checked_axes


def said(page: str, pattern: str) -> list[str]:
    """The figures that a page states; its lines may be wrapped anywhere."""
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    found = re.search(pattern, text)
    assert found is not None, f"{page} no longer says {pattern!r}"
    return [figure.replace(",", "") for figure in found.groups()]


def test_tensors_of_deepseek_v3() -> None:
    about, tensors = said("ARCHITECTURE.md", r"is about (\d+) rows for ([\d,]+) tensors")
    found = planner.inventory("deepseek-v3")
    assert found.tensor_count == int(tensors)
    assert abs(len(found.spec.rows) - int(about)) <= 2


def test_stages_of_llama_405b() -> None:
    fewer, even = said("docs/guide/training.md", r"then keeps ([\d.]+) GiB in place of ([\d.]+),")
    for ends, gib in ((None, even), (7, fewer)):
        found = planner.train(
            "llama-3.1-405b",
            "h100-sxm",
            devices=1024,
            tp=8,
            pp=16,
            zero=1,
            seq=8192,
            sequence_parallel=True,
            recompute="full",
            first_stage_layers=ends,
            last_stage_layers=ends,
        )
        assert f"{max(s.total for s in found.stages) / 2**30:.2f}" == gib


def test_positions_of_a_what_if_page() -> None:
    *axes, all_of_them = said(
        "docs/guide/report.md",
        r"on H100 has (\d+) kinds of requests × (\d+) limits × (\d+) "
        r"device counts × (\d+) sets of formats × (\d+) caches = ([\d,]+)\.",
    )
    plan = planner.plan("llama-3.1-8b", "h100-sxm")
    ask = QuestionInput(model="llama-3.1-8b", device="h100-sxm")
    found = {axis.name: len(axis.values) for axis in checked_axes(Around.of(ask, plan), plan, ())}
    names = ("workload", "tpot-ms", "devices", "schemes", "kv")
    assert [str(found.pop(name)) for name in names] == axes
    assert set(found.values()) == {1}
    assert prod(map(int, axes)) == int(all_of_them)


@pytest.mark.exhaustive
def test_pools_of_deepseek_v3() -> None:
    won, left = said("docs/guide/pools.md", r"of (\d+) % for DeepSeek-V3 on 32 H200, (\d+) %")
    told = planner.plan("deepseek-v3", "h200-sxm", devices=32).recommendation
    assert told is not None
    text = told.text
    assert f"{won} % more a device than workers that do both, {left} % more than such" in text


@pytest.mark.exhaustive
@pytest.mark.parametrize(("drafts", "at"), [("none", 0), ("mtp", 1)])
def test_drafts_in_pools_of_deepseek_v3(drafts: str, at: int) -> None:
    rates = said(
        "docs/guide/speculation.md", r"gives ([\d,]+) tokens/s without drafts and ([\d,]+) with"
    )
    plan = planner.plan(
        "deepseek-v3", "h200-sxm", devices=32, mode="disaggregated", speculation=drafts
    )
    assert round(plan.performance.output_tokens_per_second.value) == int(rates[at])
