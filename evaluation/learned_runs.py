"""``python -m evaluation.learned_runs``: two engines measured here at two rates, beside what was
predicted, and beside what the run at the other rate teaches.

The results are those of `vllm bench serve --save-detailed` without texts and gaps of tokens, with
what its client noted of the machine (``steal``: seconds that the server's thread was ready and did
not run, a second; ``others_core_share``: cores that other programs used).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import planner
from evaluation.pages import moved, publish
from evaluation.report import table
from planner.lab.learning.ask import ServedSubject, explaining, factors, predicted
from planner.lab.learning.disturbed import disturbances, standard_error
from planner.lab.learning.forecast import RunForecast
from planner.lab.learning.results.read import read_results
from planner.lab.learning.results.run import MeasuredRun, MeasuredTime
from planner.planning.plan.record import Estimate
from planner.planning.question.input import QuestionInput

PAGE = Path("docs/evidence/learned-runs.md")
FOLDER = Path(__file__).parent / "recorded" / "learned-runs"
MODEL = "smollm2-135m"
SERVERS: dict[str, dict[str, Any]] = {
    "llama.cpp": {"engine": "llama.cpp", "scheme": "q4_1", "kv": "bf16"},
    "vllm": {"engine": "vllm@0.32", "scheme": None, "kv": "bf16"},
}
"""Formats and engine by the beginning of a file's name."""
QUANTITIES = {"TPOT": "tpot", "TTFT": "ttft", "E2E": "e2e"}


@dataclass(frozen=True, slots=True)
class Beside:
    """A mean time [s] of a run: predicted, measured, and predicted with the factors that the run at
    the other rate gives (None: it has none)."""

    server: str
    rate: float
    quantity: str
    forecast: Estimate
    measured: float
    error: float
    after: float | None


@dataclass(frozen=True, slots=True)
class Taught:
    """What a run says: its factors on steps and prompts, and why it is not kept."""

    server: str
    rate: float
    requests: int
    lost: float | None
    pair: tuple[float, float] | None
    refused: tuple[str, ...]


def runs_of(server: str) -> tuple[MeasuredRun, ...]:
    """The measured runs of a server, by rate."""
    files = sorted(FOLDER.glob(f"{server}-*.json"))
    found = [run for path in files for run in read_results(path)]
    return tuple(sorted(found, key=lambda run: run.rate or 0.0))


def subject_of(server: str) -> ServedSubject:
    """What the server ran, on this machine's core as `plan measure` timed it."""
    given = SERVERS[server]
    inputs = QuestionInput(
        model=planner.load_model(MODEL),
        device=planner.load_device("host", hardware_dir=FOLDER),
        devices=1,
        tp=1,
        hardware_dir=FOLDER,
        no_learned=True,
        **given,
    )
    return ServedSubject(inputs, given["engine"], given["scheme"])


def compared() -> tuple[list[Beside], list[Taught]]:
    """Every run beside its predictions, and what it teaches."""
    rows: list[Beside] = []
    taught: list[Taught] = []
    for server in SERVERS:
        subject, runs = subject_of(server), runs_of(server)
        first = [predicted(run, subject) for run in runs]
        pairs = [explaining(run, subject, f) for run, f in zip(runs, first, strict=True)]
        for i, run in enumerate(runs):
            why = tuple(str(reason) for reason in disturbances(run, first[i]))
            rate = run.rate or 0.0
            taught.append(Taught(server, rate, run.completed, run.lost, pairs[i], why))
            others = [pair for j, pair in enumerate(pairs) if j != i and pair is not None]
            after = predicted(run, subject, factors(*others[0])) if others else None
            rows += _rows(server, run, first[i], after)
    return rows, taught


def _rows(
    server: str, run: MeasuredRun, first: RunForecast, after: RunForecast | None
) -> Iterator[Beside]:
    for quantity, name in QUANTITIES.items():
        times: MeasuredTime | None = getattr(run, name)
        forecast = getattr(first, name)
        if times is None or not isinstance(forecast, Estimate):
            continue
        load = first.load(name) if name != "e2e" else 0.0
        yield Beside(
            server,
            run.rate or 0.0,
            quantity,
            forecast,
            times.mean,
            standard_error(times, load),
            None if after is None else getattr(after, name).value,
        )


