"""Numbers of thousands of digits inside words, digits of other scripts, and what TOML forbids.

Python refuses to read a whole number of more than 4,300 digits, and calls ``²`` a digit that it
cannot read.
"""

from __future__ import annotations

import csv
import io
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from support.command_words import DEVICE, MODEL, PRICED, ROOT, took
from support.entrances import plan_sample
from support.laws import command
from support.tape import json_bytes

from planner.lab.validation.cells import BEYOND, MOST_THREADS, parse_int, threads
from planner.lab.validation.names import device_name
from planner.lab.validation.records import REASONS
from planner.lab.validation.table_kinds import PREDICTED

LONG = "9" * 5000
PUBLISHED = {
    "device": "h200_sxm",
    "software": "vllm 0.16.0",
    "model": "llama3.1-8b",
    "metric": "ttft",
    "unit": "ms",
    "w_dtype": "fp8",
    "kv_dtype": "",
    "parallelism": "TP1",
    "batch_or_concurrency": "1",
    "isl": "128",
    "osl": "128",
    "n_devices": "1",
    "value": "20",
}
SERVED = PUBLISHED | {
    "software": "vllm 0.16.0",
    "gemm_dtype": "fp8",
    "concurrency": "8",
    "model": "deepseek-ai/DeepSeek-V3",
}
EXPERTS = {
    "device": "h200_sxm",
    "software": "vllm 0.16.0",
    "moe_dtype": "fp8",
    "kernel": "moe_torch_flow_cutlass",
    "distribution": "balanced",
}
CELLS = [
    ("e2e_published", PUBLISHED, column, cell)
    for column, cell in (
        ("software", f"vllm {LONG}.1"),
        ("parallelism", f"TP{LONG}"),
        ("device", f"{LONG}/gpu"),
        ("device", f"{LONG} GiB"),
        ("device", f"{LONG} GB free"),
    )
]
CELLS += [
    ("e2e_published", PUBLISHED | {"unit": "tok/s"}, "metric", f"pp{LONG}"),
    ("e2e_silicon", SERVED, "software", f"sglang 0.{LONG}"),
    ("e2e_silicon", SERVED, "device", f"a/{LONG}"),
    ("op_moe", EXPERTS, "software", f"trtllm 1.{LONG}"),
    (
        "op_gemm",
        {"device": "h200_sxm", "software": "vllm 0.16.0", "w_a_dtype": "fp8"},
        "device",
        f"{LONG} GiB",
    ),
]


@pytest.mark.parametrize(("name", "row", "column", "cell"), CELLS)
def test_a_cell_that_holds_one_is_answered_or_has_a_reason(
    name: str, row: dict[str, str], column: str, cell: str
) -> None:
    kind = next(kind for kind in PREDICTED if kind.name == name)
    asked = dict.fromkeys(kind.columns, "64") | row | {column: cell}
    found = import_module(kind.predictor).predict_rows("table", [asked])
    assert found
    for one in found:
        assert (
            one.reason in REASONS
            if one.predicted is None
            else 0 < one.low <= one.predicted <= one.high < float("inf")
        )


def test_a_device_of_a_table_is_never_a_file(tmp_path: Path) -> None:
    path = tmp_path / "h200-sxm.toml"
    path.write_bytes((ROOT / "hardware_profiles" / path.name).read_bytes())
    kind = next(kind for kind in PREDICTED if kind.name == "e2e_silicon")
    asked = dict.fromkeys(kind.columns, "64") | SERVED | {"device": str(path)}
    assert {one.reason for one in import_module(kind.predictor).predict_rows("t", [asked])} == {
        "unknown device"
    }


def test_digits_and_threads_are_bounded() -> None:
    assert (parse_int("0"), parse_int("123456789"), parse_int("1234567890")) == (
        0,
        123456789,
        BEYOND,
    )
    assert threads("") == 0
    assert threads(str(MOST_THREADS)) == MOST_THREADS
    assert [threads(text) for text in (str(MOST_THREADS + 1), LONG, "²", "٣", "x", "-1")] == [
        None
    ] * 6
    assert device_name(f"H200 {LONG} GiB") == device_name("H200 1000000 GiB")


