"""``plan capacity``: forty lines at most, JSON and CSV alike, refusals that say what would do."""

import csv
import json
import re
from pathlib import Path

import pytest

import planner
from planner.cli.main import run
from planner.errors import InfeasibleError

ASKED = ["capacity", "llama-3.1-8b", "l40s", "--rate", "8/s", "--ttft-ms", "1500", "--tpot-ms",
         "50", "--workload", "chat", "--engine", "vllm"]
KEYWORDS = {"rate": 8.0, "ttft_seconds": 1.5, "tpot_seconds": 0.05, "workload": "chat",
            "engine": "vllm"}


def test_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (80, 40):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run([*ASKED, "--price", "1.2", "--simulate", "100"]) == 0
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert all(len(line) <= width for line in lines), width
        assert width < 80 or len(lines) <= 40
        words = " ".join(out.split())
        for part in ("× l40s", "p90: TTFT", "TPOT", "least-loaded", "USD", "kWh", "a month",
                     "answer", "1 replica more", "simulated, 100 requests", "cheaper:"):
            assert part in words, part
        assert "arrivals: Poisson" in " ".join(err.split())


def test_json_csv_and_python_tell_the_same(tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.csv"
    assert run([*ASKED, "--json", "--quiet", "--csv", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    data = json.loads(out)
    found = planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS)
    assert data == json.loads(json.dumps(found.to_dict()))
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["name"] for row in rows] == [row["name"] for row in data["options"]]
    assert rows[0]["name"] == "answer"
    assert float(rows[0]["ttft_seconds"]) == data["ttft_seconds"]["value"]
    assert list(found.to_frame().columns) == list(rows[0])
    assert "<table" in found._repr_html_()
    assert str(found).startswith("llama-3.1-8b: ")


def test_the_answer_keeps_the_level_and_one_replica_fewer_does_not() -> None:
    found = planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS)
    best = found.options[0]
    assert best == found.answer
    assert best.within_limits
    assert found.ttft_seconds.value <= 1.5
    assert found.tpot_seconds.value <= 0.05
    fewer = [one for one in found.options if one.name == "1 replica fewer"]
    assert all(not one.within_limits for one in fewer)
    assert found.devices_low is not None
    assert found.devices_low <= found.devices
    for one in found.compromises:
        assert one.devices + one.saved == found.devices
        assert one.saved > 0
        assert one.text


def test_a_compromise_does_what_it_says() -> None:
    asked = {**KEYWORDS, "rate": 40.0}
    found = planner.capacity("llama-3.1-8b", "l40s", **asked)
    assert found.compromises
    for one in found.compromises:
        if one.limit in ("ttft_seconds", "tpot_seconds", "percentile"):
            again = planner.capacity("llama-3.1-8b", "l40s", **{**asked, one.limit: one.value})
            assert again.devices <= one.devices


@pytest.mark.parametrize(("more", "words"), [
    (["--rate", "0"], "above 0"), (["--rate", "-3"], "above 0"),
    (["--rate", "5/fortnight"], "20/s"),
    (["--rate", "x"], "not a number"), (["--percentile", "100"], "below 100"),
    (["--percentile", "0"], "above 0"), (["--router", "none"], "round-robin"),
    (["--max-devices", "0"], "at least 1"), (["--simulate", "3"], "from 100"),
    (["--tpot-ms", "-1"], "above 0"), (["--csv", "t.txt"], ".csv"), (["--price", "0"], "above 0"),
    (["--workload", "chatt"], "chat"),
])
def test_a_bad_value_is_an_error_with_a_hint(more: list[str], words: str,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED, *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
    assert words in err


def test_no_level_is_no_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED[:5], "--tpot-ms", "none"]) == 2
    assert "--ttft-ms 1000" in capsys.readouterr().err


@pytest.mark.parametrize("limits", [["--ttft-ms", "1"], ["--tpot-ms", "0.5"],
                                    ["--ttft-ms", "88", "--tpot-ms", "50"]])
def test_a_level_that_no_replica_keeps_says_what_would_do(
        limits: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED, *limits, "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "hint: " in err


def test_too_few_devices_say_what_they_serve() -> None:
    needed = planner.capacity("llama-3.1-8b", "l40s", **{**KEYWORDS, "rate": 40.0}).devices
    with pytest.raises(InfeasibleError, match=f"{needed} devices are needed") as refused:
        planner.capacity("llama-3.1-8b", "l40s", **{**KEYWORDS, "rate": 40.0}, max_devices=2)
    rate = re.search(r"--rate ([\d.]+) \(what 2 serve\)", refused.value.hint)
    assert rate is not None
    served = planner.capacity("llama-3.1-8b", "l40s", max_devices=2,
                              **{**KEYWORDS, "rate": float(rate[1])})
    assert served.devices <= 2
