"""``python -m evaluation.floors``: floors against what was measured: whole models in q8_0 with the
model left out, and public files of whole models beside the losses that are printed.

A floor is predicted as if the family, the structure or the model had never been measured; how
floors scatter is estimated again from what is left. Losses of q8_0 are the floor and
level · e(q8_0), the level by active parameters without what is left out. Public files are predicted
as the planner prints them, their floors without the model; matrices and level of Qwen3.6-27B are
known from tables of another source, and are not left out.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import planner
from evaluation.pages import insert, moved
from evaluation.report import table
from evaluation.whole_types import mean_error
from planner.base.errors import PlannerError
from planner.lab.tables.floors import TYPE, left_out_predictions, reach, scatters
from planner.lookup import load_model
from planner.quality.floor import DENSE, EXPERTS, KnownFloor, Scatter, floor_of, known_floors
from planner.quality.sensitivity.kld_data import DATA, RELATIVE, SISTER, known_levels
from planner.quality.sensitivity.level import fitted_level
from planner.quality.sensitivity.predict import LEARNED

PUBLIC_FILES = (
    Path(__file__).resolve().parents[2] / "shared/measured/served3/kld_whole_published.csv"
)
TIERS = (LEARNED, RELATIVE, SISTER)
WITHIN = 2.0
PUBLISHED = {
    "Qwen3.6-27B": "qwen3.5-27b",
    "Qwen3.6-35B-A3B": "qwen3.5-35b-a3b",
    "Meta-Llama-3-8B": "llama-3-8b",
    "Llama-3.2-1B": "llama-3.2-1b",
}
"""Public files by model, and the bundled configuration of its structure."""
ENGINES_OWN = {"FP8": ("vllm", "h100-sxm", "fp8-block"), "NVFP4": ("vllm", "b200-sxm", "nvfp4")}
"""Formats that no ggml type is, as (engine, device, scheme)."""
NOISE_NATS = 0.0005
"""KL between two engines that run the same BF16 weights, which public values of engines contain."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A loss [nats] that was ``measured``, predicted without and with a floor, and the ends of its
    80 % band; ``bits`` of a weight; ``engines``: in a format
    that no ggml type is."""

    name: str
    what: str
    measured: float
    before: float
    predicted: float
    low: float
    high: float
    bits: float = 8.5
    engines: bool = False

    @property
    def factor(self) -> float:
        """Predicted over measured, or the other way, whichever is above 1."""
        return math.exp(abs(math.log(self.predicted / self.measured)))

    @property
    def factor_before(self) -> float:
        """The same without a floor."""
        return math.exp(abs(math.log(self.before / self.measured)))


@cache
def left_out_floors() -> dict[str, tuple[Checked, ...]]:
    """By tier: every model's loss in q8_0, a model's own rows left out together."""
    with (DATA / "floors.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["reason"]]
    found: dict[str, list[Checked]] = {tier: [] for tier in TIERS}
    error = mean_error(TYPE)
    for known, row in zip(known_floors(), rows, strict=True):
        if "Thireus" not in row["source"]:
            continue
        for tier, kept in _kept(known).items():
            spread, name = _scatter(tuple(kept)), EXPERTS if known.routed else DENSE
            if name not in spread:
                continue
            members = [k for k in kept if k.routed == known.routed]
            log, deviation = left_out_predictions(known, [*members, known], spread[name])[tier]
            names = {k.name for k in kept}
            levels = [
                k for k in known_levels() if k.name in names or k.name == "SmolLM2-135M-Instruct"
            ]
            x = error * fitted_level(float(row["active_billion"]), levels)
            end = spread[name].reach * deviation
            found[tier].append(
                Checked(
                    known.name,
                    TYPE,
                    float(row["q8_0_nats"]),
                    x,
                    math.exp(log) + x,
                    math.exp(log - end) + x / WITHIN,
                    math.exp(log + end) + x * WITHIN,
                )
            )
    return {tier: tuple(checked) for tier, checked in found.items()}


def _kept(left: KnownFloor) -> dict[str, list[KnownFloor]]:
    """What tells the floor of ``left`` by tier, where there is anything."""
    floors = known_floors()
    kept = {
        LEARNED: [k for k in floors if k.family != left.family],
        RELATIVE: [k for k in floors if k.structure != left.structure],
        SISTER: [k for k in floors if k.name != left.name],
    }
    kin = {
        LEARNED: any(k.routed == left.routed for k in kept[LEARNED]),
        RELATIVE: any(k.family == left.family and k.routed == left.routed for k in kept[RELATIVE]),
        SISTER: any(k.structure == left.structure for k in kept[SISTER]),
    }
    return {tier: kept[tier] for tier in TIERS if kin[tier]}


@cache
def _scatter(kept: tuple[KnownFloor, ...]) -> dict[str, Scatter]:
    spread = scatters(kept)
    return {
        name: Scatter(s.family, s.structure, s.own, reach(kept, name, s))
        for name, s in spread.items()
        if sum(k.routed == (name == EXPERTS) for k in kept) > 1
    }


@cache
def published_losses(path: Path) -> tuple[Checked, ...]:
    """Public files of the table at ``path`` whose format the planner has, predicted as the planner
    prints them, with floors that do not know the model."""
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            model = PUBLISHED.get(row["model"])
            if model is None or row["confidence"] != "high":
                continue
            name = row["file_or_format"].removesuffix(" naive")
            predicted = _printed(model, name, frozenset({row["model"]}))
            if predicted is not None:
                found.append(
                    Checked(
                        row["model"],
                        f"{name} ({row['maker'] or row['source'][:24]})",
                        float(row["mean_kld_nats"]),
                        *predicted,
                        name in ENGINES_OWN,
                    )
                )
    return tuple(found)


@cache
def _printed(
    model: str, name: str, excluded: frozenset[str]
) -> tuple[float, float, float, float, float] | None:
    """(without a floor, printed loss, low, high, bits of a weight); None where no quantiser of the
    planner makes the format without more input."""
    engine, device, scheme = ENGINES_OWN.get(name, ("llama.cpp", "h100-sxm", name))
    try:
        plan = planner.estimate(
            model, device, engine=engine, scheme=scheme, devices=1, batch=1, context=512, kv="bf16"
        )
    except PlannerError:
        return None
    spec = load_model(model)
    own, left = floor_of(spec), floor_of(spec, excluded)
    info = plan.quality
    bits = sum(u.weight_bytes for u in plan.units) * 8 / plan.model.parameters_total
    return (
        info.loss - own.value_nats,
        info.loss - own.value_nats + left.value_nats,
        info.low - own.low_nats + left.low_nats,
        info.high - own.high_nats + left.high_nats,
        bits,
    )


def floors_text(published: Path | None) -> str:
    """Both tables; public files only where their table is."""
    lines = [
        "Losses of whole models in q8_0, predicted with and without a floor, by what is left out: "
        "share within ×/÷ 2, median factor, share inside the printed 80 % band, its median width.",
        "",
        *table(
            (
                "what predicts",
                "n",
                "within ×/÷ 2",
                "without a floor",
                "median factor",
                "inside",
                "high ÷ low",
            ),
            [(tier, *_scores(rows)) for tier, rows in left_out_floors().items()],
        ),
        "",
        *_moved(
            "floors-models",
            "Every model",
            ("model", "measured", *TIERS),
            [
                (name, f"{measured:.5f}", *(_told(name, tier) for tier in TIERS))
                for name, measured in {
                    c.name: c.measured for rows in left_out_floors().values() for c in rows
                }.items()
            ],
        ),
    ]
    if published is None or not published.is_file():
        return "\n".join([*lines, "", f"public files are left out: no {published}"])
    rows = published_losses(published)
    fine = [row for row in rows if row.bits >= EIGHT_BITS]
    coarse = [row for row in rows if row.bits < SIX_BITS]
    middle = [row for row in rows if SIX_BITS <= row.bits < EIGHT_BITS]
    return "\n".join(
        [
            *lines,
            "",
            "Public files of whole models, whose values contain the noise between two engines "
            f"({NOISE_NATS} nats and more); floors are predicted without the model, levels are not "
            "left out.",
            "",
            *table(
                (
                    "bits of a weight",
                    "n",
                    "within ×/÷ 2",
                    "without a floor",
                    "median factor",
                    "inside",
                    "high ÷ low",
                ),
                [
                    (title, *_scores(group))
                    for title, group in (
                        ("8 and more, ggml", [r for r in fine if not r.engines]),
                        ("8 and more, engines'", [r for r in fine if r.engines]),
                        ("6 to 8", middle),
                        ("below 6", coarse),
                    )
                    if group
                ],
            ),
            "",
            *_moved(
                "floors-files",
                "Every file",
                ("model", "file", "bits", "measured", "without a floor", "printed", "band"),
                [
                    (
                        row.name,
                        row.what,
                        f"{row.bits:.1f}",
                        f"{row.measured:.5f}",
                        f"{row.before:.5f}",
                        f"{row.predicted:.5f}",
                        f"{row.low:.4f}–{row.high:.4f}",
                    )
                    for row in rows
                ],
            ),
        ]
    )


EIGHT_BITS, SIX_BITS = 7.5, 6.0
"""Bits of a weight from which a file counts as one of eight bits, and below which as coarse; large
embeddings and heads that stay in 16 bits lie between."""


def _scores(rows: Sequence[Checked]) -> tuple[str, ...]:
    factors = np.array([row.factor for row in rows])
    before = np.array([row.factor_before for row in rows])
    inside = np.array([row.low <= row.measured <= row.high for row in rows])
    width = np.array([row.high / row.low for row in rows])
    return (
        str(len(rows)),
        f"{np.mean(factors <= WITHIN):.0%}",
        f"{np.mean(before <= WITHIN):.0%}, ×/÷ {np.median(before):.3g}",
        f"{np.median(factors):.3g}",
        f"{np.mean(inside):.0%}",
        f"{np.median(width):.3g}",
    )


def _moved(name: str, says: str, *rows: Any) -> list[str]:
    return [moved(name, says, table(*rows))]


def _told(name: str, tier: str) -> str:
    found = [c for c in left_out_floors()[tier] if c.name == name]
    return "".join(f"{c.predicted:.5f} ({c.low:.4f}–{c.high:.4f})" for c in found)


def main() -> int:
    """Print both tables, or put them into a document."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.floors", description=__doc__)
    parser.add_argument("--published", type=Path, default=PUBLIC_FILES, metavar="FILE")
    parser.add_argument("--docs", type=Path, metavar="FILE")
    options = parser.parse_args()
    text = floors_text(options.published)
    if options.docs is None:
        print(text)
    else:
        insert(options.docs, text + "\n", "floors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
