"""What a kernel lent from another stack was measured to miss by: the rows of ``data/loans.csv``.

``benchmarks/loans.py`` prices every stack's operator tables by the others' fitted forms on the same
device, and writes the file. A loan between stacks keeps the lender's time and takes the spread of
ratios about one, on the family of architectures where they were compared; elsewhere the larger of
its spread on other families and of any pair's on this one. Another kernel of the same stack that
was timed as well takes the mean ratio and the spread about it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from planner.base.records import record
from planner.throughput.calibration import PRIOR, kernel_family

_DATA = Path(__file__).resolve().parent / "data"
_ANY = "*"


@record
class ProxyKernel:
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


UNCOMPARED = ProxyKernel(1.0, PRIOR.sigma, "")
"""No table compares any two stacks: as an operator without a measurement."""


def proxy_kernel(
    operator: str, borrower: str, lender: str, variant: str, architecture: str, kernel: str = ""
) -> ProxyKernel:
    """What ``borrower`` takes when it is priced by ``lender``'s form of ``variant``.

    ``kernel`` is the borrower's, where its table names several. A pair that no table compares on
    the family carries the largest error of its variant there; a variant that none compares, the
    largest of its operator anywhere.
    """
    kind = kernel_family(architecture)
    pair = (operator, borrower, lender, variant)
    here = _rows().get((*pair, kernel, kind)) if kernel else None
    if here is not None and borrower == lender:
        return ProxyKernel(math.exp(here.bias), here.residual, here.devices)
    names = list(dict.fromkeys((kernel, "")))
    own = _first([(*pair, name, kind) for name in names])
    if own is not None:
        return ProxyKernel(1.0, own.sigma, own.devices)
    far = _first([(*pair, name, _ANY) for name in names])
    widest = _first([(operator, _ANY, _ANY, variant, "", where) for where in (kind, _ANY)])
    known = [row for row in (far, widest) if row is not None] or [
        row for key, row in _rows().items() if key[:2] == (operator, _ANY)
    ]
    if not known:
        return UNCOMPARED
    worst = max(known, key=lambda row: row.sigma)
    return ProxyKernel(1.0, worst.sigma, worst.devices)


def _first(keys: Sequence[tuple[str, ...]]) -> _Row | None:
    return next((_rows()[key] for key in keys if key in _rows()), None)


def lent_sigma(borrowed: ProxyKernel, fitted: float, carried: float) -> float:
    """Log-space standard deviation of a lent time: the loan's, whose measurement holds the form's
    own error ``fitted`` and is not below it, and what a transfer to the device added to make it
    ``carried``."""
    return math.sqrt(max(borrowed.sigma, fitted) ** 2 + max(carried**2 - fitted**2, 0.0))


@cache
def _rows() -> dict[tuple[str, ...], _Row]:
    names = ("operator", "borrower", "lender", "variant", "kernel", "family")
    with (_DATA / "loans.csv").open(encoding="utf-8", newline="") as file:
        return {
            tuple(row[name] for name in names): _Row(
                float(row["bias"]), float(row["sigma"]), float(row["residual"]), row["devices"]
            )
            for row in csv.DictReader(file)
        }
