"""Assumptions on stderr: the five that move the answer most, all of them where they are asked."""

from dataclasses import replace

import pytest
from support.questions import plan_of

from planner.cli.main import run
from planner.planning.plan.record import Assumption
from planner.report.columns import plain_width
from planner.report.terminal.assumed import (
    HEAVIEST,
    MOST,
    MOST_LINES,
    assumptions_text,
    heaviest,
    heaviest_text,
)

SMALL = ["smollm2-135m", "l40s", "--devices", "1", "--batch", "8"]


def test_five_and_how_many_more() -> None:
    plan = plan_of()
    with plain_width():
        lines = heaviest_text(plan).splitlines()
    assert lines[0] == "assumptions:"
    assert lines[-1] == f"  {len(plan.assumptions) - MOST} more: --assumptions"
    assert len(lines) <= 2 + MOST * MOST_LINES
    assert [item.key for item in heaviest(plan)] == sorted(
        (item.key for item in heaviest(plan)), key=HEAVIEST.index
    )


def test_a_default_that_was_dropped_goes_first_and_all_keep_their_reasons() -> None:
    plan = plan_of()
    notes = (*plan.assumptions, Assumption("tpot-ms dropped", "60 ms", "nothing keeps it"))
    plan = replace(plan, assumptions=notes)
    assert heaviest(plan)[0].key == "tpot-ms dropped"
    with plain_width():
        whole = " ".join(assumptions_text(plan).split())
    for item in notes:
        assert " ".join(f"{item.key}: {item.value} — {item.reason}".split()) in whole


def test_few_assumptions_have_no_line_of_more() -> None:
    plan = replace(plan_of(), assumptions=(Assumption("price", "1", "x"),))
    assert heaviest_text(plan) == "assumptions:\n  price: 1 — x\n"
    assert heaviest_text(replace(plan, assumptions=())) == ""


def test_the_flags(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(SMALL) == 0
    out, err = capfd.readouterr()
    assert run([*SMALL, "--assumptions"]) == 0
    same, whole = capfd.readouterr()
    assert out == same
    assert err.splitlines()[-1].endswith(" more: --assumptions")
    assert len(whole) > len(err)
    assert "more: --assumptions" not in whole
    assert run([*SMALL, "--assumptions", "--quiet"]) == 2
    assert "hint: give one of them" in capfd.readouterr().err
