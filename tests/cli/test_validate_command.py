"""``plan validate`` on the command line."""

import json
from pathlib import Path

import pytest

from planner.cli.main import run

HEADER = (
    "source,engine,engine_version,model,checkpoint_dtype,kv_dtype,device,n_devices,tp,pp,dp,"
    "ep,gpu_memory_utilization,max_model_len,max_num_batched_tokens,block_size,quantity,"
    "value,unit,raw_line,confidence,notes\n"
)
ROWS = (
    "x,vllm,0.19.0 (V1),meta-llama/Llama-3.1-8B,BF16,auto(bf16),H100 80GB (79.19 GiB),1,1,1,1,"
    "1,0.95,8192,8192,16,weights_gib_per_gpu,14.99,GiB,,high,\n"
    "x,vllm,0.19.0 (V1),nobody/nothing-1b,BF16,auto(bf16),H100 80GB,1,1,1,1,1,0.95,8192,8192,"
    "16,weights_gib_per_gpu,2.0,GiB,,high,\n"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "logs.csv").write_text(HEADER + ROWS, encoding="utf-8")
    return tmp_path


def test_text_lists_groups_worst_rows_and_reasons(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["validate", "--data", str(data), "--only", "memory"]) == 0
    out = capsys.readouterr().out
    for words in (
        "weights_gib_per_gpu · predicted",
        "1/2",
        "furthest off",
        "logs row 1",
        "unknown model",
        "rows 2",
    ):
        assert words in out


def test_a_row_without_a_model_has_no_empty_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--only", "op_gemm"]) == 0
    out = capsys.readouterr().out
    assert "op_gemm row" in out
    assert ", ," not in out


def test_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--data", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [g["n_rows"] for g in found["groups"]] == [1, 1]
    assert found["uncovered"] == [{"table": "logs", "reason": "unknown model", "n": 1}]


def test_unknown_files_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "strange.csv").write_text("a\n1\n", encoding="utf-8")
    assert run(["validate", "--data", str(tmp_path)]) == 0
    assert "strange: unknown file" in capsys.readouterr().out


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--data", str(tmp_path)]) == 0
    assert "No tables" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--data", "/nowhere/at/all"], ["--only", "everything"]])
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(["validate", *arguments]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
