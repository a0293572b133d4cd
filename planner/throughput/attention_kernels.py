"""The calibrated attention kernel of a cache layout on a device, and how sure it is."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.messages.message import CLAUSES, joined, message
from planner.throughput.calibration import (
    PRIOR,
    STACKS,
    Calibration,
    Certainty,
    architecture_relation,
    fitted_set,
    kernel_source,
)
from planner.throughput.forms import attention_rest, dsa, mla
from planner.throughput.forms.attention_decode import CARRIED
from planner.throughput.forms.base import Parameters
from planner.throughput.proxy_kernels import ProxyKernel, lent_sigma, proxy_kernel
from planner.throughput.roofline import Parts, select_parts
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
_DATA = Path(__file__).resolve().parent / "data"
_CARRIED = {"attention-decode": CARRIED}
_PROMPTS = ("attention-prefill", "mla-prefill")
UNMEASURED = Certainty(PRIOR.basis, 0.47, "compressed attention by its bytes and FLOP")
"""Of compressed attention where no kernel stands for it: as sure as data/attention.toml says of
those that do."""


@cached_record
class AttentionModel:
    """A kernel's parameters on a chip.

    ``branches`` are further sets of the same stack and origin for windows and ungrouped heads
    (``window``, ``mha``) and for few heads (``few``); ``convert`` says that entries of the layout
    are converted beside it; ``rest`` is what runs beside a latent core (forms.attention_rest), None
    where it was not measured; ``base_sigma`` is the error of the parameters themselves; ``lent``
    the mean ratio of the kernel that runs to the one whose parameters these are, where measured.
    """

    operator: str
    chip: Chip
    parameters: Parameters
    branches: Mapping[str, FittedSet]
    convert: bool
    certainty: Certainty
    base_sigma: float
    lent: float = 1.0
    rest: Parameters | None = None

    def parts(
        self,
        form: Callable[[Parameters, Chip], Parts],
        *,
        windowed: Mask | bool = False,
        ungrouped: Mask | bool = False,
        few: Mask | bool = False,
    ) -> Parts:
        """Seconds of ``form``, on the branch where ``few``, ``ungrouped`` or else ``windowed``
        holds."""
        operator_parts = form(self.parameters, self.chip)
        for name, mask in (("window", windowed), ("mha", ungrouped), ("few", few)):
            if name in self.branches and np.any(mask):
                operator_parts = select_parts(
                    np.asarray(mask),
                    form(self.branches[name].parameters, self.chip),
                    operator_parts,
                )
        return operator_parts.scaled(self.lent)

    def is_ungrouped(self, heads: Array, kv_heads: Array) -> Mask:
        """Where the kernel of ungrouped heads runs [rows]: a KV head for every query head, or in
        decode more query heads a KV head than the stack groups."""
        most = self.parameters.get("most_heads", np.inf)
        return np.asarray((heads == kv_heads) | (heads > most * kv_heads))

    def sigma(self, windowed: Mask | bool, ungrouped: Mask | bool, count: int) -> Array:
        """Log-space standard deviation by row [count]: a branch's own error in its place."""
        extra = max(self.certainty.sigma**2 - self.base_sigma**2, 0.0)
        sigmas = np.full(count, self.certainty.sigma)
        for name, mask in (("window", windowed), ("mha", ungrouped)):
            if name in self.branches:
                own = np.sqrt(self.branches[name].error.sigma ** 2 + extra)
                sigmas = np.where(mask, own, sigmas)
        return sigmas


