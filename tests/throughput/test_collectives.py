"""Collectives: free for one rank, ring arithmetic inside a domain, the network beyond it."""

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.throughput.collectives import (
    LINK_FRACTION,
    Fabric,
    all_reduce,
    dispatch,
    expert_exchange,
    fabric,
    gather,
    point_to_point,
)
from planner.throughput.curves import ExchangeWork

NET = Fabric(
    domain=8,
    domain_bytes_per_s=400e9,
    domain_floor_seconds=3e-6,
    network_bytes_per_s=50e9,
    network_floor_seconds=16e-6,
    fraction=0.5,
)


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
    # 4 ranks in each of 2 domains: in and out of each, and a quarter of it over the network
    local = 2 * (3e-6 + 3 / 4 * 1e9 / 200e9)
    assert across == pytest.approx(local + 16e-6 + 2 * 1 / 2 * 1e9 / 4 / 25e9)
    near = value(gather(NET, np.asarray(16.0), np.asarray(16.0), size))
    assert near == pytest.approx(3e-6 + 7 / 8 * 1e9 / 200e9 + 16e-6 + 1 / 2 * 1e9 / 8 / 25e9)


def test_reach_follows_the_links() -> None:
    assert NET.reach() == float("inf")
    island = Fabric(8, 400e9, 3e-6, 0.0, 0.0, 0.5)
    assert island.reach() == 8
    assert Fabric(8, 0.0, 0.0, 0.0, 0.0, 0.5).reach() == 1
    orin = fabric(resolve_device("jetson-agx-orin-64gb", []))
    assert orin.reach() == 1


def test_measured_devices_use_their_table_and_their_relatives_the_formula() -> None:
    size, n = np.array([8192.0, 1 << 20]), np.asarray(8.0)
    own, carried = fabric(resolve_device("h100-sxm")), fabric(resolve_device("h100-pcie"))
    assert own.reduce is not None
    assert own.reduce.table is not None
    assert own.certainty.basis == "fitted"
    assert all_reduce(own, n, n, size)[0] == pytest.approx(3.55e-6, rel=0.1)  # as measured
    if carried.domain_bytes_per_s:
        assert carried.reduce is not None
        assert carried.reduce.table is None
        assert carried.certainty.basis == "transferred"
    slower = fabric(resolve_device("h100-sxm"), scale_up_bytes_per_s=100e9)
    assert slower.reduce is not None
    assert slower.reduce.table is None
    assert all_reduce(slower, n, n, size)[1] > all_reduce(own, n, n, size)[1]


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_measured_exchanges_grow_with_bytes_and_cross_nodes_slower(phase: str) -> None:
    net, one = fabric(resolve_device("h100-sxm")), np.ones(2)
    few, many = (ExchangeWork(one * t, one * 8, one, 8.0, 256.0, 7168.0) for t in (16.0, 256.0))
    bytes_ = np.array([1.03, 2.0])
    small, large = (
        expert_exchange(net, phase, "dispatch", w, one * 8, bytes_) for w in (few, many)
    )
    assert small.shape == (2, 2)
    assert (small < large).all()
    assert (small[:, 0] <= small[:, 1]).all()
    wide = ExchangeWork(one * 256.0, one * 16, one * 2, 8.0, 256.0, 7168.0)
    across = expert_exchange(net, phase, "dispatch", wide, one * 16, bytes_)
    assert (across > large).all()
    alone = ExchangeWork(one * 256.0, one, one, 8.0, 256.0, 7168.0)
    assert (expert_exchange(net, phase, "dispatch", alone, one, bytes_) == 0).all()


def test_a_scenario_overrides_the_links() -> None:
    device = resolve_device("h100-sxm", [])
    plain = fabric(device)
    other = fabric(
        device, scale_up_devices=4, scale_up_bytes_per_s=100e9, scale_out_bytes_per_s=25e9
    )
    assert (plain.domain, plain.fraction) == (8, LINK_FRACTION)
    assert (other.domain, other.domain_bytes_per_s, other.network_bytes_per_s) == (4, 100e9, 25e9)


def test_inside_a_host_experts_gather_where_their_engine_does() -> None:
    host, rack = resolve_device("b200-sxm"), resolve_device("gb200")
    assert fabric(host, stacks=("trtllm",)).gathers
    assert fabric(host, stacks=("vllm",)).gathers
    assert not fabric(host, stacks=("sglang",)).gathers
    assert not fabric(host).gathers
    assert not fabric(rack, stacks=("trtllm",)).gathers
    assert fabric(rack, scale_up_devices=8, stacks=("trtllm",)).gathers


def test_sockets_reduce_through_shared_memory_as_measured():
    """DeepSpeed on two sockets: 32 KB 23 µs, 64 KB 28 µs, 32 MiB 0.65 ms."""
    net = fabric(resolve_device("xeon-platinum-8480"))
    two = np.array([2.0])
    for size, seconds, within in ((32e3, 23e-6, 0.2), (64e3, 28e-6, 0.3), (2.0**25, 0.65e-3, 0.05)):
        assert all_reduce(net, two, two, np.array([size]))[0] == pytest.approx(seconds, rel=within)


def test_ranks_of_one_domain_write_each_token_once_to_each_rank() -> None:
    rack = fabric(resolve_device("gb200"), stacks=("trtllm",))
    assert rack.one_sided
    assert not fabric(resolve_device("gb200"), stacks=("vllm",)).one_sided
    assert not fabric(resolve_device("b200-sxm"), stacks=("trtllm",)).one_sided
    one, bytes_ = np.ones(2), np.array([2.0])
    few, many = (
        expert_exchange(
            rack,
            "decode",
            "combine",
            ExchangeWork(one * t, one * 32, one, 8.0, 256.0, 7168.0),
            one * 32,
            bytes_,
        )
        for t in (16.0, 4096.0)
    )
    assert (few < many).all()
    # 4,096 tokens to 32·(1 − (31/32)^8) = 7.2 ranks each, 31 of 32 parts over the link
    wire = 4096 * 32 * (1 - (31 / 32) ** 8) * 7168 * 2 * 31 / 32
    speed = rack.domain_bytes_per_s * LINK_FRACTION
    assert many[0, 0] == pytest.approx(wire / speed + rack.domain_floor_seconds)
