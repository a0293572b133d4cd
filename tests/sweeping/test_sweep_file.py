"""Sweep files: grids, single questions, service levels, and what is refused."""

from pathlib import Path

import pytest

from planner.base.errors import InputError, PlannerError
from planner.sweeping.read import asks_of, parse_sweep, read_sweep
from planner.sweeping.record import SweepQuestion

GRID = """
title = "two by three"
[common]
kv = "fp8"
[[grid]]
model = ["llama-3.1-8b", "qwen2.5-0.5b"]
device = "h100-sxm"
context = [4096, 8192, 16384]
service = [{ name = "chat", tpot_ms = 20, isl = 512 }, { name = "batch" }]
[[question]]
verb = "estimate"
model = "llama-3.1-8b"
device = "l40s"
scheme = "FP8_block"
"""


def parsed(text: str) -> tuple[SweepQuestion, ...]:
    return parse_sweep(text.encode(), "f.toml").asks


def test_a_grid_is_a_product_and_levels_set_several_values() -> None:
    asks = parsed(GRID)
    assert len(asks) == 2 * 3 * 2 + 1
    assert dict(asks[0].values) == {"context": 4096, "isl": 512, "tpot_seconds": 0.02, "kv": "fp8"}
    assert asks[0].service == "chat"
    assert dict(asks[1].values) == {"context": 4096, "kv": "fp8"}
    assert (asks[-1].verb, dict(asks[-1].values)) == (
        "estimate",
        {"kv": "fp8", "scheme": "fp8-block"},
    )


def test_a_grid_asks_what_single_questions_ask() -> None:
    grid = parsed(
        '[[grid]]\nmodel = "llama-3.1-8b"\ndevice = ["l40s", "h20"]\ntpot_ms = 20\n'
        'schemes = [["bf16", "fp8-block"], "bf16,int8-w8a8"]'
    )
    single = asks_of(
        [
            {"model": "llama-3.1-8b", "device": d, "tpot_seconds": 20 * 1e-3, "schemes": s}
            for d in ("l40s", "h20")
            for s in (["bf16", "fp8-block"], ("bf16", "int8-w8a8"))
        ]
    )
    assert grid == single
    assert [a.key for a in grid] == [a.key for a in single]
    assert len({a.key for a in grid}) == 4


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[[grid]]\nmodell = 'a'", "grid 1: modell: unknown key", "model"),
        ("[[grid]]\nmodel = 'a'", "no device given", "scenario"),
        ("[[question]]\nmodel = 'a'\ndevice = 'b'\ntpot_ms = -1", "above 0", ""),
        ("[[question]]\nmodel = 'a'\ndevice = 'b'\ntp = 1.5", "whole number", ""),
        ("[[question]]\nmodel = 'a'\ndevice = 'b'\nbatch = true", "whole number", ""),
        (
            "[[grid]]\nmodel = 'a'\ndevice = 'b'\nschemes = ['bf16', 'fp8-block']",
            "list of sets",
            "several",
        ),
        (
            "[[grid]]\nverb = 'estimate'\nmodel = 'a'\ndevice = 'b'\nmax_loss = 'bf16'",
            "estimate questions do not have it",
            "plan",
        ),
        ("[[grid]]\nmodel = 'a'\ndevice = 'b'\ntpot_seconds = 1", "unknown key", "tpot_ms"),
        ("[[grid]]\nmodel = 'a'\ndevice = 'b'\ncontext = []", "empty list", ""),
        (
            "[[grid]]\nmodel = 'a'\ndevice = 'b'\ntpot_ms = 3\nservice = "
            "[{ name = 'x', tpot_ms = 1 }]",
            "set by service too",
            "",
        ),
        (
            "[[grid]]\nmodel = 'a'\ndevice = 'b'\nservice = [{ name = 'x' }, { name = 'x' }]",
            "two of one name",
            "",
        ),
        (
            "[[question]]\nmodel = 'a'\ndevice = 'b'\nverb = 'estimate'\nscheme = 'bf17'",
            "unknown scheme 'bf17'",
            "bf16",
        ),
        ("title = 'nothing'", "no questions", ""),
        ("[grid]\nmodel = 'a'", "grid: not of the right shape", "[[grid]]"),
        ("grids = 1", "unknown key", "grid"),
        ("[[grid]", "not valid TOML", ""),
        ("title = 'x'\nquestion = 'Which?'\nmodel = 'a'", "a scenario, not a sweep", "--scenario"),
    ],
)
def test_what_is_not_understood_is_an_error(text: str, message: str, hint: str) -> None:
    with pytest.raises(PlannerError, match=r"^f\.toml") as caught:
        parsed(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_scenario_of_this_project_is_told_apart() -> None:
    folder = Path(__file__).resolve().parents[2] / "scenarios"
    with pytest.raises(PlannerError, match="a scenario, not a sweep"):
        read_sweep(folder / "orin-int8.toml")


def test_more_questions_than_anybody_waits_for_are_refused_before_they_are_made() -> None:
    values = list(range(1, 10_001))
    with pytest.raises(InputError, match="1,000,000,000,000 questions, at most") as caught:
        parsed(
            f"[[grid]]\nmodel = 'a'\ndevice = 'b'\ncontext = {values}\nbatch = {values}\n"
            f"tp = {values}"
        )
    assert "10,000 context × 10,000 batch × 10,000 tp" in caught.value.hint


def test_questions_from_python_are_checked_alike() -> None:
    with pytest.raises(InputError, match="question 2: no device"):
        asks_of([{"model": "a", "device": "b"}, {"model": "a"}])
    with pytest.raises(InputError, match="question 1 is no mapping"):
        asks_of(["a"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="unknown key"):
        asks_of([{"model": "a", "device": "b", "tpot": 1}])


def test_a_folder_is_no_sweep_file(tmp_path: Path) -> None:
    with pytest.raises(PlannerError, match="not a regular file"):
        read_sweep(tmp_path)
    with pytest.raises(PlannerError, match="does not exist"):
        read_sweep(tmp_path / "none.toml")