def attention_model(
    device: DeviceProfile,
    operator: str,
    layout: str,
    stacks: Sequence[str],
    *,
    sparse: bool = False,
    window: int = 0,
    compressed: bool = False,
) -> AttentionModel | None:
    """The fitted kernel of ``operator`` over a cache in ``layout``, or None where none fits.

    A layout that was not measured takes the kernel and the bytes that data/attention.toml names,
    with a wider interval; the basis then says transferred, or prior where the kernel itself is
    another, whose error is at least that of an operator without a measurement. ``sparse``: entries
    are gathered by an indexer's choice; ``window``: tokens of a sliding window, 0 for none;
    ``compressed``: entries stand for several tokens beside a window, which no table measures.
    """
    rule: Mapping[str, Any] | None = _rules()["layout"].get(layout)
    silicon = chip(device)
    if silicon is None or rule is None:
        return None
    narrow = rule["variant"] == "bf16/fp8" and "fp8" not in silicon.peaks
    convert = bool(rule.get("convert")) or narrow
    if narrow and operator in _PROMPTS:
        rule = _rules()["without_fp8"]
    own = operator in rule.get("measured", ())
    further = [
        0.0 if own else float(rule.get("extra", 0.0)),
        _rules()["sparse"]["extra"] if sparse else 0.0,
        _rules()["compressed"]["extra"] if compressed else 0.0,
        _rules()["window"]["extra"] if window > _rules()["window"]["longest"] else 0.0,
    ]
    extra = float(np.sqrt(sum(e * e for e in further)))
    alone = rule.get("kernel", {}).get(stacks[0], "") if len(stacks) == 1 else ""
    served = _served_path(device, operator, stacks)
    if served is not None:
        stacks, extra = served["by"], float(np.hypot(extra, served["extra"]))
    model = kernel_model(
        device,
        operator,
        rule["variant"],
        stacks,
        extra=extra,
        convert=convert,
        prior=bool(rule.get("prior")) or sparse or compressed,
        kernel=alone,
    )
    return replace(model, rest=None) if model is not None and served is not None else model


def _served_path(
    device: DeviceProfile, operator: str, stacks: Sequence[str]
) -> Mapping[str, Any] | None:
    """The rule by which an engine serves ``operator`` otherwise than its stack's table measured it
    (data/attention.toml), None where it does not."""
    return next(
        (
            rule
            for rule in _rules()["served"]
            if rule["operator"] == operator
            and [rule["stack"]] == list(stacks)
            and rule["architecture"] == device.architecture
        ),
        None,
    )


def kernel_model(
    device: DeviceProfile,
    operator: str,
    variant: str,
    stacks: Sequence[str],
    *,
    extra: float = 0.0,
    prior: bool = False,
    convert: bool = False,
    kernel: str = "",
) -> AttentionModel | None:
    """The fitted kernel of a measured ``variant`` (ATTN/KV), or None.

    Another architecture takes what belongs to the chip, neither the terms nor the branches of the
    kernel itself.

    A stack without one borrows its neighbour's, with what such loans were measured to miss by.
    ``extra`` widens it further; with ``prior`` the basis says that the kernel is another.
    ``kernel``: the one of the stack's kernels that serves the layout, where that is not the one
    that the set is of.
    """
    silicon = chip(device)
    if silicon is None or "bf16" not in silicon.peaks:
        return None
    if operator in _PROMPTS and silicon.exp_per_s <= 0:
        return None
    fitted_and_proxy = _find(device, operator, variant, stacks)
    if fitted_and_proxy is None:
        return None
    calibration, lent = fitted_and_proxy
    fit = calibration.fit
    if fit.parameters.get("fp8") and "fp8" not in silicon.peaks:
        return None
    parameters, branches = fit.parameters, _branches(device, calibration)
    if calibration.basis == "transferred" and _other_kernels(device, fit):
        parameters, branches = {**parameters, **_CARRIED.get(operator, {})}, {}
    rest = _rest(device, fit)
    least = _graph_floor(device, fit, rest)
    waiting = 0.0 if least is None else float(_rules()["waiting"]["extra"])
    if least is not None:
        parameters = _without_waiting(parameters, least)
        branches = {
            name: replace(own, parameters=_without_waiting(own.parameters, least))
            for name, own in branches.items()
        }
    if kernel and lent is None:
        lent = proxy_kernel(operator, fit.stack, fit.stack, variant, device.architecture, kernel)
    own = calibration.basis == "fitted" and lent is None and not extra
    basis = "prior" if prior else "fitted" if own else "transferred"
    sigma = float(
        np.hypot(
            np.hypot(extra, waiting),
            calibration.sigma
            if lent is None
            else lent_sigma(lent, fit.error.sigma, calibration.sigma),
        )
    )
    source = kernel_source(fit, calibration.origin)
    return AttentionModel(
        operator=operator,
        rest=rest,
        chip=silicon,
        parameters=parameters,
        branches=branches,
        convert=convert,
        base_sigma=fit.error.sigma,
        lent=1.0 if lent is None else lent.factor,
        certainty=Certainty(
            basis,
            max(sigma, PRIOR.sigma) if prior else sigma,
            joined([source, message("assumptions.without_waiting")], CLAUSES)
            if waiting
            else source,
        ),
    )


