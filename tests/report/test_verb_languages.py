"""Catalogues of the verbs' answers say the same in every language, and every verb speaks it."""

import re
import tomllib
from pathlib import Path
from string import Formatter

import pytest

from planner.cli.language import language
from planner.cli.main import run
from planner.messages.catalogue import FOLDER as MESSAGES
from planner.messages.catalogue import LANGUAGES, catalogue
from planner.messages.words import SMALL_WORDS
from planner.report.columns import columns
from planner.report.view.verb_words import FOLDER as VERBS

FOLDERS = sorted(path for path in VERBS.iterdir() if path.is_dir())
QUOTED = re.compile(r"“[^”]*”|`[^`]*`|'[^']*'|《[^》]*》")
CODE = re.compile(r"^  (?:plan |# |--|vllm serve |python -m |llama-server ).*$", re.MULTILINE)
NAMES = re.compile(
    r"（[^（）]*(?:/|@|GGUF)[^（）]*）|\w+ custom-allreduce:\w+|"
    r"Thireus, GGUF Tool Suite and its contributors|[\w./-]+ et al\.,.*?\d{4}\.\d{4,5}[^；。]*"
)
"""Citations, kernels, credits and papers, which have the words of their authors in every
language."""


def texts(folder: Path, lang: str) -> dict[str, str]:
    data = tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8"))
    return {f"{s}.{name}": text for s, rows in data.items() for name, text in rows.items()}


def holes(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_chinese_lacks_no_text_and_no_figure(folder: Path) -> None:
    english, chinese = texts(folder, "en"), texts(folder, "zh")
    assert english.keys() - chinese.keys() == set()
    assert {key for key in english if holes(english[key]) != holes(chinese[key])} == set()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_chinese_texts_hold_no_english_sentence(folder: Path) -> None:
    found = {
        key: text
        for key, text in texts(folder, "zh").items()
        if SMALL_WORDS.search(QUOTED.sub("", re.sub(r"\{\w+\}", "", text)))
    }
    assert found == {}


def test_messages_are_the_same_in_every_language() -> None:
    english, chinese = (catalogue(lang) for lang in LANGUAGES)
    assert english.keys() - chinese.keys() == set()
    assert {id for id in english if english[id].holes.keys() != chinese[id].holes.keys()} == set()
    files = [{p.name for p in (MESSAGES / lang).glob("*.toml")} for lang in LANGUAGES]
    assert files[0] == files[1]


SMALL = ["qwen2.5-0.5b", "l40s", "--devices", "1"]
QUESTIONS = {
    "plan": ["plan", *SMALL, "-v", "--context", "2048"],
    "estimate": ["estimate", *SMALL, "-v", "--scheme", "fp8-tensor", "--context", "2048"],
    "compare": ["compare", SMALL[0], "l40s,h100-sxm", "--devices", "1", "--context", "2048"],
    "capacity": [
        "capacity",
        *SMALL[:2],
        "--rate",
        "5/s",
        "--isl",
        "512",
        "--osl",
        "64",
        "--tpot-ms",
        "50",
    ],
    "memory": ["memory", *SMALL, "--context", "2048"],
    "serve": ["serve", *SMALL, "--concurrency", "4", "--isl", "512", "--osl", "64"],
    "replay": ["replay", *SMALL, "--rate", "4/s", "--count", "50", "--isl", "512", "--osl", "64"],
    "experts": ["experts", "qwen3-30b-a3b", "l40s", "--batch", "4", "--ep", "4"],
    "train": ["train", "qwen2.5-0.5b", "l40s"],
    "module": ["explain", *SMALL[:2], "--module", "mlp-down", "--isl", "512"],
    "explain": ["explain", *SMALL, "--isl", "512", "--osl", "64", "--solves", "4"],
    "frontier": ["frontier", *SMALL, "--isl", "512", "--osl", "64", "--points", "4"],
    "numerics": ["numerics", "qwen2.5-0.5b", "--module", "mlp-down", "--outputs", "2"],
    "units": ["numerics", "--list-units"],
    "sensitivity": ["sensitivity", "smollm2-135m"],
    "validate": ["validate", "--only", "op_gemm"],
    "claims": ["claims", "--only", "1,3"],
    "inventory": ["inventory", "qwen2.5-0.5b"],
    "models": ["list", "models", "qwen2.5"],
    "devices": ["list", "devices"],
    "device": ["list", "devices", "l40s"],
    "formats": ["list", "formats"],
    "formats on a device": ["formats", "--device", "l40s"],
    "engines": ["list", "engines"],
    "workloads": ["list", "workloads"],
    "scenarios": ["list", "scenarios"],
}


def untold(text: str) -> list[str]:
    """English sentences outside quotations, commands, credits and papers."""
    joined = re.sub(r"\n {4,}", " ", text)
    return SMALL_WORDS.findall(NAMES.sub("", QUOTED.sub("", CODE.sub("", joined))))


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_verb_speaks_chinese(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*QUESTIONS[name], "--lang", "zh"]) in (0, 1)
    out, err = capsys.readouterr()
    assert re.search(r"[\u4e00-\u9fff]", out)
    assert untold(out) == []
    assert untold(err) == []
    assert max(columns(line) for line in out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["deepsek-v3", "l40s"], "错误：未知的模型 'deepsek-v3'", "提示：是不是 deepseek-v3"),
        (["serve", "qwen3-8b", "l40s", "--isl", "x"], "错误：--isl 'x' 不是整数", "提示：例如"),
        (["train", "qwen3-8b"], "错误：缺少 DEVICE", "提示：见 `plan train --help`"),
        (["list", "modls"], "错误：未知的", "提示：是不是 models"),
        (["train", "qwen3-8b", "l40s", "--no-such"], "错误：未知选项 --no-such", "提示："),
    ],
)
def test_refusals_are_chinese(
    words: list[str], error: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--lang", "zh"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(error)
    assert lines[-1].startswith(hint)


def test_one_command_leaves_no_language_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "engines", "--lang=zh"]) == 0
    assert language() == "zh"
    assert run(["list", "engines"]) == 0
    assert language() == "en"
    assert run(["list", "engines", "--lang", "fr"]) == 2
    assert "unknown language 'fr'" in capsys.readouterr().err


def test_the_file_of_settings_gives_every_command_its_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "planner.toml").write_text('lang = "zh"\nengine = "vllm"\n', encoding="utf-8")
    assert run(["list", "engines"]) == 0
    assert "已知" in capsys.readouterr().out
    assert run(["list", "engines", "--lang", "en"]) == 0
    assert "versions known" in capsys.readouterr().out
