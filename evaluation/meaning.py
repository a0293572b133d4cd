"""``python -m evaluation.meaning``: what a predicted loss means, held against published figures.

Losses are predicted as plans tell them, from other models' measured KL; accuracies, agreement and
quantisers are of others. Whatever is learned here is left out by model before it is scored.
``--docs FILE`` puts the tables into a page, between its markers.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import exp, log, sqrt
from pathlib import Path
from statistics import median

import planner
from evaluation.pages import insert, moved
from evaluation.report import table
from planner.base.errors import PlannerError
from planner.models.catalog import model_ids, resolve_model
from planner.quality.loss_units import NATS
from planner.quality.meaning import (
    NO_CHANGE,
    PublishedDivergence,
    all_words,
    flip_slope_of,
    published_divergences,
    tail_factor_of,
    word_of,
)
from planner.quality.measured_models import (
    ALIKE,
    SAME,
    Subject,
    measured_models,
    plain_name,
    subject_of,
)
from planner.quality.neighbours import PLAIN, Measured, measured_rows, publisher
from planner.quality.quantisers import quantiser_factor, quantiser_losses

DEVICE, DEVICES = "b200-sxm", 16
"""A device with units for every format of the rows; losses do not depend on how many."""
NOTICEABLE_POINTS, DAMAGING_POINTS = 1.0, 3.0
"""A drop that is more than noise, at the least, and one that nobody calls small."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A published change of accuracy beside the loss that is predicted for its formats [nats]."""

    row: Measured
    stand_in: str
    loss: float

    @property
    def model(self) -> str:
        """Its name without owner."""
        return plain_name(self.row.model)

    @property
    def drop(self) -> float:
        """Points of accuracy that are lost."""
        assert self.row.points is not None
        return -self.row.points

    @property
    def is_noticeable(self) -> bool:
        """Whether the drop is a point at least and beyond two standard errors; few problems
        without a stated error notice nothing."""
        noise = self.row.noise
        if noise is None and self.row.kind != "short":
            return False
        return self.drop >= max(NOTICEABLE_POINTS, 2 * (noise or 0.0))


@cache
def subjects() -> dict[str, Subject]:
    """Bundled models as nearness sees them."""
    return {name: subject_of(resolve_model(name)) for name in model_ids()}


def stand_in(name: str) -> str | None:
    """The bundled model that a measured one is, or is built like; None where there is none."""
    model = measured_models()[name]
    near = [
        (model.relation(subject), id)
        for id, subject in subjects().items()
        if model.relation(subject) in (SAME, ALIKE)
    ]
    return min(near)[1] if near else None


@cache
def predicted_loss(model: str, scheme: str, layout: str) -> float | None:
    """Loss [nats] of a model in one format and cache layout; None where it cannot be asked."""
    try:
        plan = planner.estimate(
            model,
            DEVICE,
            devices=DEVICES,
            scheme=subjects()[model].released if scheme in PLAIN else scheme,
            kv="bf16" if layout in PLAIN else layout,
            engine="any",
            tpot_seconds="none",
            context=1024,
            batch=1,
        )
    except PlannerError:
        return None
    return plan.quality.loss if plan.quality.unit == NATS else None


def judged_rows() -> tuple[Judged, ...]:
    """Rows in points of accuracy whose model or one of its structure is bundled."""
    out = []
    for row in measured_rows():
        model = stand_in(plain_name(row.model)) if row.unit in ("%", "frac") else None
        loss = None if model is None else predicted_loss(model, row.scheme, row.kv_layout)
        if model is not None and loss is not None:
            out.append(Judged(row, model, loss))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Order:
    """Pairs of one model, benchmark and publication: how many, and how many of them right; and the
    same of those that differ by a point."""

    right: int
    pairs: int
    right_apart: int
    apart: int


