"""``plan capacity``: forty lines at most, JSON and CSV alike, refusals that say what would do."""

import csv
import json
import re
from pathlib import Path

import pytest

import planner
from planner.base.errors import InfeasibleError
from planner.cli.main import cli, run
from planner.report.terminal.capacity import capacity_text
from planner.sizing.capacity_record import Capacity

ASKED = [
    "capacity",
    "llama-3.1-8b",
    "l40s",
    "--rate",
    "40/s",
    "--ttft-ms",
    "1500",
    "--tpot-ms",
    "50",
    "--workload",
    "chat",
    "--engine",
    "vllm",
    "--tp",
    "1",
]
KEYWORDS = {
    "rate": 40.0,
    "ttft_seconds": 1.5,
    "tpot_seconds": 0.05,
    "workload": "chat",
    "engine": "vllm",
    "tp": 1,
}
FLAGS = """
--rate --ttft-ms --tpot-ms --percentile --router --max-devices --price --simulate --tp --dp --pp
--ep --context --isl --osl --workload --prefix-hit --prefix-hit-rate --slots --max-loss --schemes
--kv --engine --profile --imatrix --hardware-dir --csv --json --quiet --timings --ignore-keys
--help-all
"""


def test_flags() -> None:
    assert {
        name for p in cli.commands["capacity"].params for name in p.opts if name.startswith("--")
    } == set(FLAGS.split())


@pytest.fixture(scope="module")
def found() -> Capacity:
    """The answer from Python."""
    return planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS)


def test_text_json_csv_and_python_tell_the_same(
    found: Capacity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.csv"
    assert run([*ASKED, "--json", "--csv", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "arrivals: Poisson" in " ".join(err.split())
    data = json.loads(out)
    assert data == json.loads(json.dumps(found.to_dict()))
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["name"] for row in rows] == [row["name"] for row in data["options"]]
    assert rows[0]["name"] == "answer"
    assert float(rows[0]["ttft_seconds"]) == data["ttft_seconds"]["value"]
    assert list(found.to_frame().columns) == list(rows[0])
    assert "<table" in found._repr_html_()


def test_the_text_is_short_and_fits(found: Capacity, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = str(found).splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 80 for line in lines)
    words = " ".join(str(found).split())
    for part in (
        "× l40s",
        "p90: TTFT",
        "TPOT",
        "least-loaded",
        "kWh",
        "a month",
        "answer",
        "1 replica more",
        "cheaper with these formats:",
        "fewer (",
        "as released",
    ):
        assert part in words, part
    monkeypatch.setenv("COLUMNS", "40")
    assert all(len(line) <= 40 for line in capacity_text(found).splitlines())


def test_the_answer_keeps_the_level_and_one_replica_fewer_does_not(found: Capacity) -> None:
    best = found.options[0]
    assert best == found.answer
    assert best.within_limits
    assert found.ttft_seconds.value <= 1.5
    assert found.tpot_seconds.value <= 0.05
    fewer = next(one for one in found.options if one.name == "1 replica fewer")
    assert not fewer.within_limits
    assert found.devices_low is not None
    assert found.devices_low <= found.devices
    assert best.load < fewer.load


def test_a_compromise_does_what_it_says(found: Capacity) -> None:
    assert found.compromises
    for one in found.compromises:
        assert one.devices + one.saved == found.devices
        assert one.saved > 0
    one = found.compromises[0]
    again = planner.capacity(
        "llama-3.1-8b",
        "l40s",
        schemes=list(found.answer.schemes),
        kv=found.answer.kv,
        **{**KEYWORDS, one.limit: one.value},
    )
    assert again.devices <= one.devices


def test_a_price_and_a_simulation_are_told() -> None:
    found = planner.capacity(
        "llama-3.1-8b", "l40s", **{**KEYWORDS, "rate": 1.0}, simulate=200, price=1.2
    )
    assert found.answer.usd_per_month == pytest.approx(found.devices * 1.2 * 730)
    assert found.simulated is not None
    assert found.simulated.tpot_seconds == pytest.approx(found.tpot_seconds.value, rel=0.1)
    assert "simulated, 200 requests: p90 TTFT" in str(found)
    assert "USD/month" in str(found)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--rate", "0"], "above 0"),
        (["--rate", "-3"], "above 0"),
        (["--rate", "5/fortnight"], "20/s"),
        (["--rate", "x"], "not a number"),
        (["--percentile", "100"], "below 100"),
        (["--percentile", "0"], "above 0"),
        (["--router", "none"], "round-robin"),
        (["--max-devices", "0"], "at least 1"),
        (["--simulate", "3"], "from 100"),
        (["--tpot-ms", "-1"], "above 0"),
        (["--csv", "t.txt"], ".csv"),
        (["--price", "0"], "above 0"),
        (["--workload", "chatt"], "chat"),
    ],
)
def test_a_bad_value_is_an_error_with_a_hint(
    more: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
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


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "limits", [["--ttft-ms", "1"], ["--tpot-ms", "0.5"], ["--ttft-ms", "80", "--tpot-ms", "50"]]
)
def test_a_level_that_no_replica_keeps_says_what_would_do(
    limits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*ASKED, *limits, "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "hint: " in err


@pytest.mark.exhaustive
def test_too_few_devices_say_what_they_serve(found: Capacity) -> None:
    with pytest.raises(InfeasibleError, match=f"{found.devices} devices are needed") as refused:
        planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS, max_devices=2)
    rate = re.search(r"--rate ([\d.]+) \(what 2 serve\)", refused.value.hint)
    assert rate is not None
    served = planner.capacity(
        "llama-3.1-8b", "l40s", max_devices=2, **{**KEYWORDS, "rate": float(rate[1])}
    )
    assert served.devices <= 2


def test_stages_are_taken_as_plan_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*ASKED, "--pp", "2"]
    assert run(asked) == 0
    out, err = capsys.readouterr()
    assert "× pp2" in out
    assert "pipeline stages: 2 stages" in " ".join(err.split())
    plain = planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS, pp=1)
    staged = planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS, pp=2)
    assert (plain.answer.pp, staged.answer.pp) == (1, 2)
    assert staged.devices % 2 == 0
