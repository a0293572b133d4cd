"""How far the scores of the learned prior depend on chance in the search of its settings.

For each seed of the search, every family is predicted with the settings that were chosen without it
(data/kld/prior_settings.csv). Seed 0 is what is shipped, and what every other table shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.prior_search import left_out_scores, measured
from evaluation.report import table
from planner.quality.sensitivity.prior_settings import chosen_settings, settings_without

Scores = Sequence[tuple[float, float]]


def seeds() -> list[int]:
    """The seeds of the searches that there are."""
    return sorted({seed for _, seed in chosen_settings()})


def family_scores(seed: int) -> dict[str, Scores]:
    """(Spearman's ρ, factor that holds 80 %) of the models of each family, left out."""
    families = dict.fromkeys(m.model.family for m in measured())
    return {f: left_out_scores(measured(), settings_without([f], seed))[f] for f in families}


def family_table() -> list[str]:
    """A row a family and one of all models: ρ and factor, each with its range over seeds."""
    by_seed = [family_scores(seed) for seed in seeds()]
    rows = [
        (family, str(len(by_seed[0][family])), *_shown([found[family] for found in by_seed]))
        for family in by_seed[0]
    ]
    every = [[score for of in found.values() for score in of] for found in by_seed]
    rows.append(("**all**", str(len(every[0])), *_shown(every)))
    return table(("family left out", "models", "ρ", "over seeds", "factor", "over seeds"), rows)


def _shown(by_seed: Sequence[Scores]) -> tuple[str, str, str, str]:
    ranks = [float(np.median([rank for rank, _ in of])) for of in by_seed]
    factors = [float(np.median([factor for _, factor in of])) for of in by_seed]
    return (
        f"{ranks[0]:.2f}",
        f"{min(ranks):.2f} to {max(ranks):.2f}",
        f"×/÷ {factors[0]:.2f}",
        f"{min(factors):.2f} to {max(factors):.2f}",
    )
