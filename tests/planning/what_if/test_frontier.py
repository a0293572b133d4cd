"""The frontier: against single plans, dominance, the knee, the map of regimes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InfeasibleError, InputError
from planner.cli.main import run
from planner.planning.search import requery as questions
from planner.planning.solver import solve as solver
from planner.planning.space.candidates import Space
from planner.planning.what_if.frontier import LEVELS, FrontierPoint, _levels, undominated, with_knee
from planner.planning.what_if.frontier_search import Frontier
from tests.support import theory

BLANK = FrontierPoint(0.0, 1.0, 1, 1, 1.0, 1.0, 1, 1, (1, 1, 1, 1), (), "", "", "")


@pytest.fixture(scope="module")
def found() -> Frontier:
    return theory.frontier("qwen2.5-0.5b", "jetson-orin-nano-8gb", devices=1, points=8)


def test_no_point_is_dominated(found: Frontier) -> None:
    assert len(found.points) >= 4
    for p in found.points:
        for q in found.points:
            if p is not q:
                assert (
                    p.loss < q.loss
                    or p.total_bytes_per_device < q.total_bytes_per_device
                    or p.output_tokens_per_second_per_device > q.output_tokens_per_second_per_device
                )


def test_a_point_is_as_good_as_the_plan_under_its_loss(found: Frontier) -> None:
    """The exact search, limited to the schemes' loss, finds nothing beyond the gap."""
    best = theory.plan("qwen2.5-0.5b", "jetson-orin-nano-8gb", devices=1, max_loss="int8-w8a8")
    inside = [p for p in found.points if p.loss <= best.quality.loss * (1 + 1e-9)]
    rate = best.performance.output_tokens_per_second_per_device.value
    assert max(p.output_tokens_per_second_per_device for p in inside) <= rate * (1 + found.gap * 5)
    wider = [p for p in found.points if p.loss >= best.quality.loss]
    assert max(p.output_tokens_per_second_per_device for p in wider) >= rate * (1 - found.gap * 5)


def test_few_candidates_are_bounded_and_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier questions proved is used: 66 runs of the solver for 16 points, each
    under limits on loss and memory."""
    runs, bounded = [], []
    optimise, bounds = solver.run, questions.bounds

    def optimised(*arguments: Any) -> Any:
        runs.append(1)
        return optimise(*arguments)

    def bounds_of(space: Space) -> Any:
        bounded.append(len(space))
        return bounds(space)

    monkeypatch.setattr(solver, "run", optimised)
    monkeypatch.setattr(questions, "bounds", bounds_of)
    found = theory.frontier("qwen3-30b-a3b", "l40s", points=16)
    assert len(found.points) >= 10
    assert 10 <= len(runs) <= 76
    assert 100 <= sum(bounded) <= 6000


def test_the_knee_is_the_point_above_the_chord() -> None:
    points = [
        replace(BLANK, loss=x, output_tokens_per_second_per_device=y)
        for x, y in ((0.0, 0.0), (0.1, 0.9), (0.5, 0.95), (1.0, 1.0))
    ]
    assert [p.knee for p in with_knee(points)] == [False, True, False, False]
    line = [replace(p, output_tokens_per_second_per_device=p.loss) for p in points]
    assert not any(p.knee for p in with_knee(line))


def test_what_loses_more_for_no_more_tokens_moves_no_knee() -> None:
    """The last point loses twice as much for as many tokens: it is no end of the curve."""
    points = [
        replace(BLANK, loss=x, output_tokens_per_second_per_device=y)
        for x, y in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (2.0, 1.0))
    ]
    assert not any(p.knee for p in with_knee(points))


@settings(max_examples=40)
@given(st.integers(2, 200), st.integers(1, 10**6), st.integers(1, 100))
def test_budgets_of_memory_fall_to_the_least_and_share_the_points(
    count: int, floor: int, times: int
) -> None:
    levels = _levels(floor, floor * times, count)
    budgets = [budget for budget, _ in levels]
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[0] == floor * times
    assert len(levels) == 1 or floor <= budgets[-1] <= floor + 1  # rounded up
    used = sum(losses for _, losses in levels)
    assert count - (LEVELS - 1) < used <= count


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(0, 5)), max_size=20))
def test_dominance_is_its_definition(raw: list[tuple[int, int, int]]) -> None:
    points = [
        replace(
            BLANK,
            loss=float(x),
            output_tokens_per_second_per_device=float(y),
            total_bytes_per_device=m,
        )
        for x, y, m in raw
    ]
    kept = {
        (p.loss, p.output_tokens_per_second_per_device, p.total_bytes_per_device)
        for p in undominated(points)
    }
    expected = {
        a
        for a in map(tuple, raw)
        if not any(b != a and b[0] <= a[0] and b[1] >= a[1] and b[2] <= a[2] for b in raw)
    }
    assert kept == expected


def test_map_goes_from_weights_to_cache_and_refuses_what_does_not_fit() -> None:
    found = theory.frontier("qwen2.5-0.5b", "jetson-orin-nano-8gb", devices=1, points=2, map=True)
    assert found.map is not None
    cells = {(c.context, c.batch): c for c in found.map.cells}
    assert cells[2048, 1].regime == "weights"
    assert cells[8192, 64].regime == "kv"
    assert cells[32768, 1024].regime == ""
    assert len({c.plan for c in found.map.cells if c.plan >= 0}) > 2
    assert all(0 < c.share <= 1 for c in found.map.cells if c.regime)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "frontier",
        "qwen2.5-0.5b",
        "jetson-orin-nano-8gb",
        "--devices",
        "1",
        "--points",
        "6",
    ]
    assert run([*arguments, "--svg", str(tmp_path / "a.svg")]) == 0
    assert "tok/s/dev" in capsys.readouterr().out
    assert "<svg" in (tmp_path / "a.svg").read_text()
    assert run([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["map"] is None
    assert {"loss", "knee", "layout", "schemes"} <= set(data["points"][0])


def test_bad_input() -> None:
    for points in (1, 10**6):
        with pytest.raises(InputError, match="--points"):
            theory.frontier("qwen2.5-0.5b", "h100-sxm", devices=1, points=points)
    with pytest.raises(InputError, match="batch"):
        theory.frontier("qwen2.5-0.5b", "h100-sxm", map=True, batch=8)
    with pytest.raises(InfeasibleError):
        theory.frontier("llama-3.1-405b", "jetson-orin-nano-8gb", devices=1)