CALL = {
    "device": "xeon-6980p",
    "software": "torch 2.13.0",
    "op": "layer",
    "calls": "41",
    "latency_us": "205",
    "threads": "2",
}
GEMMS = [
    {
        "device": "xeon-6980p",
        "software": "llama.cpp b1",
        "kernel": "mul_mat",
        "w_a_dtype": "q8_0",
        "m": str(m),
        "n": str(n),
        "k": "2048",
        "latency_us": str(m * n / 1000),
        "threads": "2",
    }
    for m in (1, 2, 8, 32)
    for n in (1024, 2048, 4096)
]
NARROWED = {
    "device": "xeon-6980p",
    "software": "llama.cpp b1",
    "op": "quantize_row",
    "quant_dtype": "q8_0",
    "m": "64",
    "k": "2048",
    "latency_us": "131",
}
SUMS = [
    {
        "device": "h100_sxm",
        "software": "nccl 2.29.2",
        "op": "all_reduce",
        "mode": "NCCL",
        "dtype": "half",
        "num_gpus": str(ranks),
        "message_elements": str(2**n),
        "latency_us": str(5 + ranks * 2**n / 1e5),
    }
    for n in range(8, 29)
    for ranks in (2, 4, 8)
]
STEP = {
    "device": "xeon-6980p",
    "software": f"vllm {LONG}.1",
    "engine": "vllm",
    "model": MODEL,
    "subject": "plan",
    "types": "=bf16",
    "prompt_tokens": "128",
    "output_tokens": "32",
    "threads": "8",
    "cache": "bf16",
    "quantity": "decode_seconds",
    "measured": "0.02",
    "predicted": "0.018",
    "low": "0.01",
    "high": "0.03",
    "basis": "fitted",
}
TABLES = {
    "threads of calls": {"op_call": [CALL, CALL | {"threads": LONG}]},
    "threads of products": {"op_gemm": [*GEMMS, GEMMS[0] | {"threads": LONG}]},
    "threads beyond a double": {"op_gemm": [*GEMMS, GEMMS[0] | {"threads": "9" * 400}]},
    "threads of narrowing": {"op_gemm": GEMMS, "op_quantize": [NARROWED | {"threads": "x"}]},
    "a long version": {"op_comm": [*SUMS, *(row | {"software": f"nccl 2.{LONG}"} for row in SUMS)]},
    "a version of no digit": {"op_comm": [*SUMS, *(r | {"software": "nccl 2.²"} for r in SUMS)]},
    "an engine's version": {"op_call": [CALL], "e2e_verify": [STEP]},
    "a deleted character": {"op_call": [CALL | {"software": "torch 2\x7f"}]},
    "a deleted name": {"op_call\x7f": [CALL]},
}


@pytest.mark.parametrize("what", TABLES)
def test_what_is_calibrated_from_such_tables_can_be_read(what: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, rows in TABLES[what].items():
        text = io.StringIO()
        csv.writer(text).writerows([list(rows[0]), *(list(row.values()) for row in rows)])
        (tmp_path / "data" / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8")
    device = "h100-sxm" if "op_comm" in TABLES[what] else "xeon-6980p"
    assert took(
        [
            "calibrate",
            "data",
            "-o",
            f"{device}.toml",
            "--device",
            device,
            "--quiet",
            "--date",
            "2026-01-01",
        ],
        tmp_path,
        may_write=(f"{device}.toml",),
        most_seconds=PRICED,
    )
    made = (tmp_path / f"{device}.toml").read_text(encoding="utf-8")
    assert tomllib.loads(made)["fitted"]
    assert "\x7f" not in made
    assert "inf threads" not in made
    assert LONG not in made or "version" in what


@pytest.mark.parametrize("version", [LONG, f"0.{LONG}", "9" * 65, "1.٣", "0.9.²"])
def test_an_engine_has_no_such_version(version: str, tmp_path: Path) -> None:
    ended = command(["estimate", MODEL, DEVICE, "--engine", f"vllm@{version}"], tmp_path)
    assert ended.code == 2
    assert "is not understood" in ended.err


def test_a_plan_with_such_a_chunk_is_exported(tmp_path: Path) -> None:
    plan = plan_sample()
    (chunk,) = (one for one in plan["assumptions"] if one["key"] == "prefill chunk")
    for value in ("² tokens", f"{'9' * 900} tokens"):
        chunk["value"] = value
        (tmp_path / "p.json").write_bytes(json_bytes(plan))
        assert took(["export", "p.json", "out", "--force"], tmp_path, may_write=("out",))
        assert "9" * 20 not in "".join(
            path.read_text(encoding="utf-8")
            for path in (tmp_path / "out").iterdir()
            if path.suffix != ".json"
        )
