"""Flags and numbers as engines and people write them."""

from __future__ import annotations

import json

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.cli.main import cli, run
from planner.cli.spellings import SPELLINGS

QUESTION = ["qwen3-8b", "h200-sxm", "--tp", "2", "--devices", "2", "--context", "16384"]


def answered(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert run(["plan", *words, "--json", "--quiet"]) == 0
    out: dict[str, object] = json.loads(capsys.readouterr().out)
    return out


def test_spellings_of_engines_are_ours(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["qwen3-8b", "H200 SXM", "--gpus", "2", "--tp-size=2", "--max-model-len", "16k"]
    assert answered(words, capsys) == answered(QUESTION, capsys)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_accepted_and_shown_nowhere(spelling: str) -> None:
    flags = {flag for param in cli.commands["plan"].params for flag in param.opts}
    command = cli.commands["plan" if f"--{SPELLINGS[spelling]}" in flags else "capacity"]
    context = click.Context(command, info_name="plan", **command.context_settings)
    assert f"--{spelling} " not in command.get_help(context)
    with pytest.raises(click.BadOptionUsage, match=f"--{SPELLINGS[spelling]}"):
        command.make_parser(context).parse_args([f"--{spelling}"])


def test_a_command_without_the_flag_refuses_the_spelling_as_it_was_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["models", "--gpus", "2"]) == 2
    assert "unknown option --gpus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "tokens"),
    [("32k", 32768), ("32K", 32768), ("0.0625M", 1 << 16), ("0.5k", 512), ("8Ki", 8192)],
)
def test_suffixes_are_powers_of_1024(
    typed: str, tokens: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["memory", "llama-3.1-8b", "h200", "--context", typed, "--json", "--quiet"]) == 0
    assert f'"context_tokens": {tokens}' in capsys.readouterr().out


def test_a_suffix_that_makes_no_whole_number_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["memory", "llama-3.1-8b", "h200", "--context", "1.0001k"]) == 2
    assert "write 1024 or 1025" in capsys.readouterr().err


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The error and the hint."""
    assert run(words) == 2
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


@pytest.mark.parametrize("typed", ["2x4090", "2 x RTX 4090", "2×rtx-4090", "2*4090"])
def test_a_device_with_its_number_is_that_many(
    typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["qwen3-8b", typed.lstrip("2 x×*"), "--devices", "2"]
    assert answered(["qwen3-8b", typed], capsys) == answered(words, capsys)
    assert run(["plan", "qwen3-8b", typed]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"devices 2 from {typed}" in out


def test_numbers_of_devices_that_differ_and_kinds_that_mix_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error, hint = told(["plan", "qwen3-8b", "2x4090", "--devices", "4"], capsys)
    assert error == "'2x4090' and --devices 4 name two numbers of devices"
    assert hint == "leave 2x out"
    error, hint = told(["plan", "qwen3-8b", "2xrtx-3090+m4-max"], capsys)
    assert error == "device '2xrtx-3090+m4-max': apple-m4-max is no card in a slot"
    assert "memory of their own" in hint
    error, hint = told(["plan", "qwen3-8b", "2xrtx-3090+rtx-5090", "--devices", "2"], capsys)
    assert error == "devices 2: rtx-3090+rtx-3090+rtx-5090 is 3 cards already"
    assert "leave --devices out" in hint
    assert run(["plan", "qwen3-8b", "2x4090", "--devices", "2", "--json", "--quiet"]) == 0
    error, hint = told(["capacity", "qwen3-8b", "2xh100", "--rate", "5"], capsys)
    assert error == "'2xh100': this command does not take a number of devices"
    assert hint == "name the device alone: h100"


@pytest.mark.parametrize("short", ["-tp", "-pp"])
def test_short_flags_of_parallel_sizes(short: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["qwen3-8b", "h100", "--devices", "2", short, "2"]
    assert answered(words, capsys) == answered([*words[:-2], f"-{short}", "2"], capsys)
    assert answered([*words[:-2], f"{short}=2"], capsys) == answered(words, capsys)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["deepseek-v3", "H200", "8"], "did you mean --devices 8?"),
        (["qwen3-8b", "RTX", "4090"], 'wants quotes: "RTX 4090"'),
        (["qwen3-8b", "2", "x", "RTX", "4090"], 'wants quotes: "2 x RTX 4090"'),
        (["qwen3-8b", "--device", "4090"], "plan MODEL DEVICE"),
        (["qwen3-8b", "h100", "--dtype", "bfloat16"], "--schemes bf16"),
        (["qwen3-8b", "h100", "--gpu-memory-utilization", "0.9"], "--memory-bytes N"),
        (["qwen3-8b", "h100", "--cache-type-k", "q8_0"], "--kv q8_0/q8_0"),
        (["qwen3-8b", "macbook"], "apple-m4-max"),
        (["deepseek"], "did you mean deepseek"),
        (["h100"], "the model comes first"),
        (["qwen3-8b", "h100", "--kv", "fp8_e5m2"], "fp8"),
    ],
)
def test_what_newcomers_type_is_answered_with_a_way_out(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hint in told(["plan", *words], capsys)[1]


def test_a_hint_that_names_a_flag_can_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--schemes", "bf16"], ["--quantization", "fp8"], ["--memory-bytes", "64G"]):
        answered(["qwen3-8b", "h100", "--devices", "1", *words], capsys)
    words = ["capacity", "qwen3-8b", "h100", "--slo-ttft-ms", "1000", "--slo-tpot-ms", "50"]
    for rate in (["--qps", "5"], ["--rps", "5/s"], ["--request-rate=5"]):
        assert run([*words, *rate, "--json", "--quiet"]) == 0
    capsys.readouterr()


WORDS = st.one_of(
    st.sampled_from(
        [
            *("plan", "estimate", "capacity", "memory", "compare", "list", "lab", "help"),
            *(
                "--",
                "-",
                "--=",
                "-v",
                "-tp",
                "-h=",
                "--tp",
                "--kv",
                "--devices",
                "--rate",
                "--lang",
            ),
            *("2x", "x2", "2xx4090", "0x4090", "8", "-1", "1e9", "32kb", "nan", "inf", ",", "/"),
            *("no-model", "no-device", ".", "..", "~", "--json", "--quiet", "--batch=", "@", "%s"),
        ]
    ),
    st.text(max_size=8),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=st.lists(WORDS, min_size=1, max_size=6))
def test_no_words_end_in_a_traceback(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No bundled model stands among the words: nothing is planned, all is parsed."""
    code = run(words)
    err = capsys.readouterr().err
    assert code in (0, 1, 2)
    assert "Traceback" not in err
    if code == 2:
        lines = [line for line in err.splitlines() if line.startswith(("error: ", "hint: "))]
        assert lines or any(line.startswith(("错误", "提示")) for line in err.splitlines())
