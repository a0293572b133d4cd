"""``plan memory`` on the command line."""

import json
import re

import pytest
from support.chinese import latin_words

from planner.base.errors import InputError
from planner.cli.main import run
from planner.placement.layout import Layout
from planner.planning.inspect.memory import memory

EXPERTS = ["memory", "deepseek-v2-lite", "h100-sxm", "--devices", "2", "--ep", "2"]
LARGE = [*EXPERTS, "--context", "8192", "--batch", "16", "--engine", "vllm@0.19"]


def test_text_fits_80_columns_and_details_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(LARGE) == 0
    brief, err = capsys.readouterr()
    assert err == ""
    assert run([*LARGE, "-v"]) == 0
    full = capsys.readouterr().out
    assert max(map(len, full.splitlines())) <= 80
    first = brief.splitlines()[0]
    assert re.fullmatch(
        r"deepseek-v2-lite in BF16 on 2 × h100-sxm \(TP2 EP2\): [\d.]+ of [\d.]+ GiB", first
    )
    for word in (
        "Fits",
        "Room",
        "Cache a token",
        "Setup",
        "Assumed",
        "KV pool",
        "runtime",
        "total",
    ):
        assert word in brief
    for word in ("expert dispatch", "not derived from shapes", "Assumptions", "CUDA context"):
        assert word in full
        assert word not in brief
    exact = memory(
        "deepseek-v2-lite", "h100-sxm", tp=2, ep=2, context=8192, batch=16, engine="vllm@0.19"
    )
    assert f"{exact.parts.fullest.total_bytes:,}" in full


def test_what_fits_instead_begins_with_layouts(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["memory", "deepseek-v3", "h200", "--devices", "8", "--tp", "8", "--batch", "64"]
    assert run([*asked, "--context", "32k"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    first = lines[lines.index("What fits instead") + 2]
    assert re.fullmatch(r"another layout --tp 1 --dp 8 --ep 8 +115\.81 +10\.19", first)
    assert "hint: --tp 1 --dp 8 --ep 8 fits: 115.81 GiB a device" in err
    assert len(lines) <= 30


def test_the_chinese_answer_has_no_english(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["deepseek-v3", "h200", "--devices", "8", "--tp", "8", "--batch", "64"],
        ["llama-3.1-70b", "h100", "--engine", "vllm"],
        ["qwen3-8b", "rtx-4090"],
    ):
        run(["memory", *words, "--context", "32k", "--lang", "zh"])
        out, err = capsys.readouterr()
        told = err.replace("error: ", "").replace("hint: ", "")
        assert latin_words(f"<p>{out}</p><p>{told}</p>") == []


def test_devices_are_whole_replicas() -> None:
    assert memory("qwen3-8b", "h100-sxm", devices=4).parts.layout == Layout(4, 1, 1, 1, 1)
    assert memory("qwen3-8b", "h100-sxm", devices=4, tp=2).parts.layout == Layout(2, 1, 1, 1, 2)
    assert memory("qwen3-8b", "h100-sxm", devices=4, pp=2).parts.layout == Layout(2, 1, 2, 1, 1)
    with pytest.raises(InputError, match="no whole number of replicas"):
        memory("qwen3-8b", "h100-sxm", devices=4, tp=3)
    with pytest.raises(InputError, match="out of range"):
        memory("qwen3-8b", "h100-sxm", devices=0)


def test_the_longest_context_fits_and_a_page_more_does_not() -> None:
    found = memory("qwen3-8b", "rtx-4090")
    longest = found.longest_context
    assert 8192 < longest < 40960
    assert memory("qwen3-8b", "rtx-4090", isl=longest - 1024, osl=1024).fits
    assert not memory("qwen3-8b", "rtx-4090", isl=longest - 1024 + 64, osl=1024).fits
    assert memory("qwen3-8b", "h200-sxm").longest_context == 40960
    assert memory("qwen3-8b").longest_context == 0


def test_json_is_the_answer_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "memory",
                "qwen3-8b",
                "h100-sxm",
                "--engine",
                "sglang",
                "--mem-fraction-static",
                "0.9",
                "--max-total-tokens",
                "100000",
                "--json",
                "--quiet",
            ]
        )
        == 0
    )
    out, err = capsys.readouterr()
    same = memory(
        "qwen3-8b", "h100-sxm", engine="sglang", mem_fraction_static=0.9, max_total_tokens=100000
    )
    assert err == ""
    assert json.loads(out) == json.loads(json.dumps(same.to_dict()))
    assert json.loads(out)["engine"]["tokens"] == 100000


def test_what_does_not_fit_or_start_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", "deepseek-v3", "h100-sxm", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert "no: " in out
    assert "over on the fullest device" in out
    said = re.search(r"device is ([\d,]+) bytes over its ([\d,]+) usable", err.splitlines()[0])
    assert said is not None
    over, usable = (int(figure.replace(",", "")) for figure in said.groups())
    held = memory("deepseek-v3", "h100-sxm")
    assert over == held.parts.fullest.total_bytes - usable > 0
    assert run(["memory", "llama-3.1-70b", "h100-sxm", "--engine", "vllm", "--quiet"]) == 1
    assert "does not start" in capsys.readouterr().out


def test_without_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", "qwen3-8b", "--json", "--quiet"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["device"] is None
    assert data["capacity"]["usable_bytes"] is None
    assert data["capacity"]["fits"] is None


