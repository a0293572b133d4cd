"""The error of kernels of experts where they stand for another's: every table by the others' forms.

    python benchmarks/moe_loans.py DIR > planner/throughput/data/moe_loans.csv

DIR holds measured tables like op_moe.csv (docs/guide/measure.md); the forms are those of the
packaged profiles, on the same device and in the same scheme. ``bias`` is the mean of
ln(measured / lent), ``sigma`` the standard deviation about zero and ``residual`` about the bias,
of which the 80 % interval holds 80 % of the rows; kernels and devices weigh alike. ``*`` stands for
every kernel, stack, scheme or family: of kernels that a stack usually runs (data/moe.toml) and that
were tuned. Nothing is fitted.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.moe_rows import moe_kernels, newest
from planner.lab.validation.op_rows import Z80
from planner.lab.validation.reader import read_directory
from planner.throughput.calibration import kernel_family
from planner.throughput.forms.moe import OPERATOR
from planner.throughput.moe_choice import measured_kernels_of
from planner.throughput.proxy_expert_kernels import ANY
from planner.throughput.silicon import chip

Array = NDArray[np.float64]
Pairs = Mapping[tuple[str, ...], list[tuple[str, Array]]]
COLUMNS = (
    "scheme",
    "borrower",
    "lender",
    "family",
    "devices",
    "rows",
    "bias",
    "sigma",
    "residual",
    "source",
)
SOURCE = "benchmarks/moe_loans.py over the MoE tables of aiconfigurator-core 0.12.0"
LEAST_ROWS = 20
UNTUNED = {("vllm/flashinfer-cutlass", "fp8-tensor", "Hopper")}
"""Streams weights at a sixth of the bandwidth; the same kernel reaches 0.97 on Blackwell."""


def main() -> None:
    """Prints the table."""
    rows: list[Mapping[str, str]] = []
    for table in read_directory(Path(sys.argv[1])):
        if table.name in ("op_moe", "op_moe_2"):
            rows += table.rows or ()
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    out.writerows(lines(ratios(rows)))


def ratios(rows: list[Mapping[str, str]]) -> Pairs:
    """ln(measured / lent) by (scheme, borrower, lender, family), and by every wider group."""
    found: dict[tuple[str, ...], list[tuple[str, Array]]] = defaultdict(list)
    for kernel in newest(moe_kernels(rows)[0]):
        profile = kernel.batch.profile
        figures = chip(profile) if profile is not None else None
        if profile is None or figures is None or kernel.included.sum() < LEAST_ROWS:
            continue
        name, _, scheme = kernel.variant.partition(":")
        borrower = f"{kernel.batch.stack}/{name}"
        for (operator, stack, variant), fit in profile.fitted.items():
            lent, _, other = variant.partition(":")
            if operator != OPERATOR or other != scheme or f"{stack}/{lent}" == borrower:
                continue
            seconds = kernel.predict(fit.parameters, figures, variant)
            apart = np.log(kernel.seconds / seconds)[kernel.included]
            for key in groups(
                scheme, borrower, f"{stack}/{lent}", kernel_family(profile.architecture)
            ):
                found[key].append((profile.id, apart))
    return found


def groups(scheme: str, borrower: str, lender: str, kind: str) -> Iterator[tuple[str, ...]]:
    """The rows of the result that a comparison counts in."""
    stacks = tuple(f"{name.partition('/')[0]}/{ANY}" for name in (borrower, lender))
    yield scheme, borrower, lender, kind
    yield scheme, borrower, lender, ANY
    if any(
        (name, scheme, kind) in UNTUNED or not _usual(name, scheme) for name in (borrower, lender)
    ):
        return
    yield ANY, borrower, lender, ANY
    yield scheme, *stacks, ANY
    yield scheme, ANY, ANY, ANY
    yield ANY, ANY, ANY, ANY


def _usual(name: str, scheme: str) -> bool:
    stack, _, kernel = name.partition("/")
    return kernel in measured_kernels_of(stack, scheme)


def lines(found: Pairs) -> Iterator[list[object]]:
    """Rows of the result."""
    for key in sorted(found):
        parts = [apart for _, apart in found[key]]
        bias = float(np.mean([part.mean() for part in parts]))
        yield [
            *key,
            " ".join(sorted({device for device, _ in found[key]})),
            sum(len(part) for part in parts),
            f"{bias:.3f}",
            f"{_width(parts, 0.0):.3f}",
            f"{_width(parts, bias):.3f}",
            SOURCE,
        ]


def _width(parts: list[Array], centre: float) -> float:
    spread = [float(np.quantile(np.abs(part - centre), 0.8)) / Z80 for part in parts]
    return float(np.sqrt(np.mean(np.square(spread))))


if __name__ == "__main__":
    main()
