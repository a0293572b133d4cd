"""Limits of their own percentiles: how they are read, kept and refused."""

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.served_ranks import served_rank

import planner
from planner.cli.main import run
from planner.planning.question.percentile_limits import LimitAt, limit_at, mean_limit
from planner.sizing.capacity_record import Capacity
from planner.sizing.level import request_percentile
from planner.sizing.replicas import ReplicaGroup
from planner.sizing.service_level import ServiceLevel, level_of

SHORT = ["llama-3.1-8b", "h100-sxm", "--engine", "vllm", "--isl", "1024", "--osl", "128"]


@given(st.floats(0.1, 99.9), st.floats(1e-3, 1e4))
def test_a_percentile_and_its_time_are_read_in_either_unit(
    percentile: float, seconds: float
) -> None:
    for text in (f"p{percentile:.6f}:{seconds:.9f}s", f"P{percentile:.6f}: {1e3 * seconds:.6f} MS"):
        found = limit_at("ttft_seconds", text)
        assert found is not None
        assert found.percentile == pytest.approx(percentile, rel=1e-5)
        assert found.seconds == pytest.approx(seconds, rel=1e-4)


def test_numbers_and_none_are_what_they_were() -> None:
    assert limit_at("tpot_seconds", 0.05) == LimitAt(0.05)
    assert limit_at("tpot_seconds", "none") is limit_at("tpot_seconds", None) is None
    assert mean_limit("tpot_seconds", 0.05) == 0.05


@pytest.mark.parametrize("text", ["p0:1s", "p100:1s", "p99:0s", "p99:1", "99:1s", "p9.9.9:1s", ""])
def test_a_text_that_is_no_limit_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(planner.InputError, match="no limit on time") as refused:
        limit_at("ttft_seconds", text)
    assert "p99:2000ms" in str(refused.value.hint)


@pytest.mark.parametrize("verb", ["plan", "estimate", "frontier", "explain"])
def test_without_a_rate_a_percentile_is_refused(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([verb, *SHORT, "--ttft-ms", "p99:2000"]) == 2
    assert "--rate R" in capsys.readouterr().err


def times_of(level: ServiceLevel) -> tuple[float, float, float]:
    rank = served_rank()
    times = ReplicaGroup(rank, 4.0, "least-loaded").within(4, level)
    assert times is not None
    return times.ttft, times.tpot, times.e2e


def test_each_limit_is_held_against_its_own_percentile() -> None:
    both = [times_of(ServiceLevel(1.0, 1.0, p, 1.0)) for p in (50.0, 99.0)]
    mixed = times_of(level_of(LimitAt(1.0, 99.0), LimitAt(1.0), LimitAt(1.0, 99.0), 50.0))
    assert mixed == (both[1][0], both[0][1], both[1][2])
    assert both[1][0] > both[0][0]
    assert both[1][2] > both[0][2]


def test_a_whole_request_is_no_shorter_than_its_parts_on_average() -> None:
    rank = served_rank()
    for share in (0.5, 0.9, 0.99):
        times = ReplicaGroup(rank, 4.0, "least-loaded").at(4, share)
        assert times is not None
        mean = times.mean_ttft + (rank.osl - 1) * times.mean_tpot
        together = times.ttft + (rank.osl - 1) * times.tpot
        assert times.e2e == pytest.approx(
            min(max(times.e2e, min(mean, together)), max(mean, together)), rel=1e-9
        )


SECONDS = st.floats(1e-3, 10.0)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.integers(1, 500))
def test_a_whole_request_lies_between_its_parts(
    first: float, first_mean: float, each: float, each_mean: float, osl: int
) -> None:
    """And where one of them does not vary, it varies by the other alone."""

    def whole(first: float, each: float) -> float:
        return request_percentile((first, first_mean), (each, each_mean), osl)

    mean, together = first_mean + (osl - 1) * each_mean, first + (osl - 1) * each
    least, most = sorted((mean, together))
    assert least * (1 - 1e-12) <= whole(first, each) <= most * (1 + 1e-12)
    assert whole(first, each) >= first
    assert whole(first_mean, each) == pytest.approx(mean + (osl - 1) * (each - each_mean))
    assert whole(max(first, first_mean), each_mean) == pytest.approx(
        mean + max(first - first_mean, 0.0)
    )


def test_parts_that_vary_by_themselves_add_as_squares() -> None:
    assert request_percentile((4.0, 1.0), (1.5, 1.0), 9) == pytest.approx(1.0 + 8.0 + 5.0)
    assert request_percentile((0.4, 1.0), (0.9, 1.0), 9) == pytest.approx(9.0 - 1.0)


@cache
def asked(ttft: str | None = None, e2e: str | float | None = None) -> Capacity:
    return planner.capacity(
        "llama-3.1-8b",
        "h100-sxm",
        rate=60.0,
        schemes=["bf16"],
        kv="bf16",
        engine="vllm",
        isl=1024,
        osl=128,
        ttft_seconds=ttft,
        e2e_seconds=e2e,
    )


def test_a_higher_percentile_needs_no_fewer_devices() -> None:
    counts = [asked(f"p{p}:60ms").devices for p in (50, 90, 99)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert asked("p99:60ms").percentile_of("TTFT") == 99


def test_a_limit_on_whole_requests_is_kept_and_told() -> None:
    found = asked(None, 4.0)
    assert found.e2e_seconds is not None
    assert found.e2e_seconds.value <= 4.0
    assert "E2E" in str(found)
    assert "limit 4 s" in " ".join(str(found).split())
    assert asked(None, "p99:4s").devices >= found.devices >= asked(None, 8.0).devices


def test_a_fleet_s_file_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fleet.toml"
    text = """
[[device]]
name = "l40s"
count = 16
price = 1.0
[[model]]
model = "qwen2.5-0.5b"
rate = 20
ttft_ms = "p99:800"
e2e_ms = {e2e}
workload = {{ isl = 256, osl = 64 }}
"""
    file.write_text(text.format(e2e=9000))
    assert run(["fleet", str(file), "--quiet", "--json", "--workers", "1"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    limits = {one["what"]: (one["seconds"], one["percentile"]) for one in model["limits"]}
    assert limits == {"TTFT": (0.8, 99.0), "E2E": (9.0, 90.0)}
    file.write_text(text.format(e2e='"p99"'))
    assert run(["fleet", str(file), "--quiet"]) == 2
    assert "e2e_ms = 'p99'" in capsys.readouterr().err
