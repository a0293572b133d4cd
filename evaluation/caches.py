"""``python -m evaluation.caches``: losses of caches against every public pair that was found.

Each pair of ``cache_pairs.csv`` is a model with a quantised cache beside itself with a plain one.
``before``: shares of SmolLM2-135M alone, no effect of length, floor or rotation, and INT8 and INT4
by token in place of ggml's types. ``after``: the law of :mod:`planner.quality.cache_loss`.
``left out``: the same law with its shares fitted to the other families; ``--fit`` prints what all
families give. Texts of tasks are told and never fitted: the law is of prose. ``--docs`` puts the
tables into the page between its markers.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from evaluation.answers import table
from evaluation.pages import insert, moved
from planner.formats.kv import GGML_CACHES
from planner.models.catalog import bundled_model
from planner.placement.cache_entries import cache_units
from planner.quality.cache_loss import PLAIN_CACHES, CacheLaw
from planner.quality.floor import floor_of, with_floor
from planner.quality.prior import cache_error, load_prior
from planner.quality.sensitivity.predict import sensitivities

DATA = Path(__file__).resolve().parent / "cache_pairs.csv"
SMOLLM2 = {"kv-k": 0.7, "kv-v": 0.55, "kv-latent": 0.7}
"""Shares of whole caches of SmolLM2-135M (docs/evidence/quality.md), a latent as keys: what is
fitted is one factor of all three, and that of models with recurrent layers."""
DRAWN, STEP = 0.1, -0.7
"""How far both factors are drawn to 1 where few pairs speak; the first step of the fit."""
FAR = 2.5
"""|ln| beyond which a pair pulls no more: keys with extreme channels are none of the law's."""
STAND_INS = {"q8_0": "int8-token", "q4_0": "int4-token", "q4_1": "int4-token"}
SHOWN = ("qwen3.5-27b", (4096, 32_768, 131_072))
COVERED = 0.8


@dataclass(frozen=True)
class Pair:
    """One published comparison. ``measured`` in nats of KL, or of ln PPL; ``floor``: the two runs
    differ by more than the values alone; pairs of one ``series`` differ in length alone."""

    family: str
    model: str
    named: str
    keys: str
    values: str
    context: int
    rotated: bool
    metric: str
    measured: float
    text: str
    floor: bool
    series: str

    @property
    def of_prose(self) -> bool:
        return self.text != "tasks"


@dataclass(frozen=True)
class Unit:
    """A kind of cache entries of a model: summed sensitivity of its attention outputs, window."""

    kind: str
    sensitivity: float
    window: int


@cache
def pairs() -> tuple[Pair, ...]:
    """The published pairs (read once a process)."""
    with DATA.open(encoding="utf-8", newline="") as file:
        return tuple(
            Pair(
                row["family"],
                row["model"],
                row["named"],
                row["keys"],
                row["values"],
                int(row["context_tokens"]),
                row["rotated"] == "yes",
                row["metric"],
                float(row["measured_nats"]),
                row["text"],
                row["floor"] == "yes",
                row["series"],
            )
            for row in csv.DictReader(file)
        )


@cache
def units_of(model: str) -> tuple[tuple[Unit, ...], bool]:
    """The cache units of a bundled model, and whether recurrent layers stand beside them."""
    spec = bundled_model(model)
    by_unit = sensitivities(spec).by_unit
    units = tuple(
        Unit(
            unit.kind,
            math.fsum(by_unit.get(("attention-out", layer), 0.0) for layer in unit.layers),
            unit.attention.window,
        )
        for unit in cache_units(spec)
    )
    return units, any(group.kind == "linear" for group in spec.attention)


def predicted(pair: Pair, law: CacheLaw) -> float:
    """Nats of ``pair`` by the law."""
    prior, (units, beside) = load_prior(), units_of(pair.model)
    floor = floor_of(bundled_model(pair.model)).value_nats if pair.floor else 0.0
    total = 0.0
    for unit in units:
        layout = pair.values if unit.kind == "kv-v" else pair.keys
        if layout in PLAIN_CACHES:
            continue
        error = cache_error(prior, unit.kind, layout, rotated=pair.rotated)
        if error is None:
            raise ValueError(f"{pair.named}: {unit.kind} has no error in {layout}")
        share = law.share[unit.kind] * (law.beside_states if beside else 1.0)
        total += share * unit.sensitivity * error * law.length_factor(pair.context, unit.window)
    return with_floor(total, floor)


def before(pair: Pair) -> float | None:
    """Nats as they were predicted; None where the layout had nothing like it."""
    prior, total = load_prior(), 0.0
    for unit in units_of(pair.model)[0]:
        layout = pair.values if unit.kind == "kv-v" else pair.keys
        if layout in PLAIN_CACHES:
            continue
        layout = STAND_INS.get(layout, layout)
        if layout in GGML_CACHES:
            return None
        error = cache_error(prior, unit.kind, layout) or 0.0
        total += SMOLLM2[unit.kind] * unit.sensitivity * error
    return total


def with_factors(law: CacheLaw, every: float, beside_states: float) -> CacheLaw:
    """``law`` with SmolLM2's shares times ``every``."""
    share = {kind: value * every for kind, value in SMOLLM2.items()}
    return replace(law, share=share, beside_states=beside_states)


