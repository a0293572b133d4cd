"""Every value of a plan file changed in turn, at each place that is unlike the others: what is
taken is compared with the undamaged plan, and given to every command that reads one (`make
exhaustive`).
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.laws import command
from support.slow_entrances import KINDS, plan_of

import planner
from planner.base.errors import PlannerError
from planner.planning.plan.record import Plan, plain_data

GONE = object()
Way = tuple[str | int, ...]


def places(tree: Any, way: Way = ()) -> Iterator[tuple[Way, Any]]:
    """(where, value) of everything in ``tree``; of a list the first and the last item."""
    listed = isinstance(tree, list)
    keys = sorted({0, len(tree) - 1} & set(range(len(tree)))) if listed else list(tree)
    for key in keys:
        yield (*way, key), tree[key]
        if isinstance(tree[key], (dict, list)):
            yield from places(tree[key], (*way, key))


def instead(value: Any) -> tuple[Any, ...]:
    """What is put in the place of a value."""
    if isinstance(value, bool):
        return not value, GONE
    if isinstance(value, int):
        return 0, -value or -3, 10**18, GONE
    if isinstance(value, float):
        return 0.0, -2.5, 1e30, 5e-324, GONE
    if isinstance(value, str):
        return "", "x", "bf16", GONE
    if isinstance(value, list):
        return [], value + value, value[:1], GONE
    return ("x", 1.5, GONE) if value is None else (None, GONE)


def with_one_changed(tree: Any) -> Iterator[tuple[str, Any]]:
    """(what was changed, the tree); places that differ in list positions alone count once."""
    seen = set()
    for way, value in places(tree):
        shape = tuple("*" if isinstance(key, int) else key for key in way)
        for n, other in enumerate(instead(value)):
            if (shape, n) in seen:
                continue
            seen.add((shape, n))
            made = here = copy.deepcopy(tree)
            for key in way[:-1]:
                here = here[key]
            if other is GONE:
                del here[way[-1]]
            else:
                here[way[-1]] = other
            yield f"{'.'.join(map(str, way))} = {'gone' if other is GONE else other!r:.40}", made


def taken(kind: str, step: int = 1) -> Iterator[tuple[str, Any, Any]]:
    """(what was changed, the file, the plan) of what is taken; every ``step``-th is tried."""
    for n, (what, data) in enumerate(with_one_changed(plan_of(kind))):
        if n % step == 0 and (plan := read(data)) is not None:
            yield what, data, plan


def read(data: Any) -> Plan | None:
    """The plan; None where it is refused, with a hint."""
    try:
        return planner.read_plan(data)
    except PlannerError as error:
        if error.hint:
            return None
        raise


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_taken_is_written_as_it_was_and_compared(
    kind: str, request: pytest.FixtureRequest
) -> None:
    every = request.config.getoption("--hypothesis-profile") == "exhaustive"
    whole = planner.read_plan(plan_of(kind))
    count = 0
    for what, _, other in taken(kind, 1 if every else 7):
        assert planner.read_plan(other.to_dict()) == other, what
        for old, new in ((whole, other), (other, whole)):
            try:
                found = planner.diff(old, new)
            except PlannerError:
                continue
            assert str(found), what
            assert json.dumps(plain_data(found), allow_nan=False), what
        count += 1
    assert count > 20


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_answers_or_refuses_what_is_taken(kind: str, tmp_path: Path) -> None:
    model, device = (plan_of(kind)[name]["id"] for name in ("model", "device"))
    for n, (what, data, _) in enumerate(taken(kind)):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "p.json").write_text(json.dumps(data), encoding="utf-8")
        for words in (
            ["report", "p.json", "-o", "r.html"],
            ["estimate", "--plan", "p.json"],
            ["export", "p.json", "out", "--deploy", "kubernetes"],
            ["serve", "--plan", "p.json", "--concurrency", "4"],
            ["memory", model, device, "--plan", "p.json"],
            ["explain", model, device, "--plan", "p.json"],
        ):
            assert command(words, folder, may_write=("r.html", "out")).code in (0, 1, 2), what
