"""What a kernel of experts was measured to miss by where it stands for another's: the rows of
``data/moe_loans.csv``, which ``benchmarks/moe_loans.py`` writes.

A row compares two kernels in one scheme on a family of architectures. The first that is known
counts: the two kernels in the scheme and family, the two kernels in the scheme, two that differ in
an ending of their name in any scheme, the two stacks in the scheme, the scheme, everything.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

from planner.base.errors import DataError
from planner.base.records import record
from planner.throughput.calibration import PRIOR, kernel_family

_DATA = Path(__file__).resolve().parent / "data"
ANY = "*"
HEADER = "scheme,borrower,lender,family,devices,rows,bias,sigma,residual,"


@record
class ProxyExpertKernel:
    """``factor`` multiplies the lent time; ``sigma`` is the log-space standard deviation of the
    result, the lender's own error in it; ``compared`` names the devices."""

    factor: float
    sigma: float
    compared: str


def proxy_expert_kernel(
    scheme: str, borrower: str, lender: str, architecture: str
) -> ProxyExpertKernel:
    """What ``borrower`` takes when ``lender`` prices it, both ``STACK/KERNEL``.

    Two kernels that were compared on the family of ``architecture`` carry the mean ratio and the
    spread about it; all others the spread about one.
    """
    rows, kind = _rows(), kernel_family(architecture)
    own = rows.get((scheme, borrower, lender, kind))
    if own is not None:
        devices, _, bias, _, residual = own
        return ProxyExpertKernel(math.exp(float(bias)), float(residual), devices)
    stacks = tuple(f"{name.partition('/')[0]}/{ANY}" for name in (borrower, lender))
    kin = (
        [(ANY, borrower, lender, ANY)]
        if borrower.startswith(lender) or lender.startswith(borrower)
        else []
    )
    for key in (
        (scheme, borrower, lender, ANY),
        *kin,
        (scheme, *stacks, ANY),
        (scheme, ANY, ANY, ANY),
        (ANY, ANY, ANY, ANY),
    ):
        row = rows.get(key)
        if row is not None:
            return ProxyExpertKernel(1.0, float(row[3]), row[0])
    return ProxyExpertKernel(1.0, PRIOR.sigma, "")


@cache
def _rows() -> dict[tuple[str, ...], list[str]]:
    """(scheme, borrower, lender, family) → devices, rows, bias, sigma, residual, as written: most
    are never asked for."""
    text = (_DATA / "moe_loans.csv").read_text(encoding="utf-8").splitlines()
    if not text[0].startswith(HEADER):
        raise DataError(
            f"moe_loans.csv begins with {text[0]!r}, not {HEADER!r}",
            hint="write it with benchmarks/moe_loans.py",
        )
    rows = {}
    for line in text[1:]:
        words = line.split(",", 9)
        rows[tuple(words[:4])] = words[4:9]
    return rows
