"""Quick profiles: losses of all matrices and caches from a few passes of the model, on text.

One forward pass notes what gradients need; each draw of labels walks back once, at about the cost
of another. Of every matrix the error of one probe scheme is taken, of every cache that of one
layout:

    loss(probe) ≈ ½ · E (Σ g·ΔY)²,    loss(scheme) = loss(probe) / e(probe) · e(scheme)

to second order, like ModelOpt's gradient scores, with errors of one chunk summed before they are
squared. The level is then that of the whole model, run under two schemes, so that what small losses
do together is in it. Passes do not grow with the matrices or the schemes; measuring every loss by
itself (T3) takes part of a pass for each. What it costs in rank: docs/evidence/quality.md, Quick
profiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planner.formats.kv import KV_LAYOUTS
from planner.jobs.journal import Journal
from planner.lab.probe.caches import stored
from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.gradient import Place, Trace, squared_changes, traced, unit_change
from planner.lab.probe.model import Floats, LinearUnit, ProbeModel, Tokens
from planner.numerics.engines import Engine
from planner.quality.profile import JointCheck
from planner.quality.sensitivity.level import KNEE_NATS

QUICK = "quick"
"""How these profiles are called."""
DRAWS = 8
TOKENS = 384
"""Twice what measuring takes: a draw has as many independent sums as there are chunks."""
PROBE = "nvfp4"
"""Rounds weights and inputs, floats in small blocks: its losses carry over to most schemes."""
CHECKED = ("fp8-block", "nvfp4")
"""Whole models that give the level: nearly lossless and lossy."""
_DRAW, _CACHE = "quick/", "cache/"
CacheKey = tuple[str, int]


def quick_losses(
    model: ProbeModel,
    tokens: Tokens,
    recipes: Mapping[str, Quantizer],
    layout: str,
    *,
    seed: int,
    journal: Journal,
    engine: Engine,
) -> tuple[dict[str, float], dict[CacheKey, float], Trace]:
    """Loss [nats] of each matrix of ``recipes`` under its recipe, of keys and values of each layer
    in the cache layout ``layout``, and the trace.

    Draws that ``journal`` holds are not made again; new ones land in it, one by one.
    """
    trace = traced(model, tokens)
    left = [n for n in range(DRAWS) if f"{_DRAW}{n}" not in journal.done]
    if left:
        changes: dict[Place, Floats] = {
            unit: unit_change(model, trace, unit, recipe, engine)
            for unit, recipe in recipes.items()
        }
        for place, entries in trace.entries.items():
            changes[place] = stored(entries, KV_LAYOUTS[layout]) - entries
        for n in left:
            found = squared_changes(model, trace, changes, np.random.default_rng([seed, n]))
            record = {_name(place): value for place, value in found.items()}
            journal.append({"id": f"{_DRAW}{n}", "loss": record})
    count = 2 * DRAWS * model.loss_samples(tokens)

    def mean(place: Place) -> float:
        name = _name(place)
        draws = [journal.done[f"{_DRAW}{n}"]["loss"][name] for n in range(DRAWS)]
        return math.fsum(draws) / count

    return {unit: mean(unit) for unit in recipes}, {key: mean(key) for key in trace.entries}, trace


def passes_of(units: Sequence[LinearUnit], layers: int, schemes: int) -> dict[str, Any]:
    """What a quick profile ran, in passes of the model over its tokens, and what measuring every
    matrix under ``schemes`` schemes would run: from its layer up."""
    return {
        "draws": DRAWS,
        "passes": {
            "forward": 2,
            "backward": DRAWS,
            "changes": 1,
            "whole models": len(CHECKED),
        },
        "passes_of_t3": round(schemes * sum(1 - u.layer / layers for u in units)),
    }


def level_factor(checks: Sequence[JointCheck]) -> float:
    """What losses are multiplied by so that whole models lose what was measured: the geometric mean
    of joint over sum, where losses still add up; 1 without such a check."""
    ratios = [
        math.log(c.joint / c.total) for c in checks if c.total > 0 and 0 < c.joint <= KNEE_NATS
    ]
    return math.exp(sum(ratios) / len(ratios)) if ratios else 1.0


def quick_note(settings: Mapping[str, Any], probe: str) -> str:
    """What a profile says of how it was made."""
    passes = settings["passes"]
    return (
        f"quick: losses from {passes['backward']} backward passes and the error of {probe} alone, "
        f"{sum(passes.values())} passes of the model in all, where measuring every loss takes "
        f"about {settings['passes_of_t3']}; {RANKS}"
    )


RANKS = (
    "beside losses measured one by one on SmolLM2-135M and MiniLM-L6 they rank at 0.96 over "
    "schemes, and at 0.81 and 0.91 within one (docs/evidence/quality.md#quick-profiles)"
)


def _name(place: Place) -> str:
    return place if isinstance(place, str) else f"{_CACHE}{place[0]}.{place[1]}"
