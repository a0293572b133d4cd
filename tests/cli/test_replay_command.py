"""`plan replay`: loads as they are given, what is written, and what is refused."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import planner
from planner.cli.main import run
from planner.report.columns import columns

ASKED = ["replay", "qwen2.5-0.5b", "l40s", "--devices", "1", "--engine", "vllm"]
LOAD = ["--rate", "4/s", "--count", "60", "--isl", "200", "--osl", "40"]
TIMES = ("ttft_seconds", "itl_seconds", "tpot_seconds", "e2e_seconds", "queue_seconds")


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def answered(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run([*ASKED, *arguments]) == 0
    return capsys.readouterr().out


def test_the_answer_takes_25_lines_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    text = answered([*LOAD, "--ttft-ms", "500", "--tpot-ms", "50"], capsys)
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(columns(line) for line in lines) <= 80
    labels = ("Load", "Throughput", "Goodput", "Queue", "Cache", "Setup", "Assumed")
    assert [line.split()[0] for line in lines[2:] if line[:1].strip()][:7] == list(labels)
    assert "within TTFT 500 ms, TPOT 50 ms" in " ".join(text.split())


def test_json_has_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(answered([*LOAD, "--json", "--tpot-ms", "50"], capsys))
    assert set(data) == {"schema_version", "question", "load", "replay", "assumptions"}
    result = data["replay"]
    assert result["requests"] == 60
    for name in TIMES:
        points = result["percentiles"][name]
        values = [points[p]["value"] for p in ("p50", "p90", "p99")]
        assert values == sorted(values)
        assert all(p["low"] <= p["value"] <= p["high"] for p in points.values())
    assert result["goodput"]["value"] <= data["load"]["rate"] * 1.2
    assert not result["saturated"]
    assert result["output_tokens_per_second"]["value"] > 0


def test_a_seed_gives_one_answer_and_another_seed_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, again, other = (
        answered([*LOAD, "--json", "--seed", seed], capsys) for seed in ("1", "1", "2")
    )
    assert first == again != other


def test_what_is_written_can_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of requests is a trace: it gives the same times."""
    file = tmp_path / "requests.csv"
    answered([*LOAD, "--csv", str(file), "--quiet"], capsys)
    rows = rows_of(file)
    assert len(rows) == 60
    assert {row["rejected"] for row in rows} == {"0"}
    again = tmp_path / "again.csv"
    answered(["--trace", str(file), "--csv", str(again), "--quiet"], capsys)
    times = [[float(row["ttft_seconds"]) for row in rows_of(f)] for f in (file, again)]
    assert times[0] == pytest.approx(times[1], rel=0.02)


def test_a_report_has_a_chart_for_each_course(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, text = tmp_path / "r.html", tmp_path / "r.md"
    for file in (page, text):
        answered([*LOAD, "--report", str(file), "--quiet"], capsys)
    assert page.read_text(encoding="utf-8").count("<svg") == 4
    assert "| TTFT" in text.read_text(encoding="utf-8")


def test_more_than_is_served_tells_how_fast_the_queue_grows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ["--slots-max", "2", "--rate", "40/s", "--count", "400", "--isl", "200", "--osl", "80"]
    data = json.loads(answered([*few, "--json"], capsys))["replay"]
    assert data["saturated"]
    beyond = data["saturation"]
    assert beyond["growth"] == pytest.approx(beyond["offered"] - beyond["served"], rel=0.2)
    assert 0 < beyond["holds"] < beyond["offered"]
    text = " ".join(answered(few, capsys).split())
    assert "grows" in text
    held = planner.replay(
        "qwen2.5-0.5b",
        "l40s",
        devices=1,
        engine="vllm",
        slots_max=2,
        rate=0.8 * beyond["holds"],
        count=400,
        isl=200,
        osl=80,
    )
    assert not held.replay.saturated


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a load is a rate, stages of rates, or a trace"),
        (["--rate", "1", "--stages", "5s@1/s"], "a load is a rate, stages of rates, or a trace"),
        (["--rate", "1", "--arrivals", "weibull"], "weibull"),
        (["--rate", "1", "--lengths", "nothing-known"], "nothing-known"),
        (["--trace", "/nowhere/trace.csv"], "trace.csv"),
        (["--rate", "0"], "rate"),
    ],
)
def test_what_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*ASKED, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "\nhint: " in error
    assert said in error


