"""Fit attention cores and what surrounds them to tables of whole modules like op_attn_module.csv.

A module is its products, by the device's measured GEMMs, plus a core and a rest. Where the core has
a table of its own (MLA of TensorRT-LLM) the rest alone is fitted; else both together. The device's
GEMM sets, and its MLA sets, must be in the profile already. A set's errors are those of what is
left of the held-out rows after the products, so that they stand for the core alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile, FitError, FittedSet
from planner.lab.calibration.fit import assess, fit
from planner.lab.calibration.problem import LEAST_ROWS
from planner.lab.validation.attention_rows import blackwell
from planner.lab.validation.op_attn_module import ModuleRows, module_rows
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows
from planner.throughput.forms import attention_rest, dsa, mla
from planner.throughput.forms.base import Parameter, Parameters
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST_SHARE = 0.1
"""Of a module's measured time, what its core is taken to need at least."""
MOST_ROWS = 400
"""Rows of one fit while structures are compared, every so many of all."""
NOTE = "errors of what the products of a held-out module leave"
REST = "rest:"


@dataclass(frozen=True)
class ModuleKernel:
    """All groups of one operator and variant on one device and stack: those that have measured
    products, with their ``products`` [n] each."""

    groups: tuple[ModuleRows, ...]
    products: tuple[Array, ...]
    profile: DeviceProfile
    chip: Chip

    @property
    def key(self) -> tuple[str, str, str]:
        first = self.groups[0]
        return first.operator, first.batch.stack, first.variant

    @property
    def measured(self) -> Array:
        return np.concatenate([g.batch.seconds for g in self.groups])

    @property
    def held_out(self) -> Mask:
        return np.concatenate([g.held_out & ~g.hosted for g in self.groups])

    @property
    def seen(self) -> Mask:
        """Rows that a fit may see [n]."""
        return np.concatenate([~g.held_out & ~g.hosted for g in self.groups])

    def predict(self, parameters: Parameters, core: Parameters | None) -> Array:
        """Seconds of all rows [n]; ``core`` where it is known already."""
        rest = {n.removeprefix(REST): v for n, v in parameters.items() if n.startswith(REST)}
        mine = (
            core
            if core is not None
            else {n: v for n, v in parameters.items() if not n.startswith(REST)}
        )
        return np.concatenate(
            [
                g.module_seconds(done, mine, rest or None, self.chip)
                for g, done in zip(self.groups, self.products, strict=True)
            ]
        )

    def every(self, step: int) -> ModuleKernel:
        """Every ``step``-th of the rows that a fit may see."""
        groups, products, seen = [], [], 0
        for group, done in zip(self.groups, self.products, strict=True):
            free = ~group.held_out & ~group.hosted
            mask = free & ((np.cumsum(free) - 1 + seen) % step == 0)
            seen += int(free.sum())
            if mask.any():
                groups.append(
                    replace(
                        group,
                        batch=group.batch.take(mask),
                        held_out=group.held_out[mask],
                        hosted=group.hosted[mask],
                    )
                )
                products.append(done[mask])
        return replace(self, groups=tuple(groups), products=tuple(products))


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack and kernel of ``rows``."""
    return [
        (kernel.profile.id, fitted)
        for kernel in kernels(rows, profiles=profiles)
        for fitted in fit_kernel(kernel)
    ]


def kernels(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[ModuleKernel]:
    """The kernels of a table with enough rows."""
    by_kernel: dict[tuple[str, str, str, str], list[ModuleRows]] = {}
    for group in module_rows(rows, profiles)[0]:
        if group.batch.profile is not None and group.batch.stack:
            key = (group.batch.profile.id, group.operator, group.batch.stack, group.variant)
            by_kernel.setdefault(key, []).append(group)
    return [kernel for groups in by_kernel.values() if (kernel := _kernel(groups)) is not None]


def _kernel(groups: Sequence[ModuleRows]) -> ModuleKernel | None:
    profile = groups[0].batch.profile
    figures = chip(profile) if profile is not None else None
    if profile is None or figures is None or "bf16" not in figures.peaks:
        return None
    timed = [(g, done[0]) for g in groups if (done := g.product_seconds()) is not None]
    if not timed:
        return None
    kernel = ModuleKernel(tuple(g for g, _ in timed), tuple(t for _, t in timed), profile, figures)
    return kernel if int(kernel.seen.sum()) >= LEAST_ROWS and kernel.held_out.any() else None


def fit_kernel(kernel: ModuleKernel) -> list[FittedSet]:
    """The sets of one kernel: its core unless that has a table of its own, and the rest."""
    operator, stack, variant = kernel.key
    own = kernel.profile.fitted.get(kernel.key)
    core = None
    if own is not None and NOTE not in own.note:
        core = own.parameters
    parameters = _parameters(operator, core is None)
    options = _options(kernel) if core is None else [{}]
    if len(options) > 1:
        few = kernel.every(max(1, len(kernel.measured) // MOST_ROWS))
        options = [min(options, key=lambda o: _miss(few, parameters, o, core))]
    fitted = _fitted(kernel, parameters, options[0], core)
    sets = []
    software = max(g.batch.software.partition(" ")[2] for g in kernel.groups)
    error = _error(kernel, fitted, core)
    for name, prefix in ((operator, ""), (attention_rest.OPERATOR, REST)):
        mine = {
            n.removeprefix(prefix): v
            for n, v in fitted.items()
            if n.startswith(REST) == bool(prefix)
        }
        if mine:
            sets.append(
                FittedSet(
                    operator=name,
                    stack=stack,
                    software=software,
                    variant=f"{operator}:{variant}" if prefix else variant,
                    parameters=mine,
                    table={},
                    error=error,
                    kind="fitted",
                    source="",
                    date="",
                    note=NOTE,
                )
            )
    return sets


def _parameters(operator: str, core: bool) -> tuple[Parameter, ...]:
    """What is fitted; the floor of a core that is fitted holds that of the rest."""
    if operator.startswith("dsa"):
        return (*dsa.parameters_of(operator), *dsa.STRUCTURE)
    rest = tuple(replace(p, name=REST + p.name) for p in attention_rest.parameters_of(operator))
    if not core:
        return rest
    decode = operator == mla.DECODE
    return (*(mla.DECODE_PARAMETERS if decode else mla.PREFILL_PARAMETERS), *mla.STRUCTURE, *rest)


def _options(kernel: ModuleKernel) -> list[Mapping[str, float]]:
    """What a kernel may be: heads that a sparse one pads to; its unit; factors it lacks."""
    operator, _, variant = kernel.key
    latest = blackwell(kernel.groups[0].batch)
    joint = {REST + "floor_seconds": 0.0}
    if operator.startswith("dsa"):
        wholes = (0.0,) if operator == dsa.DECODE else (0.0, 1.0)
        return [
            {"tile_heads": tile, "whole": share} for tile in (16.0, 64.0, 128.0) for share in wholes
        ]
    if operator == mla.PREFILL:
        return [{"fp8": float(variant.startswith("fp8/")), **joint}]
    narrow = variant.partition(":")[0].endswith("/fp8")
    return [{"fp8": float(narrow and latest), **mla.DECODE_STRUCTURES[int(latest)], **joint}]


def _fitted(
    kernel: ModuleKernel,
    parameters: Sequence[Parameter],
    fixed: Parameters,
    core: Parameters | None,
) -> dict[str, float]:
    seen = kernel.seen
    return fit(
        lambda p: kernel.predict(p, core)[seen], kernel.measured[seen], parameters, fixed=fixed
    )


def _miss(
    kernel: ModuleKernel,
    parameters: Sequence[Parameter],
    fixed: Parameters,
    core: Parameters | None,
) -> float:
    """Mean |log ratio| of a fit to ``kernel``'s rows, which are all seen."""
    fitted = _fitted(kernel, parameters, fixed, core)
    return float(np.abs(np.log(kernel.predict(fitted, core) / kernel.measured)).mean())


def _error(kernel: ModuleKernel, parameters: Parameters, core: Parameters | None) -> FitError:
    """Errors of the held-out rows' time beside their products (see LEAST_SHARE)."""
    held_out, measured = kernel.held_out, kernel.measured
    done = np.concatenate(kernel.products)
    least = LEAST_SHARE * measured
    mine = np.maximum(kernel.predict(parameters, core) - done, least)
    return assess(
        mine[held_out], np.maximum(measured - done, least)[held_out], rows=int(kernel.seen.sum())
    )
