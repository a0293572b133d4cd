"""Plans for this machine: what the answer says of it, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from support.machines import epyc, laptop

import planner
from planner.hardware.host.described import described
from planner.hardware.host.detect import profile_of_draft
from planner.hardware.host.linux import linux_facts
from planner.hardware.profile import DeviceProfile
from planner.planning.plan.record import Plan
from planner.planning.price.measured_errors import Z80, assumed_sigma
from planner.planning.question.host_notes import host_notes

SMALL = {"context": 2048, "batch": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> DeviceProfile:
    root = epyc(tmp_path_factory.mktemp("epyc"))
    return profile_of_draft(described(linux_facts("x86_64", frozenset({0, 1}), root)))


@pytest.fixture(scope="module")
def answer(server: DeviceProfile) -> Plan:
    return planner.plan("smollm2-135m", server, engine="llama.cpp", **SMALL)


def told(plan: Plan, key: str) -> str:
    return next(f"{a.value} — {a.reason}" for a in plan.assumptions if a.key == key)


@pytest.mark.exhaustive
def test_the_answer_says_what_was_detected_and_assumed(answer: Plan) -> None:
    machine = told(answer, "this machine")
    assert "Zen 4" in machine
    assert "2 cores" in machine
    assert "23.5 GiB" in machine
    assert "plan measure -o DIR" in machine
    assert "--hardware-dir DIR" in machine
    assert "44 GB/s, 24 to 79 assumed" in told(answer, "memory bandwidth")


def test_what_was_assumed_widens_the_interval(answer: Plan, server: DeviceProfile) -> None:
    drawn = server.bandwidth_bytes_per_s
    assert drawn.low is not None
    assert drawn.high is not None
    assert assumed_sigma(server, "tpot") == pytest.approx(
        math.log(drawn.high / drawn.low) / 2 / Z80
    )
    sure = replace(server, bandwidth_bytes_per_s=replace(drawn, kind="measured"))
    assert assumed_sigma(sure, "tpot") == 0.0
    measured = planner.plan("smollm2-135m", sure, engine="llama.cpp", **SMALL)
    wide, narrow = (p.performance.tpot_seconds for p in (answer, measured))
    assert wide.value == narrow.value
    assert wide.high / wide.value > 1.2 * narrow.high / narrow.value


def test_a_device_of_the_catalogue_is_as_sure_as_before() -> None:
    device = planner.load_device("xeon-6980p")
    assert assumed_sigma(device, "tpot") == assumed_sigma(device, "ttft") == 0.0
    assert not list(host_notes(device))


def test_measured_figures_are_named(server: DeviceProfile) -> None:
    drawn = replace(server.bandwidth_bytes_per_s, kind="measured")
    notes = {
        key: (value, reason)
        for key, value, reason in host_notes(replace(server, bandwidth_bytes_per_s=drawn))
    }
    assert notes["this machine"][1] == "measured here; memory bandwidth"
    assert "bf16 products" in notes["not measured"][0]


def test_a_cpu_with_avx2_alone_runs_ggml_types_and_says_what_it_does_not(tmp_path: Path) -> None:
    facts = linux_facts("x86_64", frozenset(range(8)), laptop(tmp_path))
    device = profile_of_draft(described(facts))
    found = planner.plan("smollm2-135m", device, engine="llama.cpp", max_loss="ggml-q4_0", **SMALL)
    assert found.recommendation is not None
    names = {one for other in found.recommendation.alternatives for one in other.schemes}
    assert any(name.startswith("ggml-") for name in names)
    assert device.why_not("fp8").startswith("no FP8 instruction")
    refused = {r.scheme: r.reason for r in found.refused} if hasattr(found, "refused") else {}
    assert all(refused.values())
