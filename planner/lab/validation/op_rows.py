"""Operator tables as arrays: rows of one device, software and words together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import PlannerError
from planner.hardware.catalog import resolve_device
from planner.hardware.profile import DeviceProfile
from planner.lab.validation.cells import LEAST_VALUE, MOST_VALUE
from planner.lab.validation.names import device_name
from planner.lab.validation.records import EXCLUDED, Outcome
from planner.throughput.calibration import STACKS

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = Iterable[Mapping[str, str]]
Profiles = Mapping[str, DeviceProfile]
T = TypeVar("T")
MICROSECOND = 1e-6
Z80 = 1.2815515655446004
"""80 % of a normal distribution lies within ±1.2816 standard deviations."""
PRIOR_SPREAD = float(np.log(1.6))
"""80 % interval of an operator without fitted parameters: ×/÷ 1.6."""
NO_PROFILES: Profiles = MappingProxyType({})


@dataclass(frozen=True)
class Batch:
    """Rows of a table that share ``device``, ``software`` and ``words``.

    ``device`` is an id, or the table's own name where no profile has it; ``stack`` the name before
    the version, empty for an unknown one. ``index`` int [n] counts the table's rows from 0;
    ``columns`` float [n] each.
    """

    device: str
    software: str
    stack: str
    words: tuple[str, ...]
    index: NDArray[np.int64]
    columns: Mapping[str, Array]
    profile: DeviceProfile | None

    @property
    def seconds(self) -> Array:
        """Measured times [n] [s]."""
        return np.asarray(self.columns["latency_us"] * MICROSECOND)

    @property
    def unknown(self) -> str:
        """The device or engine that no prediction is made for, empty for none."""
        if self.profile is None:
            return "unknown device"
        return "" if self.stack else "unknown engine"

    def take(self, mask: NDArray[np.bool_]) -> Batch:
        """The rows where ``mask`` [n] holds."""
        return Batch(
            self.device,
            self.software,
            self.stack,
            self.words,
            self.index[mask],
            {name: column[mask] for name, column in self.columns.items()},
            self.profile,
        )


def batches(
    rows: Rows,
    words: Sequence[str],
    numbers: Sequence[str],
    *,
    zero: Sequence[str] = (),
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[Batch], list[int]]:
    """``rows`` grouped by device, software and ``words``, with ``numbers`` parsed.

    Args:
        zero: numbers that may be 0; the others are at least LEAST_VALUE.
        profiles: devices by the name that the table gives them; others are looked up.

    Returns:
        The groups in order of their first row, and the indices of malformed rows.
    """
    groups: dict[tuple[str, ...], list[tuple[float, ...]]] = {}
    bad: list[int] = []
    floor = [0.0 if name in zero else LEAST_VALUE for name in numbers]
    for i, row in enumerate(rows):
        try:
            values = [float(row[name]) for name in numbers]
        except (KeyError, ValueError):
            bad.append(i)
            continue
        if not all(low <= v <= MOST_VALUE for v, low in zip(values, floor, strict=True)):
            bad.append(i)
            continue
        key = (row.get("device", ""), row.get("software", ""), *(row.get(w, "") for w in words))
        groups.setdefault(key, []).append((i, *values))
    return [
        _batch(key, np.array(group, dtype=np.float64), numbers, profiles)
        for key, group in groups.items()
    ], bad


def _batch(key: tuple[str, ...], table: Array, numbers: Sequence[str], profiles: Profiles) -> Batch:
    device, software, *words = key
    profile = profiles[device] if device in profiles else profile_of(device)
    return Batch(
        profile.id if profile is not None else device.strip().lower(),
        software,
        stack_of(software),
        tuple(words),
        table[:, 0].astype(np.int64),
        {name: table[:, j + 1] for j, name in enumerate(numbers)},
        profile,
    )


@cache
def profile_of(text: str) -> DeviceProfile | None:
    """The packaged device that ``text`` names: an id or alias (a board's suffix may be too much),
    else free text."""
    names = (text, text.removesuffix("_sxm"), text.removesuffix("_pcie"), device_name(text).id)
    for name in names:
        if "/" in name or name.endswith(".toml"):
            continue
        try:
            return resolve_device(name)
        except PlannerError:
            continue
    return None


def stack_of(software: str) -> str:
    """The stack's name before its version, empty for one that no operator was measured on."""
    name = software.split()[0].lower() if software.strip() else ""
    return name if name in STACKS else ""


def missing(table: str, batch: Batch, reason: str, *, format: str) -> list[Outcome]:
    """Rows of ``batch`` without a prediction."""
    return [
        Outcome(
            table,
            int(i),
            "latency",
            batch.device,
            batch.software,
            "",
            format,
            "",
            measured=float(t),
            reason=reason,
        )
        for i, t in zip(batch.index, batch.seconds, strict=True)
    ]


def in_order(
    table: str,
    groups: Iterable[T],
    predict: Callable[[str, T], list[Outcome]],
    bad: Iterable[int],
    unknown: Iterable[tuple[Batch, str]] = (),
) -> list[Outcome]:
    """Outcomes of a table in the order of its rows: ``predict`` answers a group; ``bad`` rows are
    malformed, ``unknown`` batches have a format (as written) that is not modelled."""
    out = malformed(table, bad)
    for batch, text in unknown:
        out += missing(table, batch, "unknown format", format=text)
    for group in groups:
        out += predict(table, group)
    return sorted(out, key=lambda o: o.row)


def malformed(table: str, indices: Iterable[int]) -> list[Outcome]:
    """Rows whose numbers cannot be read."""
    return [
        Outcome(table, i, "latency", "", "", "", "", "", reason="malformed row") for i in indices
    ]


def predicted(
    table: str,
    batch: Batch,
    *,
    format: str,
    regimes: Sequence[str],
    seconds: Array,
    spread: float | Array,
    basis: str,
) -> list[Outcome]:
    """Rows of ``batch`` with predictions ``seconds`` [n] and an interval of ×/÷ exp(``spread``)."""
    wide = np.broadcast_to(np.exp(np.asarray(spread, dtype=np.float64)), seconds.shape)
    columns = zip(
        batch.index.tolist(),
        regimes,
        batch.seconds.tolist(),
        seconds.tolist(),
        (seconds / wide).tolist(),
        (seconds * wide).tolist(),
        strict=True,
    )
    return [
        Outcome(
            table,
            i,
            "latency",
            batch.device,
            batch.software,
            "",
            format,
            regime,
            measured=t,
            predicted=p,
            low=low,
            high=high,
            basis=basis,
        )
        for i, regime, t, p, low, high in columns
    ]


def regimes(
    count: int, basis: str, held_out: Mask | None, excluded: Mapping[str, Mask]
) -> list[str]:
    """The regime of each of ``count`` rows: ``excluded: REASON`` by rule; of a fitted set,
    ``held-out`` from the fit (``held_out``) or ``fitted``; else the basis of the prediction."""
    words = np.full(count, basis, dtype=object)
    if held_out is not None:
        words = np.where(held_out, "held-out", "fitted").astype(object)
    for reason, mask in excluded.items():
        words[mask] = EXCLUDED + reason
    return [str(word) for word in words]


FOLDS = 3


def is_held_out(key: str) -> bool:
    """Whether the group called ``key`` is kept back from fits: sha256 as a number, modulo 3 is 0.

    Keys: "n,k" for GEMM; "k" for quantise kernels; "heads,kv_heads,head_dim" for attention;
    "heads,batch" for MLA; "op,num_gpus,message_elements" for collectives; "hidden_size,topk,
    num_experts" for dispatch; "moe_tp,moe_ep" for experts of a kernel with one shape.
    """
    return fold(key) == 0


def fold(key: str) -> int:
    """Which third of the groups the one called ``key`` belongs to, 0 to 2.

    Expert shapes, called "hidden,width,experts a token,experts", are kept back third by third.
    """
    return int(sha256(key.encode()).hexdigest(), 16) % FOLDS


def fold_of(key: str) -> int:
    """The part of FOLDS that the group called ``key`` is left out with, where no group of a table
    is kept back (a sample without them) or a choice is made among the groups that are not."""
    return int(sha256(f"fold {key}".encode()).hexdigest(), 16) % FOLDS
