"""What a kernel of experts was measured to miss by where it stands for another's: the rows of
``data/moe_loans.csv``, which ``benchmarks/moe_loans.py`` writes.

A row compares two kernels in one scheme on a family of architectures. The first that is known
counts: the two kernels in the scheme and family, the two kernels in the scheme, two that differ in
an ending of their name in any scheme, the two stacks in the scheme, the scheme, everything.
"""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path

from planner.records import record
from planner.throughput.calibration import PRIOR, family

_DATA = Path(__file__).resolve().parent / "data"
ANY = "*"


@record
class Loan:
    """``factor`` multiplies the lent time; ``sigma`` is the log-space standard deviation of the
    result, the lender's own error in it; ``compared`` names the devices."""

    factor: float
    sigma: float
    compared: str


@record
class _Row:
    bias: float
    sigma: float
    residual: float
    devices: str


def loan(scheme: str, borrower: str, lender: str, architecture: str) -> Loan:
    """What ``borrower`` takes when ``lender`` prices it, both ``STACK/KERNEL``.

    Two kernels that were compared on the family of ``architecture`` carry the mean ratio and the
    spread about it; all others the spread about one.
    """
    rows, kind = _rows(), family(architecture)
    own = rows.get((scheme, borrower, lender, kind))
    if own is not None:
        return Loan(math.exp(own.bias), own.residual, own.devices)
    stacks = tuple(f"{name.partition('/')[0]}/{ANY}" for name in (borrower, lender))
    kin = [(ANY, borrower, lender, ANY)] \
        if borrower.startswith(lender) or lender.startswith(borrower) else []
    for key in ((scheme, borrower, lender, ANY), *kin, (scheme, *stacks, ANY),
                (scheme, ANY, ANY, ANY), (ANY, ANY, ANY, ANY)):
        found = rows.get(key)
        if found is not None:
            return Loan(1.0, found.sigma, found.devices)
    return Loan(1.0, PRIOR.sigma, "")


@cache
def _rows() -> dict[tuple[str, ...], _Row]:
    names = ("scheme", "borrower", "lender", "family")
    with (_DATA / "moe_loans.csv").open(encoding="utf-8", newline="") as file:
        return {tuple(row[name] for name in names):
                _Row(float(row["bias"]), float(row["sigma"]), float(row["residual"]),
                     row["devices"]) for row in csv.DictReader(file)}
