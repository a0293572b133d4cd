"""The most that a decode worker may reach: with every number of prefill workers that fits."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.planning.pools import search


@pytest.mark.parametrize(("devices", "counts"), [(8, 3), (4, 1), (5, 1), (3, 0)])
def test_hope_counts_all_workers_that_fit_beside_one(
    devices: int, counts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers of two devices each; twice as many read twice as much."""
    seen: list[list[float]] = []

    def best_counts(caps: Any, rate: float, *_: Any) -> tuple[float, float, int, int]:
        seen.append(caps.tolist())
        return 5.0, rate, len(caps), 1

    monkeypatch.setattr(search, "best_counts", best_counts)
    reader, worker = SimpleNamespace(devices=2), SimpleNamespace(devices=2)
    arrays = SimpleNamespace(within=lambda left, numbers: np.stack([3.0 * numbers, 2.0 * numbers]))
    pools: Any = SimpleNamespace(
        budget=SimpleNamespace(devices=devices),
        _left=lambda *_: 1.0,
        _arrays=lambda *_: arrays,
        _rate_of=lambda _: lambda _: 7.0,
    )
    case: Any = SimpleNamespace(readers=[reader, SimpleNamespace(devices=4), reader])
    found = search.PoolSearch._hope(pools, case, 2, worker, ())  # type: ignore[arg-type]
    assert seen == ([[3.0 * n for n in range(1, counts + 1)]] if counts else [])
    assert found == (
        search._Potential(5.0, 7.0, counts, 1, reader)
        if counts  # type: ignore[arg-type]
        else search._Potential(0.0, 0.0, 0, 0, None)
    )
