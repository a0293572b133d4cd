"""This machine as a device: what is read, derived and assumed of it, and what goes before it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.machines import epyc, graviton, laptop, write

import planner
from planner.base.errors import UnsupportedError
from planner.hardware.host import detect
from planner.hardware.host.described import clock_band, core_of, described, gpu_id
from planner.hardware.host.detect import profile_of_draft
from planner.hardware.host.facts import HostFacts, cpu_list, quota_v1, quota_v2, size_bytes
from planner.hardware.host.linux import linux_facts
from planner.hardware.host.mac import mac_facts
from planner.hardware.profile import DeviceProfile


def profile(facts: HostFacts) -> DeviceProfile:
    return profile_of_draft(described(facts))


def of_epyc(root: Path) -> HostFacts:
    return linux_facts("x86_64", frozenset({0, 1}), epyc(root))


def test_a_virtual_server(tmp_path: Path) -> None:
    facts = of_epyc(tmp_path)
    assert (facts.cores, facts.cpus, facts.threads, facts.sockets, facts.nodes) == (2, 2, 2, 1, 1)
    assert (facts.clock_hz, facts.boost_hz) == (2596.140e6, None)
    assert facts.cache_bytes == 32 << 20
    assert facts.memory_bytes == 24684096 * 1024
    assert facts.virtual
    core = core_of(facts)
    assert core is not None
    assert core.known
    assert core.name == "Zen 4"
    found = profile(facts)
    assert [unit for unit, _ in found.rates][:2] == ["avx512-vnni", "avx512"]
    low, clock, high, _ = clock_band(facts, core)
    assert low < clock < high
    vnni = found.rates["avx512-vnni", "int8"].dense
    assert vnni.value == pytest.approx(2 * clock * 128, rel=1e-5)
    assert (vnni.low, vnni.high) == (pytest.approx(2 * low * 128), pytest.approx(2 * high * 128))
    assert found.capacity_bytes.kind == "detected"
    assert found.bandwidth_bytes_per_s.kind == "assumed"
    assert found.bandwidth_bytes_per_s.value == pytest.approx(44e9)


def test_a_laptop_counts_cores_once_and_takes_its_clocks(tmp_path: Path) -> None:
    facts = linux_facts("x86_64", frozenset(range(8)), laptop(tmp_path))
    assert (facts.cores, facts.cpus) == (4, 8)
    assert (facts.clock_hz, facts.boost_hz) == (1.8e9, 4.6e9)
    found = profile(facts)
    assert {unit for unit, _ in found.rates} == {"avx2"}
    assert found.rates["avx2", "bf16"].dense.value == found.rates["avx2", "fp32"].dense.value
    assert "widened to FP32" in found.rates["avx2", "bf16"].dense.note


def test_affinity_leaves_cores_out(tmp_path: Path) -> None:
    facts = linux_facts("x86_64", frozenset({0, 4}), laptop(tmp_path))
    assert (facts.cores, facts.cpus) == (1, 2)


def test_arm_cores_by_their_part_number(tmp_path: Path) -> None:
    facts = linux_facts("aarch64", frozenset(range(4)), graviton(tmp_path))
    core = core_of(facts)
    assert core is not None
    assert core.name == "Neoverse V2 and V3"
    assert facts.reasons["clock"]
    found = profile(facts)
    assert ("neon", "int8") in found.rates
    assert ("sve", "int8") in found.rates
    assert any("clock" in caution for caution in found.cautions)


def test_limits_of_a_container(tmp_path: Path) -> None:
    root = epyc(tmp_path)
    write(root, "proc/self/cgroup", "0::/pod/one\n")
    write(root, "sys/fs/cgroup/pod/one/cpu.max", "max 100000\n")
    write(root, "sys/fs/cgroup/pod/cpu.max", "100000 100000\n")
    write(root, "sys/fs/cgroup/pod/memory.max", f"{4 << 30}\n")
    facts = linux_facts("x86_64", frozenset({0, 1}), root)
    assert (facts.quota, facts.threads, facts.capacity) == (1.0, 1, 4 << 30)
    found = profile(facts)
    assert found.capacity_bytes.value == 4 << 30
    assert found.capacity_bytes.note == "the container's limit"
    assert any("may use 1 CPUs" in caution for caution in found.cautions)


def test_limits_of_an_older_container(tmp_path: Path) -> None:
    root = epyc(tmp_path)
    write(root, "proc/self/cgroup", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n")
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n")
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{8 << 30}\n")
    facts = linux_facts("x86_64", frozenset({0, 1}), root)
    assert (facts.quota, facts.threads, facts.memory_limit) == (1.5, 1, 8 << 30)


def test_a_core_of_no_table_gets_a_wide_band(tmp_path: Path) -> None:
    known = of_epyc(tmp_path)
    unknown = replace(known, vendor="Nobody", family=99, model="1")
    one, other = profile(known), profile(unknown)

    def width(found: DeviceProfile) -> float:
        rate = found.rates["avx512", "fp32"].dense
        assert rate.low is not None
        assert rate.high is not None
        return rate.high / rate.low

    assert width(other) > 1.5 * width(one)
    assert any("in no table of cores" in caution for caution in other.cautions)


def test_every_figure_says_how_it_was_found(tmp_path: Path) -> None:
    text = described(of_epyc(tmp_path)).text("2026-11-27")
    for line in text.splitlines():
        if "value = " in line:
            assert any(f'kind = "{kind}"' in line for kind in ("detected", "derived", "assumed"))


def test_the_digest_is_the_machines_and_not_the_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = of_epyc(tmp_path)
    busy = replace(facts, memory_available=1 << 30)
    assert profile(facts).sha256 == profile(busy).sha256
    assert any("1.0 of 23.5 GiB were free" in caution for caution in profile(busy).cautions)
    assert profile(replace(facts, cores=1)).sha256 != profile(facts).sha256

    class Tomorrow(detect.datetime.date):
        @classmethod
        def today(cls) -> Tomorrow:
            return cls(2031, 1, 1)

    before = profile(facts).sha256
    monkeypatch.setattr(detect.datetime, "date", Tomorrow)
    assert profile(facts).sha256 == before


def test_a_machine_that_tells_nothing_is_refused_with_the_reason(tmp_path: Path) -> None:
    facts = linux_facts("riscv64", frozenset({0}), tmp_path)
    with pytest.raises(UnsupportedError, match="nothing is known of this machine's CPU") as told:
        described(facts)
    assert "profile of your own" in told.value.hint
    with pytest.raises(UnsupportedError, match="how much memory"):
        described(replace(of_epyc(tmp_path), memory_bytes=None))


@pytest.mark.parametrize(
    ("name", "gib", "known"),
    [
        ("NVIDIA H100 80GB HBM3", 500, "h100-sxm"),
        ("NVIDIA H100 PCIe", 500, "h100-pcie"),
        ("NVIDIA H100 NVL", 500, "h100-nvl"),
        ("NVIDIA H200", 500, "h200-sxm"),
        ("NVIDIA GB200", 500, "gb200"),
        ("NVIDIA L40S", 64, "l40s"),
        ("NVIDIA A100-SXM4-80GB", 500, "a100-sxm"),
        ("NVIDIA A100-SXM4-40GB", 500, ""),
        ("NVIDIA Jetson AGX Orin Developer Kit", 61, "jetson-agx-orin-64gb"),
        ("NVIDIA Jetson AGX Orin Developer Kit", 30, "jetson-agx-orin-32gb"),
        ("NVIDIA GeForce GTX 1080", 32, ""),
    ],
)
def test_gpus_are_named_as_the_catalogue_names_them(name: str, gib: int, known: str) -> None:
    assert gpu_id(name, gib << 30) == known
    if known:
        assert planner.load_device(known).id == known


def test_a_gpu_is_suggested_and_host_is_the_cpu(tmp_path: Path) -> None:
    root = epyc(tmp_path)
    write(
        root,
        "proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA H100 PCIe\nIRQ:   1\n",
    )
    facts = linux_facts("x86_64", frozenset({0, 1}), root)
    assert facts.gpus == ("NVIDIA H100 PCIe",)
    found = profile(facts)
    assert found.kind == "cpu"
    assert any("plan MODEL h100-pcie" in caution for caution in found.cautions)


class FakeSysctl:
    """sysctl of an M3 Max."""

    TEXTS: ClassVar = {"machdep.cpu.brand_string": "Apple M3 Max"}
    NUMBERS: ClassVar = {
        "hw.logicalcpu": 16,
        "hw.physicalcpu": 16,
        "hw.perflevel0.physicalcpu": 12,
        "hw.memsize": 64 << 30,
        "hw.perflevel0.l2cachesize": 16 << 20,
        "hw.optional.AdvSIMD": 1,
        "hw.optional.arm.FEAT_DotProd": 1,
        "hw.optional.arm.FEAT_BF16": 1,
    }

    def number(self, name: str) -> int | None:
        return self.NUMBERS.get(name)

    def text(self, name: str) -> str:
        return self.TEXTS.get(name, "")


def test_a_mac_takes_its_fast_cores() -> None:
    facts = mac_facts("arm64", FakeSysctl())  # type: ignore[arg-type]
    assert (facts.cores, facts.cpus) == (12, 16)
    found = profile(facts)
    assert found.architecture == "Apple M"
    assert ("neon", "int8") in found.rates
    assert any(caution.startswith("clock: ") for caution in found.cautions)


def test_host_is_this_machine() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("no affinity on this system")
    found = planner.load_device("HOST")
    assert (found.id, found.kind) == ("host", "cpu")
    assert found.capacity_bytes.value > 1 << 20


def test_a_file_goes_before_what_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "host.toml").write_text(
        described(of_epyc(tmp_path / "root")).text("2026-11-27"), encoding="utf-8"
    )
    monkeypatch.setattr(detect, "host_profile", lambda: pytest.fail("detected all the same"))
    assert planner.load_device("host", hardware_dir=tmp_path).architecture == "Zen 4"
    monkeypatch.setenv("PLAN_HARDWARE_PATH", str(tmp_path))
    assert planner.load_device("host").path == str(tmp_path / "host.toml")


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_quotas_of_both_versions_agree(quota: int, period: int) -> None:
    assert (
        quota_v2(f"{quota} {period}\n") == quota_v1(f"{quota}\n", f"{period}\n") == quota / period
    )


def test_texts_that_say_nothing_are_none() -> None:
    assert quota_v2("max 100000") is None
    assert quota_v1("-1", "100000") is None
    assert quota_v2("") is None
    assert quota_v1("", "") is None
    assert (size_bytes("32768K"), size_bytes("1M"), size_bytes("?")) == (32 << 20, 1 << 20, None)
    assert cpu_list("0-2,5,x") == {0, 1, 2, 5}