def test_a_line_that_is_no_request_is_refused_at_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("arrival_seconds,input_tokens,output_tokens\n0,5,5\n1,-3,5\n")
    assert run([*ASKED, "--trace", str(file)]) == 2
    assert "line 3" in capsys.readouterr().err


TRACE = "arrival_seconds,input_tokens,output_tokens\n"


def test_what_an_engine_rejects_is_counted_and_what_is_unsorted_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten million tokens are beyond any context: the rest is served, with times of its own."""
    file, sane = tmp_path / "t.csv", tmp_path / "sane.csv"
    file.write_text(TRACE + "0,50,5\n2,60,5\n1,9999999,5\n")
    sane.write_text(TRACE + "0,50,5\n2,60,5\n")
    data = json.loads(answered(["--trace", str(file), "--json"], capsys))
    assert (data["replay"]["requests"], data["replay"]["rejected"]) == (2, 1)
    assert data["load"]["requests"] == 3
    assert any("sorted" in str(note) for note in data["assumptions"])
    text = answered(["--trace", str(file)], capsys)
    assert "1 longer than the context or the cache: rejected" in " ".join(text.split())
    same = json.loads(answered(["--trace", str(sane), "--context", "32768", "--json"], capsys))
    values = [d["replay"]["percentiles"]["tpot_seconds"]["p50"]["value"] for d in (data, same)]
    assert values[0] == pytest.approx(values[1], rel=0.01)


def test_a_plan_file_needs_no_model_and_no_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.json"
    assert run(["plan", "qwen2.5-0.5b", "l40s", "--devices", "1", "--json", "--quiet"]) == 0
    file.write_text(capsys.readouterr().out)
    assert run(["replay", "--plan", str(file), *LOAD, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["question"]["model"], data["question"]["device"]) == ("qwen2.5-0.5b", "l40s")
    assert data["replay"]["requests"] == 60


def test_pools_are_asked_for_by_flags(capsys: pytest.CaptureFixture[str]) -> None:
    pools = ["--prefill-workers", "1", "--decode-workers", "2", "--tp", "1"]
    assert run(["replay", "qwen2.5-0.5b", "l40s", "--engine", "vllm", *pools, *LOAD]) == 0
    labels = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert {"Prefill", "Decode", "Transfer"} <= set(labels)
    assert run([*ASKED, "--decode-workers", "1", *LOAD]) == 2
    assert "one pool without the other" in capsys.readouterr().err


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU seconds are read in /proc")
def test_ctrl_c_keeps_what_was_simulated(tmp_path: Path) -> None:
    """So few tokens that nothing is compiled, and so many requests that it takes a minute."""
    load = ["--rate", "90/s", "--count", "300000", "--isl", "200", "--osl", "4"]
    child = subprocess.Popen(
        [sys.executable, "-m", "planner", *ASKED, *load, "--json", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while child.poll() is None and cpu_seconds(child.pid) < 6.0:
        time.sleep(0.05)
    assert child.poll() is None, "it had ended before"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate()
    assert child.returncode == 130, err
    assert err.split() == ["interrupted"]
    found = json.loads(out)["replay"]
    assert not found["complete"]
    assert 0 < found["requests"] < 300000
    assert found["percentiles"]["ttft_seconds"]["p50"]["value"] > 0


def test_a_limit_counts_in_the_goodput_and_is_no_percentile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It said that ttft_seconds is of type str."""
    assert run([*ASKED, *LOAD, "--ttft-ms", "p99:2000"]) == 2
    said = capsys.readouterr().err
    assert "--ttft-ms" in said
    assert "not a number" in said
