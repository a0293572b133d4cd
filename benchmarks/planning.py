"""CPU seconds of planning: searches, frontiers, warm questions and prices, many estimates.

    python benchmarks/planning.py

Each figure is the least of a few runs, and a ratio to the imports that planning cannot do without,
measured in the same run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from startup import cpu_seconds

from planner.api.estimate import estimate
from planner.api.frontier import frontier
from planner.api.plan import plan
from planner.lookup import load_device, load_model
from planner.planning.price.estimate_batch import EstimateBatch
from planner.planning.price.estimates import estimate_batched
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import search
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

REPEATS = 2


def cpu(run: Callable[[], object]) -> float:
    """The least CPU seconds of a few runs."""
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def deepseek(untie: bool) -> SearchResult:
    """DeepSeek-V3 on 8 × H200, layouts and batches searched."""
    question = build_question(
        load_model("deepseek-v3"),
        load_device("h200-sxm"),
        GivenValues(devices=8, untie=untie),
        None,
        uniform=None,
        given=None,
    )
    found = search(build_model(question, load_prior()))
    assert found is not None
    return found


QUESTIONS = (
    ("llama-3.1-70b", "h100-sxm"),
    ("qwen3-30b-a3b", "l40s"),
    ("deepseek-v3", "h200-sxm"),
    ("gpt-oss-120b", "b200-sxm"),
    ("llama-3.2-1b", "jetson-agx-orin-64gb"),
)


def questions() -> None:
    """Five plans of different models on different devices, everything loaded."""
    for model, device in QUESTIONS:
        plan(load_model(model), load_device(device))


def price() -> None:
    """One estimate with its layout and batch given, everything loaded."""
    estimate(
        load_model("deepseek-v3"),
        load_device("h200-sxm"),
        scheme="fp8-block",
        devices=8,
        tp=1,
        dp=8,
        pp=1,
        ep=8,
        batch=256,
    )


def estimates() -> int:
    """100,800 estimates of DeepSeek-V3: 4 schemes × 6 layouts × 50 batches × 84 workloads."""
    spec, device = load_model("deepseek-v3"), load_device("h200-sxm")
    grid = EstimateBatch.grid(
        tp=[1, 2, 8],
        dp=[8],
        pp=[1, 2],
        ep=[8],
        batch=range(16, 816, 16),
        isl=range(256, 5632, 256),
        osl=[128, 512, 1024, 2048],
    )
    fits = 0
    for scheme in ("fp8-block", "bf16", "int8-w8a8", "fp8-w8a16"):
        question = build_question(
            spec, device, GivenValues(kv="bf16"), None, uniform=scheme, given=None
        )
        fits += int(estimate_batched(build_model(question, load_prior()), grid).fits.sum())
    return fits


def main() -> None:
    """Print CPU seconds beside the targets, and their ratio to the yardstick."""
    yardstick = (sys.executable, "-c", "import numpy, pydantic, highspy")
    with tempfile.TemporaryDirectory() as folder:
        imports = min(cpu_seconds(yardstick, Path(folder)) for _ in range(REPEATS + 1))
    runs: list[tuple[str, Callable[[], object], float]] = [
        ("deepseek-v3 tied, layouts searched", partial(deepseek, False), 0.6),
        ("deepseek-v3 untied, layouts searched", partial(deepseek, True), 1.5),
        (
            "frontier deepseek-v3 h100-sxm, 50 points",
            partial(frontier, "deepseek-v3", "h100-sxm"),
            5.0,
        ),
        ("5 questions, warm", questions, 0.6),
        ("one price, warm, with its parts", price, 0.001),
        ("100,800 estimates", estimates, 20.0),
    ]
    print(f"{'yardstick: import numpy, pydantic, highspy':44}{imports:8.3f}")
    print(f"{'':44}{'CPU s':>8}{'ratio':>8}{'target':>8}")
    for name, run, target in runs:
        found = cpu(run)
        print(f"{name:44}{found:8.3f}{found / imports:8.2f}{target:8.3f}", flush=True)


if __name__ == "__main__":
    main()
