"""Published speeds of experts in host memory: rows are whole, sources are named, one is
predicted."""

import pytest

from evaluation.offload.rows import DECODE, PREFILL, predicted, published


def test_every_row_has_its_source_and_machine() -> None:
    rows = published()
    assert len(rows) >= 15
    for row in rows:
        assert row.source
        assert row.date
        assert row.metric in (DECODE, PREFILL)
        assert row.value > 0
        assert row.host.bandwidth_bytes_per_s.value > 5e10


def test_a_row_is_predicted_within_a_factor_of_three() -> None:
    row = next(r for r in published() if r.id == "lcpp-9374f" and r.metric == DECODE)
    found = predicted(row)
    assert found.low < found.value < found.high
    assert row.value / 3 < found.value < row.value * 3
    assert 0.3 < found.host_share < 1


@pytest.mark.parametrize("name", ["kt-6454s-1"])
def test_the_host_is_the_row_s_own(name: str) -> None:
    row = next(r for r in published() if r.id == name)
    assert row.host.bandwidth_bytes_per_s.value == 8 * 4800 * 8e6
    assert row.host.silicon is not None
    assert row.host.silicon.multiprocessors.value == 32
