"""One process that is asked for a long time: does its memory grow, do its answers slow or change?

    python benchmarks/long_use.py [--questions 10000] [--write docs/evidence/long-use.md]

Asks random questions (two thirds estimates, a quarter plans, the rest memory) of many models and
devices through the public API. Every 250 questions it notes the resident memory and the seconds of
each kind. At the end a sample is asked again in fresh processes, in two processes and in two
threads at once: every answer has to have the same bytes. Memory is flat where it grows by at most
5 % after the first 1,000 questions; times are flat where the median of the last fifth is within
10 % of the second fifth's, kind by kind.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import planner
from planner.errors import PlannerError

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("smollm2-135m", "qwen2.5-0.5b", "llama-3.2-1b", "llama-3.1-8b", "olmoe-1b-7b",
          "deepseek-v2-lite", "qwen3-8b", "mistral-7b-v0.1", "gpt-oss-20b", "qwen3-30b-a3b",
          "mixtral-8x7b", "llama-3.1-70b", "deepseek-v3")
DEVICES = ("h100-sxm", "h200-sxm", "b200-sxm", "l40s", "a100-sxm", "mi300x", "rtx-4090",
           "xeon-6980p", "jetson-agx-orin-64gb")
KINDS = ("estimate", "plan", "memory")
EVERY = 250
SAMPLED = 24


@dataclass
class Course:
    """What was seen: (questions so far, resident bytes) and seconds by kind, in order."""

    memory: list[tuple[int, int]] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    refused: int = 0


def question(number: int, seed: int) -> tuple[str, str, str, dict[str, Any]]:
    """The ``number``-th question: (kind, model, device, what is given)."""
    draw = random.Random(f"{seed}:{number}")
    kind = draw.choices(KINDS, (8, 3, 1))[0]
    model, device = draw.choice(MODELS), draw.choice(DEVICES)
    devices = draw.choice((1, 2, 4, 8, 16))
    given: dict[str, Any] = {"context": draw.choice((2048, 4096, 8192, 16384))}
    if kind == "estimate":
        given |= {"devices": devices, "batch": draw.choice((1, 4, 16, 64)), "tp": devices}
    elif kind == "plan":
        given |= {"devices": devices, "mode": "aggregated",
                  "objective": draw.choice(("throughput", "latency", "cost"))}
    else:
        given |= {"engine": draw.choice(("vllm", "sglang", "pytorch")), "tp": devices}
    return kind, model, device, given


def ask(kind: str, model: str, device: str, given: dict[str, Any]) -> str:
    """A digest of the answer, or of the words of its refusal."""
    try:
        if kind == "memory":
            told: Any = planner.memory_use(model, device, **given)
        else:
            told = getattr(planner, kind)(model, device, **given)
        text = json.dumps(told.to_dict(), sort_keys=True)
    except PlannerError as error:
        text = f"refused: {error}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def run(count: int, seed: int) -> tuple[Course, dict[int, str]]:
    """Ask ``count`` questions; the answers of the sampled ones, by number."""
    course, answers = Course(), {}
    sampled = set(random.Random(seed).sample(range(count), min(SAMPLED, count)))
    for number in range(count):
        kind, *rest = question(number, seed)
        begun = time.perf_counter()
        answer = ask(kind, *rest)
        course.seconds[kind].append(time.perf_counter() - begun)
        if number in sampled:
            answers[number] = answer
        if number % EVERY == EVERY - 1:
            gc.collect()
            course.memory.append((number + 1, resident_bytes()))
            print(f"{number + 1:>6}  {course.memory[-1][1] / 2**20:7.1f} MiB", file=sys.stderr,
                  flush=True)
    return course, answers


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fresh(numbers: Sequence[int], seed: int) -> dict[int, str]:
    """Answers of a new process."""
    ran = subprocess.run([sys.executable, __file__, "--answer", ",".join(map(str, numbers)),
                          "--seed", str(seed)], capture_output=True, text=True, check=True,
                         encoding="utf-8")
    return {int(key): value for key, value in json.loads(ran.stdout).items()}


def differences(answers: dict[int, str], seed: int) -> Iterator[str]:
    """Where fresh processes, two at once, or two threads at once answer otherwise."""
    numbers = sorted(answers)
    half = len(numbers) // 2
    for number in numbers[:6]:
        if fresh([number], seed)[number] != answers[number]:
            yield f"question {number}: a fresh process answers otherwise"
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(fresh, (numbers[:half], numbers[half:]), (seed, seed)))
        for number, answer in {**parts[0], **parts[1]}.items():
            if answer != answers[number]:
                yield f"question {number}: two processes at once answer otherwise"
        asked = pool.map(lambda n: (n, ask(*question(n, seed))), [*numbers, *reversed(numbers)])
        for number, answer in asked:
            if answer != answers[number]:
                yield f"question {number}: two threads at once answer otherwise"


def told(course: Course, count: int, seed: int, wrong: Sequence[str]) -> str:
    """The page."""
    settled = [size for number, size in course.memory if number >= min(1000, count // 2)]
    growth = max(settled) / settled[0] - 1
    lines = ["# Long use", "",
             "One process that answers for a long time: memory, times, and whether answers change.",
             "", "```console", "$ python benchmarks/long_use.py", "```", "",
             f"{count:,} random questions (seed {seed}): memory after the first 1,000 grew by "
             f"**{growth:.1%}** at most ({settled[0] / 2**20:.0f} to {max(settled) / 2**20:.0f} "
             "MiB; wanted: 5 %).", "",
             "| kind | questions | median of the second fifth [ms] | of the last fifth [ms] |",
             "|---|---:|---:|---:|"]
    for kind, seconds in course.seconds.items():
        part = max(len(seconds) // 5, 1)
        early, late = median(seconds[part:2 * part] or seconds), median(seconds[-part:])
        lines.append(f"| {kind} | {len(seconds):,} | {early * 1e3:.1f} | {late * 1e3:.1f} |")
    lines += ["", f"{SAMPLED} of them asked again: six each in a fresh process, all in two "
              "processes and in two threads at once: "
              + ("every answer is the same, byte for byte." if not wrong else "; ".join(wrong)),
              "", "![Memory of the process over questions](long-use.svg)", ""]
    return "\n".join(lines)


def drawn(course: Course) -> str:
    """Resident memory over questions, as SVG."""
    from matplotlib.figure import Figure

    from planner.plot.axes import as_svg, tidy

    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    ax = figure.add_subplot()
    ax.plot([n for n, _ in course.memory], [size / 2**20 for _, size in course.memory],
            color="#1d5f9e")
    ax.set(xlabel="questions answered", ylabel="resident memory [MiB]", ylim=(0, None))
    tidy(ax, "memory of one process", grid="y")
    return as_svg(figure)


def main() -> int:
    """Ask, compare, print the page; 1 where an answer differs."""
    parser = argparse.ArgumentParser(description="Long use of one process.")
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        numbers = map(int, options.answer.split(","))
        print(json.dumps({n: ask(*question(n, options.seed)) for n in numbers}))
        return 0
    course, answers = run(options.questions, options.seed)
    wrong = list(differences(answers, options.seed))
    page = told(course, options.questions, options.seed, wrong)
    print(page)
    if options.write is not None:
        options.write.write_text(page, encoding="utf-8")
        options.write.with_suffix(".svg").write_text(drawn(course), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
