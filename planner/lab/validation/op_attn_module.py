"""Tables of whole attention modules against products, core and rest as one engine runs them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.attention_module_rows import WITHOUT_GRAPH, ModuleRows, module_rows
from planner.lab.validation.op_rows import Z80, Rows, in_order, missing, predicted, regimes
from planner.lab.validation.records import Outcome
from planner.throughput.attention_kernels import kernel_model
from planner.throughput.calibration import Calibration, find
from planner.throughput.forms.attention_rest import OPERATOR
from planner.throughput.forms.base import Parameters
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table with columns device, software, kernel, phase, module, model, the
    formats of attention, cache and products, heads, tp, batch, isl, step."""
    groups, bad, left = module_rows(rows)
    out = [
        outcome
        for batch, why in left
        for outcome in missing(
            table,
            batch,
            why,
            format=" ".join((*batch.words[2:0:-1], *batch.words[3:])),
            measured=batch.seconds,
        )
    ]
    return sorted([*in_order(table, groups, _group, bad), *out], key=lambda o: o.row)


def _group(table: str, group: ModuleRows) -> list[Outcome]:
    batch, name = group.batch, group.label
    measured = batch.seconds
    if batch.profile is None or not batch.stack:
        why = "unknown device" if batch.profile is None else "unknown engine"
        return missing(table, batch, why, format=name, measured=measured)
    products = group.product_seconds()
    sets = _sets(batch.profile, group)
    if products is None or sets is None:
        return missing(table, batch, "not measured", format=name, measured=measured)
    figures, core, rest, how = sets
    seconds = group.whole(products[0], core, rest, figures)
    share = np.clip(1.0 - products[0] / seconds, 0.0, 1.0)
    sigma = np.hypot(share * how.sigma, (1.0 - share) * products[1])
    held = group.held if how.basis == "fitted" else None
    left = {WITHOUT_GRAPH: group.hosted} if group.hosted.any() else {}
    return predicted(
        table,
        batch,
        format=name,
        measured=measured,
        seconds=seconds,
        regimes=regimes(len(measured), how.basis, held, left),
        spread=Z80 * sigma,
        basis=f"{how.basis}: products, and {how.fit.stack} {how.fit.software} {group.operator} "
        f"{group.variant} on {how.origin}",
    )


def _sets(
    device: DeviceProfile,
    group: ModuleRows,
) -> tuple[Chip, Parameters, Mapping[str, float] | None, Calibration] | None:
    """(device, parameters of the core, of the rest, the set that says how sure they are)."""
    stacks, figures = [group.batch.stack], chip(device)
    core = find(device, group.operator, stacks, [group.variant])
    if figures is None or core is None:
        return None
    if group.sparse:
        return figures, core.fit.parameters, None, core
    rest = find(device, OPERATOR, stacks, [f"{group.operator}:{group.variant}"])
    if rest is None:
        return None
    model = kernel_model(device, group.operator, group.variant, stacks)
    parameters = core.fit.parameters if model is None else model.parameters
    return figures, parameters, rest.fit.parameters, rest
