"""Errors of the operator forms: kept-back rows, carried parameters, small calibrations, signs.

    python benchmarks/operators.py DIR [--few 24] [--only gemm,moe] [--markdown]

DIR holds measured operator tables (docs/guide/measure.md). Nothing is written; every figure is
computed from the packaged profiles and the tables.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import PlannerError
from planner.hardware.catalog import resolve_device
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.lab.calibration.fit import Z80
from planner.lab.calibration.problem import FitProblem, refit
from planner.lab.validation.reader import read_directory
from planner.lab.validation.table_kinds import FITTED, kind_of
from planner.throughput.calibration import architecture_relation, transfer_sigma
from planner.throughput.gemm import gemm_model

Array = NDArray[np.float64]
Key = tuple[str, str, str]
RELATIVE = "h100-sxm"
PAIRS = (("h200-sxm", RELATIVE), ("b200-sxm", RELATIVE))
"""(device, relative whose parameters it is given); all pairs: benchmarks/transfer.py."""
MEASURED = ("h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm", "a100-sxm", "l40s", "rtx-pro-6000")


@dataclass(frozen=True)
class Line:
    """One row of a printed table: words, then figures in percent."""

    words: tuple[str, ...]
    figures: tuple[float, ...]


def problems(data: Path, only: Sequence[str]) -> Iterator[FitProblem]:
    """Every fit that the tables in ``data`` allow."""
    tables: dict[str, list[Any]] = {}
    for table in read_directory(data):
        kind = kind_of(table.columns)
        if kind is not None and table.rows is not None:
            tables.setdefault(kind.name, []).extend(table.rows)
    for kind, fit in FITTED:
        module: Any = importlib.import_module(fit.module)
        wanted = not only or set(only) & set(fit.operators)
        if wanted and kind.name in tables and hasattr(module, "problems"):
            extra = {name: tables.get(name, []) for name in fit.extra_kinds}
            yield from module.problems(tables[kind.name], **extra)


def held_out() -> Iterator[Line]:
    """Errors of the packaged sets on the rows that their fits did not see."""
    for device in MEASURED:
        for (operator, stack, variant), fit in sorted(resolve_device(device).fitted.items()):
            e = fit.error
            yield Line(
                (operator, device, stack, variant, str(e.held_out)),
                (100 * e.mean, 100 * e.median, 100 * e.bias, 100 * e.coverage),
            )


def carried(found: Iterable[FitProblem], few: int) -> Iterator[Line]:
    """A relative's parameters on a device: as they are, and refitted to ``few`` rows."""
    relatives = {device: _sets(resolve_device(origin)) for device, origin in PAIRS}
    for problem in found:
        base = relatives.get(problem.device, {}).get(
            (problem.operator, problem.stack, problem.variant)
        )
        if base is None or not base.parameters or not len(problem.test):
            continue
        rows = problem.test
        parameters = {**base.parameters, **problem.known}
        ratio = problem.predict(parameters, rows) / problem.measured[rows]
        how = architecture_relation(
            resolve_device(problem.device), resolve_device(RELATIVE).architecture
        )
        sigma = float(
            np.hypot(base.error.sigma, transfer_sigma(problem.operator, problem.variant, how))
        )
        inside = float((np.abs(np.log(ratio)) <= Z80 * sigma).mean())
        try:
            small = refit(problem, base, few).error
            last = (100 * small.mean, 100 * small.median)
        except PlannerError:
            last = (float("nan"), float("nan"))
        error = np.abs(ratio - 1)
        yield Line(
            (problem.operator, problem.device, problem.stack, problem.variant),
            (
                100 * float(error.mean()),
                100 * float(np.median(error)),
                100 * float((ratio - 1).mean()),
                100 * inside,
                *last,
            ),
        )


def _sets(device: DeviceProfile) -> dict[Key, FittedSet]:
    return dict(device.fitted)


