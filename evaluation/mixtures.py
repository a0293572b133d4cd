"""``python -m evaluation.mixtures``: losses of real mixtures, predicted from the types of their
tensors, beside the perplexity that was published with them.

    loss = saturated(Σ α(tensor) · e(type of the tensor), g)

α and g are predicted without the model. Order within a model needs no more; the factor compares
the loss with ln(perplexity / baseline). No perplexity of the unchanged models on the mixtures' text
is published, so that the finest mixture of a model, over its own predicted loss, stands for it and
is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.mix_law import law_lines
from evaluation.mix_rows import FAMILY, NEAR, ModelMixtures, Predicted, predicted, read_mixtures
from evaluation.pages import insert, moved
from evaluation.report import table
from evaluation.tiers import rank_correlation
from planner.quality.sensitivity.kld_data import CREDIT
from planner.quality.sensitivity.level import KNEE_NATS

SHARED = Path(__file__).resolve().parents[2] / "shared" / "measured"
LEAST_NATS = 0.01
"""Published perplexities have standard errors of 0.4 to 0.5 %: below, a ratio says nothing."""
SAME_SIZE, APART_NATS = 0.02, 0.005
"""Pairs of mixtures that are alike in size (share of bits), and apart in ln perplexity."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Mixtures of one model with a ratio: (row, ln(perplexity / baseline)) without the finest."""

    rows: tuple[tuple[Predicted, float], ...]

    def factor(self, *, saturating: bool) -> float:
        """The median factor between predicted and measured."""
        off = [abs(math.log(_loss(r, saturating) / seen)) for r, seen in self.rows]
        return math.exp(float(np.median(off)))

    def ratio(self, *, saturating: bool) -> float:
        """The median of measured over predicted."""
        return float(np.median([seen / _loss(r, saturating) for r, seen in self.rows]))


def rank(found: ModelMixtures) -> float:
    """Spearman's ρ of predicted loss and measured perplexity over the mixtures of a model."""
    return rank_correlation(
        [r.loss for r in found.rows], [r.mixture.perplexity for r in found.rows]
    )


def counted(found: ModelMixtures, *, beyond: float = 0.0) -> Counted:
    """Mixtures whose ln(perplexity / baseline) is above LEAST_NATS and whose losses sum to more
    than ``beyond`` nats."""
    finest = max(found.rows, key=lambda r: r.mixture.bits)
    start = math.log(finest.mixture.perplexity) - finest.loss
    ratios = [(r, math.log(r.mixture.perplexity) - start) for r in found.rows if r is not finest]
    return Counted(tuple((r, s) for r, s in ratios if s > LEAST_NATS and r.summed > beyond))


def alike(found: ModelMixtures) -> tuple[int, int]:
    """(pairs in the right order, pairs) of mixtures alike in size and apart in perplexity."""
    right = pairs = 0
    for a, b in itertools.combinations(found.rows, 2):
        apart = math.log(a.mixture.perplexity / b.mixture.perplexity)
        same = abs(math.log(a.mixture.bits / b.mixture.bits)) <= SAME_SIZE
        if same and abs(apart) > APART_NATS:
            pairs += 1
            right += (a.loss > b.loss) == (apart > 0)
    return right, pairs


def report(folder: Path, tables: Path) -> str:
    """Everything as Markdown."""
    near, family = (predicted(folder, tables, protocol) for protocol in (NEAR, FAMILY))
    total = sum(len(m) for m in read_mixtures(folder).values())
    lines = [
        f"Figures: {CREDIT}. {total} published mixtures of {len(near)} models whose rules are "
        "listed; Spearman's ρ within a model of predicted loss and published perplexity; "
        "bits: of bits per weight alone. Pairs alike in size differ by at most 2 % in bits and "
        "by more than 0.5 % in perplexity.",
        "",
        *_rank_lines(near, family),
        "The factor between predicted loss and ln(perplexity / baseline), the model left out; "
        f"mixtures above {LEAST_NATS} nats without the finest of each model:",
        "",
        *_factor_lines(near),
        moved(
            "mixtures-saturation",
            f"Where losses sum to more than {KNEE_NATS} nats, measured over predicted",
            _beyond_lines(near),
        ),
        moved("mixtures-whole-models", "Whole models in one type", law_lines(tables)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _rank_lines(near: Sequence[ModelMixtures], family: Sequence[ModelMixtures]) -> list[str]:
    rows = []
    for found, without in zip(near, family, strict=True):
        bits = rank_correlation(
            [-r.mixture.bits for r in found.rows], [r.mixture.perplexity for r in found.rows]
        )
        right, pairs = alike(found)
        rows.append(
            (
                found.model,
                len(found.rows),
                found.tier,
                f"{rank(found):.3f}",
                f"{rank(without):.3f}",
                f"{bits:.3f}",
                f"{right} of {pairs}",
            )
        )
    medians = [float(np.median([rank(f) for f in part])) for part in (near, family)]
    total = [sum(alike(f)[n] for f in near) for n in (0, 1)]
    rows.append(
        (
            "**median**",
            sum(len(f.rows) for f in near),
            "",
            *(f"{m:.3f}" for m in medians),
            "",
            f"{total[0]} of {total[1]}",
        )
    )
    return table(
        ("model", "mixtures", "predicted by", "ρ", "ρ, family left out", "bits", "alike in size"),
        rows,
    )


def _factor_lines(near: Sequence[ModelMixtures]) -> list[str]:
    rows, factors = [], []
    for found in near:
        part = counted(found)
        factors.append([part.factor(saturating=s) for s in (True, False)])
        rows.append(
            (
                found.model,
                len(part.rows),
                f"{factors[-1][0]:.2f}",
                f"{factors[-1][1]:.2f}",
                f"{part.ratio(saturating=True):.2f}",
            )
        )
    rows.append(
        (
            "**median**",
            sum(int(r[1]) for r in rows),
            *(f"{v:.2f}" for v in np.median(factors, axis=0).tolist()),
            "",
        )
    )
    return table(
        ("model", "mixtures", "median factor", "of the sum alone", "measured / predicted"), rows
    )


def _beyond_lines(near: Sequence[ModelMixtures]) -> list[str]:
    rows = []
    for found in near:
        part = counted(found, beyond=KNEE_NATS)
        if part.rows:
            rows.append(
                (
                    found.model,
                    len(part.rows),
                    f"{found.saturation:+.2f}",
                    f"{part.ratio(saturating=False):.2f}",
                    f"{part.ratio(saturating=True):.2f}",
                )
            )
    return table(("model", "mixtures", "g", "over the sum", "over the saturated loss"), rows)


def _loss(row: Predicted, saturating: bool) -> float:
    return row.loss if saturating else row.summed


def main() -> int:
    """Print the report; put it into a document where asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.mixtures", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=SHARED,
        metavar="FOLDER",
        help="served3/mix_ppl.csv, served3/mix_ppl_rules.csv and kld/kld_whole.csv",
    )
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="FILE",
        help="put the tables into this document, between its markers",
    )
    options = parser.parse_args()
    folder, tables = options.data / "served3", options.data / "kld"
    for path in (folder / "mix_ppl.csv", folder / "mix_ppl_rules.csv", tables / "kld_whole.csv"):
        if not path.is_file():
            parser.error(f"{path} is not there; name the folder of the published tables: --data")
    text = report(folder, tables)
    print(text)
    if options.docs is not None:
        insert(options.docs, text, "mixtures")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
