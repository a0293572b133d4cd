"""The calibrated expert layer of a scheme on a device: which kernel, how sure, and its seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.throughput.calibration import PRIOR, fitted_set, kernel_source
from planner.throughput.expert_load import ExpertLoad
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.moe import OPERATOR, ExpertShard, moe_parts
from planner.throughput.kernels import refusal
from planner.throughput.moe_choice import ExpertServer, ExpertSource, expert_source, moe_rules
from planner.throughput.roofline import Parts, select_parts
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
ROUTER_BIAS = "router-bias"
"""Biases of routers (planner.models.rows): of the logits, or FP32 ones that correct the choice."""


@record
class SchemeRule:
    """Which measured scheme a scheme's kernel follows, and the spread that this adds; ``prior``: no
    engine was measured in the scheme, and its time carries a prior's error."""

    variant: str
    extra: float
    prior: bool


@record
class FewTokens:
    """The kernel of steps of at most ``tokens`` where it is the faster one: for at most ``experts``
    and within ``ranks`` of one host."""

    variant: str
    parameters: Parameters
    tokens: float
    experts: float
    ranks: float


@cached_record
class MoeModel:
    """The fused expert layer of ``scheme`` on a chip.

    ``basis`` is fitted, transferred or prior, ``sigma`` the log-space standard deviation of one
    time, ``origin`` says where the parameters come from. ``factor`` is what a loan was measured to
    be off by.
    """

    scheme: str
    chip: Chip
    variant: str
    parameters: Parameters
    stack: str
    basis: str
    sigma: float
    origin: str
    factor: float = 1.0
    few: FewTokens | None = None

    def parts(
        self,
        load: ExpertLoad,
        *,
        tokens: Array,
        hidden: Array,
        width: Array,
        local: Array,
        weight_bytes: Array,
        count: float = 1.0,
        ranks: Array | float = 1.0,
    ) -> Parts:
        """Seconds of a whole layer by mechanism (see
        :class:`planner.throughput.forms.moe.ExpertShard` for the arguments); ``count`` experts of a
        layer on ``ranks``."""
        experts = ExpertShard(
            hidden, width, local, weight_bytes, compute_format(self.scheme, self.chip)
        )
        operator_parts = moe_parts(
            self.parameters, self.chip, self.variant, experts, load, tokens=tokens
        )
        few = self.few
        if few is not None and count <= few.experts:
            short = moe_parts(few.parameters, self.chip, few.variant, experts, load, tokens=tokens)
            runs = (tokens <= few.tokens) & (np.asarray(ranks) <= few.ranks)
            operator_parts = select_parts(
                runs & (short.total() < operator_parts.total()), short, operator_parts
            )
        return operator_parts.scaled(self.factor)


def moe_models(
    device: DeviceProfile,
    scheme: str,
    server: ExpertServer,
    layouts: Sequence[str],
) -> tuple[MoeModel | None, ...]:
    """The fitted expert layer of ``scheme`` for the first of the server's stacks, by layout.

    None where nothing resembles it. Layouts with the same set share one model.
    """
    figures = chip(device)
    rule = scheme_rule(scheme)
    if (
        figures is None
        or rule is None
        or refusal(device, scheme_by_id(scheme))
        or compute_format(scheme, figures) not in figures.peaks
    ):
        return (None,) * len(layouts)
    models: dict[tuple[int, str], MoeModel] = {}
    layer_models: list[MoeModel | None] = []
    for layout in layouts:
        source = expert_source(device, rule.variant, server, layout, requested=scheme)
        if source is None:
            layer_models.append(None)
            continue
        key = (id(source.calibration.fit), source.wanted)
        if key not in models:
            models[key] = _model(device, figures, scheme, rule, source)
        layer_models.append(models[key])
    return tuple(layer_models)


def _model(
    device: DeviceProfile, figures: Chip, scheme: str, rule: SchemeRule, kernels: ExpertSource
) -> MoeModel:
    calibration, fit = kernels.calibration, kernels.calibration.fit
    sigma = math.sqrt(kernels.sigma**2 + rule.extra**2)
    basis = (
        "fitted"
        if calibration.basis == "fitted" and kernels.lent is None and rule.variant == scheme
        else "transferred"
    )
    if rule.prior:
        basis, sigma = PRIOR.basis, max(sigma, PRIOR.sigma)
    few, source = _few(device, fit.stack, rule.variant) or (None, None)
    origin = kernel_source(fit, calibration.origin)
    if source is not None:
        origin = message("assumptions.and_up_to_tokens_experts", **dict(origin.values), **source)
    if kernels.wanted:
        origin = message("assumptions.in_place_of", source=origin, kernel=kernels.wanted)
    return MoeModel(
        scheme,
        figures,
        fit.variant,
        fit.parameters,
        fit.stack,
        basis,
        sigma,
        origin,
        kernels.lent.factor if kernels.lent is not None else 1.0,
        few,
    )


def _few(device: DeviceProfile, stack: str, scheme: str) -> tuple[FewTokens, dict[str, str]] | None:
    """The kernel of few tokens of a stack, where the device, or a relative whose kernels it runs,
    has a set of it; and what the words for the origin name."""
    for rule in moe_rules()["few"]:
        if (rule["stack"], rule["scheme"]) != (stack, scheme):
            continue
        calibration = fitted_set(device, OPERATOR, [stack], [f"{rule['kernel']}:{scheme}"])
        if calibration is not None and (device.compute_capability or "").startswith(
            rule["capability"]
        ):
            return (
                FewTokens(
                    calibration.fit.variant,
                    calibration.fit.parameters,
                    float(rule["tokens"]),
                    float(rule["experts"]),
                    float(device.devices_per_node),
                ),
                {"e": rule["kernel"], "n": str(rule["tokens"]), "m": str(rule["experts"])},
            )
    return None


def compute_format(scheme: str, figures: Chip) -> str:
    """The rate that counts: the scheme's, FP8 where a chip has no rate for narrow FP8 blocks."""
    wanted = scheme_by_id(scheme).compute
    return "fp8" if wanted == "mxfp8" and wanted not in figures.peaks else wanted


def scheme_rule(scheme: str) -> SchemeRule | None:
    """The rule of ``scheme`` in data/moe.toml, None where no measured kernel resembles its own."""
    rule = moe_rules()["scheme"].get(scheme)
    if rule is None:
        return None
    return SchemeRule(
        rule["variant"], float(rule.get("extra", 0.0)), bool(rule.get("prior", False))
    )


def popularity_spread(spec: ModelSpec | None = None) -> float:
    """Standard deviation of ln p over the experts of a layer of ``spec`` (data/moe.toml): smaller
    where a correction bias of the router was moved in training until experts were used alike."""
    routing = moe_rules()["routing"]
    corrected = spec is not None and any(
        row.fused == ROUTER_BIAS and row.dtype == "fp32" for row in spec.rows
    )
    return float(routing["corrected"]["spread"] if corrected else routing["spread"])
