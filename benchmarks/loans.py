"""The error of kernels lent from stack to stack: every stack's tables by the others' fitted forms.

    python benchmarks/loans.py DIR > planner/throughput/data/loans.csv

DIR holds measured operator tables (docs/guide/measure.md); the forms are those of the packaged
profiles, on the same device. A row is an operator, a pair of stacks, a variant, a family of
architectures and, where the borrower's table names several, a kernel: ``bias`` is the mean of
ln(measured / lent), ``sigma`` the standard deviation about zero, and ``residual`` about the bias,
whose 80 % interval holds 80 % of the rows, devices weighing alike. ``*`` for both stacks holds the
largest of a variant: what a pair that no table compares carries; ``*`` for the family holds all
devices. Nothing is fitted.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.hardware.catalog import resolve_device
from planner.hardware.profile import DeviceProfile
from planner.lab.calibration.attention_module import NOTE
from planner.lab.validation.attention_rows import (
    KernelRows,
    branch,
    decode_kernels,
    mla_kernels,
    prefill_kernels,
)
from planner.lab.validation.op_gemm import (
    FORMATS,
    HOST_BOUND,
    excluded_any,
    gemm_batches,
    gemm_excluded,
)
from planner.lab.validation.op_rows import Z80, Batch
from planner.lab.validation.reader import read_directory
from planner.throughput.attention_kernels import kernel_model
from planner.throughput.calibration import STACKS, kernel_family
from planner.throughput.gemm import gemm_model

Array = NDArray[np.float64]
ANY = "*"
HOST_FACTOR = 2.0
"""Rows count where the lent time is above so many of the least time of a table that waits for the
host: there the kernel is what was timed."""
LEAST_ROWS = 20
COLUMNS = (
    "operator",
    "borrower",
    "lender",
    "variant",
    "kernel",
    "family",
    "devices",
    "rows",
    "bias",
    "sigma",
    "residual",
    "source",
)
SOURCE = "benchmarks/loans.py over the operator tables of aiconfigurator-core 0.12.0"
TRITON = "vllm_triton_attn"
Rows = list[Mapping[str, str]]


class Group(NamedTuple):
    """What is compared: the words of a row of the result, and the device."""

    operator: str
    borrower: str
    lender: str
    variant: str
    kernel: str
    device: str


def main() -> None:
    """Prints the table."""
    from loans_of_modules import delta_ratios, sparse_ratios  # beside this script

    tables: dict[str, Rows] = defaultdict(list)
    for table in read_directory(Path(sys.argv[1])):
        for kind in (
            "op_gemm",
            "op_attn_context",
            "op_attn_generation",
            "op_mla",
            "op_attn_module",
            "op_linear_attention",
        ):
            if table.name in (kind, kind + "_2"):
                tables[kind] += table.rows or ()
    found: dict[Group, Array] = {}
    for group, ratios in (*gemm_ratios(tables["op_gemm"]), *attention_ratios(tables)):
        found[group] = ratios
    for pair, ratios in (
        *delta_ratios(tables["op_linear_attention"]),
        *sparse_ratios(tables["op_attn_module"]),
    ):
        found[Group(*pair)] = ratios
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    out.writerows(summary(found))


def gemm_ratios(rows: Rows) -> Iterator[tuple[Group, Array]]:
    """ln(measured / lent) of every GEMM table under each other stack's form on its device."""
    for kernel in sorted({row["kernel"] for row in rows}):
        for batch in gemm_batches([row for row in rows if row["kernel"] == kernel])[0]:
            scheme = FORMATS.get(batch.words[0], "")
            if batch.profile is None or not scheme:
                continue
            rules = gemm_excluded(batch, scheme)
            waits = rules.pop(HOST_BOUND, None)
            for lender in lenders(batch):
                model = gemm_model(own_sets(batch.profile), scheme, [lender])
                if model is None or model.stack != lender or model.basis != "fitted":
                    continue
                m, n, k = (batch.columns[name] for name in ("m", "n", "k"))
                seconds = model.parts(m, n, k, cold=False).total()
                kept = ~excluded_any(rules, len(m))
                kept &= ~excluded_any(gemm_excluded(replace(batch, stack=lender), scheme), len(m))
                if waits is not None:
                    kept &= seconds > HOST_FACTOR * batch.seconds.min()
                yield (
                    Group("gemm", batch.stack, lender, scheme, kernel, batch.device),
                    np.log(batch.seconds[kept] / seconds[kept]),
                )


