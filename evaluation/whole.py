"""Whole models: order of formats, additivity, caches, options and accumulators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation import settings
from evaluation.predictors import engine
from evaluation.settings import SCHEMES, SEED
from planner.formats.kv import kv_layout
from planner.lab.probe.accumulate import accumulator_error
from planner.lab.probe.caches import stored
from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.loader import layer_inputs
from planner.lab.probe.measure import Reference, measured_loss, plan_loss
from planner.lab.probe.model import Doubles, Loss, ProbeModel, Tokens, exact
from planner.lab.probe.options import InputOptions, input_amax, recipes

WEIGHTS_ONLY = ("fp8-block", "int8-w8a8", "fp8-tensor", "nvfp4", "int4-w4a16-g32", "mxfp4")
WEIGHTS_AND_INPUTS = ("fp8-block", "fp8-channel", "fp8-tensor", "int8-w8a8", "nvfp4", "mxfp4")
CACHE_LAYOUTS = ("fp8", "int8-token", "int4-token", "int4-channel", "nvfp4")
ACCUMULATORS = (
    ("fp8-tensor", "hopper-wgmma", None),
    ("fp8-tensor", "hopper-wgmma", 128),
    ("fp8-tensor", "blackwell-tcgen05", None),
    ("int8-w8a8", "int8-imma", None),
)
OPTIONS = (
    ("dynamic", "int8-w8a8", InputOptions()),
    ("static", "int8-w8a8", InputOptions(static=True)),
    ("SmoothQuant 0.5", "int8-w8a8", InputOptions(smoothquant=0.5)),
    ("SmoothQuant 0.5, static", "int8-w8a8", InputOptions(static=True, smoothquant=0.5)),
    ("dynamic", "fp8-tensor", InputOptions()),
    ("static", "fp8-tensor", InputOptions(static=True)),
)
BOOTSTRAP = 4000
MIXED_PLANS = 12


@dataclass(frozen=True, slots=True)
class Named:
    """A variant of the whole model and its loss."""

    name: str
    loss: Loss


def order(
    name: str, reference: Reference, members: tuple[str, ...], *, weights_only: bool
) -> list[Named]:
    """Every linear layer under one scheme, by scheme, in the order expected."""
    model = settings.loaded(name)
    return [
        Named(s, uniform(model, reference, Quantizer(s, weights_only=weights_only)))
        for s in members
    ]


def uniform(model: ProbeModel, reference: Reference, recipe: Quantizer) -> Loss:
    """Every linear layer under one recipe."""
    return plan_loss(model, reference, {u.id: recipe for u in model.units}, engine=engine())


def interval(first: Doubles, second: Doubles) -> tuple[float, float]:
    """95 % bootstrap interval over chunks of the ratio of mean losses, second / first."""
    rng, n = np.random.default_rng(SEED), len(first)
    rows = rng.integers(0, n, (BOOTSTRAP, n))
    ratios = second[rows].mean(axis=1) / first[rows].mean(axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def mixed_plans(name: str, reference: Reference, measured: Doubles) -> list[tuple[float, float]]:
    """(sum of unit losses, joint loss) of random plans over all schemes."""
    model, rng, out = settings.loaded(name), np.random.default_rng(SEED), []
    for n in range(MIXED_PLANS):
        # from plans of mostly 8 bits to mostly 4 bits
        weights = np.where(
            [s.startswith(("fp8", "int8")) for s in SCHEMES], 1.0, 0.1 + n / MIXED_PLANS
        )
        picks = rng.choice(len(SCHEMES), len(model.units), p=weights / weights.sum())
        plan = {u.id: Quantizer(SCHEMES[p]) for u, p in zip(model.units, picks, strict=True)}
        joint = plan_loss(model, reference, plan, engine=engine()).mean
        out.append((float(measured[np.arange(len(picks)), picks].sum()), joint))
    return out


def cache_losses(name: str, reference: Reference) -> dict[str, dict[str, Loss]]:
    """Losses of keys alone and values alone in a layout, over all layers.

    int4-channel is a layout of keys; for the comparison its rule is applied to values too.
    """
    model = settings.loaded(name)
    out: dict[str, dict[str, Loss]] = {}
    for layout in CACHE_LAYOUTS:
        hooks = {
            "keys": lambda _, k, v, name=layout: (stored(k, kv_layout(name)), v),
            "values": lambda _, k, v, name=layout: (k, stored(v, kv_layout(name))),
        }
        out[layout] = {
            part: measured_loss(model, reference, exact(model), cache=hook)
            for part, hook in hooks.items()
        }
    return out


def options(name: str, reference: Reference, calibration: Tokens) -> dict[str, Loss]:
    """Static activation scales and SmoothQuant beside the dynamic schemes."""
    model = settings.loaded(name)
    amax, out = input_amax(model, calibration), {}
    for title, scheme, chosen in OPTIONS:
        plan = recipes(model, scheme, chosen, amax)
        out[f"{scheme}, {title}"] = plan_loss(model, reference, plan, engine=engine())
    return out


def accumulators(name: str, tokens: Tokens) -> dict[str, dict[str, float]]:
    """Relative output error powers through matrix units: means over all units of the model."""
    model, sums = settings.loaded(name), {}
    for unit, x in layer_inputs(model, tokens):
        for scheme, matrix_unit, promote in ACCUMULATORS:
            label = f"{scheme} on {matrix_unit}"
            label += f", promoted every {promote}" if promote else ""
            found = accumulator_error(
                x,
                model.weight(unit),
                scheme,
                unit=matrix_unit,
                promote=promote,
                positions=8,
                outputs=16,
            )
            sums.setdefault(label, []).append((found.rounding, found.total, found.added))
    return {
        label: dict(zip(("rounding", "total", "added"), np.mean(v, axis=0).tolist(), strict=True))
        for label, v in sums.items()
    }
