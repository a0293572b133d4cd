"""``plan sensitivity``: text of 80 columns, JSON that is the frame, figure, refusals, credit."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import planner
from planner.cli.main import run
from planner.quality.sensitivity.kld_data import CREDIT
from planner.quality.sensitivity.predict import sensitivities

MODELS = [
    "deepseek-v3.2",
    "qwen3.5-35b-a3b",
    "smollm2-135m",
    "llama-3.1-405b",
    "gpt2",
    "deepseek-v4-pro",
]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


def said(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    code = run(["sensitivity", *arguments])
    out, err = capfd.readouterr()
    assert (code, err) == (0, "")
    return out


@pytest.mark.parametrize("names", ["module", "gguf"])
@pytest.mark.parametrize("model", MODELS)
def test_the_answer_fits_eighty_columns(
    model: str, names: str, capfd: pytest.CaptureFixture[str]
) -> None:
    out = said([model, "--names", names], capfd)
    assert max(len(line) for line in out.splitlines()) <= 80
    assert not any(line != line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize("columns", ["40", "60", "120"])
def test_a_narrow_terminal_is_filled(
    columns: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = said(["deepseek-v3"], capfd)
    lines = [line for line in out.splitlines() if "github.com" not in line]
    assert max(len(line) for line in lines) <= int(columns)
    assert "head" in out


def test_what_it_rests_on_with_credit_and_level_comes_before_the_table(
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = sensitivities(planner.load_model("deepseek-v3"))
    head, facts, body = said(["deepseek-v3"], capfd).split("\n\n")
    assert "T0 family(DeepSeek-V3)" in head
    text = " ".join(facts.split())
    assert text.startswith(f"Basis {found.text} Level {found.level:.3g} nats")
    assert f"×/÷ {found.level_band:.2g} ({found.level_basis}) Figures {CREDIT}" in text
    lines = body.splitlines()
    notes = next(i for i, line in enumerate(lines) if line.startswith("×/÷: "))
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:notes]}
    frame = planner.sensitivity("deepseek-v3")
    assert set(rows) == {"kind", *frame["kind"]}
    assert rows["kind"] == ["layers", "sum", "share", "first", "1/4", "1/2", "3/4", "last", "×/÷"]
    assert rows["router"][2] == "-"
    assert rows["router"][-1] == "4"
    shares = [
        float(cells[2].rstrip("%"))
        for kind, cells in rows.items()
        if kind not in ("kind", "router")
    ]
    assert sum(shares) == pytest.approx(100, abs=0.6)
    mine = frame[frame["kind"] == "shared-down"].set_index("layer")["alpha"]
    for cell, layer in ((rows["shared-down"][3], 3), (rows["shared-down"][-2], 60)):
        assert float(cell.replace(",", "")) == pytest.approx(1e3 * mine[layer], rel=0.01)


def test_every_tensor_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    out = said(["smollm2-135m", "--names", "gguf"], capfd)
    frame = planner.sensitivity("smollm2-135m", names="gguf")
    named = re.findall(r"^(\S+\.weight) ", out, flags=re.MULTILINE)
    assert named == list(frame["tensor"])
    assert "token_embd.weight: head and embedding together" in out


@pytest.mark.parametrize("names", ["module", "gguf"])
def test_json_is_the_frame(names: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = json.loads(said(["deepseek-v3.2", "--names", names, "--json"], capfd))
    frame = planner.sensitivity("deepseek-v3.2", names=names)
    back = pd.DataFrame(data["rows"]).astype(frame.dtypes.to_dict())
    pd.testing.assert_frame_equal(back, frame)
    found = sensitivities(planner.load_model("deepseek-v3.2"))
    assert data["rests_on"] == found.text
    assert data["credit"] == CREDIT
    assert data["sources"] == list(found.sources)
    assert data["tier"] == "T0 family(DeepSeek-V3)"
    level = data["level"]
    assert level["nats"] == found.level
    assert level["low"] * level["high"] == pytest.approx(found.level**2)
    assert set(data["bands"]) >= {"routed", "latent attention", "head"}


@pytest.mark.exhaustive
def test_exclusions_are_repeated_or_listed(capfd: pytest.CaptureFixture[str]) -> None:
    by_list = said(["deepseek-v3", "--exclude", "deepseek-v3, Kimi-K2.5,GLM-4"], capfd)
    by_flags = said(
        ["deepseek-v3", "--exclude", "GLM-4", "--exclude", "DeepSeek-V3.1-Terminus"], capfd
    )
    assert by_list == by_flags
    assert "tier T0 learned" in by_list


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["no-such-model"], "unknown model", "valid names"),
        (["h100-sxm"], "it is a device", "plan list devices h100-sxm"),
        (["llama-3.1-8b", "--exclude", "Qwen9"], "unknown measured model 'Qwen9'", "Qwen3.5-27B"),
        (["llama-3.1-8b", "--exclude", " , "], "--exclude is empty", "--exclude DeepSeek-V3"),
        (["llama-3.1-8b", "--names", "hf"], "unknown choice of names 'hf'", "gguf, module"),
        (["llama-3.1-8b", "--plot", "x.pdf"], "only .svg is written", ".svg"),
        ([], "Missing argument 'MODEL'", "plan sensitivity --help"),
    ],
)
def test_refusals(
    arguments: list[str],
    error: str,
    hint: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["sensitivity", *arguments]) == 2
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert (out, len(lines)) == ("", 2)
    assert error in lines[0]
    assert hint in lines[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.exhaustive
def test_the_figure_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, again = tmp_path / "a.svg", tmp_path / "b.svg"
    assert said(["deepseek-v3", "--plot", str(first)], capfd) == said(["deepseek-v3"], capfd)
    said(["deepseek-v3", "--plot", str(again), "--json"], capfd)
    text = first.read_text(encoding="utf-8")
    assert text == again.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert CREDIT in text


def test_help_gives_credit(capfd: pytest.CaptureFixture[str]) -> None:
    out = " ".join(said(["--help"], capfd).split())
    assert all(word in out for word in ("Thireus", "GGUF Tool Suite", "its contributors"))
