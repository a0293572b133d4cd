"""Regret on a laboratory's pages: which run is nearest, what it loses, what is no page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gains_rows import MeasuredConfiguration
from evaluation.laboratory import __main__ as program
from evaluation.laboratory import page as tables
from evaluation.laboratory.ask import FreeAnswer, Placed
from evaluation.laboratory.nearest import (
    EXACT,
    NEARLY,
    OTHER,
    exactness,
    nearest,
    regret,
    tuned,
    unlike,
)
from evaluation.laboratory.rows import BURST, LaboratoryPage, pages_of, rate, read
from planner.placement.layout import Layout
from planner.planning.choose.calibrated import Configuration

MEASURED = Path(__file__).resolve().parents[2].parent / "shared" / "measured" / "served3"
ANSWER = Configuration("vllm", "0.33.0", Layout(8, 1, 1, 1), 8, "fp8-block", "bf16", 900.0)
RUN = MeasuredConfiguration(
    "e2e_gpustack",
    ("e2e_gpustack", "owner/repository@1 docs/made-up/h200.md", "shape", "h200-sxm", "burst of 9"),
    "shape",
    "made-up",
    (217.0, 200.0),
    replace(ANSWER, requests=9.0),
    ("vllm", "Hopper", "moe", "tp"),
    100.0,
    100.0,
)


def run(measured: float = 100.0, **change: Any) -> MeasuredConfiguration:
    return replace(
        RUN,
        measured=measured,
        configuration=replace(RUN.configuration, **change),
    )


WORSE: tuple[dict[str, Any], ...] = (
    {"version": "0.11.0"},
    {"drafts": 3},
    {"cache": "fp8"},
    {"format": "fp8-tensor"},
    {"format": "int4-w4a16"},
    {"layout": Layout(4, 1, 1, 1), "devices": 4},
    {"layout": Layout(8, 1, 1, 8)},
    {"engine": "sglang"},
)
"""Changes, each of which is further from the answer than all before it together."""


@pytest.mark.parametrize("at", range(1, len(WORSE)))
def test_what_matters_more_decides_whatever_else_differs(at: int) -> None:
    every: dict[str, Any] = {}
    for change in WORSE[:at]:
        every |= change
    near, far = run(**every), run(**WORSE[at])
    for some in ([near, far], [far, near]):
        assert nearest(ANSWER, some) is near


def test_the_first_of_equals_is_nearest() -> None:
    first, second = run(90.0), run(110.0)
    assert nearest(ANSWER, [first, second]) is first
    assert nearest(ANSWER, [second, first]) is second
    assert nearest(ANSWER, [run(engine="sglang"), second]) is second


def test_regret_is_what_the_best_is_faster_by() -> None:
    slow, fast = run(80.0), run(100.0, engine="sglang")
    assert regret(slow, [slow, fast]) == pytest.approx(0.25)
    assert regret(fast, [slow, fast]) == 0.0
    half = run(150.0, layout=Layout(4, 1, 1, 1), devices=4)
    assert rate(half) == 600.0
    assert regret(half, [half, fast]) == pytest.approx(800 / 600 - 1)


def test_settings_of_a_choice_are_no_loss_of_the_choice() -> None:
    default, settings, other = run(80.0), run(100.0), run(110.0, engine="sglang")
    some = [default, settings, other]
    assert regret(default, some) == pytest.approx(110 / 80 - 1)
    assert tuned(default, some) == tuned(settings, some) == pytest.approx(0.1)
    assert tuned(other, some) == 0.0


@pytest.mark.parametrize(
    ("change", "stated", "exact"),
    [
        ({"requests": 900.0}, True, EXACT),
        ({}, True, NEARLY),
        ({}, False, EXACT),
        ({"version": "0.11.0"}, False, NEARLY),
        ({"cache": "fp8"}, False, NEARLY),
        ({"cache": "fp8", "version": "0.11.0"}, False, OTHER),
        ({"version": "0.11.0"}, True, OTHER),
        ({"format": "bf16"}, False, OTHER),
        ({"layout": Layout(8, 1, 1, 8)}, False, OTHER),
    ],
)
def test_how_exact_an_answer_was_measured(change: dict[str, Any], stated: bool, exact: str) -> None:
    differing = unlike(ANSWER, run(**change).configuration, stated=stated)
    assert exactness(differing) == exact


def test_a_page_is_one_workload_of_two_choices() -> None:
    one, other = run(), run(engine="sglang")
    alike = replace(other, lengths=(217.0, 196.0))
    assert [p.runs for p in pages_of([one, alike])] == [(one, alike)]
    longer = replace(other, lengths=(4000.0, 200.0))
    assert pages_of([one, longer]) == []
    elsewhere = replace(other, page=(*RUN.page[:3], "h100-sxm", RUN.page[4]))
    assert pages_of([one, elsewhere]) == []
    assert pages_of([one, run(120.0)]) == [], "settings alone are no choice"


def test_what_a_page_asks() -> None:
    halved = run(layout=Layout(4, 1, 1, 1), devices=4)
    release = replace(run(engine="sglang"), model="made-up-fp8")
    (page,) = pages_of([release, halved, RUN])
    assert (page.source, page.device, page.devices) == ("made-up/h200", "h200-sxm", 8)
    assert (page.model, page.lengths, page.requests) == ("made-up", (217, 200), None)
    assert page.engines == ("sglang", "vllm")
    assert page.of_engine("vllm").runs == (halved, RUN)
    (limited,) = pages_of(
        replace(r, page=(*RUN.page[:4], f"{BURST}1000")) for r in (release, halved, RUN)
    )
    assert limited.requests == 9
    assert LaboratoryPage((release, replace(RUN, model="made-up-fp8"))).model == "made-up-fp8"


def test_tables_count_what_is_placed() -> None:
    slow, fast = run(80.0, version="0.11.0"), run(120.0, engine="sglang")
    page = LaboratoryPage((slow, fast))
    answer = FreeAnswer("plan made-up", ANSWER, "tp8, 900")
    refused = FreeAnswer("plan made-up", None, refusal="does not fit")
    stages = FreeAnswer(
        "plan made-up", replace(ANSWER, layout=Layout(1, 1, 8, 1)), "pp8, 900", inside=True
    )
    free = [
        Placed(page, answer, answer, slow),
        Placed(page, stages, stages, fast),
        Placed(page, refused, refused, None),
    ]
    rows = {
        cells[1]: cells[2:5]
        for cells in (
            [cell.strip() for cell in line.split("|")]
            for line in tables.summary([page], free, free[:1]).splitlines()
        )
    }
    assert rows["refused"][:2] == ["1 of 3", "0 of 1"]
    assert rows["median regret (wanted: 3% at most)"] == ["25.0%", "50.0%", "50.0%"]
    assert rows["worst regret (wanted: 25% at most)"] == ["50%", "50%", "50%"]
    assert rows["measured but for one of batch, version, cache"][:2] == ["1 of 3", "1 of 1"]
    assert rows["stages inside a domain"][:2] == ["1 of 3", "0 of 1"]
    lines = tables.answers(free).splitlines()
    assert len(lines) == 5
    assert "| 640 |" in lines[2]
    assert "| 50.0% | 50.0% | 50.0% | version |" in lines[2]
    assert "refused: does not fit" in lines[4]


def test_without_the_table_nothing_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main([str(tmp_path / "nowhere")]) == 2
    assert "e2e_gpustack.csv is not there" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="e2e_gpustack"):
        read([tmp_path])


def test_pages_of_the_published_table() -> None:
    if not (MEASURED / "e2e_gpustack.csv").is_file():
        pytest.skip(f"{MEASURED} is not there: the published tables are not part of the repository")
    measured = read([MEASURED])
    pages = pages_of(measured.runs)
    assert len(pages) > 20
    for page in pages:
        assert len({r.page for r in page.runs}) == 1
        assert regret(page.best, page.runs) == 0.0
        assert all(rate(r) > 0 for r in page.runs)
    assert all(why for _, why, _ in measured.left_out)
