"""What the measured losses of one or several verifications teach, and the second prediction.

The same weights in the same schemes are one observation, however often they are measured: a file
that a profile was learned from, or that an earlier verification had, is not counted again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.base.errors import DataError
from planner.base.records import record
from planner.base.strict_json import parse_object
from planner.lab.scores.records import LARGEST, real_number
from planner.lab.verifying.learned import LossBasis, Schemes, shares_of
from planner.lab.verifying.posterior import MeasuredLoss, Posterior, Shares, posterior
from planner.lab.verifying.records import ComparedRow, Reading
from planner.messages.message import message
from planner.quality.profile import MEASURED

LOSSES = "losses.json"
MAX_BYTES = 64 << 20
NOTHING_TOLD: Mapping[str, str] = MappingProxyType({})


@record
class LossCheck:
    """One file's measured loss: its cells as the prior has them, KL with its standard error, the
    share of flipped tokens (0 where it was not measured), and what tells the file from others."""

    name: str
    shares: Shares
    kl: Reading
    flips: float
    digest: str


@record
class Learned:
    """The posterior, the files that it rests on, and those that were ``known`` before (in the
    profile, or twice among the files): ``posterior`` is None where all were."""

    posterior: Posterior | None
    checks: tuple[LossCheck, ...]
    known: tuple[LossCheck, ...]

    def rows(self, rows: Sequence[ComparedRow]) -> tuple[ComparedRow, ...]:
        """The rows of losses again, as predicted now."""
        if self.posterior is None:
            return ()
        out = []
        by_name = {check.name: check for check in (*self.known, *self.checks)}
        for row in rows:
            if row.quantity == "kl" and row.subject in by_name:
                shares = by_name[row.subject].shares
                loss, band = self.posterior.loss(shares), self.posterior.band(shares)
                out.append(
                    replace(row, predicted=loss, low=loss / band, high=loss * band, basis=MEASURED)
                )
        return tuple(out)

    def notes(self) -> tuple[str, ...]:
        """Which files were not counted, and what that means where none was."""
        if not self.known:
            return ()
        text = message("verbs.not_counted_again", names=", ".join(c.name for c in self.known))
        if self.posterior is None:
            text = message("verbs.nothing_learned", text=text)
        return (text,)


def learn(
    basis: LossBasis,
    schemes: Mapping[str, Schemes],
    values: Mapping[str, Mapping[str, Reading]],
    earlier: Sequence[LossCheck] = (),
    *,
    made_of: Mapping[str, str] = NOTHING_TOLD,
) -> Learned | None:
    """The posterior of the measured losses of this verification, by subject, and of ``earlier``
    ones; None where there is none. ``made_of`` says what each file is made of: the digest of its
    checkpoint, and of its importance matrix."""
    measured = []
    for name, tensors in schemes.items():
        kl = values.get(name, {}).get("kl")
        shares, unknown = shares_of(basis, tensors)
        if kl is None or unknown or not shares:
            continue
        flips = values[name].get("flips")
        measured.append(
            LossCheck(
                name,
                shares,
                kl,
                0.0 if flips is None else flips.value,
                file_digest(made_of.get(name, ""), tensors),
            )
        )
    if not measured and not earlier:
        return None
    seen = set(basis.counted)
    checks: list[LossCheck] = []
    known: list[LossCheck] = []
    for check in (*measured, *earlier):
        (known if check.digest in seen else checks).append(check)
        seen.add(check.digest)
    return Learned(
        posterior(basis.prior, [MeasuredLoss(c.shares, c.kl.value, c.kl.spread) for c in checks])
        if checks
        else None,
        tuple(checks),
        tuple(known),
    )


def file_digest(made_of: str, schemes: Schemes) -> str:
    """What tells a file from others: what it is made of, and in which schemes."""
    text = json.dumps([made_of, sorted(schemes.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def losses_text(
    model: str,
    schemes: Mapping[str, Schemes],
    values: Mapping[str, Mapping[str, Reading]],
    *,
    made_of: Mapping[str, str] = NOTHING_TOLD,
) -> str:
    """``losses.json``: schemes by tensor, measured losses and what files are made of, for later
    verifications of the model."""
    data: dict[str, Any] = {"schema_version": "1", "model": model, "files": {}}
    for name, tensors in schemes.items():
        readings = values.get(name, {})
        if "kl" in readings:
            data["files"][name] = {
                "kl": readings["kl"].value,
                "error": readings["kl"].spread,
                "flips": readings["flips"].value if "flips" in readings else 0.0,
                "made_of": made_of.get(name, ""),
                "schemes": dict(tensors),
            }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def read_losses(folder: Path, model: str, basis: LossBasis) -> tuple[LossCheck, ...]:
    """The losses that an earlier verification of ``model`` left in ``folder``.

    Raises:
        DataError: there are none, they are of another model, or the file is damaged.
    """
    path = folder / LOSSES if folder.is_dir() else folder
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise DataError(
            f"{path}: no losses of an earlier verification",
            hint="--learn-from names a folder that `plan verify -o` wrote",
        )
    data = parse_object(path.read_bytes(), str(path))
    if data.get("model") != model:
        raise DataError(
            f"{path}: losses of {str(data.get('model'))[:80]}, not of {model}",
            hint="--learn-from takes verifications of the same model",
        )
    out = []
    try:
        for name, entry in dict(data["files"]).items():  # type: ignore[call-overload]
            schemes = {str(k): str(v) for k, v in entry["schemes"].items()}
            shares, unknown = shares_of(basis, schemes)
            where = f"{path}: {name[:80]}"
            value, spread = (
                real_number(entry[key], f"{where}: {key}", 0, LARGEST) for key in ("kl", "error")
            )
            kl, flips = Reading(value, spread), real_number(entry["flips"], f"{where}: flips", 0, 1)
            if shares and not unknown:
                out.append(
                    LossCheck(
                        f"{name} ({path.parent.name})",
                        shares,
                        kl,
                        flips,
                        file_digest(str(entry.get("made_of", "")), schemes),
                    )
                )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error!r})", hint="verify again") from None
    return tuple(out)