def order(rows: Iterable[Judged]) -> Order:
    """Whether what loses more by prediction lost more accuracy. Whole formats alone, not those of
    a remark (parts in 16 bits, calibrated): their loss is of another mix."""
    groups: dict[tuple[str, str, str], list[Judged]] = defaultdict(list)
    for one in rows:
        if not one.row.note:
            groups[one.model, one.row.metric, publisher(one.row.source)].append(one)
    found = [
        ((a.loss < b.loss) == (a.drop < b.drop), abs(a.drop - b.drop) >= 1.0)
        for group in groups.values()
        for a, b in combinations(group, 2)
        if a.loss != b.loss and a.drop != b.drop
    ]
    far = [right for right, apart in found if apart]
    return Order(sum(right for right, _ in found), len(found), sum(far), len(far))


def edge_between(rows: Sequence[Judged], above: Callable[[Judged], bool]) -> float | None:
    """The loss that parts rows best: those that are ``above`` from those that are not; the
    geometric middle of the gap, of equals the lowest. None where no row is above."""
    ranked = sorted(rows, key=lambda r: r.loss)
    if not any(map(above, ranked)):
        return None
    wrong = [
        (
            sum(above(r) for r in ranked[:n]) + sum(not above(r) for r in ranked[n:]),
            sqrt(ranked[n - 1].loss * ranked[n].loss),
        )
        for n in range(1, len(ranked))
        if ranked[n - 1].loss < ranked[n].loss
    ]
    return min(wrong)[1]


def learned_edges(rows: Sequence[Judged]) -> dict[str, float | None]:
    """From where benchmarks notice, by what is noticed, from ``rows``."""
    short = [r for r in rows if r.row.kind == "short"]
    return {
        "short benchmarks notice": edge_between(short, lambda r: r.is_noticeable),
        f"short benchmarks lose {DAMAGING_POINTS:g} points": edge_between(
            short, lambda r: r.drop >= DAMAGING_POINTS
        ),
    }


def without(rows: Iterable[Judged], model: str) -> list[Judged]:
    """Rows of other models."""
    return [r for r in rows if r.model != model]


def words_table(rows: Sequence[Judged]) -> list[tuple[str, ...]]:
    """By word: rows, models, how many short and other benchmarks notice, their median and worst
    change, and of how many models the worst is within that of all others, less its noise."""
    out = []
    for word in all_words():
        own = [r for r in rows if word_of(r.loss) == word]
        if not own or word == NO_CHANGE:
            continue
        models = sorted({r.model for r in own})
        within = [
            max(r.drop - (r.row.noise or 0.0) for r in own if r.model == model)
            <= max((r.drop for r in without(own, model)), default=0.0)
            for model in models
        ]
        out.append(
            (
                word,
                str(len(own)),
                str(len(models)),
                *_drops([r for r in own if r.row.kind == "short"]),
                *_drops([r for r in own if r.row.kind != "short"]),
                f"{sum(within)} of {len(models)}",
            )
        )
    return out


def _drops(rows: Sequence[Judged]) -> tuple[str, str, str]:
    """How many of them notice, the median change, the worst; empty of none."""
    if not rows:
        return "", "", ""
    drops = [r.drop for r in rows]
    noticed = sum(r.is_noticeable for r in rows)
    return f"{noticed} of {len(rows)}", _drop(median(drops)), _drop(max(drops))


def _drop(value: float) -> str:
    return f"{-value:+.2f}".replace("-", "−")


def edges_table(rows: Sequence[Judged]) -> list[tuple[str, ...]]:
    """Edges learned from all rows and without each model."""
    left = [learned_edges(without(rows, model)) for model in sorted({r.model for r in rows})]
    out = []
    for name, edge in learned_edges(rows).items():
        each = [value for found in left if (value := found[name]) is not None]
        if edge is not None and each:
            out.append((name, f"{edge:.4f}", f"{min(each):.4f} to {max(each):.4f}"))
    return out


@dataclass(frozen=True, slots=True)
class Relation:
    """How a relation to the mean of KL does on models left out: the median of |ln ratio| as a
    factor, the factor of 80 %, and the worst; n rows of so many models."""

    rows: int
    models: int
    median: float
    most: float
    worst: float