def page(rows: list[Beside], taught: list[Taught], tries: list[dict[str, str]]) -> str:
    """The page: each mean beside its predictions, what was learned or why not, and every try."""
    means = [
        (
            f"{r.server}, {r.rate:g}/s",
            r.quantity,
            f"{r.forecast.value * 1e3:.1f}",
            f"{r.forecast.low * 1e3:.1f}–{r.forecast.high * 1e3:.0f}",
            f"{r.measured * 1e3:.1f} ± {r.error:.0%}",
            f"{r.measured / r.forecast.value:.2f}",
            "–" if r.after is None else f"{r.after * 1e3:.1f}",
            "–" if r.after is None else f"{r.measured / r.after:.2f}",
        )
        for r in rows
    ]
    kept = [
        (
            f"{t.server}, {t.rate:g}/s",
            *(_three(r) for r in rows if (r.server, r.rate) == (t.server, t.rate)),
            "none" if t.pair is None else f"{t.pair[0]:.2f}, {t.pair[1]:.2f}",
        )
        for t in taught
    ]
    said = [
        (
            f"{t.server}, {t.rate:g}/s",
            t.requests,
            "not noted" if t.lost is None else f"{t.lost:.1%}",
            "; ".join(t.refused) or "kept",
        )
        for t in taught
    ]
    listed = [tuple(row.values()) for row in tries]
    inside = sum(r.forecast.low <= r.measured <= r.forecast.high for r in rows)
    known = [r for r in rows if r.after is not None]
    before = _error([r.measured / r.forecast.value for r in known])
    behind = _error([r.measured / r.after for r in known if r.after is not None])
    return "\n".join(
        [
            "# Two engines measured at two rates, before and after `plan learn`",
            "",
            "SmolLM2-135M on one core of a virtual machine, the client on the other: llama-server "
            "b11434 with Q4_1 weights and four slots of 1,024 tokens, and vLLM 0.32 for CPUs with "
            "BF16 weights and at most eight sequences, without graphs and prefix cache. `vllm "
            "bench serve` sent random prompts of 64 tokens, for answers of 16, as Poisson "
            "arrivals. The core's profile is an earlier `plan measure`; other programs used both "
            "cores throughout. Made by `python -m evaluation.learned_runs`.",
            "",
            f"{inside} of {len(rows)} means lie inside their 80 % interval, which is wide, as a "
            "busy machine was measured briefly. Where the other rate's run gives factors, the "
            f"median error is {before:.0%} without and {behind:.0%} with them. The factor on "
            "vLLM's prompts is small because its kernels were not timed (`plan measure` found no "
            "torch) and the profile lacks the CPU's BF16 tiles (AMX).",
            "",
            "Mean times in milliseconds: predicted, measured, predicted with the other run's "
            "factors. The last column has the factors that a run gives, on steps and on prompts, "
            "whether it is kept or not.",
            "",
            *table(("run", *QUANTITIES, "factors"), kept),
            moved(
                "learned-runs",
                "Intervals, errors, ratios",
                table(
                    (
                        "run",
                        "mean",
                        "predicted",
                        "80 %",
                        "measured",
                        "ratio",
                        "after",
                        "ratio after",
                    ),
                    means,
                ),
            ),
            moved(
                "learned-runs-refused",
                "Why each is not kept",
                table(("run", "requests", "lost", "plan learn"), said),
            ),
            moved(
                "learned-runs-tries",
                "Every try, of which the one of the shortest mean E2E is above",
                table(tuple(tries[0]) if tries else (), listed),
            ),
            "",
        ]
    )


def _three(row: Beside) -> str:
    """Predicted, measured, predicted with the factors of the other rate's run [ms]."""
    after = "–" if row.after is None else f"{row.after * 1e3:.1f}"
    return f"{row.forecast.value * 1e3:.1f}, {row.measured * 1e3:.1f}, {after}"


def _error(ratios: list[float]) -> float:
    """Median of |ratio − 1|."""
    off = sorted(abs(ratio - 1) for ratio in ratios)
    return (off[(len(off) - 1) // 2] + off[len(off) // 2]) / 2 if off else 0.0


def main() -> None:
    """Write the page."""
    with (FOLDER / "tries.csv").open(encoding="utf-8", newline="") as file:
        tries = list(csv.DictReader(file))
    publish(PAGE, page(*compared(), tries))


if __name__ == "__main__":
    main()
