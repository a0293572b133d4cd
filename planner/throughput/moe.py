"""The calibrated expert layer of a scheme on a device: which kernel, how sure, and its seconds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.records import cached_record, record
from planner.throughput.calibration import Calibration, find
from planner.throughput.expert_load import ExpertLoad
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.moe import OPERATOR, ExpertShard, moe_parts
from planner.throughput.kernels import refusal
from planner.throughput.roofline import Parts
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
_DATA = Path(__file__).resolve().parent / "data"


@record
class SchemeRule:
    """Which measured scheme a scheme's kernel follows, the spread that this adds, and the spread
    that another kernel for the same scheme adds."""

    variant: str
    extra: float
    other_kernel: float


@cached_record
class MoeModel:
    """The fused expert layer of ``scheme`` on a chip.

    ``basis`` is fitted or transferred, ``sigma`` the log-space standard deviation of one time,
    ``origin`` says where the parameters come from.
    """

    scheme: str
    chip: Chip
    variant: str
    parameters: Parameters
    stack: str
    basis: str
    sigma: float
    origin: str

    def parts(self, load: ExpertLoad, *, tokens: Array, hidden: Array, width: Array, local: Array,
              weight_bytes: Array) -> Parts:
        """Seconds of a whole layer by mechanism (see :class:`planner.throughput.forms.moe.Experts`
        for the arguments)."""
        experts = ExpertShard(hidden, width, local, weight_bytes,
                              compute_format(self.scheme, self.chip))
        return moe_parts(self.parameters, self.chip, self.variant, experts, load, tokens=tokens)


def moe_model(device: DeviceProfile, scheme: str, stacks: Sequence[str]) -> MoeModel | None:
    """The fitted expert layer of ``scheme`` for the first of ``stacks`` that has one, or None.

    A stack without a set of the scheme borrows its nearest relative's, a scheme without one that
    of its neighbour; both widen the interval and the basis says transferred.
    """
    figures = chip(device)
    rule = scheme_rule(scheme)
    if figures is None or rule is None or refusal(device, scheme_by_id(scheme)) \
            or compute_format(scheme, figures) not in figures.peaks:
        return None
    found = find_kernel(device, rule.variant, stacks)
    if found is None:
        return None
    calibration, lent = found
    fit = calibration.fit
    own = calibration.basis == "fitted" and not lent and rule.variant == scheme
    return MoeModel(
        scheme, figures, fit.variant, fit.parameters, fit.stack,
        "fitted" if own else "transferred",
        float(np.sqrt(calibration.sigma**2 + rule.extra**2 + lent**2)),
        f"{fit.stack} {fit.software} {fit.variant} on {calibration.origin}")


def find_kernel(device: DeviceProfile, scheme: str,
                stacks: Sequence[str]) -> tuple[Calibration, float] | None:
    """(the set of a measured scheme, the spread that a lending stack adds), or None."""
    own = find(device, OPERATOR, stacks, _variants(stacks, scheme))
    if own is not None or not stacks:
        return (own, 0.0) if own is not None else None
    family = {**rules()["lenders"], **rules()["lenders_of"].get(scheme, {})}
    lenders = [s for s in family.get(stacks[0], ()) if s not in stacks]
    found = find(device, OPERATOR, lenders, _variants(lenders, scheme))
    return (found, float(rules()["lending"]["spread"])) if found is not None else None


def _variants(stacks: Sequence[str], scheme: str) -> list[str]:
    """``KERNEL:SCHEME`` of the stacks in order."""
    kernels = rules()["kernels"]
    return list(dict.fromkeys(f"{kernel}:{scheme}" for stack in stacks
                              for kernel in kernels.get(stack, {}).get(scheme, ())))


def compute_format(scheme: str, figures: Chip) -> str:
    """The rate that counts: the scheme's, FP8 where a chip has no rate for narrow FP8 blocks."""
    wanted = scheme_by_id(scheme).compute
    return "fp8" if wanted == "mxfp8" and wanted not in figures.peaks else wanted


def scheme_rule(scheme: str) -> SchemeRule | None:
    """The rule of ``scheme`` in data/moe.toml, None where no measured kernel resembles its own."""
    found = rules()["scheme"].get(scheme)
    if found is None:
        return None
    return SchemeRule(found["variant"], float(found.get("extra", 0.0)),
                      float(rules()["lending"]["spread"]))


def popularity_spread() -> float:
    """Standard deviation of ln p over the experts of a layer: an assumption (data/moe.toml)."""
    return float(rules()["routing"]["spread"])


@cache
def rules() -> Mapping[str, Any]:
    """data/moe.toml."""
    return tomllib.loads((_DATA / "moe.toml").read_text(encoding="utf-8"))
