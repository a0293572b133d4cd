"""Which fitted parameters an operator of a device uses, and how sure they are."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from planner.base.records import record
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.messages.message import Message, message

_DATA = Path(__file__).resolve().parent / "data"
STACKS = ("trtllm", "vllm", "sglang")
"""Order in which stacks are asked where no engine is chosen: the most completely measured first."""
ANY_ENGINE = "any"
STACK_OF_ENGINE = {"tensorrt-llm": "trtllm", "vllm": "vllm", "sglang": "sglang"}


@record
class Certainty:
    """How an operator's time was found: ``basis`` (fitted, transferred or prior), the log-space
    standard deviation of one time, and where its parameters come from."""

    basis: str
    sigma: float
    origin: str


PRIOR = Certainty("prior", 0.367, "achieved fractions of the kernel class")
"""An operator without fitted parameters: an 80 % interval of ×/÷ 1.6."""


def kernel_source(fit: FittedSet, device: str) -> Message:
    """Where the parameters of ``fit``, measured on ``device``, come from."""
    return message(
        "assumptions.on", operator=fit.stack, stack=fit.software, c=fit.variant, device=device
    )


@record
class Calibration:
    """Parameters in use. ``basis`` is fitted or transferred; ``origin`` the device they come from.

    ``sigma`` is the log-space standard deviation of one prediction, widened for a transfer.
    """

    fit: FittedSet
    basis: str
    origin: str
    sigma: float


def stacks_of(engine: str) -> tuple[str, ...]:
    """Stacks whose measurements stand for ``engine``; all in order for ``any``.

    An engine without measurements of its own has none: its operators are priced by the roofline.
    """
    if engine == ANY_ENGINE:
        return STACKS
    return (STACK_OF_ENGINE[engine],) if engine in STACK_OF_ENGINE else ()


def fitted_set(
    device: DeviceProfile, operator: str, stacks: Sequence[str], variants: Sequence[str]
) -> Calibration | None:
    """The first of ``stacks`` × ``variants`` that ``device`` has, else its relative has.

    The device's own measurements of a later stack go before a relative's of an earlier one.
    """
    keys = [(operator, stack, variant) for stack in stacks for variant in variants]
    for key in keys:
        if key in device.fitted:
            fit = device.fitted[key]
            return Calibration(fit, "fitted", device.id, fit.error.sigma)
    for key in keys:
        if key in device.inherited:
            origin, architecture, fit = device.inherited[key]
            extra = transfer_sigma(operator, key[2], architecture_relation(device, architecture))
            return Calibration(fit, "transferred", origin, float(np.hypot(fit.error.sigma, extra)))
    return None


def kernel_family(architecture: str) -> str:
    """Architectures that run the same kernels: Blackwell Ultra is Blackwell with other rates."""
    return architecture.removesuffix(" Ultra")


def architecture_relation(device: DeviceProfile, architecture: str) -> str:
    """How ``device`` and a relative of ``architecture`` stand: ``same`` family of architectures;
    ``other``, both with HBM; ``gddr``, another, both with GDDR."""
    if kernel_family(architecture) == kernel_family(device.architecture):
        return "same"
    return "gddr" if device.memory_type.startswith("GDDR") else "other"


def transfer_sigma(operator: str, variant: str, relation: str) -> float:
    """Log-space error that carrying parameters to another device adds, by
    :func:`architecture_relation`.

    From data/transfer.toml, the first rule that matches: measured by leaving one device out.
    """
    for rule in _rules():
        if (
            rule["operator"] in (operator, "*")
            and rule["variant"] in (variant, "*")
            and relation in rule
        ):
            return float(rule[relation]["sigma"])
    raise AssertionError("the last rule matches everything")


@cache
def _rules() -> tuple[dict[str, Any], ...]:
    text = (_DATA / "transfer.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["rule"])
