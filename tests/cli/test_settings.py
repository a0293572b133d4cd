"""planner.toml: what questions take where no flag gives it, and what the answer says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.cli.main import run
from planner.cli.settings import FILE, user_file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def answered(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    assert run([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_flags_go_before_the_folder_and_the_folder_before_the_user(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text('engine = "sglang"\ndevice = "h100"\ndevices = 1\n', encoding="utf-8")
    (here / FILE).write_text('device = "l40s"\nworkload = "chat"\n', encoding="utf-8")
    plan, err = answered(["plan", "qwen3-0.6b"], capsys)
    assert (plan["device"]["id"], plan["engine"]["name"]) == ("l40s", "sglang")
    assert plan["workload"]["preset"] == "chat"
    lines = err.splitlines()
    assert f"device l40s, workload chat from {FILE}" in lines
    assert any(line.startswith("engine sglang, devices 1 from ") for line in lines)
    assert f"{user_file().parent.name}/{FILE}" in err
    plan, err = answered(["plan", "qwen3-0.6b", "l4", "--engine", "vllm", "--quiet"], capsys)
    assert (plan["device"]["id"], plan["engine"]["name"]) == ("l4", "vllm")
    assert err == ""


def test_prices_by_device_reach_capacity_and_compare(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / FILE).write_text("[price_usd_per_hour]\nh200 = 2.5\nl40s = 0.9\n", encoding="utf-8")
    words = ["capacity", "qwen3-0.6b", "h200", "--rate", "1/s", "--ttft-ms", "1000"]
    assert run([*words, "--tpot-ms", "50"]) == 0
    out, err = capsys.readouterr()
    assert f"price_usd_per_hour h200-sxm=2.5 from {FILE}" in " ".join(out.split())
    assert "price_usd" not in err
    assert run(["compare", "qwen3-0.6b", "h200,l40s", "--schemes", "bf16", "--devices", "1"]) == 0
    assert "h200-sxm=2.5,l40s=0.9" in capsys.readouterr().out


def cost_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The price of a device-hour that an answer's cost is told with."""
    assert run(words) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("Cost"))
    return line.rpartition("$")[2].partition(" ")[0]


def test_a_price_reaches_the_cost_of_a_plan_flag_before_scenario_before_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "qwen3-0.6b", "h200", "--devices", "1"]
    profile = cost_of(words, capsys)
    scenario = 'title = "s"\nquestion = "?"\n[host]\nprice_usd_per_hour = 7.0\n'
    (here / "own.toml").write_text(scenario, encoding="utf-8")
    (here / FILE).write_text("[price_usd_per_hour]\nh200 = 2.25\n", encoding="utf-8")
    assert cost_of(words, capsys) == "2.25" != profile
    assert cost_of(["estimate", *words[1:]], capsys) == "2.25"
    assert cost_of([*words, "--scenario", "own.toml"], capsys) == "7.00"
    assert cost_of([*words, "--scenario", "own.toml", "--price", "4"], capsys) == "4.00"
    assert cost_of([*words, "--price", "4"], capsys) == "4.00"


def test_the_profiles_price_is_told_among_the_defaults(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "qwen3-0.6b", "h200", "--devices", "1"]
    assert run(words) == 0
    assert "price;" in " ".join(capsys.readouterr().out.split()).partition("Assumed")[2]
    assert run([*words, "--price", "4"]) == 0
    assert "price;" not in " ".join(capsys.readouterr().out.split()).partition("Assumed")[2]


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (["plan", "qwen3-0.6b"], "Assumed"),
        (["estimate", "qwen3-0.6b", "--lang", "zh"], "假设"),
        (["memory", "qwen3-0.6b"], "Assumed"),
        (["compare", "qwen3-0.6b", "l40s", "--schemes", "bf16"], "Assumed"),
    ],
)
def test_the_answer_names_what_it_took_in_its_line_of_assumptions(
    words: list[str], label: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / FILE).write_text('device = "l40s"\nworkload = "chat"\n', encoding="utf-8")
    assert run([*words]) == 0
    out, err = capsys.readouterr()
    said = [n for n, line in enumerate(out.splitlines()) if line.startswith(label)]
    assert len(said) == 1, "one line of assumptions"
    after = " ".join(" ".join(out.splitlines()[said[0] :]).split())
    assert "workload chat" in after
    assert FILE in after
    assert FILE not in err
    assert run([*words, "--workload", "rag", *(["l4"] if words[-1] != "bf16" else [])]) == 0
    assert FILE not in capsys.readouterr().out, "flags go before the file: nothing was taken"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ('out = "plans"', "unknown key 'out'"),
        ("devices = 0", "devices = '0' is not understood"),
        ('device = "./mine.toml"', "device = './mine.toml' is not understood"),
        ('lang = "fr"', "lang = 'fr' is not understood"),
        ("[price_usd_per_hour]\nh200 = -1", "price_usd_per_hour"),
        ("engine =", "not valid TOML"),
    ],
)
def test_what_is_not_understood_is_refused(
    text: str, error: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / FILE).write_text(text + "\n", encoding="utf-8")
    assert run(["plan", "qwen3-0.6b", "l4"]) == 2
    err = capsys.readouterr().err
    assert error in err
    assert "hint: " in err
    assert run(["models", "qwen3", "0.6b"]) == 0, "no question: the file is none of its business"
