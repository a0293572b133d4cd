"""CPU seconds of planning: tied and untied searches, a frontier of losses, many units.

    python benchmarks/planning.py

The frontier takes 50 loss limits on one layout and batch; sweeps use Lagrange multipliers with a
certified gap.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from planner.api import load_device, load_model
from planner.planning.costs import build_model
from planner.planning.lagrange import lagrange, sweep_budgets
from planner.planning.limits import single_problem
from planner.planning.problem import Problem, Row
from planner.planning.resolve import Asked, build_question
from planner.planning.search import Found, search
from planner.quality.prior import load_prior

REPEATS = 3


def cpu(run: Callable[[], object]) -> float:
    """The least CPU seconds of a few runs."""
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def deepseek(untie: bool) -> Found:
    """DeepSeek-V3 on 8 × H200, layouts and batches searched."""
    question = build_question(load_model("deepseek-v3"), load_device("h200-sxm"),
                              Asked(devices=8, untie=untie), None, uniform=None, given=None)
    found = search(build_model(question, load_prior()))
    assert found is not None
    return found


def frontier(found: Found) -> list[float]:
    """50 loss limits on the winner's layout and batch: the objective of each."""
    problem = single_problem(found.space, found.candidate)
    row = next(i for i, r in enumerate(problem.rows) if r.name == "max-loss")
    limits = np.geomspace(0.1, 4.0, 50)
    return [s.value for s in sweep_budgets(problem, row, list(limits)) if s.found]


def many(units: int, rows: int) -> Problem:
    """Losses that fall with the bits and sizes that rise with them."""
    rng = np.random.default_rng(0)
    bits = np.linspace(16.0, 4.0, 8)[None, :]
    loss = rng.lognormal(0, 1.5, (units, 1)) * 4.0 ** (-bits / 2) \
        * rng.lognormal(0, 0.3, (units, 8))
    size = rng.lognormal(0, 0.5, (units, 1)) * bits
    limits = []
    for _ in range(rows):
        use = size * rng.lognormal(0, 0.05, (units, 8))
        least, most = use.min(axis=1).sum(), use[:, 0].sum()
        limits.append(Row("r", use, float(least + 0.35 * (most - least))))
    return Problem(loss, 0.0, np.ones(loss.shape, dtype=bool), np.ones(units, dtype=np.int64),
                   tuple(limits))


def main() -> None:
    """Print CPU seconds beside the targets."""
    tied = deepseek(False)
    runs: list[tuple[str, Callable[[], object], float]] = [
        ("deepseek-v3 tied, layouts searched", partial(deepseek, False), 0.6),
        ("deepseek-v3 untied, layouts searched", partial(deepseek, True), 1.5),
        ("50 loss limits on one layout", partial(frontier, tied), 5.0),
    ]
    for rows in (1, 2):
        problem = many(15_000, rows)
        label = f"15,000 units × 8, limits: {rows}, gap {lagrange(problem).gap:.0e}"
        runs.append((label, partial(lagrange, problem), 0.2))
    print(f"{'':44}{'CPU s':>8}{'target':>8}")
    for name, run, target in runs:
        print(f"{name:44}{cpu(run):8.2f}{target:8.1f}")


if __name__ == "__main__":
    main()
