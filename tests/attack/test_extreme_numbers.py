"""Numbers at the ends of what a float holds, in every flag that takes one."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import pytest
from support.laws import command

import planner
from planner.base.errors import DataError, InputError
from planner.lab.calibration.ggml_attention import fit_tables
from planner.planning.question.prices import checked_price
from planner.sizing.fleet.fleet_file import FileErrors, fleet_input

SIZED = [
    "capacity",
    "qwen2.5-0.5b",
    "l40s",
    "--ttft-ms",
    "1000",
    "--tpot-ms",
    "50",
    "--workload",
    "chat",
    "--quiet",
]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--rate", "5e-324"], "rate"),
        (["--rate", "1e-320/day"], "rate"),
        (["--rate", "1e300"], "rate"),
        (["--rate", "1", "--percentile", "5e-324"], "percentile"),
    ],
)
def test_a_rate_or_percentile_that_no_queue_has(
    flags: list[str],
    told: str,
    tmp_path: Path,
) -> None:
    ended = command([*SIZED, *flags], tmp_path)
    assert ended.code == 2
    assert told in ended.err.split("\n")[0]
    assert "out of range" in ended.err


@pytest.mark.parametrize(
    ("key", "value"),
    [("rate", 5e-324), ("rate", "1e-320/day"), ("rate", 1e300), ("percentile", 5e-324)],
)
def test_a_fleet_of_such_a_rate(key: str, value: object) -> None:
    model = {
        "model": "qwen2.5-0.5b",
        "rate": 1.0,
        "ttft_ms": 1000.0,
        "workload": "chat",
        key: value,
    }
    errors = FileErrors("f.toml")
    fleet_input({"device": [{"name": "l40s", "count": 1}], "model": [model]}, errors)
    with pytest.raises(DataError, match=key):
        errors.end()


@pytest.mark.parametrize(
    "changes",
    [
        {"ttft_seconds": 10**400},
        {"tpot_seconds": 10**400},
        {"max_loss": 10**400},
        {"max_loss": -(10**400)},
        {"batch": 10**5000},
        {"verb": 10**5000},
    ],
    ids=lambda one: next(iter(one)),
)
def test_a_question_with_a_number_beyond_a_double(changes: dict[str, object]) -> None:
    asked = {"model": "qwen2.5-0.5b", "device": "l40s", "batch": 4, "context": 2048} | changes
    with pytest.raises(InputError) as refused:
        planner.sweep([asked])
    assert "an integer of " in str(refused.value)


def test_a_price_beyond_a_double() -> None:
    for price in (10**5000, {"l40s": 10**400}):
        with pytest.raises(InputError, match="an integer of"):
            checked_price(price, "price")


def test_attention_that_is_quicker_than_its_launch_gives_finite_figures() -> None:
    rows = [
        {
            "device": "xeon-6980p",
            "software": "llama.cpp b1",
            "kv_dtype": "f16",
            "batch": "1",
            "heads": "14",
            "kv_heads": "2",
            "head_dim": "64",
            "threads": "2",
            "kv_len": str(length),
            "latency_us": "1e-9",
        }
        for length in (64, 512, 1024)
    ]
    ((_, found),) = fit_tables(rows, {})
    assert 0 < found.parameters["element_seconds"] < 1e-20
    assert isfinite(found.error.sigma)