@pytest.mark.parametrize(
    ("arguments", "word", "hint"),
    [
        (
            ["qwen3-8b", "h100-sxm", "--engine", "sglang", "--gpu-memory-utilization", "0.9"],
            "flag of vllm",
            "--mem-fraction-static",
        ),
        (
            ["qwen3-8b", "h100-sxm", "--engine", "vllm", "--ubatch-size", "8"],
            "flag of llama.cpp",
            "--max-num-batched-tokens",
        ),
        (["qwen3-8b", "h100-sxm", "--engine", "vlm"], "unknown engine", "vllm"),
        (["qwen3-8b", "h100-sxm", "--engine", "vllm@1.2.x.4"], "not understood", "vllm@"),
        (["qwen3-8b", "--engine", "vllm"], "needs the memory", "--memory-bytes"),
        (["qwen3-8b", "h100-sxm", "--block-size", "16"], "belongs to an engine", "--engine"),
        (
            ["qwen3-8b", "h100-sxm", "--engine", "vllm", "--gpu-memory-utilization", "1.2"],
            "out of range",
            "at most 1",
        ),
        (
            ["qwen3-8b", "h100-sxm", "--engine", "vllm", "--kv-cache-dtype", "int3"],
            "unknown KV layout",
            "",
        ),
        (
            ["qwen3-8b", "h100-sxm", "--engine", "llama.cpp", "--cache-type-k", "q9"],
            "unknown KV layout",
            "",
        ),
        (["qwen3-8b", "--scheme", "int5"], "unknown scheme", ""),
        (
            [
                "qwen3-8b",
                "h100-sxm",
                "--engine",
                "sglang",
                "--page-size",
                "64",
                "--block-size",
                "32",
            ],
            "one setting",
            "leave one out",
        ),
        (
            ["qwen3-8b", "h100-sxm", "--engine", "vllm", "--kv", "fp8", "--kv-cache-dtype", "bf16"],
            "one setting",
            "leave one out",
        ),
        (
            ["qwen3-8b", "h100-sxm", "--engine", "vllm", "--kv", "int4-token"],
            "no cache type int4-token",
            "--engine",
        ),
        (
            ["qwen3-8b", "h100-sxm", "--engine", "vllm", "--page-size", "64"],
            "flag of sglang",
            "--block-size",
        ),
        (["qwen3-8b", "xeon-6980p", "--engine", "tensorrt-llm"], "is a CPU", "llama.cpp"),
        (["deepseek-v3", "xeon-6980p", "--engine", "llama.cpp"], "no fp8-block weights", "ggml"),
        (
            ["glm-4.5-air", "h100-sxm", "--scheme", "bf16", "--engine", "llama.cpp", "--with-mtp"],
            "prediction layers",
            "--with-mtp",
        ),
        (["llama-3.1-8b", "--with-mtp"], "no prediction layers", "--with-mtp"),
        (["llama-3.1-8b", "--with-vision"], "no vision encoder", "--with-vision"),
        (["qwen3-8b", "--tp", "3"], "does not divide", "--tp"),
        (["qwen3-8b", "--checkpoint", "/nowhere/at/all"], "not a directory", "safetensors"),
        (["qwen3-8b", "--plan", "/nowhere.json"], "does not exist", ""),
        (["qwen9-8b"], "unknown model", "qwen3-8b"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], arguments: list[str], word: str, hint: str
) -> None:
    assert run(["memory", *arguments]) == 2
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert out == ""
    assert first.startswith("error: ")
    assert word in first
    assert second.startswith("hint: ")
    assert hint in second


@pytest.mark.parametrize(
    ("engine", "own", "common"),
    [
        (
            "sglang",
            [
                "--page-size",
                "64",
                "--chunked-prefill-size",
                "4096",
                "--context-length",
                "16384",
                "--max-running-requests",
                "32",
            ],
            [
                "--block-size",
                "64",
                "--max-num-batched-tokens",
                "4096",
                "--max-model-len",
                "16384",
                "--max-num-seqs",
                "32",
            ],
        ),
        (
            "tensorrt-llm",
            [
                "--tokens-per-block",
                "64",
                "--max-num-tokens",
                "4096",
                "--max-seq-len",
                "16384",
                "--max-batch-size",
                "32",
            ],
            [
                "--block-size",
                "64",
                "--max-num-batched-tokens",
                "4096",
                "--max-model-len",
                "16384",
                "--max-num-seqs",
                "32",
            ],
        ),
    ],
)
def test_an_engine_understands_its_own_words(
    capsys: pytest.CaptureFixture[str], engine: str, own: list[str], common: list[str]
) -> None:
    answers = []
    for flags in (own, common, []):
        assert (
            run(["memory", "qwen3-8b", "h100-sxm", "--engine", engine, *flags, "--json", "--quiet"])
            == 0
        )
        answers.append(json.loads(capsys.readouterr().out)["engine"])
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]


def test_what_an_engine_adds_to_the_weights_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", "deepseek-v2-lite", "h100-sxm", "--engine", "vllm", "-v"]) == 0
    assert "RoPE tables (of the weights)" in capsys.readouterr().out


def test_a_cpu_has_no_context_of_a_gpu() -> None:
    names = {
        line.name
        for line in memory("qwen3-8b", "xeon-6980p", engine="pytorch").engine.rank.overheads
    }  # type: ignore[union-attr]
    assert not names & {"context", "workspace"}


def test_unified_memory_is_pointed_out() -> None:
    found = memory("qwen3-0.6b", "jetson-agx-orin-32gb", engine="vllm").assumptions
    assert "unified memory" in {key for key, _, _ in found}
