"""Collectives: free for one rank, ring arithmetic inside a domain, the network beyond it."""

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.throughput.collectives import (
    LINK_FRACTION,
    Fabric,
    all_reduce,
    dispatch,
    fabric,
    gather,
    point_to_point,
)

NET = Fabric(domain=8, domain_bytes_per_s=400e9, domain_floor_seconds=3e-6,
             network_bytes_per_s=50e9, network_floor_seconds=16e-6, fraction=0.5)


def value(result: object) -> float:
    return float(np.asarray(result))


@pytest.mark.parametrize("collective", [all_reduce, gather, dispatch])
def test_one_rank_costs_nothing(collective) -> None:  # type: ignore[no-untyped-def]
    one = np.asarray(1.0)
    assert value(collective(NET, one, one, np.asarray(1e9))) == 0.0


def test_by_hand() -> None:
    n, size = np.asarray(4.0), np.asarray(1e9)
    assert value(all_reduce(NET, n, n, size)) == pytest.approx(3e-6 + 2 * 0.75 * 1e9 / 200e9)
    assert value(gather(NET, n, n, size)) == pytest.approx(3e-6 + 0.75 * 1e9 / 200e9)
    assert value(dispatch(NET, n, n, size)) == pytest.approx(3e-6 + 0.75 * 1e9 / 200e9)
    assert value(point_to_point(NET, n, size)) == pytest.approx(3e-6 + 1e9 / 200e9)


def test_a_group_beyond_the_domain_uses_the_network() -> None:
    size = np.asarray(1e9)
    inside = value(all_reduce(NET, np.asarray(8.0), np.asarray(8.0), size))
    across = value(all_reduce(NET, np.asarray(8.0), np.asarray(16.0), size))
    assert inside == pytest.approx(3e-6 + 2 * 7 / 8 * 1e9 / 200e9)
    assert across == pytest.approx(16e-6 + 2 * 7 / 8 * 1e9 / 25e9)


def test_reach_follows_the_links() -> None:
    assert NET.reach() == float("inf")
    island = Fabric(8, 400e9, 3e-6, 0.0, 0.0, 0.5)
    assert island.reach() == 8
    assert Fabric(8, 0.0, 0.0, 0.0, 0.0, 0.5).reach() == 1
    orin = fabric(resolve_device("jetson-agx-orin-64gb", []))
    assert orin.reach() == 1


def test_a_scenario_overrides_the_links() -> None:
    device = resolve_device("h100-sxm", [])
    plain = fabric(device)
    other = fabric(device, scale_up_devices=4, scale_up_bytes_per_s=100e9,
                   scale_out_bytes_per_s=25e9)
    assert (plain.domain, plain.fraction) == (8, LINK_FRACTION)
    assert (other.domain, other.domain_bytes_per_s, other.network_bytes_per_s) == (4, 100e9, 25e9)
