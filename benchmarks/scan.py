"""CPU seconds of random questions, in one process: the slowest ten, and how many have no plan.

    python benchmarks/scan.py [--questions 300] [--seed 1] [--most 60] [--only WORDS]

Models × devices × engines × objectives × limits × untied layers. Seconds are also given as a ratio
to those of `import numpy, pydantic, highspy`, measured in the same run. A question that takes more
than ``--most`` seconds is stopped, and told as such; exit status 1 where one was.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from startup import cpu_seconds

import planner
from planner.base.errors import InfeasibleError, InputError

MODELS = (
    "smollm2-135m",
    "qwen2.5-0.5b",
    "llama-3.2-1b",
    "llama-3.1-8b",
    "llama-3.1-70b",
    "mistral-7b-v0.1",
    "mixtral-8x7b",
    "olmoe-1b-7b",
    "deepseek-v2-lite",
    "deepseek-v3",
    "qwen3-30b-a3b",
    "qwen3-235b-a22b",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "gemma-3-4b-text",
    "glm-5-fp8",
    "kimi-k2-instruct",
    "llama-4-scout",
    "qwen3.5-27b",
    "deepseek-v3.2-exp",
)
DEVICES = (
    "h100-sxm",
    "h200-sxm",
    "b200-sxm",
    "a100-sxm",
    "l40s",
    "rtx-pro-6000",
    "xeon-6980p",
    "xeon-platinum-8480",
    "jetson-agx-orin-64gb",
    "jetson-agx-thor-t5000",
)
ENGINES = ("any", "any", "vllm", "sglang", "tensorrt-llm", "llama.cpp", "pytorch")
OBJECTIVES = ("throughput", "latency", "memory", "quality", "cost")
REPEATS = 3


class TooLongError(Exception):
    """A question that was stopped."""


@dataclass(frozen=True)
class Timed:
    """A question as a command line, its CPU seconds, and how it ended."""

    command: str
    seconds: float
    ended: str


def question(rng: random.Random) -> tuple[str, str, dict[str, Any]]:
    """One random question."""
    asked: dict[str, Any] = {"objective": rng.choice(OBJECTIVES), "engine": rng.choice(ENGINES)}
    for name, share, values in (
        ("untie", 0.3, (True,)),
        ("tpot_seconds", 0.3, (0.01, 0.02, 0.05, 0.2)),
        ("ttft_seconds", 0.25, (0.2, 0.5, 2.0, 5.0)),
        ("max_loss", 0.3, ("int4-w4a16", "bf16", "fp8-tensor")),
        ("devices", 0.5, (1, 2, 4, 8, 16)),
        ("context", 0.5, (512, 2048, 32768, 131072)),
        ("batch", 0.15, (1, 8, 64, 512)),
        ("memory_bytes", 0.1, (16 << 30, 40 << 30)),
    ):
        if rng.random() < share:
            asked[name] = rng.choice(values)
    return rng.choice(MODELS), rng.choice(DEVICES), asked


def command(model: str, device: str, asked: dict[str, Any]) -> str:
    """The command line of a question."""
    words = ["plan", model, device]
    for name, value in asked.items():
        flag = "--" + name.replace("_seconds", "-ms").replace("_", "-")
        if value is True:
            words.append(flag)
        elif value != "any":
            words += [flag, f"{value * 1e3:g}" if name.endswith("_seconds") else str(value)]
    return " ".join(words)


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooLongError


def timed(model: str, device: str, asked: dict[str, Any], most: float) -> Timed:
    """A question answered, in at most ``most`` CPU seconds."""
    signal.signal(signal.SIGPROF, _stop)
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, most)
    try:
        found = planner.plan(model, device, **asked)
        ended = "plan" if found.solver.proved else f"plan, gap {found.solver.gap:.0e}"
    except TooLongError:
        ended = f"stopped after {most:g} s"
    except InfeasibleError:
        ended = "no plan"
    except InputError:
        ended = "not supported"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Timed(command(model, device, asked), time.process_time() - begun, ended)


def imports() -> float:
    """The least CPU seconds of the imports that planning cannot do without."""
    yardstick = (sys.executable, "-c", "import numpy, pydantic, highspy")
    with tempfile.TemporaryDirectory() as folder:
        return min(cpu_seconds(yardstick, Path(folder)) for _ in range(REPEATS))


def main() -> int:
    """Print the slowest ten, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=float, default=60.0, help="CPU seconds of one question")
    parser.add_argument("--only", default="", help="words in the command line")
    asked = parser.parse_args()
    rng, yardstick = random.Random(asked.seed), imports()
    timed("smollm2-135m", "h100-sxm", {"batch": 1, "devices": 1}, asked.most)  # loads everything
    found: list[Timed] = []
    for number in range(asked.questions):
        one = question(rng)
        if asked.only in command(*one):
            found.append(timed(*one, asked.most))
            if found[-1].ended.startswith("stopped"):
                print(f"{number}: {found[-1].ended}: {found[-1].command}", flush=True)
    if not found:
        print("no question has these words")
        return 1
    slowest = sorted(found, key=lambda one: -one.seconds)[:10]
    print("| CPU s | × imports | ended | question |\n|---|---|---|---|")
    for one in slowest:
        print(
            f"| {one.seconds:.2f} | {one.seconds / yardstick:.1f} | {one.ended} | `{one.command}` |"
        )
    answered = [one.seconds for one in found if one.ended.startswith("plan")]
    ends = Counter("plan" if one.ended.startswith("plan") else one.ended for one in found)
    print(
        f"\n{len(found)} questions of seed {asked.seed}: "
        + ", ".join(f"{count} {name}" for name, count in ends.most_common())
        + f"; {sum(one.ended.startswith('plan, gap') for one in found)} plans not proved"
    )
    if answered:
        print(
            f"plans: median {statistics.median(answered):.2f} s, mean "
            f"{statistics.fmean(answered):.2f} s; over 5 s: {sum(s > 5 for s in answered)}; "
            f"imports {yardstick:.3f} s"
        )
    return int(any(name.startswith("stopped") for name in ends))


if __name__ == "__main__":
    raise SystemExit(main())
