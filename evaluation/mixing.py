"""``python -m evaluation.mixing``: where a mix of formats pays, over models, devices, limits on
loss and memory.

For each question the best plan of at most two and of at most three formats is held against the best
uniform one (as released counts) in common draws of the errors of their operators, as the
recommendation does it. ``--docs`` puts the tables into the page between its markers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import planner
from evaluation.answers import table
from evaluation.pages import insert, moved
from planner.base.errors import PlannerError
from planner.planning.choose.chances import gain_draws, interval
from planner.planning.choose.selection import Selection, choose
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import improvement
from planner.planning.search.engine_search import solve_with_relaxations

MODELS = (
    "deepseek-v3",
    "qwen3-235b-a22b",
    "qwen3-30b-a3b",
    "gpt-oss-120b",
    "llama-3.1-70b",
    "qwen3-32b",
    "llama-3.1-8b",
)
DEVICES = (
    ("h100-sxm", 8),
    ("h200-sxm", 8),
    ("b200-sxm", 8),
    ("a100-sxm", 8),
    ("l40s", 8),
    ("rtx-pro-6000", 8),
    ("jetson-agx-orin-64gb", 1),
    ("jetson-agx-thor-t5000", 1),
    ("xeon-6980p", 2),
)
"""Device and the most of them: fewer are taken where a model needs fewer."""
LIMITS: tuple[tuple[str, str | None], ...] = (
    ("8-bit", None),
    ("6-bit", "ggml-q6_k"),
    ("4-bit", "int4-w4a16"),
)
"""Name of a limit on loss, and the scheme that no plan may lose more than; None: the default."""
MEMORIES = (("all", 1.0), ("half", 0.5))
"""Name, and the share of a device's usable memory that may be taken."""
FORMATS = (2, 3)


@dataclass(frozen=True)
class Cell:
    """One question: the best uniform plan, and by how much those of few formats are better."""

    model: str
    device: str
    limit: str
    memory: str
    uniform: str
    found: tuple[str, ...]
    pays: bool
    verdict: str


def main() -> int:
    """Print the map; put it into a page where asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.mixing", description=__doc__)
    parser.add_argument("--docs", type=Path, metavar="FILE")
    parser.add_argument("--models", default=",".join(MODELS), help="with commas")
    options = parser.parse_args()
    cells = list(_cells(options.models.split(",")))
    every = moved("where-mixing-pays", "Every question", cells_table(cells))
    text = f"{summary(cells)}\n\n{every}\n"
    print(text)
    if options.docs is not None:
        insert(options.docs, text, "mixing")
    return 0


def _cells(models: Sequence[str]) -> Iterator[Cell]:
    for model in models:
        for device, most in DEVICES:
            start = time.process_time()
            for limit, scheme in LIMITS:
                for memory, share in MEMORIES:
                    yield _cell(model, device, most, (limit, scheme), (memory, share))
            print(f"{model} on {device}: {time.process_time() - start:.1f} s", file=sys.stderr)


def _cell(
    model: str, device: str, most: int, limit: tuple[str, str | None], memory: tuple[str, float]
) -> Cell:
    place = (model, f"{device}, at most {most}", limit[0], memory[0])
    room = planner.load_device(device)
    usable = int(room.capacity_bytes.value * room.usable_fraction.value * memory[1])
    found: Selection | None = None
    why = "does not fit"
    devices = 1
    while found is None and devices <= most:
        ask = QuestionInput(
            model=model,
            device=device,
            devices=devices,
            max_loss=limit[1],
            memory_bytes=usable if memory[1] < 1 else None,
        )
        try:
            best, others, _ = solve_with_relaxations(ask.questions())
        except PlannerError as error:
            return Cell(*place, error.message, ("",) * len(FORMATS), False, "none")
        if best is None:
            devices *= 2
        else:
            found = choose((best.grid, *others), best)
    if found is None:
        return Cell(*place, why, ("",) * len(FORMATS), False, "none")
    uniform = _best(
        found,
        [
            i
            for i, one in enumerate(found.options)
            if one.rival.kind in ("released", "uniform", "default")
        ],
    )
    if uniform is None:
        return Cell(*place, "no uniform plan keeps the limits", ("",) * len(FORMATS), True, "mix")
    told = [_gain(found, uniform, count) for count in FORMATS]
    return Cell(
        place[0],
        f"{devices} × {device}",
        limit[0],
        memory[0],
        found.options[uniform].rival.name,
        tuple(text for text, _ in told),
        any(sure for _, sure in told),
        found.options[found.taken].rival.name,
    )


def _best(choice: Selection, among: Sequence[int]) -> int | None:
    """The best of some on average over the draws."""
    means = choice.drawn.mean(axis=1)
    return min(among, key=lambda i: float(means[i]), default=None)


def _gain(choice: Selection, uniform: int, formats: int) -> tuple[str, bool]:
    """(gain of the best plan of at most ``formats`` over ``uniform`` in words, whether it is
    what it must be to displace it)."""
    best = _best(
        choice, [i for i, one in enumerate(choice.options) if one.simple.formats <= formats]
    )
    assert best is not None
    if best == uniform or choice.options[best].same_as(choice.options[uniform]):
        return "uniform", False
    value = improvement(
        choice.objective, choice.options[uniform].weighed.value, choice.options[best].weighed.value
    )
    low, high = interval(gain_draws(choice.objective, choice.drawn[best], choice.drawn[uniform]))
    chance = float(choice.better[best, uniform])
    sure = float(choice.beaten[best, uniform]) >= 1
    if np.isclose(value, 0.0, atol=5e-4):
        return "uniform", False
    return f"{value:+.1%} ({low:+.0%} to {high:+.0%}), {chance:.0%}", sure


def summary(cells: Sequence[Cell]) -> str:
    """How often a mix pays, by limit and memory."""
    rows = []
    for limit, _ in LIMITS:
        for memory, _ in MEMORIES:
            some = [
                c for c in cells if (c.limit, c.memory) == (limit, memory) and c.verdict != "none"
            ]
            pays = sum(c.pays for c in some)
            rows.append(
                (
                    limit,
                    memory,
                    f"{len(some)}",
                    f"{pays}",
                    f"{pays / len(some):.0%}" if some else "",
                )
            )
    return table(
        (
            "limit on loss",
            "memory",
            "questions with a plan",
            "a mix brings what displacing a uniform plan takes",
            "share",
        ),
        rows,
    )


def cells_table(cells: Sequence[Cell]) -> str:
    """One row a question."""
    heads = (
        "model",
        "devices",
        "limit",
        "memory",
        "best uniform plan",
        *(f"at most {count} formats" for count in FORMATS),
        "recommended",
    )
    return table(
        heads,
        [(c.model, c.device, c.limit, c.memory, c.uniform, *c.found, c.verdict) for c in cells],
    )


if __name__ == "__main__":
    raise SystemExit(main())
