"""What whole steps and prompts of one model on one machine are off by, once operators are fitted.

    ln factor = mean over the files of ln(measured / predicted),   sigma from files left out in turn

One factor a phase, engine and model: it corrects this model on this machine and nothing else, and
is told as ``measured here``. Predictions are made anew with the profile as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from planner.hardware.profile import DeviceProfile, FitError, FittedSet
from planner.jobs.core_share import LEAST_SHARE
from planner.lab.validation.cells import positive
from planner.lab.validation.e2e_verify import DECODE, PREFILL, model_of, predicted_seconds
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows
from planner.lab.validation.records import NotCoveredError
from planner.models.spec import ModelSpec
from planner.planning.space.residuals import PROMPT, STEP, model_key

OPERATORS = {DECODE: STEP, PREFILL: PROMPT}
LEAST_SIGMA = 0.04
"""Log-space: a bench repeated another day is off by as much on an idle machine."""
ALONE_SIGMA = 0.12
"""Of one file: nothing tells how far others are off."""
Z80 = 1.2815515655446004
Key = tuple[str, str, str]


def fit_tables(
    rows: Rows, *, profiles: Profiles = NO_PROFILES, model: ModelSpec | None = None
) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every engine, model and phase of ``rows``; ``model`` is that of rows
    whose model is not bundled."""
    groups: dict[Key, list[tuple[float, Mapping[str, str]]]] = {}
    specs: dict[str, ModelSpec] = {}
    for row in rows:
        operator = OPERATORS.get(row["quantity"])
        device = profiles.get(row["device"])
        if operator is None or device is None:
            continue
        try:
            spec, ratio = _ratio(row, device, model)
        except NotCoveredError:
            continue
        specs[row["model"]] = spec
        groups.setdefault((operator, row["engine"], row["model"]), []).append((ratio, row))
    sets = []
    for (operator, engine, name), pairs in sorted(groups.items()):
        device = profiles[pairs[0][1]["device"]]
        sets.append((device.id, _set(operator, engine, specs[name], pairs)))
    return sets


def left_out(
    rows: Rows, *, profiles: Profiles = NO_PROFILES, model: ModelSpec | None = None
) -> list[tuple[str, str]]:
    """(what, why) of whole steps and prompts that count for no factor."""
    reasons: dict[str, str] = {}
    for row in rows:
        device = profiles.get(row["device"])
        if OPERATORS.get(row["quantity"]) is None or device is None:
            continue
        try:
            _ratio(row, device, model)
        except NotCoveredError as error:
            reasons[f"{row['subject']} of {row['model']} on {row['engine']}"] = error.reason
    return list(reasons.items())


def _ratio(
    row: Mapping[str, str], device: DeviceProfile, model: ModelSpec | None
) -> tuple[ModelSpec, float]:
    """(the row's model, ln of measured over predicted).

    Raises:
        NotCoveredError: it cannot be predicted.
    """
    busy = _share(row.get("busy", ""))
    if busy is not None and 1 - busy < LEAST_SHARE:
        raise NotCoveredError(
            f"the engine got {1 - busy:.0%} of its threads' time: measure again when the machine "
            "is idle"
        )
    spec = model if model is not None and model.id == row["model"] else model_of(row)
    predicted = predicted_seconds(row, without_residuals(device), spec)
    return spec, math.log(positive(row["measured"]) / predicted)


def without_residuals(device: DeviceProfile) -> DeviceProfile:
    """``device`` as its operators alone predict it."""
    if not any(key[0] in (STEP, PROMPT) for key in device.fitted):
        return device
    return replace(
        device,
        fitted={key: fit for key, fit in device.fitted.items() if key[0] not in (STEP, PROMPT)},
    )


def _set(
    operator: str, engine: str, spec: ModelSpec, pairs: Sequence[tuple[float, Mapping[str, str]]]
) -> FittedSet:
    """The set of one phase."""
    logs = np.array([ratio for ratio, _ in pairs])
    factor = math.exp(float(logs.mean()))
    row = pairs[0][1]
    note = f"{spec.id}: {', '.join(dict.fromkeys(r['subject'] for _, r in pairs))}"
    return FittedSet(
        operator,
        engine,
        row["software"].partition(" ")[2] or row["software"],
        model_key(spec),
        {"factor": factor},
        {},
        _error(logs),
        "measured",
        "",
        "",
        note,
    )


def _share(text: str) -> float | None:
    """A number from 0 to 1; None for what is none."""
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _error(logs: np.ndarray[tuple[int], np.dtype[np.float64]]) -> FitError:
    """Of each file under the factor of the others."""
    n = len(logs)
    if n == 1:
        return FitError(1, 0, 0.0, 0.0, 0.0, ALONE_SIGMA, 0.0)
    off = logs - (logs.sum() - logs) / (n - 1)
    sigma = max(float(np.sqrt((off**2).mean())), LEAST_SIGMA)
    error = np.exp(-off) - 1
    return FitError(
        n,
        n,
        float(np.abs(error).mean()),
        float(np.median(np.abs(error))),
        float(error.mean()),
        sigma,
        float((np.abs(off) <= Z80 * sigma).mean()),
    )
