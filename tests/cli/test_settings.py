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
    line = next(line for line in err.splitlines() if line.startswith("settings: "))
    assert f"device l40s ({FILE})" in line
    assert f"engine sglang ({user_file()})" in line
    plan, err = answered(["plan", "qwen3-0.6b", "l4", "--engine", "vllm", "--quiet"], capsys)
    assert (plan["device"]["id"], plan["engine"]["name"]) == ("l4", "vllm")
    assert err == ""


def test_prices_by_device_reach_capacity_and_compare(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / FILE).write_text("[price_usd_per_hour]\nh200 = 2.5\nl40s = 0.9\n", encoding="utf-8")
    words = ["capacity", "qwen3-0.6b", "h200", "--rate", "1/s", "--ttft-ms", "1000"]
    assert run([*words, "--tpot-ms", "50"]) == 0
    assert "price_usd_per_hour h200-sxm=2.5" in capsys.readouterr().err
    assert run(["compare", "qwen3-0.6b", "h200,l40s", "--schemes", "bf16", "--devices", "1"]) == 0
    assert "h200-sxm=2.5,l40s=0.9" in capsys.readouterr().err


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
