"""Since which version an engine has a tier: the default has every one."""

from typing import Any

import pytest

from planner.base.versions import EARLIEST
from planner.planning.engines.kv_offload import _rows, prefix_tier


@pytest.mark.parametrize("row", _rows(), ids=lambda row: f"{row.engine}-{row.tier}")
def test_the_newest_has_every_tier_and_older_ones_those_of_their_time(row: Any) -> None:
    assert prefix_tier(row.engine, "", row.tier) is not None
    if row.since != EARLIEST:
        assert prefix_tier(row.engine, str(row.since), row.tier) is not None
        assert prefix_tier(row.engine, "0.0.1", row.tier) is None


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("", True),
        ("0.12.0", False),
        ("0.13.0rc1", False),
        ("0.13", True),
        ("0.13.0", True),
        ("0.13.0.post1", True),
        ("0.33.0", True),
    ],
)
def test_a_tier_is_there_from_its_version_on(version: str, has: bool) -> None:
    assert (prefix_tier("vllm", version, "host") is not None) is has
