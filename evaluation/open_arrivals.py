"""``python -m evaluation.open_arrivals DIR``: measured streams of requests, replayed.

The tables ``open_loop_*`` of DIR, and runs at a rate of its consumer cards, by the scheduler and
the law of ``planner.replay``. What the host adds to a request, and what a desktop's host has of a
server's times, is left out by model (:func:`planner.lab.validation.e2e_open.handling_of_others`,
:func:`planner.lab.validation.open_rates.factor_of_others`).
Whether a server kept up is what was measured, not what is predicted.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from evaluation.pages import moved, publish
from evaluation.report import table
from planner.lab.validation.e2e_open import predict_rows
from planner.lab.validation.e2e_published import predict_rows as published_rows
from planner.lab.validation.open_rates import RATE
from planner.lab.validation.open_requests import EACH
from planner.lab.validation.reader import read_table
from planner.lab.validation.records import Outcome

PAGE = Path("docs/evidence/open-arrivals.md")
RIVALS = Path(__file__).with_name("open_rivals.csv")
STAGES, REQUESTS = "open_loop_inference_perf", "open_loop_requests"
RATES = "e2e_consumer_gpus"
KEEPS_UP = 0.95
"""Of the requests that come, those that a server which keeps up serves in the same time."""
SOON = 1e3
"""Milliseconds to a first token beyond which a run that states no more has a queue."""
QUANTITIES = ("mean", "median", "p90", EACH)
METRICS = {"itl": "ITL", "tpot": "TPOT", "ttft": "TTFT", "e2e": "E2E"}
SHOWN = ("mean", "p90")
WANTED = {"itl": "6", "ttft": "20", "e2e": "6"}
"""Most median |error| [%] that is wanted where the server keeps up."""
SCORE = ("rows", "median", "signed", "in 80 %")
NONE = ("–",) * len(SCORE)
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scored:
    """A prediction with the run that it is of, and whether the server kept up with what came."""

    outcome: Outcome
    run: str
    kept_up: bool

    @property
    def figure(self) -> str:
        """What is predicted, such as ``TTFT p90``."""
        return f"{METRICS[self.outcome.metric]} {self.outcome.quantity}"


@dataclass(frozen=True, slots=True)
class Score:
    """Of ``n`` predictions: median |error| and median error [%], share inside the 80 % interval
    [%]."""

    n: int
    median_ape: float
    signed: float
    inside: float

    @classmethod
    def of(cls, rows: Iterable[Scored]) -> Score:
        """The score of at least one row."""
        found = [row.outcome for row in rows]
        errors = [o.error_percent for o in found]
        return cls(
            len(found),
            median(map(abs, errors)),
            median(errors),
            100.0 * sum(o.inside for o in found) / len(found),
        )

    def cells(self) -> tuple[str, ...]:
        """As a page has them."""
        return str(self.n), f"{self.median_ape:.1f}", f"{self.signed:+.1f}", f"{self.inside:.0f}"


def scored_stages(rows: Sequence[Row]) -> list[Scored]:
    """Every predicted figure of every stage."""
    rates: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row["metric"] in ("requested_rate", "throughput_requests_per_sec"):
            key = row["experiment"], row["stage"]
            rates.setdefault(key, {})[row["metric"]] = float(row["value"])
    out = []
    for row, outcome in zip(rows, predict_rows(STAGES, rows), strict=True):
        if outcome.predicted is not None:
            rate = rates[row["experiment"], row["stage"]]
            share = rate["throughput_requests_per_sec"] / rate["requested_rate"]
            run = f"{row['experiment']} {row['stage']}"
            out.append(Scored(outcome, run, share >= KEEPS_UP))
    return out


def scored_requests(rows: Sequence[Row]) -> list[Scored]:
    """Every request and the figures of all of a run."""
    place: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        place.setdefault((row["model"], row["parallelism"]), []).append(row)
    kept = {run: keeps_up(mine) for run, mine in place.items()}
    out = []
    for o in predict_rows(REQUESTS, rows):
        if o.predicted is not None:
            run = rows[o.row]["model"], rows[o.row]["parallelism"]
            out.append(Scored(o, " ".join(run), kept[run]))
    return out


def scored_rates(rows: Sequence[Row]) -> list[Scored]:
    """Every mean of a run at a rate."""
    first = {row["run_id"]: float(row["value"]) for row in rows if row["metric"] == "ttft_mean"}
    out = []
    for row, outcome in zip(rows, published_rows(RATES, rows), strict=True):
        if outcome.predicted is not None and RATE.fullmatch(row["batch_or_concurrency"].strip()):
            out.append(Scored(outcome, row["run_id"], first[row["run_id"]] <= SOON))
    return out


def keeps_up(rows: Sequence[Row]) -> bool:
    """Whether requests leave about as fast as they come."""
    came = [float(row["arrival_s"]) for row in rows]
    left = [a + float(row["e2e_ms"]) * 1e-3 for a, row in zip(came, rows, strict=True)]
    alone = min(float(row["e2e_ms"]) for row in rows) * 1e-3
    return max(came) - min(came) >= KEEPS_UP * (max(left) - min(came) - alone)


def by(rows: Sequence[Scored], key: Callable[[Scored], str]) -> list[tuple[Any, ...]]:
    """Scores by a key and figure, in their order."""
    names = dict.fromkeys(key(row) for row in rows)
    figures = [f"{word} {how}" for word in METRICS.values() for how in QUANTITIES]
    out: list[tuple[Any, ...]] = []
    for name in names:
        for figure in figures:
            mine = [row for row in rows if key(row) == name and row.figure == figure]
            if mine:
                out.append((name, figure, *Score.of(mine).cells()))
    return out


def rivals() -> list[dict[str, str]]:
    """What other simulators were off by, and version 0.2 of this program on the same rows."""
    with RIVALS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page(stages: Sequence[Scored], requests: Sequence[Scored], rates: Sequence[Scored] = ()) -> str:
    """The page: scores of stages that keep up and of those that do not; by model and every figure
    as data."""
    kept = [row for row in stages if row.kept_up]
    over = [row for row in stages if not row.kept_up]
    shown: list[tuple[Any, ...]] = []
    for name, word in METRICS.items():
        for how in SHOWN:
            figure = f"{word} {how}"
            here, there = ([r for r in rows if r.figure == figure] for rows in (kept, over))
            most = WANTED.get(name, "") if how == "mean" else ""
            cells = [Score.of(rows).cells() if rows else NONE for rows in (here, there)]
            if here or there:
                shown.append((figure, most, *cells[0], *cells[1]))
    others: list[tuple[Any, ...]] = [
        (
            r["simulator"],
            r["experiments"],
            *(f"{r[name]}, {r[f'{name}_02']}" for name in ("itl", "ttft", "e2e")),
        )
        for r in rivals()
    ]
    every: list[tuple[Any, ...]] = [
        (
            row.run,
            row.outcome.model,
            "yes" if row.kept_up else "no",
            row.figure,
            f"{row.outcome.measured:.6g}",
            f"{row.outcome.predicted:.6g}",
            f"{row.outcome.low:.6g}",
            f"{row.outcome.high:.6g}",
            f"{row.outcome.error_percent:+.1f}",
        )
        for row in (*stages, *requests, *rates)
        if row.outcome.quantity != EACH
    ]
    singles = [row for row in requests if row.outcome.quantity == EACH]
    head = ("run", "model", "keeps up", "figure", "measured", "predicted", "low", "high", "error")
    return "\n".join(
        [
            "# Requests as they come, measured",
            "",
            f"{len({row.run for row in stages})} stages of inference-perf on H100 "
            "(vLLM, February 2026; inference-sim/training@ed5c1d26900e), replayed as by "
            "`planner.replay`: errors in percent. The host's time for a request of dense models "
            "was read off such runs of other models. Made by "
            "`python -m evaluation.open_arrivals DIR`.",
            "",
            *table(("figure", "wanted", *SCORE, *(f"queue grows: {s}" for s in SCORE)), shown),
            "Where the queue grows, steps of 128 sequences of 1,800 tokens took 4 to 12 ms longer "
            "than their operators on models with grouped heads. Prompts are not the cause, as "
            "ITL's 99th percentile is near its mean; the cause is not known.",
            "",
            "Poisson runs on RTX 3090 and 5090 (vLLM 0.12; "
            "kyuz0/amd-r9700-vllm-toolboxes@18a88f1ce794) that keep up; the ratio of a desktop's "
            "host times to a server's is read off other models.",
            "",
            *table(("device", "figure", *SCORE), by([r for r in rates if r.kept_up], _device)),
            "Similar experiments (vLLM 0.15.1), as five simulators predict them in a comparison "
            "recorded on 30 November 2026, whose address was not kept: median error of each, then "
            "of version 0.2 of this program, which had no replay.",
            "",
            *table(("simulator", "experiments", "ITL", "TTFT", "E2E"), others),
            moved(
                "open-arrivals-models",
                "By model, left out by model",
                table(
                    ("model", "figure", *SCORE),
                    by([*kept, *(r for r in rates if r.kept_up)], _model),
                ),
            ),
            moved(
                "open-arrivals-requests",
                "Single requests of overloaded ShareGPT streams on RTX PRO 6000 "
                "(casys-kaist/LLMServingSim@5daddb21a545)",
                table(("model", "figure", *SCORE), by(singles, _model)),
            ),
            moved("open-arrivals", "Every figure [s]", table(head, every)),
            "",
        ]
    )


def _model(row: Scored) -> str:
    return row.outcome.model


def _device(row: Scored) -> str:
    return row.outcome.device


def main(directory: str) -> None:
    """Write the page."""
    folder = Path(directory)
    names = (STAGES, REQUESTS, RATES)
    found = [read_table(folder / f"{name}.csv", folder.resolve()) for name in names]
    stages, requests, rates = ([dict(row) for row in t.rows or ()] for t in found)
    publish(PAGE, page(scored_stages(stages), scored_requests(requests), scored_rates(rates)))


if __name__ == "__main__":
    main(sys.argv[1])
