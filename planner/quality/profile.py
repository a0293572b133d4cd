"""The quality profile of one checkpoint: errors, sensitivities and losses, layer by layer.

    loss(unit, scheme) = α(unit) · e(unit, scheme)          (tiers T0, T1, T2; T3 holds losses)

A unit is one module kind, or one cache kind, of one layer. Losses are relative (1.0 = the
uniform loss of ``anchor``) under T0 and for imported scores, nats of mean KL otherwise.

A profile belongs to a model by structure, by released format, and by what is read of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from planner.base.errors import DataError
from planner.models.spec import ModelSpec
from planner.quality.loss_units import NATS as NATS
from planner.quality.loss_units import RELATIVE as RELATIVE

PROFILE_VERSION = "1"
MEASURED = "measured here"
"""The sensitivity of a profile that whole files in an engine have corrected."""
TIERS = {
    "T0": "learned",
    "T1": "probe-random",
    "T2": "probe-format",
    "T3": "measured",
}
CACHE_KINDS = ("kv-k", "kv-v", "kv-latent")
FLUSHED_LIMIT = 0.01
NOT_MODELLED = (
    "errors are round-to-nearest; GPTQ, AWQ and quantisation-aware training are not "
    "modelled, and lower 4-bit loss"
)
POLICY = (
    "embedding, head, norms, routers, indexer and prediction layers stay as released: this "
    "is policy, not a measurement"
)


@dataclass(frozen=True, slots=True)
class ProfiledModel:
    """Which model: ``structure_sha256`` is over kinds, layers and shapes, not over values."""

    id: str
    model_type: str
    layers: int
    hidden_size: int
    quantization: str
    config_sha256: str
    structure_sha256: str


@dataclass(frozen=True, slots=True)
class ProfiledCheckpoint:
    """Which files: ``sha256`` is over index, headers and file sizes."""

    sha256: str
    format: str
    files: int
    matrices: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class ProfileUnit:
    """One kind in one layer, -1 outside the stack. ``error`` and ``loss`` by scheme or cache
    layout.

    A scheme that is absent from ``loss`` was not measured and cannot be chosen. ``flushed`` and
    ``overflow`` are shares of the unit's weights. ``parts`` splits a cache error that is decided as
    one: latent and rope of an MLA cache.
    """

    unit: str
    kind: str
    layer: int
    alpha: float | None
    alpha_basis: str
    error_basis: str
    error: Mapping[str, float]
    loss: Mapping[str, float]
    flushed: Mapping[str, float] = field(default_factory=dict)
    overflow: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def refusal(self, scheme: str) -> str:
        """Why the number range of ``scheme`` does not do; empty if it does."""
        if self.overflow.get(scheme, 0.0) > 0:
            return f"{scheme} overflows on {self.overflow[scheme]:.2g} of {self.unit}"
        if self.flushed.get(scheme, 0.0) > FLUSHED_LIMIT:
            return f"{scheme} flushes {self.flushed[scheme]:.1%} of {self.unit} to zero"
        return ""


@dataclass(frozen=True, slots=True)
class ProfileTensor:
    """Statistics of a class of weights in a layer; of experts the extremes, and the mean error.

    ``matrices`` counts them. ``kurtosis`` is E w⁴ / (E w²)², ``outlier_channels`` inputs whose RMS
    is more than six times the median input's.
    """

    name: str
    kind: str
    layer: int
    matrices: int
    amax: float
    kurtosis: float
    outlier_channels: int
    weight_error: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RouterStatistics:
    """Margin between the last chosen and the first left-out expert of one layer's router.

    ``margin_median`` is in standard deviations of the logits; ``flip_rate[e]`` the share of tokens
    whose chosen set changes when the router's input carries a relative error power e.
    """

    layer: int
    basis: str
    margin_median: float
    flip_rate: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class JointCheck:
    """The whole model under one scheme: ``total`` is the sum of its units' losses, ``joint`` the
    measured loss of all at once [nats], ``flips`` the share of top-1 tokens that change."""

    scheme: str
    total: float
    joint: float
    flips: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """A tensor that was not measured, and why."""

    tensor: str
    unit: str
    reason: str


@dataclass(frozen=True)
class Profile:
    """See the module docstring. ``anchor`` is the scheme whose uniform loss is 1 where losses are
    relative."""

    profile_version: str
    tool_version: str
    model: ProfiledModel
    checkpoint: ProfiledCheckpoint
    tier: str
    unit: str
    anchor: str
    band_factor: float
    band_basis: str
    seed: int
    schemes: tuple[str, ...]
    kv_layouts: tuple[str, ...]
    units: tuple[ProfileUnit, ...]
    tensors: tuple[ProfileTensor, ...]
    routers: tuple[RouterStatistics, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    joint: tuple[JointCheck, ...] = ()

    @cached_property
    def flips_per_root_nat(self) -> float | None:
        """c of ``flips = c·√loss``, the geometric mean over the joint checks; None without any.

        To second order both sides follow one change σ of the logits: KL grows with σ², the share
        of positions whose two best tokens lie closer than σ with σ.
        """
        ratios = [
            check.flips / math.sqrt(check.joint)
            for check in self.joint
            if check.joint > 0 and check.flips > 0
        ]
        return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None

    @property
    def holds_floor(self) -> bool:
        """Whether its losses are those of whole files that ran in an engine, whose floor of any
        change is in them already."""
        return self.settings.get("sensitivity") == MEASURED

    @property
    def saturation(self) -> float:
        """g by which losses above 0.3 nats stop adding up (:mod:`.sensitivity.level`); 0 where the
        profile does not say, and they are taken as they are."""
        return float(self.settings.get("saturation", 0.0))

    @cached_property
    def by_unit(self) -> dict[tuple[str, int], ProfileUnit]:
        """Units by (kind, layer)."""
        return {(u.kind, u.layer): u for u in self.units}

    @property
    def label(self) -> str:
        """``T1 probe-random`` …; T0 says which sensitivities."""
        return f"{self.tier} {self.settings.get('sensitivity', TIERS[self.tier])}"

    def uniform_loss(self, scheme: str) -> float | None:
        """Loss of ``scheme`` on every linear of the stack, caches in BF16; None where a unit lacks
        it."""
        total = 0.0
        for unit in self.units:
            if unit.kind in CACHE_KINDS or unit.layer < 0:
                continue
            if scheme not in unit.loss:
                return None
            total += unit.loss[scheme]
        return total


_PLAIN = {"fp16": "bf16", "fp32": "bf16"}


def structure_sha256(spec: ModelSpec) -> str:
    """Digest of what decides the units: kinds, layers, shapes and experts of all matrices.

    It does not depend on names or stored types, so that a GGUF file and the configuration of the
    same model agree.
    """
    tensor_counts: dict[tuple[str, int, tuple[int, ...], int], int] = {}
    for row in spec.rows:
        if row.part != "main" or row.copy_of is not None or not row.is_matrix:
            continue
        for layer in row.layers or (-1,):
            key = (row.kind, layer, row.shape, row.experts)
            tensor_counts[key] = tensor_counts.get(key, 0) + 1
    lines = [
        f"{kind} {layer} {'x'.join(map(str, shape))} {experts} {count}"
        for (kind, layer, shape, experts), count in sorted(tensor_counts.items())
    ]
    head = f"{spec.layers} {spec.hidden_size} {spec.vocab_size}"
    return hashlib.sha256("\n".join([head, *lines]).encode()).hexdigest()


def check_profile(profile: Profile, spec: ModelSpec, place: str) -> tuple[str, ...]:
    """Notes on what cannot be checked, for the assumptions.

    Raises:
        DataError: the profile is of another structure, or of another release of the model.
    """
    mine = profile.model
    if mine.structure_sha256 != structure_sha256(spec):
        sizes = (f"{mine.layers} layers of width {mine.hidden_size}", f"{spec.layers} layers of "
                 f"width {spec.hidden_size}")  # fmt: skip
        raise DataError(
            f"{place}: made of {mine.id} ({sizes[0]}), which is not {spec.id} ({sizes[1]}) or "
            "differs in its matrices",
            hint="use a profile of this model's own checkpoint",
        )
    if _kind(mine.quantization) != _kind(spec.quantization):
        raise DataError(
            f"{place}: made of a checkpoint released in {mine.quantization}; {spec.id} is "
            f"{spec.quantization}, and loss counts from the release",
            hint="give the checkpoint's folder as MODEL, or profile the other release",
        )
    if mine.config_sha256 == spec.config_sha256:
        return ()
    return (
        f"made of {mine.id}: same structure, another configuration file; values of the weights "
        "cannot be compared",
    )


def _kind(quantization: str) -> str:
    return _PLAIN.get(quantization, quantization)