def signs(found: Iterable[FitProblem], margin: float = 0.10) -> Iterator[Line]:
    """How often the faster of a narrow format and BF16 is told rightly, on shapes kept back where
    they differ by more than ``margin``."""
    by_key = {(p.device, p.stack, p.variant): p for p in found if p.operator == "gemm"}
    for (device, stack, variant), narrow in sorted(by_key.items()):
        plain = by_key.get((device, stack, "bf16"))
        if variant == "bf16" or plain is None:
            continue
        wide, slim = _times(plain, device, stack), _times(narrow, device, stack)
        pairs = np.array([(*wide[s], *slim[s]) for s in sorted(wide.keys() & slim.keys())])
        if not len(pairs):
            continue  # a sample whose third of the shapes is kept elsewhere
        measured, predicted = (np.log(pairs[:, i + 2] / pairs[:, i]) for i in (0, 1))
        clear = np.abs(np.expm1(measured)) > margin
        right = (np.sign(measured) == np.sign(predicted))[clear].mean()
        slower = (measured > 0)[clear].mean()
        yield Line(
            (device, stack, variant, str(int(clear.sum()))),
            (100 * float(right), 100 * float(slower)),
        )


def _times(problem: FitProblem, device: str, stack: str) -> dict[tuple[float, ...], Any]:
    """(measured, predicted) seconds of the rows kept back, by shape."""
    rows, fit = problem.test, resolve_device(device).fitted
    predicted = problem.predict(fit["gemm", stack, problem.variant].parameters, rows)
    return {
        tuple(np.rint(np.exp(f))): (t, p)
        for f, t, p in zip(problem.features[rows], problem.measured[rows], predicted, strict=True)
    }


def speed() -> str:
    """Operator evaluations a second of one core."""
    model = gemm_model(resolve_device("h100-sxm"), "bf16", ["trtllm"])
    assert model is not None
    m = np.linspace(1, 8192, 2000)
    n = k = np.full(2000, 4096.0)
    best = float("inf")
    for _ in range(20):
        start = time.process_time()
        model.parts(m, n, k)
        best = min(best, time.process_time() - start)
    return f"GEMM evaluations a second and core: {2000 / best:,.0f} (target 100,000)"


def show(title: str, heads: Sequence[str], lines: Sequence[Line], *, markdown: bool) -> None:
    """Print a table."""
    rows = [tuple(heads), *((*ln.words, *(f"{x:.1f}" for x in ln.figures)) for ln in lines)]
    print(f"\n{'## ' if markdown else ''}{title}\n")
    if markdown:
        rows.insert(1, ("---",) * len(heads))
        print("\n".join("| " + " | ".join(row) + " |" for row in rows))
        return
    widths = [max(len(r[i]) for r in rows) for i in range(len(heads))]
    print(
        "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        )
    )


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--few", type=int, default=24)
    parser.add_argument("--only", default="", help="operators, comma-separated")
    parser.add_argument("--markdown", action="store_true")
    given = parser.parse_args()
    only = [name for name in given.only.split(",") if name]
    style = given.markdown
    show(
        "Rows kept back from the fits",
        (
            "operator",
            "device",
            "stack",
            "variant",
            "rows",
            "mean %",
            "median %",
            "bias %",
            "in 80 %",
        ),
        [ln for ln in held_out() if not only or ln.words[0] in only],
        markdown=style,
    )
    found = list(problems(given.data, only))
    show(
        "H100's parameters by spec sheet alone, and with few rows of the device",
        (
            "operator",
            "device",
            "stack",
            "variant",
            "mean %",
            "median %",
            "bias %",
            "in 80 %",
            f"mean %, {given.few} rows",
            "median %",
        ),
        list(carried(found, given.few)),
        markdown=style,
    )
    show(
        "Which of a narrow format and BF16 is faster, where they differ by more than 10 %",
        ("device", "stack", "variant", "shapes", "right %", "narrow slower %"),
        list(signs(found)),
        markdown=style,
    )
    print("\n" + speed())


if __name__ == "__main__":
    main()
