"""A grid's journal: what is planned is kept to the last digit, and a run goes on from it."""

from pathlib import Path
from typing import Any

import pytest
from support import what_if as small

import planner
from planner.base.errors import DataError, InputError
from planner.planning.plan.schema import parse_plan
from planner.planning.what_if import run
from planner.planning.what_if.grid import Grid, InfeasiblePoint
from planner.planning.what_if.grid_records import from_record, to_record
from tests.support import theory


def planned(path: Path, told: list[str], **more: Any) -> Grid:
    return planner.what_if(
        small.MODEL,
        small.DEVICE,
        base=small.plan(),
        grid=small.GRID,
        context=small.CONTEXT,
        journal=path,
        notify=told.append,
        **{**theory.DEFAULTS, **more},
    )


def test_points_come_back_as_they_were() -> None:
    points = list(small.grid().points)
    assert {
        type(p) for p in from_record(to_record("x", points), pools=False, count=len(points))
    } == {type(p) for p in points}
    assert from_record(to_record("x", points), pools=False, count=len(points)) == points
    refusals = [InfeasiblePoint("memory", 3, 2), None]
    with pytest.raises(DataError, match="no part of a what-if page"):
        from_record(to_record("x", refusals), pools=False, count=len(refusals))
    with pytest.raises(DataError, match="no part of a what-if page"):
        from_record({"id": "x", "points": [], "at": [0]}, pools=False, count=1)
    whole = to_record("x", points)
    for at in (whole["at"][:-1], [*whole["at"], 0], [-1, *whole["at"][1:]], ["0"], None):
        with pytest.raises(DataError, match="no part of a what-if page"):
            from_record(whole | {"at": at}, pools=False, count=len(points))


def test_points_come_back_after_a_plan_file_was_read() -> None:
    parse_plan(small.plan().to_dict())  # makes the readers of its records strict
    from_record.__globals__["_reader"].cache_clear()
    points = list(small.grid().points)
    assert from_record(to_record("x", points), pools=False, count=len(points)) == points


def test_an_interrupted_grid_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, told = tmp_path / "x.html.journal", list[str]()
    plan_one, parts = run._answer_of, list[str]()

    def interrupted(task: Any, part: Any) -> Any:
        if len(parts) == 3:
            raise KeyboardInterrupt
        parts.append(part.id)
        return plan_one(task, part)

    monkeypatch.setattr(run, "_answer_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        planned(path, told)
    assert (len(path.read_bytes().splitlines()), told) == (4, [])
    done = list(parts)

    def rest(task: Any, part: Any) -> Any:
        parts.append(part.id)
        return plan_one(task, part)

    monkeypatch.setattr(run, "_answer_of", rest)
    assert planned(path, told) == small.grid()
    assert told == [f"going on after 6 of 48 positions ({path})"]
    assert len(parts) == len(set(parts)) == 24
    assert parts[:3] == done
    monkeypatch.setattr(run, "_answer_of", None)  # all is in the journal by now
    assert planned(path, told) == small.grid()


@pytest.mark.parametrize(
    "change", [{"tpot_seconds": 0.5}, {"memory_bytes": 2 << 30}, {"max_loss": "bf16"}]
)
def test_a_journal_of_another_grid_is_refused(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.html.journal"
    monkeypatch.setattr(run, "_computed", lambda *_: iter(()))
    with pytest.raises(KeyError):
        planned(path, [])
    before = path.read_bytes()
    assert before.count(b"\n") == 1
    with pytest.raises(DataError, match="another question or other positions"):
        planned(path, [], **change)
    assert path.read_bytes() == before
    with pytest.raises(KeyError):
        planned(path, [], resume=False, **change)
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("given", "kind"), [({"workers": 0}, InputError), ({"journal": "missing/x"}, DataError)]
)
def test_what_cannot_be_done_is_refused_first(
    given: dict[str, Any], kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_computed", None)
    with pytest.raises(kind):
        planner.what_if(
            small.MODEL,
            small.DEVICE,
            base=small.plan(),
            grid=small.GRID,
            context=small.CONTEXT,
            **theory.DEFAULTS,
            **given,
        )
    assert list(tmp_path.iterdir()) == []