def fitted(rows: Sequence[Pair], law: CacheLaw) -> CacheLaw:
    """``law`` with the two factors of the least |ln(measured ÷ predicted)|, families weighing as
    the root of their pairs."""
    count = {f: sum(r.family == f for r in rows) for f in {r.family for r in rows}}

    def misfit(point: np.ndarray) -> float:
        trial = with_factors(law, *np.exp(point).tolist())
        pulled = (
            min(abs(math.log(r.measured / predicted(r, trial))), FAR) / math.sqrt(count[r.family])
            for r in rows
        )
        return math.fsum(pulled) + DRAWN * float(point @ point)

    found = minimize(
        misfit,
        np.zeros(2),
        method="Nelder-Mead",
        options={
            "initial_simplex": [[0.0, 0.0], [STEP, 0.0], [0.0, STEP]],
            "xatol": 1e-3,
            "fatol": 1e-4,
        },
    )
    return with_factors(law, *np.exp(found.x).tolist())


def growth() -> float:
    """The power of length: one slope of ln measured over ln context in all series of pairs that
    differ in length alone."""
    above = below = 0.0
    for name in {pair.series for pair in pairs()} - {""}:
        rows = [pair for pair in pairs() if pair.series == name]
        x = np.log([pair.context for pair in rows])
        y = np.log([pair.measured for pair in rows])
        above += float(np.sum((x - x.mean()) * y))
        below += float(np.sum((x - x.mean()) ** 2))
    return above / below


def left_out(law: CacheLaw) -> dict[Pair, float]:
    """The prediction of each pair with its family left out; tasks as all prose has it."""
    prose = [pair for pair in pairs() if pair.of_prose]
    laws = {
        family: fitted([pair for pair in prose if pair.family != family], law)
        for family in sorted({pair.family for pair in pairs()})
    }
    return {pair: predicted(pair, laws[pair.family]) for pair in pairs()}


def factors(rows: Sequence[Pair], of: Callable[[Pair], float | None]) -> list[float]:
    """Measured ÷ predicted, or its inverse: at least 1, of the pairs that ``of`` predicts."""
    found = [(pair.measured, of(pair)) for pair in rows]
    return [math.exp(abs(math.log(m / p))) for m, p in found if p]


def summary(law: CacheLaw, out: dict[Pair, float]) -> str:
    """Medians and shares in the band, before, after and left out, for prose and for tasks."""
    ways: tuple[tuple[str, Callable[[Pair], float | None]], ...] = (
        ("before", before),
        ("after", lambda pair: predicted(pair, law)),
        ("after, family left out", out.__getitem__),
    )
    lines = []
    for text, chosen in (("prose and code", True), ("tasks", False)):
        rows = [pair for pair in pairs() if pair.of_prose is chosen]
        for name, of in ways:
            ratios = factors(rows, of)
            inside = sum(ratio <= law.band_factor for ratio in ratios)
            lines.append(
                [
                    text,
                    name,
                    str(len(ratios)),
                    f"{np.median(ratios):.2f}",
                    f"{np.quantile(ratios, COVERED):.2f}",
                    f"{inside} of {len(ratios)}",
                ]
            )
    head = ["text", "prediction", "pairs", "median ×/÷", "80 % within ×/÷"]
    return table([*head, f"inside ×/÷ {law.band_factor:g}"], lines)


def listing(law: CacheLaw, out: dict[Pair, float]) -> str:
    """Every pair, with measured ÷ predicted."""
    lines = []
    for pair in pairs():
        old = before(pair)
        lines.append(
            [
                pair.named,
                f"{pair.keys}/{pair.values}",
                f"{pair.context:,}",
                "yes" if pair.rotated else "no",
                pair.metric,
                f"{pair.measured:.2g}",
                "-" if old is None else f"{pair.measured / old:.3g}",
                f"{pair.measured / predicted(pair, law):.3g}",
                f"{pair.measured / out[pair]:.3g}",
            ]
        )
    head = ["model", "keys/values", "context", "rotated", "measure", "nats"]
    return table([*head, "÷ before", "÷ after", "÷ left out"], lines)


def by_length(law: CacheLaw) -> str:
    """Cache types of one model at three lengths."""
    model, contexts = SHOWN
    lines = []
    for keys, values, rotated in (
        ("fp16", "fp16", False),
        ("q8_0", "q8_0", True),
        ("q8_0", "q4_0", True),
        ("q4_0", "q4_0", True),
        ("q4_0", "q4_0", False),
        ("fp8", "fp8", False),
        ("fp8-token", "fp8-token", False),
        ("nvfp4", "nvfp4", False),
    ):
        pair = Pair("", model, model, keys, values, 0, rotated, "kl", 0.0, "prose", True, "")
        nats = [predicted(replace(pair, context=context), law) for context in contexts]
        name = f"{keys}/{values}" + (", rotated" if rotated else "")
        lines.append([name, *(f"{loss:.3g}" for loss in nats)])
    return table([model, *(f"{context:,}" for context in contexts)], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.caches", description=__doc__)
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the tables into this page")
    parser.add_argument("--fit", action="store_true", help="print the constants of all families")
    options = parser.parse_args(arguments)
    law = load_prior().caches
    if options.fit:
        mine = fitted([pair for pair in pairs() if pair.of_prose], law)
        print({**mine.share, "beside_states": mine.beside_states, "growth": growth()})
        return 0
    out = left_out(law)
    texts = {
        "cache-summary": moved("caches-summary", "Before and after", summary(law, out)),
        "cache-pairs": moved("caches-pairs", "Every pair", listing(law, out)),
        "cache-lengths": moved("caches-lengths", "One model at three lengths", by_length(law)),
    }
    if options.docs is None:
        print("\n\n".join(texts.values()))
        return 0
    for name, text in texts.items():
        insert(options.docs, text + "\n", name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
