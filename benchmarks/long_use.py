"""One process that is asked for a long time: does its memory grow, do its answers slow or change?

    python benchmarks/long_use.py [--questions 10000] [--write docs/evidence/long-use.md]

Asks random questions (13 estimates to 6 of memory and a plan) of many models and devices through
the public API. Every 50 questions it notes the resident memory, before and after the C library has
given back what it keeps of freed memory (``--keep``: it keeps it), and the objects that the
collector tracks; every 250 it prints that and the CPU seconds so far, and writes them to
``--journal FILE`` so that nothing is lost (an interrupt tells what was asked so far). At the end a
sample, eight of each kind, is asked again in fresh processes, in two processes at once, in two
threads at once of this process and of a fresh one, whose caches are empty: every answer has to have
the same bytes. Memory is flat where its median over the last fifth is at most 5 % above that of the
second fifth, times where that is within 10 %, kind by kind. Exits 1 where an answer differs.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import planner
from evaluation.pages import publish
from planner.base.errors import PlannerError

ROOT = Path(__file__).resolve().parents[1]
MODELS = (
    "smollm2-135m",
    "qwen2.5-0.5b",
    "llama-3.2-1b",
    "llama-3.1-8b",
    "olmoe-1b-7b",
    "deepseek-v2-lite",
    "qwen3-8b",
    "mistral-7b-v0.1",
    "gpt-oss-20b",
    "qwen3-30b-a3b",
    "mixtral-8x7b",
    "llama-3.1-70b",
    "deepseek-v3",
)
DEVICES = (
    "h100-sxm",
    "h200-sxm",
    "b200-sxm",
    "l40s",
    "a100-sxm",
    "mi300x",
    "rtx-4090",
    "xeon-6980p",
    "jetson-agx-orin-64gb",
)
KINDS = {"estimate": 13, "plan": 1, "memory": 6}
"""How many of twenty questions are of a kind."""
NAMED = {"estimate": "estimates", "plan": "plans", "memory": "answers on memory"}
REMARK = (
    "What plans leave is caches, each with a limit, and what glibc keeps of freed memory "
    "(`--keep`). `--alternate plan` asks the plans of both fifths in turn in a new process."
)
EVERY, TOLD = 50, 250
"""Questions from one look at the memory to the next, and to the next line."""
SAMPLED = 8
"""Questions of each kind that are asked again."""
ALONE = 6
"""Those of them that get a fresh process each."""


@dataclass
class Course:
    """What was seen: CPU seconds by kind, and (questions so far, resident bytes, those after the
    freed ones were given back, objects)."""

    memory: list[tuple[int, int, int, int]] = field(default_factory=list)
    keep: bool = False
    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    refused: int = 0
    asked: int = 0


def question(number: int, seed: int) -> tuple[str, str, str, dict[str, Any]]:
    """The ``number``-th question: (kind, model, device, what is given)."""
    draw = random.Random(f"{seed}:{number}")
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    model, device = draw.choice(MODELS), draw.choice(DEVICES)
    devices = draw.choice((1, 2, 4, 8, 16))
    given: dict[str, Any] = {"context": draw.choice((2048, 4096, 8192, 16384))}
    if kind == "estimate":
        given |= {"devices": devices, "batch": draw.choice((1, 4, 16, 64)), "tp": devices}
    elif kind == "plan":
        given |= {
            "devices": devices,
            "mode": "aggregated",
            "objective": draw.choice(("throughput", "latency", "cost")),
        }
    else:
        given |= {"engine": draw.choice(("vllm", "sglang", "pytorch")), "tp": devices}
    return kind, model, device, given


def ask(kind: str, model: str, device: str, given: dict[str, Any]) -> str:
    """A digest of the answer, or ``refused`` and a digest of the words."""
    try:
        if kind == "memory":
            told: Any = planner.memory_use(model, device, **given)
        else:
            told = getattr(planner, kind)(model, device, **given)
        return digest(json.dumps(told.to_dict(), sort_keys=True))
    except PlannerError as error:
        return f"refused {digest(str(error))}"


def digest(text: str) -> str:
    """The first 20 figures of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def run(count: int, seed: int, journal: Path | None, keep: bool) -> tuple[Course, dict[int, str]]:
    """Ask ``count`` questions; the answers of the sampled ones, by number."""
    course, answers = Course(keep=keep), {}
    sampled = sample(count, seed)
    try:
        for number in range(count):
            asked = question(number, seed)
            begun = time.process_time()
            answer = ask(*asked)
            course.seconds[asked[0]].append(time.process_time() - begun)
            course.refused += answer.startswith("refused")
            course.asked = number + 1
            if number in sampled:
                answers[number] = answer
            if course.asked % EVERY == 0 or course.asked == count:
                note(course, journal)
    except KeyboardInterrupt:
        print(f"interrupted after {course.asked} questions", file=sys.stderr)
    return course, answers


