"""``plan verify`` on the command line: the page, JSON, and errors with their hints."""

import json
from pathlib import Path

import pytest
from support.fake_llama import fake_llama
from support.small_gguf import small_gguf

import planner
from planner.cli.main import run

DEVICE = "xeon-platinum-8480"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    base, made = tmp_path / "small.gguf", tmp_path / "made.gguf"
    base.write_bytes(small_gguf())
    made.write_bytes(
        small_gguf(
            lambda name: "BF16" if name in ("token_embd.weight", "output.weight") else "Q8_0"
        )
    )
    plan = planner.estimate(
        str(base), DEVICE, scheme="ggml-q8_0", engine="llama.cpp", batch=1, isl=128, osl=32
    )
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan.to_dict()), encoding="utf-8")
    engine = fake_llama(tmp_path / "bin", made)
    return [
        "verify",
        str(file),
        str(base),
        "--engine-dir",
        str(engine),
        "--device",
        DEVICE,
        "--threads",
        "1",
        "--prompt-tokens",
        "192",
        "--output-tokens",
        "64",
        "-o",
        str(tmp_path / "out"),
    ]


def test_the_page_fits_eighty_columns_and_says_what_it_found(words, capsys):
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "Q4_K_M, llama.cpp's default" in out
    assert "Verdict    the plan is not dominated by Q4_K_M" in out
    assert "plan: quantise …" in err
    assert "profile.json" in err


def test_json_is_the_file(words, capsys, tmp_path):
    assert run([*words, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "out" / "verify.json").read_text())
    assert not err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--engine", "ollama"], "unknown engine to verify with 'ollama'"),
        (["--also", ","], "--also is empty"),
        (["--text", "none.txt"], "text 'none.txt' does not exist"),
        (["--learn-from", "nowhere"], "no losses of an earlier verification"),
    ],
)
def test_bad_input_is_an_error_with_a_hint(more, said, words, capsys, tmp_path):
    assert run([*words, *more]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "error: " in err
    assert "hint: " in err
    assert not (tmp_path / "out").exists()
