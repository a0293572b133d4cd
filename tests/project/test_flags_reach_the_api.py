"""Every flag's value arrives at the function of the same name; milliseconds become seconds."""

from typing import Any, NoReturn

import pytest

from planner.base.errors import InfeasibleError
from planner.cli.main import run

GIVEN = {
    "devices": 8,
    "tp": 4,
    "dp": 2,
    "pp": 1,
    "ep": 8,
    "context": 4096,
    "isl": 3000,
    "osl": 1000,
    "batch": 16,
    "concurrency": 32,
    "objective": "latency",
    "price": 2.5,
    "memory_bytes": 70_000_000_000,
    "kv": "fp8",
    "engine": "vllm",
    "scenario": "some-scenario",
    "hardware_dir": "some-folder",
    "no_learned": True,
    "profile": "some-file",
    "imatrix": "a-matrix",
    "anchor": "tpot_ms=12.5",
    "workload": "rag",
    "slots": "full",
    "prefix_hit_rate": 0.5,
    "host": "a-cpu",
    "host_sockets": 2,
    "host_memory_bytes": 500_000_000_000,
    "reuse": "chat",
    "kv_offload": "host",
    "kv_offload_bytes": 5,
    "speculation": "mtp",
    "draft_tokens": 2,
    "acceptance": 0.8,
}
PLAN_ONLY: dict[str, Any] = {
    "max_loss": "bf16",
    "file_bytes": 5_000_000_000,
    "min_gain": 7.0,
    "new_weights": "no",
    "mode": "disaggregated",
    "rate": 20.0,
    "prefill_device": "another-device",
    "transfer_bytes_per_s": 25e9,
}


class Recorder:
    """Takes the place of a function of the API, keeps its arguments and answers nothing."""

    def __init__(self) -> None:
        self.positional: tuple[Any, ...] = ()
        self.keywords: dict[str, Any] = {}

    def __call__(self, *positional: Any, **keywords: Any) -> NoReturn:
        self.positional, self.keywords = positional, keywords
        raise InfeasibleError("recorded", hint="nothing was computed")


def as_flags(values: dict[str, Any]) -> list[str]:
    return [
        part
        for name, value in values.items()
        for part in ("--" + name.replace("_", "-"), *([] if value is True else [str(value)]))
    ]


def called(monkeypatch: pytest.MonkeyPatch, function: str, arguments: list[str]) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(f"planner.api.{function}.{function}", recorder)
    assert run(arguments) == 1
    return recorder


def test_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    got = called(
        monkeypatch,
        "plan",
        [
            "a-model",
            "a-device",
            *as_flags({**GIVEN, **PLAN_ONLY}),
            "--schemes",
            "bf16,fp8-block",
            "--ttft-ms",
            "500",
            "--tpot-ms",
            "25",
            "--e2e-ms",
            "30000",
            "--untie",
            "--exact",
            "--allow-unmeasured",
            "--drop-policies",
            "head,First_Layers",
        ],
    )
    assert got.positional == ("a-model", "a-device")
    assert got.keywords == {
        **GIVEN,
        **PLAN_ONLY,
        "schemes": ["bf16", "fp8-block"],
        "untie": True,
        "exact": True,
        "allow_unmeasured": True,
        "drop_policies": ["head", "first-layers"],
        "ttft_seconds": pytest.approx(0.5),
        "tpot_seconds": pytest.approx(0.025),
        "e2e_seconds": pytest.approx(30.0),
    }


def test_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    got = called(
        monkeypatch,
        "estimate",
        [
            "estimate",
            "a-model",
            "a-device",
            *as_flags(GIVEN),
            "--scheme",
            "int8-w8a8",
            "--ttft-ms",
            "500",
            "--tpot-ms",
            "25",
            "--e2e-ms",
            "30000",
        ],
    )
    assert got.positional == ("a-model", "a-device")
    assert got.keywords == {
        **GIVEN,
        "chunk_tokens": None,
        "requests": None,
        "same_lengths": False,
        "scheme": "int8-w8a8",
        "ttft_seconds": pytest.approx(0.5),
        "tpot_seconds": pytest.approx(0.025),
        "e2e_seconds": pytest.approx(30.0),
    }


def test_the_default_verb_is_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    short = called(monkeypatch, "plan", ["a-model", "a-device", "--context", "4096"])
    spelled = called(monkeypatch, "plan", ["plan", "a-model", "a-device", "--context", "4096"])
    assert (short.positional, short.keywords) == (spelled.positional, spelled.keywords)
    assert short.keywords["context"] == 4096