def attention_ratios(tables: Mapping[str, Rows]) -> Iterator[tuple[Group, Array]]:
    """The same of attention; vLLM's Triton kernel is held against its other kernels' forms too."""
    for kind, read in (
        ("op_attn_context", prefill_kernels),
        ("op_attn_generation", decode_kernels),
        ("op_mla", mla_kernels),
    ):
        rows = tables[kind]
        names = sorted({row.get("kernel", "") for row in rows})
        for name in names:
            for one in read([row for row in rows if row.get("kernel", "") == name])[0]:
                if one.batch.profile is None:
                    continue
                stacks = ("vllm",) if name == TRITON else lenders(one.batch)
                for lender in stacks:
                    ratios = _attended(one, one.batch.profile, lender, every=name == TRITON)
                    if ratios is not None:
                        yield (
                            Group(
                                one.operator,
                                one.batch.stack,
                                lender,
                                one.formats,
                                name if name == TRITON else "",
                                one.batch.device,
                            ),
                            ratios,
                        )


def _attended(
    rows: KernelRows, profile: DeviceProfile, lender: str, *, every: bool
) -> Array | None:
    """``every``: rows that no fit counts, as another kernel's, are what is asked about."""
    model = kernel_model(own_sets(profile), rows.operator, rows.formats, [lender])
    if (
        model is None
        or model.certainty.basis != "fitted"
        or profile.fitted[rows.operator, lender, rows.formats].note == NOTE
    ):
        return None  # no set, or one of a whole module, which holds what runs beside the core
    seconds = rows.predict(model.parameters, model.chip)
    theirs = replace(rows, batch=replace(rows.batch, stack=lender))
    for name in ("window", "mha"):
        if name in model.branches and "window" in rows.batch.columns:
            part = model.branches[name].parameters
            seconds = np.where(branch(theirs, name), rows.predict(part, model.chip), seconds)
    kept = rows.included if not every else np.ones(len(seconds), dtype=np.bool_)
    return np.asarray(np.log(rows.seconds / seconds)[kept])


def own_sets(profile: DeviceProfile) -> DeviceProfile:
    """``profile`` without what it inherits."""
    return replace(profile, inherited={})


def lenders(batch: Batch) -> list[str]:
    """The other stacks."""
    return [s for s in STACKS if s != batch.stack and batch.stack]


def summary(found: Mapping[Group, Array]) -> Iterator[list[object]]:
    """Rows of the result: by kernel, by pair, the largest of a variant, the largest of an operator;
    by family of devices, and over all."""
    kernels: dict[tuple[str, ...], dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    several = {
        group[:4]
        for group in found
        for other in found
        if group[:4] == other[:4] and group.kernel != other.kernel
    }
    for group, ratios in found.items():
        if len(ratios) < LEAST_ROWS:
            continue
        pair = group[:4]
        for kind in (kernel_family(resolve_device(group.device).architecture), ANY):
            if pair in several or group.kernel == TRITON:
                kernels[(*pair, group.kernel, kind)][group.device].append(ratios)
            if group.kernel != TRITON:
                kernels[(*pair, "", kind)][group.device].append(ratios)
    widest: dict[tuple[str, ...], list[object]] = {}
    for key in sorted(kernels):
        by_device = [np.concatenate(parts) for parts in kernels[key].values()]
        line = _line(key, list(kernels[key]), by_device)
        yield line
        if key[4] != TRITON:
            for variant in (key[3], ANY):
                whole = (key[0], ANY, ANY, variant, "", key[5])
                if whole not in widest or float(str(line[9])) > float(str(widest[whole][9])):
                    widest[whole] = [*whole, *line[6:]]
    for key in sorted(widest):
        yield widest[key]


def _line(key: tuple[str, ...], devices: list[str], ratios: list[Array]) -> list[object]:
    bias = float(np.mean([part.mean() for part in ratios]))
    return [
        *key,
        " ".join(sorted(devices)),
        sum(len(p) for p in ratios),
        f"{bias:.3f}",
        f"{_width(ratios, 0.0):.3f}",
        f"{_width(ratios, bias):.3f}",
        SOURCE,
    ]


def _width(ratios: list[Array], centre: float) -> float:
    spread = [float(np.quantile(np.abs(part - centre), 0.8)) / Z80 for part in ratios]
    return float(np.sqrt(np.mean(np.square(spread))))


if __name__ == "__main__":
    main()
