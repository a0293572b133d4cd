"""Loans of sparse attention and of gated delta nets, for benchmarks/loans.py.

A sparse core is known by what measured products leave of a module: rows count where that is at
least half of it, and where no host is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

from planner.lab.calibration.attention_module import ModuleKernel, kernels
from planner.lab.validation.op_linear_attention import delta_kernels
from planner.throughput.calibration import STACKS
from planner.throughput.forms import delta, dsa
from planner.throughput.silicon import chip

Array = NDArray[np.float64]
Pair = tuple[str, str, str, str, str, str]
LEAST_SHARE = 0.5
HOST_SHARE = 0.5
"""Of a prompt's measured time, the most that launches may have taken."""


def delta_ratios(rows: list[Mapping[str, str]]) -> Iterator[tuple[Pair, Array]]:
    """ln(measured / lent) of every kernel of a gated delta net under each other stack's form."""
    for kernel, lender in product(delta_kernels(rows)[0], STACKS):
        batch = kernel.batch
        figures = chip(batch.profile) if batch.profile is not None else None
        if batch.profile is None or figures is None or lender == batch.stack:
            continue
        fit = batch.profile.fitted.get((delta.OPERATOR, lender, kernel.variant))
        if fit is not None:
            seconds = kernel.predict(fit.parameters, figures)
            yield (
                (delta.OPERATOR, batch.stack, lender, kernel.variant, "", batch.device),
                np.log(batch.seconds / seconds),
            )


def sparse_ratios(rows: list[Mapping[str, str]]) -> Iterator[tuple[Pair, Array]]:
    """The same of sparse cores with their indexers."""
    for kernel, lender in product(kernels(rows), STACKS):
        operator, stack, variant = kernel.key
        fit = kernel.profile.fitted.get((operator, lender, variant))
        if operator not in (dsa.DECODE, dsa.PREFILL) or lender == stack or fit is None:
            continue
        left = kernel.measured - np.concatenate(kernel.products)
        kept = (left > LEAST_SHARE * kernel.measured) & (kernel.held_out | kernel.seen)
        if operator == dsa.PREFILL:
            kept &= _host(kernel) < HOST_SHARE * kernel.measured
        lent = (
            {
                **fit.parameters,
                "host_seconds": 0.0,
                "index_host_seconds": 0.0,
                "narrow_host_seconds": 0.0,
            }
            if operator == dsa.PREFILL
            else fit.parameters
        )
        priced = kernel.predict(lent, None) - np.concatenate(kernel.products)
        yield (
            (operator, stack, lender, variant, "", kernel.profile.id),
            np.log(left[kept] / priced[kept]),
        )


def _host(kernel: ModuleKernel) -> Array:
    """What launches take of each row by the stack's own set [s]."""
    own = kernel.profile.fitted[kernel.key].parameters
    return np.concatenate(
        [
            np.full(
                len(g.held_out), dsa.host_seconds(own, indexer=g.products.indexer, narrow=g.narrow)
            )
            for g in kernel.groups
        ]
    )
