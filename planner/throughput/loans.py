"""What a kernel lent from another stack was measured to miss by: the rows of ``data/loans.csv``.

``benchmarks/loans.py`` prices every stack's operator tables by the others' fitted forms on the same
device, and writes the file. Where a pair was compared on a family of architectures, a loan there
takes the mean ratio and the spread about it; elsewhere the spread about one, of all devices or of
the pair that differs most.
"""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path

from planner.records import record
from planner.throughput.calibration import PRIOR, family

_DATA = Path(__file__).resolve().parent / "data"
_ANY = "*"


@record
class Loan:
    """``factor`` multiplies the lent time; ``sigma`` is the log-space standard deviation of the
    result, the lender's own error in it; ``compared`` says on what devices, empty: on none."""

    factor: float
    sigma: float
    compared: str


@record
class _Row:
    bias: float
    sigma: float
    residual: float
    devices: str


UNCOMPARED = Loan(1.0, PRIOR.sigma, "")
"""No table compares any two stacks: as an operator without a measurement."""


def loan(operator: str, borrower: str, lender: str, variant: str, architecture: str,
         kernel: str = "") -> Loan:
    """What ``borrower`` takes when it is priced by ``lender``'s form of ``variant``.

    ``kernel`` is the borrower's, where its table names several. A pair that no table compares
    carries the largest error of its variant, else of its operator.
    """
    kind = family(architecture)
    for one in dict.fromkeys((kernel, "")):
        own = _rows().get((operator, borrower, lender, variant, one, kind))
        if own is not None:
            return Loan(math.exp(own.bias), own.residual, own.devices)
        other = _rows().get((operator, borrower, lender, variant, one, _ANY))
        if other is not None:
            return Loan(1.0, other.sigma, other.devices)
    for name in (variant, _ANY):
        for where in (kind, _ANY):
            widest = _rows().get((operator, _ANY, _ANY, name, "", where))
            if widest is not None:
                return Loan(1.0, widest.sigma, widest.devices)
    return UNCOMPARED


def lent_sigma(found: Loan, fitted: float, carried: float) -> float:
    """Log-space standard deviation of a lent time: the loan's, whose measurement holds the form's
    own error ``fitted``, and what a transfer to the device added to make it ``carried``."""
    return math.sqrt(found.sigma**2 + max(carried**2 - fitted**2, 0.0))


@cache
def _rows() -> dict[tuple[str, ...], _Row]:
    names = ("operator", "borrower", "lender", "variant", "kernel", "family")
    with (_DATA / "loans.csv").open(encoding="utf-8", newline="") as file:
        return {tuple(row[name] for name in names):
                _Row(float(row["bias"]), float(row["sigma"]), float(row["residual"]),
                     row["devices"])
                for row in csv.DictReader(file)}
