"""Rank agreement of the prior (T0) with published benchmark deltas, model by model.

``python benchmarks/prior_against_deltas.py`` prints one line a model and metric. Ranks only: no
benchmark point is predicted.
"""

from __future__ import annotations

from planner.quality.prior import load_prior
from planner.quality.prior_check import agreements


def main() -> None:
    """Print the table and the totals."""
    found = agreements(load_prior())
    for a in found:
        formats = " < ".join(f"{s} {lost:+.3g}" for s, lost in zip(a.schemes, a.lost, strict=True))
        print(
            f"{a.model:28} {a.metric[:22]:22} rho {a.rho:+.2f}  {a.pairs_right}/{a.pairs} pairs  "
            f"bf16 0 < {formats}"
        )
    right, pairs = sum(a.pairs_right for a in found), sum(a.pairs for a in found)
    mean = sum(a.rho for a in found) / len(found)
    print(
        f"{len(found)} comparisons: mean rho {mean:.2f}, {right} of {pairs} pairs in the prior's "
        "order (left to right: the prior's order; figures: points lost)"
    )


if __name__ == "__main__":
    main()
