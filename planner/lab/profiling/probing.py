"""Tiers that run the model: losses of single matrices and caches, in nats, on a few tokens.

T1: ids that the model wrote itself, backward passes with labels it samples, ½·E(Σ g·ΔY)²; quick:
the same on text, of one probe scheme (:mod:`planner.lab.profiling.quick`). T2: the loss of one
probe scheme measured on text, α = loss / e. T3: the loss of every scheme measured on text. Caches:
T3 every layout; else one probe layout, times the ratio of the entries' relative errors.
The whole model is held in float32, so that this is for models that fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planner.base.errors import UnsupportedError
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.jobs.journal import Journal
from planner.lab.probe.caches import quantised_cache, stored
from planner.lab.probe.emulate import Quantizer, output_error, power, prepare
from planner.lab.probe.gradient import fisher_losses
from planner.lab.probe.loader import layer_inputs, load_probe_model
from planner.lab.probe.measure import (
    Reference,
    make_reference,
    measured_loss,
    plan_loss,
    unit_losses,
)
from planner.lab.probe.model import Floats, ProbeModel, exact
from planner.lab.probe.options import input_amax, recipes
from planner.lab.profiling import quick
from planner.lab.profiling.emulate import fits
from planner.lab.profiling.probe_tokens import ProbeSetup, calibration_tokens, probe_tokens
from planner.models.spec import ModelSpec
from planner.numerics.engines import Engine

DRAWS = 16  # of labels, for each chunk
CACHE_CHUNKS = 1
CACHE_PROBE = "int4-token"
CACHE_KINDS = ("kv-k", "kv-v")
_LOSS, _CACHE = "loss/", "cache/"
CacheKey = tuple[str, int]
Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Probed:
    """Losses in nats by tensor and scheme (T2, quick: of the probe scheme alone), and by (kind,
    layer) and layout for caches; ``settings`` go into the profile. ``method`` is the tier, or
    QUICK.

    ``errors``: relative output errors by tensor and scheme where the options change them;
    ``joint``: loss and flips of the whole model by scheme.
    """

    tier: str
    method: str
    scheme: str
    losses: Mapping[str, Mapping[str, float]]
    caches: Mapping[CacheKey, Mapping[str, float]]
    settings: Mapping[str, Any]
    errors: Mapping[str, Mapping[str, float]]
    joint: Mapping[str, Mapping[str, float]]


class Probe:
    """A model in memory with the tokens of one run."""

    def __init__(self, path: Path, spec: ModelSpec, question: ProbeSetup, engine: Engine) -> None:
        """Load the model. Raises UnsupportedError for one that does not run here or whose loss is
        not a divergence of next tokens."""
        self._question, self._engine = question, engine
        self.model: ProbeModel = load_probe_model(path)
        if self.model.layers != spec.layers or "KL" not in self.model.loss_name:
            raise UnsupportedError(
                f"{path}: its loss is {self.model.loss_name}, not the KL of next tokens",
                hint="use tier T0",
            )
        self.tokens, self.settings = probe_tokens(path, spec, question, self.model)
        self._amax: Mapping[str, Floats] = {}
        if question.options.text:
            others, source = calibration_tokens(path, spec, question, self.model)
            self._amax = input_amax(self.model, others)
            self.settings |= {"inputs": question.options.text, "calibration": source}

    def write_inputs(self, folder: Path) -> None:
        """``<tensor>.npy`` with the real inputs of every linear layer."""
        for name, x in layer_inputs(self.model, self.tokens):
            np.save(folder / f"{name.replace('/', '_')}.npy", x)

    def run(self, schemes: tuple[str, ...], journal: Journal, notify: Notify) -> Probed:
        """Measure what the tier needs and ``journal`` does not hold; results land in it."""
        question, settings = self._question, dict(self.settings)
        method, checked = question.tier, list(CHECKED)
        if question.quick:
            method, checked = quick.QUICK, list(quick.CHECKED)
            losses, caches = self._quick(journal, notify)
            settings |= {"sensitivity": quick.QUICK, "probe": question.scheme}
            settings |= quick.passes_of(self.model.units, self.model.layers, len(schemes))
        else:
            losses = (
                self._gradient(schemes)
                if question.tier == "T1"
                else self._measured(
                    (question.scheme,) if question.tier == "T2" else schemes, journal, notify
                )
            )
            caches = self._caches(journal, notify)
        notify("loss of the whole model under uniform schemes")
        joint = joint_losses(
            self.model,
            make_reference(self.model, self.tokens),
            [name for name in checked if name in schemes],
            self._recipes,
            journal,
            self._engine,
        )
        return Probed(
            question.tier,
            method,
            question.scheme if question.by_one_scheme else "",
            losses,
            caches,
            settings,
            self._errors(schemes),
            joint,
        )

    def _recipes(self, scheme: str) -> dict[str, Quantizer]:
        return recipes(self.model, scheme, self._question.options, self._amax)

    def _by_unit(self, schemes: tuple[str, ...]) -> dict[str, dict[str, Quantizer]]:
        """The recipes of every unit by scheme, in the order of ``schemes``: of those whose blocks
        fill its rows."""
        made = {scheme: self._recipes(scheme) for scheme in schemes}
        return {
            u.id: {
                scheme: plan[u.id]
                for scheme, plan in made.items()
                if fits(SCHEMES[scheme].weight, self.model.weight(u.id).shape[-1])
            }
            for u in self.model.units
        }

    def _errors(self, schemes: tuple[str, ...]) -> dict[str, dict[str, float]]:
        """Errors that the scan, which knows dynamic scales only, has otherwise."""
        changed = tuple(s for s in schemes if self._question.options.changes(s))
        if not changed:
            return {}
        by_unit, out = self._by_unit(changed), {}
        for name, x in layer_inputs(self.model, self.tokens):
            weight = self.model.weight(name)
            total_power = power(x @ weight.T)
            out[name] = (
                {
                    scheme: power(
                        output_error(x, weight, prepare(weight, recipe, self._engine), self._engine)
                    )
                    / total_power
                    for scheme, recipe in by_unit[name].items()
                }
                if total_power
                else {}
            )
        return out

    def _measured(
        self,
        schemes: tuple[str, ...],
        journal: Journal,
        notify: Notify,
    ) -> dict[str, dict[str, float]]:
        """Loss of each matrix alone under ``schemes``."""
        reference = make_reference(self.model, self.tokens)
        names = [u.id for u in self.model.units]
        left = [name for name in names if _LOSS + name not in journal.done]
        by_unit = self._by_unit(schemes)
        for n, name in enumerate(left):
            recipes = by_unit[name]
            losses = (
                next(
                    unit_losses(
                        self.model, reference, [name], tuple(recipes.values()), engine=self._engine
                    )
                )[1]
                if recipes
                else ()
            )
            journal.append(
                {
                    "id": _LOSS + name,
                    "loss": {
                        s: max(loss.mean, 0.0) for s, loss in zip(recipes, losses, strict=True)
                    },
                }
            )
            if n % 50 == 0:
                notify(f"loss of matrices: {len(names) - len(left) + n + 1} of {len(names)}")
        return {name: journal.done[_LOSS + name]["loss"] for name in names}

    def _gradient(self, schemes: tuple[str, ...]) -> dict[str, dict[str, float]]:
        by_unit = self._by_unit(schemes)
        estimated = fisher_losses(
            self.model,
            self.tokens,
            {name: tuple(of.values()) for name, of in by_unit.items()},
            seed=self._question.seed,
            draws=DRAWS,
            engine=self._engine,
        )
        # Units with fewer recipes have zeros at the end of their row.
        return {
            unit.id: dict(zip(by_unit[unit.id], losses, strict=False))
            for unit, losses in zip(self.model.units, estimated.full.tolist(), strict=True)
        }

    def _quick(
        self, journal: Journal, notify: Notify
    ) -> tuple[dict[str, dict[str, float]], dict[CacheKey, dict[str, float]]]:
        """Losses of the probe scheme by tensor, and of every cache layout."""
        scheme = self._question.scheme
        notify(f"{quick.DRAWS} backward passes")
        by_unit = self._by_unit((scheme,))
        losses, caches, trace = quick.quick_losses(
            self.model,
            self.tokens,
            {unit: of[scheme] for unit, of in by_unit.items() if scheme in of},
            CACHE_PROBE,
            seed=self._question.seed,
            journal=journal,
            engine=self._engine,
        )
        return (
            {unit: {scheme: loss} for unit, loss in losses.items()},
            {
                key: _by_layout(key[0], trace.entries[key], {CACHE_PROBE: loss})
                for key, loss in caches.items()
            },
        )

    def _caches(self, journal: Journal, notify: Notify) -> dict[CacheKey, dict[str, float]]:
        """Loss of every layer's keys and values: under every layout (T3), else under CACHE_PROBE,
        times the relative error of the entries in each layout over that in the probe's."""
        notify(f"loss of the caches of {self.model.layers} layers")
        reference = make_reference(self.model, self.tokens[:CACHE_CHUNKS])
        every = self._question.tier == "T3"
        out: dict[CacheKey, dict[str, float]] = {}
        for layer in range(self.model.layers):
            entries = {} if every else self._entries(reference, layer)
            for kind in CACHE_KINDS:
                wanted = layouts_of(kind) if every else [CACHE_PROBE]
                id = f"{_CACHE}{kind}.{layer}"
                if id not in journal.done:
                    journal.append(
                        {
                            "id": id,
                            "loss": {n: self._loss(reference, kind, layer, n) for n in wanted},
                        }
                    )
                losses: dict[str, float] = journal.done[id]["loss"]
                out[kind, layer] = losses if every else _by_layout(kind, entries[kind], losses)
        return out

    def _loss(self, reference: Reference, kind: str, layer: int, name: str) -> float:
        only = {layer: name}
        hook = quantised_cache(only, {}) if kind == "kv-k" else quantised_cache({}, only)
        loss = measured_loss(self.model, reference, exact(self.model), cache=hook, start=layer)
        return max(loss.mean, 0.0)

    def _entries(self, reference: Reference, layer: int) -> dict[str, Floats]:
        """Keys after RoPE and values of one layer, (chunks, heads, tokens, width)."""
        seen: dict[str, Floats] = {}

        def hook(_: int, k: Floats, v: Floats) -> tuple[Floats, Floats]:
            seen["kv-k"], seen["kv-v"] = k, v
            return k, v

        self.model.layer(layer, reference.hidden[layer], exact(self.model), hook)
        return seen


