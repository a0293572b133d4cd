"""Folders of tables that nobody meant well: exit 0, no traceback, every row accounted for."""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fleets import made

from planner.base.csv_text import csv_cell
from planner.cli.fleet import table
from planner.cli.main import run
from planner.lab.validation.records import EXCLUDED, REASONS, ROW_COLUMNS, WITHOUT_HOST, Outcome
from planner.lab.validation.run import validate
from planner.lab.validation.table_kinds import PREDICTED, TableKind

HOSTILE = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "",
    "1e308",
    "1e-308",
    "9" * 5000,
    "1e9",
    "1000000000",
    "TP7",
    "EP0",
    "TP0",
    "EP999999999999",
    "Offline",
    "1-8",
    "max load",
    "256/GPU",
    "=cmd|' /C calc'!A1",
    "+1+1",
    "@SUM(A1)",
    "ünïcödé 模型",
    "٣",
    "1_000",
    "1,5",
    "0x10",
    "None",
    "true",
    " 12 ",
    "1e400",
    "-0.0",
    "4096.7",
    "' OR 1=1 --",
    "../../etc/passwd",
    "a\nb",
    "agg:TP7/PP1/ADP1/mTP1/mEP7",
    "P0x[TP0]+D0x[TP0]",
    "pp99999999999",
    "power_law_1e9",
    "P1x[TP8/PP1/ADP8/mTP1/mEP999999999]+D9999999x[TP8/PP1/ADP999999/mTP3/mEP7]",
)
PLAUSIBLE: dict[str, tuple[str, ...]] = {
    "device": ("h200_sxm", "gb200", "H100", "Xeon 6980P", "Jetson AGX Thor T5000", "nothing"),
    "software": ("vllm 0.16.0", "trtllm 1.0.0", "sglang 0.5.8", "TensorRT-LLM 1.0", "llama.cpp"),
    "model": ("deepseek-ai/DeepSeek-V3", "LLaMA 7B", "llama3.1-8b", "gpt-oss-120b", "nobody"),
    "metric": (
        "ttft",
        "tpot",
        "output_tokens_per_s_total",
        "pp512",
        "tg128",
        "latency",
        "throughput_server",
        "prefill_ms",
        "decode_tokens_per_s",
        "dispatch_bw",
    ),
    "unit": ("ms", "s", "tok/s", "Tokens/s", "tok/s/GPU", "Queries/s", "GiB", "tokens"),
    "w_dtype": ("fp8", "bf16", "nvfp4", "int4", "q4_0", "Q4_K_M"),
    "kv_dtype": ("", "fp8"),
    "parallelism": (
        "TP1",
        "TP8",
        "DEP8",
        "EP72",
        "nodes=1",
        "agg:TP4/PP1/ADP1/mTP4/mEP1",
        "P1x[TP1/PP1/ADP4/mTP1/mEP4]+D1x[TP12/PP1/ADP1/mTP1/mEP12]",
    ),
    "batch_or_concurrency": ("1", "8", "Offline", "Server", "Interactive"),
    "gemm_dtype": ("fp8", "nvfp4"),
    "engine": ("vllm", "sglang", "llama.cpp"),
    "quantity": ("weights_gib_per_gpu", "kv_cache_tokens"),
    "w_a_dtype": ("fp8", "bfloat16"),
    "kernel": ("moe_torch_flow_cutlass", "marlin"),
    "moe_dtype": ("fp8", "fp8_block"),
    "distribution": ("balanced", "power_law_1.01"),
    "op": ("all_reduce", "compute_scale"),
    "attn_dtype": ("bfloat16", "fp8"),
    "mla_dtype": ("bfloat16",),
    "phase": ("context", "dispatch"),
}
NUMBERS = ("1", "8", "64", "128", "1024", "4096", "7168", "256.0")


def cells(column: str) -> st.SearchStrategy[str]:
    """Mostly plausible, often hostile, sometimes any text."""
    usual = st.sampled_from(PLAUSIBLE.get(column, NUMBERS))
    return st.one_of(
        usual, usual, usual, usual, usual, st.sampled_from(HOSTILE), st.text(max_size=8)
    )


def rows_of(kind: TableKind) -> st.SearchStrategy[list[dict[str, str]]]:
    return st.lists(
        st.fixed_dictionaries({c: cells(c) for c in sorted(kind.columns)}), min_size=1, max_size=4
    )


def check(outcomes: list[Outcome], rows: int) -> None:
    """Each row is there for each metric once, predicted with an interval or with a known reason."""
    kept = [o for o in outcomes if o.regime != EXCLUDED + WITHOUT_HOST]
    assert {o.row for o in kept} == set(range(rows))
    for outcome in kept:
        if outcome.predicted is None:
            assert outcome.reason in REASONS
        else:
            assert not outcome.reason
            assert 0 < outcome.low <= outcome.predicted <= outcome.high < float("inf")
            assert 0 < outcome.measured < float("inf")


@pytest.mark.parametrize("kind", PREDICTED, ids=lambda k: k.name)
@settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_cells(kind: TableKind, data: st.DataObject) -> None:
    rows = data.draw(rows_of(kind))
    check(import_module(kind.predictor).predict_rows("table", rows), len(rows))


