"""What cannot be understood: exit 2, an error line and a hint line, nothing written."""

import json
from pathlib import Path

import pytest

from planner.cli.main import run

OK = ["llama-3.1-8b", "h100-sxm"]

USAGE: list[list[str]] = [
    ["no-such-model", "h100-sxm"],
    ["llama-3.1-8b", "no-such-device"],
    ["llama-3.1-8b"],
    ["plan"],
    ["llama-3.1-8b", "drive-thor-x-super"],
    [*OK, "surplus"],
    [*OK, "--no-such-option"],
    [*OK, "--schemes", ""],
    [*OK, "--schemes", " , "],
    [*OK, "--schemes", "fp9"],
    [*OK, "--schemes", "nvfp4", "--engine", "any"],
    [*OK, "--schemes", "mxfp6"],
    [*OK, "--kv", "fp9"],
    [*OK, "--kv", "fp8-ds-mla"],
    [*OK, "--kv", "int4-channel"],
    [*OK, "--max-loss", "fp9"],
    [*OK, "--max-loss", "-0.1"],
    [*OK, "--max-loss", "nan"],
    [*OK, "--objective", "speed"],
    [*OK, "--scenario", "nope"],
    [*OK, "--scenario", "./nope.toml"],
    [*OK, "--engine", "no-such"],
    [*OK, "--profile", "x"],
    [*OK, "--hardware-dir", "/no/such/folder"],
    [*OK, "--report", "/no/such/folder/x.html"],
    [*OK, "--report", "x.pdf"],
    [*OK, "--context", "131073"],
    [*OK, "--osl", "5"],
    [*OK, "--isl", "100", "--osl", "100", "--context", "150"],
    [*OK, "--context", "1"],
    [*OK, "--tp", "3"],
    [*OK, "--dp", "2"],
    [*OK, "--ep", "2"],
    [*OK, "--devices", "2", "--tp", "4"],
    [*OK, "--devices", "2", "--pp", "2", "--batch", "3"],
    ["./no/such/folder", "h100-sxm"],
    ["/no/such/config.json", "h100-sxm"],
    ["llama-3.1-8b", "./no-such.toml"],
    ["inventory", "no-such-model"],
    ["inventory"],
    ["inventory", "llama-3.1-8b", "--expand"],
    ["devices", "no-such-device"],
    ["devices", "--hardware-dir", "/no/such/folder"],
    ["models", "no-such"],
    ["formats", "surplus"],
    ["scenarios", "--no-such"],
    ["schema", "x"],
    ["estimate"],
    ["estimate", *OK, "--scheme", "fp9"],
    ["estimate", *OK, "--scheme", "mxfp6"],
    ["estimate", "llama-3.1-8b", "a100-sxm", "--scheme", "fp8-block", "--engine", "any"],
    ["estimate", "deepseek-v3", "a100-sxm", "--engine", "any"],
    ["estimate", *OK, "--max-loss", "bf16"],
    ["estimate", "--plan", "/no/such/plan.json"],
    ["estimate", *OK, "--untie"],
]
NUMBERS = (
    "--devices",
    "--tp",
    "--dp",
    "--pp",
    "--ep",
    "--context",
    "--isl",
    "--osl",
    "--batch",
    "--memory-bytes",
)
BAD_WHOLE = (
    "0",
    "-1",
    "1.5",
    "1e3",
    "x",
    "",
    "1,2",
    "0x10",
    "9" * 40,
    "１２x",
    "128kb",
    "nan",
    "inf",
)
BAD_TIMES = ("0", "-5", "x", "nan", "inf", "-inf", "")


def refused(
    arguments: list[str], capfd: pytest.CaptureFixture[str], *, several: bool = False
) -> tuple[str, str]:
    """The error and the hint; ``several``: what is wrong may stand between them, a line each."""
    code = run(arguments)
    out, err = capfd.readouterr()
    assert code == 2, (arguments, out, err)
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2 or several, err
    assert lines[0].startswith("error: ")
    assert all(line.startswith("  ") for line in lines[1:-1])
    assert lines[-1].startswith("hint: ")
    assert len(lines[0]) > 12
    assert len(lines[-1]) > 8
    assert "Traceback" not in err
    return lines[0], lines[-1]


