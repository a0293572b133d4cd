"""What the measured losses of one or several verifications teach, and the second prediction."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from planner.errors import DataError
from planner.models.strict_json import parse_object
from planner.quality.sensitivity.posterior import MeasuredLoss, Posterior, Shares, posterior
from planner.records import record
from planner.verifying.learned import MEASURED, LossBasis, Schemes, shares_of
from planner.verifying.records import ComparedRow, Reading

LOSSES = "losses.json"
MAX_BYTES = 64 << 20


@record
class LossCheck:
    """One file's measured loss: its cells as the prior has them, KL with its standard error, and
    the share of flipped tokens (0 where it was not measured)."""

    name: str
    shares: Shares
    kl: Reading
    flips: float


@record
class Learned:
    """The posterior and the files that it rests on."""

    found: Posterior
    checks: tuple[LossCheck, ...]

    def rows(self, rows: Sequence[ComparedRow]) -> tuple[ComparedRow, ...]:
        """The rows of losses again, as predicted now."""
        out = []
        by_name = {check.name: check for check in self.checks}
        for row in rows:
            if row.quantity == "kl" and row.subject in by_name:
                shares = by_name[row.subject].shares
                loss, band = self.found.loss(shares), self.found.band(shares)
                out.append(replace(row, predicted=loss, low=loss / band, high=loss * band,
                                   basis=MEASURED))
        return tuple(out)


def learn(basis: LossBasis, schemes: Mapping[str, Schemes],
          values: Mapping[str, Mapping[str, Reading]],
          earlier: Sequence[LossCheck] = ()) -> Learned | None:
    """The posterior of the measured losses of this verification, by subject, and of ``earlier``
    ones; None where there is none."""
    checks = list(earlier)
    for name, tensors in schemes.items():
        kl = values.get(name, {}).get("kl")
        shares, unknown = shares_of(basis, tensors)
        if kl is None or unknown or not shares:
            continue
        flips = values[name].get("flips")
        checks.append(LossCheck(name, shares, kl, 0.0 if flips is None else flips.value))
    if not checks:
        return None
    return Learned(posterior(basis.prior, [
        MeasuredLoss(c.shares, c.kl.value, c.kl.spread) for c in checks]), tuple(checks))


def losses_text(model: str, schemes: Mapping[str, Schemes],
                values: Mapping[str, Mapping[str, Reading]]) -> str:
    """``losses.json``: schemes by tensor and measured losses, for later verifications of the model.
    """
    data: dict[str, Any] = {"schema_version": "1", "model": model, "files": {}}
    for name, tensors in schemes.items():
        found = values.get(name, {})
        if "kl" in found:
            data["files"][name] = {
                "kl": found["kl"].value, "error": found["kl"].spread,
                "flips": found["flips"].value if "flips" in found else 0.0,
                "schemes": dict(tensors)}
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def read_losses(folder: Path, model: str, basis: LossBasis) -> tuple[LossCheck, ...]:
    """The losses that an earlier verification of ``model`` left in ``folder``.

    Raises:
        DataError: there are none, they are of another model, or the file is damaged.
    """
    path = folder / LOSSES if folder.is_dir() else folder
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: no losses of an earlier verification",
                        hint="--learn-from names a folder that `plan verify -o` wrote")
    data = parse_object(path.read_bytes(), str(path))
    if data.get("model") != model:
        raise DataError(f"{path}: losses of {str(data.get('model'))[:80]}, not of {model}",
                        hint="--learn-from takes verifications of the same model")
    out = []
    try:
        for name, one in dict(data["files"]).items():  # type: ignore[call-overload]
            shares, unknown = shares_of(basis, {str(k): str(v) for k, v in one["schemes"].items()})
            kl = Reading(float(one["kl"]), float(one["error"]))
            math.sqrt(kl.value), math.sqrt(kl.spread)  # neither is below 0
            if shares and not unknown:
                out.append(LossCheck(f"{name} ({path.parent.name})", shares, kl,
                                     float(one["flips"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error!r})", hint="verify again") from None
    return tuple(out)