def write(folder: Path, name: str, columns: list[str], rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([columns, *rows])
    (folder / name).write_bytes(out.getvalue().encode("utf-8", "surrogatepass"))


def one_bad_cell(kind: TableKind) -> tuple[list[str], list[list[str]]]:
    """A row of plausible cells, and the same with each cell hostile in turn."""
    columns = sorted(kind.columns)
    good = [PLAUSIBLE.get(c, NUMBERS)[0] for c in columns]
    rows = [good]
    for i in range(len(columns)):
        rows += [[*good[:i], bad, *good[i + 1 :]] for bad in HOSTILE]
    return columns, rows


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Path, dict[str, int]]:
    """(a folder, rows of each table that can be read)."""
    folder, sizes = tmp_path / "tables", {}
    folder.mkdir()
    for kind in PREDICTED:
        columns, rows = one_bad_cell(kind)
        write(folder, f"{kind.name}.csv", columns, rows)
        sizes[kind.name] = len(rows)
        write(folder, f"{kind.name}_short.csv", columns, [row[:3] for row in rows[:5]])
        sizes[f"{kind.name}_short"] = 5
        text = ",".join(columns) + "\n" + ",".join(["é"] * len(columns)) + "\n"
        (folder / f"{kind.name}_latin.csv").write_bytes(text.encode("latin-1"))
        (folder / f"{kind.name}_wide.csv").write_bytes(text.encode("utf-16"))
        write(folder, f"{kind.name}_twice.csv", [*columns, columns[0]], [["1"] * 9])
        write(folder, f"{kind.name}_empty.csv", columns, [])
    (folder / "noise.csv").write_bytes(bytes(range(256)) * 8)
    (folder / "nothing.csv").write_bytes(b"")
    (folder / "quotes.csv").write_text('a,"b\n1,"', encoding="utf-8")
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    (folder / "away.csv").symlink_to("/etc/passwd")
    (folder / "folder.csv").mkdir()
    return folder, sizes


@pytest.mark.exhaustive
def test_a_hostile_folder(
    hostile: tuple[Path, dict[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sizes = hostile
    listed = tmp_path / "rows.csv"
    start = time.monotonic()
    assert run(["validate", "--data", str(folder), "--json", "--rows", str(listed)]) == 0
    assert time.monotonic() - start < 120
    found = json.loads(capsys.readouterr().out)
    assert {u["reason"] for u in found["uncovered"]} <= set(REASONS)
    with listed.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == list(ROW_COLUMNS)
    seen: dict[str, Counter[Any]] = {}
    for line in lines:
        seen.setdefault(line["table"], Counter())[int(line["row"])] += 1
        assert bool(line["predicted"]) != bool(line["reason"])
    for name, size in sizes.items():
        assert set(seen[name]) == set(range(size)), name
        assert len(set(seen[name].values())) == 1 or name.startswith("memory"), name
    unreadable = {u["table"] for u in found["uncovered"] if u["reason"] == "unreadable file"}
    names = {f"{k.name}_{how}" for k in PREDICTED for how in ("latin", "wide", "twice")}
    assert names <= unreadable


@pytest.mark.exhaustive
def test_text_that_a_spreadsheet_computes_is_text(
    hostile: tuple[Path, dict[str, int]], tmp_path: Path
) -> None:
    listed = tmp_path / "rows.csv"
    assert (
        run(
            [
                "validate",
                "--data",
                str(hostile[0]),
                "--only",
                "e2e_published",
                "--quiet",
                "--rows",
                str(listed),
            ]
        )
        == 0
    )
    with listed.open(encoding="utf-8", newline="") as file:
        cells_ = [cell for line in csv.reader(file) for cell in line]
    assert any("cmd|" in cell for cell in cells_)
    assert not any(cell[:1] in ("=", "+", "@") for cell in cells_ if cell)


def test_the_frame_has_the_columns_of_the_rows(hostile: tuple[Path, dict[str, int]]) -> None:
    frame = validate(str(hostile[0]), only="e2e_silicon").to_frame()
    assert tuple(frame.columns[: len(ROW_COLUMNS)]) == ROW_COLUMNS
    assert frame["row"].min() == 0


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (-455480721, -455480721),
        (-0.5, "-0.5"),
        (0.1, "0.1"),
        ("-1+1", "'-1+1"),
        ("=A1", "'=A1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\uff1dA1", "'\uff1dA1"),
        ("plain", "plain"),
        (None, ""),
        (True, True),
    ],
)
def test_a_negative_number_stays_a_number(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


def test_a_fleet_says_its_names_as_text() -> None:
    found = made()
    pools = tuple(replace(pool, name="=cmd|x") for pool in found.pools)
    rows = list(csv.DictReader(io.StringIO(table(replace(found, pools=pools)))))
    assert {row["name"] for row in rows} == {"'=cmd|x"}


@pytest.mark.parametrize(
    ("ranks", "reason"), [("1", "malformed row"), ("1.5", "malformed row"), ("2", "")]
)
def test_nothing_goes_between_one_rank(ranks: str, reason: str) -> None:
    """It was predicted as 0 s, in an interval from 0 to 0."""
    row = {
        "device": "b200_sxm",
        "software": "nccl 2.29.2",
        "op": "alltoall",
        "mode": "NCCL",
        "dtype": "half",
        "num_gpus": ranks,
        "message_elements": "134217728",
        "latency_us": "420.83",
    }
    kind = next(kind for kind in PREDICTED if kind.name == "op_comm")
    (found,) = import_module(kind.predictor).predict_rows("table", [row])
    assert found.reason == reason
    assert (found.predicted is None) == bool(reason)
    check([found], 1)
