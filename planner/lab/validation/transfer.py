"""How far fitted parameters miss on another device: each is left without its own sets in turn.

A device's rows are predicted from one relative's sets as
:func:`planner.throughput.calibration.fitted_set` carries them over. Relatives are measured
devices of which one names the other in ``[transfer]``; devices with GDDR stand for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from planner.hardware.catalog import device_ids, memory_kind, resolve_device
from planner.hardware.loader import InheritedSets
from planner.hardware.profile import DeviceProfile
from planner.lab.validation import op_attention, op_gemm, op_moe, op_quantize
from planner.lab.validation.op_rows import Z80, profile_of
from planner.lab.validation.records import EXCLUDED, Outcome
from planner.throughput.calibration import architecture_relation

Array = NDArray[np.float64]
Row = Mapping[str, str]
Predict = Callable[..., list[Outcome]]
TABLES: Mapping[str, tuple[Mapping[str, str], Predict]] = MappingProxyType(
    {
        "op_gemm": ({"": "gemm"}, op_gemm.predict_rows),
        "op_quantize": ({"": "quantise"}, op_quantize.predict_rows),
        "op_attn_context": ({"": "attention-prefill"}, op_attention.predict_rows),
        "op_attn_generation": ({"": "attention-decode"}, op_attention.predict_rows),
        "op_mla": (
            {"context": "mla-prefill", "generation": "mla-decode"},
            op_attention.predict_rows,
        ),
        "op_moe": ({"": "moe"}, op_moe.predict_rows),
    }
)
"""Kind of table → (phase of a row, empty without phases, → operator), its predictions; a new
operator adds its own here."""
LEAST_ROWS = 100
LEAST_SIGMA = 0.03
LEAST_QUANTILE = 0.8


@dataclass(frozen=True)
class Carried:
    """Rows [n] of ``device`` predicted by the set ``operator``, ``variant`` of ``relative``.

    ``relation``: same, other or gddr. ``log_ratio`` is ln(predicted / measured); ``own_sigma`` the
    set's error on its own device.
    """

    operator: str
    variant: str
    relation: str
    device: str
    relative: str
    log_ratio: Array
    own_sigma: float


@dataclass(frozen=True)
class Error:
    """Errors of ``rows`` carried rows over ``pairs`` of devices: means in percent, ``sigma`` what
    the transfer adds (log-space) to the sets' own."""

    rows: int
    pairs: int
    mean: float
    median: float
    bias: float
    sigma: float


def pairs() -> list[tuple[DeviceProfile, DeviceProfile]]:
    """(device, relative): both packaged, both with sets of their own kernels, one naming the other,
    or both with GDDR."""
    every = [resolve_device(name) for name in device_ids()]
    known = [d for d in every if any(key[0] == "gemm" for key in d.fitted)]
    return [
        (a, b)
        for a in known
        for b in known
        if a.id != b.id
        and memory_kind(a) == memory_kind(b)
        and (a.transfer_from == b.id or b.transfer_from == a.id or memory_kind(a) == "GDDR")
    ]


def without_own(device: DeviceProfile, relative: DeviceProfile) -> DeviceProfile:
    """``device`` as if it had no table, with ``relative`` as its relative."""
    places = dict.fromkeys(relative.fitted, (relative.id, relative.architecture, relative.fitted))
    return replace(
        device,
        fitted=MappingProxyType({}),
        inherited=InheritedSets(places),
        transfer_from=relative.id,
    )


def carried(
    kind: str, rows: Sequence[Row], device: DeviceProfile, relative: DeviceProfile
) -> list[Carried]:
    """The rows of ``device`` in a table of ``kind`` by the sets of ``relative``'s same stack."""
    operators, predict = TABLES[kind]
    mine = [
        row
        for row in rows
        if (p := profile_of(row.get("device", ""))) is not None and p.id == device.id
    ]
    bare = without_own(device, relative)
    how = architecture_relation(device, relative.architecture)
    groups = []
    for phase, operator in operators.items():
        some = [row for row in mine if row.get("phase", "") == phase or not phase]
        ratios_of: dict[tuple[str, str, str], list[float]] = {}
        for o in predict(kind, some, profiles={row["device"]: bare for row in some}):
            key = _set_of(o, operator, relative)
            if key is not None and o.predicted and o.measured and not o.regime.startswith(EXCLUDED):
                ratios_of.setdefault(key, []).append(float(np.log(o.predicted / o.measured)))
        groups += [
            Carried(
                operator,
                key[2],
                how,
                device.id,
                relative.id,
                np.array(ratios),
                relative.fitted[key].error.sigma,
            )
            for key, ratios in ratios_of.items()
        ]
    return groups


def _set_of(
    outcome: Outcome, operator: str, relative: DeviceProfile
) -> tuple[str, str, str] | None:
    """The set that a prediction comes from, where it is of the row's own stack on ``relative``."""
    basis, _, origin = outcome.basis.partition(": ")
    words = origin.removesuffix(f" on {relative.id}").split()
    if (
        basis != "transferred"
        or origin == " ".join(words)
        or len(words) < 2
        or words[0] != outcome.software.split()[0]
    ):
        return None
    key = (operator, words[0], words[-1])
    return key if key in relative.fitted else None


def summarise(groups: Iterable[Carried]) -> Error | None:
    """The errors of carried rows together, None for too few."""
    some = list(groups)
    count = sum(len(g.log_ratio) for g in some)
    if count < LEAST_ROWS:
        return None
    logs = np.concatenate([g.log_ratio for g in some])
    own = np.concatenate([np.full(len(g.log_ratio), g.own_sigma) for g in some])
    off = np.expm1(logs)
    total = float(np.quantile(np.abs(logs), LEAST_QUANTILE)) / Z80
    added = max(total**2 - float(np.mean(own**2)), LEAST_SIGMA**2)
    return Error(
        count,
        len({(g.device, g.relative) for g in some}),
        100 * float(np.abs(off).mean()),
        100 * float(np.median(np.abs(off))),
        100 * float(off.mean()),
        float(np.sqrt(added)),
    )
