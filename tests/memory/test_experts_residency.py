"""Residency of experts: sizes by hand, optimality by enumeration, fetch times."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.catalog import resolve_device
from planner.memory.experts import always_on_bytes, expert_bytes, place
from planner.models.catalog import resolve_model
from planner.models.inventory import patterns_of
from planner.placement.routing import power_law_popularity, touched
from planner.throughput.residency import (
    C2C,
    DRIVE,
    Fetch,
    Link,
    fetch_seconds,
    host_link,
    load_seconds,
    step_seconds,
)


@pytest.mark.parametrize(
    ("id", "size"),
    [
        ("deepseek-v3", 44_050_944),
        ("qwen3-30b-a3b", 3 * 768 * 2048 * 2),
        ("mixtral-8x7b", 3 * 4096 * 14336 * 2),
    ],
)
def test_bytes_of_one_expert(id: str, size: int) -> None:
    """V3: 44,040,192 FP8 elements and 2,688 FP32 scales."""
    spec = resolve_model(id)
    assert expert_bytes(spec) == size
    assert spec.experts is not None
    main = sum(p.bytes for r in spec.rows if r.part == "main" for p in patterns_of(r))
    assert always_on_bytes(spec) + len(spec.experts.layers) * spec.experts.count * size == main


def test_a_dense_model_has_no_experts() -> None:
    with pytest.raises(UnsupportedError, match="no routed experts"):
        expert_bytes(resolve_model("llama-3.1-8b"))


def test_hottest_first_is_optimal() -> None:
    """Against every choice of four of nine experts."""
    rng = np.random.default_rng(2)
    p = rng.permutation(power_law_popularity(9, 2, 1.1))[None]
    hits = touched(p, 5)
    got = place(p, hits, size=10, device_bytes=49, host_bytes=None)
    best = min(10 * (hits.sum() - hits[0, list(kept)].sum()) for kept in combinations(range(9), 4))
    assert (got.device.experts, got.host.experts, got.drive.experts) == (4, 5, 0)
    assert got.host_bytes_per_step == pytest.approx(best)
    assert got.hit_rate == pytest.approx(1 - best / 10 / hits.sum())


@settings(max_examples=60, deadline=None)
@given(
    layers=st.integers(1, 4),
    count=st.integers(1, 32),
    skew=st.floats(0, 3),
    room=st.integers(0, 4000),
    host=st.integers(0, 4000),
    ranks=st.integers(1, 4),
)
def test_tiers_hold_everything_and_more_room_never_hurts(
    layers: int, count: int, skew: float, room: int, host: int, ranks: int
) -> None:
    p = np.broadcast_to(power_law_popularity(count, 1, skew), (layers, count))
    hits = touched(p, 3)
    got = place(p, hits, size=37, device_bytes=room, host_bytes=host, ranks=ranks)
    assert got.experts == layers * count
    assert got.touched == pytest.approx(hits.sum())
    assert got.device.picks + got.host.picks + got.drive.picks == pytest.approx(1)
    assert got.device.experts * 37 <= room * ranks
    assert got.host.experts * 37 <= host
    more = place(p, hits, size=37, device_bytes=room + 37, host_bytes=host, ranks=ranks)
    assert more.hit_rate >= got.hit_rate - 1e-12


def test_no_room_is_refused() -> None:
    one = np.ones((1, 1))
    with pytest.raises(InputError, match="room of -1"):
        place(one, one, size=1, device_bytes=-1, host_bytes=None)
    with pytest.raises(InputError, match="popularity"):
        place(one, np.ones((2, 1)), size=1, device_bytes=1, host_bytes=None)


def test_fetch_time_by_hand() -> None:
    p = np.array([[0.5, 0.25, 0.25]])
    got = place(p, p, size=1000, device_bytes=1000, host_bytes=1000)
    fetch = fetch_seconds(got, Link("pcie", 1e6, 1e-4, ""), Link("nvme", 1e5, 1e-3, ""))
    assert fetch.host_seconds == pytest.approx(0.25 * (1e-3 + 1e-4))
    assert fetch.drive_seconds == pytest.approx(0.25 * (1e-2 + 1.1e-3))
    two = place(p, p, size=1000, device_bytes=0, host_bytes=None, ranks=2)
    assert fetch_seconds(two, Link("pcie", 1e6, 0, ""), DRIVE).seconds == pytest.approx(0.5e-3)


def test_a_step_waits_or_hides_the_fetch() -> None:
    fetch = Fetch(0.03, 0.01)
    assert step_seconds(0.05, fetch, prefetched=False) == pytest.approx(0.09)
    assert step_seconds(0.05, fetch, prefetched=True) == 0.05
    assert step_seconds(0.01, fetch, prefetched=True) == pytest.approx(0.04)
    with pytest.raises(InputError):
        step_seconds(-1, fetch, prefetched=True)


def test_links_of_devices() -> None:
    assert host_link(resolve_device("h100-sxm")).bytes_per_s == 64e9
    assert host_link(resolve_device("gb200"), "nvlink-c2c") is C2C
    with pytest.raises(UnsupportedError, match="NVLink-C2C"):
        host_link(resolve_device("h100-sxm"), "nvlink-c2c")
    with pytest.raises(UnsupportedError, match="no link to a host"):
        host_link(resolve_device("jetson-agx-orin-64gb"))
    with pytest.raises(InputError, match="'cxl'"):
        host_link(resolve_device("h100-sxm"), "cxl")


def test_loading() -> None:
    """A V3 expert over PCIe 5.0 ×16 takes 0.69 ms; 688.6 GB from one drive 98 s."""
    pcie = Link("pcie", 64e9, 0.0, "")
    assert load_seconds(44_050_944, 1, pcie) == pytest.approx(688e-6, rel=1e-3)
    assert load_seconds(688_574_839_360, 1, DRIVE) == pytest.approx(98.4, rel=1e-3)
    assert load_seconds(8, 8, pcie) == pytest.approx(1 / 64e9)
