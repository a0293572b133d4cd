"""``plan fleet``: the risk first, forty lines at most, JSON, CSV and Python alike, refusals that
say what would do."""

import csv
import json
import re
from copy import deepcopy
from pathlib import Path

import pytest
from support.fleets import ASKED, made

import planner
from planner.base.errors import InfeasibleError
from planner.cli.main import cli, run
from planner.report.render.fleet_page import fleet_markdown, fleet_text
from planner.sizing.fleet.fleet_record import Fleet
from planner.sizing.fleet.read import fleet_question

FILE = """
title = "Two small models"
engines = ["vllm"]
[[device]]
name = "l40s"
count = 4
price = 0.9
[[device]]
name = "a100-sxm"
count = 2
price = 1.9
[[model]]
name = "chat"
model = "llama-3.2-1b"
rate = 30
ttft_ms = 800
tpot_ms = 30
workload = "chat"
[[model]]
name = "tags"
model = "qwen2.5-0.5b"
rate = "1200/min"
tpot_ms = 20
percentile = 95
[[model.workload]]
isl = 600
osl = 40
share = 0.75
[[model.workload]]
isl = 3000
osl = 100
share = 0.25
"""


ONE_KIND = {**ASKED, "device": [{"name": "l40s", "count": 6, "price": 0.9}]}


@pytest.fixture(scope="module")
def found() -> Fleet:
    """The answer from Python, of a mapping."""
    return planner.fleet(ONE_KIND)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_flags() -> None:
    assert {
        name for p in cli.commands["fleet"].params for name in p.opts if name.startswith("--")
    } == {
        "--hardware-dir",
        "--no-learned",
        "--csv",
        "--report",
        "--workers",
        "--lang",
        "--json",
        "--quiet",
        "--timings",
        "--verbose",
        "--assumptions",
    }


def test_the_file_asks_what_the_mapping_asks(file: Path) -> None:
    assert fleet_question(file, None) == fleet_question(ASKED, None)


def test_json_csv_page_and_python_say_the_same(
    found: Fleet,
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "planner.sizing.fleet.run.answer_fleet", lambda question, progress, workers: found
    )
    rows, page = tmp_path / "t.csv", tmp_path / "t.html"
    assert run(["fleet", str(file), "--json", "--csv", str(rows), "--report", str(page)]) == 0
    out, err = capsys.readouterr()
    assert err == "note: 2 models × 2 kinds of devices: 4 plans to search\n"
    assert json.loads(out) == json.loads(json.dumps(found.to_dict()))
    with rows.open(encoding="utf-8", newline="") as opened:
        listed = list(csv.DictReader(opened))
    assert [row["name"] for row in listed] == [pool.name for pool in found.records]
    assert list(found.to_frame().columns) == list(listed[0])
    assert "<table" in found._repr_html_()
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    marked = tmp_path / "t.md"
    assert run(["fleet", str(file), "--quiet", "-v", "--lang", "zh", "--report", str(marked)]) == 0
    assert capsys.readouterr().out == fleet_text(found, "zh", details=True)
    assert marked.read_text(encoding="utf-8") == fleet_markdown(found, "zh")


def test_what_is_assigned_is_what_is_there_and_keeps_the_limits(found: Fleet) -> None:
    for kind in found.devices:
        taken = sum(pool.devices for pool in found.pools if pool.device == kind.device)
        assert kind.used == taken <= kind.stock
        assert kind.spare == kind.stock - taken
    assert found.usd_per_hour == pytest.approx(
        sum(kind.used * (kind.usd_per_device_hour or 0.0) for kind in found.devices)
    )
    for model in found.models:
        pools = found.of(model.name)
        assert sum(pool.requests_per_second for pool in pools) == pytest.approx(
            model.requests_per_second
        )
        room = sum(pool.room_per_second for pool in pools)
        assert room == pytest.approx(model.requests_per_second * (1 + model.spare))
        for pool in pools:
            assert pool.requests_per_second <= pool.room_per_second * (1 + 1e-9)
            for limit, time in (
                (model.ttft_limit_seconds, pool.ttft_seconds),
                (model.tpot_limit_seconds, pool.tpot_seconds),
            ):
                assert limit is None or time.value <= limit * (1 + 1e-9)
    assert found.growth >= 1


