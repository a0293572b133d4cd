"""Since which version an engine has a tier: an unnamed version is the newest."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.memory.engines.catalog import parse_engine
from planner.planning.engines.kv_offload import _from, _rows


@pytest.mark.parametrize("row", _rows(), ids=lambda row: f"{row.engine}-{row.tier}")
def test_the_newest_has_every_tier_and_older_ones_those_of_their_time(row: Any) -> None:
    assert _from(row, parse_engine(row.engine))
    if row.since != (0,):
        named = parse_engine(f"{row.engine}@{'.'.join(map(str, row.since))}")
        older = parse_engine(f"{row.engine}@0.0.1")
        assert _from(row, named)
        assert not _from(row, older)


@pytest.mark.parametrize(
    ("version", "has"),
    [((0,), True), ((1,), False), ((1, 1, 9), False), ((1, 2), True), ((2,), True)],
)
def test_no_version_at_all_is_the_newest(version: tuple[int, ...], has: bool) -> None:
    row: Any = SimpleNamespace(since=(1, 2))
    assert _from(row, SimpleNamespace(version=version)) is has  # type: ignore[arg-type]