def left_out_relation(
    measured: Callable[[PublishedDivergence], float | None],
    predicted: Callable[[Sequence[PublishedDivergence], PublishedDivergence], float],
) -> Relation:
    """Errors of ``predicted`` (other models' rows, a row) against ``measured``; each model counts
    by the median of its rows."""
    rows = [r for r in published_divergences() if measured(r) is not None]
    errors: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        others = [r for r in rows if r.model != row.model]
        value = measured(row)
        assert value is not None
        errors[row.model].append(abs(log(predicted(others, row) / value)))
    each = sorted(median(values) for values in errors.values())
    eighty = each[min(len(each) - 1, int(0.8 * len(each)))]
    return Relation(len(rows), len(each), exp(median(each)), exp(eighty), exp(each[-1]))


def relations() -> dict[str, Relation]:
    """Tokens that change, and the 99th percentile, each from the mean."""
    return {
        "share of top-1 tokens that change": left_out_relation(
            lambda r: None if r.top1 is None else 1 - r.top1,
            lambda others, r: flip_slope_of(others) * sqrt(r.mean_kl),
        ),
        "99th percentile of KL": left_out_relation(
            lambda r: r.p99_kl, lambda others, r: tail_factor_of(others) * r.mean_kl
        ),
    }


def quantiser_table() -> list[tuple[str, ...]]:
    """By quantiser and scheme: factor, models, and what a loss is off by on a model left out with
    the factor of the others and with none."""
    names = dict.fromkeys((r.quantiser, r.scheme) for r in quantiser_losses())
    out = []
    for name, scheme in names:
        factor = quantiser_factor(name, scheme)
        if factor is None:
            continue
        out.append(
            (
                name,
                scheme,
                f"{factor.value:.2f}",
                f"{factor.low:.2f} to {factor.high:.2f}",
                str(factor.models),
                "yes" if factor.is_applied else "no",
                "" if factor.off_left_out is None else f"{factor.off_left_out:.2f}",
                "" if factor.off_without is None else f"{factor.off_without:.2f}",
            )
        )
    return sorted(out, key=lambda r: (r[1], float(r[2])))


def markdown() -> str:
    """All tables."""
    rows = judged_rows()
    found = order(rows)
    divergence = [
        (
            name,
            str(r.rows),
            str(r.models),
            f"×/÷ {r.median:.2f}",
            f"×/÷ {r.most:.2f}",
            f"×/÷ {r.worst:.2f}",
        )
        for name, r in relations().items()
    ]
    lines = [
        f"{len(rows)} published changes of accuracy of {len({r.model for r in rows})} models have "
        f"a predicted loss. Within one model, benchmark and publication {found.right} of "
        f"{found.pairs} pairs are in the right order, {found.right_apart} of {found.apart} of "
        "those that differ by a point.",
        "",
        *table(
            (
                "word",
                "rows",
                "models",
                "short: noticed",
                "median",
                "worst",
                "other: noticed",
                "median",
                "worst",
                "models within the worst of the others",
            ),
            words_table(rows),
        ),
        "",
        *table(
            ("from here [nats]", "all rows", "each model left out"),
            edges_table(rows),
        ),
        "",
        *table(
            ("from mean KL, model left out", "rows", "models", "median", "80 %", "worst"),
            divergence,
        ),
        "",
        moved(
            "meaning-quantisers",
            "What quantisers leave of the loss of rounding",
            table(
                (
                    "quantiser",
                    "scheme",
                    "loss ÷ rounding",
                    "models from to",
                    "models",
                    "applied",
                    "off by, model left out",
                    "off by without a factor",
                ),
                quantiser_table(),
            ),
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the tables; put them into a page where asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.meaning", description=__doc__)
    parser.add_argument("--docs", type=Path, metavar="FILE")
    options = parser.parse_args()
    text = markdown()
    if options.docs is not None:
        insert(options.docs, text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
