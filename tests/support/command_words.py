"""Words of command lines, joined as no user would, and what every attack asks of a command."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from support.laws import command
from support.tape import Tape

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "planner" / "models" / "configs"
MODEL = "qwen2.5-0.5b"
DEVICE = "l40s"
QUICK = ("--devices", "1", "--context", "2048", "--batch", "4")
PRICED = 6.0
"""Seconds for what also prices or searches; the reader alone keeps the two."""

Attack = Callable[[Tape, Path], bool]


def took(words: list[str], folder: Path, **laws: Any) -> bool:
    return command(words, folder, **laws).code == 0


BASES: tuple[tuple[str, ...], ...] = (
    ("plan", MODEL, DEVICE, *QUICK),
    ("estimate", MODEL, DEVICE, *QUICK),
    ("explain", MODEL, DEVICE, "--module", "mlp-down", "--scheme", "fp8-tensor"),
    (
        "serve",
        MODEL,
        DEVICE,
        "--tp",
        "1",
        "--devices",
        "1",
        "--scheme",
        "bf16",
        "--concurrency",
        "8",
    ),
    ("memory", MODEL, DEVICE, "--tp", "1", "--context", "2048"),
    ("train", MODEL, "h100-sxm", "--devices", "2", "--zero", "1", "--seq", "512"),
    ("experts", "deepseek-v2-lite", "--batch", "8"),
    ("formats",),
    ("devices",),
    ("scenarios",),
    ("inventory", MODEL),
    ("schema",),
    ("claims", "--only", "3"),
    ("models", "--help"),
    (
        "numerics",
        MODEL,
        "--module",
        "attention-out",
        "--tokens",
        "4",
        "--outputs",
        "8",
        "--schemes",
        "fp8-tensor",
    ),
)

WORDS: tuple[str, ...] = (
    "",
    " ",
    "-",
    "--",
    "--json",
    "0",
    "-1",
    "1",
    "2",
    "3",
    "7",
    "64",
    "1e3",
    "1.5",
    "128k",
    "nan",
    "inf",
    "-inf",
    "9" * 30,
    "1_000",
    "１２",
    "true",
    "any",
    "auto",
    "bf16",
    "fp8",
    "fp8-block",
    "int4-channel",
    "nvfp4",
    "fp8-block,bf16",
    ",",
    "llama-3.2-1b",
    "qwen3-30b-a3b",
    "l40s",
    "xeon-6980p",
    "jetson-orin-nano-8gb",
    "vllm",
    "vllm@0.11.0",
    "vllm@",
    "sglang",
    "llama.cpp",
    "tensorrt-llm",
    "throughput",
    "latency",
    "quality",
    "tpot_ms=12",
    "tpot_ms=",
    "./nothing",
    "/",
    "..",
    "/dev/null",
    "/proc/nothing",
    "a\0b",
    "\x1b[31mred",
    "\u202e",
    "é" * 300,
    "x" * 5000,
    "%s%n",
    "$(id)",
    "<b>",
    "--nothing",
    "-o",
    "plan",
    "2026-13-45",
    "mlp-down",
    "fp16",
    "zh",
)


def command_line(tape: Tape, folder: Path) -> bool:
    """Flags with values of every kind, surplus and missing words, words in the wrong place."""
    from planner.cli.main import cli

    words = list(tape.of(BASES))
    flags = [o for p in cli.commands[words[0]].params for o in p.opts if o.startswith("--")]
    for _ in range(tape.below(4)):
        how = tape.below(8)
        at = tape.below(len(words)) if words else 0
        if how == 0 and words:
            words.pop(at)
        elif how == 1 and words:
            words[at] = tape.of(WORDS)
        elif how == 2:
            words.insert(at, tape.of(WORDS))
        elif flags:
            words += [tape.of(flags), tape.of(WORDS)]
    outputs = tuple(
        w for before, w in pairwise(words) if before in ("--svg", "--report", "-o", "--plot")
    )
    return took(words, folder, may_write=outputs, most_seconds=SEARCHED)


SEARCHED = 20.0
