"""What sets the rate of other numbers of workers."""

import pytest

from planner.planning.explain.pools import _split


@pytest.mark.parametrize(("reads", "decodes", "limit"), [
    (3.0, 4.0, "prefill"), (4.0, 4.0, "prefill"), (5.0, 4.0, "decode")])
def test_the_slower_pool_sets_the_rate_and_equals_are_told_by_reading(
        reads: float, decodes: float, limit: str) -> None:
    found = _split(2, 3, reads, decodes, 100, (2, 3), 8)
    assert (found.limit, found.output_tokens_per_second) == (limit, min(reads, decodes) * 100)
    assert (found.prefill_workers, found.decode_workers, found.devices) == (2, 3, 8)
    assert found.own
    assert not _split(3, 2, reads, decodes, 100, (2, 3), 8).own
