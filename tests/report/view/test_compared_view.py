"""The answer of a comparison: its verdict first, at most twelve rows, no line wider than asked."""

from dataclasses import replace
from html import escape

import pytest
from support.chinese import latin_words
from support.comparisons import compared, estimate, row

from planner.planning.what_if.compared import Compared, LeftOut
from planner.planning.what_if.compared_roles import DAMAGING, with_roles
from planner.report.render.results import text_of
from planner.report.render.terminal import text_of_view
from planner.report.view.compared_view import compared_view
from planner.report.view.record import Table, View


def tables(view: View) -> list[Table]:
    return [block for s in view.sections for block in s.blocks if isinstance(block, Table)]


def test_the_verdict_comes_first_then_a_line_a_device() -> None:
    view = compared_view(compared(("qwen3-32b",)))
    assert view.title == (
        "qwen3-32b on 2 × b200-sxm: serve nvidia/Llama-3.1-70B-Instruct-FP8 (fp8-tensor), FP8 KV "
        "cache, vLLM 0.21; the most output tokens/s a device, the cheapest"
    )
    assert [fact.label for fact in view.facts] == ["h100-sxm", "b200-sxm", "Assumed"]
    assert "480 tokens/s a device (400–576), TPOT 49.5 ms, KL 0.0032" in view.facts[0].text
    assert "per M output tokens" in view.facts[0].text
    assert "7,168 in → 1,024 out; TPOT ≤ 50 ms (default)" in view.facts[-1].text


def test_at_most_twelve_rows_and_with_all_every_one() -> None:
    found = compared(tuple("abcd"), tuple("wxyz"))
    (few,) = tables(compared_view(found))
    rows = [cells for cells in few.rows if any(cells[1:])]
    assert len(rows) == 12
    assert any("4 more models and devices" in note for note in few.notes)
    every = tables(compared_view(found, everything=True))
    assert sum(len(table.rows) for table in every) == sum(one.feasible for one in found.rows)
    assert [len(tables(compared_view(found, lang))) for lang in ("en", "zh")] == [1, 1]


def test_one_model_on_two_devices_fits_a_screen() -> None:
    text = text_of(compared(("qwen3-32b",)))
    assert len(text.splitlines()) <= 30
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[-1].startswith("More  -v")
    with_details = text_of(compared(("qwen3-32b",)), details=True)
    assert "Setup of the recommended plans" in with_details
    assert "Setup of the recommended plans" not in text


def test_new_weights_are_marked_and_a_scheme_that_is_left_out_is_told() -> None:
    found = compared(("qwen3-32b",))
    (table,) = tables(compared_view(found))
    assert any(cells[-1].startswith("nvfp4*") for cells in table.rows)
    assert any("requantize" in note for note in table.notes)
    left = LeftOut("h100-sxm", "nvfp4", "no FP4 products")
    told = compared_view(Compared(found.objective, found.pairs, found.rows, (left,)))
    (fact,) = [one for one in told.facts if one.label == "Left out"]
    assert fact.text == "nvfp4 on h100-sxm: no FP4 products"


def test_chances_and_reasons_are_those_of_the_rows() -> None:
    found = compared(("qwen3-32b",), ("h100-sxm",))
    own = row(
        "nvfp4", 900, 0.027, model="qwen3-32b", probability_better=0.81, why_not="needs new weights"
    )
    rows = tuple(
        one if one.name != "nvfp4" else type(own)(**{**_values(own), "roles": one.roles})
        for one in found.rows
    )
    view = compared_view(Compared(found.objective, found.pairs, rows))
    (table,) = tables(view)
    assert [cells[4] for cells in table.rows if cells[-1].startswith("nvfp4")] == ["81 %"]
    assert table.rows[0][4] == "–"
    assert "needs new weights" in text_of_view(view, details=True)
    assert "P(better)" in str(compared_view(Compared("cost", found.pairs, rows)))


def _values(one: object) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}  # type: ignore[attr-defined]


@pytest.mark.parametrize("everything", [False, True])
def test_nothing_of_the_chinese_answer_is_english(everything: bool) -> None:
    view = compared_view(compared(("qwen3-32b",)), "zh", everything=everything)
    text = f"<p>{escape(text_of_view(view, details=True))}</p>"
    text = text.replace("FILE.html", "").replace("FILE.csv", "").replace("DIR", "")
    assert latin_words(text, names={"tok/s"}) == []


def test_what_was_asked_is_told_once_for_all_of_which_it_is_the_same() -> None:
    found = compared(("qwen3-32b",), ("l40s", "h100-sxm", "b200-sxm"))
    assert compared_view(found).facts[-1].text.count("7,168 in") == 1
    first, *rest = found.pairs
    other = replace(first, limits="no limit on time")
    view = compared_view(replace(found, pairs=(other, *rest)))
    assert view.facts[-1].text == (
        "l40s: 7,168 in → 1,024 out; no limit on time. h100-sxm, b200-sxm: 7,168 in → 1,024 out; "
        "TPOT ≤ 50 ms (default). Ranges are 80 % intervals."
    )


def test_a_faster_row_that_does_damage_is_explained() -> None:
    """Beside it the row that is called the fastest is slower."""
    found = compared(("qwen3-32b",), ("h100-sxm",))
    (table,) = tables(compared_view(found))
    assert not any("below" in note for note in table.notes)
    rows = tuple(
        replace(one, meaning=DAMAGING) if "common_4bit" in one.roles else one for one in found.rows
    )
    (table,) = tables(compared_view(replace(found, rows=rows)))
    assert any("Fastest, cheapest: of KL below 0.05." in note for note in table.notes)


def test_of_a_question_about_cost_verdict_and_rows_go_by_cost() -> None:
    """The verdict went by rate, whatever the objective: where a slower device is cheaper."""
    found = replace(compared(("qwen3-32b",)), objective="cost")
    dear = tuple(
        replace(one, usd_per_million_output_tokens=estimate(50.0))
        if one.device == "b200-sxm"
        else one
        for one in found.rows
    )
    view = compared_view(replace(found, rows=dear))
    assert "on 2 × h100-sxm" in view.title
    assert view.title.endswith("; the cheapest")
    (table,) = tables(view)
    assert table.heads[1] == "$ per M"
    unpriced = tuple(replace(one, usd_per_million_output_tokens=None) for one in found.rows)
    without = compared_view(replace(found, rows=unpriced))
    assert "the most output tokens/s a device" in without.title
    assert tables(without)[0].heads[1] == "tokens/s"


def test_a_scheme_that_was_named_has_its_row_with_its_engine_and_why_it_is_not_taken() -> None:
    best = row("fp8-tensor", 400, 0.003, kind="recommended")
    other = row(
        "Q4_K_M", 300, 0.02, engine="llama.cpp b9", why_not="dearer", probability_better=0.1
    )
    slower = row("int4-w4a16", 200, 0.03, why_not="slower", probability_better=0.1)
    found = compared(("qwen3-32b",))
    pair = replace(found.pairs[0], model=best.model, device=best.device)
    named = ("Q4_K_M", "int4-w4a16")
    rows = with_roles((best, other, slower), "throughput", named)
    view = compared_view(Compared("throughput", (pair,), rows, ()))
    (table,) = tables(view)
    assert [(cells[0], cells[-1]) for cells in table.rows[1:]] == [
        ("most common 4-bit", "Q4_K_M*, KV fp8, llama.cpp"),
        ("named by you", "int4-w4a16*, KV fp8"),
    ]
    assert any(
        section.title == "Rejected because" and not section.detail for section in view.sections
    )
