"""``plan capacity``: thirty lines at most, JSON and CSV alike, refusals that say what would do."""

import csv
import json
import re
from html import escape
from pathlib import Path

import pytest
from support.chinese import latin_words

import planner
from planner.base.errors import InfeasibleError
from planner.cli.main import cli, run
from planner.report.render.capacity_page import (
    MOST_LINES,
    capacity_markdown,
    capacity_page,
    capacity_text,
)
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
    "--price",
    "0.9",
]
KEYWORDS = {
    "rate": 40.0,
    "ttft_seconds": 1.5,
    "tpot_seconds": 0.05,
    "workload": "chat",
    "engine": "vllm",
    "tp": 1,
    "price": 0.9,
}
NAMES = {"nat"}
FLAGS = """
--rate --ttft-ms --tpot-ms --e2e-ms --percentile --router --max-devices --price --simulate --tp
--dp --pp --ep --context --isl --osl --workload --prefix-hit --prefix-hit-rate --slots
--max-loss --schemes --kv --engine --profile --imatrix --hardware-dir --no-learned --csv --json
--quiet --timings --ignore-keys --online --help-all --lang --report --verbose --assumptions
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
    assert err == ""
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
    assert len(lines) <= MOST_LINES
    assert all(len(line) <= 80 for line in lines)
    labels = [line.partition("  ")[0] for line in lines if line[:1].isupper()]
    assert labels[:8] == [
        "Fits",
        "Throughput",
        "Latency",
        "Cost",
        "Devices",
        "Quality",
        "Setup",
        "Assumed",
    ]
    words = " ".join(str(found).split())
    for part in (
        "× l40s",
        "TPOT p50",
        "p90",
        "p99",
        "limit 50 ms kept with P",
        "least-loaded",
        "kW",
        "per million output tokens",
        "a month",
        "vllm serve",
        "rejected because",
        "--report FILE.html",
    ):
        assert part in words, part
    monkeypatch.setenv("COLUMNS", "40")
    assert all(len(line) <= 40 for line in prose(capacity_text(found)))


def prose(text: str) -> list[str]:
    """Lines but those of the command and of one word, which do not fold."""
    return [line for line in text.splitlines() if not line.startswith("  ") and " " in line]


def test_details_hold_every_option_and_assumption(found: Capacity) -> None:
    text = capacity_text(found, details=True)
    for part in ("All options:", "Cheaper with these formats:", ": saves ", "arrivals"):
        assert part in text, part
    assert text.startswith(str(found).partition("\nAlternatives")[0])


def test_chinese_leaves_no_english_sentence(found: Capacity) -> None:
    text = capacity_text(found, "zh")
    prose = re.sub(r"^  .*$", "", text, flags=re.MULTILINE)
    assert latin_words(f"<body>{escape(prose)}</body>", NAMES) == []


def test_page_and_markdown_say_what_the_terminal_says(
    found: Capacity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, marked = capacity_page(found), capacity_markdown(found)
    for part in ("per million output tokens", "kept with P", "1 replica fewer"):
        assert part in page
        assert part in marked
    file = tmp_path / "t.md"
    assert run([*ASKED, "--report", str(file), "--lang", "zh", "--quiet"]) == 0
    assert file.read_text(encoding="utf-8") == capacity_markdown(found, "zh")
    assert capsys.readouterr().out == capacity_text(found, "zh")


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
        "llama-3.1-8b", "l40s", **{**KEYWORDS, "rate": 1.0, "price": 1.2}, simulate=200
    )
    assert found.answer.usd_per_month == pytest.approx(found.devices * 1.2 * 730)
    assert found.simulated is not None
    assert found.simulated.tpot_seconds == pytest.approx(found.tpot_seconds.value, rel=0.1)
    assert "200 requests played: p90 TTFT" in str(found)
    money = found.usd_per_million_output_tokens
    assert money is not None
    tokens_an_hour = found.output_tokens_per_second * 3600
    assert money.value == pytest.approx(found.devices * 1.2 / tokens_an_hour * 1e6)
    assert money.low <= money.value <= money.high


def test_tails_and_chances_follow_the_limits(found: Capacity) -> None:
    assert [point.percentile for point in found.tails] == [50, 90, 99]
    firsts = [point.ttft_seconds for point in found.tails]
    assert firsts == sorted(firsts)
    assert found.tails[1].ttft_seconds == pytest.approx(found.ttft_seconds.value)
    for kept in (found.ttft_kept, found.tpot_kept):
        assert kept is not None
        assert 0.5 <= kept < 1  # the answer keeps its limits, its interval may not


def test_of_several_devices_the_cheapest_is_the_answer(
    found: Capacity, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = {"rtx-4090": 0.1, "l40s": 0.9}
    both = planner.capacity("llama-3.1-8b", "rtx-4090, l40s", **{**KEYWORDS, "price": prices})
    assert both.device == "rtx-4090"
    (other,) = both.others
    assert other.capacity == found
    assert other.chance_cheaper is not None
    assert other.chance_cheaper < 0.5
    data = both.to_dict()
    assert [row["device"] for row in data["devices"]] == ["rtx-4090", "l40s"]
    assert "devices" not in found.to_dict()
    assert "l40s: " in str(both)
    unpriced = planner.capacity("llama-3.1-8b", ["rtx-4090", "l40s"], **{**KEYWORDS, "price": None})
    assert unpriced.others[0].capacity.devices >= unpriced.devices
    assert unpriced.others[0].chance_cheaper is None
    assert "no price to compare" in unpriced.others[0].reason
    assert "no price is known" in str(unpriced)


def test_a_device_that_cannot_serve_is_told_with_its_reason() -> None:
    both = planner.capacity("llama-3.1-8b", "jetson-orin-nx-16gb,l40s", **KEYWORDS)
    assert both.device == "l40s"
    ((name, reason),) = both.refused
    assert name == "jetson-orin-nx-16gb"
    assert reason
    assert name in str(both)


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
        (["--price", "h100-sxm=2"], "not asked"),
        (["--report", "t.txt"], ".html"),
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
    asked = [*ASKED, "--pp", "2", "--assumptions"]
    assert run(asked) == 0
    out, err = capsys.readouterr()
    assert "replicas of PP2" in " ".join(out.split())
    assert "pipeline stages: 2 stages" in " ".join(err.split())
    plain = planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS, pp=1)
    staged = planner.capacity("llama-3.1-8b", "l40s", **KEYWORDS, pp=2)
    assert (plain.answer.pp, staged.answer.pp) == (1, 2)
    assert staged.devices % 2 == 0
