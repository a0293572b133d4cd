"""Random questions, answered by this tree and kept, to compare two trees byte by byte.

    python benchmarks/same_answers.py answer out/before [--count 300] [--seed 0] [--workers 1]
    python benchmarks/same_answers.py compare out/before out/after

``answer`` draws questions of every verb (models, devices, engines, limits, layouts), asks
each through the command line in a process of its own and writes what it printed, on both streams,
with its exit status, to a file each; questions that have a file are not asked again. ``compare``
prints the questions whose files differ and exits 1 where there is one. Both trees draw the same
questions from one seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS = (
    "deepseek-v3", "deepseek-r1", "deepseek-v2-lite", "llama-3.1-8b", "llama-3.1-70b",
    "llama-3.1-70b-fp8", "qwen2.5-0.5b", "qwen3-30b-a3b", "qwen3-235b-a22b", "qwen3-32b",
    "gpt-oss-120b", "gpt-oss-20b", "mixtral-8x7b", "gemma-3-27b", "gemma-2-9b", "glm-4.5-air",
    "kimi-k2-instruct", "minimax-m2", "llama-4-scout", "phi-4", "deepseek-v3.2", "mistral-7b",
)  # fmt: skip
DEVICES = (
    "h100-sxm", "h200-sxm", "b200-sxm", "a100-sxm", "l40s", "mi300x", "rtx-4090", "rtx-5090",
    "xeon-6980p", "jetson-agx-thor-t5000", "jetson-agx-orin-64gb", "apple-m4-max", "h20",
    "rtx-pro-6000", "gh200", "mi355x", "l4", "xeon-platinum-8480",
)  # fmt: skip
ENGINES = ("auto", "auto", "any", "vllm", "sglang", "tensorrt-llm", "llama.cpp")
SCHEMES = ("bf16", "fp8-block", "fp8-channel", "int4-w4a16", "int8-w8a8", "q4_k", "nvfp4")
VERBS = {
    "plan": 9, "estimate": 6, "memory": 6, "capacity": 2, "serve": 4, "compare": 1, "explain": 2,
    "train": 1, "experts": 1, "frontier": 1, "numerics": 1, "inventory": 1, "devices": 1,
    "report": 1,
}  # fmt: skip
SECONDS = 600


def workload(draw: random.Random) -> list[str]:
    """Flags of the requests, or none."""
    return draw.choice([
        [], [], ["--workload", draw.choice(["chat", "rag", "agent", "batch", "long"])],
        ["--isl", str(draw.choice([128, 1000, 4096, 16000])),
         "--osl", str(draw.choice([16, 128, 1000]))],
        ["--context", str(draw.choice([2048, 32768, 131072]))],
    ])  # fmt: skip


def limits(draw: random.Random) -> list[str]:
    """Flags of what a plan must keep, or none."""
    return draw.choice([
        [], [], [], ["--tpot-ms", str(draw.choice([10, 25, 100]))], ["--tpot-ms", "none"],
        ["--ttft-ms", str(draw.choice([200, 1000, 5000]))],
        ["--max-loss", draw.choice(["fp8-block", "bf16", "0.01", "int4-w4a16"])],
        ["--objective", draw.choice(["latency", "memory", "quality", "cost"])],
        ["--exact"], ["--speculation", "auto"], ["--mode", "disaggregated"],
    ])  # fmt: skip


def question(draw: random.Random) -> list[str]:
    """One command line, without the program."""
    verb = draw.choices(list(VERBS), list(VERBS.values()))[0]
    model, device = draw.choice(MODELS), draw.choice(DEVICES)
    count = draw.choice([1, 2, 4, 8])
    engine = ["--engine", draw.choice(ENGINES)]
    as_json = draw.choice([[], ["--json"]])
    layout = draw.choice([["--tp", str(count)], ["--tp", str(count)], []])
    scheme = draw.choice([[], ["--scheme", draw.choice(SCHEMES)]])
    named = [model, device]
    if verb in ("plan", "estimate", "report"):
        more = [*named, *draw.choice([[], ["--devices", str(count)]]), *workload(draw),
                *(limits(draw) if verb != "estimate" else scheme),
                *draw.choice([[], engine])]  # fmt: skip
        if verb == "report":
            return ["plan", *more, "--quiet", "--report", draw.choice(["out.md", "out.html"])]
        return [verb, *more, *as_json, *draw.choice([[], ["--assumptions"]])]
    if verb == "memory":
        return [verb, *named, *layout, *workload(draw), *scheme, *as_json,
                *(engine if engine[1] not in ("auto",) else [])]  # fmt: skip
    if verb == "capacity":
        return [verb, *named, "--rate", draw.choice(["2/s", "20/s", "300/min"]), *workload(draw),
                "--ttft-ms", "2000", "--tpot-ms", "80", *as_json]  # fmt: skip
    if verb == "serve":
        return [verb, *named, "--concurrency", draw.choice(["1", "8", "64", "1,16,128"]), *layout,
                *workload(draw), *scheme, *as_json]  # fmt: skip
    if verb == "compare":
        return [verb, "llama-3.1-8b", f"{device},l4", "--devices", "1", *as_json]
    if verb == "explain":
        return [verb, *named, "--devices", str(count), "--solves", "2", *as_json]
    if verb in ("train", "experts"):
        return [verb, *(named if verb == "train" else [model]), *as_json]
    if verb == "frontier":
        return [verb, "llama-3.1-8b", device, "--devices", "1", *as_json]
    if verb == "numerics":
        return [verb, "llama-3.1-8b", *as_json]
    return [verb, model if verb == "inventory" else device, *as_json]


def questions(count: int, seed: int) -> list[list[str]]:
    """The questions of a seed, each once."""
    draw, drawn = random.Random(seed), dict[str, list[str]]()
    while len(drawn) < count:
        asked = question(draw)
        drawn.setdefault(json.dumps(asked), asked)
    return list(drawn.values())


def answer(arguments: list[str], folder: Path, number: int) -> None:
    """Ask one question and keep what it printed and wrote."""
    place = folder / f"{number:04}.txt"
    if place.exists():
        return
    work = folder / f"work-{number}"
    work.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "HOME": str(work)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "planner", *arguments], cwd=work, env=environment, text=True,
            capture_output=True, timeout=SECONDS, check=False)  # fmt: skip
        said = f"exit {done.returncode}\n{done.stdout}\n--- stderr\n{done.stderr}"
    except subprocess.TimeoutExpired:
        said = f"no answer within {SECONDS} s"
    for path in sorted(work.glob("out.*")):
        said += f"\n--- {path.name}\n{path.read_text(encoding='utf-8')}"
        path.unlink()
    for path in work.rglob("*"):
        if path.is_file():
            path.unlink()
    place.write_text(f"plan {' '.join(arguments)}\n{said}", encoding="utf-8")


def compare(before: Path, after: Path) -> int:
    """Print what differs; returns 1 where something does."""
    names = sorted({p.name for p in before.glob("*.txt")} & {p.name for p in after.glob("*.txt")})
    differing = 0
    for name in names:
        old, new = (folder.joinpath(name).read_text(encoding="utf-8") for folder in (before, after))
        if old != new:
            differing += 1
            print(f"{name}: {old.splitlines()[0]}")
    print(f"{len(names)} questions, {differing} with other bytes")
    return int(differing > 0)


def main() -> int:
    """Answer or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["answer", "compare"])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.what == "compare":
        return compare(*given.folders)
    folder = given.folders[0]
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    with ThreadPoolExecutor(given.workers) as pool:
        drawn = questions(given.count, given.seed)
        list(pool.map(answer, drawn, [folder] * len(drawn), range(len(drawn))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