@pytest.mark.sample(11)
@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_two_lines(
    arguments: list[str],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(arguments, capfd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", NUMBERS)
@pytest.mark.parametrize("value", BAD_WHOLE)
def test_whole_numbers(flag: str, value: str, capfd: pytest.CaptureFixture[str]) -> None:
    error, _ = refused([*OK, flag, value], capfd)
    assert flag in error


@pytest.mark.parametrize(
    ("value", "words"),
    [("9" * 40, "from 1 to"), ("-" + "9" * 40, "at least 1"), ("0", "at least 1")],
)
def test_the_hint_names_the_end_that_was_passed(
    value: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _, hint = refused([*OK, "--batch", value], capfd)
    assert words in hint


@pytest.mark.parametrize("flag", ["--ttft-ms", "--tpot-ms"])
@pytest.mark.parametrize("value", BAD_TIMES)
def test_times(flag: str, value: str, capfd: pytest.CaptureFixture[str]) -> None:
    error, _ = refused([*OK, flag, value], capfd)
    assert flag in error


@pytest.mark.parametrize(
    ("given", "readings"),
    [
        ("128KB", ("131072", "128000")),
        ("1MB", ("1048576", "1000000")),
        ("0.5kb", ("512", "500")),
    ],
)
def test_bytes_of_a_suffix_have_two_readings(
    given: str, readings: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    _, hint = refused([*OK, "--context", given], capfd)
    assert all(reading in hint for reading in readings)


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["deepseek-v33", "h100-sxm"], "deepseek-v3"),
        (["llama-3.1-8b", "h100-sx"], "h100-sxm"),
        ([*OK, "--schemes", "fp8-blok"], "fp8-block"),
        ([*OK, "--contxt", "5"], "--context"),
        (
            ["estimate", "llama-3.2-1b", "l40s", "--engine", "llama.cpp", "--scheme", "q4_k_n"],
            "q4_k",
        ),
        (
            ["estimate", "llama-3.2-1b", "l40s", "--engine", "llama.cpp", "--scheme", "IQ2_XXS"],
            "--imatrix",
        ),
        ([*OK, "--kv", "int8-tokn"], "int8-token"),
        ([*OK, "--objective", "latncy"], "latency"),
        ([*OK, "--scenario", "orin-int"], "orin-int8"),
    ],
)
def test_the_hint_has_the_nearest_names(
    arguments: list[str], near: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _, hint = refused(arguments, capfd)
    assert near in hint


HOSTILE = {
    "empty": b"",
    "not-json": b"{",
    "a-list": b"[1, 2]",
    "a-number": b"7",
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
    "deep-objects": b'{"a":' * 50_000,
    "huge-number": b'{"model_type": "llama", "hidden_size": 1' + b"0" * 5000 + b"}",
    "duplicate": b'{"model_type": "llama", "model_type": "qwen3"}',
    "nan": b'{"model_type": "llama", "hidden_size": NaN}',
    "negative": b'{"model_type": "llama", "hidden_size": -4, "num_hidden_layers": 1}',
    "unknown-type": b'{"model_type": "made-up"}',
    "markup": b'{"model_type": "<script>alert(1)</script>\\u001b[31m"}',
    "layers": b'{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1000000000000, '
    b'"vocab_size": 100, "max_position_embeddings": 10, "num_attention_heads": 4, '
    b'"num_key_value_heads": 2, "intermediate_size": 160, "torch_dtype": "bfloat16"}',
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("verb", ["plan", "inventory", "estimate"])
def test_hostile_configurations(
    name: str, verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_bytes(HOSTILE[name])
    device = [] if verb == "inventory" else ["h100-sxm"]
    for path in (tmp_path, tmp_path / "config.json"):
        error, _ = refused([verb, str(path), *device], capfd)
        assert "\x1b" not in error


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_plan_file_that_is_not_one(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(HOSTILE[name])
    refused(["estimate", "--plan", str(path)], capfd)


@pytest.mark.parametrize("content", ["", "=", "id = 3", 'id = "x"\n[memory]\nlabel = 5', "\x00"])
def test_a_device_file_that_is_not_one(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(content)
    refused(["llama-3.1-8b", str(path)], capfd, several=True)
    refused(["devices", str(path)], capfd, several=True)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "title = 3",
        'title = "t"\nquestion = "q"\ncolour = "red"',
        'title = "t"\nquestion = "q"\ncontext = -1',
        'title = "t"\nquestion = "q"\ndevices = 1.5',
        'title = "t"\nquestion = "q"\nschemes = "bf16"',
        'title = "t"\nquestion = "q"\nschemes = []',
        'title = "t"\nquestion = "q"\nuntie = 1',
        'title = "t"\nquestion = "q"\nhost = 1',
        'title = "t"\nquestion = "q"\n[host]\nusable_fraction = 1.5',
        'title = "t"\nquestion = "q"\n[host]\ncolour = 1',
        'title = "t"\nquestion = "q"\nkv = "fp9"',
        'title = "t"\nquestion = "q"\nobjective = "speed"',
        'title = "t"\nquestion = "q"\nbatch = true',
        'title = "t"\nquestion = "q"\nmax_loss = "fp9"',
        'title = "t"\nquestion = "q"\ntp = 3',
        'title = "t"\nquestion = "q"\ntpot_ms = nan',
        'title = "t"\nquestion = "q"\nttft_ms = inf',
    ],
)
def test_a_scenario_that_is_not_one(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(content)
    refused([*OK, "--scenario", str(path)], capfd)


def test_a_failed_report_leaves_an_old_one_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    refused([*OK, "--context", "128kb", "--report", str(page)], capfd)
    assert page.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_no_feasible_plan_is_exit_1(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code = run(
        [
            *OK,
            "--devices",
            "1",
            "--engine",
            "vllm",
            "--tpot-ms",
            "0.01",
            "--json",
            "--schemes",
            "bf16",
            "--batch",
            "1",
            "--report",
            str(page),
        ]
    )
    out, err = capfd.readouterr()
    assert (code, out) == (1, "")
    assert [line.split(":")[0] for line in err.splitlines()] == ["error", "hint"]
    assert not page.exists()


def test_a_plan_file_of_another_version(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"schema_version": "99"}))
    error, _ = refused(["estimate", "--plan", str(path)], capfd)
    assert "99" in error
