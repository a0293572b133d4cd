"""``python -m evaluation.quick``: quick profiles beside losses that were measured one by one.

Of each small model some matrices are drawn and measured under every scheme, on other text than the
quick profile ran on. CPU seconds of both are those of running the model: the scan, which emulates
every scheme on every matrix, is the same for every tier and is in neither.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation import settings, units
from evaluation.pages import insert
from evaluation.predictors import engine
from evaluation.report import table
from evaluation.settings import LOSS_TEXT, PROBE_TEXT, SCHEMES, SEED, SUBJECTS
from evaluation.tiers import as_table, band_factor, rank_scores, unit_errors
from planner.jobs.journal import Journal
from planner.lab.probe.emulate import Quantizer, apply, prepare
from planner.lab.probe.measure import make_reference, plan_loss
from planner.lab.probe.model import Doubles
from planner.lab.profiling import quick
from planner.lab.profiling.probing import CACHE_PROBE
from planner.quality.profile import JointCheck

TOKENS = {"smollm2-135m": (4, 64), "minilm-l6": (12, 64)}
"""Chunks and length of the text that losses are measured on; the quick profile's has as many."""
COUNT = 40
"""Matrices that are drawn of each model."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A quick profile of one model beside measured losses, (matrices, schemes)."""

    name: str
    predicted: Doubles
    measured: Doubles
    halves: tuple[float, float]
    level: float
    quick_seconds: float
    exact_seconds: float
    passes: tuple[int, int]


def judge(name: str, out: Path, processes: int, count: int) -> Judged:
    """Measure ``count`` matrices of a model and predict them; exact seconds are scaled to all."""
    model = settings.loaded(name)
    ids = [u.id for u in model.units]
    drawn = np.random.default_rng(SEED).permutation(len(ids))[:count].tolist()
    task = units.Task(name, LOSS_TEXT, TOKENS[name], SCHEMES)
    rows = units.measure(task, out, processes, among=[ids[n] for n in drawn])
    by_chunk = units.table(rows, "loss")
    seconds = float(np.mean([r["cpu_seconds"] for r in rows])) * len(ids)
    predicted, level, cpu = predict(name)
    passes = quick.passes_of(model.units, model.layers, len(SCHEMES))
    return Judged(
        name,
        predicted[drawn],
        by_chunk.mean(axis=2),
        rank_scores(by_chunk[:, :, 0::2].mean(axis=2), by_chunk[:, :, 1::2].mean(axis=2)),
        level,
        cpu,
        seconds,
        (sum(passes["passes"].values()), passes["passes_of_t3"]),
    )


def predict(name: str) -> tuple[Doubles, float, float]:
    """(losses of every matrix and scheme, the level factor in them, CPU seconds of the passes)."""
    model = settings.loaded(name)
    tokens = settings.text(name, PROBE_TEXT, TOKENS[name])
    recipes = {u.id: Quantizer(quick.PROBE) for u in model.units}
    first = model.units[0].id
    for scheme in {quick.PROBE, *quick.CHECKED}:  # what is compiled once a process is no pass
        apply(
            prepare(model.weight(first), Quantizer(scheme), engine()),
            np.ones((1, model.units[0].inputs), np.float32),
            engine(),
        )
    begun = time.process_time()
    with tempfile.TemporaryDirectory(prefix="quick-") as folder:
        journal = Journal.open(Path(folder) / "journal", {"id": "header"})
        losses, _, _ = quick.quick_losses(
            model, tokens, recipes, CACHE_PROBE, seed=SEED, journal=journal, engine=engine()
        )
        journal.close()
    reference = make_reference(model, tokens)
    joint = {
        scheme: plan_loss(
            model, reference, {u.id: Quantizer(scheme) for u in model.units}, engine=engine()
        )
        for scheme in quick.CHECKED
    }
    seconds = time.process_time() - begun
    found = unit_errors(model, tokens, settings.recipes(), engine=engine())
    e = as_table({unit: errors.output for unit, errors in found}, [u.id for u in model.units])
    probe = np.array([losses[u.id] for u in model.units])
    table_of = (probe / e[:, SCHEMES.index(quick.PROBE)])[:, None] * e
    checks = [
        JointCheck(s, float(table_of[:, SCHEMES.index(s)].sum()), loss.mean, loss.flips or 0.0)
        for s, loss in joint.items()
    ]
    level = quick.level_factor(checks)
    return level * table_of, level, seconds


def lines(found: list[Judged]) -> list[str]:
    """The results as a Markdown table."""
    rows = []
    for j in found:
        pooled, within = rank_scores(j.predicted, j.measured)
        rows.append(
            (
                j.name,
                f"{len(j.measured)} × {len(SCHEMES)}",
                f"{pooled:.3f} / {within:.3f}",
                f"{j.halves[0]:.3f} / {j.halves[1]:.3f}",
                f"{float(np.median(j.measured / j.predicted)):.2f}",
                f"{band_factor(j.predicted, j.measured):.2f}",
                f"{j.passes[0]} of {j.passes[1]}",
                f"{j.quick_seconds:.0f} of {j.exact_seconds:.0f}",
                f"{j.exact_seconds / j.quick_seconds:.0f}×",
            )
        )
    return table(
        (
            "model",
            "losses",
            "ρ pooled / within a scheme",
            "halves of the text with each other",
            "measured / predicted",
            "factor of 80 %",
            "passes",
            "CPU seconds",
            "cheaper",
        ),
        rows,
    )


def main() -> int:
    """Judge the models whose packages are installed; put the table into a document if asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.quick", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/evaluation"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--count", type=int, default=COUNT, help="matrices drawn of each model")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="document with its markers")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = []
    for name, subject in SUBJECTS.items():
        if settings.path_of(subject) is None:
            print(f"{name} is skipped: the package {subject.package} is not installed")
            continue
        found.append(judge(name, options.out, options.processes, options.count))
    text = "\n".join(lines(found))
    print(text)
    if options.docs is not None:
        insert(options.docs, text, "quick")
    return 0 if found else 2


if __name__ == "__main__":
    raise SystemExit(main())
