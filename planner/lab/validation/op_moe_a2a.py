"""Rows of expert dispatch and combine (``op_moe_a2a``)."""

from __future__ import annotations

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.dispatch_rows import Dispatch, dispatches
from planner.lab.validation.op_rows import Z80, Rows, in_order, missing, predicted, regimes
from planner.lab.validation.records import Outcome
from planner.throughput.calibration import Calibration, find
from planner.throughput.forms.dispatch import NETWORK, OPERATOR


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table like op_moe_a2a.csv. Rows of a version that a set does not come
    from are ``held-out``."""
    groups, unknown, bad = dispatches(rows)
    return in_order(table, groups, _group, bad, ((batch, batch.words[2]) for batch in unknown))


def _group(table: str, group: Dispatch) -> list[Outcome]:
    device, batch = group.batch.profile, group.batch
    why = "unknown device" if device is None else "" if batch.stack else "unknown engine"
    found = _calibration(device, group) if device is not None and not why else None
    if found is None or device is None:
        return missing(
            table, batch, why or "not measured", format=group.format, measured=group.seconds
        )
    seconds = group.predict(found.fit.parameters, found.fit.variant, device)
    another = batch.software.partition(" ")[2] != found.fit.software
    held = None if found.basis != "fitted" else group.held | another
    return predicted(
        table,
        batch,
        format=group.format,
        measured=group.seconds,
        seconds=seconds,
        spread=Z80 * found.sigma,
        regimes=regimes(len(seconds), found.basis, held, group.excluded),
        basis=f"{found.basis}: {batch.stack} {found.fit.variant} on {found.origin}",
    )


def _calibration(device: DeviceProfile, group: Dispatch) -> Calibration | None:
    """The set of the variant; a group in one node may take one measured across nodes."""
    plain = group.variant.removesuffix(NETWORK)
    return find(
        device,
        OPERATOR,
        [group.batch.stack],
        [group.variant, plain + NETWORK] if group.variant == plain else [group.variant],
    )
