"""The table of formats on a device."""

import json
import math

import pytest

from planner.cli.main import run
from planner.hardware.catalog import resolve_device
from planner.planning.inspect.format_table import SCHEMES, binades, format_rows, sample, sqnr


def test_bytes_rates_and_refusals() -> None:
    rows = {r.scheme: r for r in format_rows(resolve_device("h100-sxm"))}
    assert tuple(rows) == SCHEMES
    assert rows["fp8-block"].weight_bytes == pytest.approx(1 + 4 / 128**2)
    assert rows["fp8-block"].activation_bytes == pytest.approx(1 + 4 / 128)
    assert rows["fp8-tensor"].dense_flop_per_s == pytest.approx(1978.9e12)
    assert rows["nvfp4"].dense_flop_per_s is None
    assert "weight-only" in rows["nvfp4"].refused
    assert rows["int4-w4a16"].multiplies_in == "bf16"
    assert any(e.startswith("vllm") for e in rows["fp8-block"].engines)
    assert rows["fp32"].sqnr_db["gaussian"] is None
    ggml = rows["ggml-q4_k"]
    assert (ggml.weight_bytes, ggml.activation_bytes) == (144 / 256, 292 / 256)
    assert (ggml.path, ggml.multiplies_in, ggml.sqnr_of) == ("storage", "int8", "weight")
    assert any(e.startswith("llama.cpp") for e in ggml.engines)
    assert [
        rows[f"ggml-{name}"].sqnr_db["gaussian"] for name in ("q8_0", "q6_k", "q4_k", "q4_0")
    ] == sorted(
        (rows[f"ggml-{name}"].sqnr_db["gaussian"] for name in ("q8_0", "q6_k", "q4_k", "q4_0")),
        reverse=True,
    )


def test_ranges() -> None:
    assert binades("e4m3fn") == pytest.approx(math.log2(448 * 2**9))
    assert binades("fp16") == pytest.approx(math.log2(65504 * 2**24))


def test_blocks_help_where_there_are_outliers() -> None:
    x = sample("outlier")
    assert sqnr(x, "int8-block") > sqnr(x, "int8-w8a8")
    assert sqnr(sample("gaussian"), "int8-block") > sqnr(sample("gaussian"), "fp8-block")


@pytest.mark.exhaustive
def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["formats", "--device", "xeon-6980p", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    fp8 = next(r for r in found["formats"] if r["scheme"] == "fp8-block")
    assert fp8["path"] == "software"
    assert fp8["multiplies_in"] == "bf16"
    assert run(["formats", "--device", "b200"]) == 0
    out = capsys.readouterr().out
    assert "formats on b200-sxm" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert run(["formats", "--device", "no-such-chip"]) == 2