def test_a_model_of_one_kind_of_request_is_the_answer_of_capacity(found: Fleet) -> None:
    (pool,) = found.of("chat")
    alone = planner.capacity(
        "llama-3.2-1b",
        "l40s",
        rate=30.0,
        ttft_seconds=0.8,
        tpot_seconds=0.03,
        workload="chat",
        engine="vllm",
    )
    assert (pool.devices, pool.replicas, pool.schemes, pool.kv) == (
        alone.devices,
        alone.replicas,
        alone.answer.schemes,
        alone.answer.kv,
    )
    assert pool.ttft_seconds.value == pytest.approx(alone.ttft_seconds.value)
    assert pool.tpot_seconds == alone.tpot_seconds


@pytest.mark.parametrize("models", [2, 5, 6])
def test_the_text_is_short_and_fits(models: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = made(models=models)
    lines = str(shown).splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 80 for line in lines)
    words = " ".join(str(shown).split())
    assert lines[2].startswith("Risk  ")
    for part in (
        "model-1 on h100-sxm misses TPOT 40 ms with P 38 %: 35 ms at p95 (28–45.5)",
        "per hour",
        f"{8 * models} of ",
        "all rates × 1.53",
        "of the formats searched",
        "0.08",
        "3.24",
    ):
        assert part in words, part
    details = fleet_text(shown, details=True)
    assert "on h200-sxm: no replica keeps" in " ".join(details.split())
    assert "What was asked:" in details
    monkeypatch.setenv("COLUMNS", "40")
    assert all(len(line) <= 40 for line in fleet_text(shown).splitlines())


def test_a_fleet_without_risk_says_with_what_chance() -> None:
    shown = made(models=1)
    words = " ".join(str(shown).split())
    assert "every limit is kept with P ≥ 90 %, each on its own" in words
    assert "misses" not in words


def test_new_weights_are_told_with_what_published_ones_cost() -> None:
    words = " ".join(str(made()).split())
    assert "model-2: new weights must be made; with published weights alone $76.50" in words
    assert "new weights" not in str(made(models=1))


def test_without_prices_nothing_is_said_of_money() -> None:
    words = " ".join(str(made(usd=None, goal="spare")).split())
    assert "no price is known" in words
    assert "the most room of the formats searched" in words
    assert "$" not in words


@pytest.mark.exhaustive
def test_a_stock_too_small_says_what_would_do(
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file.write_text(
        FILE.replace("count = 4", "count = 1").replace("count = 2", "count = 0"), encoding="utf-8"
    )
    assert run(["fleet", str(file), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith(
        "error: the stock does not serve these rates: chat at 30/s: all devices together serve "
    )
    table = deepcopy(ASKED)
    for device in table["device"]:
        enough = re.search(rf"(\d+) × {device['name']} \(", hint)
        device["count"] = int(enough[1]) if enough else {"l40s": 1}.get(device["name"], 0)
    grown = planner.fleet(table)
    assert all(kind.used == kind.stock for kind in grown.devices)


@pytest.mark.exhaustive
def test_limits_that_no_device_keeps_name_model_and_rate() -> None:
    table = deepcopy(ASKED)
    table["model"][1]["tpot_ms"] = 0.01
    with pytest.raises(InfeasibleError, match="tags at 20/s within TPOT ≤ 10 µs") as refused:
        planner.fleet(table)
    assert "l40s: " in refused.value.message
    assert "a100-sxm: " in refused.value.message
    assert "tags" in refused.value.hint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.toml"], "does not exist"),
        (["FILE", "--report", "x.txt"], ".html"),
        (["FILE", "--csv", "x.txt"], ".csv"),
        (["FILE", "--lang", "de"], "language 'de'"),
        ([], "FILE.toml"),
    ],
)
def test_a_wrong_call_is_an_error_with_a_hint(
    arguments: list[str], words: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fleet", *(str(file) if a == "FILE" else a for a in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "hint"]
    assert words in err
