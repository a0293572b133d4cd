"""What was measured takes the place of what was assumed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from support.machines import epyc

from planner.hardware.host.described import described
from planner.hardware.host.detect import profile_of_draft
from planner.hardware.host.facts import Draft
from planner.hardware.host.linux import linux_facts
from planner.lab.measuring.measured_profile import with_measured
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.timing import Timing
from planner.planning.question.host_notes import BUSY, host_notes


@pytest.fixture
def plain(tmp_path: Path) -> Draft:
    return described(linux_facts("x86_64", frozenset({0, 1}), epyc(tmp_path)))


def read(gb_s: float, threads: int = 2) -> Row:
    return row(
        "op_bandwidth",
        "host",
        "numpy 2",
        Timing(1e9 / (gb_s * 1e9), 0.1, 9),
        threads,
        op="read",
        bytes=10**9,
    )


def gemm(software: str, dtype: str, m: int, gflop_s: float, size: int = 4096) -> Row:
    seconds = 2 * m * size * size / (gflop_s * 1e9)
    return row(
        "op_gemm",
        "host",
        software,
        Timing(seconds, 0.05, 9),
        2,
        kernel="linear",
        w_a_dtype=dtype,
        m=m,
        n=size,
        k=size,
    )


def test_bandwidth_is_that_of_reads_by_all_cores(plain: Draft) -> None:
    copy = row("op_bandwidth", "host", "numpy 2", Timing(0.05, 0.0, 9), 2, op="copy", bytes=10**9)
    found = profile_of_draft(with_measured(plain, [read(30.0), read(18.0, 1), copy], "host"))
    drawn = found.bandwidth_bytes_per_s
    assert (drawn.kind, drawn.value) == ("measured", pytest.approx(30e9))
    assert "read by 1 18.0 GB/s" in drawn.note
    assert "copy by 2 20.0 GB/s" in drawn.note
    assert not any(c.startswith("nothing here was measured") for c in found.cautions)


def test_products_give_fractions_of_the_peak(plain: Draft) -> None:
    peak = plain.figures["rates.avx512.bf16.dense"].value
    rows = [
        read(30.0),
        gemm("torch 2.9", "bfloat16", 128, 0.5 * peak / 1e9),
        gemm("torch 2.9", "bfloat16", 32, 0.4 * peak / 1e9),
        gemm("llama.cpp 1", "bf16", 128, 0.9 * peak / 1e9),
    ]
    found = profile_of_draft(with_measured(plain, rows, "host"))
    for name, kind in (("bf16", "measured"), ("moe-bf16", "derived"), ("w4a16", "derived")):
        share = found.achieved[name].compute_fraction
        assert (share.kind, share.value) == (kind, pytest.approx(0.5, rel=1e-4))
        assert ("was not measured" in share.note) is (kind == "derived")
    assert found.achieved["int8"].compute_fraction.kind == "assumed"


def test_a_product_above_the_peak_raises_it(plain: Draft) -> None:
    peak = plain.figures["rates.avx512.fp32.dense"].value
    found = profile_of_draft(
        with_measured(plain, [gemm("numpy 2", "float32", 512, 1.3 * peak / 1e9)], "host")
    )
    rate = found.rates["avx512", "fp32"].dense
    assert (rate.kind, rate.value) == ("measured", pytest.approx(1.3 * peak, rel=1e-4))
    assert found.achieved["fp32"].compute_fraction.value == 1.0
    assert max(r.dense.value for (_, f), r in found.rates.items() if f == "fp32") == rate.value


def test_one_token_gives_the_share_of_the_bandwidth(plain: Draft) -> None:
    seconds = 4096 * 4096 * 2 / 24e9
    one = row(
        "op_gemm",
        "host",
        "torch 2.9",
        Timing(seconds, 0.0, 9),
        2,
        kernel="linear",
        w_a_dtype="bfloat16",
        m=1,
        n=4096,
        k=4096,
    )
    found = profile_of_draft(with_measured(plain, [read(30.0), one], "host"))
    assert found.achieved["bf16"].bandwidth_fraction.value == pytest.approx(0.8, rel=1e-4)
    assert found.achieved["w4a16"].bandwidth_fraction.kind == "assumed"


def test_attention_and_conversion(plain: Draft) -> None:
    own = {
        "kernel": "f",
        "attn_dtype": "bfloat16",
        "kv_dtype": "bfloat16",
        "batch": 1,
        "heads": 32,
        "kv_heads": 8,
        "head_dim": 128,
        "window": 0,
    }
    cache = 2 * 2048 * 8 * 128 * 2
    step = row(
        "op_attn_generation",
        "host",
        "torch 2.9",
        Timing(cache / 15e9, 0.0, 9),
        2,
        kv_len=2048,
        **own,
    )
    widened = row(
        "op_convert",
        "host",
        "torch 2.9",
        Timing(1e-3, 0.0, 9),
        2,
        kernel="to",
        from_dtype="fp8",
        to_dtype="bf16",
        elements=4_000_000,
    )
    found = profile_of_draft(with_measured(plain, [read(30.0), step, widened], "host"))
    drawn = found.achieved["attention-decode"].bandwidth_fraction.value
    assert drawn == pytest.approx(0.5, rel=1e-4)
    assert found.conversion["fp8"].value == pytest.approx(4e9)
    assert found.conversion["int8"].kind == "assumed"


def test_rows_of_another_device_change_nothing(plain: Draft) -> None:
    rows = [read(30.0) | {"device": "h100-sxm"}]
    assert with_measured(plain, rows, "host").text("2026-11-27") == plain.text("2026-11-27")


def test_a_busy_machine_is_told(plain: Draft) -> None:
    found = with_measured(plain, [read(30.0) | {"spread": 0.8}], "host")
    assert any("busy while it was measured" in caution for caution in found.cautions)
    loaded = with_measured(plain, [read(30.0)], "host", busy=f"{BUSY} (load 9 on 2 cores): again")
    assert loaded.cautions[-1].startswith(BUSY)
    device = profile_of_draft(loaded)
    told = {key: reason for key, _, reason in host_notes(device)}
    assert told["measured while busy"] == "again"
    assert tomllib.loads(found.text("2026-11-27"))["cautions"] == found.cautions


def test_what_had_not_its_cores_counts_for_nothing(plain: Draft) -> None:
    """A neighbour that makes a read 50 times too long moves no figure of the profile."""
    slow = read(0.6) | {"share": 0.14}
    found = profile_of_draft(with_measured(plain, [slow], "host"))
    assert found.bandwidth_bytes_per_s == profile_of_draft(plain).bandwidth_bytes_per_s
    assert any("1 of 1 timings" in caution for caution in found.cautions)
    both = profile_of_draft(with_measured(plain, [read(30.0), slow], "host"))
    assert both.bandwidth_bytes_per_s.value == pytest.approx(30e9)
    assert any(note.key == "measured while busy" for note in host_notes(found))
