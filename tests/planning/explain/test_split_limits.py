"""What sets the rate of other numbers of workers, and a question with more memory."""

from dataclasses import replace

import pytest

from planner.base.units import GIB
from planner.planning.explain.limit_prices import more_memory
from planner.planning.explain.pools import _split
from tests.support import theory


@pytest.mark.parametrize(
    ("reads", "decodes", "limit"),
    [(3.0, 4.0, "prefill"), (4.0, 4.0, "prefill"), (5.0, 4.0, "decode")],
)
def test_the_slower_pool_sets_the_rate_and_equals_are_told_by_reading(
    reads: float, decodes: float, limit: str
) -> None:
    found = _split(2, 3, reads, decodes, 100, (2, 3), 8)
    assert (found.limit, found.output_tokens_per_second) == (limit, min(reads, decodes) * 100)
    assert (found.prefill_workers, found.decode_workers, found.devices) == (2, 3, 8)
    assert found.own
    assert not _split(3, 2, reads, decodes, 100, (2, 3), 8).own


@pytest.mark.parametrize("given", [None, 30 * GIB])
def test_more_memory_is_more_in_the_device_and_in_a_limit(given: int | None) -> None:
    question = replace(
        theory.ask("qwen2.5-0.5b", "l40s", devices=1).questions()[0], memory_bytes=given
    )
    more = more_memory(question, 5e8)
    assert more.usable_bytes == question.usable_bytes + 500_000_000
    assert more.memory_bytes == (None if given is None else given + 500_000_000)
