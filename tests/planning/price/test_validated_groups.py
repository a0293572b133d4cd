"""The error of the nearest validated group beside every performance value."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.questions import found_of

import planner
from planner.formats.schemes import scheme_ids
from planner.hardware.catalog import device_ids
from planner.lab.validation.records import Outcome
from planner.lookup import load_device
from planner.planning.price import intervals
from planner.planning.price.measured_errors import _groups, nearest
from planner.planning.price.price import price
from tests.support import theory

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "throughput_validation.py"


def test_groups_are_of_known_devices_and_schemes() -> None:
    groups = _groups()
    assert groups
    for (device, scheme, kind, metric), found in groups.items():
        assert device in device_ids()
        assert scheme in scheme_ids()
        assert kind in ("dense", "moe")
        assert metric in ("tpot", "ttft")
        assert found.n >= 3
        assert 0 < found.median_ape < 200


@pytest.mark.parametrize(
    ("model", "device", "scheme", "kind"),
    [
        ("llama-3.1-70b", "h200-sxm", "fp8-tensor", "dense"),
        ("deepseek-v3", "h200-sxm", "fp8-block", "moe"),
    ],
)
def test_a_plan_quotes_its_group(model: str, device: str, scheme: str, kind: str) -> None:
    plan = theory.estimate(
        model, device, scheme=scheme, devices=8, tp=8, batch=16, isl=1024, osl=1024
    )
    perf = plan.performance
    tpot = nearest(device, scheme, experts=kind == "moe", metric="tpot")
    assert tpot is not None
    assert perf.tpot_seconds.validated == tpot
    assert perf.output_tokens_per_second.validated == tpot
    assert perf.output_tokens_per_second_per_device.validated == tpot
    assert perf.ttft_seconds.validated == nearest(
        device, scheme, experts=kind == "moe", metric="ttft"
    )
    assert planner.read_plan(plan.to_dict()) == plan


def test_no_plan_with_weights_in_host_memory_was_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_of()
    priced = price(found.space, found.candidate, found.segments)
    model = found.space.model
    offload: Any = SimpleNamespace(host=load_device("xeon-6980p"))
    away = replace(model, question=replace(model.question, offload=offload))
    monkeypatch.setattr(intervals, "nearest", lambda *_, metric, **__: metric)
    for measured, told in ((model, ("tpot", "ttft")), (away, (None, None))):
        perf = intervals.performance(measured, priced, 1)
        assert (perf.tpot_seconds.validated, perf.ttft_seconds.validated) == told


def test_nothing_is_borrowed_from_another_device_or_format() -> None:
    assert nearest("l40s", "fp8-tensor", experts=False, metric="tpot") is None
    plan = theory.estimate(
        "llama-3.1-8b", "l40s", scheme="bf16", devices=1, batch=8, isl=1024, osl=256
    )
    assert plan.performance.tpot_seconds.validated is None
    assert "validated" not in plan.to_dict()["performance"]["tpot_seconds"]


def test_the_script_quotes_medians_of_headline_rows_alone() -> None:
    spec = importlib.util.spec_from_file_location("throughput_validation", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def row(error: float, regime: str = "aggregated", model: str = "llama-3.1-8b") -> Outcome:
        return Outcome(
            "e2e_x",
            0,
            "tpot",
            "h100-sxm",
            "vllm",
            model,
            "bf16",
            regime,
            measured=1.0,
            predicted=1.0 + error,
        )

    rows = [
        row(0.1),
        row(-0.2),
        row(0.3),
        row(9.0, "excluded: why"),
        row(5.0, model="mixtral-8x7b"),
    ]
    (only,) = script.quoted(rows)
    assert only == (("h100-sxm", "bf16", "dense", "tpot", "e2e_x"), 3, pytest.approx(20.0))
    text = script.data_file([only])
    assert 'class = "dense"' in text
    assert "median_ape = 20.0" in text