def sample(count: int, seed: int) -> set[int]:
    """Numbers of the questions that are asked again, some of each kind."""
    by_kind: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for number in range(count):
        by_kind[question(number, seed)[0]].append(number)
    draw = random.Random(seed)
    return {
        number
        for numbers in by_kind.values()
        for number in draw.sample(numbers, min(SAMPLED, len(numbers)))
    }


def note(course: Course, journal: Path | None) -> None:
    """Look at the memory, and tell where the run is."""
    gc.collect()
    before = resident_bytes()
    if not course.keep:
        give_back()
    course.memory.append((course.asked, before, resident_bytes(), len(gc.get_objects())))
    if course.asked % TOLD:
        return
    number, _, held, objects = course.memory[-1]
    line = {
        "questions": number,
        "bytes": before,
        "held_bytes": held,
        "objects": objects,
        "refused": course.refused,
        "cpu_seconds": {kind: round(sum(spent), 3) for kind, spent in course.seconds.items()},
    }
    print(
        f"{number:>6}  {before / 2**20:7.1f} MiB, {held / 2**20:7.1f} held  "
        f"{objects:>9,} objects  {time.process_time():7.0f} CPU s",
        file=sys.stderr,
        flush=True,
    )
    if journal is not None:
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def give_back() -> None:
    """Let glibc return to the system what has been freed; elsewhere nothing happens."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def fresh(numbers: Sequence[int], seed: int, threads: int = 1) -> dict[int, str]:
    """Answers of a new process, whose ``threads`` threads share the questions."""
    ran = subprocess.run(
        [
            sys.executable,
            __file__,
            "--answer",
            ",".join(map(str, numbers)),
            "--seed",
            str(seed),
            "--threads",
            str(threads),
        ],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return {int(key): value for key, value in json.loads(ran.stdout).items()}


def together(numbers: Sequence[int], seed: int, threads: int) -> dict[int, str]:
    """Answers of ``threads`` threads of this process at once."""
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(numbers, pool.map(lambda n: ask(*question(n, seed)), numbers), strict=True))


def differences(answers: dict[int, str], seed: int) -> Iterator[str]:
    """Where fresh processes, two at once, or two threads at once answer otherwise."""
    numbers = sorted(answers)
    half = len(numbers) // 2
    alone = random.Random(seed).sample(numbers, min(ALONE, len(numbers)))
    others = {"a fresh process": {n: fresh([n], seed)[n] for n in alone}}
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(fresh, (numbers[:half], numbers[half:]), (seed, seed))
    others["two processes at once"] = one | two
    others["two threads of a fresh process"] = fresh(numbers, seed, threads=2)
    others["two threads at once"] = together(numbers, seed, 2)
    for who, said in others.items():
        for number, answer in said.items():
            if answer != answers[number]:
                yield f"question {number}: {who} answers otherwise"


def told(course: Course, seed: int, again: int, wrong: Sequence[str]) -> str:
    """The page."""
    lines = [
        "# Long use",
        "",
        "One process that answers for a long time: memory, times, and whether answers change.",
        "",
        f"`python benchmarks/long_use.py --questions {course.asked}`: {course.asked:,} random "
        f"questions (seed {seed}), {course.refused:,} of which "
        "were refused, mostly because nothing fits:",
        "",
        "| | median of the second fifth | of the last fifth | change |",
        "|---|---:|---:|---:|",
    ]
    for name, place, unit in (
        ("resident memory, freed memory given back [MiB]", 2, 2**20),
        ("the same before that, as the largest question left it [MiB]", 1, 2**20),
        ("objects that the collector tracks", 3, 1),
    ):
        early, late = fifths([seen[place] / unit for seen in course.memory])
        lines.append(f"| {name} | {early:,.0f} | {late:,.0f} | {late / early - 1:+.1%} |")
    for kind, seconds in course.seconds.items():
        if not seconds:
            continue
        early, late = fifths(seconds)
        lines.append(
            f"| CPU time of one of {len(seconds):,} {NAMED[kind]} [ms] "
            f"| {early * 1e3:.1f} | {late * 1e3:.1f} | {late / early - 1:+.1%} |"
        )
    first = next(seen for seen in course.memory if seen[0] >= min(1000, course.asked // 2))
    held = [seen[2] / 2**20 for seen in (first, course.memory[-1])]
    lines += [
        "",
        f"After {first[0]:,} questions the process held {held[0]:.0f} MiB, at the end "
        f"{held[1]:.0f} ({held[1] / held[0] - 1:+.0%}; wanted is 5 %). " + REMARK,
        "",
        f"{again} of them were asked again, of all kinds: {ALONE} each in a fresh "
        "process, all in two processes at once, in two threads at once, and in two "
        "threads of a fresh process: "
        + ("every answer is the same, byte for byte." if not wrong else "; ".join(wrong)),
        "",
        "![Memory of the process and CPU time of a question, over questions](long-use.svg)",
        "",
    ]
    return "\n".join(lines)


def fifths(values: Sequence[float]) -> tuple[float, float]:
    """Medians of the second fifth and of the last."""
    part = max(len(values) // 5, 1)
    return median(values[part : 2 * part] or values), median(values[-part:])


def alternately(count: int, seed: int, kind: str) -> None:
    """Print the medians of CPU time that questions of the two fifths take in this process, asked
    in turn: whether a change lies in the questions or in the age of the process."""
    numbers = [number for number in range(count) if question(number, seed)[0] == kind]
    part = max(len(numbers) // 5, 1)
    spent: tuple[list[float], list[float]] = ([], [])
    for pair in zip(numbers[part : 2 * part], numbers[-part:], strict=True):
        for number, seconds in zip(pair, spent, strict=True):
            begun = time.process_time()
            ask(*question(number, seed))
            seconds.append(time.process_time() - begun)
        print(
            f"{len(spent[0])} each: {median(spent[0]) * 1e3:.0f} ms in the second fifth, "
            f"{median(spent[1]) * 1e3:.0f} ms in the last",
            flush=True,
        )


def drawn(course: Course) -> str:
    """Resident memory, and the median times of every twentieth part, over questions; as SVG."""
    from matplotlib.figure import Figure

    from planner.plot.axes import as_svg, tidy

    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    asked = [seen[0] for seen in course.memory]
    for place, name, style in ((1, "as questions left it", ":"), (2, "freed given back", "-")):
        above.plot(asked, [seen[place] / 2**20 for seen in course.memory], style, label=name)
    above.legend(frameon=False, ncols=2)
    above.set(ylabel="resident [MiB]", ylim=(0, None))
    tidy(above, "memory of one process", grid="y")
    for (kind, seconds), style in zip(course.seconds.items(), (":", "-", "--"), strict=True):
        part = max(len(seconds) // 20, 1)
        places = range(part, len(seconds) + 1, part)
        below.plot(
            [place / len(seconds) * course.asked for place in places],
            [median(seconds[place - part : place]) * 1e3 for place in places],
            style,
            label=kind,
        )
    below.set(xlabel="questions answered", ylabel="CPU time, median [ms]", ylim=(0, None))
    below.xaxis.set_major_formatter("{x:,.0f}")
    below.legend(frameon=False, ncols=len(KINDS))
    tidy(below, "time of a question", grid="y")
    return as_svg(figure)


def main() -> int:
    """Ask, compare, print the page; 1 where an answer differs."""
    parser = argparse.ArgumentParser(description="Long use of one process.")
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--keep", action="store_true", help="freed memory is not given back")
    parser.add_argument(
        "--alternate",
        choices=list(KINDS),
        help="ask the second and the last fifth of a kind in turn, and end",
    )
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        numbers = [int(number) for number in options.answer.split(",")]
        print(json.dumps(together(numbers, options.seed, options.threads)))
        return 0
    if options.alternate:
        alternately(options.questions, options.seed, options.alternate)
        return 0
    for one in (signal.SIGINT, signal.SIGTERM):  # a shell's background has the first ignored
        signal.signal(one, signal.default_int_handler)
    course, answers = run(options.questions, options.seed, options.journal, options.keep)
    if not course.memory:
        return 1
    wrong = list(differences(answers, options.seed))
    page = told(course, options.seed, len(answers), wrong)
    print(page)
    if options.write is not None:
        publish(options.write, page)
        options.write.with_suffix(".svg").write_text(drawn(course), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