def layouts_of(kind: str) -> list[str]:
    """The cache layouts that keep entries of ``kind``."""
    return [name for name, layout in KV_LAYOUTS.items() if kind in layout.applies_to]


def _by_layout(kind: str, entries: Floats, losses: Mapping[str, float]) -> dict[str, float]:
    """The loss of ``entries`` in every layout: that under CACHE_PROBE times the ratio of errors."""
    error = {name: _entry_error(entries, name) for name in layouts_of(kind)}
    return {name: losses[CACHE_PROBE] / error[CACHE_PROBE] * error[name] for name in error}


def _entry_error(entries: Floats, name: str) -> float:
    """Relative error power of cache entries in a layout."""
    after = stored(entries, KV_LAYOUTS[name]).astype(np.float64)
    power = float(np.sum(entries.astype(np.float64) ** 2))
    return float(np.sum((after - entries) ** 2)) / power


CHECKED = ("fp8-block", "int8-w8a8", "int4-w4a16-g32", "nvfp4")
"""From nearly lossless to lossy, floats and integers: what a plan is mostly made of."""
_JOINT = "joint/"
Recipes = Callable[[str], Mapping[str, Quantizer]]


def joint_losses(
    model: ProbeModel,
    reference: Reference,
    schemes: Sequence[str],
    recipes: Recipes,
    journal: Journal,
    engine: Engine,
) -> dict[str, dict[str, float]]:
    """``{scheme: {"joint": nats, "flips": share}}`` of ``schemes``.

    Args:
        recipes: of every unit under a scheme.
        journal: results found there are not measured again; new ones land in it.
    """
    out = {}
    for scheme in schemes:
        id = _JOINT + scheme
        if id not in journal.done:
            loss = plan_loss(model, reference, recipes(scheme), engine=engine)
            journal.append({"id": id, "joint": max(loss.mean, 0.0), "flips": loss.flips or 0.0})
        out[scheme] = {key: float(journal.done[id][key]) for key in ("joint", "flips")}
    return out
