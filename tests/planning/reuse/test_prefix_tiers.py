"""What is found on the devices and beyond them, and when loading is worth it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.catalog import resolve_device
from planner.planning.engines.kv_offload import engines_with, prefix_tier
from planner.planning.question.workload import Workload
from planner.planning.reuse.hits import MOST_BUSY, OffloadRoom, PrefixHits, PrefixRoom, hits_of
from planner.planning.reuse.tier import OffloadTier, host_memory, offload_tier, tier_link
from planner.reuse import Reuse, ReuseClass, hit_rate
from planner.throughput.residency import DRIVE, Link, host_link

REUSE = Reuse("x", "y", (ReuseClass("turns", 0.5, "seconds", 100.0, 700.0),))
WORK = Workload(2000, 1000, 200, "")
ROOM = PrefixRoom(50_000.0, 100_000.0)
LINK = Link("pcie", 50e9, 1e-5, "some")


def reading(share: float) -> float:
    """Seconds until the first token where ``share`` is found."""
    return 0.5 * (1 - share)


def found(
    tokens: float, link: Link = LINK, *, includes: bool = False, rate: float = 2.0
) -> PrefixHits:
    tier = OffloadTier("host", int(tokens * ROOM.token_bytes), link, "given")
    return hits_of(REUSE, WORK, ROOM, OffloadRoom(tier, tokens, includes, "some"), rate, reading)


def test_a_tier_adds_what_its_room_finds() -> None:
    none = hits_of(REUSE, WORK, ROOM, None, 2.0, reading)
    assert none.whole == none.device == hit_rate(REUSE, 50_000, 2.0, isl=1000, osl=200)
    beside, inside = found(500_000), found(500_000, includes=True)
    assert beside.whole == pytest.approx(hit_rate(REUSE, 550_000, 2.0, isl=1000, osl=200))
    assert inside.whole == pytest.approx(hit_rate(REUSE, 500_000, 2.0, isl=1000, osl=200))
    assert none.whole < inside.whole < beside.whole < REUSE.ideal


def test_a_tier_that_repeats_a_larger_pool_adds_nothing() -> None:
    same = found(40_000, includes=True)
    assert same.whole == same.device
    assert same.loads is not None
    assert not same.loads.worth
    assert same.loads.tokens == same.loads.seconds == same.loads.busy == 0


def test_what_is_loaded_slower_than_computed_is_computed() -> None:
    slow = found(500_000, replace(LINK, bytes_per_s=1e8, floor_seconds=1.0))
    assert slow.loads is not None
    assert slow.loads.seconds > slow.loads.compute_seconds
    assert not slow.loads.worth
    assert slow.whole == slow.device


def test_seconds_of_a_load_are_bytes_over_the_link_and_its_wait() -> None:
    loads = found(500_000).loads
    assert loads is not None
    alone = loads.tokens * ROOM.token_bytes / 50e9 + 1e-5
    assert loads.busy == pytest.approx(2.0 * alone)
    assert loads.seconds == pytest.approx(alone * (1 + loads.busy / (2 * (1 - loads.busy))))
    assert loads.compute_seconds == pytest.approx(0.5 * loads.tokens / 1000)


@given(st.floats(1e7, 1e12), st.floats(0.1, 100), st.floats(1e3, 1e8), st.booleans())
def test_laws_of_loading(speed: float, rate: float, tokens: float, includes: bool) -> None:
    one = found(tokens, replace(LINK, bytes_per_s=speed), includes=includes, rate=rate)
    assert one.loads is not None
    assert one.device <= one.whole <= REUSE.ideal
    assert 0 <= one.loads.busy <= MOST_BUSY * (1 + 1e-9)
    if one.loads.worth:
        assert one.loads.seconds < one.loads.compute_seconds
    else:
        assert one.whole == one.device


def test_links_of_devices() -> None:
    h100, gb200 = resolve_device("h100-sxm"), resolve_device("gb200")
    assert tier_link(h100, "host") == host_link(h100)
    drive = tier_link(h100, "nvme")
    assert drive.bytes_per_s == DRIVE.bytes_per_s
    assert drive.floor_seconds > DRIVE.floor_seconds
    fast, memory = tier_link(gb200, "host"), host_memory(gb200)
    assert memory is not None
    assert fast.id == "nvlink-c2c"
    assert host_link(gb200).bytes_per_s < fast.bytes_per_s == memory.bytes_per_s < 450e9
    assert offload_tier(gb200, "host", None).bytes_per_device == memory.size


@pytest.mark.parametrize(
    ("device", "kind", "size", "error", "wrong"),
    [
        ("h100-sxm", "disk", 1, InputError, "kv-offload = 'disk'"),
        ("h100-sxm", "host", 0, InputError, "out of range"),
        ("h100-sxm", "host", 1 << 60, InputError, "out of range"),
        ("h100-sxm", "host", None, InputError, "is not known"),
        ("gb200", "nvme", None, InputError, "is not known"),
        ("jetson-agx-thor-t5000", "host", 1 << 30, UnsupportedError, "they are one"),
        ("xeon-6980p", "host", 1 << 30, UnsupportedError, "they are one"),
    ],
)
def test_tiers_that_are_not_there(
    device: str, kind: str, size: int | None, error: type[InputError], wrong: str
) -> None:
    with pytest.raises(error) as told:
        offload_tier(resolve_device(device), kind, size)
    assert wrong in str(told.value)
    assert told.value.hint


def test_engines_keep_prefixes_by_version() -> None:
    host = prefix_tier("sglang", "", "host")
    assert host is not None
    assert host.includes
    assert prefix_tier("vllm", "0.11", "host") is None
    assert prefix_tier("vllm", "0.11", "device") is not None
    assert prefix_tier("tensorrt-llm", "", "nvme") is None
    assert all(prefix_tier("pytorch", "", kind) is None for kind in ("device", "host", "nvme"))
    assert prefix_tier("any", "", "nvme") is not None
    assert "llama.cpp" in engines_with("host")