def _find(
    device: DeviceProfile, operator: str, variant: str, stacks: Sequence[str]
) -> tuple[Calibration, ProxyKernel | None] | None:
    """(the set, the loan where it is another stack's), or None."""
    own = fitted_set(device, operator, stacks, [variant])
    if own is not None or not stacks:
        return (own, None) if own is not None else None
    family = _rules()["lenders"][operator.partition("-")[0]]
    lenders = [s for s in family.get(stacks[0], ()) if s not in stacks]
    calibration = fitted_set(device, operator, lenders, [variant])
    if calibration is None:
        return None
    return calibration, proxy_kernel(
        operator, stacks[0], calibration.fit.stack, variant, device.architecture
    )


def _other_kernels(device: DeviceProfile, fit: FittedSet) -> bool:
    """Whether a relative's set is of kernels that the device does not run: Ampere, Hopper and
    Blackwell have their own; the parts with GDDR share the older ones."""
    key = (fit.operator, fit.stack, fit.variant)
    return architecture_relation(device, device.inherited[key][1]) == "other"


def _rest(device: DeviceProfile, fit: FittedSet) -> Parameters | None:
    """What the stack runs beside a latent core of a variant."""
    calibration = (
        fitted_set(device, attention_rest.OPERATOR, [fit.stack], [f"{fit.operator}:{fit.variant}"])
        if fit.operator.startswith("mla")
        else None
    )
    return None if calibration is None else calibration.fit.parameters


def _graph_floor(device: DeviceProfile, fit: FittedSet, rest: Parameters | None) -> float | None:
    """What a step of a latent module takes beside its work in a server's graph, where its table
    holds more; None where it does not.

    A module is measured alone and as the engine's Python writes it: small kernels that a server's
    compiler joins run one by one, and the host starts them. Modules of one device do the same
    work, so that a floor beyond twice the least of all stacks is such waiting, and the longest of
    those that are not takes its place.
    """
    if fit.operator not in (mla.DECODE, dsa.DECODE):
        return None
    own = _floor(fit, rest)
    floors = [
        floor
        for stack in STACKS
        if (floor := _module_floor(device, fit.operator, stack, fit.variant)) is not None
    ]
    most = _rules()["waiting"]["most"] * min(floors, default=np.inf)
    if own <= most:
        return None
    return max(floor for floor in floors if floor <= most)


def _module_floor(device: DeviceProfile, operator: str, stack: str, variant: str) -> float | None:
    """The floor of a stack's whole module; that of a sparse one is at least a dense core's, as it
    attends too. None where the stack has none, or its core alone was measured."""
    calibration = fitted_set(device, operator, [stack], [variant])
    if calibration is None:
        return None
    if operator == mla.DECODE:
        rest = _rest(device, calibration.fit)
        return None if rest is None else _floor(calibration.fit, rest)
    cores = [fitted_set(device, mla.DECODE, [name], [variant]) for name in STACKS]
    dense = min((_floor(c.fit, None) for c in cores if c is not None), default=0.0)
    return max(_floor(calibration.fit, None), dense)


def _floor(fit: FittedSet, rest: Parameters | None) -> float:
    """Seconds of a module that no work explains."""
    return fit.parameters["floor_seconds"] + (0.0 if rest is None else rest["floor_seconds"])


def _without_waiting(parameters: Parameters, floor: float) -> Parameters:
    """``parameters`` of a module that was fitted together with its rest, whose floor is in it."""
    return {**parameters, "floor_seconds": min(parameters["floor_seconds"], floor)}


def _branches(device: DeviceProfile, base: Calibration) -> dict[str, FittedSet]:
    """Sets of the base's branches by the same stack on the same device."""
    fitted_sets = {}
    for name in ("mha", "window", "few"):
        key = (base.fit.operator, base.fit.stack, f"{base.fit.variant}:{name}")
        if base.basis == "fitted":
            if key in device.fitted:
                fitted_sets[name] = device.fitted[key]
        elif key in device.inherited and device.inherited[key][0] == base.origin:
            fitted_sets[name] = device.inherited[key][2]
    return fitted_sets


@cache
def _rules() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "attention.toml").read_text(encoding="utf-8"))
