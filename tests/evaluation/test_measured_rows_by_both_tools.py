"""Measured rows by both tools: reading and counting them, and a rival that is made up."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.aiconfigurator.rows import (
    CHECKPOINTS,
    compared,
    drawn,
    pooled_rows,
    priced_rows,
    question_of,
    with_unseen,
)
from evaluation.aiconfigurator.rows_table import figures, section, summary
from planner.lab.validation.e2e_silicon import predict_rows, resolved

DENSE = {
    "row_id": "a",
    "device": "h100_sxm",
    "mode": "agg",
    "software": "trtllm 1.0.0rc3",
    "model": "Qwen/Qwen3-32B",
    "precision": "fp8",
    "gemm_dtype": "fp8",
    "moe_dtype": "fp8",
    "parallelism": "agg:TP2/PP1/ADP1/mTP1/mEP1",
    "concurrency": "16",
    "batch_size": "16",
    "isl": "1024",
    "osl": "128",
    "measured": "",
    "ttft_ms": "200",
    "tpot_ms": "20",
    "suspect": "",
    "parallelism_as_recorded": "",
    "exclude": "",
}
EXPERTS = DENSE | {
    "row_id": "b",
    "device": "h200_sxm",
    "software": "vllm 0.18.0",
    "model": "openai/gpt-oss-120b",
    "precision": "fp4",
    "gemm_dtype": "nvfp4",
    "moe_dtype": "nvfp4",
    "parallelism": "agg:TP4/PP1/ADP1/mTP4/mEP1",
    "isl": "1024",
    "osl": "1024",
    "ttft_ms": "60",
    "tpot_ms": "6",
}
POOLS = DENSE | {"mode": "disagg"}
SUSPECT = DENSE | {"exclude": "suspect", "isl": "2048"}
UNKNOWN = DENSE | {"model": "nobody/nothing"}


def written(file: Path, *rows: dict[str, str]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(DENSE))
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "e2e_silicon_made_up.csv"
    return written(file, POOLS, DENSE, EXPERTS, SUSPECT, UNKNOWN)


def test_rows_are_read_as_validate_reads_them_and_the_others_are_counted(path: Path) -> None:
    rows = pooled_rows(path)
    assert [row["row_id"] for row in rows] == ["a", "b", "a", "a"]
    priced, others = priced_rows([path])
    assert [row.model for row in priced] == ["qwen3-32b", "gpt-oss-120b"]
    assert others == {"left out: suspect": 1, "not read: unknown model": 1}
    by_validate = {
        (outcome.row, outcome.metric): outcome.predicted
        for outcome in reversed(predict_rows(path.stem, rows))
    }
    for i, row in enumerate(priced):
        for metric in ("tpot", "ttft"):
            assert row.ours[metric] == pytest.approx(by_validate[i, metric], rel=1e-9)
        assert row.cpu > 0.0


def test_a_share_of_the_rows_does_not_depend_on_their_order() -> None:
    rows = [{"row_id": f"row {i}"} for i in range(600)]
    some = [row["row_id"] for row in rows if drawn(row, 3)]
    assert 150 < len(some) < 250
    assert sorted(row["row_id"] for row in reversed(rows) if drawn(row, 3)) == sorted(some)
    assert all(drawn(row, 1) for row in rows)


def test_both_are_asked_for_the_same_configuration() -> None:
    dense, experts = question_of(resolved(0, DENSE)), question_of(resolved(1, EXPERTS))
    assert dense["model"] == "Qwen/Qwen3-32B-FP8"
    assert dense["layout"] == {"tp": 2, "pp": 1, "dp": 1, "moe_ep": 1, "moe_tp": 1}
    assert (dense["batch"], dense["osl"]) == (16, resolved(0, DENSE).case.osl)
    assert experts["layout"]["moe_tp"] * experts["layout"]["moe_ep"] == 4
    assert experts["formats"] == {"moe": "w4a16_mxfp4", "kvcache": "bfloat16"}
    ranks = EXPERTS | {"parallelism": "agg:TP1/PP1/ADP4/mTP1/mEP4"}
    assert question_of(resolved(1, ranks))["batch"] == 4


def test_a_rival_that_is_made_up(path: Path) -> None:
    priced, others = priced_rows([path])

    def rival(request: dict[str, Any]) -> dict[str, Any]:
        assert request["ask"] == "rows"
        times = {"tpot": 0.01, "ttft": 0.3}
        price = {"isl": times, "chunk": times, "beyond": True, "cpu": 0.5, "default": False}
        assert len(request["rows"]) == 2
        return {
            "version": "9.9",
            "databases": {"trtllm on h100_sxm": "1"},
            "prices": [price, {"refused": "no table"}],
        }

    kept = compared(priced, rival)
    assert kept["refused"] == {"no table": 1}
    assert kept["beyond_cache"] == 1
    theirs = kept["groups"]["all"]["theirs"]
    assert theirs["tpot"]["median"] == pytest.approx(0.5)
    assert theirs["tpot"]["signed"] == pytest.approx(-0.5)
    assert "class: MoE" not in kept["groups"]
    text = section(
        json.loads(json.dumps(kept))
        | {
            "date": "2026-01-01",
            "machine": "m",
            "ours": "1",
            "share": 5,
            "tables": [path.name],
            "others": others,
        }
    )
    assert "| dense | TPOT | 1 |" in text
    assert "--share 5" in text
    assert "1 rows they refuse: no table." in text
    assert "1 rows left out: suspect." in text


def test_rows_of_a_model_that_had_the_engine_to_itself_are_not_unseen(path: Path) -> None:
    priced, _ = priced_rows([path])
    assert [row.unseen for row in with_unseen(priced, path.parent)] == [{}, {}]


def test_unseen_times_depend_on_the_other_model_and_not_on_the_rows_own(tmp_path: Path) -> None:
    other = DENSE | {"row_id": "c", "model": "meta-llama/Llama-3.1-70B", "ttft_ms": "300"}

    def unseen(mine: dict[str, str], others: dict[str, str]) -> dict[str, float]:
        file = written(tmp_path / "e2e_silicon_two.csv", mine, others)
        return with_unseen(priced_rows([file])[0], tmp_path)[0].unseen

    times = unseen(DENSE, other)
    assert times["ttft"] > times["tpot"] > 0.0
    assert unseen(DENSE | {"ttft_ms": "900", "tpot_ms": "40"}, other) == times
    assert unseen(DENSE, other | {"ttft_ms": "900", "tpot_ms": "60"})["ttft"] > times["ttft"]


def test_a_rival_that_gives_nothing_has_no_figures(path: Path) -> None:
    priced, _ = priced_rows([path])
    kept = compared(priced, lambda request: {"refused": "not installed"})
    assert kept["refused"] == {"not installed": 2}
    assert kept["groups"] == {}


def test_errors_are_of_the_rows_that_count_for_a_metric() -> None:
    def row(ours: float, theirs: float, ttft_counts: bool) -> dict[str, Any]:
        def times(value: float) -> dict[str, float]:
            return {"tpot": value, "ttft": value}

        return {
            "model": "m",
            "class": "dense",
            "measured": times(1.0),
            "counts": {"tpot": True, "ttft": ttft_counts},
            "ours": times(ours),
            "ours, unseen": times(2.0) if ttft_counts else {},
            "theirs": times(theirs),
            "theirs, chunks": times(theirs),
            "beyond": False,
            "cpu": {"ours": ours, "theirs": theirs},
        }

    rows = [row(1.1, 2.0, True), row(0.9, 1.0, True), row(1.3, 1.0, False)]
    got = figures(rows)
    assert got["ours"]["tpot"]["rows"] == 3
    assert got["ours"]["ttft"]["rows"] == 2
    assert got["ours"]["tpot"]["mean"] == pytest.approx(0.5 / 3)
    assert got["theirs"]["tpot"]["median"] == pytest.approx(0.0)
    kept = summary(rows)
    assert kept["cpu_seconds"]["ours"]["median"] == pytest.approx(1.1)
    unseen = kept["groups"]["unseen: dense"]["ours"]["tpot"]
    assert (unseen["rows"], unseen["median"]) == (2, pytest.approx(1.0))
    assert kept["groups"]["unseen"]["theirs"]["tpot"]["rows"] == 2


def test_every_checkpoint_names_a_format_of_ours() -> None:
    assert all(model and scheme for model, scheme in CHECKPOINTS)
    assert {modes.get("moe") for _, modes in CHECKPOINTS.values()} >= {
        "w4a16_mxfp4",
        "w4a8_mxfp4_mxfp8",
    }
